"""Rows of a table, looked up by number: y_t = W[x_t], and dW[v] the sum of dy_t over the steps at which x_t is v.

The sum goes over steps, then samples, in order. Letters: N = T B numbers, T steps, B samples, V rows, E columns.
"""

import numpy as np

from .abi import inlined, kernel
from .lanes import load, store, width


@inlined
def row_of(value, rows):
    """Return the row that a number names; one that names none, which is refused before, is no place outside."""
    return min(max(np.int64(value.real + 0.5), 0), rows - 1)


@kernel("x[N] W[V,E] per_step:int per_sample:int -> y[T,B,E]")
def look_up(x, W, per_step, per_sample, y):
    """Copy the rows that numbers name."""
    (T, B, E), w = y.shape, width(y)
    for t in range(T):
        for i in range(B):
            k = row_of(x[t * per_step + i * per_sample], W.shape[0])
            for j in range(0, E, w):
                n = min(w, E - j)
                store(y[t, i], j, n, load(W[k], j, n))


@kernel("x[N] dy[T,B,E] per_step:int per_sample:int add:int -> !dW[V,E]", flops=lambda d: d["T"] * d["B"] * d["E"])
def look_up_backward(x, dy, per_step, per_sample, add, dW):
    """Add gradients to the rows that were read."""
    (T, B, E), w = dy.shape, width(dW)
    for k in range(0 if add else dW.shape[0]):
        for j in range(E):
            dW[k, j] = dW.dtype.type(0)
    for t in range(T):
        for i in range(B):
            k = row_of(x[t * per_step + i * per_sample], dW.shape[0])
            for j in range(0, E, w):
                n = min(w, E - j)
                store(dW[k], j, n, load(dW[k], j, n) + load(dy[t, i], j, n))


@kernel("x[N] before[T,B]? per_step:int per_sample:int -> valid[T,B]")
def mask_zeros(x, before, per_step, per_sample, valid):
    """Mask the steps whose number is 0, and those that are masked before."""
    for t in range(valid.shape[0]):
        for i in range(valid.shape[1]):
            kept = x[t * per_step + i * per_sample].real != 0 and (before.size == 0 or before[t, i].real > 0)
            valid[t, i] = valid.dtype.type(1) if kept else valid.dtype.type(0)
