"""Layers that get their outputs back: against a loop in NumPy, against the complex step, and as columns of a table."""

import zlib

import numpy as np
import pytest
from feedback_models import FREE, LAYERS, MODES, compiled, data, one_step
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_feedback import draw_coins
from support import assert_close, few, random_model, seeds

import nbrnn
from nbrnn import GRU, LSTM, Dense, Feedback, Jordan, SimpleRNN

STEP = 1e-30


def naive(weights, x, before, lags, truths=None, coins=None, recurs=False, k=None):
    """Return every output of [SimpleRNN or tanh Dense] -> Dense, step by step; `truths` are fed back where given.

    At the first step of a segment of k steps, counted from the end, what came before is a constant: with complex
    weights that is its real part.
    """
    *first, V, c = weights
    N, T, _ = x.shape
    O = len(c)
    back = [before[:, j * O : (j + 1) * O].astype(complex) for j in range(lags)]  # the youngest first
    h, found = np.zeros((N, len(V)), complex), []
    for t in range(T):
        if k is not None and t > 0 and (T - t) % k == 0:
            back, h = [one.real.astype(complex) for one in back], h.real.astype(complex)
        total = np.concatenate([x[:, t], *back], axis=1) @ first[0] + first[-1]
        h = np.tanh(total + h @ first[1] if recurs else total)
        y = h @ V + c
        found.append(y)
        share = 0 if truths is None else 1 if coins is None else coins[t][:, None]
        back = [share * truths[:, t] + (1 - share) * y if truths is not None else y, *back[:-1]]
    return np.stack(found, axis=1)


def gradients(loss, weights):
    """Return the complex step's gradient of a loss of a list of arrays."""
    found = []
    for j, w in enumerate(weights):
        d = np.zeros_like(w)
        for at in np.ndindex(w.shape):
            bent = [v.astype(complex) for v in weights]
            bent[j][at] += 1j * STEP
            d[at] = loss(bent).imag / STEP
        found.append(d)
    return found


def coins_of(model, samples, steps):
    """Return the coins of a model's first step, from the twin."""
    name = f"{model.layers[0].name}/coins"
    control = np.zeros(8, np.int64)
    control[5] = model.seed
    own = {"kind": 0, "rate": round(0.01 * 2**32), "start": 2**31, "stop": 0}
    coins = np.zeros((steps, samples))
    return draw_coins(control, -1, zlib.crc32(name.encode()) | 1 << 31, coins=coins, **own)["coins"]


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds, mode=st.sampled_from(sorted(MODES)), N=few, T=few, D=few, O=few, H=few,
    lags=st.integers(1, 4), recurs=st.booleans(), k=st.sampled_from((None, 1, 2, 3)), given=st.booleans(),
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_a_loop(seed, mode, N, T, D, O, H, lags, recurs, k, given):
    first = SimpleRNN(H) if recurs else Dense(H, "tanh")
    model = compiled([Feedback([first, Dense(O)], lags, training=MODES[mode])], D, T, seed)
    x, y = data(seed, N, T, D, O)
    before = np.random.default_rng(seed + 1).normal(size=(N, lags * O)) if given else np.zeros((N, lags * O))
    states = {"initial_state": {"feedback/y": before}} if given else {}
    weights = model.get_weights()
    outputs = naive(weights, x, before, lags, recurs=recurs).real
    assert_close(model.predict(x, **states), outputs, 1e-12)
    assert model.evaluate(x, y, **states) == pytest.approx(np.mean((outputs - y) ** 2), rel=1e-12)
    truths = None if mode == "free" else y
    coins = coins_of(model, N, T) if mode == "sampled" else None

    def loss(weights):
        return ((naive(weights, x, before, lags, truths, coins, recurs, k) - y) ** 2).mean()

    wanted = gradients(loss, weights)
    for ours, theirs in zip(one_step(model, x, y, truncate=k, **states), wanted, strict=True):
        assert_close(ours, theirs, 1e-11)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(LAYERS)), mode=st.sampled_from(sorted(MODES)), lags=st.integers(1, 7),
    T=st.integers(1, 6), below=st.booleans(), seed=seeds, how=st.sampled_from(("y", "projected", "states", "run")),
)  # fmt: skip
def test_gradients_are_exact_in_all_modes(kind, mode, lags, T, below, seed, how):
    stack = [SimpleRNN(2, return_sequences=True)] if below else []
    model = compiled([*stack, Feedback(LAYERS[kind](), lags, training=MODES[mode])], 2, T, seed)
    x, y = data(seed, 2, T)
    rng, arguments = np.random.default_rng(seed), {"y": y}
    if how == "projected":
        arguments = {}
    elif how == "states":
        units = model._units()
        arguments |= {"initial_state": {name: rng.normal(size=(2, n)) for name, n in units.items()}}
    elif how == "run":
        arguments |= {"training": False}
    report = nbrnn.check_gradients(model, x, **arguments)
    assert report.passed, report
    assert "feedback/y0" in report.gradients


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_state_before_the_first_step_has_a_gradient(mode):
    model = compiled([Jordan(3, 2, training=MODES[mode])])
    x, y = data(0)
    report = nbrnn.check_gradients(model, x, y)
    assert report.passed and np.abs(report.gradients["jordan/y0"]).min() > 0


