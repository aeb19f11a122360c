"""Products of matrices. Small ones are plain loops; wide ones go through register tiles (tile.py).

Letters: N rows (time steps times samples), F features in, O features out.
"""

from numba import types
from numba.extending import overload

from .abi import inlined, jit, kernel
from .activations import SMALL, TANH, act, activate
from .tile import ROWS, VECTOR_BYTES, full, full_edge, single, single_edge


def multiply(C, A, B, accumulate):
    """C (+)= A B, for C-contiguous matrices (plain NumPy; the native twins are below)."""
    C[...] = (C if accumulate else 0) + A @ B


def multiply_tn(C, A, B, accumulate):
    """C (+)= A^T B."""
    C[...] = (C if accumulate else 0) + A.T @ B


@jit
def loop_multiply(C, A, B, M, K, a_row, a_k, accumulate):
    """C (+)= op(A) B for any dtype, as plain loops; A's elements lie a_row and a_k apart in memory."""
    width = A.shape[1]
    for m in range(M):
        row = C[m]
        if not accumulate:
            for n in range(row.size):
                row[n] = C.dtype.type(0)
        for k in range(K):
            at, line = m * a_row + k * a_k, B[k]
            a = A[at // width, at % width]
            for n in range(row.size):
                row[n] += a * line[n]


@jit
def tiled_multiply(C, A, B, M, K, a_row, a_k, accumulate):
    """C (+)= op(A) B by register tiles: two vectors of columns at a time, then what is left under a mask."""
    N = C.shape[1]
    width = VECTOR_BYTES // C.itemsize
    n = 0
    while n + 2 * width <= N:
        m = 0
        while m + ROWS <= M:
            full(A, m * a_row, a_row, a_k, B, n, N, C, m * N + n, N, K, accumulate, 0)
            m += ROWS
        while m < M:
            single(A, m * a_row, a_row, a_k, B, n, N, C, m * N + n, N, K, accumulate, 0)
            m += 1
        n += 2 * width
    while n < N:
        m = 0
        while m + ROWS <= M:
            full_edge(A, m * a_row, a_row, a_k, B, n, N, C, m * N + n, N, K, accumulate, N - n)
            m += ROWS
        while m < M:
            single_edge(A, m * a_row, a_row, a_k, B, n, N, C, m * N + n, N, K, accumulate, N - n)
            m += 1
        n += width


@overload(multiply)
def _multiply(C, A, B, accumulate):  # type: ignore[no-untyped-def]
    product = loop_multiply if C.dtype == types.complex128 else tiled_multiply
    return lambda C, A, B, accumulate: product(C, A, B, A.shape[0], A.shape[1], A.shape[1], 1, accumulate)


@overload(multiply_tn)
def _multiply_tn(C, A, B, accumulate):  # type: ignore[no-untyped-def]
    product = loop_multiply if C.dtype == types.complex128 else tiled_multiply
    return lambda C, A, B, accumulate: product(C, A, B, A.shape[1], A.shape[0], 1, A.shape[1], accumulate)


@inlined
def copy(into, V):
    """Copy a matrix."""
    for n in range(V.shape[0]):
        for j in range(V.shape[1]):
            into[n, j] = V[n, j]


@inlined
def clear(V):
    """Set a matrix to zero."""
    for n in range(V.shape[0]):
        for j in range(V.shape[1]):
            V[n, j] = V.dtype.type(0)


@inlined
def few_neurons(y, x, Wx, h, states, Wh, b, code):
    """`neurons` for one short row, with its sums in registers."""
    for j in range(y.size):
        s = b[j]
        for d in range(x.size):
            s += x[d] * Wx[d, j]
        for k in range(states):
            s += h[k] * Wh[k, j]
        y[j] = act(s, code)


@inlined
def affine(Y, X, Wx, H, states, Wh, b):
    """Y = X Wx + H Wh + b, with the first `states` columns of H (all or none); b may be empty."""
    if b.size:
        for n in range(Y.shape[0]):
            for j in range(b.size):
                Y[n, j] = b[j]
    multiply(Y, X, Wx, b.size > 0)
    if states:
        multiply(Y, H, Wh, True)


@inlined
def neurons(Y, A, X, Wx, H, states, Wh, b, code):
    """Y = act(X Wx + H Wh + b), a row a sample, with the first `states` columns of H (all or none).

    b may be empty; A, unless it is empty, keeps the pre-activations.
    """
    rows, units = Y.shape
    if units < SMALL and code == TANH and b.size and not A.size:
        for n in range(rows):
            few_neurons(Y[n], X[n], Wx, H[n], states, Wh, b, TANH)
        return
    affine(Y, X, Wx, H, states, Wh, b)
    if A.size:
        copy(A, Y)
    activate(Y, 0, units, code)


@inlined
def back_product(dX, dA, W, WT, accumulate):
    """dX (+)= dA W^T; the transposed copy WT serves wide matrices, W itself small ones."""
    if WT.size:
        multiply(dX, dA, WT, accumulate)
        return
    for n in range(dX.shape[0]):
        dx, da = dX[n], dA[n]
        for k in range(dx.size):
            s = dx[k] if accumulate else dx.dtype.type(0)
            for j in range(da.size):
                s += da[j] * W[k, j]
            dx[k] = s


@kernel("W[F,O] -> WT[O,F]")
def transpose(W, WT):
    """Copy a matrix, columns to rows, so that a product with its transpose runs along rows."""
    for k in range(W.shape[0]):
        Wk = W[k]
        for j in range(W.shape[1]):
            WT[j, k] = Wk[j]


@kernel("x[N,F] da[N,O] -> dW[F,O] db[O]?", flops=lambda d: (2 * d["F"] + 1) * d["N"] * d["O"])
def weight_gradient(x, da, dW, db):
    """dW = x^T da and db = the sum of da, over all steps and samples at once: no part of it is sequential."""
    multiply_tn(dW, x, da, False)
    zero = da.dtype.type(0)
    if db.size < SMALL:
        for j in range(db.size):
            s = zero
            for n in range(da.shape[0]):
                s += da[n, j]
            db[j] = s
        return
    for j in range(db.size):
        db[j] = zero
    n, N = 0, da.shape[0]
    while n + 4 <= N:  # four rows at a time: each pass waits for what the one before stored
        d0, d1, d2, d3 = da[n], da[n + 1], da[n + 2], da[n + 3]
        for j in range(db.size):
            db[j] += (d0[j] + d1[j]) + (d2[j] + d3[j])
        n += 4
    while n < N:
        d0 = da[n]
        for j in range(db.size):
            db[j] += d0[j]
        n += 1


@kernel("da[N,O] W[F,O] WT[O,F]? -> dx[N,F]", flops=lambda d: 2 * d["N"] * d["F"] * d["O"])
def input_gradient(da, W, WT, dx):
    """dx = da W^T."""
    back_product(dx, da, W, WT, False)
