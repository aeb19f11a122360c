"""The kernels of design "groups": a pass over steps t0 to t1 of a layer, in one launch.

Of a group's blocks each has some units, and all of the group's sequences: every `groups`-th of the batch, so that
sequences of different lengths are spread evenly. A step: copy what the last step left (states, or gradients) to shared
memory, multiply, let each thread take some units of sequences on (groupcells.py), meet the group's other blocks.

    forward   h_t needs all of h_(t-1) and the block's columns of Wh
    backward  dL/dh_t needs all of da_(t+1) and the block's columns of Wh^T; step r = 0 is t = T - 1

Whatever depends on the data (`alive`) is read from device memory, and the same for all blocks of a group: they meet
equally often. A launch of one step has no meeting; so it runs in the simulator.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from .barrier import SPINS, arrives_and_waits, have_all_met
from .blockproducts import BlockProduct, block_product, inlined
from .groupcells import CELLS, place
from .splits import Split


@inlined
def rows_at(alive, t, B, group, groups):  # type: ignore[no-untyped-def]
    """Return how many of a group's sequences have a step t."""
    n = B
    if alive.size > 0:
        n = alive[t]
    return max((n - group + groups - 1) // groups, 0)


@inlined
def spoil(V, t, row, apart, count, first, units, H, thread, threads):  # type: ignore[no-untyped-def]
    """Leave what is no number where a block should have written: no loss and no optimizer takes it for a result."""
    for i in range(thread, count * units, threads):
        j = first + i % units
        if j < H:
            V[t, row + i // units * apart, j] = V.dtype.type(np.nan)


@inlined
def may_begin(status, thread):  # type: ignore[no-untyped-def]
    """Return whether no launch before was given up: what is there is spoilt then, and nobody waits once more."""
    there = 1
    if thread == 0 and not have_all_met(status):
        there = 0
    return cuda.syncthreads_and(there) != 0


@inlined
def have_met(counters, status, group, target, thread):  # type: ignore[no-untyped-def]
    """Return whether all blocks of a group have come: once they have, or a watchdog has ended the wait."""
    cuda.syncthreads()
    there = 1
    if thread == 0 and not arrives_and_waits(counters, status, group, target, SPINS):
        there = 0
    return cuda.syncthreads_and(there) != 0


@cache
def kernel_of(cell: str, split: Split, activation: int, gate: int) -> Any:
    """Make the CUDA kernel of a pass; its grid is `split`'s.

    Parameters
    ----------
    cell : str
        One of CELLS.
    split : Split
    activation, gate : int
        Codes of activations.

    Returns
    -------
    CUDA kernel
        Forward, of Wh, pre (T, B, columns), which holds x_t Wx + b of step t at t - first, alive, initial, h, the
        cell's other arrays, the counters and the status of the meetings, t0, t1 and first.
        Backward, of Wh, alive, add, dh, da (what Wh^T multiplies), dh0, the cell's other arrays, the counters and the
        status of the meetings, r0 and r1: step r goes from t = T - 1 - r, and r = T, if dh0 is wanted, makes it.
    """
    product, own = block_product(split), CELLS[cell]
    if split.backward:
        return cuda.jit(_backward(split, product, own.backward(activation, gate), own.straight))
    return cuda.jit(_forward(split, product, own.forward(product.total, split.units, activation, gate)))


def _common(split: Split, product: BlockProduct) -> tuple[Any, Any]:
    """Make how a block begins, and the sums of some sequences, which are the same both ways."""
    hold, begin, bring, multiply = product.hold, product.begin, product.bring, product.multiply
    H, UNITS, MEMBERS, GROUPS = split.H, split.units, split.members, split.groups

    @inlined
    def opened(w, words, shared, Wh, thread):  # type: ignore[no-untyped-def]
        """Bring the block's weights to where they stay; return its group, its first unit, and how many it has."""
        start = cuda.blockIdx.x % MEMBERS * UNITS
        hold(w, words, Wh, start, thread)
        cuda.syncthreads()
        begin(shared, thread)
        cuda.syncthreads()
        return cuda.blockIdx.x // MEMBERS, start, min(UNITS, H - start)

    @inlined
    def sum_up(w, sums, shared, V, t, row, n, thread):  # type: ignore[no-untyped-def]
        """Multiply n rows of V[t], the group's from `row` on."""
        bring(shared, V, t, row, GROUPS, n, thread)
        cuda.syncthreads()
        multiply(w, sums, shared, n, thread)
        cuda.syncthreads()

    return opened, sum_up


def _forward(split: Split, product: BlockProduct, step: Any) -> Any:
    opened, sum_up = _common(split, product)
    H, UNITS, MEMBERS, GROUPS = split.H, split.units, split.members, split.groups
    ROWS, THREADS, KIND, WEIGHTS, SUMS = split.rows, split.threads, product.kind, split.weights, split.sums

    def forward(Wh, pre, alive, initial, h, one, two, three, four, counters, status, t0, t1, first):  # type: ignore[no-untyped-def]
        shared = cuda.shared.array(0, float32, alignment=16)
        w = cuda.local.array(WEIGHTS, KIND)
        sums = cuda.local.array(SUMS, float32)
        thread = cuda.threadIdx.x
        if not may_begin(status, thread):
            return
        group, start, units = opened(w, cuda.shared.array(0, KIND, alignment=16), shared, Wh, thread)
        meetings = 0
        for t in range(t0, t1):
            count = rows_at(alive, t, h.shape[1], group, GROUPS)
            made = t > 0 or initial != 0
            for r0 in range(0, count, ROWS):
                n = min(ROWS, count - r0)
                row0 = group + r0 * GROUPS
                if made:
                    sum_up(w, sums, shared, h, place(t, h.shape[0]), row0, n, thread)
                for i in range(thread, n * UNITS, THREADS):
                    r = i // UNITS
                    m = i % UNITS
                    if m < units:
                        row = row0 + r * GROUPS
                        step(shared, r, m, made, t, row, start + m, pre, t - first, h, one, two, three, four)
            if count > 0 and t + 1 < t1:
                meetings += 1
                if not have_met(counters, status, group, meetings * MEMBERS, thread):
                    for later in range(t + 1, t1 + 1):
                        count = rows_at(alive, later - 1, h.shape[1], group, GROUPS)
                        at = place(later, h.shape[0])
                        spoil(h, at, group, GROUPS, count, start, UNITS, H, thread, THREADS)
                    return

    return forward


def _backward(split: Split, product: BlockProduct, step: Any, straight: bool) -> Any:
    opened, sum_up = _common(split, product)
    H, UNITS, MEMBERS, GROUPS = split.H, split.units, split.members, split.groups
    ROWS, THREADS, KIND, WEIGHTS, SUMS = split.rows, split.threads, product.kind, split.weights, split.sums
    total = product.total

    def backward(Wh, alive, add, dh, da, dh0, one, two, three, four, five, counters, status, r0, r1):  # type: ignore[no-untyped-def]
        shared = cuda.shared.array(0, float32, alignment=16)
        w = cuda.local.array(WEIGHTS, KIND)
        sums = cuda.local.array(SUMS, float32)
        thread = cuda.threadIdx.x
        T = da.shape[0]
        B = da.shape[1]
        every = dh.shape[0] == T
        if not may_begin(status, thread):
            return
        group, start, units = opened(w, cuda.shared.array(0, KIND, alignment=16), shared, Wh, thread)
        meetings = 0
        for k in range(r0, r1):
            t = T - 1 - k
            later = rows_at(alive, t + 1, B, group, GROUPS) if k > 0 else 0
            count = rows_at(alive, t, B, group, GROUPS) if t >= 0 else later
            for first in range(0, count, ROWS):
                n = min(ROWS, count - first)
                above = max(min(n, later - first), 0)
                row0 = group + first * GROUPS
                if above > 0:
                    sum_up(w, sums, shared, da, t + 1, row0, above, thread)
                for i in range(thread, n * UNITS, THREADS):
                    r = i // UNITS
                    m = i % UNITS
                    if m < units:
                        row = row0 + r * GROUPS
                        j = start + m
                        gain = total(shared, r, m) if r < above else float32(0)
                        if straight and r < above:
                            gain += five[row, j]
                        if t < 0:
                            dh0[row, j] = dh0[row, j] + gain if add != 0 else gain
                        else:
                            at = t if every else 0
                            if every or r >= above:
                                gain += dh[at, row, j]
                            dh[at, row, j] = gain
                            step(t, row, j, H, gain, da, one, two, three, four, five)
            if count > 0 and k + 1 < r1:
                meetings += 1
                if not have_met(counters, status, group, meetings * MEMBERS, thread):
                    for earlier in range(t, max(T - r1, 0) - 1, -1):
                        count = rows_at(alive, earlier, B, group, GROUPS)
                        spoil(da, earlier, group, GROUPS, count, start, UNITS, H, thread, THREADS)
                    return

    return backward
