"""docs/forecasting.md from top to bottom, in one folder: its commands, its Python, and the tables that it shows."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from saved_models import run

from nbrnn.targets import cpu

PAGE = Path(__file__).parents[1] / "docs" / "forecasting.md"
BLOCK = re.compile(r"^```(sh|text|python)( pandas)?\n(.*?)^```", re.S | re.M)
LOOSE = 0.35  # what the last bits of a processor may make of a training
pytestmark = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")


def blocks():
    return [(kind + needs, body) for kind, needs, body in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def parted(line):
    """Return a line's words, and its numbers apart; those in names, such as AR(24) and 1961-01, are words."""
    cells = line.split()
    numbers = [float(c) for c in cells if re.fullmatch(r"-?\d+(\.\d+)?", c)]
    return [c for c in cells if not re.fullmatch(r"-?\d+(\.\d+)?", c)], numbers


def assert_shown(shown, printed):
    """Every line of a page stands in what was printed, in this order; its numbers may differ a little."""
    at = 0
    lines = [parted(line) for line in printed.splitlines()]
    for line in filter(str.strip, shown.splitlines()):
        words, numbers = parted(line)
        found = next((k for k, other in enumerate(lines[at:], at) if other[0] == words), None)
        assert found is not None, (line, printed)
        assert lines[found][1] == pytest.approx(numbers, rel=LOOSE, abs=0.3), (line, printed)
        at = found + 1


def python(code, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, PAGE.name, "exec"), names)
    return printed.getvalue()


def test_the_page_runs_and_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, printed, count = {}, "", 0
    for kind, body in blocks():
        if kind == "sh":
            for line in body.replace("\\\n", " ").splitlines():
                result = run(*shlex.split(line)[1:])
                assert result.exit_code == 0, result.output
                printed = result.output
        elif kind == "python":
            printed = python(body, names)
        elif kind == "text":
            assert_shown(body, printed)
            count += 1
    assert count == 4
    assert {p.name for p in tmp_path.iterdir()} >= {"passengers.csv", "outlook.png", "passengers.safetensors", "next"}
    assert (tmp_path / "nbrnn-out" / "passengers" / "scrambled.csv").exists()


def test_a_wrong_number_or_a_line_that_is_not_printed_is_seen():
    assert_shown("network  2.0  3\n", "x\nnetwork  2.1  3\n")
    for wrong in ("network  4.0  3\n", "networks  2.1  3\n", "network  2.1\n"):
        with pytest.raises(AssertionError):
            assert_shown(wrong, "x\nnetwork  2.1  3\n")


@pytest.mark.parity
def test_the_part_on_pandas_runs(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, body in blocks():
        if kind.startswith("python"):
            python(body, names)
        if kind == "python pandas":
            assert isinstance(names["forecaster"].forecast(3, names["series"]), pandas.Series)
            return
    pytest.fail("the page has no part on pandas")
