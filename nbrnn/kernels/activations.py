"""Activations by code, and their slopes as functions of the output.

Every slope here needs the output y alone, so that no pre-activation is kept for the backward pass. For complex numbers
(the complex step) a comparison looks at the real part. A row is done with the code branched on outside its loop: with a
constant code the one formula below folds to its branch, and the loop vectorises.
"""

from .abi import inlined, jit, kernel
from .elementary import expm1, magnitude, sigmoid, tanh

ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "softsign", "elu", "hard_sigmoid")
SMALL = 8  # below this many columns a scalar loop beats a vectorised one
LINEAR, TANH, SIGMOID, RELU, SOFTSIGN, ELU, HARD_SIGMOID = range(len(ACTIVATIONS))


@inlined
def act(a, code):
    """Return act(a) for one number."""
    zero, one = type(a)(0), type(a)(1)
    if code == TANH:
        return tanh(a)
    if code == SIGMOID:
        return sigmoid(a)
    if code == RELU:
        return a if a.real > zero.real else zero
    if code == SOFTSIGN:  # a / (1 + |a|)
        return a / (one + magnitude(a))
    if code == ELU:  # a, or e^a - 1 below zero
        return a if a.real > zero.real else expm1(a)
    if code == HARD_SIGMOID:  # clip(a / 6 + 1/2, 0, 1), as in Keras 3
        y = a / type(a)(6) + type(a)(0.5)
        return zero if y.real < zero.real else (one if y.real > one.real else y)
    return a


@inlined
def slope(y, code):
    """Return act'(a) from y = act(a), for one number."""
    zero, one = type(y)(0), type(y)(1)
    if code == TANH:
        return one - y * y
    if code == SIGMOID:
        return y * (one - y)
    if code == RELU:
        return one if y.real > zero.real else zero
    if code == SOFTSIGN:  # 1 / (1 + |a|)^2
        rest = one - magnitude(y)
        return rest * rest
    if code == ELU:  # 1, or e^a = y + 1 below zero
        return one if y.real > zero.real else y + one
    if code == HARD_SIGMOID:
        return one / type(y)(6) if zero.real < y.real < one.real else zero
    return one


@inlined
def activate_part(V, first, stop, code):
    """Replace the columns of V from first to stop by act."""
    for n in range(V.shape[0]):
        row = V[n]
        for j in range(first, stop):
            row[j] = act(row[j], code)


@jit
def activate(V, first, stop, code):
    """Replace columns of V by act(V); the code is constant in each loop, which then vectorises."""
    if code == TANH:
        activate_part(V, first, stop, TANH)
    elif code == SIGMOID:
        activate_part(V, first, stop, SIGMOID)
    elif code == RELU:
        activate_part(V, first, stop, RELU)
    elif code == SOFTSIGN:
        activate_part(V, first, stop, SOFTSIGN)
    elif code == ELU:
        activate_part(V, first, stop, ELU)
    elif code == HARD_SIGMOID:
        activate_part(V, first, stop, HARD_SIGMOID)


@inlined
def descend_part(dA, dY, Y, first, stop, code):
    """Set columns of dA to dY * act'(A)."""
    for n in range(Y.shape[0]):
        da, dy, y = dA[n], dY[n], Y[n]
        for j in range(first, stop):
            da[j] = dy[j] * slope(y[j], code)


@jit
def descend(dA, dY, Y, first, stop, code):
    """Set columns of dA to dY * act'(A), from the output Y = act(A); dA may be dY."""
    if code == TANH:
        descend_part(dA, dY, Y, first, stop, TANH)
    elif code == SIGMOID:
        descend_part(dA, dY, Y, first, stop, SIGMOID)
    elif code == RELU:
        descend_part(dA, dY, Y, first, stop, RELU)
    elif code == SOFTSIGN:
        descend_part(dA, dY, Y, first, stop, SOFTSIGN)
    elif code == ELU:
        descend_part(dA, dY, Y, first, stop, ELU)
    elif code == HARD_SIGMOID:
        descend_part(dA, dY, Y, first, stop, HARD_SIGMOID)
    else:
        descend_part(dA, dY, Y, first, stop, LINEAR)


@kernel("y[N,O] dy[N,O] activation:int -> da[N,O]", flops=lambda d: 3 * d["N"] * d["O"])
def activation_backward(y, dy, activation, da):
    """Take a gradient back through an activation."""
    descend(da, dy, y, 0, y.shape[1], activation)
