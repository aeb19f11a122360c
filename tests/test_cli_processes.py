"""Commands in processes of their own: help, pipes, a live bar in a terminal, Ctrl-C."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import FILES, QUICK, nbrnn_run, own_folder, written  # noqa: F401

import nbrnn
from nbrnn.cli import main
from nbrnn.forecastfile import load_forecaster
from nbrnn.targets import cpu

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and terminals as POSIX has them")


@pytest.fixture
def command(environment):
    """Return what starts `nbrnn ...` in a process of its own, 80 columns wide."""

    def start(*arguments, **options):
        line = [sys.executable, "-m", "nbrnn.cli", *map(str, arguments)]
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT) | options
        return subprocess.Popen(line, env=environment(COLUMNS=80, PYTHONIOENCODING="utf-8"), **streams)

    return start


@pytest.mark.parametrize("arguments", [[], *([name] for name in sorted(main.commands))], ids=" ".join)
def test_help_has_an_example_and_fits_80_columns(command, arguments):
    output = command(*arguments, "--help").communicate(timeout=300)[0].decode()
    assert max(map(len, output.splitlines())) <= 80
    assert re.search(r"(Example|Begin)", output) and "nbrnn " + " ".join(arguments) in output
    assert "..." not in output.split("Commands:")[-1] or arguments  # no description is cut


def test_the_package_itself_is_the_command(environment):
    line = [sys.executable, "-m", "nbrnn", "--version"]
    done = subprocess.run(line, env=environment(), check=True, capture_output=True, text=True)
    assert done.stdout == f"nbrnn, version {nbrnn.__version__}\n"


HELP = """
import sys
before = set(sys.modules)
from nbrnn.cli import main
main(["--help"], standalone_mode=False)
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))
"""


def test_help_is_quick_for_it_imports_nothing_but_click(run_python):
    assert set(run_python(HELP).splitlines()[-1].split()) - {"colorama"} == {"nbrnn", "click"}


def test_a_run_in_a_pipe_shows_no_control_characters(command):
    written()
    process = command("train", "x.csv", *QUICK)
    output = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, output
    assert "\r" not in output.replace("\r\n", "\n") and "\x1b" not in output and max(map(len, output.split("\n"))) <= 80


@posix
def test_the_live_bar_stays_on_one_line_of_80_columns(command):
    import pty

    written()
    ours, theirs = pty.openpty()
    epochs = 60_000 if cpu.JIT else 30
    process = command(
        "train", "x.csv", "--units", 2, "--window", 4, "--epochs", epochs, "--split", 0.8, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux raises it once the other end is closed
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert process.wait(timeout=300) == 0
    lines = shown.decode().split("\r\n")
    bar = next(line for line in lines if "\r" in line)
    states = bar.split("\r")
    assert len(states) > 2 and max(map(len, states)) <= 80 and "left" in states[1]
    assert states[-1].startswith("#" * 8) and f"epoch {epochs}/{epochs}" in states[-1]
    assert max(len(line) for line in lines if line is not bar) <= 80


@posix
def test_ctrl_c_keeps_what_was_learned(command):
    written(rows=200)
    options = ("--units", 8, "--window", 4, "--epochs", 10_000_000, "--patience", 10_000_000)
    process = command("train", "x.csv", *options, text=True)
    output = ""
    while not re.search(r"^epoch \d+/", output, re.M):
        line = process.stdout.readline()
        assert line, output
        output += line
    process.send_signal(signal.SIGINT)
    output += process.communicate(timeout=300)[0]
    assert process.returncode == 130, output
    assert re.search(r"^Stopped in epoch \d+ of 10000000; going on with what was learned\.$", output, re.M)
    assert "On the validation rows" in output and "\ninto the folder " in output
    assert {p.name for p in os.scandir("nbrnn-out/x")} == FILES
    assert load_forecaster("nbrnn-out/x/model.safetensors")[1]["stopped"] is True
    epochs = len(Path("nbrnn-out/x/history.csv").read_text().splitlines()) - 1
    assert f"Stopped in epoch {epochs + 1} of" in output


@posix
def test_ctrl_c_before_training_writes_nothing(monkeypatch):
    written()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nbrnn.sequential.Sequential.fit", interrupted)
    result = nbrnn_run("train", "x.csv", *QUICK)
    assert result.exit_code == 130 and result.output.endswith("Stopped.\n")
    assert not os.listdir("nbrnn-out/x")
