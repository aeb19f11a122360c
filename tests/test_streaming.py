"""Streams: row by row as predict on the whole sequence, with states of their own, and the weights as they now are."""

import copy
import pickle
import re

import numpy as np
import pytest
from support import assert_close, random_data, random_model

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.program import Weights
from nbrnn.streaming import ROWS
from nbrnn.targets import cpu

CELLS = {
    "simple_rnn": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru before": lambda *a, **k: GRU(*a, reset_after=False, **k),
}
TOLERANCE = {"float32": 2e-6, "float64": 4e-15}


def by_time(array):
    """Swap the axes of samples and steps: streams take the rows of all sequences at once."""
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))


def one_by_one(stream, rows):
    """Return the outputs of single steps; a step writes over what the one before has returned."""
    return np.array([stream.step(row).copy() for row in rows])


def small(cell="lstm", units=3, **options):
    return random_model([CELLS[cell](units, **options), Dense(2, "tanh")], (None, 2), seed=4)


def stacked(cell, units, dtype):
    layers = [CELLS[cell](units, return_sequences=True), CELLS[cell](units + 1, return_sequences=True), Dense(2)]
    return random_model(layers, (None, 5), seed=3, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("units", "batch"), [(3, 1), (20, 1), (20, 3), (5, 40)])
def test_a_stream_gives_what_predict_gives(cell, units, batch, dtype):
    model = stacked(cell, units, dtype)
    x, _ = random_data(model, batch, 1, steps=9)
    expected, rows = by_time(model.predict(x)), by_time(x)
    if batch == 1:
        expected, rows = expected[:, 0], rows[:, 0]
    stream = model.stream(batch)
    run = stream.run(rows)
    stream.reset()
    stepped = one_by_one(stream, rows)
    assert (run == stepped).all()
    assert_close(run, expected, TOLERANCE[dtype])


@pytest.mark.skipif(not cpu.JIT, reason="NumPy's products of other shapes have other bits")
@pytest.mark.parametrize("cell", CELLS)
def test_the_bits_are_those_of_predict_where_the_same_products_run(cell):
    model = stacked(cell, 7, "float32")
    x, _ = random_data(model, 1, 1, steps=9)
    assert (model.stream().run(x[0]) == model.predict(x)[0]).all()


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_that_returns_its_last_state_returns_every_one_to_a_stream(cell):
    model = small(cell)
    x, _ = random_data(model, 1, 2, steps=6)
    rows = model.stream().run(x[0])
    for k in range(6):
        assert_close(rows[k], model.predict(x[:, : k + 1])[0], 4e-15)


def test_more_rows_than_one_native_call_takes():
    model = small()
    x, _ = random_data(model, 1, 2, steps=2 * ROWS + 17)
    stream = model.stream()
    whole = stream.run(x[0])
    assert_close(whole[-1], model.predict(x)[0], 1e-14)
    last = stream.states
    stream.reset()
    parts = [stream.run(part) for part in (x[0, :5], x[0, 5:ROWS], x[0, ROWS:])]
    assert (np.concatenate(parts) == whole).all()
    assert all((stream.states[name] == state).all() for name, state in last.items())


def test_a_model_without_recurrent_layers_streams_too():
    model = random_model([Flatten(), Dense(4, "relu"), Dense(2)], (3,), seed=1)
    x, _ = random_data(model, 6, 1)
    stream = model.stream()
    assert_close(stream.run(x), model.predict(x), 4e-15)
    assert stream.states == {}
    with pytest.raises(ValueError, match="no layer of the model is recurrent"):
        stream.set_states([])


# ---------------------------------------------------------------- what comes out


def test_step_returns_one_array_again_and_again_or_the_one_it_is_given():
    model = small()
    x, _ = random_data(model, 1, 2, steps=3)
    stream = model.stream()
    rows = stream.run(x[0])
    rows_before = rows.copy()
    stream.reset()
    first = stream.step(x[0, 0])
    assert first.shape == (2,) and (first == rows[0]).all()
    out = np.empty(2)
    assert stream.step(x[0, 1], out=out) is out and (out == rows[1]).all()
    assert stream.step(x[0, 2].tolist()) is first and (first == rows[2]).all() and (out == rows[1]).all()
    assert (rows == rows_before).all()


def test_rows_of_other_dtypes_and_layouts_are_taken():
    model = small()
    x, _ = random_data(model, 1, 2, steps=8)
    whole = np.repeat(x[0], 2, axis=0).astype("f4")
    expected = model.stream().run(np.ascontiguousarray(whole[::-2]).astype("f8"))
    assert (model.stream().run(whole[::-2]) == expected).all()
    assert (model.stream().run(whole[::-2].tolist()) == expected).all()
    assert (model.stream().run(whole[::-2].astype(">f4")) == expected).all()
    stream = model.stream()
    assert (one_by_one(stream, whole[::-2]) == expected).all()


# ---------------------------------------------------------------- states


