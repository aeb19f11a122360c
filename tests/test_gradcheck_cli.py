"""`nbrnn gradcheck` as a person meets it: reports, exit codes, mistakes in one sentence, what takes long."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.cli.gradcheck import MOST
from nbrnn.targets import compiling
from nbrnn.testing import gradients, random_model
from nbrnn.testing.strategies import CELLS

SMALL = ("--units", 2, "--steps", 3, "--samples", 1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Run every command in an empty folder, and keep the announcement out of the other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compiling, "announce", None)


def gradcheck(*arguments):
    return CliRunner().invoke(main, ["gradcheck", *map(str, arguments)])


def reports(result):
    """Return the reports that were printed, by heading, each as lines."""
    parts = result.output.split("\n\n")[1:]
    return {lines[0]: lines[1:] for lines in (part.strip("\n").splitlines() for part in parts)}


def rows(lines):
    """Return a report's rows: shape and verdict by name."""
    found = (re.fullmatch(r"(\S+) +(\S+) +(\d\.\de[+-]\d\d)  (ok|WRONG)", line) for line in lines)
    return {row[1]: (row[2], row[4]) for row in found if row}


OUTPUTS = "The outputs, projected on random directions"


@pytest.mark.parametrize("cell", [*CELLS, "gru --reset-before"])
def test_a_random_model_of_each_cell(cell):
    result = gradcheck("--cell", *cell.split(), *SMALL, "--features", 3)
    assert result.exit_code == 0, result.output
    name, gates = cell.split()[0], CELLS[cell.split()[0]].gates
    kind = CELLS[name].__name__
    (lines,) = reports(result).values()
    bias = {"gru": "2x6", "gru --reset-before": "6"}.get(cell, f"{2 * gates}")
    wanted = {}
    for layer, inputs in ((name, 3), (f"{name}_1", 2)):
        wanted |= {f"{layer}/kernel": f"{inputs}x{2 * gates}", f"{layer}/recurrent_kernel": f"2x{2 * gates}"}
        wanted |= {f"{layer}/bias": bias} | {f"{layer}/{state}0": "1x2" for state in CELLS[name].states}
    wanted |= {"dense/kernel": "2x1", "dense/bias": "1", "x": "1x3x3"}
    assert rows(lines) == {name: (shape, "ok") for name, shape in wanted.items()}
    assert lines[-1] == "passed"
    weights = sum(np.prod([int(n) for n in shape.split("x")]) for row, shape in wanted.items() if row[-1] not in "0x")
    head = result.output.split("\n\n")[0].splitlines()
    first, second = (line for line in head if not line.startswith("compiling"))  # that comes with an empty cache
    assert first == f"{name} ({kind}) -> {name}_1 ({kind}) -> dense (Dense); {weights} weights"
    assert second == "at 1 sample, 3 time steps, 3 features, random"


def test_the_options_reach_the_model(monkeypatch):
    seen = []
    honest = gradients.gradient_reports

    def look(model, x, **options):
        seen.append((model, x, options))
        return honest(model, x, **options)

    monkeypatch.setattr(gradients, "gradient_reports", look)
    options = ("--layers", 1, "--units", 3, "--steps", 2, "--features", 1, "--samples", 2, "--activation", "softsign")
    result = gradcheck(*options, "--method", "central", "--tolerance", 1e-4, "--seed", 7)
    assert result.exit_code == 0 and "central differences, float64, tolerance 0.0001" in result.output
    assert gradcheck().exit_code == 0
    (model, x, options), (usual, usual_x, usual_options) = seen
    assert [layer.units for layer in model.layers] == [3, 1] and model.layers[0].activation == "softsign"
    assert x.shape == (2, 2, 1) and model.seed == 7 and options == dict(method="central", tolerance=1e-4, seed=7)
    assert [layer.units for layer in usual.layers] == [4, 4, 1] and usual_x.shape == (3, 5, 2) and usual.seed == 0
    assert usual.layers[0].activation == "tanh" and usual_options == dict(method="complex", tolerance=None, seed=0)


def saved(loss="mse", shape=(4, 2)):
    random_model([nbrnn.LSTM(2), nbrnn.Dense(1)], shape, dtype="float32", loss=loss, seed=3).save("m.safetensors")


def test_a_saved_model_with_a_loss_is_checked_twice():
    saved()
    result = gradcheck("m.safetensors")
    assert result.exit_code == 0, result.output
    found = reports(result)
    assert list(found) == [OUTPUTS, "The loss, mse, with random targets"]
    assert all(rows(lines)["x"] == ("3x4x2", "ok") and lines[-1] == "passed" for lines in found.values())


def test_a_saved_model_without_a_loss_and_with_open_steps():
    saved(loss=None, shape=(None, 2))
    (lines,) = reports(gradcheck("m.safetensors", "--steps", 6, "--samples", 2)).values()
    assert rows(lines)["x"] == ("2x6x2", "ok")
    (lines,) = reports(gradcheck("m.safetensors")).values()
    assert rows(lines)["x"] == ("3x5x2", "ok")


WRONG = """
import sys
from dataclasses import replace
from nbrnn.cli import main
from nbrnn.kernels import KERNELS
right = KERNELS["lstm_backward"]
def doubled(*values):
    right.function(*values)
    values[[argument.name for argument in right.arguments].index("da")][...] *= 2
KERNELS["lstm_backward"] = replace(right, function=doubled)
try:
    main(["gradcheck", "--cell", "lstm", "--layers", "1", "--units", "1", "--steps", "1"])
except SystemExit as end:
    print("exit code", end.code)
"""


