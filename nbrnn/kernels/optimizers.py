"""Optimizers on the whole block of parameters at once, with Keras' formulas and defaults.

    sgd:      v = momentum v - lr g,  p = p + v                        (Nesterov: p = p + momentum v - lr g)
    rmsprop:  v = rho v + (1 - rho) g^2,  p = p - lr g / sqrt(v + eps)
              centred: v - mean^2 for v, mean = rho mean + (1 - rho) g
              momentum: b = momentum b + lr g / sqrt(v + eps),  p = p - b
    adam:     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
              p = p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)     (Kingma & Ba 2014, section 2)
              AMSGrad: the largest v so far for v
    decay:    p = p - lr decay p beside the step


The next parameters are first written over the gradients, checked, and only then copied: a step that is not finite
leaves the last finite parameters in place and says so in the status word. Where weights decay, a step is told to
commit `later`: what it leaves in the gradients' place decays first.
"""

import numpy as np

from .abi import SHARDS, STATUS, inlined, kernel

GRADIENT_NOT_FINITE, UPDATE_NOT_FINITE = 1, 2
LANES = 16  # partial sums of a norm: vectorised, and always added in the same order


@inlined
def finite(v):
    """Return whether every element is finite: x - x is NaN for an infinity and for NaN."""
    bad = 0
    for i in range(v.size):
        bad |= (v[i] - v[i]) != v.dtype.type(0)
    return bad == 0


@inlined
def commit(control, grads, params):
    """Take over the next parameters, which stand in `grads`, if they are finite."""
    if finite(grads):
        for i in range(params.size):
            params[i] = grads[i]
    else:
        control[STATUS] = UPDATE_NOT_FINITE


@kernel("control[C]:i8 -> !grads[K,P]", flops=lambda d: (d["K"] - 1) * d["P"])
def sum_shards(control, grads):
    """Add the shards' gradients to the first shard's, always in the same order."""
    total = grads[0]
    for s in range(1, control[SHARDS]):
        other = grads[s]
        for i in range(total.size):
            total[i] += other[i]


@kernel("limit:float -> !grads[P] lanes[L]:f8", flops=lambda d: 3 * d["P"])
def clip_norm(limit, grads, lanes):
    """Scale gradients by limit / norm where their norm exceeds the limit (Pascanu et al. 2013)."""
    for q in range(LANES):
        lanes[q] = 0.0
    whole = grads.size // LANES * LANES
    for start in range(0, whole, LANES):
        part = grads[start : start + LANES]
        for q in range(LANES):
            g = np.float64(part[q])
            lanes[q] += g * g
    for i in range(whole, grads.size):
        g = np.float64(grads[i])
        lanes[i - whole] += g * g
    square = 0.0
    for q in range(LANES):
        square += lanes[q]
    norm = np.sqrt(square)
    if norm > limit:
        scale = grads.dtype.type(limit / norm)
        for i in range(grads.size):
            grads[i] *= scale


@kernel("limit:float -> !grads[P]", flops=lambda d: d["P"])
def clip_value(limit, grads):
    """Bring every gradient to between -limit and limit; an infinite one stays, so that the step refuses it."""
    for i in range(grads.size):
        g = grads[i]
        if g - g == grads.dtype.type(0):
            grads[i] = limit if g > limit else (-limit if g < -limit else g)


@kernel("hyper[Y]:f8 decay:float params[P] -> !moved[P]", flops=lambda d: 2 * d["P"])
def decay_weights(hyper, decay, params, moved):
    """Take rate * decay * p off the next parameters (Loshchilov & Hutter 2019); hyper begins with the learning rate."""
    factor = params.dtype.type(hyper[0]) * decay
    for i in range(params.size):
        moved[i] -= factor * params[i]


@kernel("-> !control[C]:i8 !grads[P] !params[P]")
def take_over(control, grads, params):
    """Commit next parameters that a step has left in `grads`, if it has not failed."""
    if control[STATUS] == 0:
        commit(control, grads, params)


@inlined
def sgd_rates(hyper, params):
    """Return sgd's numbers in the dtype of the parameters."""
    return params.dtype.type(hyper[0]), params.dtype.type(hyper[1])


@inlined
def sgd_next(rate, momentum, nesterov, grads, params, v):
    """Put sgd's next parameters in the gradients' place."""
    if v.size:
        for i in range(v.size):
            v[i] = momentum * v[i] - rate * grads[i]
        if nesterov:
            for i in range(v.size):
                grads[i] = params[i] + (momentum * v[i] - rate * grads[i])
        else:
            for i in range(v.size):
                grads[i] = params[i] + v[i]
    else:
        for i in range(params.size):
            grads[i] = params[i] - rate * grads[i]


