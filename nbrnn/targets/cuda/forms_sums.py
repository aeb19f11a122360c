"""Sums on the device: losses, metrics, a weight's penalty, counts of masks, norms of gradients.

One block makes a sum, so that no launch has to wait for parts of others: LANES partial sums, each of every LANES-th
element, then pairs of them, in an order that the number of threads does not change. They run in float64, as the CPU's.
"""

import math
from typing import Any

from numba import cuda, float64

from ...kernels import KERNELS
from .launching import FORMS, LANES, TEAM, launch, shared_out

ROW = "weight[iN // each : iN // each + 1]"  # of the output; nothing where there are no weights


@cuda.jit(device=True)
def add_up(parts):  # type: ignore[no-untyped-def]
    """Add the columns of a matrix in shared memory up to its first one, pair by pair; their number is a power of 2."""
    half = parts.shape[1] // 2
    while half > 0:
        cuda.syncthreads()
        for lane in range(cuda.threadIdx.x, half, cuda.blockDim.x):
            for w in range(parts.shape[0]):
                parts[w, lane] += parts[w, lane + half]
        half //= 2


SUMMED = """
def shared_out({names}):
    {counts}
    one = cuda.local.array({words}, {into}.dtype)
    parts = cuda.shared.array(({words}, {lanes}), float64)
    i{block} = cuda.blockIdx.x
    for lane in range(cuda.threadIdx.x, {lanes}, cuda.blockDim.x):
        for w in range({words}):
            parts[w, lane] = 0.0
        for i in range(lane, {total}, {lanes}):
            {places}
            KERNEL({views})
            for w in range({words}):
                parts[w, lane] += one[w]
    add_up(parts)
    if cuda.threadIdx.x == 0:
        for w in range({words}):
            {into}[{slot} + (3 * i{block} if w > 0 else 0) + w] = parts[w, 0]
"""


def _summed(name: str, letters: str, words: int = 1, across: str = "", into: str = "stats", **views: str) -> None:
    """Register a kernel that leaves `words` sums over the letters' elements; `across` makes sums of its own each."""
    names = [argument.name for argument in KERNELS[name].arguments]
    open_ = {"words": words, "lanes": LANES, "into": into, "block": across or "_"}
    open_["slot"], views = ("slot", {"slot": "0"} | views) if "slot" in names else ("0", views)
    kernel = shared_out(SUMMED, name, letters, {into: "one"} | views, across, globals(), **open_)

    def launches(*arguments: Any) -> None:
        launch(kernel, *arguments, grid=(arguments[0].shape[1] if across else 1, TEAM))

    FORMS[name] = launches


for _name in ("mse", "mae", "huber", "projection", "binary_crossentropy", "binary_accuracy"):
    _summed(_name, "N", weight=ROW)
for _name in ("categorical_crossentropy", "categorical_accuracy", "count_rows"):
    _summed(_name, "R")
_summed("positives", "R", 3)
_summed("determination", "R", 4, "O")
_summed("count_valid", "TM", into="count")
_levels = "y.size // target.size"  # one beside the other; `first` is the one that is looked at
_part = f"[iM * ({_levels}) : (iM + 1) * ({_levels})]"
_row = f"(iM * ({_levels}) + first) // each"
_summed("quantile", "M", y=f"y{_part}", dy=f"dy{_part}", weight=f"weight[{_row} : {_row} + 1]")


# ---------------------------------------------------------------- a weight's penalty, and the norm of gradients

_penalty = KERNELS["penalty"].function


@cuda.jit
def add_penalty(w, control, samples, count, l1, l2, nothing, stats):  # type: ignore[no-untyped-def]
    """Add a weight's penalty to the loss, as the sum of what the CPU's kernel adds for each of its numbers."""
    parts, one = cuda.shared.array((1, LANES), float64), cuda.local.array(1, float64)
    rows = stats[count] if count >= 0 else float(samples)
    for lane in range(cuda.threadIdx.x, LANES, cuda.blockDim.x):
        parts[0, lane] = 0.0
        for i in range(lane, w.size, LANES):
            one[0] = 0.0
            _penalty(w[i : i + 1], control, rows, -1, l1, l2, nothing, one)
            parts[0, lane] += one[0]
    add_up(parts)
    if cuda.threadIdx.x == 0:
        stats[0] += parts[0, 0]


@cuda.jit
def pull_weights(w, control, samples, l1, l2, dw):  # type: ignore[no-untyped-def]
    """Add the penalty's gradient."""
    one = cuda.local.array(1, float64)
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        one[0] = 0.0
        _penalty(w[i : i + 1], control, samples, -1, l1, l2, dw[i : i + 1], one)


def penalty(w: Any, control: Any, samples: int, count: int, l1: float, l2: float, dw: Any, stats: Any) -> None:
    """Launch a weight's penalty."""
    launch(add_penalty, w, control, samples, count, l1, l2, dw[:0], stats, grid=(1, TEAM))
    if dw.size:
        launch(pull_weights, w, control, samples, l1, l2, dw, count=w.size)


@cuda.jit
def add_squares(grads, lanes):  # type: ignore[no-untyped-def]
    """Leave in lanes[q] the sum of the squares that block q looks at."""
    parts, blocks = cuda.shared.array((1, LANES), float64), lanes.size
    q = cuda.blockIdx.x
    for lane in range(cuda.threadIdx.x, LANES, cuda.blockDim.x):
        parts[0, lane] = 0.0
        for i in range(q * LANES + lane, grads.size, blocks * LANES):
            g = float64(grads[i])
            parts[0, lane] += g * g
    add_up(parts)
    if cuda.threadIdx.x == 0:
        lanes[q] = parts[0, 0]


@cuda.jit
def shrink(limit, grads, lanes):  # type: ignore[no-untyped-def]
    """Scale gradients by limit / norm where their norm exceeds the limit."""
    square = 0.0
    for q in range(lanes.size):
        square += lanes[q]
    norm = math.sqrt(square)
    if norm > limit:
        scale = grads.dtype.type(limit / norm)
        for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
            grads[i] *= scale


def clip_norm(limit: float, grads: Any, lanes: Any) -> None:
    """Launch the clipping of gradients by their norm, whose parts stand in `lanes`."""
    launch(add_squares, grads, lanes, grid=(lanes.size, TEAM))
    launch(shrink, limit, grads, lanes, count=grads.size)


FORMS |= {"penalty": penalty, "clip_norm": clip_norm}
