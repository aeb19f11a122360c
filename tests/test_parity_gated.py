"""SimpleRNN, LSTM and GRU give PyTorch's and Keras' numbers, states included, where those are installed."""

import numpy as np
import pytest

import nbrnn

pytestmark = pytest.mark.parity
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
SHAPES = [(1, 1, 1, 1), (5, 7, 3, 4), (33, 6, 2, 17)]


def random_model(kind, shape, dtype, layers, **options):
    batch, steps, features, units = shape
    rng = np.random.default_rng(units)
    options = {"return_sequences": True, "return_state": True} | options
    stack = [getattr(nbrnn, kind)(units, **options) for _ in range(layers)]
    model = nbrnn.Sequential(stack, input_shape=(steps, features), seed=3, dtype=dtype)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model, rng.normal(size=(batch, steps, features)).astype(dtype), rng.normal(size=(batch, steps, units))


def reorder(weight, units):
    """Columns z, r, n to PyTorch's r, z, n."""
    return np.concatenate([weight[..., units : 2 * units], weight[..., :units], weight[..., 2 * units :]], -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_outputs_and_gradients_are_torchs(kind, shape, layers, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model, x, target = random_model(kind, shape, dtype, layers)
    units = shape[3]
    turn = (lambda w: reorder(w, units)) if kind == "GRU" else (lambda w: w)
    net = getattr(torch.nn, "RNN" if kind == "SimpleRNN" else kind)(
        shape[2], units, layers, batch_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        for k, layer in enumerate(model.layers):
            Wx, Wh, b = (turn(w.astype("f8")) for w in layer.get_weights())
            first, second = b if kind == "GRU" else (b, np.zeros_like(b))
            for name, value in (("weight_ih", Wx.T), ("weight_hh", Wh.T), ("bias_ih", first), ("bias_hh", second)):
                getattr(net, f"{name}_l{k}").copy_(torch.from_numpy(value.copy()))
    inputs = torch.from_numpy(x.astype("f8")).requires_grad_()
    states = {name: np.random.default_rng(5).normal(size=(len(x), units)) for name in model._units()}
    letters = "hc" if kind == "LSTM" else "h"
    given = [np.stack([s for name, s in states.items() if name[-1] == letter]) for letter in letters]
    given = [torch.from_numpy(state).requires_grad_() for state in given]
    outputs, last = net(inputs, given if kind == "LSTM" else given[0])
    last = last if kind == "LSTM" else [last]
    tolerance = TOLERANCE[dtype]
    predicted, *final = model.predict(x, initial_state=states)
    np.testing.assert_allclose(predicted, outputs.detach().numpy(), rtol=tolerance, atol=tolerance)
    places = {
        name: (letters.index(name[-1]), k) for k, layer in enumerate(model.layers) for name in layer.state_names()
    }
    for (letter, k), state in zip(places.values(), final, strict=True):
        np.testing.assert_allclose(state, last[letter][k].detach().numpy(), rtol=tolerance, atol=tolerance)

    model.compile("sgd", "mse")
    ours = nbrnn.check_gradients(model, x, target, initial_state=states).gradients
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
    for name, (letter, k) in places.items():
        np.testing.assert_allclose(ours[f"{name}0"], given[letter].grad[k].numpy(), rtol=1e-9, atol=1e-12)


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
    theirs = getattr(keras.layers, kind)(4, return_sequences=True, return_state=True, **options)
    theirs.build(x.shape)
    assert [w.shape for w in theirs.get_weights()] == [w.shape for w in model.get_weights()]
    theirs.set_weights(model.get_weights())
    states = [np.random.default_rng(k).normal(size=(5, 4)).astype("f4") for k in range(2 if kind == "LSTM" else 1)]
    expected = theirs(x, initial_state=[keras.ops.convert_to_tensor(s) for s in states])
    for ours, numbers in zip(model.predict(x, initial_state=states), expected, strict=True):
        np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(numbers), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_stateful_layers_go_on_as_those_of_keras(kind, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    model, x, _ = random_model(kind, (4, 5, 3, 4), "float32", 1, stateful=True, return_state=False)
    theirs = getattr(keras.layers, kind)(4, return_sequences=True, stateful=True)
    net = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), theirs])
    theirs.set_weights(model.get_weights())
    for _ in range(2):
        expected = net.predict(x, batch_size=2, verbose=0)
        np.testing.assert_allclose(model.predict(x, batch_size=2), expected, rtol=1e-5, atol=1e-5)
