"""Activations by code, and their slopes as functions of the output.

Every slope here needs the output y alone, so that no pre-activation is kept for the backward pass. For complex numbers
(the complex step) a comparison looks at the real part. With a constant code a formula folds to its branch; with any
other one branch is taken for a whole register of numbers (lanes.py).
"""

from .abi import inlined, jit, kernel
from .elementary import expm1, magnitude, sigmoid, tanh
from .lanes import constant, load, pick, real, store, width

ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "softsign", "elu", "hard_sigmoid")
SMALL = 8  # below this many columns a scalar loop beats a vectorised one
LINEAR, TANH, SIGMOID, RELU, SOFTSIGN, ELU, HARD_SIGMOID = range(len(ACTIVATIONS))


@inlined
def act(a, code):
    """Return act(a) for one number, or for lanes."""
    zero, one = constant(a, 0.0), constant(a, 1.0)
    if code == TANH:
        return tanh(a)
    if code == SIGMOID:
        return sigmoid(a)
    if code == RELU:
        return pick(real(a) > real(zero), a, zero)
    if code == SOFTSIGN:  # a / (1 + |a|)
        return a / (one + magnitude(a))
    if code == ELU:  # a, or e^a - 1 below zero
        return pick(real(a) > real(zero), a, expm1(a))
    if code == HARD_SIGMOID:  # clip(a / 6 + 1/2, 0, 1), as in Keras 3
        y = a / constant(a, 6.0) + constant(a, 0.5)
        return pick(real(y) < real(zero), zero, pick(real(y) > real(one), one, y))
    return a


@inlined
def slope(y, code):
    """Return act'(a) from y = act(a), for one number, or for lanes."""
    zero, one = constant(y, 0.0), constant(y, 1.0)
    if code == TANH:
        return one - y * y
    if code == SIGMOID:
        return y * (one - y)
    if code == RELU:
        return pick(real(y) > real(zero), one, zero)
    if code == SOFTSIGN:  # 1 / (1 + |a|)^2
        rest = one - magnitude(y)
        return rest * rest
    if code == ELU:  # 1, or e^a = y + 1 below zero
        return pick(real(y) > real(zero), one, y + one)
    if code == HARD_SIGMOID:
        return pick(real(y) > real(zero), pick(real(y) < real(one), one / constant(y, 6.0), zero), zero)
    return one


@jit
def any_act(a, code):
    """Return act(a) by a call: seven formulas would be too much code for every place that needs one."""
    return act(a, code)


@jit
def any_slope(y, code):
    """Return act'(a) likewise."""
    return slope(y, code)


@inlined
def squash(a, code, known):
    """Return act(a): inline where the code is `known`, a constant, else by a call."""
    if known:
        return act(a, code)
    return any_act(a, code)


@inlined
def steepness(y, code, known):
    """Return act'(a) from y = act(a), likewise."""
    if known:
        return slope(y, code)
    return any_slope(y, code)


@jit
def activate(V, first, stop, code):
    """Replace columns of V by act(V)."""
    if code == LINEAR:
        return
    w = width(V)
    for k in range(V.shape[0]):
        row = V[k]
        for j in range(first, stop, w):
            n = min(w, stop - j)
            store(row, j, n, act(load(row, j, n), code))


@inlined
def descend_rows(dA, dY, Y, first, stop, code):
    """`descend`, whatever the code; number by number where a product reads them at once, sooner than a mask's store."""
    w = width(Y)
    for k in range(Y.shape[0]):
        da, dy, y = dA[k], dY[k], Y[k]
        if stop - first < SMALL:
            for j in range(first, stop):
                da[j] = dy[j] * slope(y[j], code)
            continue
        for j in range(first, stop, w):
            n = min(w, stop - j)
            store(da, j, n, load(dy, j, n) * slope(load(y, j, n), code))


@jit
def descend_any(dA, dY, Y, first, stop, code):
    """`descend` by a call."""
    descend_rows(dA, dY, Y, first, stop, code)


@inlined
def descend(dA, dY, Y, first, stop, code):
    """Set columns of dA to dY * act'(A), from the output Y = act(A); dA may be dY."""
    if code == TANH:  # without a call, which would cost a tiny layer more than the arithmetic
        descend_rows(dA, dY, Y, first, stop, TANH)
    else:
        descend_any(dA, dY, Y, first, stop, code)


@kernel("y[N,O] dy[N,O] activation:int -> da[N,O]", flops=lambda d: 3 * d["N"] * d["O"])
def activation_backward(y, dy, activation, da):
    """Take a gradient back through an activation."""
    descend(da, dy, y, 0, y.shape[1], activation)
