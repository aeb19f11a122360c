"""Traces: the published numbers, terms that sum to the run's own, formulas whose arithmetic holds, JSON and CSV."""

import csv
import functools
import io
import json
import math
import re

import numpy as np
import pytest
import reference
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from support import activations, few, random_model, seeds

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.cli import main
from nbrnn.saving import read_model
from nbrnn.tracing import cells

CELLS = {
    "simple_rnn": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru before": lambda units, *rest, **more: GRU(units, *rest, reset_after=False, **more),
}
MLM = cells.__file__.replace("cells.py", "mlm.json")
bounded = st.sampled_from(("tanh", "sigmoid", "softsign", "hard_sigmoid"))


@st.composite
def stacks(draw):
    """Draw layers with at least one recurrent layer, any of them the reader of reversed steps."""
    layers, depth = [], draw(st.integers(1, 2), "recurrent layers")
    every = draw(st.booleans(), "sequences on top")
    if draw(st.booleans(), "dense below"):
        layers.append(Dense(draw(few), draw(activations)))
    for k in range(depth):
        make = CELLS[draw(st.sampled_from(sorted(CELLS)), "cell")]
        flags = {"use_bias": draw(st.booleans()), "go_backwards": draw(st.booleans())}
        layers.append(make(draw(few), draw(bounded), **flags, return_sequences=every or k < depth - 1))
    if every and draw(st.booleans(), "flatten"):
        layers.append(Flatten())
    if draw(st.booleans(), "dense on top"):
        layers.append(Dense(draw(few), draw(activations), draw(st.booleans())))
    return layers


def random_case(layers, steps, features, seed, loss="mse"):
    model = random_model(layers, (steps, features), seed % 1000)
    model.compile("sgd", loss)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, features))
    return model, x, rng.normal(size=model.predict(x[None])[0].shape)


def masks(steps, layers, seed):
    """Return no mask or one that leaves out any steps, where no layer ends it."""
    rng = np.random.default_rng(seed)
    ends = any(isinstance(layer, Flatten) for layer in layers)
    return {} if ends or rng.random() < 0.5 else {"mask": rng.random(steps) < 0.7}


