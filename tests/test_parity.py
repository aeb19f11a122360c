"""The same numbers as PyTorch, where it is installed: outputs, and gradients of every weight and of the input."""

import numpy as np
import pytest

import nbrnn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.parity

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def torch_rnn(model, features, activation, layers):
    """Return nn.RNN with the model's weights: transposed, and the second bias zero."""
    units = model.layers[0].units
    rnn = torch.nn.RNN(features, units, layers, nonlinearity=activation, batch_first=True, dtype=torch.float64)
    weights = iter(model.get_weights())
    with torch.no_grad():
        for k in range(layers):
            for name in ("weight_ih", "weight_hh", "bias_ih"):
                getattr(rnn, f"{name}_l{k}").copy_(torch.from_numpy(next(weights).T.astype("f8")))
            getattr(rnn, f"bias_hh_l{k}").zero_()
    return rnn


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("batch", "steps", "features", "units"), [(1, 1, 1, 1), (5, 7, 3, 4), (33, 6, 2, 17)])
def test_simple_rnn_is_torch_rnn(dtype, layers, activation, batch, steps, features, units):
    rng = np.random.default_rng(layers)
    stack = [nbrnn.SimpleRNN(units, activation, return_sequences=True) for _ in range(layers)]
    model = nbrnn.Sequential(stack, input_shape=(steps, features), seed=3, dtype=dtype)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    x = rng.normal(size=(batch, steps, features)).astype(dtype)
    rnn, tolerance = torch_rnn(model, features, activation, layers), TOLERANCE[dtype]
    inputs = torch.from_numpy(x.astype("f8")).requires_grad_()
    outputs = rnn(inputs)[0]
    np.testing.assert_allclose(model.predict(x), outputs.detach().numpy(), rtol=tolerance, atol=tolerance)

    target = rng.normal(size=(batch, steps, units))
    model.compile("sgd", "mse")
    ours = nbrnn.check_gradients(model, x, target).gradients
    torch.nn.functional.mse_loss(outputs, torch.from_numpy(target)).backward()
    for k in range(layers):
        name = model.layers[k].name
        for weight, theirs in (("kernel", "weight_ih"), ("recurrent_kernel", "weight_hh"), ("bias", "bias_ih")):
            gradient = getattr(rnn, f"{theirs}_l{k}").grad.numpy().T
            np.testing.assert_allclose(ours[f"{name}/{weight}"], gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours["x"], inputs.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "theirs"),
    [
        (nbrnn.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        # nn's velocity is ours without the learning rate and the sign
        (nbrnn.SGD(0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (nbrnn.SGD(0.1, momentum=0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        # epsilon stands at another place in PyTorch: so small here that it does not show
        (nbrnn.RMSprop(0.01, epsilon=1e-30), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-15)),
        (nbrnn.Adam(0.01, epsilon=1e-30), lambda p: torch.optim.Adam(p, 0.01, eps=1e-30)),
    ],
    ids=lambda value: "torch" if callable(value) else repr(value),
)
def test_five_steps_of_an_optimizer_are_torchs(optimizer, theirs):
    rng = np.random.default_rng(0)
    model = nbrnn.Sequential([nbrnn.Dense(2)], input_shape=(3,), seed=1, dtype="float64")
    model.compile(optimizer, "mse")
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    W, b = (torch.from_numpy(w).requires_grad_() for w in model.get_weights())
    step = theirs([W, b])
    for _ in range(5):
        model.train_on_batch(x, y)
        step.zero_grad()
        torch.nn.functional.mse_loss(torch.from_numpy(x) @ W + b, torch.from_numpy(y)).backward()
        step.step()
    for ours, other in zip(model.get_weights(), (W, b), strict=True):
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=1e-9, atol=1e-12)
