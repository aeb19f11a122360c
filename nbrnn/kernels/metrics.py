"""Metrics: sums over a shard's rows; what a figure is made of them is said in nbrnn/metrics.py.

A row is a sample, or a time step of one. `weight` is the mask here, 1 or 0 a row; a metric knows no other weights.
A target of one column where there are several classes is the class's number. `valid` is there where rows are counted,
see losses.py.
"""

from .abi import inlined, kernel
from .losses import mean_of, weight_of

ROWS = "y[R,O] target[R,P] weight[R]? valid[A]? outputs:int slot:int -> stats[S]:f8"


@kernel("y[N] target[N] weight[R]? valid[A]? outputs:int each:int slot:int threshold:float -> stats[S]:f8")
def binary_accuracy(y, target, weight, valid, outputs, each, slot, threshold, stats):
    """Share of the outputs that stand on their target's side of a threshold: the target is 1 above it, else 0."""
    total = stats.dtype.type(0)
    for n in range(y.size):
        if target[n].real == (1 if y[n].real > threshold else 0):
            total += weight_of(y, weight, n, each)
    stats[slot] = mean_of(total, valid, outputs, each)


@inlined
def largest(row):
    """Return the place of a row's largest number, the first of several."""
    best = 0
    for k in range(1, row.size):
        if row[k].real > row[best].real:
            best = k
    return best


@kernel(ROWS)
def categorical_accuracy(y, target, weight, valid, outputs, slot, stats):
    """Share of the rows whose largest output is the target's class."""
    total = stats.dtype.type(0)
    for r in range(y.shape[0]):
        wanted = largest(target[r]) if target.shape[1] == y.shape[1] else int(target[r, 0].real)
        if largest(y[r]) == wanted:
            total += weight_of(y, weight, r, 1)
    stats[slot] = mean_of(total, valid, outputs, 1)


@kernel("y[R,O] target[R,P] weight[R]? slot:int threshold:float class_id:int -> stats[S]:f8")
def positives(y, target, weight, slot, threshold, class_id, stats):
    """Count outputs above a threshold whose target says yes, all above it, and all targets that say yes.

    class_id is the one column that is looked at, -1 for all.
    """
    labels = target.shape[1] < y.shape[1]
    start, stop = (0, y.shape[1]) if class_id < 0 else (class_id, class_id + 1)
    hits = above = wanted = stats.dtype.type(0)
    for r in range(y.shape[0]):
        w = weight_of(y, weight, r, 1)
        for k in range(start, stop):
            yes = int(target[r, 0].real) == k if labels else target[r, k].real > 0
            if y[r, k].real > threshold:
                above += w
                hits += w if yes else 0
            wanted += w if yes else 0
    stats[slot], stats[slot + 1], stats[slot + 2] = hits, above, wanted


@kernel("y[R,O] target[R,O] weight[R]? slot:int -> stats[S]:f8")
def determination(y, target, weight, slot, stats):
    """Sum up what R^2 is made of: the rows, then of every output sum target, sum target^2, sum (y - target)^2."""
    rows = stats.dtype.type(0)
    for r in range(y.shape[0]):
        rows += weight_of(y, weight, r, 1)
    stats[slot] = rows
    for k in range(y.shape[1]):
        first = second = error = stats.dtype.type(0)
        for r in range(y.shape[0]):
            w, t = weight_of(y, weight, r, 1), stats.dtype.type(target[r, k])
            e = stats.dtype.type(y[r, k]) - t
            first, second, error = first + w * t, second + w * t * t, error + w * e * e
        stats[slot + 1 + 3 * k], stats[slot + 2 + 3 * k], stats[slot + 3 + 3 * k] = first, second, error


@kernel("mask[R] slot:int -> stats[S]:f8")
def count_rows(mask, slot, stats):
    """Count the rows that a mask leaves."""
    rows = stats.dtype.type(0)
    for r in range(mask.size):
        rows += mask[r]
    stats[slot] = rows


@kernel("weight[R] mask[R] -> both[R]")
def weigh_mask(weight, mask, both):
    """Take the rows' weights where a mask leaves the row, else 0."""
    for r in range(mask.size):
        both[r] = weight[r] * mask[r]