def test_states_are_the_models_names_and_can_be_set():
    model = small(return_state=True)
    x, _ = random_data(model, 1, 2, steps=5)
    stream = model.stream()
    assert all((state == 0).all() for state in stream.states.values())
    rows = stream.run(x[0])
    _, h, c = model.predict(x)
    assert list(stream.states) == ["lstm/h", "lstm/c"]
    assert_close(stream.states["lstm/h"], h, 4e-15)
    assert_close(stream.states["lstm/c"], c, 4e-15)
    stream.states["lstm/h"][:] = 7  # a copy
    kept = stream.states
    after = stream.step(x[0, 0]).copy()
    other = model.stream()
    other.set_states(kept)
    assert (other.step(x[0, 0]) == after).all()
    other.set_states({"lstm/c": c})  # the other is zero then
    assert (other.states["lstm/h"] == 0).all() and (other.states["lstm/c"] == c).all()
    other.reset()
    assert (other.run(x[0]) == rows).all()


def test_streams_and_the_model_keep_out_of_each_others_states():
    model = small(stateful=True)
    x, _ = random_data(model, 1, 2, steps=5)
    model.predict(x)
    carried, one, two = model.states, model.stream(), model.stream()
    rows = one.run(x[0])
    assert all((model.states[name] == state).all() for name, state in carried.items())
    assert (two.run(x[0]) == rows).all()
    assert model.layers[0].stateful
    kept = one.states
    model.predict(x)
    assert all((one.states[name] == state).all() for name, state in kept.items())
    plain = small()
    plain.stream().run(x[0])
    assert not plain.stateful and plain.states == {}


# ---------------------------------------------------------------- weights that change


def ways():
    """Yield ways to change a model's weights."""
    rng = np.random.default_rng(0)
    shifted = lambda thing: thing.set_weights([w + rng.normal(size=w.shape) for w in thing.get_weights()])
    x, y = rng.normal(size=(20, 6, 2)), rng.normal(size=(20, 2))
    yield "fit", lambda model: model.fit(x, y, verbose=0)
    yield "train_on_batch", lambda model: model.train_on_batch(x, y)
    yield "set_weights", shifted
    yield "a layer's set_weights", lambda model: shifted(model.layers[0])


