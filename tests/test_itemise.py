"""The shares of a gradient, of the loss at each step through each step: exact, and summing to the run's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import few, seeds
from test_tracing import CELLS, masks, random_case, stacks

import nbrnn
from nbrnn import LSTM, Dense
from nbrnn.recurrent import Recurrent
from nbrnn.tracing import itemise as itemising
from nbrnn.tracing.itemise import itemise, norms


def traced(layers, steps=4, features=2, seed=0, target=True):
    """Return a trace of a model with random weights on a random sample."""
    model, x, y = random_case(layers, steps, features, seed)
    return nbrnn.trace(model, x, y if target else None)


def first_states(model, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(1, units)) for name, units in model._units().items()}


@settings(max_examples=60)
@given(layers=stacks(), steps=st.sampled_from((1, 2, 5)), features=few, given_states=st.booleans(), seed=seeds)
def test_the_shares_sum_to_the_runs_gradients(layers, steps, features, given_states, seed):
    model, x, y = random_case(layers, steps, features, seed)
    states = first_states(model, seed) if given_states else None
    found = nbrnn.trace(model, x, y, initial_state=states, **masks(steps, layers, seed))
    for layer in [one for one in found.layers if isinstance(one.layer, Recurrent)]:
        shares = itemise(layer)
        assert set(shares) == set(layer.totals) and ("db" in shares) == layer.layer.use_bias
        assert all(not share[:, k].any() for k in range(steps) if layer.steps[k].masked for share in shares.values())
        count = steps if layer.layer.return_sequences else 1
        for weight, share in shares.items():
            assert share.shape == (count, steps, *layer.totals[weight].shape)
            own = np.array([back[weight] for back in layer.backward])
            close = {"rtol": 0, "atol": 1e-12 * max(np.abs(share).sum(axis=(0, 1)).max(), 1e-300)}
            np.testing.assert_allclose(share.sum(axis=(0, 1)), layer.totals[weight], **close)
            np.testing.assert_allclose(share.sum(axis=0), own, **close)
            assert all((share[t, steps - count + t + 1 :] == 0).all() for t in range(count))
            flat, (sizes, rows) = share.reshape(count, steps, -1), norms(layer, weight)
            np.testing.assert_allclose(sizes, np.linalg.norm(flat, axis=2), rtol=1e-12)
            np.testing.assert_allclose(rows, np.linalg.norm(flat.sum(axis=1), axis=1), **(close | {"rtol": 1e-9}))


@pytest.mark.parametrize("go_backwards", (False, True))
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_is_the_gradient_of_that_steps_loss_alone(cell, go_backwards):
    """With targets that equal the outputs at all steps but t, the run itself gives the loss at t alone."""
    layers = [CELLS[cell](3, return_sequences=True, go_backwards=go_backwards), Dense(2, "tanh")]
    model, x, y = random_case(layers, 5, 2, 4)
    states = first_states(model, 4)
    output = model.predict(x[None], initial_state=states)[0]
    layer = nbrnn.trace(model, x, y, initial_state=states).layers[0]
    shares = itemise(layer)
    for t in range(5):
        only = np.where(np.arange(5)[:, None] == t, y, output)
        alone = nbrnn.trace(model, x, only, initial_state=states).layers[0]
        for weight, share in shares.items():
            own = np.array([back[weight] for back in alone.backward])
            np.testing.assert_allclose(share[t], own, rtol=0, atol=1e-12 * np.abs(own).max())
            row = np.linalg.norm(alone.totals[weight])
            assert norms(layer, weight)[1][t] == pytest.approx(row, rel=1e-10) and row > 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_shares_that_do_not_sum_are_an_error(cell, monkeypatch):
    layer = traced([CELLS[cell](3), Dense(1)]).layers[0]
    honest = itemising._slope
    monkeypatch.setattr(itemising, "_slope", lambda layer, y, gate=False: (1 + 1e-8) * honest(layer, y, gate))
    with pytest.raises(ArithmeticError, match="the terms do not sum to the run's numbers"):
        itemise(layer)


def test_what_cannot_be_shared_out_is_refused(monkeypatch):
    found = traced([LSTM(2), Dense(1)])
    with pytest.raises(ValueError, match=r"layer dense is not recurrent \(Dense\)"):
        itemise(found.layers[1])
    with pytest.raises(ValueError, match="trace of lstm has no backward pass: give "):
        itemise(traced([LSTM(2), Dense(1)], target=False).layers[0])
    monkeypatch.setattr(itemising, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"shares of lstm would fill .* GiB, more than .*: trace a shorter sequence"):
        itemise(found.layers[0])
    found.layers[0].totals["dWh"][0, 0] = np.inf
    with pytest.raises(ValueError, match="gradients of lstm are not all finite"):
        itemise(found.layers[0])
