"""LSTM, GRU in both reset forms, and go_backwards: counts, gradients, and what happens at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, random_data, random_model

import nbrnn
from nbrnn.cases import Case, run_backward
from nbrnn.kernels.activations import ACTIVATIONS

LAYERS = {
    "SimpleRNN": lambda units, **o: nbrnn.SimpleRNN(units, **o),
    "LSTM": lambda units, **o: nbrnn.LSTM(units, **o),
    "GRU after": lambda units, **o: nbrnn.GRU(units, **o),
    "GRU before": lambda units, **o: nbrnn.GRU(units, reset_after=False, **o),
}
kinds = pytest.mark.parametrize("kind", LAYERS)


@pytest.mark.parametrize(
    ("layer", "features", "count"),
    [
        (nbrnn.GRU(10, reset_after=False), 1, 360),
        (nbrnn.GRU(10), 1, 390),
        (nbrnn.GRU(300, reset_after=False), 4, 274_500),
        (nbrnn.GRU(300), 4, 275_400),
        (nbrnn.LSTM(32), 8, 5248),
        (nbrnn.LSTM(32, use_bias=False), 8, 5120),
    ],
)
def test_parameters_are_as_many_as_the_lessons_say(layer, features, count):
    assert nbrnn.Sequential([layer], input_shape=(3, features)).count_params() == count


def test_the_forget_gate_begins_open_if_asked():
    for unit, expected in ((True, [0, 0, 1, 1, 0, 0, 0, 0]), (False, [0] * 8)):
        model = nbrnn.Sequential([nbrnn.LSTM(2, unit_forget_bias=unit)], input_shape=(3, 1), seed=0)
        assert model.get_weights()[2].tolist() == expected


@settings(max_examples=40)
@given(data=st.data())
def test_backpropagation_is_the_derivative(data):
    names = data.draw(st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=2), "layers")
    stack = []
    for k, name in enumerate(names):
        options = {
            "activation": data.draw(st.sampled_from(ACTIVATIONS), "activation"),
            "use_bias": data.draw(st.booleans(), "use_bias"),
            "go_backwards": data.draw(st.booleans(), "go_backwards"),
            "return_sequences": k + 1 < len(names) or data.draw(st.booleans(), "return_sequences"),
        }
        if name != "SimpleRNN":
            options["recurrent_activation"] = data.draw(st.sampled_from(ACTIVATIONS), "gate")
        stack.append(LAYERS[name](data.draw(st.sampled_from((1, 2, 3, 7, 8, 9)), "units"), **options))
    batch, steps, features = (data.draw(st.integers(1, n), name) for n, name in ((3, "B"), (5, "T"), (3, "D")))
    model = random_model(stack, (steps, features), seed=data.draw(st.integers(0, 99), "seed"), scale=0.3)
    x = random_data(model, batch, 1, steps)[0]
    report = nbrnn.check_gradients(model, x, tolerance=1e-11)
    assert report.passed, report


@kinds
def test_float32_gradients_are_near_the_float64_ones(kind):
    model = random_model([LAYERS[kind](17), nbrnn.Dense(1)], (9, 3), dtype="float64")
    model.compile("sgd", "mse")
    x, y = random_data(model, 6, 1, 9)
    exact = nbrnn.check_gradients(model, x, y).gradients
    start = model.get_weights()
    small = random_model([LAYERS[kind](17), nbrnn.Dense(1)], (9, 3), dtype="float32")
    small.set_weights(start)
    small.compile(nbrnn.SGD(1.0), "mse")
    small.train_on_batch(x, y)
    steps = [a - b for a, b in zip(start, small.get_weights(), strict=True)]
    weights = [exact[name] for layer in model.layers for name, _ in layer._named()]
    for step, gradient in zip(steps, weights, strict=True):
        assert abs(step - gradient).max() <= 1e-4 * abs(gradient).max()


@kinds
def test_going_backwards_is_reading_the_turned_sequence(kind):
    forward, backward = (
        random_model([LAYERS[kind](5, return_sequences=True, go_backwards=b)], (6, 2), seed=3) for b in (False, True)
    )
    x = random_data(forward, 4, 1, 6)[0]
    np.testing.assert_array_equal(backward.predict(x), forward.predict(np.ascontiguousarray(x[:, ::-1])))


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_and_tiny_inputs_give_no_nan(kind, dtype):
    model = random_model([LAYERS[kind](9, return_sequences=True)], (4, 2), dtype=dtype)
    for size in (1e30, 1e-40, 0.0):
        assert np.isfinite(model.predict(np.full((2, 4, 2), size))).all()


@kinds
def test_a_very_long_sequence(kind):
    model = random_model([LAYERS[kind](3, return_sequences=True), nbrnn.Dense(1)], (20_000, 1), dtype="float32")
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(1, 20_000, 1)).astype("f4")
    assert np.isfinite(model.train_on_batch(x, 0.5 * x))
    half = random_model([LAYERS[kind](3, return_sequences=True), nbrnn.Dense(1)], (50, 1), dtype="float32")
    half.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(x)[:, :50], half.predict(x[:, :50]))


@kinds
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    layer = LAYERS[kind](4, go_backwards=True, activation="softsign", use_bias=False)
    model = random_model([layer, nbrnn.Dense(2)], (5, 3), dtype="float32")
    model.save(tmp_path / "m.safetensors")
    x = random_data(model, 3, 1, 5)[0]
    loaded = nbrnn.load_model(tmp_path / "m.safetensors")
    assert repr(loaded.layers) == repr(model.layers)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


@pytest.mark.parametrize("kind", [nbrnn.LSTM, nbrnn.GRU])
def test_bad_arguments_are_named(kind):
    with pytest.raises(ValueError, match=r"recurrent_activation 'sigmod' is unknown \(did you mean 'sigmoid'\?\)"):
        kind(3, recurrent_activation="sigmod")
    with pytest.raises(ValueError, match="units must be a whole number of at least 1, not 0"):
        kind(0)
    with pytest.raises(ValueError, match="return_sequences=True"):
        nbrnn.Sequential([kind(3), kind(2)], input_shape=(4, 1))


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_packed_weights_give_the_same_bits_and_blocked_gradients_the_same_numbers(kind, dtype, monkeypatch):
    results = []
    for large in (4096, 10**9):
        monkeypatch.setattr(nbrnn.products, "LARGE", large)
        model = random_model([LAYERS[kind](65), nbrnn.Dense(70), nbrnn.Dense(1)], (3, 66), dtype=dtype, scale=0.1)
        model.compile("sgd", "mse")
        x, y = random_data(model, 37, 1, 3)
        prepare = model.program(37, steps=3).prepare
        packed = [c.kernel for c in prepare.calls].count("pack")
        assert packed >= 3 if large == 4096 else packed == 0
        forward = model.predict(x)
        model.train_on_batch(x, y)
        results.append((forward, model.get_weights()))
    assert (results[0][0] == results[1][0]).all()
    for packed, plain in zip(results[0][1], results[1][1], strict=True):
        assert_close(packed, plain, 1e-6 if dtype == "float32" else 1e-14)


@kinds
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_sequence_that_goes_back_in_parts_has_the_gradients_of_the_whole(kind, every, begun, monkeypatch):
    found = []
    for large in (1, 10**9):
        for module in (nbrnn.products, nbrnn.recurrent):
            monkeypatch.setattr(module, "LARGE", large)
        monkeypatch.setattr(nbrnn.recurrent, "DEPTH", 10)
        layers = [LAYERS[kind](5, return_sequences=True), LAYERS[kind](4, return_sequences=every)]
        model = random_model(layers, (7, 3))
        model.compile(loss="mse")
        model.optimizer = None
        x, y = random_data(model, 3, 1, 7)
        rng = np.random.default_rng(2)
        states = {name: rng.normal(size=(3, units)) for name, units in model._units().items()}
        case = Case(x, y, model._given(states, 3) if begun else None)
        calls = [c.kernel for c in case.executor(model, "train").plan.programs[3].calls]
        parts = 3 if large == 1 and kind != "GRU before" else 1
        assert calls.count("weight_gradient") == (6 if kind == "GRU before" else 4) * parts
        found.append(run_backward(model, case)[1])
    assert len(found[0]) == len(found[1]) >= 6
    for name, gradient in found[0].items():
        assert_close(gradient, found[1][name], 1e-13, name)