def test_a_wrong_gradient_ends_with_exit_code_1(run_python):
    printed = run_python(WRONG, NUMBA_DISABLE_JIT=1)
    verdicts = {name: verdict for name, (_, verdict) in rows(printed.splitlines()).items()}
    assert verdicts["lstm/kernel"] == "WRONG" and verdicts["dense/kernel"] == verdicts["lstm/c0"] == "ok"
    assert "it is 2 times the right one" in printed and printed.endswith("FAILED\nexit code 1\n")


def test_rounding_is_called_so():
    result = gradcheck(*SMALL, "--tolerance", 1e-30)
    assert result.exit_code == 1 and "FAILED\n\nErrors as small as these are mostly rounding" in result.output


def test_a_kernel_that_treats_complex_numbers_wrongly_is_told_in_a_sentence(monkeypatch):
    def fails(*arguments, **options):
        raise ArithmeticError("the complex forward pass gives another loss.")

    monkeypatch.setattr(gradients, "check_gradients", fails)
    result = gradcheck(*SMALL)
    assert result.exit_code == 1 and result.stderr == "the complex forward pass gives another loss.\n"


# ---------------------------------------------------------------- mistakes


MISTAKES = [
    (("none.safetensors",), "there is no model file none.safetensors."),
    (("m.safetensors", "--units", 3), "the model in m.safetensors decides --units itself; leave that out."),
    (
        ("m.safetensors", "--reset-before", "--cell", "gru", "--layers", 2, "--features", 2, "--activation", "relu"),
        "decides --cell and --layers and --features and --activation and --reset-before itself",
    ),
    (("m.safetensors", "--steps", 3), "steps is 3, but the model was built for 4 time steps; leave it out."),
    (("--reset-before",), "--reset-before is for --cell gru, not simple_rnn."),
    (("--reset-before", "--cell", "lstm"), "--reset-before is for --cell gru, not lstm."),
    (("--cell", "jordan"), "--cell 'jordan' is unknown; known are simple_rnn, lstm, gru."),
    (("--activation", "tahn"), "activation 'tahn' is unknown (did you mean 'tanh'?)"),
    (("--units", 0), "units must be a whole number of at least 1, not 0."),
    (("--layers", -1), "layers must be a whole number of at least 1, not -1."),
    (("--layers", 10000), "10,000 layers are too many (at most 200); take fewer --layers."),
    (("--features", 0), "features must be a whole number of at least 1, not 0."),
    (("--steps", 0), "steps must be a whole number of at least 1, not 0."),
    (("--samples", 0), "samples must be a whole number of at least 1, not 0."),
    (("--seed", -1), "seed must be a whole number of at least 0, not -1."),
    (("--tolerance", 0), "tolerance must be a number above 0, not 0.0."),
    (("--tolerance", "nan"), "tolerance must be a number above 0, not nan."),
    (("--method", "forward"), "'forward' is not one of 'complex', 'central'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[" ".join(map(str, a)) for a, _ in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(arguments, sentence):
    saved()
    result = gradcheck(*arguments)
    assert result.exit_code == 2 and result.stdout == "" and isinstance(result.exception, SystemExit)
    assert sentence in " ".join(result.stderr.split())


@pytest.mark.parametrize("option", ["units", "layers", "features", "steps", "samples"])
def test_what_would_take_hours_is_refused_before_memory_is_asked_for(option, monkeypatch):
    monkeypatch.setattr(gradients, "random_inputs", None)
    result = gradcheck(f"--{option}", 10**9)
    assert result.exit_code == 2 and "(at most 1,000,000)" in result.stderr and f"--{option}" in result.stderr


def test_a_saved_model_that_is_too_large_is_refused(monkeypatch):
    saved()
    monkeypatch.setattr(gradients, "check_size", lambda *a: MOST + 1)
    result = gradcheck("m.safetensors")
    assert result.exit_code == 2
    assert "1,000,001 numbers are too many" in result.stderr and "with --cell and fewer --units" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "said", "warned"), [(0.9, "", False), (2.25, "2.2 s", False), (75, "1 min 15 s", True)]
)
def test_what_takes_long_is_said_before(monkeypatch, seconds, said, warned):
    monkeypatch.setattr(gradients, "check_seconds", lambda *a: seconds)
    result = gradcheck(*SMALL)
    assert result.exit_code == 0
    announced = f"varying 33 numbers, each at the price of a forward pass: about {said}\n"
    assert (announced in result.stdout.split(OUTPUTS)[0]) == bool(said)
    assert result.stderr.startswith("For a shorter check take fewer --units") if warned else result.stderr == ""
    assert max(map(len, result.output.splitlines())) <= 80


def test_nothing_is_wider_than_80_columns():
    saved()
    for arguments in (
        ("--help",),
        ("--cell", "gru", "--layers", 3, *SMALL),
        ("m.safetensors",),
        ("--tolerance", 1e-30),
    ):
        lines = CliRunner().invoke(main, ["gradcheck", *map(str, arguments)], terminal_width=80).output.splitlines()
        assert len(lines) > 5 and max(map(len, lines)) <= 80, max(lines, key=len)


def test_the_choices_are_the_cells_that_there_are():
    (cell,) = [p for p in main.commands["gradcheck"].params if p.name == "cell"]
    assert cell.help.split(", ")[: len(CELLS)] == list(CELLS)
