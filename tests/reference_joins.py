"""Slow, obvious twins of the kernels of joins.py; see reference.py."""

import numpy as np
from reference import BATCH, act


def blend(v, w, scale, y):
    return {"y": scale * (v + w)}


def multiply(v, w, y):
    return {"y": v * w}


def scaled(x, factor, y):
    return {"y": factor * x}


def weigh(valid, control, weight, slot, first, stats):
    stats = stats.copy()
    rows = 1 if valid is None else control[BATCH] / max(1, valid[0].real)
    stats[0] = (0 if first else stats[0]) + weight * stats[slot] * rows
    return {"stats": stats}


def activation_forward(x, activation, y):
    return {"y": np.array([[act(number, activation) for number in row] for row in x])}


def softmax(x, y):
    powers = np.exp(x - x.real.max(axis=1, keepdims=True))
    return {"y": powers / powers.sum(axis=1, keepdims=True)}


def softmax_backward(y, dy, dx):
    """The product with the matrix of slopes dy_j / dx_k = y_j ([j = k] - y_k), row by row."""
    return {"dx": np.array([(np.diag(row) - np.outer(row, row)) @ d for row, d in zip(y, dy, strict=True)])}


def repeat_steps(x, y):
    return {"y": np.stack([x] * len(y))}


def sum_steps(dy, dx):
    return {"dx": sum(dy)}


def swap_axes(x, y):
    return {"y": x.transpose(2, 1, 0)}


def turn_matrix(W, turned):
    return {"turned": W.T}


def rows_named(x, like, per_step, per_sample):
    """Yield each step and sample with the row that its number names."""
    for t, i in np.ndindex(like.shape[:2]):
        yield t, i, int(x[t * per_step + i * per_sample].real)


def look_up(x, W, per_step, per_sample, y):
    y = y.copy()
    for t, i, k in rows_named(x, y, per_step, per_sample):
        y[t, i] = W[k]
    return {"y": y}


def look_up_backward(x, dy, per_step, per_sample, add, dW):
    new = dW if add else 0 * dW
    for t, i, k in rows_named(x, dy, per_step, per_sample):
        new = new + np.outer(np.arange(len(dW)) == k, dy[t, i])
    return {"dW": new}


def mask_zeros(x, before, per_step, per_sample, valid):
    new = np.zeros_like(valid)
    for t, i, k in rows_named(x, valid, per_step, per_sample):
        new[t, i] = k != 0 and (before is None or before[t, i].real > 0)
    return {"valid": new}