@kernel("hyper[Y]:f8 nesterov:int later:int -> !control[C]:i8 !grads[P] !params[P] !v[P]?", flops=lambda d: 4 * d["P"])
def sgd(hyper, nesterov, later, control, grads, params, v):
    """Stochastic gradient descent; hyper = (learning rate, momentum). `v` is absent without momentum."""
    if not finite(grads):
        control[STATUS] = GRADIENT_NOT_FINITE
        return
    rate, momentum = sgd_rates(hyper, params)
    sgd_next(rate, momentum, nesterov, grads, params, v)
    if not later:
        commit(control, grads, params)


@inlined
def rmsprop_rates(hyper, params):
    """Return rmsprop's numbers in the dtype of the parameters."""
    kind = params.dtype.type
    return kind(hyper[0]), kind(hyper[1]), kind(1.0 - hyper[1]), kind(hyper[2]), kind(hyper[3])


@inlined
def rmsprop_next(rate, rho, rest, epsilon, share, grads, params, v, mean, momentum):
    """Put rmsprop's next parameters in the gradients' place."""
    for i in range(v.size):
        v[i] = rho * v[i] + rest * (grads[i] * grads[i])
    if not mean.size and not momentum.size:
        for i in range(v.size):
            grads[i] = params[i] - rate * grads[i] / np.sqrt(v[i] + epsilon)
    else:
        if mean.size:
            for i in range(v.size):
                mean[i] = rho * mean[i] + rest * grads[i]
            for i in range(v.size):
                grads[i] = rate * grads[i] / np.sqrt(v[i] - mean[i] * mean[i] + epsilon)
        else:
            for i in range(v.size):
                grads[i] = rate * grads[i] / np.sqrt(v[i] + epsilon)
        if momentum.size:
            for i in range(v.size):
                momentum[i] = share * momentum[i] + grads[i]
            for i in range(v.size):
                grads[i] = momentum[i]
        for i in range(v.size):
            grads[i] = params[i] - grads[i]


@kernel(
    "hyper[Y]:f8 later:int -> !control[C]:i8 !grads[P] !params[P] !v[P] !mean[P]? !momentum[P]?",
    flops=lambda d: 7 * d["P"],
)
def rmsprop(hyper, later, control, grads, params, v, mean, momentum):
    """RMSprop (Hinton, lecture 6e, 2012); hyper = (learning rate, rho, epsilon, momentum).

    `mean` is there where it is centred (Graves, arXiv:1308.0850, eq. 40), `momentum` where there is momentum.
    """
    if not finite(grads):
        control[STATUS] = GRADIENT_NOT_FINITE
        return
    rate, rho, rest, epsilon, share = rmsprop_rates(hyper, params)
    rmsprop_next(rate, rho, rest, epsilon, share, grads, params, v, mean, momentum)
    if not later:
        commit(control, grads, params)


@inlined
def adam_powers(hyper):
    """Take the powers of the betas one step on."""
    hyper[4] *= hyper[1]
    hyper[5] *= hyper[2]


@inlined
def adam_rates(hyper, params):
    """Return adam's numbers in the dtype of the parameters."""
    kind = params.dtype.type
    rate = kind(hyper[0] * np.sqrt(1.0 - hyper[5]) / (1.0 - hyper[4]))
    return rate, kind(hyper[3]), kind(hyper[1]), kind(1.0 - hyper[1]), kind(hyper[2]), kind(1.0 - hyper[2])


@inlined
def adam_next(rate, epsilon, b1, r1, b2, r2, grads, params, m, v, largest):
    """Put adam's next parameters in the gradients' place."""
    for i in range(m.size):
        m[i] = b1 * m[i] + r1 * grads[i]
    for i in range(m.size):
        v[i] = b2 * v[i] + r2 * (grads[i] * grads[i])
    if largest.size:
        for i in range(m.size):
            largest[i] = max(largest[i], v[i])
        for i in range(m.size):
            grads[i] = params[i] - rate * m[i] / (np.sqrt(largest[i]) + epsilon)
    else:
        for i in range(m.size):
            grads[i] = params[i] - rate * m[i] / (np.sqrt(v[i]) + epsilon)


@kernel(
    "later:int -> !hyper[Y]:f8 !control[C]:i8 !grads[P] !params[P] !m[P] !v[P] !largest[P]?",
    flops=lambda d: 10 * d["P"],
)
def adam(later, hyper, control, grads, params, m, v, largest):
    """Adam; hyper = (learning rate, beta 1, beta 2, epsilon, beta 1 to the t, beta 2 to the t).

    `largest`, the largest v so far, is there for AMSGrad (Reddi et al. 2018).
    """
    if not finite(grads):
        control[STATUS] = GRADIENT_NOT_FINITE
        return
    adam_powers(hyper)
    rate, epsilon, b1, r1, b2, r2 = adam_rates(hyper, params)
    adam_next(rate, epsilon, b1, r1, b2, r2, grads, params, m, v, largest)
    if not later:
        commit(control, grads, params)
