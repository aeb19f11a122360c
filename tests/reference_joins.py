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
