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
    x = arrays["x"]
    x += draw.rng.choice((0, 700, -700), (len(x), 1)).astype(x.dtype)  # no exponential may overflow
    if draw(st.booleans(), "one far above the others"):
        x[np.arange(len(x)), draw.rng.integers(0, x.shape[1], len(x))] += x.dtype.type(1000)
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


def looked_up(draw):
    """Return numbers of rows as both kinds of input hold them, and sizes."""
    T, B, V = draw(few, "T"), draw(few, "B"), draw(st.integers(1, 9), "V")
    strides = (
        {"per_step": B, "per_sample": 1} if draw(st.booleans(), "steps first") else {"per_step": 1, "per_sample": T}
    )
    return (T, B, V, draw(sizes, "E")), {"x": draw.rng.integers(0, V, T * B).astype(draw.dtype)} | strides


def look_up(draw):
    (T, B, V, E), numbers = looked_up(draw)
    return numbers | {"W": draw.array(V, E), "y": draw.array(T, B, E)}


def look_up_backward(draw):
    (T, B, V, E), numbers = looked_up(draw)
    return numbers | {"dy": draw.array(T, B, E), "add": draw(st.integers(0, 1), "add"), "dW": draw.array(V, E)}


def mask_zeros(draw):
    (T, B, _, _), numbers = looked_up(draw)
    before = draw.rng.integers(0, 2, (T, B)).astype(draw.dtype) if draw(st.booleans(), "present before") else None
    return numbers | {"before": before, "valid": draw.array(T, B)}


CASES = {
    f.__name__: f
    for f in (
        blend, multiply, scaled, weigh, activation_forward, softmax, softmax_backward, turn_matrix, repeat_steps,
        sum_steps, swap_axes, look_up, look_up_backward, mask_zeros,
    )
}  # fmt: skip
