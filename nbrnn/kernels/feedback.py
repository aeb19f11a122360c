"""What feeds a model's outputs back to it: y_(t-1), ..., y_(t-k) as columns of the input of step t.

    u_t = [x_t, y'_(t-1), ..., y'_(t-k)]          y'_t = c_t target_t + (1 - c_t) y_t

Source: Jordan, Serial Order, ICS report 8604 (1986), and Lin, Horne, Tino & Giles, Learning Long-Term Dependencies in
NARX Recurrent Neural Networks, IEEE Trans. Neural Networks 7 (1996). What is fed back is the target (teacher forcing:
Williams & Zipser, Neural Computation 1, 1989), the output, or, by a coin c_t for every sample and step, one of the two
(scheduled sampling: Bengio et al., NeurIPS 2015).

Letters: T steps, B samples, O outputs, F columns; U = T + k - 1 rows of what is fed back, the oldest first.
"""

import math

import numpy as np

from .abi import POSITION, SEED, STEP, inlined, kernel
from .random import philox

LINEAR, EXPONENTIAL, INVERSE_SIGMOID = range(3)  # how the share of targets falls
UNIT = 2.0**32  # of the shares, and the number of values of a coin
MOST = 700.0  # exp() of more may overflow


@kernel("fed[U,B,O] first:int -> !W[T,B,F]")
def lag(fed, first, W):
    """Fill columns of every step, from `first` on, with the k rows before it, the youngest first."""
    (T, B, _), O = W.shape, fed.shape[2]
    k = fed.shape[0] - T + 1
    for t in range(T):
        for j in range(k):
            row, at = fed[t + k - 1 - j], first + j * O
            for i in range(B):
                from_, into = row[i], W[t, i]
                for o in range(O):
                    into[at + o] = from_[o]


@kernel("dW[T,B,F] first:int skip:int -> !dfed[U,B,O]")
def lag_back(dW, first, skip, dfed):
    """Add the columns' gradients to those of the rows that they show, but for the first `skip` rows."""
    (T, B, _), O = dW.shape, dfed.shape[2]
    k = dfed.shape[0] - T + 1
    for t in range(T):
        for j in range(k):
            u, at = t + k - 1 - j, first + j * O
            if u >= skip:
                for i in range(B):
                    from_, into = dW[t, i], dfed[u, i]
                    for o in range(O):
                        into[o] += from_[at + o]


@inlined
def target_share(step, kind, rate, start, stop):
    """Return with which probability a target is fed back at an optimizer step, in units of 2^-32."""
    k, i = rate / UNIT, np.float64(step)
    if kind == LINEAR:
        now = start * (1.0 - k * i)
    elif kind == EXPONENTIAL:
        now = start * k**i
    else:
        now = start * k / (k + math.exp(min(i / k, MOST)))
    return max(now, np.float64(stop))


@kernel("control[C]:i8 seed:int purpose:int kind:int rate:int start:int stop:int -> coins[T,B]")
def draw_coins(control, seed, purpose, kind, rate, start, stop, coins):
    """Draw a coin for every step and sample: 1 for the target, 0 for the output. A seed below 0 means the model's."""
    T, B = coins.shape
    share = target_share(control[STEP], kind, rate, start, stop)
    key = control[SEED] if seed < 0 else seed
    for i in range(B):
        for t in range(T):
            bits = philox(key, purpose, control[STEP], (control[POSITION] + i) * T + t)[0]
            coins[t, i] = coins.dtype.type(1 if np.float64(bits) < share else 0)


@kernel("y[B,O] target[B,O] coin[B] -> fed[B,O]")
def choose(y, target, coin, fed):
    """Take the target of the samples whose coin is 1, and the output of the others."""
    for i in range(fed.shape[0]):
        from_ = target[i] if coin[i].real > 0 else y[i]
        for o in range(fed.shape[1]):
            fed[i, o] = from_[o]


@kernel("dfed[B,O] coin[B] -> !dy[B,O]")
def choose_back(dfed, coin, dy):
    """Add the gradients of what was fed back to those of the outputs, where these were taken."""
    for i in range(dy.shape[0]):
        if not coin[i].real > 0:
            for o in range(dy.shape[1]):
                dy[i, o] += dfed[i, o]
