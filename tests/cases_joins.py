"""Arguments for the kernels of joins.py."""

import numpy as np
from hypothesis import strategies as st
from support import few, sizes


def pair(draw, *names):
    N, D = draw(few, "N"), draw(sizes, "D")
    return {name: draw.array(N, D) for name in names}


def factor(draw, label):
    return float(np.float32(draw(st.floats(-2.0, 2.0), label)))


def blend(draw):
    return pair(draw, "v", "w", "y") | {"scale": factor(draw, "scale")}


def multiply(draw):
    return pair(draw, "v", "w", "y")


def scaled(draw):
    return pair(draw, "x", "y") | {"factor": factor(draw, "factor")}


def weigh(draw):
    stats = draw.rng.normal(size=4).astype("complex128" if draw.dtype == "complex128" else "float64")
    first = draw(st.integers(0, 1), "first")
    rows = np.full(1, draw(st.integers(0, 9), "rows"), draw.dtype)
    valid = rows if draw(st.booleans(), "present valid") else None
    own = dict(weight=factor(draw, "weight"), slot=draw(st.integers(1, 3), "slot"), first=first, stats=stats)
    return own | dict(valid=valid, control=draw.control())


def activation_forward(draw):
    N, D = draw(few, "N"), draw(sizes, "D")
    return dict(x=draw.array(N, D), activation=draw.code(), y=draw.array(N, D))


def softmax(draw):
    arrays = pair(draw, "x", "y")
    arrays["x"] += arrays["x"].dtype.type(draw(st.sampled_from((0, 700, -700)), "shift"))  # no exponential may overflow
    return arrays


def softmax_backward(draw):
    return pair(draw, "y", "dy", "dx")


def repeat_steps(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(sizes, "D")
    return {"x": draw.array(B, D), "y": draw.array(T, B, D)}


def sum_steps(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(sizes, "D")
    return {"dy": draw.array(T, B, D), "dx": draw.array(B, D)}


def swap_axes(draw):
    T, B, D = draw(few, "T"), draw(few, "B"), draw(sizes, "D")
    return {"x": draw.array(T, B, D), "y": draw.array(D, B, T)}


def turn_matrix(draw):
    F, O = draw(few, "F"), draw(few, "O")
    return {"W": draw.array(F, O), "turned": draw.array(O, F)}


CASES = {
    f.__name__: f
    for f in (
        blend, multiply, scaled, weigh, activation_forward, softmax, softmax_backward, turn_matrix, repeat_steps,
        sum_steps, swap_axes,
    )
}  # fmt: skip
