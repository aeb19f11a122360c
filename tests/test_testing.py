"""nbrnn.testing: what the strategies draw, that wrong gradients are caught, and what is said then."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import test_house
from click.testing import CliRunner
from test_readme import PAGES, blocks, commands

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN, testing
from nbrnn.cli import main
from nbrnn.layers import Layer
from nbrnn.targets import cpu
from nbrnn.testing.gradients import check_seconds, check_size, gradient_reports

FUNCTIONS = [getattr(testing, name) for name in testing.__all__]


class Reverse(Layer):
    """Turns a sequence round in time; `right` is false for a backward pass that forgets to."""

    kind = "reverse"

    def __init__(self, right=True, **settings):
        super().__init__(**settings)
        self.right = right

    def config(self):
        return super().config() | {"right": self.right}

    def lower(self, p, x):
        def turned(value, name):
            y = p.buffer(f"{self.name}/{name}", *x.shape)
            p.call("reverse", x=value, y=y)
            return y

        return turned(x, "y"), lambda dy, wanted: turned(dy, "dx") if self.right else dy


# ---------------------------------------------------------------- the module


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_docstrings_and_signatures_agree(function, monkeypatch):
    assert test_house.documented(function.__doc__, "Parameters") == test_house.parameters(function)
    assert re.match(r"[A-Z].*[.:]\n", function.__doc__) and test_house.documented(function.__doc__, "Raises")
    monkeypatch.setattr(nbrnn, function.__name__, function, raising=False)
    test_house.test_public_functions_are_annotated(function.__name__)


LAZY = """
import sys, nbrnn
assert "testing" in dir(nbrnn) and "nbrnn.testing" not in sys.modules
if sys.argv[1] == "missing":
    sys.modules["hypothesis"] = None
nbrnn.testing.assert_gradients(nbrnn.testing.random_model([nbrnn.SimpleRNN(1)], (2, 1)))
print([name for name in sys.modules if name.split(".")[0] == "hypothesis" and sys.modules[name]])
for strategy in (nbrnn.testing.models, nbrnn.testing.sequences, nbrnn.testing.masks):
    try:
        strategy()
    except ModuleNotFoundError as error:
        print(error)
print("hypothesis" in sys.modules)
"""


def test_hypothesis_is_imported_for_a_strategy_only(run_python):
    assert run_python(LAZY, "there").splitlines() == ["[]", "True"]


def test_without_hypothesis_a_sentence_says_what_to_type(run_python):
    loaded, *sentences, _ = run_python(LAZY, "missing").splitlines()
    assert loaded == "[]" and len(sentences) == 3
    assert all(text.endswith("which is not installed; type: pip install hypothesis") for text in sentences)


# ---------------------------------------------------------------- gradients that are wrong


def test_a_wrong_backward_pass_is_reported():
    model = testing.random_model([Reverse(right=False), SimpleRNN(2), Dense(1)], (3, 2), loss="mse")
    with pytest.raises(AssertionError) as error:
        testing.assert_gradients(model, seed=5)
    first, outputs, loss, drawn = str(error.value).split("\n\n")
    assert first == "a gradient is wrong." and drawn == "x was drawn: shape (3, 3, 2), seed 5."
    reports = gradient_reports(model, testing.random_array((3, 3, 2), seed=5), seed=5)
    assert dict([outputs.split("\n", 1), loss.split("\n", 1)]) == {h: str(r) for h, r in reports.items()}
    assert list(reports) == ["The outputs, projected on random directions", "The loss, mse, with random targets"]
    for report in reports.values():
        (row,) = [row for row in report.rows if row.relative_error > 1e-10]
        assert row.name == "x" and row.relative_error > 0.1
    right = testing.random_model([Reverse(), SimpleRNN(2), Dense(1)], (3, 2), loss="mse")
    testing.assert_gradients(right, seed=5)
    one_step = testing.random_model([Reverse(right=False), SimpleRNN(2), Dense(1)], (1, 2), loss="mse")
    testing.assert_gradients(one_step, seed=5)  # one step turned round is itself


BROKEN = """
import json
from dataclasses import replace
import numpy as np
from hypothesis import Phase, given, settings
import nbrnn
from nbrnn.kernels import KERNELS

