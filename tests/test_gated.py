"""SimpleRNN, LSTM and GRU in both reset forms: counts, large weights, and what happens at the edges."""

import numpy as np
import pytest
from support import assert_close, random_data, random_model
from table import CELLS

import nbrnn
from nbrnn.cases import Case, run_backward

kinds = pytest.mark.parametrize("kind", CELLS)


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


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_and_tiny_inputs_give_no_nan(kind, dtype):
    model = random_model([CELLS[kind](9, return_sequences=True)], (4, 2), dtype=dtype)
    for size in (1e30, 1e-40, 0.0):
        assert np.isfinite(model.predict(np.full((2, 4, 2), size))).all()


@kinds
def test_a_very_long_sequence(kind):
    model = random_model([CELLS[kind](3, return_sequences=True), nbrnn.Dense(1)], (20_000, 1), dtype="float32")
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(1, 20_000, 1)).astype("f4")
    assert np.isfinite(model.train_on_batch(x, 0.5 * x))
    half = random_model([CELLS[kind](3, return_sequences=True), nbrnn.Dense(1)], (50, 1), dtype="float32")
    half.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(x)[:, :50], half.predict(x[:, :50]))


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
        model = random_model([CELLS[kind](65), nbrnn.Dense(70), nbrnn.Dense(1)], (3, 66), dtype=dtype, scale=0.1)
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
        layers = [CELLS[kind](5, return_sequences=True), CELLS[kind](4, return_sequences=every)]
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
