"""Functional models: graphs of several inputs and outputs, shared layers, and what they keep."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from support import random_data, random_weights, seeds
from table import GRAPHS, data, one
from test_bad_input import refused

import nbrnn
from nbrnn import GRU, LSTM, Activation, Add, Concatenate, Dense, Flatten, Input, Model, SimpleRNN, Softmax
from nbrnn.targets import cpu


def made(name):
    return Model(*GRAPHS[name](), dtype="float64")


def exact(model, seed=0, samples=3):
    """Check a model's gradients with random weights, of its outputs and of a loss."""
    random_weights(model, seed, 0.4)
    xs, ys = data(model, samples, seed)
    report = nbrnn.check_gradients(model, one(xs), seed=seed)
    assert report.passed, f"\n{report}"
    model.compile("sgd", "mse", loss_weights=[0.3, 1.7][: len(ys)] if len(ys) < 3 else None)
    report = nbrnn.check_gradients(model, one(xs), one(ys), seed=seed)
    assert report.passed, f"\n{report}"
    return report


# ---------------------------------------------------------------- what it computes


def test_a_chain_of_values_is_the_sequential_model_bit_for_bit():
    a = Input((6, 2))
    graph = Model(a, Dense(2)(LSTM(5)(GRU(4, return_sequences=True)(a))), seed=3, name="m")
    chain = nbrnn.Sequential([GRU(4, return_sequences=True), LSTM(5), Dense(2)], (6, 2), seed=3, name="m")
    x, y = random_data(chain, 40, 1)
    for model in (graph, chain):
        model.compile("adam", "mse", ["mae"])
    assert str(graph.program(8)) == str(chain.program(8)) and graph.graph.is_chain
    ours, theirs = (model.fit(x, y, epochs=3, batch_size=16, verbose=0).history for model in (graph, chain))
    assert ours == theirs and (graph.predict(x) == chain.predict(x)).all()
    assert all((v == w).all() for v, w in zip(graph.get_weights(), chain.get_weights(), strict=True))


def test_joining_features_and_joining_in_time_are_both_senses_of_catenate():
    ports = [Input((50, 1), name) for name in "abc"]
    features = Model(ports, Concatenate()(ports), seed=0)
    again = [Input((50, 1), name) for name in "abc"]
    time = Model(again, Concatenate(axis=1)(again), seed=0)
    xs, _ = data(features)
    assert features.output_shape == (50, 3) and time.output_shape == (150, 1)
    assert (features.predict(xs) == np.concatenate(xs, axis=-1)).all()
    assert (time.predict(dict(zip("abc", xs, strict=True))) == np.concatenate(xs, axis=1)).all()


def test_joins_give_numpys_numbers():
    a, b, c = Input((2, 3), "a"), Input((4, 3), "b"), Input((2, 3), "c")
    model = Model([a, b, c], [Concatenate(axis=-2)([a, b]), Add()([a, c, a]), Concatenate(2)([a, c])], dtype="float64")
    (x, y, z), _ = data(model)
    longer, total, wider = model.predict([x, y, z])
    assert (longer == np.concatenate([x, y], 1)).all() and (wider == np.concatenate([x, z], 2)).all()
    np.testing.assert_allclose(total, x + z + x, rtol=1e-15)


