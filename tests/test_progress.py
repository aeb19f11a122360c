"""Progress of a fit: a live line that fits, in a terminal and in a notebook, and few lines in a log file."""

import io
import re
import sys

import pytest

from nbrnn.cli.bench import status
from nbrnn.cli.common import Trained
from nbrnn.progress import Progress


class Clock:
    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("nbrnn.progress.time", Clock())
    return sys.modules["nbrnn.progress"].time


def test_a_log_file_gets_lines_now_and_then_without_carriage_returns(clock):
    log = io.StringIO()
    progress = Progress(100, 10, 1, stream=log)
    for epoch in range(100):
        clock.now += 0.5
        progress.epoch_end(epoch, {"loss": 0.5}, epoch == 99)
    lines = log.getvalue().splitlines()
    assert len(lines) == 17 and lines[0] == "epoch 6/100  loss 0.5" and lines[-1] == "epoch 100/100  loss 0.5"
    assert "\r" not in log.getvalue()


def test_a_long_epoch_says_in_a_log_file_where_it_is(clock):
    log = io.StringIO()
    progress = Progress(2, 600, 1, stream=log)
    for batch in range(1, 600):
        clock.now += 0.2
        progress.update(0, batch, {"loss": 0.25})
    assert log.getvalue().splitlines()[0] == "epoch 1/2  batch 150/600  loss 0.25  5 batches/s  3 min 30 s left"
    assert len(log.getvalue().splitlines()) == 3


def test_the_time_left_counts_from_where_a_fit_was_resumed(clock):
    log = io.StringIO()
    progress = Progress(2, 100, 1, stream=log)
    progress.begin(150)
    clock.now += 50
    progress.update(1, 75, {})
    assert log.getvalue().split("  ")[-2:] == ["0.5 batches/s", "50 s left\n"]


@pytest.mark.parametrize("columns", [80, 60, 40, 200])
def test_the_live_line_keeps_the_time_left_and_fits(clock, monkeypatch, columns):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = Progress(20, 1000, 1, stream=terminal)
    figures = dict.fromkeys(("loss", "mae", "rmse", "val_loss", "val_mae", "val_rmse"), 0.123456)
    for batch in range(0, 5000, 100):
        clock.now += 1.0
        progress.update(batch // 1000, batch % 1000, figures)
    drawn = terminal.getvalue().split("\r")[1:]
    assert all(len(line) <= min(79, columns - 1) for line in drawn)
    assert drawn[-1].rstrip().endswith("s left") and ("loss 0.1235" in drawn[-1]) == (columns > 40)


def test_a_notebook_gets_a_live_line(clock):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    notebook = kind()
    progress = Progress(3, 10, 1, stream=notebook)
    for epoch in range(3):
        clock.now += 1.0
        progress.epoch_end(epoch, {"loss": 0.5}, epoch == 2)
    assert notebook.getvalue().count("\n") == 1 and notebook.getvalue().count("\r") == 3


def test_a_fit_that_ends_early_says_so_in_a_log_file(clock):
    log = io.StringIO()
    Progress(100, 10, 1, stream=log).epoch_end(4, {"loss": 0.5}, last=True)
    assert log.getvalue() == "epoch 5/100  loss 0.5\n"


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
def test_the_commands_live_lines_stay_on_one_line(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    Trained().show(20, 20, ", smallest error 0.1234, and something long beside it, so long that it has to be cut off")
    status("SimpleRNN 32, train, float32, 1 thread: nbrnn loads or compiles what it needs, which takes a while")
    printed = capsys.readouterr()
    drawn = [line for text in printed for line in re.split(r"[\r\n]", text)]
    assert max(map(len, drawn)) == min(79, columns - 1) and "20 of 20 trained" in printed.out
