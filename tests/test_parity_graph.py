"""The same numbers as PyTorch's and Keras' Bidirectional and Keras' functional models, where they are installed."""

import os

import numpy as np
import pytest
from support import random_model

import nbrnn
from nbrnn import Bidirectional

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_bidirectional_is_torchs(cell):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = random_model([Bidirectional(getattr(nbrnn, cell)(4, return_sequences=True))], (5, 3))
    x = np.random.default_rng(0).normal(size=(6, 5, 3))
    rnn = getattr(torch.nn, cell)(3, 4, batch_first=True, bidirectional=True, dtype=torch.float64)
    weights = iter(model.get_weights())

    def ordered(w):  # PyTorch's GRU has r before z
        parts = np.split(w, 3 if cell == "GRU" else 4, axis=-1)
        return np.concatenate([parts[1], parts[0], *parts[2:]] if cell == "GRU" else parts, axis=-1)

    with torch.no_grad():
        for way in ("", "_reverse"):
            Wx, Wh, b = (ordered(next(weights)) for _ in range(3))
            both = b if cell == "GRU" else np.stack([b, 0 * b])
            for name, w in (("weight_ih", Wx.T), ("weight_hh", Wh.T), ("bias_ih", both[0]), ("bias_hh", both[1])):
                getattr(rnn, f"{name}_l0{way}").copy_(torch.from_numpy(np.ascontiguousarray(w)))
    inputs = torch.from_numpy(x).requires_grad_()
    outputs = rnn(inputs)[0]
    np.testing.assert_allclose(model.predict(x), outputs.detach().numpy(), rtol=1e-10, atol=1e-12)
    target = np.random.default_rng(1).normal(size=(6, 5, 8))
    model.compile("sgd", "mse")
    torch.nn.functional.mse_loss(outputs, torch.from_numpy(target)).backward()
    ours = nbrnn.check_gradients(model, x, target).gradients["x"]
    np.testing.assert_allclose(ours, inputs.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_a_graph_has_kerass_order_of_weights_and_its_numbers_after_five_steps(keras):
    def build(library, inputs, call):
        a, b = inputs
        layers = library
        h = layers.LSTM(3, return_sequences=True)(a)
        shared = layers.Dense(2, "tanh")
        left, right = shared(b), shared(layers.Dense(2)(h))
        top = layers.GRU(3)(layers.Concatenate()([left, right]))
        return call([a, b], [layers.Dense(1, name="u")(top), layers.Softmax(name="v")(layers.Dense(4)(h))])

    inputs = (nbrnn.Input((4, 3), "a"), nbrnn.Input((4, 2), "b"))
    ours = build(nbrnn, inputs, lambda i, o: nbrnn.Model(i, o, seed=0))
    inputs = (keras.Input((4, 3), name="a"), keras.Input((4, 2), name="b"))
    theirs = build(keras.layers, inputs, keras.Model)
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.4, w.shape).astype("f4") for w in ours.get_weights()]
    assert [w.shape for w in theirs.get_weights()] == [w.shape for w in weights]
    x = [random.normal(size=(8, 4, n)).astype("f4") for n in (3, 2)]
    y = [random.normal(size=(8, *s)).astype("f4") for s in ((1,), (4, 4))]
    losses = {}
    for name, model, adam in (("ours", ours, nbrnn.Adam(0.01)), ("theirs", theirs, keras.optimizers.Adam(0.01))):
        model.set_weights(weights)
        model.compile(optimizer=adam, loss=["mse", "mae"], loss_weights=[0.5, 2.0])
        losses[name] = model.fit(x, y, batch_size=8, epochs=5, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses["ours"], losses["theirs"], rtol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert isinstance(ours.predict(x), list)
