"""Dropout: masks by counter, and their product with what they mask.

    mask = 0 with probability rate, else 1 / (1 - rate)          y = x mask          dx = dy mask

Source: Srivastava et al., JMLR 15 (2014), in its inverted form; one mask for all steps of a sequence is Gal &
Ghahramani's (NeurIPS 2016). A mask depends on (seed, layer, optimizer step, place of the sample in the epoch, element)
alone: not on shards or threads, and the same after a resume. In a prediction the number of the draw stands for the
step, so that a mask does not depend on the batches either.

Letters: T steps, B samples, F features; K is T where every step has a mask of its own, 1 where all share one.
"""

import numpy as np

from .abi import EPOCH, POSITION, SEED, STEP, inlined, kernel
from .random import philox

GROUP = 8  # counters drawn side by side: LLVM makes vectors of the loop over them
BLOCK = 4 * GROUP  # elements of so many counters
STEP_BITS = 40  # where the step stands in a counter, above 2^42 elements of all samples


@inlined
def draw_block(part, seed, purpose, step, first, threshold, kept):
    """Draw a block of a mask: word w of its counter k belongs to its element GROUP w + k."""
    zero = part.dtype.type(0)
    for k in range(GROUP):
        a, b, c, d = philox(seed, purpose, step, first + k)
        part[k] = kept if a >= threshold else zero
        part[GROUP + k] = kept if b >= threshold else zero
        part[2 * GROUP + k] = kept if c >= threshold else zero
        part[3 * GROUP + k] = kept if d >= threshold else zero


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


@kernel("control[C]:i8 seed:int purpose:int sampled:int threshold:int kept:float -> mask[K,B,F] room[R]")
def draw_mask(control, seed, purpose, sampled, threshold, kept, mask, room):
    """Draw a mask: an element is `kept` (1 / (1 - rate)) where 32 random bits reach the threshold, else 0.

    A seed below 0 means the model's; where a prediction is sampled, the epoch is the number of the draw. The elements
    of all samples of a step, one sample after the other, are cut into blocks; `room` takes those that begin or end
    outside the shard.
    """
    K, B, F = mask.shape
    key, most, value = control[SEED] if seed < 0 else seed, np.uint64(threshold), mask.dtype.type(kept)
    begin, size, step = control[POSITION] * F, B * F, control[EPOCH] if sampled else control[STEP]
    for t in range(K):
        elements = mask[t].reshape((size,))
        for at in range(-(begin % BLOCK), size, BLOCK):
            whole = at >= 0 and at + BLOCK <= size
            counter = (t << STEP_BITS) + (begin + at) // 4
            part = elements[at : at + BLOCK] if whole else room
            draw_block(part, key, purpose, step, counter, most, value)
            if not whole:
                for j in range(max(at, 0), min(at + BLOCK, size)):
                    elements[j] = room[j - at]


@kernel("x[T,B,F] mask[K,B,F] -> y[T,B,F]", flops=lambda d: d["T"] * d["B"] * d["F"])
def apply_mask(x, mask, y):
    """Multiply every step by its mask, or all by the one."""
    T, B, F = x.shape
    for t in range(T):
        now = mask[t] if mask.shape[0] > 1 else mask[0]
        from_, by, to = x[t].reshape((B * F,)), now.reshape((B * F,)), y[t].reshape((B * F,))
        for j in range(B * F):
            to[j] = from_[j] * by[j]