def test_one_output_at_the_end_runs_freely():
    model = compiled([Feedback([GRU(3), Dense(2)], 2, training=FREE, return_sequences=False), Dense(1)])
    x, _ = data(1)
    assert model.output_shape == (1,)
    assert nbrnn.check_gradients(model, x, np.ones((3, 1))).passed
    assert nbrnn.check_gradients(model, x).passed
    whole = compiled([Feedback([GRU(3), Dense(2)], 2, training=FREE), Dense(1)])
    whole.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(x), whole.predict(x)[:, -1])


def test_jordan_is_its_equations():
    model = compiled([Jordan(4, 2, "sigmoid", "tanh", training=FREE)])
    kernel, b, V, c = model.get_weights()
    Wx, Wy = kernel[:2], kernel[2:]
    x, _ = data(2)
    y, found = np.zeros((3, 2)), []
    for t in range(5):
        h = 1 / (1 + np.exp(-(x[:, t] @ Wx + y @ Wy + b)))
        y = np.tanh(h @ V + c)
        found.append(y)
    assert_close(model.predict(x), np.stack(found, 1), 1e-12)
    assert [name for name, _ in model.layers[0]._named()] == [
        "jordan/hidden/kernel", "jordan/hidden/bias", "jordan/output/kernel", "jordan/output/bias"
    ]  # fmt: skip


TABLE = np.array([  # x1, x2, x3, o1, o2 -> o: o1 is the output of the row before, o2 that of the one before it
    (2, 3, 3, 10, 9, 11), (3, 4, 4, 11, 10, 12), (2, 4, 4, 12, 11, 13), (3, 5, 5, 13, 12, 14), (4, 6, 6, 14, 13, 16),
    (5, 6, 7, 16, 14, 18), (4, 7, 6, 18, 16, 19), (5, 7, 8, 19, 18, 21),
]) / 20.0  # fmt: skip


def test_the_readers_table_trains_and_predicts_in_both_forms():
    """With targets fed back the layer is the Dense model whose last two columns are o1 and o2: the same numbers."""
    columns = random_model([Dense(4, "tanh"), Dense(1)], (5,), 3, scale=0.3)
    looped = random_model([Feedback([Dense(4, "tanh"), Dense(1)], lags=2)], (None, 3), 0)
    looped.set_weights(columns.get_weights())
    x, y = TABLE[None, :, :3], TABLE[None, :, 5:]
    before = {"feedback/y": TABLE[:1, 3:5]}
    for model in (columns, looped):
        model.compile(nbrnn.Adam(0.02), "mse")
    first = columns.fit(TABLE[:, :5], TABLE[:, 5], batch_size=len(TABLE), epochs=800, verbose=0, shuffle=False)
    second = looped.fit(x, y, epochs=800, verbose=0, initial_state=before)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-9)
    for ours, theirs in zip(columns.get_weights(), looped.get_weights(), strict=True):
        assert_close(ours, theirs, 1e-9)
    assert second.history["loss"][-1] < 1e-3 < second.history["loss"][0]
    by_hand, (o1, o2) = [], TABLE[0, 3:5]  # what the model says of a row stands in the columns of the next
    for inputs in TABLE[:, :3]:
        by_hand.append(columns.predict(np.array([[*inputs, o1, o2]]))[0, 0])
        o1, o2 = by_hand[-1], o1
    np.testing.assert_allclose(looped.predict(x, initial_state=before)[0, :, 0], by_hand, rtol=1e-12)
    free = looped.evaluate(x, y, initial_state=before)
    assert free == pytest.approx(np.mean((np.array(by_hand) - TABLE[:, 5]) ** 2), rel=1e-9)


