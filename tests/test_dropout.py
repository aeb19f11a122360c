"""Dropout: exact gradients with the masks frozen, masks that depend on nothing but their key, and their statistics."""

import numpy as np
import pytest
import reference_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, random_data, random_model
from table import CELLS

import nbrnn
from nbrnn import GRU, LSTM, Dense, Dropout, Flatten, SimpleRNN
from nbrnn.cases import Case, run_backward
from nbrnn.lowering import TRAIN

rates = st.sampled_from((0.0, 0.2, 0.5, 0.8))


def run_of(model, x, y):
    """Return the executor of one training pass, with masks of step 0 and seed 0."""
    case = Case(x, y, training=True)
    optimizer, model.optimizer = model.optimizer, None
    try:
        executor = case.executor(model, TRAIN)
        executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
        return executor
    finally:
        model.optimizer = optimizer


def collected(executor, name, axis=1):
    plan, parts = executor.plan, []
    for s in range(plan.shards):
        program = plan.programs[min(plan.shard, plan.samples - s * plan.shard)]
        parts.append(executor.view(program[name], s))
    return np.concatenate(parts, axis)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("every", [False, True])
def test_a_layer_with_masks_is_its_equations(kind, every):
    layer = CELLS[kind](9, dropout=0.3, recurrent_dropout=0.4, return_sequences=every, name="cell")
    model = random_model([layer], (5, 3), seed=2, dtype="float64")
    model.compile("sgd", "mse")
    x, y = random_data(model, 34, 0)
    executor = run_of(model, x, y)
    x_mask, h_mask = collected(executor, "cell/x_mask")[0], collected(executor, "cell/h_mask")[0]
    assert 0 < (x_mask == 0).mean() < 1 and set(np.unique(h_mask)) == {0.0, 1 / 0.6}
    expected, _ = reference_layers.recurrent(layer, x, None, x_mask, h_mask)
    assert_close(collected(executor, "cell/h")[1:].swapaxes(0, 1), expected, 1e-12)


def test_a_check_drops_as_training_does_unless_it_is_told_not_to():
    layers = [SimpleRNN(4, return_sequences=True), Dropout(0.4), LSTM(3, recurrent_dropout=0.3), Dense(2)]
    model = random_model(layers, (4, 3), seed=1, dtype="float64")
    model.compile("sgd", "mse")
    x, y = random_data(model, 3, 0)
    dropped, still = (nbrnn.check_gradients(model, x, y, training=training) for training in (True, False))
    assert dropped.passed and still.passed
    assert still.loss == pytest.approx(model.evaluate(x, y), rel=1e-12) and still.loss != dropped.loss


@pytest.mark.parametrize("kind", CELLS)
def test_parts_of_a_sequence_go_back_like_the_whole(kind):
    """Large layers go back some steps at a time: central differences along a random direction."""
    layer = CELLS[kind](33, dropout=0.2, recurrent_dropout=0.3)
    model = random_model([layer, Dense(1)], (9, 2), seed=1, dtype="float64")
    model.compile("sgd", "mse")
    x, y = random_data(model, 31, 0)
    model.optimizer = None
    case = Case(x, y, training=True)
    _, gradients = run_backward_plain(model, case)
    rng, W = np.random.default_rng(0), model.layers[0]._views()
    for name, view in W.items():
        direction, step = rng.normal(size=view.shape), 2e-7
        losses = []
        for sign in (1, -1):
            view += sign * step * direction
            losses.append(run_backward_plain(model, case)[0])
            view -= sign * step * direction
        slope = (losses[0] - losses[1]) / (2 * step)
        assert (gradients[f"{model.layers[0].name}/{name}"] * direction).sum() == pytest.approx(slope, rel=1e-6)


def run_backward_plain(model, case):
    metrics, model.metrics = model.metrics, []
    try:
        return run_backward(model, case)
    finally:
        model.metrics = metrics


# ---------------------------------------------------------------- what a mask depends on


def masks(rate=0.5, samples=64, batch=64, epochs=1, threads=None, dtype="float32", **settings):
    """Train at a rate of next to nothing and return the masks of the last step, of both layers."""
    layers = [Dropout(rate, name="one", **settings), Dropout(rate, name="two"), Flatten(), Dense(1)]
    model = random_model(layers, (20, 30), seed=5, dtype=dtype)
    model.compile(nbrnn.SGD(1e-30), "mse")
    x, y = random_data(model, samples, 0)
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
    (executor,) = model._executors.values()
    return collected(executor, "one/mask"), collected(executor, "two/mask")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks_have_their_rate_and_their_scale(rate):
    one, _ = masks(rate)
    assert set(np.unique(one)) == {0, np.float32(1 / (1 - rate))}
    dropped, n = (one == 0).mean(), one.size
    assert abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
    for axis in (0, 1, 2):  # every step, sample and feature: about the rate
        shares = (one == 0).mean(axis=tuple(k for k in range(3) if k != axis))
        assert abs(shares - rate).max() < 6 * np.sqrt(rate * (1 - rate) * len(shares) / n)