@settings(max_examples=60)
@given(layers=stacks(), steps=few, features=few, given_states=st.booleans(), seed=seeds)
def test_the_numbers_are_the_runs_own(layers, steps, features, given_states, seed):
    model, x, y = random_case(layers, steps, features, seed, ("mse", "huber")[seed % 2])
    left = masks(steps, layers, seed)
    batched = {name: mask[None] for name, mask in left.items()}
    rng = np.random.default_rng(seed)
    states = {n: rng.normal(size=(1, units)) for n, units in model._units().items()} if given_states else None
    found = nbrnn.trace(model, x, y, initial_state=states, **left)
    report = nbrnn.check_gradients(model, x[None], y[None], initial_state=states, **batched)
    assert report.passed
    for name, gradient in report.gradients.items():
        if name in found.totals:
            expected = gradient[0] if name == "x" else gradient
            np.testing.assert_allclose(found.totals[name], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    assert found.loss == pytest.approx(report.loss, rel=1e-12)
    output = model.predict(x[None], initial_state=states, **batched)
    np.testing.assert_allclose(found.output, output[0], rtol=1e-13, atol=1e-13)
    for layer in found.layers:
        for name, total in layer.totals.items():  # the shares of the steps, too
            shares = sum(step[name] for step in layer.backward)
            np.testing.assert_allclose(shares, total, rtol=0, atol=1e-12 * max(1, np.abs(total).max()))
        if "dh" in (layer.backward[0].names if layer.backward else ()):
            first = layer.backward[0].dh_prev
            np.testing.assert_allclose(first, report.gradients[f"{layer.name}/h0"][0], rtol=1e-10, atol=1e-13)
            if layer.kind == "LSTM":
                cell = report.gradients[f"{layer.name}/c0"][0]
                np.testing.assert_allclose(layer.backward[0].dc_prev, cell, rtol=1e-10, atol=1e-13)


FUNCTIONS = {name: functools.partial(reference.act, code=code) for code, name in enumerate(reference.ACTIVATIONS)}
FUNCTIONS |= {"exp": math.exp, "__builtins__": {}}
ROW = re.compile(r"^ {2}(.{12})(.*?) += +([-+.e\d]+)$")


def rows(text):
    """Return the label, formula and result of every line of a text, wrapped ones joined."""
    lines, open_row = [], ""
    for line in text.splitlines():
        if re.match(r" {14,}\S", line) and open_row:
            open_row += " " + line.strip()
        elif line.startswith("  ") and not line.startswith("   "):
            open_row = line
        else:
            open_row = ""
        found = ROW.match(open_row)
        if found:
            lines.append((found[1].strip(), found[2], found[3]))
            open_row = ""
    return lines


@settings(max_examples=40)
@given(layers=stacks(), steps=st.sampled_from((1, 2, 3)), features=few, seed=seeds)
def test_the_arithmetic_of_every_printed_line_holds(layers, steps, features, seed):
    model, x, y = random_case(layers, steps, features, seed)
    left = masks(steps, layers, seed)
    text = nbrnn.trace(model, x, y, **left).text(digits=12)
    units = sum(layer.units for layer in model.layers if hasattr(layer, "units"))
    assert lines_that_hold(text) >= (2 if left else 3) * units


def lines_that_hold(text):
    """Return how many lines of a text are formulas; each must give its result."""
    assert max(map(len, text.splitlines())) <= 80
    checked = 0
    for label, formula, result in rows(text):
        if formula.startswith(("there is no", "the loss does", "the layer above", "dL/do", "handed down")):
            continue
        value = eval(formula.replace("^", "**"), FUNCTIONS)
        assert value == pytest.approx(float(result), rel=1e-8, abs=1e-9), (label, formula)
        checked += 1
    return checked


def test_the_published_numbers():
    found = nbrnn.trace(read_model(MLM), [1, 2, 3], 4)
    published = [(0.18662322, -1.23694587), (-0.07471441, -3.64187904), (-1.30195881, -6.84172557)]
    for step, h in zip(found.steps, published, strict=True):
        np.testing.assert_allclose(step.h, h, atol=1e-6)
    assert found.output == pytest.approx([-3.8698122919], abs=1e-9)
    wanted = {
        "dense/kernel": [[20.4923434493], [107.6861955404]],
        "simple_rnn/kernel": [[57.3168436853, -40.594126838]],
        "simple_rnn/recurrent_kernel": [[1.5868809615, -0.2297678111], [-40.7057794592, 44.0985643947]],
        "simple_rnn/bias": [31.2986419163, -14.6604453498],
    }
    for name, numbers in wanted.items():
        np.testing.assert_allclose(found.totals[name], numbers, atol=1e-8)
    flows = [(12.5773270, 0.9820258), (11.4244282, -5.3512609), (7.2968868, -10.2912103)]
    for step, dh in zip(found.backward, flows, strict=True):
        np.testing.assert_allclose(step.dh, dh, atol=1e-6)
    assert (found.backward[2].dh_future == 0).all() and (found.backward[0].dh_loss == 0).all()


def test_three_itemised_terms_are_printed():
    text = str(nbrnn.trace(read_model(MLM), [1, 2, 3], 4))
    terms = next(formula for label, formula, _ in rows(text) if label == "dWh[1,1]")
    assert terms == "0 + 2.13206 - 0.545183"
    assert "dh future   7.29689*0.869812 - 10.2912*(-0.493383)" in text
    assert "h = linear(a)" in text and "step 3   x = (3)   h_prev = (-0.0747144, -3.64188)" in text


# ---------------------------------------------------------------- forms


def small(cell="lstm", **more):
    model, x, y = random_case([CELLS[cell](2, return_sequences=True), CELLS[cell](2), Dense(1)], 3, 2, 7)
    return nbrnn.trace(model, x, y, **more)


def test_json_holds_every_number():
    found = small("gru", numeric=True)
    data = json.loads(found.to_json())
    assert data["meta"]["version"] == 1 and data["meta"]["dtype"] == "float64"
    for layer, kept in zip(found.layers, data["layers"], strict=True):
        assert kept["cell"] == layer.kind and kept["config"].get("units") == layer.layer.units
        for steps, lists in ((layer.steps, kept["steps"]), (layer.backward, kept["backward"])):
            assert len(steps) == len(lists)
            for step, numbers in zip(steps, lists, strict=True):
                assert list(numbers) == step.names
                assert all((np.array(numbers[name]) == step[name]).all() for name in step.names)
        assert {name: np.array(v).tolist() for name, v in layer.weights.items()} == kept["params"]
    assert data["loss"] == {"name": "mse", "value": found.loss}
    assert all(row["passed"] and row["rel_err"] <= 1e-12 for row in data["numeric"]["rows"].values())
    assert np.array(data["totals"]["gru/kernel"]).shape == (2, 6)


def test_csv_has_a_row_a_number():
    found = small()
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    numbers = sum(s[n].size for layer in found.layers for s in (*layer.steps, *layer.backward) for n in s.names)
    assert len(lines) == numbers + sum(t.size for layer in found.layers for t in layer.totals.values())
    line = next(
        one
        for one in lines
        if (one["layer"], one["pass"], one["step"], one["quantity"]) == ("lstm_1", "backward", "3", "dWh")
        and (one["row"], one["column"]) == ("2", "5")
    )
    assert float(line["value"]) == found.layers[1].backward[2].dWh[1, 4]


def test_files_are_written(tmp_path):
    found = small()
    found.to_json(tmp_path / "t.json")
    found.to_csv(tmp_path / "t.csv")
    assert json.loads((tmp_path / "t.json").read_text()) == found.to_dict()
    assert (tmp_path / "t.csv").read_text() == found.to_csv()


def test_steps_belong_to_the_only_recurrent_layer_and_tell_their_names():
    found = small()
    with pytest.raises(
        ValueError, match=r"has 2 recurrent layers; choose .*layers\[0\] \(lstm\), layers\[1\] \(lstm_1\)"
    ):
        _ = found.steps
    step = found.layers[0].steps[0]
    with pytest.raises(AttributeError, match="has no 'z'; it has x, h_prev, c_prev"):
        _ = step.z
    assert "c = [" in repr(step) and "dx" in dir(found.layers[0].backward[0]) and (step["h"] == step.h).all()
    forward = nbrnn.trace(read_model(MLM), [[1], [2], [3]])
    assert forward.backward == [] and forward.loss is None and "backward" not in str(forward)


def test_a_float32_model_is_traced_in_float64():
    model = read_model(MLM)
    single = nbrnn.Sequential([SimpleRNN(2, "linear"), Dense(1)], input_shape=(3, 1))
    single.set_weights(model.get_weights())
    found = nbrnn.trace(single, [1, 2, 3])
    assert found.output.dtype == np.float64 and single.dtype == np.float32
    assert found.output == pytest.approx(model.predict(np.array([[[1.0], [2.0], [3.0]]]))[0], rel=1e-6)


def test_chosen_steps_and_layers_are_printed():
    found = small()
    text = found.text(steps=[1], layers=["lstm_1"], digits=3)
    assert "step 2" in text and "step 1 " not in text and "gradients" not in text
    assert "forward: lstm_1" in text and "forward: lstm " not in text


def test_a_long_trace_is_outlined_and_its_text_refused():
    model, x, y = random_case([LSTM(8), Dense(1)], 50, 1, 3)
    found = nbrnn.trace(model, x, y)
    assert (
        "would fill about" in str(found)
        and "to_json(path)" in str(found)
        and max(map(len, str(found).split("\n"))) <= 80
    )
    with pytest.raises(ValueError, match=r"about [\d,]+ lines long, more than 3,000: choose steps .* as JSON or CSV"):
        found.text()
    assert len(found.text(steps=[0, 49]).splitlines()) < 1500


@pytest.mark.parametrize("cell", CELLS)
def test_a_trace_catches_a_run_whose_numbers_do_not_sum(cell, monkeypatch):
    model, x, y = random_case([CELLS[cell](3), Dense(1)], 4, 2, 5)
    honest = cells.Opened.slope
    monkeypatch.setattr(cells.Opened, "slope", lambda self, y, gate=False: 1.01 * honest(self, y, gate))
    with pytest.raises(ArithmeticError, match="da: the terms do not sum to the run's numbers"):
        nbrnn.trace(model, x, y)


# ---------------------------------------------------------------- what is refused


def test_bad_inputs_are_refused():
    model = read_model(MLM)
    for x, y, sentence in [
        (np.zeros((2, 3, 1)), None, r"follows one sample, but x holds 2: give one of them, such as x\[0\]"),
        ([1, 2], None, "x has 2 time steps, but the model was built for 3"),
        ([1, 2, 3], [1, 2], r"y has shape \(2,\), but the output for this sample has shape \(1,\)"),
        ([1, 2, 3], "four", "y must hold real numbers only"),
        ("abc", None, "x must hold real numbers only"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            nbrnn.trace(model, x, y)
    bare = nbrnn.Sequential([SimpleRNN(2)], input_shape=(3, 1))
    with pytest.raises(ValueError, match=r"has no loss yet: call compile\(\) first"):
        nbrnn.trace(bare, [1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="does not know its input_shape yet"):
        nbrnn.trace(nbrnn.Sequential([SimpleRNN(2)]), [1, 2, 3])
    found = nbrnn.trace(bare, [1, 2, 3])
    with pytest.raises(ValueError, match="steps must be from 0 to 2, not 3"):
        found.text(steps=[3])
    with pytest.raises(ValueError, match="layer 'lstm' is unknown; known are simple_rnn"):
        found.text(layers=["lstm"])
    with pytest.raises(ValueError, match="digits must be a whole number"):
        found.text(digits=0)
    with pytest.raises(ValueError, match="digits must be at most 17"):
        found.text(digits=60)
    for arguments in ({"steps": 2}, {"layers": []}, {"layers": "simple_rnn"}):
        with pytest.raises(ValueError, match="must be a list of at least one"):
            found.text(**arguments)
    with pytest.raises(ValueError, match="numbers overflow: the first that is not finite stands in the loss"):
        nbrnn.trace(model, [1e300, 1e300, 1e300], 4)
    with pytest.raises(ValueError, match=r"x has shape \(3, 2, 2, 1\), but one sample of the model has shape \(3, 1\)"):
        nbrnn.trace(model, np.zeros((3, 2, 2, 1)))
    with pytest.raises(ValueError, match="model must be a model such as"):
        nbrnn.trace(None, [1, 2, 3])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1", "is not JSON"),
        ("[1]", 'must hold an object with "layers"'),
        ('{"layers": [], "units": 3}', "but no 'units'"),
        ('{"layers": ["rnn"]}', "a layer looks like"),
        ('{"layers": [{"class": "RNN"}]}', "class 'RNN' is unknown"),
        ('{"layers": [{"class": "GRU", "unit": 2}], "input_shape": [3, 1]}', "GRU: got an unexpected .* 'unit'"),
        ('{"layers": [{"class": "GRU", "units": 2}], "input_shape": [3, 1], "weights": [1]}', "a list of 3 arrays"),
        ('{"layers": [{"class": "GRU", "units": 0}], "input_shape": [3, 1]}', "units must be a whole number"),
    ],
)
def test_a_wrong_model_in_json_is_refused(tmp_path, content, sentence):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        read_model(tmp_path / "m.json")


# ---------------------------------------------------------------- the command


def run(*arguments):
    return CliRunner().invoke(main, ["trace", *map(str, arguments)])


def test_the_command_prints_the_published_numbers():
    done = run("--digits", 10)
    assert done.exit_code == 0
    shown = {label: float(value) for label, _, value in rows(done.output)}
    hidden = [float(value) for label, _, value in rows(done.output) if label == "h"]
    np.testing.assert_allclose(
        hidden, [0.18662322, -1.23694587, -0.07471441, -3.64187904, -1.30195881, -6.84172557], atol=1e-6
    )
    wanted = {
        "y": -3.8698122919, "dW[1,1]": 20.4923434493, "dW[2,1]": 107.6861955404, "dWx[1,1]": 57.3168436853,
        "dWx[1,2]": -40.594126838, "dWh[1,1]": 1.5868809615, "dWh[1,2]": -0.2297678111, "dWh[2,1]": -40.7057794592,
        "dWh[2,2]": 44.0985643947,
    }  # fmt: skip
    for name, value in wanted.items():
        assert math.isclose(shown[name], value, rel_tol=1e-6)
    biases = [float(value) for label, _, value in rows(done.output) if label == "db[1]"]
    assert biases[0] == pytest.approx(31.2986419163)


def test_the_command_takes_files_and_writes_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, _, _ = random_case([GRU(2), Dense(1)], 3, 2, 1)
    model.save("m.safetensors")
    (tmp_path / "rows.csv").write_text("a,b\n1,0.1\n2,0.2\n3,0.3\n")
    typed = run("m.safetensors", "--sequence", "1,.1; 2,.2; 3,.3", "--target", "0.5", "--check")
    assert typed.exit_code == 0 and "passed" in typed.output
    assert run("m.safetensors", "--sequence", "rows.csv", "--target", 0.5, "--check").output == typed.output
    assert "step 2" in run("m.safetensors", "--sequence", "rows.csv", "--steps", 2, "--layers", "gru").output
    done = run("m.safetensors", "--sequence", "rows.csv", "--target", 0.5, "--out", "here")
    assert done.exit_code == 0 and "into the folder here" in done.output
    assert {p.name for p in (tmp_path / "here").iterdir()} == {"trace.json", "trace.csv"}
    assert "step 4" in run("--sequence", "1,2,3,4", "--target", 1).output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing.json",), "there is no model file nothing.json"),
        ((MLM,), "give the model its input: --sequence 1,2,3"),
        (("--sequence", "1,2,x"), "--sequence must be numbers such as 1,2,3 and there is no such file, not '1,2,x'"),
        (("--target", "four"), "--target must be numbers such as 1,2,3, not 'four'"),
        (("--target", "1,2"), "y has shape (2,), but the output for this sample has shape (1,)"),
        (("--steps", "0"), "--steps must be whole numbers from 1 on, such as 1,2, not '0'"),
        (("--steps", "9"), "--steps must be from 1 to 3, not 9"),
        (("--layers", "gru"), "layer 'gru' is unknown"),
        (("--sequence", "1,2;3,4"), "x has 2 features, but the model was built for 1"),
        (("--sequence", ",".join(["1"] * 400), "--target", 1), "would be about"),
    ],
)
def test_a_users_mistake_is_one_sentence(arguments, sentence):
    done = run(*arguments)
    assert done.exit_code == 2 and sentence in done.output and "Traceback" not in done.output
