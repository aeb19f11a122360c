"""Masks on the device: dropout's, and those of time steps (kernels/masking.py).

Counts of rows stay on the device: what goes over the rows at work asks alive[t] itself. Where rows stand without gaps,
step s begins behind all rows of the steps before it; a block adds these up for the steps that it takes.
"""

from typing import Any

import numpy as np
from numba import cuda

from ...kernels import KERNELS
from ...kernels.abi import BATCH, EPOCH, POSITION, SEED, STEP
from ...kernels.dropout import BLOCK, GROUP, STEP_BITS
from ...kernels.gemm import has_gaps, rows_of
from ...kernels.random import philox
from .launching import FORMS, SIMULATED, alike, launch, own

WIDE, TILE = (2, 4) if SIMULATED else (32, 512)  # columns, and threads, of a block that moves rows in place

# ---------------------------------------------------------------- dropout

alike("apply_mask", "TBF", mask="mask[iT if mask.shape[0] > 1 else 0 :, iB : iB + 1, iF : iF + 1]")


@cuda.jit
def draw_words(control, seed, purpose, sampled, threshold, kept, mask):  # type: ignore[no-untyped-def]
    """A thread draws a counter's words: word w of a block's counter k belongs to its element GROUP w + k."""
    K, size = mask.shape[0], mask.shape[1] * mask.shape[2]
    features, zero, value = mask.shape[2], mask.dtype.type(0), mask.dtype.type(kept)
    key, most = control[SEED] if seed < 0 else seed, np.uint64(threshold)
    begin, step = control[POSITION] * features, control[EPOCH] if sampled else control[STEP]
    before = begin % BLOCK
    each = (size + 2 * BLOCK - 1) // BLOCK * GROUP  # counters of a step: of one block more than its elements fill
    for q in range(cuda.grid(1), K * each, cuda.gridsize(1)):
        t, block, k = q // each, q % each // GROUP, q % GROUP
        first = block * BLOCK - before
        words = philox(key, purpose, step, (t << STEP_BITS) + (begin + first) // 4 + k)
        for w in range(4):
            at = first + GROUP * w + k
            if 0 <= at < size:
                mask[t, at // features, at % features] = value if words[w] >= most else zero


def draw_mask(
    control: Any, seed: int, purpose: int, sampled: int, threshold: int, kept: float, mask: Any, room: Any
) -> None:
    """Launch the draw of a mask."""
    launch(draw_words, control, seed, purpose, sampled, threshold, kept, mask, count=mask.size // 4 + mask.shape[0])


# ---------------------------------------------------------------- where steps go

alike("mask_steps", "TB")
alike("mask_back", "TBD")
alike("fill", "N")
alike("join_masks", "N")
alike("weigh_mask", "R")
alike("hold", "KBH", h="h[:, :, iH : iH + 1]", seen="seen[: seen.shape[0] - nK + iK + 1, iB : iB + 1]")
alike("last_state", "BH", s="s[:, :, iH : iH + 1]")
alike("to_rows", "BH", rows="rows[:, iH : iH + 1]")
alike("from_rows", "BH", rows="rows[:, iH : iH + 1]")
_mask_batch = KERNELS["mask_batch"].function


@own("valid")
def mask_batch(source, order, control, batch, per_sample, per_step, per_feature, features, value, valid):  # type: ignore[no-untyped-def]
    """A thread looks at one step of one sample of the batch."""
    samples = valid.shape[1]
    for k in range(cuda.grid(1), valid.size, cuda.gridsize(1)):
        t, i = k // samples, k % samples
        if i < control[BATCH]:
            now = valid[t : t + 1, i : i + 1]
            there = source[t * per_step :], order[i:], control, batch
            _mask_batch(*there, per_sample, per_step, per_feature, features, value, now)
        else:
            valid[t, i] = valid.dtype.type(0)


@cuda.jit
def see_steps(valid, backwards, seen):  # type: ignore[no-untyped-def]
    """A thread counts one sample's valid steps."""
    T = valid.shape[0]
    for i in range(cuda.grid(1), valid.shape[1], cuda.gridsize(1)):
        count = 0
        for t in range(T):
            count += 1 if valid[T - 1 - t if backwards else t, i] > 0 else 0
            seen[t, i] = count


@cuda.jit
def order_rows(seen, row, alive):  # type: ignore[no-untyped-def]
    """A thread finds the row of a sample, by those that have more steps, or as many and stand before it; and alive."""
    T, B = seen.shape
    for q in range(cuda.grid(1), B + T, cuda.gridsize(1)):
        found = 0
        for k in range(B):
            if q < B:
                more = seen[T - 1, k] - seen[T - 1, q]
                found += 1 if more > 0 or (more == 0 and k < q) else 0
            else:
                found += 1 if seen[T - 1, k] > q - B else 0
        if q < B:
            row[q] = found
        else:
            alive[q - B] = found


@cuda.jit
def place_steps(backwards, row, seen, source):  # type: ignore[no-untyped-def]
    """A thread says where one step of one sample goes."""
    T, B = seen.shape
    for q in range(cuda.grid(1), T * B, cuda.gridsize(1)):
        t, i = q // B, q % B
        if seen[t, i] > (seen[t - 1, i] if t > 0 else 0):
            source[seen[t, i] - 1, row[i]] = (T - 1 - t if backwards else t) * B + i


def order_steps(valid: Any, backwards: int, row: Any, seen: Any, source: Any, alive: Any) -> None:
    """Launch what says where valid steps go."""
    launch(see_steps, valid, backwards, seen, count=valid.shape[1])
    launch(order_rows, seen, row, alive, count=sum(valid.shape))
    launch(place_steps, backwards, row, seen, source, count=valid.size)


# ---------------------------------------------------------------- rows on their way


@own("z")
def squeeze(x, source, alive, z):  # type: ignore[no-untyped-def]
    """A thread moves one number of a valid step into its row."""
    _, B, D = z.shape
    for q in range(cuda.grid(1), z.size, cuda.gridsize(1)):
        s, r, d = q // (B * D), q // D % B, q % D
        if r < alive[s]:
            k = source[s, r]
            z[s, r, d] = x[k // B, k % B, d]


@cuda.jit
def spread_rows(dz, source, alive, dx):  # type: ignore[no-untyped-def]
    """A block takes one step after the other: its rows, which stand without gaps, go to where the steps came from."""
    _, B, D = dz.shape
    for s in range(cuda.blockIdx.x, alive.size, cuda.gridDim.x):
        first = rows_of(alive[:s])
        for q in range(cuda.threadIdx.x, alive[s] * D, cuda.blockDim.x):
            r, d = q // D, q % D
            to, k = source[s, r], first + r
            dx[to // B, to % B, d] = dz[k // B, k % B, d]


def unsqueeze(dz: Any, source: Any, alive: Any, dx: Any) -> None:
    """Launch what puts gradients back to their steps."""
    launch(spread_rows, dz, source, alive, dx, grid=(alive.size, TILE))


@cuda.jit
def close_gaps(v, alive, rows):  # type: ignore[no-untyped-def]
    """A block moves some columns of all rows at work together, some rows at a time, in place or elsewhere.

    A row never goes behind the place it had: rows that are still to be read are not written to. Within the rows that
    go together every thread has read its number before any is written.
    """
    _, B, F = v.shape
    down = cuda.blockDim.x // WIDE
    r0, f = cuda.threadIdx.x // WIDE, cuda.blockIdx.x * WIDE + cuda.threadIdx.x % WIDE
    first, value = 0, v.dtype.type(0)
    if has_gaps(alive, B):
        for s in range(alive.size):
            for start in range(0, alive[s], down):
                r = start + r0
                moves = r < alive[s] and f < F
                if moves:
                    value = v[s, r, f]
                cuda.syncthreads()
                if moves:
                    k = first + r
                    rows[k // B, k % B, f] = value
                cuda.syncthreads()
            first += alive[s]


def compact(v: Any, alive: Any, rows: Any) -> None:
    """Launch what closes gaps."""
    launch(close_gaps, v, alive, rows, grid=(-(-v.shape[2] // WIDE), TILE))


@cuda.jit
def release(dy, last, row, seen, zero, dh):  # type: ignore[no-untyped-def]
    """A thread gives one number of a step's state the gradients of all outputs that show it, in order.

    These are the step's own and, unless outputs of masked steps are zero, those of the masked steps after it.
    """
    (K, B, H), T, J = dy.shape, seen.shape[0], dh.shape[0]
    for q in range(cuda.grid(1), dy.size, cuda.gridsize(1)):
        k, i, j = q // (B * H), q // H % B, q % H
        t = T - K + k
        n = seen[t, i]
        fresh = n > (seen[t - 1, i] if t > 0 else 0)
        if n > 0 and (k == 0 or fresh):
            s = dy[k, i, j] if fresh or not zero else dy.dtype.type(0)
            k += 1
            while k < K and seen[T - K + k, i] == n:
                if not zero:
                    s += dy[k, i, j]
                k += 1
            if k == K and last.size:
                s += last[i, j]
            dh[n - 1 if J > 1 else 0, row[i], j] = s


@cuda.jit
def wipe_all(v):  # type: ignore[no-untyped-def]
    """Set an array to zero."""
    _, B, H = v.shape
    for q in range(cuda.grid(1), v.size, cuda.gridsize(1)):
        v[q // (B * H), q // H % B, q % H] = v.dtype.type(0)


def unhold(dy: Any, last: Any, row: Any, seen: Any, zero: int, dh: Any) -> None:
    """Launch what takes gradients of outputs, and of the last states, to the steps whose states they are."""
    launch(wipe_all, dh, count=dh.size)
    launch(release, dy, last, row, seen, zero, dh, count=dy.size)


FORMS |= {"draw_mask": draw_mask, "order_steps": order_steps, "unsqueeze": unsqueeze, "compact": compact}
FORMS |= {"unhold": unhold}