def test_masks_of_samples_layers_steps_and_seeds_are_independent():
    one, two = masks()
    (next_one, _), (other, same) = masks(epochs=2), masks(seed=77)
    pairs = [(one, two), (one, next_one), (one, other), (one[:, :32], one[:, 32:]), (one[:10], one[10:])]
    for a, b in pairs:
        a, b = a.reshape(-1) > 0, b.reshape(-1) > 0
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)
    np.testing.assert_array_equal(two, same)  # the seed of one layer is its own
    np.testing.assert_array_equal(other, masks(seed=77)[0])


@pytest.mark.parametrize("samples", [1, 33, 40])
def test_the_mask_of_a_sample_does_not_depend_on_the_others(samples):
    whole, part = masks(), masks(samples=samples)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[:, :samples], b)


@pytest.mark.parametrize("lag", [1, 2, 4, 8, 16, 30, 32, 64, 600])
def test_elements_of_a_mask_are_independent_of_their_neighbours(lag):
    one = masks()[0].reshape(20, -1) > 0
    a, b = one[:, lag:].reshape(-1), one[:, :-lag].reshape(-1)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)


@settings(max_examples=15, deadline=None)
@given(rates=st.tuples(rates, rates, rates), kind=st.sampled_from(sorted(CELLS)), samples=st.integers(1, 70))
def test_bits_depend_neither_on_threads_nor_on_how_a_fit_is_cut(rates, kind, samples):
    def trained(threads, fits):
        cell = CELLS[kind](6, dropout=rates[0], recurrent_dropout=rates[1])
        model = random_model([cell, Dropout(rates[2]), Dense(1)], (5, 3), seed=1)
        model.compile("adam", "mse")
        x, y = random_data(model, samples, 0)
        before = nbrnn.get_num_threads()
        try:
            nbrnn.set_num_threads(threads)
            for _ in range(fits):
                model.fit(x, y, batch_size=40, epochs=4 // fits, verbose=0)
        finally:
            nbrnn.set_num_threads(before)
        return [w.tobytes() for w in model.get_weights()]

    assert trained(1, 1) == trained(nbrnn.get_num_threads(), 2)


def test_predictions_and_figures_drop_nothing():
    layers = [LSTM(4, dropout=0.5, recurrent_dropout=0.5), Dropout(0.5), Dense(2)]
    model, plain = random_model(layers, (4, 3), seed=1), random_model([LSTM(4), Dense(2)], (4, 3), seed=1)
    plain.set_weights(model.get_weights())
    x, y = random_data(model, 9, 0)
    np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    for m in (model, plain):
        m.compile("sgd", "mse")
    assert model.evaluate(x, y) == plain.evaluate(x, y)


def test_a_rate_of_zero_makes_the_same_calls_as_no_dropout():
    zero = [LSTM(4, dropout=0, recurrent_dropout=0.0, seed=3), Dropout(0), Dense(2)]
    programs = []
    for layers in (zero, [LSTM(4), Dense(2)]):
        model = random_model(layers, (4, 3), seed=1)
        model.compile("sgd", "mse")
        programs.append([(c.kernel, c.dims) for c in model.program(40).calls])
    assert programs[0] == programs[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dropout(1.0), "rate must be a number of at least 0 and below 1, not 1.0"),
        (lambda: Dropout(-0.1), "rate must be a number of at least 0 and below 1, not -0.1"),
        (lambda: Dropout("half"), "rate must be a number of at least 0 and below 1, not 'half'"),
        (lambda: Dropout(0.5, -1), "seed must be a whole number of at least 0, not -1"),
        (lambda: LSTM(2, dropout=1), "dropout must be a number of at least 0 and below 1, not 1"),
        (
            lambda: GRU(2, recurrent_dropout=float("nan")),
            "recurrent_dropout must be a number of at least 0 and below 1",
        ),
        (lambda: SimpleRNN(2, seed=0.5), "seed must be a whole number of at least 0, not 0.5"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)


# ---------------------------------------------------------------- predictions in which dropout drops


def drawn(samples=64, dtype="float64", seed=3):
    """Return a model with masks of all kinds, and inputs that are copies of one sample."""
    cells = [LSTM(5, dropout=0.3, return_sequences=True), Dropout(0.4), GRU(4, recurrent_dropout=0.5, seed=9)]
    model = random_model([*cells, Dropout(0.3), Dense(2)], (6, 3), seed=seed, dtype=dtype)
    x, _ = random_data(model, 1, 0)
    return model, np.repeat(x, samples, axis=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_draw_depends_on_the_seed_the_layer_and_the_sample_alone(dtype):
    model, x = drawn(samples=203, dtype=dtype)
    whole = model.predict(x, training=True, seed=7)
    before = nbrnn.get_num_threads()
    try:
        for threads in {1, before}:
            nbrnn.set_num_threads(threads)
            for size in (1, 7, 64, None):
                assert model.predict(x, batch_size=size, training=True, seed=7).tobytes() == whole.tobytes()
    finally:
        nbrnn.set_num_threads(before)
    assert model(x[:40], training=True, seed=7).tobytes() == whole[:40].tobytes()
    assert len(np.unique(whole[:, 0])) > 190  # copies of one sample, each with masks of its own
    others = [model.predict(x, training=True, seed=seed) for seed in (6, 8, 2**32 - 1)]
    others += [model.predict(x, training=True) for _ in range(2)] + [drawn(203, dtype, seed=4)[0].predict(x)]
    assert len({other.tobytes() for other in (whole, *others)}) == 7
    still = model.predict(x)
    assert (still == still[0]).all()


def test_a_draw_has_the_rate_and_the_scale_of_a_training():
    model = random_model([Dropout(0.25), nbrnn.Activation("linear")], (20, 30), seed=1)
    y = model.predict(np.ones((50, 20, 30)), training=True, seed=0)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)
    trained = masks(0.25, samples=50)[0].swapaxes(0, 1)
    assert abs(np.corrcoef(y.reshape(-1), trained.reshape(-1))[0, 1]) < 5 / np.sqrt(y.size)


@pytest.mark.parametrize("kind", CELLS)
def test_a_draw_is_its_equations(kind):
    layer = CELLS[kind](9, dropout=0.3, recurrent_dropout=0.4, return_sequences=True, name="cell")
    model = random_model([layer], (5, 3), seed=2)
    x, _ = random_data(model, 20, 0)
    y = model.predict(x, training=True, seed=5)
    (executor,) = model._executors.values()
    x_mask, h_mask = collected(executor, "cell/x_mask")[0], collected(executor, "cell/h_mask")[0]
    expected, _ = reference_layers.recurrent(layer, x, None, x_mask, h_mask)
    assert_close(y, expected, 1e-12)


def test_without_dropout_a_draw_is_a_prediction_and_a_stream_of_outputs_is_fed_back():
    model = random_model([GRU(4), Dense(2)], (6, 3), seed=3)
    x, _ = random_data(model, 5, 0)
    np.testing.assert_array_equal(model.predict(x, training=True, seed=1), model.predict(x))
    chance = nbrnn.ScheduledSampling("exponential", 0.5)
    for training in ("teacher_forcing", "free_running", chance):
        fed = random_model([nbrnn.Feedback([GRU(4), Dense(2)], training=training)], (6, 3), seed=3)
        np.testing.assert_array_equal(fed.predict(x, training=True, seed=1), fed.predict(x))


def test_a_draw_takes_states_and_masks_and_several_inputs():
    a, b = nbrnn.Input((6, 2), "a"), nbrnn.Input((6, 1), "b")
    h, *states = LSTM(4, recurrent_dropout=0.4, return_state=True)(nbrnn.Masking()(nbrnn.Concatenate()([a, b])))
    model = nbrnn.Model([a, b], [Dense(2)(Dropout(0.5)(h)), *states], seed=1, dtype="float64")
    rng = np.random.default_rng(0)
    x, h0 = [rng.normal(size=(30, 6, 2)), rng.normal(size=(30, 6, 1))], rng.normal(size=(30, 4))
    x[0][::3, 4:] = x[1][::3, 4:] = 0
    settings = {"initial_state": {"lstm/h": h0}, "training": True, "seed": 4}
    whole, part = model.predict(x, **settings), model.predict(x, batch_size=11, **settings)
    assert len(whole) == 3 and all((v == w).all() for v, w in zip(whole, part, strict=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"training": "yes"}, "training must be True or False, not 'yes'"),
        ({"seed": 3}, "seed=3 numbers a draw of dropout's masks: give training=True with it"),
        ({"training": True, "seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"training": True, "seed": 2**32}, "seed of a prediction must be below 2**32, not 4294967296"),
    ],
)
def test_bad_draws_are_refused(settings, words):
    model, x = drawn(samples=2)
    with pytest.raises(ValueError) as caught:
        model.predict(x, **settings)
    assert words in str(caught.value)
