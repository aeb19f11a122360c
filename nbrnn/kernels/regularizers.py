"""Penalties on weights, l1 sum |w| + l2 sum w^2, which join the loss and the gradient.

Each of a batch's shards adds the share of the penalty that its samples have in the batch: together they add it once.
"""

from .abi import BATCH, kernel
from .elementary import magnitude


@kernel(
    "w[P] control[C]:i8 samples:int count:int l1:float l2:float -> !dw[P]? !stats[S]:f8", flops=lambda d: 7 * d["P"]
)
def penalty(w, control, samples, count, l1, l2, dw, stats):
    """Add a shard's share of a weight's penalty to the loss, the first statistic, and to the gradient.

    Where `count` is not negative that loss is a mean over rows, whose number stands there among the statistics.
    """
    sizes, squares, zero = stats.dtype.type(0), stats.dtype.type(0), w.dtype.type(0)
    for i in range(w.size):
        sizes += magnitude(w[i])
        squares += w[i] * w[i]
    rows = stats[count] if count >= 0 else stats.dtype.type(samples)
    stats[0] += rows * (l1 * sizes + l2 * squares)
    share = samples / control[BATCH]
    flat, slope = w.dtype.type(share * l1), w.dtype.type(share * 2.0 * l2)
    for i in range(dw.size):
        side = flat if w[i].real > zero.real else (-flat if w[i].real < zero.real else zero)
        dw[i] += side + slope * w[i]
