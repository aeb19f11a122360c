"""Traces of masked steps, of both directions, of graphs and of outputs that are fed back."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from support import assert_close, random_model, random_weights
from table import CELLS, ROWS, data, one
from test_tracing import lines_that_hold

import nbrnn
from nbrnn import GRU, LSTM, Add, Bidirectional, Concatenate, Dense, Feedback, Input, Masking, SimpleRNN, Softmax
from nbrnn.cli import main
from nbrnn.tracing import cells, plain


def traced(name, **more):
    """Return the trace of a row of the table."""
    model = ROWS[name].model()
    model.compile("sgd", "mse")
    x, y = data(model, 1)
    return nbrnn.trace(model, one(x), one(y), **ROWS[name].given(x), **more)


def stacked(layer, name, back=False):
    return np.array([step[name] for step in (layer.backward if back else layer.steps)])


PRINTED = [
    n
    for n in ROWS
    if any(word in n for word in ("masked", "Masking", "graph", "Feedback", "Jordan", "softmax")) and not ROWS[n].trace
]
PRINTED += ["Bidirectional LSTM mul sequences", "Bidirectional GRU concat ", "TimeDistributed Dense", "Softmax"]


@pytest.mark.parametrize("name", PRINTED)
def test_the_arithmetic_of_every_printed_line_holds(name):
    found = traced(name)
    text = found.text(digits=12)
    units = [len(layer.steps) * layer.layer.units for layer in found.layers if layer.weights and "own" not in name]
    assert lines_that_hold(text) >= sum(units) / 2
    assert all(f"forward: {layer.name} " in text and f"backward: {layer.name} " in text for layer in found.layers)


# ---------------------------------------------------------------- masked steps


@pytest.mark.parametrize("every", (False, True))
@pytest.mark.parametrize("backwards", (False, True))
@pytest.mark.parametrize("kind", CELLS)
def test_masked_steps_hold_and_the_others_are_those_of_the_sequence_without_them(kind, backwards, every):
    layers = lambda: [CELLS[kind](3, return_sequences=every, go_backwards=backwards), Dense(2, "tanh")]
    model, short = random_model(layers(), (5, 2), 3), random_model(layers(), (3, 2), 3)
    rng, mask = np.random.default_rng(0), np.array([True, False, True, True, False])
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2) if every else 2)
    states = {name: rng.normal(size=(1, units)) for name, units in model._units().items()}
    for m in (model, short):
        m.compile("sgd", "mse")
    found = nbrnn.trace(model, x, y, mask=mask, initial_state=states)
    taken = mask[::-1] if backwards else mask
    known = nbrnn.trace(short, x[mask], y[taken] if every else y, initial_state=states)
    rnn, alone = found.layers[0], known.layers[0]
    if not (every and backwards):  # there the targets of the steps are others
        for name, total in known.totals.items():
            assert_close(found.totals[name][mask] if name == "x" else found.totals[name], total, 1e-12, name)
    assert [step.masked for step in rnn.steps] == [step.masked for step in rnn.backward] == (~taken).tolist()
    numbers = iter(alone.steps)
    for step, back in zip(rnn.steps, rnn.backward, strict=True):
        if not step.masked:
            same = next(numbers)
            assert step.names == same.names
            assert all(np.allclose(step[name], same[name], rtol=1e-12) for name in step.names)
            continue
        assert set(step.names) == {"x", *(f"{s}{end}" for s in rnn.layer.states for end in ("", "_prev"))}
        assert all((step[s] == step[f"{s}_prev"]).all() for s in rnn.layer.states)
        assert_close(back.dh_prev, back.dh_loss + back.dh_future, 1e-15)
        assert not any(back[name].any() for name in ("da", "dx", "dWx", "dWh", "db"))
        assert "masked" in repr(step)
    assert (stacked(rnn, "x") == (x[::-1] if backwards else x)).all()
    for name in rnn.layer.states:
        assert_close(stacked(rnn, name)[:-1], stacked(rnn, f"{name}_prev")[1:], 0)
    if kind == "LSTM":
        assert_close(stacked(rnn, "dc_future", True)[:-1], stacked(rnn, "dc_prev", True)[1:], 1e-13)
        assert_close(stacked(rnn, "dc_prev", True)[~taken], stacked(rnn, "dc", True)[~taken], 0)
    assert_close(stacked(rnn, "dh_future", True)[:-1], stacked(rnn, "dh_prev", True)[1:], 1e-13)


def test_files_and_the_text_say_which_steps_are_masked():
    model = random_model([LSTM(2), Dense(1)], (4, 1), 1)
    model.compile("sgd", "mse")
    found = nbrnn.trace(model, [1, 2, 3, 4], 0.5, lengths=3)
    kept = json.loads(found.to_json())["layers"][0]
    assert [step.get("masked", False) for step in kept["steps"]] == [False, False, False, True]
    assert kept["backward"][3]["masked"] and kept["steps"][3]["h"] == found.steps[3].h.tolist()
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    marks = [(line["pass"], line["step"], line["value"]) for line in lines if line["quantity"] == "masked"]
    assert marks == [("forward", "4", "1"), ("backward", "4", "1")]
    text = str(found)
    assert "lstm: LSTM, 2 units, 4 steps, 1 masked" in text and text.count("masked: c stays (") == 1
    assert text.count("masked: what comes back to the states goes on to the step before") == 1
    plain_text = str(nbrnn.trace(model, [1, 2, 3, 4], 0.5))
    assert "masked" not in plain_text and '"masked"' not in nbrnn.trace(model, [1, 2, 3, 4], 0.5).to_json()


def test_a_layer_without_a_step_that_counts_holds_its_first_states():
    for name in ("masked LSTM last", "own OwnLSTM masked", "own MinGRU masked"):
        model = ROWS[name].model()
        model.compile("sgd", "mse")
        x, y = data(model, 1)
        states = {name: np.full((1, units), 0.3) for name, units in model._units().items()}
        found = nbrnn.trace(model, x[0], y[0], mask=[False] * 4, initial_state=states)
        assert all((step.h == 0.3).all() and step.masked for step in found.layers[0].steps)
        assert not any(total.any() for total in found.layers[0].totals.values())
        assert_close(found.output, model.predict(x[0], mask=[[False] * 4], initial_state=states)[0], 1e-13)


def test_the_masking_layer_shows_what_it_masks():
    model = random_model([Masking(-1.0), GRU(2), Dense(1)], (3, 2), 1)
    found = nbrnn.trace(model, [[1, 2], [-1, -1], [-1, 3]])
    assert [step.masked for step in found.layers[0].steps] == [False, True, False]
    assert [step.y.tolist() for step in found.layers[0].steps] == [[1, 2], [0, 0], [-1, 3]]
    assert "a step whose features all are -1 is masked" in str(found) and "masked: y is (0, 0)" in str(found)


# ---------------------------------------------------------------- both directions, graphs


@pytest.mark.parametrize("mode", ("concat", "sum", "ave", "mul"))
@pytest.mark.parametrize("every", (False, True))
def test_both_directions_are_layers_in_the_order_of_their_steps(mode, every):
    model = random_model([Bidirectional(LSTM(2, return_sequences=every), mode), Dense(1)], (3, 2), 2)
    model.compile("sgd", "mse")
    x = np.random.default_rng(1).normal(size=(3, 2))
    found = nbrnn.trace(model, x, np.ones((3, 1)) if every else 1.0)
    first, second, merged, dense = found.layers
    names = [f"bidirectional/{side}_lstm" for side in ("forward", "backward")]
    assert [layer.name for layer in found.layers] == [*names, "bidirectional", "dense"]
    assert [layer.reads for layer in found.layers] == [["x"], ["x"], names, ["bidirectional"]]
    assert (stacked(first, "x") == x).all() and (stacked(second, "x") == x[::-1]).all()
    y, z = stacked(first, "h"), stacked(second, "h")[::-1] if every else stacked(second, "h")
    y, z = (y, z) if every else (y[-1:], z[-1:])
    joined = {"concat": np.concatenate([y, z], 1), "sum": y + z, "ave": (y + z) / 2, "mul": y * z}[mode]
    assert_close(stacked(merged, "y"), joined, 1e-15)
    assert_close(stacked(dense, "x"), joined, 1e-15)
    assert not merged.weights and set(first.totals) == {"dWx", "dWh", "db"}
    assert_close(first.totals["dWh"], found.totals["bidirectional/forward_lstm/recurrent_kernel"], 0)
    with pytest.raises(ValueError, match="has 2 recurrent layers; choose a layer"):
        _ = found.steps
    assert "each" not in str(found) and f"forward: {names[1]}" in found.text(layers=[names[1]])


def two_calls():
    a, b = Input((3, 2), "left"), Input((3, 2), "right")
    cell, top = GRU(2), Dense(1)
    y, z = cell(a), cell(b)
    outputs = {"one": top(Concatenate()([y, z])), "two": Softmax()(Add()([y, z])), "state": z}
    return random_weights(nbrnn.Model([a, b], outputs, seed=1, dtype="float64"), 1)


def test_each_call_of_a_shared_layer_is_a_layer_whose_totals_sum_to_the_runs():
    model = two_calls()
    model.compile("sgd", {"one": "mse", "two": "categorical_crossentropy"}, loss_weights={"one": 0.3})
    rng = np.random.default_rng(0)
    x, y = {"left": rng.normal(size=(3, 2)), "right": rng.normal(size=(3, 2))}, {"one": 1.0, "two": [0, 1]}
    found = nbrnn.trace(model, x, y)
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["gru"].reads == ["left"] and by_name["gru:2"].reads == ["right"]
    assert by_name["gru:2"].gives == ["state"] and by_name["softmax"].gives == ["two"]
    for d, weight in (("dWx", "kernel"), ("dWh", "recurrent_kernel"), ("db", "bias")):
        parts = [by_name[name].totals[d] for name in ("gru", "gru:2")]
        assert all(part.any() for part in parts)
        assert_close(sum(parts), found.totals[f"gru/{weight}"], 1e-12)
    assert found.output.keys() == {"one", "two", "state"} and found.target.keys() == found.slopes.keys() == {
        "one",
        "two",
    }
    assert found.x["left"].shape == found.totals["x left"].shape == (3, 2)
    batch = [x["left"][None], x["right"][None]]
    assert found.loss == pytest.approx(model.evaluate(batch, {"one": [1.0], "two": [[0, 1]]})[0], rel=1e-12)
    assert_close(found.slopes["one"], 0.3 * 2 * (found.output["one"] - 1.0), 1e-14)
    listed = nbrnn.trace(model, list(x.values()), [1.0, [0, 1], None])
    assert listed.to_json() == found.to_json()
    kept = json.loads(found.to_json())
    assert kept["output"].keys() == found.output.keys() and kept["x"]["left"] == x["left"].tolist()
    assert kept["loss"] == {"name": "mse + categorical_crossentropy", "value": found.loss}
    assert [layer["reads"] for layer in kept["layers"]] == [layer.reads for layer in found.layers]
    text = str(found)
    assert "gru:2: GRU, 2 units, 3 steps; reads right" in text and "  o two = (" in text and "dL/do one = (" in text
    assert "of this call; the run's gradient is the sum over gru, gru:2" in text
    assert nbrnn.trace(model, x, y, numeric=True).numeric.passed


def test_what_reads_a_value_hands_down_the_gradient_that_it_gets():
    """A state that is an output, is added and goes through a layer gets the sum of all three."""
    a = Input((4, 2))
    h = SimpleRNN(2, return_sequences=True)(a)
    outputs = [h, Add()([h, LSTM(2, return_sequences=True)(h)])]
    model = random_weights(nbrnn.Model(a, outputs, seed=1, dtype="float64"), 1)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    found = nbrnn.trace(model, rng.normal(size=(4, 2)), [rng.normal(size=(4, 2)) for _ in outputs])
    rnn, lstm, add = found.layers
    own = stacked(lstm, "dx", True) + stacked(add, "dx1", True) + found.slopes["simple_rnn"]
    assert_close(stacked(rnn, "dh_loss", True), own, 1e-13)
    assert "handed down by the loss, lstm, add" in str(found).replace("\n", " ")


def test_outputs_that_are_fed_back_are_what_the_next_step_sees():
    model = random_model([Feedback([LSTM(3), Dense(2)], 2)], (4, 1), 1)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    before = rng.normal(size=(1, 4))
    states = {name: before if name == "feedback/y" else np.zeros((1, n)) for name, n in model._units().items()}
    found = nbrnn.trace(model, rng.normal(size=4), rng.normal(size=(4, 2)), initial_state=states)
    frame, lstm, dense = found.layers
    y = stacked(dense, "y")
    rows = np.concatenate([before[0].reshape(2, 2)[::-1], y])  # the oldest first
    seen = np.concatenate([rows[1:-1], rows[:-2]], axis=1)
    assert_close(stacked(frame, "x2"), seen, 0)
    assert_close(stacked(lstm, "x"), stacked(frame, "y"), 0)
    assert frame.reads == ["x", "feedback/dense"] and dense.gives == ["feedback"]
    later = np.zeros((4, 2))
    later[:3] += stacked(frame, "dx2", True)[1:, :2]
    later[:2] += stacked(frame, "dx2", True)[2:, 2:]
    assert_close(stacked(dense, "dy", True), found.slopes["feedback"] + later, 1e-13)


def test_a_softmax_of_a_dense_layer_is_shown():
    found = traced("Dense softmax")
    powers = np.exp(stacked(found.layers[1], "a"))
    assert_close(stacked(found.layers[1], "y"), powers / powers.sum(-1, keepdims=True), 1e-15)
    assert "y_j = exp(a_j) / (exp(a_1) + exp(a_2) + ...)" in str(found)


# ---------------------------------------------------------------- what is caught, and refused


def scaled(function):
    """Return a function whose numbers are wrong by 1 %."""
    return lambda *arguments: [1.01 * part for part in function(*arguments)]


@pytest.mark.parametrize(
    ("name", "where", "attribute", "sentence"),
    [
        ("Bidirectional GRU sum sequences", plain.OpenedMerge, "parts", r"bidirectional: what .*forward_gru gets"),
        ("graph skip", plain.OpenedAdd, "parts", "the gradient that reaches"),
        ("graph in_time", plain.OpenedConcatenate, "parts", "the gradient that reaches"),
        ("Feedback", plain.OpenedFeedback, "parts", "the gradient that reaches x"),
        ("masked GRU sequences", cells, "together", "dh: the terms do not sum"),
        ("Dense softmax", cells, "softmax_back", "the gradient that reaches dense: the terms"),
    ],
)
def test_numbers_that_do_not_sum_are_caught(name, where, attribute, sentence, monkeypatch):
    honest = getattr(where, attribute)
    wrong = scaled(honest) if attribute == "parts" else lambda *arguments: 1.01 * honest(*arguments)
    monkeypatch.setattr(where, attribute, wrong)
    with pytest.raises(ArithmeticError, match=sentence):
        traced(name)


def test_the_calls_of_a_shared_layer_are_summed(monkeypatch):
    honest = cells.outer
    seen = []
    monkeypatch.setattr(cells, "outer", lambda *a: honest(*a) * (1.01 if seen.append(0) or len(seen) == 1 else 1))
    with pytest.raises(ArithmeticError, match=r"gru/(recurrent_)?kernel: the terms do not sum"):
        traced("graph shared")


def test_what_does_not_fit_is_refused():
    model, rnn = two_calls(), random_model([GRU(2), Dense(1)], (3, 2), 1)
    model.compile("sgd", {"one": "mse", "two": "mse"})
    rnn.compile("sgd", "mse")
    x, y = {"left": np.ones((3, 2)), "right": np.ones((3, 2))}, {"one": 1, "two": [1, 2]}
    for arguments, options, sentence in [
        ((model, np.ones((3, 2))), {}, "x must be a dict or a list, one for each input"),
        ((model, {"left": x["left"]}), {}, "x lacks the input 'right'"),
        ((model, x | {"right": np.ones((2, 3, 2))}), {}, "but x of input 'right' holds 2"),
        ((model, x | {"right": np.ones((3, 2, 2, 2))}), {}, r"x of input 'right' has shape \(3, 2, 2, 2\)"),
        ((model, x | {"up": 1}), {}, "x names the input 'up'"),
        ((model, x, 1.0), {}, "y must be a dict or a list, one for each output"),
        ((model, x, {"one": 1}), {}, "y lacks the output 'two'"),
        ((model, x, y | {"two": [1, 2, 3]}), {}, r"y of output 'two' has shape \(3,\), but .* shape \(2,\)"),
        ((model, x, y), {"mask": {"up": [1, 1, 1]}}, "mask names the input 'up'"),
        ((model, x, y), {"mask": [[1, 1], None]}, "mask of input 'left' has shape"),
        ((rnn, x["left"], 1), {"mask": [1, 1]}, r"mask has shape \(1, 2\), but must have"),
        ((rnn, x["left"], 1), {"mask": [1, 0, 2]}, "mask must be True for each time step"),
        ((rnn, x["left"], 1), {"lengths": 4}, "lengths must be whole numbers from 1 to the 3 time steps"),
        ((rnn, x["left"], 1), {"lengths": 2, "mask": [1, 1, 0]}, "known already: give one of them"),
    ]:
        with pytest.raises(ValueError, match=sentence) as caught:
            nbrnn.trace(*arguments, **options)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match="the picture shows one output, but the model has one, two, state"):
        nbrnn.plot_unrolled(nbrnn.trace(model, x, y), "gru")


# ---------------------------------------------------------------- the command


def run(*arguments):
    return CliRunner().invoke(main, ["trace", *map(str, arguments)])


def test_the_command_takes_a_mask_and_several_inputs(tmp_path):
    held = run("--sequence", "1,2,3", "--mask", "1,0,1", "--target", 4)
    assert held.exit_code == 0 and "3 steps, 1 masked" in held.output and "masked: h stays (" in held.output
    model = two_calls()
    model.compile("sgd", {"one": "mse", "two": "mse"})
    model.save(tmp_path / "m.safetensors")
    sides = ["--sequence", "1,2;3,4;5,6", "--sequence", ".1,.2;.3,.4;.5,.6", "--mask", "1,1,0", "--mask", "1,1,1"]
    done = run(tmp_path / "m.safetensors", *sides, "--target", 1, "--target", "1,2", "--check")
    assert done.exit_code == 0 and "passed" in done.output and "gru:2" in done.output
    x = {"left": [[1, 2], [3, 4], [5, 6]], "right": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]}
    found = nbrnn.trace(model, x, {"one": 1, "two": [1, 2]}, mask={"left": [1, 1, 0], "right": [1, 1, 1]}, numeric=True)
    assert done.stdout == f"{found}\n"
    for arguments, sentence in [
        (sides[:2], "--sequence must be given for each of left, right, not 1 times."),
        (sides[:6], "--mask must be given for each of left, right, not 1 times."),
        ([*sides, "--target", 1], "--target must be given for each of one, two, not 1 times."),
        ([*sides[:4], "--mask", "1,1", "--mask", "1,1,1"], "mask of input 'left' has shape (1, 2)"),
        ([*sides[:4], "--mask", "1,x", "--mask", "1,1,1"], "--mask must be numbers such as 1,2,3, not '1,x'."),
    ]:
        done = run(tmp_path / "m.safetensors", *arguments)
        assert done.exit_code == 2 and sentence in done.output and "Traceback" not in done.output
