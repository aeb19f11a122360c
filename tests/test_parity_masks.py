"""The same numbers as Keras' under masks, where it is installed: outputs, the loss and its gradients."""

import os

import numpy as np
import pytest
from support import random_model

import nbrnn
from nbrnn import Dense, Masking, TimeDistributed

pytestmark = pytest.mark.parity
STEPS = {
    "holes": [[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1]],
    "nothing": [[1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0]],
}


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


def of(kind, *arguments, **settings):
    """Return what makes a layer in either library."""
    return lambda library: getattr(library, kind)(*arguments, **settings)


def both_ways(inner, merge):
    return lambda library: library.Bidirectional(inner(library), merge_mode=merge)


SHAPES = {
    f"{cell} {dict(settings)}": [of(cell, 4, **settings)]
    for cell in ("SimpleRNN", "LSTM", "GRU")
    for settings in (
        {},
        {"return_sequences": True},
        {"go_backwards": True},
        {"go_backwards": True, "return_sequences": True},
        {"zero_output_for_mask": True},
        {"zero_output_for_mask": True, "return_sequences": True},
    )
} | {
    "GRU before": [of("GRU", 4, reset_after=False, return_sequences=True)],
    "stack": [of("LSTM", 4, return_sequences=True), of("GRU", 3, return_sequences=True), of("Dense", 2)],
    "backwards stack": [of("LSTM", 4, return_sequences=True, go_backwards=True), of("GRU", 3), of("Dense", 2)],
    "both ways": [both_ways(of("LSTM", 3, return_sequences=True), "concat"), of("Dense", 2, "tanh")],
    "both ways, last": [both_ways(of("GRU", 3), "sum")],
    "each": [of("GRU", 3, return_sequences=True), lambda lib: lib.TimeDistributed(lib.Dense(2)), of("SimpleRNN", 2)],
}


@pytest.mark.parametrize("mask", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_kerass(keras, shape, mask):
    rng, steps = np.random.default_rng(0), np.array(STEPS[mask], bool)
    ours = random_model([Masking(), *(make(nbrnn) for make in SHAPES[shape])], (6, 3), seed=1, dtype="float32")
    inputs = keras.layers.Input((6, 3))
    value = keras.layers.Masking()(inputs)
    for make in SHAPES[shape]:
        value = make(keras.layers)(value)
    theirs = keras.Model(inputs, value)
    theirs.set_weights(ours.get_weights())
    x = (rng.normal(size=(4, 6, 3)) * steps[..., None]).astype("f4")
    outputs = ours.predict(x)
    np.testing.assert_allclose(outputs, theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    y = rng.normal(size=outputs.shape).astype("f4")
    before = ours.get_weights()
    losses = []
    for model, library in ((ours, nbrnn), (theirs, keras.optimizers)):
        model.compile(library.SGD(learning_rate=1.0), loss="mse")
        losses.append(float(np.ravel(model.train_on_batch(x, y))[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for w, v, b in zip(ours.get_weights(), theirs.get_weights(), before, strict=True):
        largest = abs(w - b).max()
        np.testing.assert_allclose(w - b, v - b, rtol=1e-4, atol=1e-5 * largest + 1e-6)


def test_a_weighted_loss_under_a_mask_is_kerass(keras):
    rng = np.random.default_rng(0)
    ours = random_model([Masking(), TimeDistributed(Dense(2))], (6, 3), seed=1, dtype="float32")
    layers = [keras.layers.Input((6, 3)), keras.layers.Masking(), keras.layers.TimeDistributed(keras.layers.Dense(2))]
    theirs = keras.Sequential(layers)
    theirs.set_weights(ours.get_weights())
    x = (rng.normal(size=(4, 6, 3)) * np.array(STEPS["nothing"])[..., None]).astype("f4")
    y, weights = rng.normal(size=(4, 6, 2)).astype("f4"), rng.uniform(0, 2, (4, 6)).astype("f4")
    for model in (ours, theirs):
        model.compile("sgd", loss="mse")
    found = [float(np.ravel(m.test_on_batch(x, y, sample_weight=weights))[0]) for m in (ours, theirs)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