@pytest.mark.parametrize("activation", [*nbrnn.layers.ACTIVATIONS, "softmax"])
@pytest.mark.parametrize("shape", [(5,), (3, 17)])
def test_activation_is_what_dense_applies(activation, shape):
    a = Input(shape)
    exact(Model(a, Dense(2)(Activation(activation)(Dense(9)(a))), seed=1, dtype="float64"))
    layer = Activation(activation)
    model = nbrnn.Sequential([layer], shape, dtype="float64")
    x, _ = random_data(model, 3, 4)
    if activation == "softmax":
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        np.testing.assert_allclose(model.predict(x), powers / powers.sum(axis=-1, keepdims=True), rtol=1e-13)
        return
    dense = nbrnn.Sequential([Dense(shape[-1], activation, use_bias=False)], shape, dtype="float64")
    dense.set_weights([np.eye(shape[-1])])
    np.testing.assert_allclose(model.predict(x), dense.predict(x), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_large_numbers_is_finite(dtype):
    model = nbrnn.Sequential([Softmax()], (3,), dtype=dtype)
    x = np.array([[1e4, 1e4, -1e4], [-1e30, 0, 5], [3, 3, 3]], dtype)
    shares = model.predict(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[0], [0.5, 0.5, 0])


# ---------------------------------------------------------------- gradients


@pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
def test_gradients_of_a_graph_in_shards_are_exact():
    exact(made("skip"), samples=33)


CELLS = {
    "SimpleRNN": lambda: SimpleRNN(3, return_sequences=True),
    "LSTM": lambda: LSTM(3, return_sequences=True),
    "GRU": lambda: GRU(3, return_sequences=True),
    "GRU, reset before": lambda: GRU(3, return_sequences=True, reset_after=False),
    "Dense": lambda: Dense(3, "tanh"),
    "Bidirectional": lambda: nbrnn.Bidirectional(GRU(3, return_sequences=True, reset_after=False), "sum"),
    "TimeDistributed": lambda: nbrnn.TimeDistributed(Dense(3, "tanh")),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_that_is_called_thrice_shares_its_weights(cell):
    a, b = Input((3, 3), "a"), Input((2, 3), "b")
    layer = CELLS[cell]()
    model = Model([a, b], [layer(layer(a)), layer(b)], dtype="float64")
    once = nbrnn.Sequential([CELLS[cell]()], (3, 3), dtype="float64")
    assert model.count_params() == once.count_params() and len(model.layers) == 1
    exact(model)
    once.set_weights(model.get_weights())
    (x, z), _ = data(model)
    twice, other = model.predict([x, z])
    np.testing.assert_allclose(twice, once.predict(once.predict(x)), rtol=1e-13)
    assert other.shape == (3, 2, 3)


def test_a_large_shared_layer_in_parts_and_shards():
    a = Input((4, 64))
    layer = LSTM(64, return_sequences=True)
    model = random_weights(Model(a, Dense(1)(layer(layer(a))), dtype="float64"), 0, 0.1)
    stacked = nbrnn.Sequential(
        [LSTM(64, return_sequences=True) for _ in range(2)] + [Dense(1)], (4, 64), dtype="float64"
    )
    weights = model.get_weights()
    stacked.set_weights([*weights[:3], *weights[:3], *weights[3:]])
    x, y = random_data(stacked, 70, 2)
    for each in (model, stacked):
        each.compile(nbrnn.SGD(0.5), "mse")
        each.train_on_batch(x, y)
    steps = [after - before for after, before in zip(stacked.get_weights()[:6], [*weights[:3]] * 2, strict=True)]
    for k in range(3):
        moved = model.get_weights()[k] - weights[k]
        np.testing.assert_allclose(moved, steps[k] + steps[k + 3], rtol=0, atol=1e-12 * np.abs(moved).max() + 1e-15)


@st.composite
def graphs(draw):
    """Draw a graph: sequences and vectors that any later layer may read, one or more times."""
    inputs = [Input((3, draw(st.sampled_from((1, 2)))), f"in{k}") for k in range(draw(st.integers(1, 3), "inputs"))]
    values, read, shared = list(inputs), set(), Dense(2, "tanh")

    def take(options):
        value = draw(st.sampled_from(options))
        read.add(value)
        return value

    for _ in range(draw(st.integers(1, 4), "layers")):
        sequences = [v for v in values if len(v.shape) == 2]
        kind = draw(
            st.sampled_from(("recurrent", "dense", "both ways", "concatenate", "time", "add", "softmax", "flatten"))
        )
        if kind in ("recurrent", "both ways"):
            cell = draw(st.sampled_from((SimpleRNN, LSTM, GRU)))(2, return_sequences=draw(st.booleans()))
            if kind == "both ways":
                merge = draw(st.sampled_from(("concat", "sum", "ave", "mul")))
                cell = nbrnn.Bidirectional(cell, merge)
            made = cell(take(sequences))
        elif kind in ("concatenate", "time", "add"):
            first = take(sequences if kind == "time" else values)
            if kind == "concatenate":
                fit = [v for v in values if v.shape[:-1] == first.shape[:-1]]
            elif kind == "time":
                fit = [v for v in sequences if v.shape[-1] == first.shape[-1]]
            else:
                fit = [v for v in values if v.shape == first.shape]
            layer = Add() if kind == "add" else Concatenate(axis=1 if kind == "time" else -1)
            made = layer([first, take(fit)])
        elif kind == "flatten":
            made = Flatten()(take(values))
        else:
            made = (Softmax() if kind == "softmax" else Dense(2, draw(st.sampled_from(("tanh", "linear")))))(
                take(values)
            )
        values.append(made)
    narrow = [v for v in values if v.shape[-1] == 2]
    for value in draw(st.lists(st.sampled_from(narrow), max_size=2, unique=True)) if narrow else []:
        read.add(value)
        values.append(shared(value))
    return Model(inputs, [Dense(1)(v) if v in inputs else v for v in values if v not in read], dtype="float64")


@settings(max_examples=25)
@given(model=graphs(), seed=seeds)
def test_gradients_of_random_graphs_are_exact(model, seed):
    random_weights(model, seed, 0.4)
    xs, ys = data(model, 2, seed)
    nbrnn.testing.assert_gradients(model, one(xs))
    model.compile("sgd", "mse")
    nbrnn.testing.assert_gradients(model, one(xs), one(ys))


# ---------------------------------------------------------------- fit, evaluate, predict


def test_losses_weights_and_metrics_by_output():
    model = made("two_out")
    x, (steps, last) = data(model, 40)
    model.compile("adam", {"steps": "mae", "last": "mse"}, {"last": ["mae", "rmse"]}, {"steps": 0.25})
    assert model.metrics_names == ["loss", "steps_loss", "last_loss", "last_mae", "last_rmse"]
    outputs = model.predict(x[0])
    assert list(outputs) == ["steps", "last"]
    found = model.evaluate(x[0], {"last": last, "steps": steps}, return_dict=True)
    mae, mse = np.abs(outputs["steps"] - steps).mean(), ((outputs["last"] - last) ** 2).mean()
    assert found["steps_loss"] == pytest.approx(mae) and found["last_loss"] == pytest.approx(mse)
    assert found["loss"] == pytest.approx(0.25 * mae + mse) and found["last_rmse"] == pytest.approx(mse**0.5)
    history = model.fit(x[0], [steps, last], epochs=2, validation_split=0.25, verbose=0).history
    assert list(history) == [*model.metrics_names, *(f"val_{name}" for name in model.metrics_names)]
    assert isinstance(model.train_on_batch(x[0], [steps, last]), list)


def test_an_output_without_a_loss_is_not_trained_on():
    a = Input((4,))
    h = Dense(3, "tanh")(a)
    model = Model(a, {"used": Dense(1)(h), "spare": Dense(2, name="spare")(h)}, seed=0, dtype="float64")
    model.compile(nbrnn.SGD(0.1, momentum=0.9), {"used": "mse"})
    x, (used, _) = data(model, 20)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.fit(x[0], {"used": used}, epochs=3, verbose=0)
    after = {layer.name: layer.get_weights() for layer in model.layers}
    assert all((v == w).all() for v, w in zip(before["spare"], after["spare"], strict=True))
    assert not any(
        (v == w).all() for name in ("dense", "dense_1") for v, w in zip(before[name], after[name], strict=True)
    )
    assert "spare" not in "".join(c.layer for c in model.program().calls if "backward" in c.kernel)
    assert nbrnn.check_gradients(model, x[0][:2], {"used": used[:2]}).passed


def test_inputs_come_as_a_list_or_by_name_and_windows_are_read_where_they_lie():
    model = random_weights(made("two_in"), 1)
    rows = np.random.default_rng(0).normal(size=(50, 3))
    windows = np.lib.stride_tricks.sliding_window_view(rows, 4, axis=0).swapaxes(1, 2)
    x, z = windows[..., :2], windows[..., 2:]
    expected = model.predict([np.ascontiguousarray(x), np.ascontiguousarray(z)])
    assert (model.predict({"b": z, "a": x}) == expected).all()
    model.compile("sgd", "mse")
    y = np.ones((47, 2))
    executor = model._executor("evaluate", *model._pair([x, z], y), 8)
    assert executor.arrays["x"].ctypes.data == x.ctypes.data and executor.arrays["x:1"].ctypes.data == z.ctypes.data
    whole = model.evaluate([x, z], y)
    assert whole == pytest.approx(np.mean((expected - 1) ** 2))


def test_carried_and_given_states_have_the_names_of_their_layers():
    a, b = Input((3, 2), "a"), Input((3, 1), "b")
    model = random_weights(Model([a, b], Concatenate()([LSTM(2)(a), GRU(3)(b)]), seed=0, dtype="float64"), 0)
    xs, _ = data(model)
    states = {"lstm/h": np.ones((3, 2)), "lstm/c": -np.ones((3, 2)), "gru/h": np.full((3, 3), 0.5)}
    assert not np.allclose(model.predict(xs), model.predict(xs, initial_state=states))
    c, d = Input((3, 2), "c"), Input((3, 1), "d")
    carried = Model([c, d], Concatenate()([LSTM(2, stateful=True)(c), GRU(3)(d)]), dtype="float64")
    carried.set_weights(model.get_weights())
    carried.set_states({name: states[name] for name in ("lstm/h", "lstm/c")})
    expected = model.predict(xs, initial_state=states | {"gru/h": np.zeros((3, 3))})
    assert (carried.predict(xs) == expected).all() and list(carried.states) == ["lstm/h", "lstm/c"]


def test_the_program_of_two_inputs_has_a_block_for_each(capsys):
    model = made("two_in")
    text = str(model.program(2, "predict"))
    assert "x a(4,2,2)" in text and "x b(4,2,1)" in text and "x:1 " in text
    model.compile("adam", "mse")
    assert model.memory(8, samples=100)["inputs"] == 100 * 4 * 3 * 8
    model.summary(kernels=True)
    shown = capsys.readouterr().out
    assert "reads a, b" in shown and "put_columns x 2" in shown and "b (Input)" in shown


# ---------------------------------------------------------------- keeping


@pytest.mark.parametrize("name", ["two_in", "two_out", "skip", "in_time", "mixed"])
def test_a_graph_is_saved_and_loaded_and_copied(name, tmp_path):
    model = random_weights(made(name), 5)
    xs, ys = data(model)
    loss = "mse" if len(ys) == 1 else ["mse", nbrnn.Huber(0.3)]
    model.compile("adam", loss, None if len(ys) > 1 else ["mae"])
    model.fit(one(xs), one(ys), verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = nbrnn.load_model(tmp_path / "m.safetensors")
    twin = copy.deepcopy(model)
    assert isinstance(loaded, Model) and loaded.graph.output_names == model.graph.output_names
    outputs = model.predict(one(xs))
    for other in (loaded, twin):
        again = other.predict(one(xs))
        assert type(again) is type(outputs)
        pairs = zip(*(list(o.values()) if isinstance(o, dict) else o for o in (outputs, again)), strict=True)
        assert all((v == w).all() for v, w in pairs)
        assert other.evaluate(one(xs), one(ys)) == model.evaluate(one(xs), one(ys))


def test_a_file_whose_values_run_in_a_circle_is_refused(tmp_path):
    model = made("two_in")
    path = tmp_path / "m.safetensors"
    model.save(path)
    with safe_open(path, "np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert metadata["version"] == "2"
    for sources, words in (([1, 3], "circle"), ([0, -1], "circle"), ([0, 0], "not used"), ([0], "list of two")):
        config = json.loads(metadata["config"])
        config["model"]["nodes"][0][1] = sources
        save_file(tensors, path, metadata | {"config": json.dumps(config)})
        refused(lambda: nbrnn.load_model(path), "contradicts itself", words)


def test_a_stream_of_a_graph_gives_the_steps_of_predict():
    a = Input((None, 2))
    h = LSTM(3, return_sequences=True)(a)
    out = Dense(2)(Concatenate()([h, a, Add()([h, nbrnn.TimeDistributed(Dense(3, "tanh"))(h)])]))
    model = random_weights(Model(a, Activation("softmax")(out), dtype="float64"), 3)
    rows = np.random.default_rng(0).normal(size=(7, 2))
    np.testing.assert_allclose(model.stream().run(rows), model.predict(rows[None])[0], rtol=1e-13)
    refused(lambda: made("in_time").stream(), "inputs a, b", "cannot be streamed")
