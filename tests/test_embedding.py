"""The embedding: masks that it makes, what it refuses, and Keras' numbers with a mask."""

import os

import numpy as np
import pytest
from support import assert_close, random_model, random_weights
from test_bad_input import refused

import nbrnn
from nbrnn import GRU, LSTM, Bidirectional, Dense, Embedding, Flatten, Input, Masking, Model, Sequential

LENGTHS = np.array([6, 2, 4, 1, 6, 3, 5])


def tokens(shape=(6,), V=9, seed=0):
    """Return numbers of rows of different lengths, 0 after the last one."""
    x = np.random.default_rng(seed).integers(1, V, (len(LENGTHS), 6)) * (np.arange(6) < LENGTHS[:, None])
    return x if shape == (6,) else x[..., None]


def masked(shape=(6,), **options):
    layers = [Embedding(9, 4, mask_zero=True), LSTM(3, return_sequences=True), Bidirectional(GRU(2)), Dense(2)]
    return random_model(layers, shape, seed=2, **options)


@pytest.mark.parametrize("shape", [(6,), (6, 1), (None, 1)])
def test_masked_zeros_are_steps_that_are_not_there(shape):
    model, x = masked(shape), tokens(shape)
    whole = model.predict(x)
    short = masked((None, 1))
    for i, n in enumerate(LENGTHS):
        assert_close(whole[i : i + 1], short.predict(x[i].reshape(1, 6, 1)[:, :n]), 1e-13)
    model.compile("sgd", "mse")
    y = np.random.default_rng(1).normal(size=(len(x), 2))
    assert nbrnn.check_gradients(model, x).passed and nbrnn.check_gradients(model, x, y).passed


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_a_loss_leaves_masked_steps_out(shape):
    layers = [Embedding(9, 4, mask_zero=True), GRU(3, return_sequences=True), Dense(1)]
    model, x = random_model(layers, shape, seed=2), tokens(shape)
    model.compile("sgd", "mse", ["mae"])
    y = np.random.default_rng(1).normal(size=(len(x), 6, 1))
    assert nbrnn.check_gradients(model, x, y).passed
    errors = (model.predict(x) - y)[..., 0][np.arange(6) < LENGTHS[:, None]]
    for batch in (2, 3, 256):
        loss, mae = model.evaluate(x, y, batch_size=batch)
        assert loss == pytest.approx((errors**2).mean(), rel=1e-12) and mae == pytest.approx(abs(errors).mean())
    model.fit(x, y, batch_size=3, epochs=2, verbose=0)


def test_a_mask_that_is_given_and_zeros_leave_what_both_leave():
    x = tokens((6, 1))
    given = np.arange(6) != 1
    free = masked((None, 1))
    expected = free.predict(np.delete(x, 1, axis=1))
    assert_close(free.predict(x, mask=np.tile(given, (len(x), 1)))[LENGTHS > 1], expected[LENGTHS > 1], 1e-13)


def test_sequences_of_different_lengths_are_padded():
    model, x = masked((None, 1)), tokens((6, 1))
    ragged = [x[i, :n] for i, n in enumerate(LENGTHS)]
    np.testing.assert_array_equal(model.predict(ragged), model.predict(x, lengths=LENGTHS))


def test_a_language_of_three_words_is_learned():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (400, 5))
    model = Sequential([Embedding(3, 4), LSTM(8), Dense(3, "softmax")], (5,), seed=1)
    model.compile(nbrnn.Adam(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, x[:, 1], epochs=30, verbose=0).history
    assert history["accuracy"][-1] > 0.95 and history["loss"][-1] < 0.3 * history["loss"][0]


def test_what_names_no_row_is_refused():
    model, x = masked(), tokens()
    model.compile("sgd", "mse")
    for dtype in ("float32", "float64"):
        m = masked(dtype=dtype)
        for wrong, shown in ((9, "9"), (-1, "-1"), (0.5, "0.5")):
            bad = x.astype(dtype)
            bad[3, 2] = wrong
            refused(
                lambda m=m, bad=bad: m.predict(bad),
                "rows of layer embedding",
                f"sample 3 holds {shown}",
            )
    refused(lambda: model.fit(x + 9, np.zeros((7, 2)), verbose=0), "whole numbers from 0 to 8")
    refused(lambda: model.evaluate(x - 1, np.zeros((7, 2))), "sample 1 holds -1")
    np.testing.assert_array_equal(model.predict(x), model.predict(x))
    refused(lambda: model.predict(x[:1] + 9), "x must hold whole numbers")  # after a call of the same shape, too
    a, b = Input((3,), "a"), Input((3,), "b")
    two = Model([a, b], nbrnn.add([Embedding(4, 2)(a), Embedding(3, 2)(b)]))
    refused(lambda: two.predict([np.full((2, 3), 3)] * 2), "x of input 'b' must hold whole numbers from 0 to 2")


def test_what_an_embedding_cannot_be_is_refused():
    refused(lambda: Embedding(0, 2), "input_dim must be a whole number of at least 1, not 0")
    refused(lambda: Embedding(2**25, 2), "input_dim must be at most 16777216")
    refused(lambda: Embedding(3, 2, "unifrm"), "embeddings_initializer 'unifrm' is unknown")
    refused(lambda: Sequential([Embedding(3, 2)], (4, 2)), "takes a whole number a step", "(4, 2)")
    refused(lambda: Sequential([Dense(2), Embedding(3, 2)], (4,)), "layer embedding reads whole numbers", "an input")
    a = Input((4, 1))
    refused(lambda: Model(a, Embedding(3, 2)(Masking()(a))), "must read an input")
    refused(lambda: Input((None,)), "must end in a number of features", "(None, 1)")
    refused(lambda: nbrnn.TimeDistributed(Embedding(3, 2))(Input((4, 3))), "makes a sequence (3, 2) of every step")
    refused(lambda: nbrnn.Feedback([Embedding(3, 2), Dense(1)]), "not Embedding")
    refused(masked((6, 1)).stream, "layer embedding cannot go step by step")
    refused(lambda: nbrnn.trace(masked(), tokens()[0]), "a trace cannot look into layer embedding")


def test_rows_begin_as_keras_names_them():
    model = Sequential([Embedding(100, 50), Flatten(), Dense(1)], (3,), seed=0)
    W = model.get_weights()[0]
    assert W.shape == (100, 50) and 0.0495 < abs(W).max() <= 0.05 and repr(model.layers[0]).count("random_uniform") == 1


@pytest.mark.parity
def test_masked_zeros_are_kerass():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    x, y = tokens(), np.random.default_rng(1).normal(size=(len(LENGTHS), 2)).astype("f4")
    ours = random_weights(masked(dtype="float32"), 3)
    layers = keras.layers
    inner = layers.Bidirectional(layers.GRU(2))
    made = [layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3, return_sequences=True), inner, layers.Dense(2)]
    theirs = keras.Sequential([keras.Input((6,), dtype="int32"), *made])
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), atol=1e-6)
    ours.compile(nbrnn.SGD(0.1), "mse")
    theirs.compile(keras.optimizers.SGD(0.1), "mse")
    for model in (ours, theirs):
        model.fit(x, y, batch_size=7, epochs=5, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_a_check_draws_numbers_of_rows():
    from nbrnn.testing import assert_gradients

    for shape in ((6,), (None, 1)):
        assert_gradients(masked(shape))
    a, b = Input((3,), "a"), Input((3, 2), "b")
    model = Model([a, b], nbrnn.concatenate([Flatten()(Embedding(4, 2)(a)), LSTM(2)(b)]), seed=1)
    assert_gradients(random_weights(model, 2))
