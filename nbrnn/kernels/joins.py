"""What a graph needs where values meet, element by element, and the softmax of rows. Letters: N rows, D numbers each.

blend: y = scale (v + w)          multiply: y = v w          scaled: y = factor x
softmax: y_j = exp(x_j - m) / sum_k exp(x_k - m), m the row's maximum: no exponential overflows
backward: dx_j = y_j (dy_j - sum_k dy_k y_k)
"""

from .abi import BATCH, inlined, kernel
from .activations import activate
from .elementary import exp
from .gemm import copy
from .lanes import load, store, width


@kernel("v[N,D] w[N,D] scale:float -> y[N,D]", flops=lambda d: 2 * d["N"] * d["D"])
def blend(v, w, scale, y):
    """Add two matrices and scale the sum."""
    D, k = y.shape[1], width(y)
    for i in range(y.shape[0]):
        a, b, c = v[i], w[i], y[i]
        for j in range(0, D, k):
            n = min(k, D - j)
            store(c, j, n, (load(a, j, n) + load(b, j, n)) * scale)


@kernel("v[N,D] w[N,D] -> y[N,D]", flops=lambda d: d["N"] * d["D"])
def multiply(v, w, y):
    """Multiply two matrices number by number."""
    D, k = y.shape[1], width(y)
    for i in range(y.shape[0]):
        a, b, c = v[i], w[i], y[i]
        for j in range(0, D, k):
            n = min(k, D - j)
            store(c, j, n, load(a, j, n) * load(b, j, n))


@kernel("x[N,D] factor:float -> y[N,D]", flops=lambda d: d["N"] * d["D"])
def scaled(x, factor, y):
    """Scale a matrix; y may be x. With the factor 1 it is a copy."""
    D, k = y.shape[1], width(y)
    for i in range(y.shape[0]):
        a, c = x[i], y[i]
        for j in range(0, D, k):
            n = min(k, D - j)
            store(c, j, n, load(a, j, n) * factor)


@kernel("valid[A]? control[C]:i8 weight:float slot:int first:int -> !stats[S]:f8")
def weigh(valid, control, weight, slot, first, stats):
    """Add an output's loss times its weight to the loss of all outputs, the statistics' first number.

    Where a mask leaves `valid` rows of the batch, the sum over rows becomes one over samples.
    """
    share = weight * stats[slot]
    if valid.size:
        share = share * (control[BATCH] / max(1.0, valid[0].real))
    stats[0] = share if first else stats[0] + share


@kernel("x[N,O] activation:int -> y[N,O]", flops=lambda d: d["N"] * d["O"])
def activation_forward(x, activation, y):
    """Apply an activation."""
    copy(y, x)
    activate(y, 0, y.shape[1], activation)


@inlined
def largest(row):
    """Return the largest number of a row; of complex ones the largest real part."""
    m = row[0].real
    for j in range(1, row.size):
        m = max(m, row[j].real)
    return m


@kernel("x[N,D] -> y[N,D]", flops=lambda d: 4 * d["N"] * d["D"])
def softmax(x, y):
    """Turn every row into shares that sum to 1."""
    for i in range(y.shape[0]):
        m, total = largest(x[i]), y.dtype.type(0)
        for j in range(y.shape[1]):
            e = exp(x[i, j] - m)
            y[i, j] = e
            total += e
        for j in range(y.shape[1]):
            y[i, j] = y[i, j] / total


@kernel("y[N,D] dy[N,D] -> dx[N,D]", flops=lambda d: 4 * d["N"] * d["D"])
def softmax_backward(y, dy, dx):
    """Take a gradient back through the softmax."""
    for i in range(y.shape[0]):
        mean = y.dtype.type(0)
        for j in range(y.shape[1]):
            mean += dy[i, j] * y[i, j]
        for j in range(y.shape[1]):
            dx[i, j] = y[i, j] * (dy[i, j] - mean)
