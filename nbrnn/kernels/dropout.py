"""Dropout: masks by counter, and their product with what they mask.

    mask = 0 with probability rate, else 1 / (1 - rate)          y = x mask          dx = dy mask

Source: Srivastava et al., JMLR 15 (2014), in its inverted form; one mask for all steps of a sequence is Gal &
Ghahramani's (NeurIPS 2016). A mask depends on (seed, layer, optimizer step, place of the sample in the epoch, element)
alone: not on shards or threads, and the same after a resume.

Letters: T steps, B samples, F features; K is T where every step has a mask of its own, 1 where all share one.
"""

import numpy as np

from .abi import POSITION, SEED, STEP, inlined, kernel
from .random import philox


@inlined
def fill(row, seed, purpose, step, first, threshold, kept):
    """Draw a row of a mask: word w of counter k belongs to element w * n + k, n the number of counters."""
    n, zero = (row.size + 3) // 4, row.dtype.type(0)
    for k in range(n):
        a, b, c, d = philox(seed, purpose, step, first + k)
        row[k] = kept if a >= threshold else zero
        if n + k < row.size:
            row[n + k] = kept if b >= threshold else zero
        if 2 * n + k < row.size:
            row[2 * n + k] = kept if c >= threshold else zero
        if 3 * n + k < row.size:
            row[3 * n + k] = kept if d >= threshold else zero


@inlined
def mask_states(to, state, by):
    """Multiply a state by its mask."""
    for i in range(by.shape[0]):
        for j in range(by.shape[1]):
            to[i, j] = state[i, j] * by[i, j]


@inlined
def unmask(into, d, by, add):
    """Take a gradient back through the mask: into (+)= d by."""
    for i in range(by.shape[0]):
        for j in range(by.shape[1]):
            into[i, j] = (into[i, j] if add else d.dtype.type(0)) + d[i, j] * by[i, j]


@kernel("control[C]:i8 seed:int purpose:int threshold:int kept:float -> mask[K,B,F]")
def draw_mask(control, seed, purpose, threshold, kept, mask):
    """Draw a mask: an element is `kept` (1 / (1 - rate)) where 32 random bits reach the threshold, else 0.

    A seed below 0 means the model's.
    """
    K, B, F = mask.shape
    n, most, value = (F + 3) // 4, np.uint64(threshold), mask.dtype.type(kept)
    key = control[SEED] if seed < 0 else seed
    for i in range(B):
        for t in range(K):
            first = ((control[POSITION] + i) * K + t) * n
            fill(mask[t, i], key, purpose, control[STEP], first, most, value)


@kernel("x[T,B,F] mask[K,B,F] -> y[T,B,F]", flops=lambda d: d["T"] * d["B"] * d["F"])
def apply_mask(x, mask, y):
    """Multiply every step by its mask, or all by the one."""
    for t in range(x.shape[0]):
        now = mask[t] if mask.shape[0] > 1 else mask[0]
        for i in range(x.shape[1]):
            from_, by, to = x[t, i], now[i], y[t, i]
            for j in range(x.shape[2]):
                to[j] = from_[j] * by[j]
