"""Custom cells on the command line: `--module FILE` of gradcheck and bench."""

import json

import pytest
from cases_cells import MIN_GRU, changed, forget
from click.testing import CliRunner

from nbrnn.cli import main
from nbrnn.layers import LAYERS
from nbrnn.targets import cpu

CELL = "min_gru"


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Return a module that nobody has imported."""
    forget(monkeypatch, "MinGRU")
    path = tmp_path / "mingru.py"
    path.write_text(MIN_GRU, encoding="utf-8")
    return path


def test_gradcheck_takes_a_module(file):
    result = run("gradcheck", "--module", file, "--cell", CELL, "--layers", 1, "--units", 2, "--steps", 2)
    assert result.exit_code == 0 and f"{CELL}/Wz" in result.output and "passed" in result.output


def test_gradcheck_of_a_module_checks_its_cell_and_not_another(file):
    result = run("gradcheck", "--module", file, "--layers", 1, "--units", 2, "--steps", 2)
    assert result.exit_code == 0 and f"{CELL}/Wz" in result.output and "simple_rnn" not in result.output


def test_of_several_cells_one_must_be_chosen(file):
    another = '\n\nclass SecondGRU(MinGRU):\n    """The same."""\n'
    file.write_text(file.read_text() + another, encoding="utf-8")
    result = run("gradcheck", "--module", file)
    LAYERS.pop("SecondGRU")
    assert result.exit_code == 2 and "--module defines 2 cells" in result.output
    assert f"--cell {CELL} or --cell second_gru" in result.output


def test_a_cell_that_the_module_lacks_is_unknown(file):
    result = run("gradcheck", "--module", file, "--cell", "nothing")
    assert result.exit_code == 2 and f"known are simple_rnn, lstm, gru, {CELL}" in result.output


def test_gradcheck_finds_a_wrong_backward(file):
    file.write_text(changed(file.read_text(), ("add_sum(dbz, daz)", "add_sum(dbz, dn)")), encoding="utf-8")
    result = run("gradcheck", "--module", file, "--cell", CELL, "--layers", 1, "--units", 2, "--steps", 2)
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.output.splitlines() if "WRONG" in line] == [f"{CELL}/bz"]


def test_an_activation_is_for_cells_that_have_one(file):
    result = run("gradcheck", "--module", file, "--cell", CELL, "--activation", "relu")
    assert result.exit_code == 2 and f"--activation is for nbrnn's own cells, not {CELL}." in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    (
        (None, "--module must be a file of Python"),
        ("x = 1", "defines no cell, a subclass of nbrnn.Cell"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
    ),
)
@pytest.mark.parametrize("command", ("gradcheck", "bench"))
def test_a_module_that_is_none_is_one_sentence(tmp_path, command, text, message):
    path = tmp_path / f"{tmp_path.name}.py"  # unlike any other test's
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = run(command, "--module", path)
    assert result.exit_code == 2 and message in " ".join(result.output.split()) and "Traceback" not in result.output


@pytest.mark.skipif(not cpu.JIT, reason="measures compiled kernels")
def test_bench_measures_a_modules_cells_beside_others(file, tmp_path):
    options = ("--cells", f"gru,{CELL}", "--sizes", 3, "--quick", "--threads", 1, "--out", tmp_path / "out")
    result = run("bench", "--module", file, *options)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert [r["name"] for r in report["results"]] == ["gru", CELL] * 2
    assert not report["failures"] and all(r["gflops"] > 0 for r in report["results"])
