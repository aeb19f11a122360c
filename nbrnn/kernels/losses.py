"""Losses of numbers: each writes the sum over its samples of the mean over a sample's outputs, and the gradient.

    L = 1/B sum_i 1/P sum_p w_ip l(y_ip, target_ip)      e = y - target, w the weight of the row that holds p
    mse: l = e^2      mae: l = |e|      huber: l = e^2 / 2 within delta, else delta (|e| - delta / 2)
    mape: l = 100 |e| / |target|, the target held away from 0 by 1e-7
    quantile (pinball): l = q (target - y) where the target is above, else (1 - q) (y - target)
    projection: l = y target, which is no loss but shows every output's gradient to a check

B is the number of samples of the whole batch (a shard holds a part of them), P the outputs of one sample: all steps'
where it is a sequence. A row is a sample, or a time step of one, and has `each` outputs. Without `weight` every row
weighs 1. Weights do not enter the denominator, as in Keras; where there is a mask, `valid` holds the number of rows
of the whole batch that it leaves, the denominator is valid * each, and the sum that is written is the rows'. `dy` is
absent where only the loss is wanted. The sums run in float64.
"""

from .abi import BATCH, inlined, kernel
from .elementary import magnitude

LEAST = 1e-7  # Keras' epsilon
SPEC = "y[N] target[N] weight[R]? valid[A]? control[C]:i8 outputs:int each:int slot:int -> dy[N]? stats[S]:f8"


@inlined
def scale_of(y, valid, control, outputs, each):
    """Return 1 / (B P), the weight of one output in the batch's mean, in the model's dtype."""
    if valid.size:
        return y.dtype.type(1.0 / (max(1.0, valid[0].real) * each))
    return y.dtype.type(1.0 / (control[BATCH] * outputs))


@inlined
def mean_of(total, valid, outputs, each):
    """Return a sum over outputs as the mean over a sample's, or over a row's where rows are counted."""
    return total / (each if valid.size else outputs)


@inlined
def weight_of(y, weight, n, each):
    """Return the weight of the row that holds output n, 1 where rows have none."""
    return weight[n // each] if weight.size else y.dtype.type(1)


@kernel(SPEC, flops=lambda d: 4 * d["N"])
def mse(y, target, weight, valid, control, outputs, each, slot, dy, stats):
    """Mean squared error."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    twice, n, more = scale + scale, 0, (total, total, total)
    whole = 0 if weight.size else y.size
    while n + 4 <= whole:  # four sums: each addition waits for the one before
        a, b, c, d = y[n] - target[n], y[n + 1] - target[n + 1], y[n + 2] - target[n + 2], y[n + 3] - target[n + 3]
        total, more = total + a * a, (more[0] + b * b, more[1] + c * c, more[2] + d * d)
        if dy.size:
            dy[n], dy[n + 1], dy[n + 2], dy[n + 3] = twice * a, twice * b, twice * c, twice * d
        n += 4
    while n < y.size:
        e, w = y[n] - target[n], weight_of(y, weight, n, each)
        total += w * e * e
        if dy.size:
            dy[n] = twice * w * e
        n += 1
    stats[slot] = mean_of(total + more[0] + more[1] + more[2], valid, outputs, each)


@kernel(SPEC, flops=lambda d: 3 * d["N"])
def mae(y, target, weight, valid, control, outputs, each, slot, dy, stats):
    """Mean absolute error; its slope at zero is taken as zero."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    zero = y.dtype.type(0)
    for n in range(y.size):
        e, w = y[n] - target[n], weight_of(y, weight, n, each)
        total += w * magnitude(e)
        if dy.size:
            dy[n] = w * (scale if e.real > zero.real else (-scale if e.real < zero.real else zero))
    stats[slot] = mean_of(total, valid, outputs, each)


@kernel(SPEC, flops=lambda d: 6 * d["N"])
def mape(y, target, weight, valid, control, outputs, each, slot, dy, stats):
    """Mean absolute error in percent of the target; its slope at zero is taken as zero."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    zero, least, percent = y.dtype.type(0), y.dtype.type(LEAST), y.dtype.type(100)
    for n in range(y.size):
        e, size = y[n] - target[n], magnitude(target[n])
        w = weight_of(y, weight, n, each) * percent / (size if size.real > least.real else least)
        total += w * magnitude(e)
        if dy.size:
            dy[n] = w * (scale if e.real > zero.real else (-scale if e.real < zero.real else zero))
    stats[slot] = mean_of(total, valid, outputs, each)


@kernel(SPEC.replace("slot:int", "slot:int delta:float"), flops=lambda d: 5 * d["N"])
def huber(y, target, weight, valid, control, outputs, each, slot, delta, dy, stats):
    """Huber's loss (Annals of Mathematical Statistics 35, 1964): squared near zero, absolute beyond delta."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    half = y.dtype.type(0.5)
    for n in range(y.size):
        e, w = y[n] - target[n], weight_of(y, weight, n, each)
        size = magnitude(e)
        near = size.real <= delta
        total += w * (half * e * e if near else delta * (size - half * delta))
        if dy.size:
            dy[n] = w * (scale * e if near else (scale * delta if e.real > 0 else -scale * delta))
    stats[slot] = mean_of(total, valid, outputs, each)


@kernel(
    SPEC.replace("target[N]", "target[M]").replace("slot:int", "slot:int q:float first:int").replace("dy", "!dy"),
    flops=lambda d: 4 * d["M"],
)
def quantile(y, target, weight, valid, control, outputs, each, slot, q, first, dy, stats):
    """Take the pinball loss (Koenker and Bassett, Econometrica 46, 1978) of one quantile.

    Of a target's outputs, one a quantile and side by side, it reads number `first`, and writes that one's gradient;
    the slope at zero is taken as zero.
    """
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    zero, levels = y.dtype.type(0), y.size // target.size
    below = y.dtype.type(1) - q
    for m in range(target.size):
        n = m * levels + first
        e, w = target[m] - y[n], weight_of(y, weight, n, each)
        over, under = e.real > zero.real, e.real < zero.real
        total += w * (q * e if over else -below * e)
        if dy.size:
            dy[n] = w * scale * (-q if over else (below if under else zero))
    stats[slot] = mean_of(total, valid, outputs, each)


@kernel(SPEC, flops=lambda d: 2 * d["N"])
def projection(y, target, weight, valid, control, outputs, each, slot, dy, stats):
    """The outputs projected on the targets: a random direction shows the gradient of every output."""
    scale, total = scale_of(y, valid, control, outputs, each), stats.dtype.type(0)
    for n in range(y.size):
        w = weight_of(y, weight, n, each)
        total += w * y[n] * target[n]
        if dy.size:
            dy[n] = scale * w * target[n]
    stats[slot] = mean_of(total, valid, outputs, each)