@pytest.mark.parametrize(("way", "change"), list(ways()), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize(("units", "batch"), [(3, 1), (40, 1), (40, 16)])  # those of 40 are packed
def test_weights_that_change_are_seen_by_the_next_row(way, change, units, batch):
    model = small(units=units)
    model.compile("adam", "mse")
    x, _ = random_data(model, batch, 2, steps=4)
    rows = by_time(x) if batch > 1 else x[0]
    stream = model.stream(batch)
    packing = stream._executor.plan.prepare is not None
    assert packing == (units == 40)
    before, predicted = stream.run(rows), model.predict(x)
    change(model)
    stream.reset()
    stepped = one_by_one(stream, rows)
    assert_close(stepped[-1].reshape(batch, -1), model.predict(x), 4e-15)
    assert abs(stepped - before).max() > 1e-6 and abs(model.predict(x) - predicted).max() > 1e-6
    copied = copy.deepcopy(model)
    assert_close(copied.stream(batch).run(rows), stepped, 4e-15)


def test_weights_are_packed_when_they_have_changed_and_not_else():
    model = small(units=40)
    x, _ = random_data(model, 16, 2, steps=1)
    stream = model.stream(16)
    first = stream.step(x[:, 0]).copy()
    packed = stream._executor.arrays["packed"]
    packed *= 2  # as long as they are not packed again it is seen
    stream.reset()
    assert abs(stream.step(x[:, 0]) - first).max() > 1e-6
    model.set_weights(model.get_weights())
    stream.reset()
    assert (stream.step(x[:, 0]) == first).all()


def test_a_refused_row_does_not_use_up_the_packing():
    model = small(units=40)
    x, _ = random_data(model, 16, 2, steps=1)
    stream = model.stream(16)
    first = stream.step(x[:, 0]).copy()
    stream.reset()
    weights = model.get_weights()
    model.set_weights([w + 1 for w in weights])
    with pytest.raises(ValueError, match="not finite"):
        stream.step(np.full((16, 2), np.nan))
    assert abs(stream.step(x[:, 0]) - first).max() > 1e-6
    model.set_weights(weights)
    stream.reset()
    assert (stream.step(x[:, 0]) == first).all()


def test_every_run_that_trains_counts_as_a_change_and_none_that_predicts():
    model = small()
    model.compile("adam", "mse")
    x, y = random_data(model, 4, 2)
    before = Weights.changes
    model.predict(x), model.evaluate(x, y), model.stream().run(x[0])
    assert Weights.changes == before
    model.train_on_batch(x, y)
    assert Weights.changes > before


def test_a_stream_does_not_outlive_its_models_shape():
    model = nbrnn.Sequential([LSTM(3)], input_shape=(None, 2), seed=0)
    stream = model.stream()
    model.add(Dense(1))
    for call in (lambda: stream.step(np.ones(2)), lambda: stream.run(np.ones((3, 2)))):
        with pytest.raises(ValueError, match=r"was built anew .* model\.stream\(\)"):
            call()


# ---------------------------------------------------------------- what is refused


def test_layers_that_need_the_whole_sequence_are_named():
    for layers, shape, words in (
        ([LSTM(3, go_backwards=True)], (None, 2), "layer lstm needs the whole sequence"),
        ([LSTM(3, return_sequences=True), Flatten(), Dense(1)], (4, 2), "layer flatten needs the whole sequence"),
    ):
        with pytest.raises(ValueError, match=words):
            nbrnn.Sequential(layers, input_shape=shape).stream()
    with pytest.raises(ValueError, match="input_shape"):
        nbrnn.Sequential([LSTM(3)]).stream()
    with pytest.raises(ValueError, match="no layers"):
        nbrnn.Sequential().stream()
    for bad in (0, 1.5, True, "1", None):
        with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
            small().stream(bad)


LATE = [[0, 1]] * 300 + [[np.nan, 1]] * 2
BAD = [
    ("step", 1, np.ones(3), "x of a stream of one sequence must have the shape (features) = (2), but"),
    ("step", 1, np.ones((1, 2)), "(features) = (2), but its shape is (1, 2)."),
    ("step", 1, 3.0, "(features) = (2), but its shape is ()."),
    ("step", 4, np.ones(2), "x of a stream of 4 sequences must have the shape (batch_size, features) = (4, 2)"),
    ("step", 1, "abc", "x must hold real numbers only"),
    ("step", 1, [None, 1], "x must hold real numbers only"),
    ("step", 1, [1, 1j], "x must hold real numbers only"),
    ("step", 1, [np.nan, 1], "x holds a number that is not finite"),
    ("step", 1, [np.inf, 1], "x holds a number that is not finite"),
    ("step", 4, [[0, 1]] * 3 + [[1, -np.inf]], "x holds a number that is not finite"),
    ("run", 1, np.ones(2), "rows of a stream of one sequence must have the shape (rows, features) = (rows, 2)"),
    ("run", 1, np.ones((5, 3)), "(rows, features) = (rows, 2), but its shape is (5, 3)."),
    ("run", 4, np.ones((5, 2)), "(rows, batch_size, features) = (rows, 4, 2), but its shape is (5, 2)."),
    ("run", 1, np.ones((0, 2)), "rows holds no rows: its shape is (0, 2)."),
    ("run", 1, [[1, 2], [3]], "rows must hold as many numbers in each row"),
    ("run", 1, LATE, "rows holds a number that is not finite (NaN or infinite) in row 300"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "batch", "bad", "words"), BAD)
def test_bad_rows_are_refused_in_a_sentence_and_change_nothing(method, batch, bad, words):
    model = random_model([LSTM(3)], (None, 2), seed=4, dtype="float32")
    stream = model.stream(batch)
    row = np.ones((4, 2) if batch == 4 else 2, "f4")
    stream.step(row)
    states = stream.states
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        getattr(stream, method)(bad)
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")
    assert all((stream.states[name] == state).all() for name, state in states.items())
    after = stream.step(row).copy()
    other = model.stream(batch)
    other.step(row)
    assert (other.step(row) == after).all()


def test_a_number_too_large_for_float32_is_refused_as_infinite():
    stream = random_model([LSTM(3)], (None, 2), dtype="float32").stream()
    with pytest.raises(ValueError, match="x holds a number that is not finite"):
        stream.step(np.array([1e300, 0]))


def test_a_bad_out_is_refused():
    locked = np.empty(2)
    locked.flags.writeable = False
    stream = small().stream()
    for out, words in (
        (np.empty(3), "not an array (3,) of float64."),
        (np.empty(2, "f4"), "not an array (2,) of float32."),
        ([0.0, 0.0], "not list."),
        (locked, "not an array (2,) of float64 that cannot be written to."),
    ):
        with pytest.raises(ValueError, match=re.escape(f"out must be an array (2,) of float64 to write to, {words}")):
            stream.step(np.ones(2), out=out)
    assert all((state == 0).all() for state in stream.states.values())


def test_states_that_do_not_fit_are_refused():
    stream = small().stream()
    for states, words in (
        ({"lstm/x": np.ones((1, 3))}, "the model has no state 'lstm/x'"),
        ({"lstm/h": np.ones((2, 3))}, "states lstm/h has shape (2, 3)"),
        ({"lstm/h": np.full((1, 3), np.nan)}, "states lstm/h holds a number that is not finite"),
        ([np.ones((1, 3))], "states must be a dict or a list of 2 arrays"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            stream.set_states(states)
    assert all((state == 0).all() for state in stream.states.values())


def test_a_stream_is_not_copied():
    stream = small().stream()
    assert repr(stream) == "Stream('sequential', batch_size=1)"
    for call in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"make another with model\.stream\(\)"):
            call(stream)
