"""onnxruntime: its LSTM, GRU and RNN operators, time first; forward only. Weights are constants that it may pack."""

import numpy as np
import onnxruntime
from cases import CELLS, Case
from inputs import Form, Forms
from onnx import TensorProto, helper, numpy_helper

KINDS = {"simple_rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
settings = onnxruntime.SessionOptions()


def start(threads: int) -> dict[str, str]:
    settings.intra_op_num_threads = threads
    return {"onnxruntime": onnxruntime.__version__}


def session(case: Case, a: dict[str, np.ndarray], states: tuple[str, ...]) -> onnxruntime.InferenceSession:
    """Return a session of one operator that gives every state or, where states are named, takes and gives the last."""
    H, B, T, F = case.sizes
    G = CELLS[case.name]
    bias = a["b"].reshape(-1, G * H)[:1]
    tensors = {"W": a["Wx"].T[None], "R": a["Wh"].T[None], "B": np.concatenate([bias, 0 * bias], 1)}
    stored = [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in tensors.items()]

    def described(name: str, *shape: int):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [described("x", T, B, F), *(described(name, 1, B, H) for name in states)]
    outputs = [described(f"next_{name}", 1, B, H) for name in states] or [described("y", T, 1, B, H)]
    names = [output.name for output in outputs]
    node = helper.make_node(
        KINDS[case.name],
        ["x", "W", "R", "B", *(["", *states] if states else [])],
        ["", *names] if states else names,
        hidden_size=H,
        **({"linear_before_reset": 1} if case.name == "gru" else {}),
    )
    graph = helper.make_graph([node], "layer", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])


def layer(case: Case, a: dict[str, np.ndarray]) -> Forms:
    def make() -> Form:
        made, x = session(case, a, ()), np.ascontiguousarray(a["x"].transpose(1, 0, 2))
        return Form(lambda: made.run(None, {"x": x}))

    return {"session.run": make}


def stream(case: Case, a: dict[str, np.ndarray]) -> Forms:
    def make() -> Form:
        made = session(case, a, ("h", "c"))
        h = c = np.zeros((1, 1, case.size), np.float32)

        def run() -> None:
            nonlocal h, c
            h, c = made.run(None, {"x": a["x"], "h": h, "c": c})

        return Form(run)

    return {"session.run": make}