def test_training_freely_mends_what_free_running_shows():
    """Trained through its own outputs, the model runs freely better than after teacher forcing alone."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(16, 25, 1))
    y = np.zeros((16, 25, 1))
    for t in range(25):
        y[:, t] = np.tanh(0.9 * y[:, t - 1] - 0.6 * y[:, t - 2] + 0.5 * x[:, t]) if t > 1 else 0.5 * x[:, t]
    y += 0.2 * rng.normal(size=y.shape)
    losses = {}
    for name, mode in MODES.items():
        model = random_model([Feedback([Dense(6, "tanh"), Dense(1)], 2, training=mode)], (25, 1), 2, scale=0.3)
        model.compile(nbrnn.Adam(0.01), "mse")
        model.fit(x, y, epochs=200, batch_size=16, verbose=0)
        losses[name] = model.evaluate(x, y)
    assert losses["free"] < losses["teacher"]
    assert losses["sampled"] < losses["teacher"]


# ---------------------------------------------------------------- states


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_halves_that_hand_their_states_on_are_the_whole(kind):
    model = compiled([Feedback(LAYERS[kind](), 3, return_state=True)], T=None)
    x, _ = data(3, T=6)
    whole, *last = model.predict(x)
    first, *states = model.predict(x[:, :2])
    second, *ends = model.predict(x[:, 2:], initial_state=dict(zip(model._units(), states, strict=True)))
    np.testing.assert_array_equal(np.concatenate([first, second], 1), whole)
    for ours, theirs in zip(ends, last, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(last[0], np.concatenate([whole[:, -1], whole[:, -2], whole[:, -3]], 1))


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_a_stream_goes_on_and_is_taught(kind):
    model = compiled([Feedback(LAYERS[kind](), 2)])
    x, y = data(4, N=1)
    stream = model.stream()
    np.testing.assert_allclose(stream.run(x[0]), model.predict(x)[0], rtol=1e-13)
    stream.reset()
    forced = []
    for t in range(5):  # told the truth after every row, it is the model that feeds targets back
        forced.append(stream.step(x[0, t]).copy())
        stream.teach(y[0, t])
    free = compiled([Feedback(LAYERS[kind](), 2, return_state=True)], T=None)
    free.set_weights(model.get_weights())
    states = None
    for t in range(5):
        out, *states = free.predict(x[:, t : t + 1], initial_state=states) if t else free.predict(x[:, :1])
        np.testing.assert_allclose(out[0, 0], forced[t], rtol=1e-13)
        states[0][0, :2] = y[0, t]
    mean = np.mean((np.array(forced) - y[0]) ** 2)
    assert model.fit(x, y, verbose=0, epochs=1).history["loss"][0] == pytest.approx(mean, rel=1e-12)


def test_several_sequences_are_streamed_side_by_side_and_taught():
    model = compiled([Feedback([LSTM(3), Dense(2)], 2)])
    x, y = data(5)
    stream = model.stream(batch_size=3)
    np.testing.assert_allclose(stream.run(np.ascontiguousarray(x.swapaxes(0, 1))), model.predict(x).swapaxes(0, 1))
    stream.teach(y[:, 0])
    np.testing.assert_array_equal(stream.states["feedback/y"][:, :2], y[:, 0])
    for wrong in (y[0, 0], y[:, 0, :1], np.full((3, 2), np.nan)):
        with pytest.raises(ValueError, match="y must hold the numbers of layer feedback"):
            stream.teach(wrong)
    with pytest.raises(ValueError, match="teach is for a model with one Feedback or Jordan layer; this one has 0"):
        compiled([SimpleRNN(2), Dense(1)]).stream().teach([1.0])


@pytest.mark.parametrize("mode", ["teacher", "free"])
def test_stateful_layers_go_on_from_batch_to_batch(mode):
    own = {"training": MODES[mode], "stateful": True}
    model = compiled([Feedback([SimpleRNN(3), Dense(2)], 2, **own)], T=3)
    x, y = data(6, N=2, T=6)
    whole = compiled([Feedback([SimpleRNN(3), Dense(2)], 2, training=MODES[mode])], T=6)
    whole.set_weights(model.get_weights())
    parts = [model.predict(np.ascontiguousarray(x[:, at : at + 3])) for at in (0, 3)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole.predict(x))
    model.reset_states()
    model.compile(nbrnn.SGD(learning_rate=1e-300), "mse")
    losses = [
        model.fit(x[:, at : at + 3], y[:, at : at + 3], batch_size=2, shuffle=False, verbose=0).history["loss"][0]
        for at in (0, 3)
    ]
    trained = whole.fit(x, y, batch_size=2, shuffle=False, verbose=0).history["loss"][0]
    assert np.mean(losses) == pytest.approx(trained, rel=1e-12)