def broken(name, damage):
    right = KERNELS[name]
    names = [argument.name for argument in right.arguments]
    def call(*values):
        damage(right.function, dict(zip(names, values)))
    KERNELS[name] = replace(right, function=call)
    return lambda: KERNELS.update({name: right})

def forget_the_future(right, k):  # each step sees what comes from the loss alone
    T, every = len(k["da"]), len(k["dh"]) == len(k["da"])
    for t in range(T - 1, -1, -1):
        dh = k["dh"][t : t + 1] if every else k["dh"] if t == T - 1 else np.zeros_like(k["dh"])
        dh0 = k["dh0"] if t == 0 else k["dh0"][:0]
        right(**k | {"h": k["h"][t : t + 2], "dh": dh.copy(), "da": k["da"][t : t + 1], "dh0": dh0})

def swap_two_gates(right, k):
    right(**k)
    H = k["dc"].shape[-1]
    k["da"][..., : 2 * H] = np.roll(k["da"][..., : 2 * H], H, axis=-1)

def outcome(**wanted):
    @settings(max_examples=25, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(model=nbrnn.testing.models(layers=1, units=(1, 2), features=1, losses=None, **wanted))
    def property(model):
        nbrnn.testing.assert_gradients(model, samples=1)
    try:
        property()
    except AssertionError as error:
        return str(error)
    return "passed"

outcomes = {}
mend = broken("simple_rnn_backward", forget_the_future)
outcomes["one step"] = outcome(cells="simple_rnn", steps=1)
outcomes["other cells"] = outcome(cells=("lstm", "gru"), steps=2)
outcomes["no future"] = outcome(cells="simple_rnn", steps=(1, 3))
mend()
mend = broken("lstm_backward", swap_two_gates)
outcomes["swapped gates"] = outcome(cells="lstm", steps=(1, 2))
mend()
outcomes["mended"] = outcome(cells=("simple_rnn", "lstm"), steps=(1, 3))
print(json.dumps(outcomes))
"""


def test_broken_kernels_are_caught_but_a_forgotten_future_not_in_one_step(run_python):
    outcomes = json.loads(run_python(BROKEN, NUMBA_DISABLE_JIT=1))
    for name in ("one step", "other cells", "mended"):
        assert outcomes[name] == "passed", name
    for name, weight in (("no future", "simple_rnn/recurrent_kernel"), ("swapped gates", "lstm/kernel")):
        lines = outcomes[name].splitlines()
        assert lines[0] == "a gradient is wrong." and "FAILED" in lines
        assert any(line.startswith(weight) and line.endswith("WRONG") for line in lines), outcomes[name]


def test_errors_as_small_as_rounding_are_called_so():
    model = testing.random_model([SimpleRNN(2), Dense(1)], (3, 2))
    with pytest.raises(AssertionError, match=r"tolerance 1e-30\n(?s:.*)FAILED\n\nErrors as small as these are mostly"):
        testing.assert_gradients(model, tolerance=1e-30)
    wrong = testing.random_model([Reverse(right=False), SimpleRNN(2)], (3, 2))
    with pytest.raises(AssertionError) as error:
        testing.assert_gradients(wrong)
    assert "rounding" not in str(error.value)


@pytest.mark.parametrize(("backward", "verdict"), [(3e-17, "ok"), (3e-13, "WRONG"), (np.nan, "WRONG")])
def test_a_sum_that_cancels_to_all_but_zero_is_no_error(monkeypatch, backward, verdict):
    honest = nbrnn.check_gradients

    def doctored(*arguments, **options):  # as if the bias' gradient were zero
        report = honest(*arguments, **options)
        assert max(np.abs(gradient).max() for gradient in report.gradients.values()) > 0.2
        change = dict(relative_error=1.0, backward=backward, numeric=0.0, hint="a hint")
        return replace(report, rows=[replace(r, **change) if "bias" in r.name else r for r in report.rows])

    monkeypatch.setattr("nbrnn.testing.gradients.check_gradients", doctored)
    model = testing.random_model([Dense(1)], (4, 1))
    (report,) = gradient_reports(model, testing.random_array((3, 4, 1))).values()
    assert report.passed == (verdict == "ok")
    assert re.search(rf"dense/bias .*{verdict}\n", str(report)) and ("a hint" in str(report)) != report.passed


# ---------------------------------------------------------------- arguments


def test_x_and_y_and_first_states_of_ones_own():
    model = testing.random_model([LSTM(2), Dense(2)], (None, 1), loss="mae", dtype="float32")
    x, y = testing.random_array((4, 6, 1), seed=3), testing.random_array((4, 2), seed=4)
    testing.assert_gradients(model, x, y)
    assert list(gradient_reports(model, x, y)) == ["The loss, mae"]
    states = {"lstm/h": testing.random_array((4, 2), seed=5), "lstm/c": testing.random_array((4, 2), seed=6)}
    testing.assert_gradients(model, x, y, initial_state=states, method="central")
    given = gradient_reports(model, x, initial_state=states).values()
    drawn = gradient_reports(model, x).values()
    assert all(a.passed and b.passed and a.loss != b.loss for a, b in zip(given, drawn, strict=True))
    with pytest.raises(ValueError, match="initial_state lstm/h has shape"):
        testing.assert_gradients(model, x, initial_state={"lstm/h": states["lstm/h"][:2]})


def test_the_x_that_is_drawn():
    model = testing.random_model([GRU(1)], (None, 2))
    with pytest.raises(AssertionError, match=r"x was drawn: shape \(3, 5, 2\), seed 0"):
        testing.assert_gradients(model, tolerance=1e-30)
    with pytest.raises(AssertionError, match=r"x was drawn: shape \(2, 7, 2\), seed 9"):
        testing.assert_gradients(model, tolerance=1e-30, samples=2, steps=7, seed=9)
    testing.assert_gradients(testing.random_model([Dense(2, "tanh")], (3,), loss="huber"), samples=2)
    testing.assert_gradients(testing.random_model([SimpleRNN(2)], (4, 1)), steps=4)


MODEL = testing.random_model([SimpleRNN(2)], (4, 1))
X = testing.random_array((1, 4, 1))
MISTAKES = [
    (lambda: testing.assert_gradients(MODEL, y=X), "y was given without x"),
    (lambda: testing.assert_gradients(MODEL, X, X), "y was given, but the model has no loss"),
    (lambda: testing.assert_gradients(MODEL, X, samples=2), "leave them out where x is given"),
    (lambda: testing.assert_gradients(MODEL, X, steps=2), "leave them out where x is given"),
    (lambda: testing.assert_gradients(MODEL, steps=3), "steps is 3, but the model was built for 4 time steps"),
    (lambda: testing.assert_gradients(testing.random_model([Dense(1)], (2,)), steps=3), "for vectors, which have no"),
    (lambda: testing.assert_gradients(MODEL, samples=0), "shape must be a whole number of at least 1, not 0"),
    (lambda: testing.assert_gradients(nbrnn.Sequential([SimpleRNN(2)])), "does not know its input_shape yet"),
    (lambda: testing.assert_gradients(nbrnn.Sequential([SimpleRNN(2)]), X), "does not know its input_shape yet"),
    (lambda: testing.assert_gradients(MODEL, X[..., 0]), "x must have the shape"),
    (lambda: testing.assert_gradients(MODEL, method="forward"), "method 'forward' is unknown"),
    (lambda: testing.assert_gradients(MODEL, tolerance=0), "tolerance must be a number above 0"),
    (lambda: testing.random_model([Dense(1)], (2,), dtype="complex128"), "dtype 'complex128' is unknown"),
    (lambda: testing.random_model([Dense(1)], (2,), loss="msee"), "did you mean 'mse'"),
    (lambda: testing.random_array((2, 0)), "shape must be a whole number of at least 1, not 0"),
    (lambda: testing.random_array((2,), layout="overlapping"), "need two axes or more"),
    (lambda: testing.random_array((2,), values="hugh"), "did you mean 'huge'"),
    (lambda: testing.random_array((2,), layout="D"), "layout 'D' is unknown"),
    (lambda: testing.random_array((2,), seed=-1), "seed must be a whole number of at least 0"),
    (lambda: testing.models("gru_cell"), "cells 'gru_cell' is unknown"),
    (lambda: testing.models(Dense), "is unknown; known are simple_rnn, lstm, gru"),
    (lambda: testing.models(cells=()), "cells is empty"),
    (lambda: testing.models(layers=(2, 1)), "layers must be a whole number or a pair .* but 2 is more than 1"),
    (lambda: testing.models(units=0), "units must be a whole number of at least 1, not 0"),
    (lambda: testing.models(units=(1, 2, 3)), r"units must be .* not \(1, 2, 3\)"),
    (lambda: testing.models(steps="5"), "steps must be a whole number of at least 1, not '5'"),
    (lambda: testing.models(features=1.5), "features must be a whole number of at least 1, not 1.5"),
    (lambda: testing.models(activations="tahn"), "did you mean 'tanh'"),
    (lambda: testing.models(losses=("mse", "hubber")), "did you mean 'huber'"),
    (lambda: testing.models(extras="dropuot"), "extras 'dropuot' is unknown .did you mean 'dropout'"),
    (lambda: testing.models(dtype="complex128"), "dtype 'complex128' is unknown"),
    (lambda: testing.sequences(MODEL, features=2), "features are the model's"),
    (lambda: testing.sequences(MODEL, steps=(4, 6)), "steps is 6, but the model was built for 4"),
    (lambda: testing.sequences(nbrnn.Sequential([SimpleRNN(2)])), "does not know its input_shape yet"),
    (lambda: testing.sequences(values=()), "values is empty"),
    (lambda: testing.sequences(layouts=("C", "G")), "layouts 'G' is unknown"),
    (lambda: testing.sequences(dtype="float16"), "dtype 'float16' is unknown"),
    (lambda: testing.masks(0), "samples must be a whole number of at least 1, not 0"),
    (lambda: testing.masks(steps=2, kinds="holes"), "steps must reach 3 for rows of the kind holes, not 2"),
    (lambda: testing.masks(kinds="both"), "kinds 'both' is unknown"),
]


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(mistake, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        mistake()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "loss", "passes"), [("complex", None, 1), ("central", None, 2), ("central", "mse", 4)]
)
def test_what_a_check_costs(monkeypatch, method, loss, passes):
    model = testing.random_model([LSTM(2)], (4, 1), loss=loss)
    numbers = 4 * 2 * (1 + 2 + 1) + 3 * (4 + 2 + 2)  # weights; of each sample the inputs and the states h, c
    assert check_size(model, 3, (4, 1)) == numbers
    reports = gradient_reports(model, testing.random_array((3, 4, 1)), method=method)
    assert all(sum(np.prod(row.shape) for row in report.rows) == numbers for report in reports.values())
    clock = iter(range(100))
    monkeypatch.setattr("nbrnn.testing.gradients.perf_counter", lambda: next(clock))
    assert check_seconds(model, testing.random_array((3, 4, 1)), method) == passes * numbers  # a pass lasts 1


def test_metrics_change_nothing():
    model = testing.random_model([SimpleRNN(2), Dense(1)], (3, 1))
    model.compile("adam", "mse", metrics=["mae", "huber"])
    testing.assert_gradients(model)


# ---------------------------------------------------------------- docs/testing.md


def call_of(text):
    """Return the first random_model(...) of a text without its comments and spaces."""
    text = re.sub(r"#.*", "", text[text.index("random_model(") :])
    depth = np.cumsum([(c == "(") - (c == ")") for c in text])
    return re.sub(r"\s|,(?=\s*[)\]])", "", text[: np.flatnonzero((depth == 0) & (np.arange(len(text)) > 12))[0] + 1])


def assert_same_words(printed, shown):
    """Compare texts word by word, numbers by their leading digits; those that are rounding may differ."""
    assert [len(line.split()) for line in printed.splitlines()] == [len(line.split()) for line in shown.splitlines()]
    for word, expected in zip(printed.split(), shown.split(), strict=True):
        if re.fullmatch(r"-?\d+\.\d+(e[+-]\d+)?", expected):
            assert float(word) == pytest.approx(float(expected), rel=1e-6, abs=1e-12)
        else:
            assert word == expected


@pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
def test_the_output_that_the_page_shows_is_real(run_python, tmp_path, monkeypatch):
    page = next(page for page in PAGES if page.name == "testing.md")
    report, example, command = blocks(page, "text")
    monkeypatch.chdir(tmp_path)
    printed = run_python("\n".join(blocks(page, "python")))
    assert_same_words(printed[: printed.index("seed 0.") + 7], report)
    assert call_of(printed[printed.index("seed 0.") :]) == call_of(example)
    (words,) = commands(page)
    result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0
    assert_same_words(result.output.partition("lstm (LSTM)")[2], command.partition("lstm (LSTM)")[2])
