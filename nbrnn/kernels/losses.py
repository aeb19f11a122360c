"""Losses: each writes the sum over its samples of the mean over a sample's outputs, and the gradient of the batch mean.

    L = 1/B sum_i 1/P sum_p l(y_ip - target_ip)          e = y - target
    mse: l = e^2      mae: l = |e|      huber: l = e^2 / 2 within delta, else delta (|e| - delta / 2)
    projection: l = y target, which is no loss but shows every output's gradient to a check

B is the number of samples of the whole batch (a shard holds a part of them), P the outputs of one sample. `dy` is
absent where only the loss is wanted. The sums run in float64.
"""

from .abi import BATCH, inlined, kernel
from .elementary import magnitude

SPEC = "y[N] target[N] control[C]:i8 outputs:int slot:int -> dy[N]? stats[S]:f8"


@inlined
def scale_of(y, control, outputs):
    """Return 1 / (B P), the weight of one output in the batch's mean, in the model's dtype."""
    return y.dtype.type(1.0 / (control[BATCH] * outputs))


@kernel(SPEC, flops=lambda d: 4 * d["N"])
def mse(y, target, control, outputs, slot, dy, stats):
    """Mean squared error."""
    weight, total = scale_of(y, control, outputs), stats.dtype.type(0)
    twice, n, more = weight + weight, 0, (total, total, total)
    while n + 4 <= y.size:  # four sums: each addition waits for the one before
        a, b, c, d = y[n] - target[n], y[n + 1] - target[n + 1], y[n + 2] - target[n + 2], y[n + 3] - target[n + 3]
        total, more = total + a * a, (more[0] + b * b, more[1] + c * c, more[2] + d * d)
        if dy.size:
            dy[n], dy[n + 1], dy[n + 2], dy[n + 3] = twice * a, twice * b, twice * c, twice * d
        n += 4
    while n < y.size:
        e = y[n] - target[n]
        total += e * e
        if dy.size:
            dy[n] = twice * e
        n += 1
    stats[slot] = (total + more[0] + more[1] + more[2]) / outputs


@kernel(SPEC, flops=lambda d: 3 * d["N"])
def mae(y, target, control, outputs, slot, dy, stats):
    """Mean absolute error; its slope at zero is taken as zero."""
    weight, total = scale_of(y, control, outputs), stats.dtype.type(0)
    zero = y.dtype.type(0)
    for n in range(y.size):
        e = y[n] - target[n]
        total += magnitude(e)
        if dy.size:
            dy[n] = weight if e.real > zero.real else (-weight if e.real < zero.real else zero)
    stats[slot] = total / outputs


@kernel(SPEC.replace("slot:int", "slot:int delta:float"), flops=lambda d: 5 * d["N"])
def huber(y, target, control, outputs, slot, delta, dy, stats):
    """Huber's loss (Annals of Mathematical Statistics 35, 1964): squared near zero, absolute beyond delta."""
    weight, total = scale_of(y, control, outputs), stats.dtype.type(0)
    half = y.dtype.type(0.5)
    for n in range(y.size):
        e = y[n] - target[n]
        size = magnitude(e)
        near = size.real <= delta
        total += half * e * e if near else delta * (size - half * delta)
        if dy.size:
            dy[n] = weight * e if near else (weight * delta if e.real > 0 else -weight * delta)
    stats[slot] = total / outputs


@kernel(SPEC, flops=lambda d: 2 * d["N"])
def projection(y, target, control, outputs, slot, dy, stats):
    """The outputs projected on the targets: a random direction shows the gradient of every output."""
    weight, total = scale_of(y, control, outputs), stats.dtype.type(0)
    for n in range(y.size):
        total += y[n] * target[n]
        if dy.size:
            dy[n] = weight * target[n]
    stats[slot] = total / outputs
