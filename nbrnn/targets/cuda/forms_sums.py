"""Sums on the device: losses, metrics, a weight's penalty, counts of masks, norms of gradients.

A block makes LANES partial sums, each of every LANES-th element, then adds pairs of them, in an order that the number
of threads does not change. Many elements are shared out to slices, a block each, whose sums one more launch adds up;
how many follows from the elements alone. Sums run in float64, as the CPU's.
"""

import math
from typing import Any

from numba import cuda, float64

from ...kernels import KERNELS
from .launching import FORMS, LANES, TEAM, launch, lengths_of, room, shared_out

SLICES = 1024  # at most, of one sum
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


@cuda.jit(device=True)
def leave(into, slot, q, w, value):  # type: ignore[no-untyped-def]
    """Write word w of the q-th sum: three words behind one another, and one before them that is the same for all."""
    if w > 0:
        into[slot + 3 * q + w] = value
    elif q == 0:
        into[slot] = value


SUMMED = """
def shared_out({names}, slices, sums):
    {counts}
    one = cuda.local.array({words}, {into}.dtype)
    parts = cuda.shared.array(({words}, {lanes}), float64)
    i{block}, part = cuda.blockIdx.x // slices, cuda.blockIdx.x % slices
    for lane in range(cuda.threadIdx.x, {lanes}, cuda.blockDim.x):
        for w in range({words}):
            parts[w, lane] = 0.0
        for i in range(part * {lanes} + lane, {total}, slices * {lanes}):
            {places}
            KERNEL({views})
            for w in range({words}):
                parts[w, lane] += one[w]
    add_up(parts)
    if cuda.threadIdx.x == 0:
        for w in range({words}):
            if slices == 1:
                leave({into}, {slot}, i{block}, w, parts[w, 0])
            else:
                sums[w, cuda.blockIdx.x] = parts[w, 0]
"""


@cuda.jit
def add_slices(sums, slices, slot, add, into):  # type: ignore[no-untyped-def]
    """Leave the sums over all slices: a block for each of them, or add the one to what stands there."""
    parts, q = cuda.shared.array((1, LANES), float64), cuda.blockIdx.x
    for w in range(sums.shape[0]):
        for lane in range(cuda.threadIdx.x, LANES, cuda.blockDim.x):
            parts[0, lane] = 0.0
            for part in range(lane, slices, LANES):
                parts[0, lane] += sums[w, q * slices + part]
        add_up(parts)
        if cuda.threadIdx.x == 0:
            leave(into, slot, q, w, into[slot] + parts[0, 0] if add else parts[0, 0])
        cuda.syncthreads()


def slices_of(count: int) -> int:
    """Return in how many slices so many elements are added."""
    return 1 if count <= 2 * LANES else min(SLICES, -(-count // LANES))


def sums_of(words: int, count: int) -> Any:
    """Return room for the sums of all slices."""
    return room("sums", words * count, "float64").reshape((words, count))


def _summed(name: str, letters: str, words: int = 1, across: str = "", into: str = "stats", **views: str) -> None:
    """Register a kernel that leaves `words` sums over the letters' elements; `across` makes sums of its own each."""
    names, places = [argument.name for argument in KERNELS[name].arguments], lengths_of(name)
    open_ = {"words": words, "lanes": LANES, "into": into, "block": across or "_"}
    open_["slot"], views = ("slot", {"slot": "0"} | views) if "slot" in names else ("0", views)
    kernel = shared_out(SUMMED, name, letters, {into: "one"} | views, across, globals(), **open_)

    def launches(*arguments: Any) -> None:
        own = dict(zip(names, arguments, strict=True))
        lengths = {letter: own[places[letter][0]].shape[places[letter][1]] for letter in letters + across}
        slices, each = slices_of(math.prod(lengths[letter] for letter in letters)), lengths.get(across, 1)
        sums = sums_of(words, each * slices if slices > 1 else 1)
        launch(kernel, *arguments, slices, sums, grid=(each * slices, TEAM))
        if slices > 1:
            launch(add_slices, sums, slices, own.get("slot", 0), 0, own[into], grid=(each, TEAM))

    FORMS[name] = launches


for _name in ("mse", "mae", "mape", "huber", "projection", "binary_crossentropy", "binary_accuracy"):
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
def add_penalty(w, control, samples, count, l1, l2, nothing, stats, slices, sums):  # type: ignore[no-untyped-def]
    """Add a weight's penalty to the loss, as the sum of what the CPU's kernel adds for each of its numbers."""
    parts, one = cuda.shared.array((1, LANES), float64), cuda.local.array(1, float64)
    rows = stats[count] if count >= 0 else float(samples)
    for lane in range(cuda.threadIdx.x, LANES, cuda.blockDim.x):
        parts[0, lane] = 0.0
        for i in range(cuda.blockIdx.x * LANES + lane, w.size, slices * LANES):
            one[0] = 0.0
            _penalty(w[i : i + 1], control, rows, -1, l1, l2, nothing, one)
            parts[0, lane] += one[0]
    add_up(parts)
    if cuda.threadIdx.x == 0:
        if slices == 1:
            stats[0] += parts[0, 0]
        else:
            sums[0, cuda.blockIdx.x] = parts[0, 0]


@cuda.jit
def pull_weights(w, control, samples, l1, l2, dw):  # type: ignore[no-untyped-def]
    """Add the penalty's gradient."""
    one = cuda.local.array(1, float64)
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        one[0] = 0.0
        _penalty(w[i : i + 1], control, samples, -1, l1, l2, dw[i : i + 1], one)


def penalty(w: Any, control: Any, samples: int, count: int, l1: float, l2: float, dw: Any, stats: Any) -> None:
    """Launch a weight's penalty."""
    slices = slices_of(w.size)
    sums = sums_of(1, slices)
    launch(add_penalty, w, control, samples, count, l1, l2, dw[:0], stats, slices, sums, grid=(slices, TEAM))
    if slices > 1:
        launch(add_slices, sums, slices, 0, 1, stats, grid=(1, TEAM))
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
