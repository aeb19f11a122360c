"""One recurrent layer, as each library runs it fastest: `prepare` returns a function that does the work once.

"train" is forward, a mean squared error over all states, and all weight gradients, without the input's; "forward" is
the layer alone. Random weights and inputs, float32.
"""

import io
from collections.abc import Callable

import numpy as np
from cases import LAYERS

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def arrays(cell: str, size: int) -> dict[str, np.ndarray]:
    """Return inputs, targets and weights in Keras' layouts."""
    H, B, T, F = LAYERS[size]
    G, rng = GATES[cell], np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    bias = (2, G * H) if cell == "gru" else (G * H,)
    weights = {"Wx": normal(F, G * H, scale=F**-0.5), "Wh": normal(H, G * H, scale=H**-0.5), "b": normal(*bias)}
    return weights | {"x": normal(B, T, F), "y": normal(B, T, H)}


def prepare(name: str, cell: str, size: int, mode: str) -> Callable[[], None]:
    """Return what does the work of a case once."""
    return PREPARE[name](cell, size, mode, arrays(cell, size))


def nbrnn(cell: str, size: int, mode: str, a: dict[str, np.ndarray]) -> Callable[[], None]:
    """Run the ordinary program of the model, without an optimizer."""
    import nbrnn
    from nbrnn.cases import Case

    make = {"simple_rnn": nbrnn.SimpleRNN, "lstm": nbrnn.LSTM, "gru": nbrnn.GRU}[cell]
    model = nbrnn.Sequential([make(size, return_sequences=True)], input_shape=a["x"].shape[1:], seed=0)
    model.set_weights([a["Wx"], a["Wh"], a["b"]])
    if mode == "forward":
        return lambda: model.predict(a["x"])
    model.compile(loss="mse")
    model.optimizer = None
    executor = Case(a["x"], a["y"]).executor(model, "train", input_gradient=False)
    return lambda: executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)


def torch(cell: str, size: int, mode: str, a: dict[str, np.ndarray]) -> Callable[[], None]:
    """nn.RNN, nn.LSTM, nn.GRU, batch first."""
    import torch

    torch.set_num_threads(1)
    kind = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    net = kind(a["x"].shape[2], size, batch_first=True)
    x, y = torch.from_numpy(a["x"]), torch.from_numpy(a["y"])

    def forward() -> None:
        with torch.inference_mode():
            net(x)

    def train() -> None:
        net.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(net(x)[0], y).backward()

    return forward if mode == "forward" else train


def jax(cell: str, size: int, mode: str, a: dict[str, np.ndarray]) -> Callable[[], None]:
    """A jitted lax.scan over time, with the inputs' product outside of it."""
    import jax
    import jax.numpy as jnp

    H = size
    x, y = jnp.asarray(a["x"].transpose(1, 0, 2)), jnp.asarray(a["y"].transpose(1, 0, 2))
    p = tuple(jnp.asarray(a[name]) for name in ("Wx", "Wh", "b"))

    def states(p, x):
        Wx, Wh, b = p
        start = jnp.zeros((x.shape[1], H), jnp.float32)

        def rnn(h, now):
            h = jnp.tanh(now + h @ Wh)
            return h, h

        def lstm(carry, now):
            h, c = carry
            i, f, n, o = jnp.split(now + h @ Wh, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(n)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        def gru(h, now):
            q = h @ Wh + b[1]
            z = jax.nn.sigmoid(now[:, :H] + q[:, :H])
            r = jax.nn.sigmoid(now[:, H : 2 * H] + q[:, H : 2 * H])
            n = jnp.tanh(now[:, 2 * H :] + r * q[:, 2 * H :])
            h = z * h + (1 - z) * n
            return h, h

        step, carry = {"simple_rnn": (rnn, start), "lstm": (lstm, (start, start)), "gru": (gru, start)}[cell]
        return jax.lax.scan(step, carry, x @ Wx + (b[0] if cell == "gru" else b))[1]

    if mode == "forward":
        work = jax.jit(states)
        return lambda: jax.block_until_ready(work(p, x))
    work = jax.jit(jax.value_and_grad(lambda p, x, y: jnp.mean((states(p, x) - y) ** 2)))
    return lambda: jax.block_until_ready(work(p, x, y))


def onnxruntime(cell: str, size: int, mode: str, a: dict[str, np.ndarray]) -> Callable[[], None]:
    """The LSTM, GRU and RNN operators; forward only."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    assert mode == "forward"
    H, B, T, F = LAYERS[size]
    G = GATES[cell]
    bias = a["b"].reshape(-1, G * H)[:1]
    tensors = {"W": a["Wx"].T[None], "R": a["Wh"].T[None], "B": np.concatenate([bias, 0 * bias], 1)}
    stored = [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in tensors.items()]
    kind = {"simple_rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}[cell]
    options = {"linear_before_reset": 1} if cell == "gru" else {}
    node = helper.make_node(kind, ["x", "W", "R", "B"], ["y"], hidden_size=H, **options)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [T, B, F])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [T, 1, B, H])]
    graph = helper.make_graph([node], "layer", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    content = io.BytesIO()
    onnx.save(model, content)
    session = onnxruntime.InferenceSession(content.getvalue(), settings, providers=["CPUExecutionProvider"])
    x = np.ascontiguousarray(a["x"].transpose(1, 0, 2))
    return lambda: session.run(None, {"x": x})


PREPARE = {"nbrnn": nbrnn, "torch": torch, "jax": jax, "onnxruntime": onnxruntime}
