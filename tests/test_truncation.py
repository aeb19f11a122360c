"""Truncated BPTT: against sums over segments, against a naive loop, and where it must change no bit."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, few, random_data, random_model, seeds

import nbrnn
from nbrnn import GRU, LSTM, Bidirectional, Dense, SimpleRNN
from nbrnn.cases import Case, plain_copy, run_backward
from nbrnn.lowering import TRAIN, feeds_of, make_plan
from nbrnn.program import Options
from nbrnn.targets import cpu

CELLS = {
    "simple_rnn": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "gru_before": lambda *a, **k: GRU(*a, reset_after=False, **k),
}


def step(model, x, y, **arguments):
    """Return how far one step of plain gradient descent goes with the learning rate 1: the gradient, as fit sees it."""
    twin = copy.deepcopy(model)
    twin.compile(nbrnn.SGD(learning_rate=1.0), "mse")
    twin.fit(x, y, batch_size=len(x), verbose=0, shuffle=False, **arguments)
    return [old - new for old, new in zip(model.get_weights(), twin.get_weights(), strict=True)]


def ends(steps, k):
    """Return the segments of k steps, counted from the end."""
    return [(max(0, end - k), end) for end in range(steps, 0, -k)][::-1]


def summed(model, x, y, k):
    """Return the sum of the segments' exact gradients, each with the states that the whole sequence brings to it.

    Every segment is a sequence of its own for a model without truncation, so that no state's gradient leaves it.
    """
    model.compile("sgd", "mse")
    plain = plain_copy(model, "float64")
    steps, every = x.shape[1], y.ndim == 3
    total = [np.zeros_like(w) for w in model.get_weights()]
    states = None
    for first, end in ends(steps, k):
        part = np.ascontiguousarray(x[:, first:end])
        if every or end == steps:
            target, share = (y[:, first:end], (end - first) / steps) if every else (y, 1.0)
            block = None if states is None else model._given(states, len(x))
            found = run_backward(plain, Case(part, np.ascontiguousarray(target), block))[1]
            names = [name for layer in model.layers for name, _ in layer._named()]
            total = [t + share * found[name] for t, name in zip(total, names, strict=True)]
        returned = model.predict(part, initial_state=states)[1:]
        states = dict(zip(model._units(), returned, strict=True))
    return total


def naive(model, x, y, k):
    """Return the truncated gradients of SimpleRNN -> Dense(1), whose every step has a loss, by plain loops."""
    Wx, Wh, b, V, c = model.get_weights()
    N, T, _ = x.shape
    found = [np.zeros_like(w) for w in (Wx, Wh, b, V, c)]
    for n in range(N):
        h = [np.zeros(len(b))]
        for t in range(T):
            h.append(np.tanh(x[n, t] @ Wx + h[-1] @ Wh + b))
        future = np.zeros(len(b))
        for t in reversed(range(T)):
            if (T - 1 - t) % k == 0:  # this step's state is a constant to the steps after it
                future = np.zeros(len(b))
            dy = 2 * (h[t + 1] @ V + c - y[n, t]) / (N * T)
            da = (V @ dy + future) * (1 - h[t + 1] ** 2)
            future = Wh @ da
            parts = (np.outer(x[n, t], da), np.outer(h[t], da), da, np.outer(h[t + 1], dy), dy)
            found = [f + part for f, part in zip(found, parts, strict=True)]
    return found


@settings(max_examples=25, deadline=None)
@given(seed=seeds, k=st.integers(1, 9), T=st.integers(1, 8), units=few)
def test_the_gradient_is_that_of_a_naive_loop(seed, k, T, units):
    model = random_model([SimpleRNN(units, return_sequences=True), Dense(1)], (None, 2), seed)
    x, y = random_data(model, 3, seed, T)
    for ours, theirs in zip(step(model, x, y, truncate=k), naive(model, x, y, k), strict=True):
        assert_close(ours, theirs, 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3),
    seed=seeds,
    k=st.integers(1, 8),
    T=st.integers(1, 7),
    units=st.sampled_from((1, 3, 9, 17)),
    every=st.booleans(),
    samples=few,
)
def test_the_gradient_is_the_sum_over_segments(kinds, seed, k, T, units, every, samples):
    """Of stacks with one loss the lower layers too are cut where the segments meet."""
    flags = [every or j + 1 < len(kinds) for j in range(len(kinds))]
    cells = [
        CELLS[kind](units, return_sequences=flag, return_state=True) for kind, flag in zip(kinds, flags, strict=True)
    ]
    model = random_model([*cells, Dense(2)], (None, 2), seed)
    x, y = random_data(model, samples, seed, T)
    for ours, theirs in zip(step(model, x, y, truncate=k), summed(model, x, y, k), strict=True):
        assert_close(ours, theirs, 1e-11)


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("every", [True, False])
def test_large_layers_whose_weight_gradients_are_taken_in_parts(kind, every):
    cells = [CELLS[kind](66, return_sequences=every, return_state=True)]
    model = random_model([*cells, Dense(2)], (None, 3), 1, scale=0.15)
    x, y = random_data(model, 40, 2, 11)  # shards of 16 samples and more: parts of 8 steps and fewer
    for k in (2, 9):
        for ours, theirs in zip(step(model, x, y, truncate=k), summed(model, x, y, k), strict=True):
            assert_close(ours, theirs, 1e-11)


@pytest.mark.parametrize("kind", sorted(CELLS))
def test_all_steps_are_the_same_bits_as_none(kind):
    for T in (5, 12):
        for every in (True, False):
            for units in (4, 66):
                model = random_model([CELLS[kind](units, return_sequences=every), Dense(1)], (None, 2), 3)
                x, y = random_data(model, 20, 4, T)
                full = step(model, x, y)
                for k in (T, T + 1, 10 * T):
                    same = step(model, x, y, truncate=k)
                    assert all(a.tobytes() == b.tobytes() for a, b in zip(full, same, strict=True))
                fewer = step(model, x, y, truncate=T - 1)
                assert any((a != b).any() for a, b in zip(full, fewer, strict=True))


def test_the_forward_pass_and_the_loss_stay_as_they_are():
    model = random_model([LSTM(5, return_sequences=True), GRU(4), Dense(1)], (9, 2), 5)
    x, y = random_data(model, 6, 6)
    model.compile("sgd", "mse")
    wanted = model.evaluate(x, y)
    weights = model.get_weights()
    for k in (1, 4):
        assert model.fit(x, y, batch_size=6, verbose=0, truncate=k).history["loss"] == [
            pytest.approx(wanted, rel=1e-14)
        ]
        model.set_weights(weights)


def test_dropout_of_states_is_cut_likewise():
    make = lambda: [SimpleRNN(4, recurrent_dropout=0.5, dropout=0.3, seed=7), Dense(1)]
    model = random_model(make(), (6, 2), 8)
    x, y = random_data(model, 5, 9)
    whole, one = step(model, x, y), step(model, x, y, truncate=1)
    np.testing.assert_allclose(one[3], whole[3], rtol=1e-13)  # the head's gradient knows no time
    assert (one[0] != whole[0]).any()
    same = step(model, x, y, truncate=6)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, same, strict=True))


def test_both_directions_are_counted_from_their_own_end():
    model = random_model([Bidirectional(SimpleRNN(3)), Dense(1)], (7, 2), 10)
    x, y = random_data(model, 4, 11)
    dWx = step(model, x, y, truncate=1)[0]
    forward, backward = random_model([SimpleRNN(3)], (7, 2), 0), random_model([SimpleRNN(3)], (7, 2), 0)
    weights = model.get_weights()
    forward.set_weights(weights[:3]), backward.set_weights(weights[3:6])
    V, c = weights[6:]
    ahead, back = forward.predict(x), backward.predict(np.ascontiguousarray(x[:, ::-1]))
    dy = 2 * (np.concatenate([ahead, back], 1) @ V + c - y) / len(x)
    da = (dy @ V.T)[:, :3] * (1 - ahead**2)
    assert_close(dWx, x[:, -1].T @ da, 1e-12)


def test_less_memory_is_needed_and_never_more():
    for cell in CELLS.values():
        for every in (True, False):
            for units in (4, 66):
                model = random_model([cell(units, return_sequences=every), Dense(1)], (24, 2), 12)
                model.compile("sgd", "mse")
                x, y = random_data(model, 32, 13)
                sizes = [model._executor("train", x, y, 32, Options(truncate=k)).plan.memory.total for k in (0, 5, 1)]
                assert sizes[0] >= sizes[1] >= sizes[2]


def test_a_first_state_is_not_reached_from_behind_a_cut():
    model = random_model([LSTM(3), Dense(1)], (6, 2), 14)
    model.compile("sgd", "mse")
    x, y = random_data(model, 4, 15)
    states = model._given([np.full((4, 3), 0.3), np.full((4, 3), -0.2)], 4)
    options = Options(input_gradient=True, given=True, truncate=2)
    plan = make_plan(model, TRAIN, feeds_of(x), feeds_of(y), 4, options)
    own = {"params": model.params, "order": np.arange(4), "x": x.reshape(-1), "y": y.reshape(-1), "initial": states}
    model._start_optimizer()
    executor = cpu.Executor(plan, own | model._slots)
    executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
    p = plan.programs[4]
    dx = executor.view(p["x gradient"], 0)
    assert not dx[:4].any() and dx[4:].all()
    assert not executor.view(p["lstm/dh0"], 0).any() and not executor.view(p["lstm/dc0"], 0).any()


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "3", True, np.nan])
def test_a_wrong_k_is_refused_in_one_sentence(wrong):
    model = random_model([SimpleRNN(3), Dense(1)], (6, 2))
    model.compile("sgd", "mse")
    x, y = random_data(model, 4, 0)
    with pytest.raises(ValueError, match="truncate") as error:
        model.fit(x, y, verbose=0, truncate=wrong)
    assert "\n" not in str(error.value)


def test_a_model_that_does_not_recur_cannot_be_truncated():
    model = random_model([Dense(1)], (2,))
    model.compile("sgd", "mse")
    x, y = random_data(model, 4, 0)
    with pytest.raises(ValueError, match="truncate=2 was given, but no layer of the model is recurrent"):
        model.fit(x, y, verbose=0, truncate=2)


def test_a_fit_is_resumed_with_the_same_k_only(tmp_path):
    def make():
        model = random_model([LSTM(3), Dense(1)], (8, 2), 16)
        model.compile("adam", "mse")
        return model

    x, y = random_data(make(), 24, 17)
    whole = make()
    whole.fit(x, y, epochs=4, verbose=0, truncate=3)
    model, keep = make(), nbrnn.Checkpoint(tmp_path / "c.safetensors")
    model.fit(x, y, epochs=2, verbose=0, truncate=3, callbacks=keep)
    for other in (2, None):
        with pytest.raises(ValueError, match="truncate was 3 there"):
            make().fit(x, y, epochs=4, verbose=0, truncate=other, resume=keep.path)
    again = make()
    again.fit(x, y, epochs=4, verbose=0, truncate=3, resume=keep.path)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole.get_weights(), again.get_weights(), strict=True))


def test_a_fit_that_diverges_under_truncation_says_where():
    model = random_model([SimpleRNN(3, activation="linear"), Dense(1)], (30, 2), 18, scale=1.0)
    model.compile(nbrnn.SGD(learning_rate=1e30), "mse")
    x, y = random_data(model, 8, 19)
    with pytest.raises(nbrnn.DivergedError) as error:
        model.fit(x, y, epochs=60, verbose=0, truncate=4)
    assert (error.value.gradient_norms["simple_rnn"][:26] == 0).all()
    assert "simple_rnn: norm of dL/dh" in error.value.report()
