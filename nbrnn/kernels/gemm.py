"""Products of matrices. Small ones are plain loops; wide ones go through register tiles (tile.py).

A matrix that many rows are multiplied with is packed first: panels of as many columns as a tile has, each contiguous,
so that a tile walks through memory in a line. The numbers are the same, bit for bit. Letters: N rows (time steps times
samples), F features in, O features out; Q panels of L columns.
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


def multiply_packed(C, A, P, accumulate):
    """C (+)= A B, where P holds B packed (plain NumPy; the native twin is below)."""
    multiply(C, A, P.transpose(1, 0, 2).reshape(P.shape[1], -1)[:, : C.shape[1]], accumulate)


@jit
def tiled_packed(C, A, P, accumulate):
    """C (+)= A B by register tiles, a panel of B at a time; what is left of the last panel goes under a mask."""
    M, N, K, L = A.shape[0], C.shape[1], A.shape[1], P.shape[2]
    n = 0
    while n + L <= N:
        m = 0
        while m + ROWS <= M:
            full(A, m * K, K, 1, P, n * K, L, C, m * N + n, N, K, accumulate, 0)
            m += ROWS
        while m < M:
            single(A, m * K, K, 1, P, n * K, L, C, m * N + n, N, K, accumulate, 0)
            m += 1
        n += L
    last = n
    while n < N:
        b, rest = last * K + n - last, min(N - n, L // 2)
        m = 0
        while m + ROWS <= M:
            full_edge(A, m * K, K, 1, P, b, L, C, m * N + n, N, K, accumulate, rest)
            m += ROWS
        while m < M:
            single_edge(A, m * K, K, 1, P, b, L, C, m * N + n, N, K, accumulate, rest)
            m += 1
        n += L // 2


@overload(multiply_packed)
def _multiply_packed(C, A, P, accumulate):  # type: ignore[no-untyped-def]
    if C.dtype == types.complex128:  # nothing is packed for complex numbers
        return lambda C, A, P, accumulate: None
    return lambda C, A, P, accumulate: tiled_packed(C, A, P, accumulate)


@inlined
def following(k, states):
    """Return where the state after the k-th stands: beside it, or, where few of them take turns, at the beginning."""
    return k + 1 if k + 1 < states.shape[0] else 0


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
def affine(Y, X, Wx, Px, H, states, Wh, Ph, b):
    """Y = X Wx + H Wh + b, with the first `states` columns of H (all or none); b, and packed weights, may be empty."""
    if b.size:
        for n in range(Y.shape[0]):
            for j in range(b.size):
                Y[n, j] = b[j]
    if Px.size:
        multiply_packed(Y, X, Px, b.size > 0)
    else:
        multiply(Y, X, Wx, b.size > 0)
    if states and Ph.size:
        multiply_packed(Y, H, Ph, True)
    elif states:
        multiply(Y, H, Wh, True)


@inlined
def neurons(Y, A, X, Wx, Px, H, states, Wh, Ph, b, code):
    """Y = act(X Wx + H Wh + b), a row a sample, with the first `states` columns of H (all or none).

    b and packed weights may be empty; A, unless it is empty, keeps the pre-activations.
    """
    rows, units = Y.shape
    if units < SMALL and code == TANH and b.size and not A.size:
        for n in range(rows):
            few_neurons(Y[n], X[n], Wx, H[n], states, Wh, b, TANH)
        return
    affine(Y, X, Wx, Px, H, states, Wh, Ph, b)
    if A.size:
        copy(A, Y)
    activate(Y, 0, units, code)


@inlined
def back_product(dX, dA, W, PT, accumulate):
    """dX (+)= dA W^T; the packed transpose PT serves wide matrices, W itself small ones."""
    if PT.size:
        multiply_packed(dX, dA, PT, accumulate)
        return
    for n in range(dX.shape[0]):
        dx, da = dX[n], dA[n]
        for k in range(dx.size):
            s = dx[k] if accumulate else dx.dtype.type(0)
            for j in range(da.size):
                s += da[j] * W[k, j]
            dx[k] = s


@kernel("W[F,O] -> P[Q,F,L]")
def pack(W, P):
    """Copy a matrix into panels of L columns; the last one is filled up with zeros."""
    L = P.shape[2]
    for q in range(P.shape[0]):
        width = min(L, W.shape[1] - q * L)
        for k in range(W.shape[0]):
            line, from_row = P[q, k], W[k]
            for j in range(width):
                line[j] = from_row[q * L + j]
            for j in range(width, L):
                line[j] = P.dtype.type(0)


@kernel("W[F,O] -> P[Q,O,L]")
def pack_transposed(W, P):
    """Copy the transpose of a matrix into panels of L columns, rows of W; the last one is filled up with zeros."""
    L = P.shape[2]
    for q in range(P.shape[0]):
        width = min(L, W.shape[0] - q * L)
        for j in range(L):
            if j < width:
                from_row = W[q * L + j]
                for k in range(W.shape[1]):
                    P[q, k, j] = from_row[k]
            else:
                for k in range(W.shape[1]):
                    P[q, k, j] = P.dtype.type(0)


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


@kernel("da[N,O] W[F,O] PT[Q,O,L]? -> dx[N,F]", flops=lambda d: 2 * d["N"] * d["F"] * d["O"])
def input_gradient(da, W, PT, dx):
    """dx = da W^T."""
    back_product(dx, da, W, PT, False)
