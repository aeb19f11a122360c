"""LSTM and GRU give PyTorch's and Keras' numbers, where those are installed."""

import numpy as np
import pytest

import nbrnn

pytestmark = pytest.mark.parity
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}
SHAPES = [(1, 1, 1, 1), (5, 7, 3, 4), (33, 6, 2, 17)]


def random_model(kind, shape, dtype, layers, **options):
    batch, steps, features, units = shape
    rng = np.random.default_rng(units)
    stack = [getattr(nbrnn, kind)(units, return_sequences=True, **options) for _ in range(layers)]
    model = nbrnn.Sequential(stack, input_shape=(steps, features), seed=3, dtype=dtype)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model, rng.normal(size=(batch, steps, features)).astype(dtype), rng.normal(size=(batch, steps, units))


def reorder(weight, units):
    """Columns z, r, n to PyTorch's r, z, n."""
    return np.concatenate([weight[..., units : 2 * units], weight[..., :units], weight[..., 2 * units :]], -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_outputs_and_gradients_are_torchs(kind, shape, layers, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model, x, target = random_model(kind, shape, dtype, layers)
    units = shape[3]
    turn = (lambda w: reorder(w, units)) if kind == "GRU" else (lambda w: w)
    net = getattr(torch.nn, kind)(shape[2], units, layers, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for k, layer in enumerate(model.layers):
            Wx, Wh, b = (turn(w.astype("f8")) for w in layer.get_weights())
            first, second = b if kind == "GRU" else (b, np.zeros_like(b))
            for name, value in (("weight_ih", Wx.T), ("weight_hh", Wh.T), ("bias_ih", first), ("bias_hh", second)):
                getattr(net, f"{name}_l{k}").copy_(torch.from_numpy(value.copy()))
    inputs = torch.from_numpy(x.astype("f8")).requires_grad_()
    outputs = net(inputs)[0]
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(model.predict(x), outputs.detach().numpy(), rtol=tolerance, atol=tolerance)

    model.compile("sgd", "mse")
    ours = nbrnn.check_gradients(model, x, target).gradients
    torch.nn.functional.mse_loss(outputs, torch.from_numpy(target)).backward()
    for k, layer in enumerate(model.layers):
        for weight, theirs in (("kernel", "weight_ih"), ("recurrent_kernel", "weight_hh")):
            gradient = getattr(net, f"{theirs}_l{k}").grad.numpy().T
            np.testing.assert_allclose(turn(ours[f"{layer.name}/{weight}"]), gradient, rtol=1e-9, atol=1e-12)
        db = turn(ours[f"{layer.name}/bias"])
        first, second = db if kind == "GRU" else (db, db)
        np.testing.assert_allclose(first, getattr(net, f"bias_ih_l{k}").grad.numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(second, getattr(net, f"bias_hh_l{k}").grad.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours["x"], inputs.grad.numpy(), rtol=1e-9, atol=1e-12)


OPTIONS = [
    ("SimpleRNN", {"activation": "relu"}),
    ("SimpleRNN", {"go_backwards": True}),
    ("LSTM", {}),
    ("LSTM", {"use_bias": False, "activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
    ("LSTM", {"go_backwards": True}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"reset_after": False, "go_backwards": True, "activation": "elu"}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_outputs_and_layouts_are_keras(kind, options, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    model, x, _ = random_model(kind, (5, 7, 3, 4), "float32", 1, **options)
    theirs = getattr(keras.layers, kind)(4, return_sequences=True, **options)
    theirs.build(x.shape)
    assert [w.shape for w in theirs.get_weights()] == [w.shape for w in model.get_weights()]
    theirs.set_weights(model.get_weights())
    outputs = keras.ops.convert_to_numpy(theirs(x))
    np.testing.assert_allclose(model.predict(x), outputs, rtol=1e-5, atol=1e-5)
