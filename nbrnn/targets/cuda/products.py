"""Products of matrices on the device."""

from numba import cuda

from ...kernels.activations import act, slope


@cuda.jit
def neurons(Y, A, X, Wx, Px, H, states, Wh, Ph, b, code):  # type: ignore[no-untyped-def]
    """Y = act(X Wx + H Wh + b), with the first `states` columns of H; A, if it is there, keeps what act is taken of.

    Neighbouring threads read neighbours in the weights as they stand, so the panels are not needed here.
    """
    rows, units = Y.shape
    features, biased, kept, zero = Wx.shape[0], b.size > 0, A.size > 0, Y.dtype.type(0)
    for i in range(cuda.grid(1), rows * units, cuda.gridsize(1)):
        n, j = i // units, i % units
        a = b[j] if biased else zero
        for d in range(features):
            a += X[n, d] * Wx[d, j]
        for k in range(states):
            a += H[n, k] * Wh[k, j]
        if kept:
            A[n, j] = a
        Y[n, j] = act(a, code)


@cuda.jit
def descend(dA, dY, Y, first, stop, code):  # type: ignore[no-untyped-def]
    """Set columns of dA to dY * act'(A), from the output Y = act(A)."""
    rows, columns = Y.shape[0], stop - first
    for i in range(cuda.grid(1), rows * columns, cuda.gridsize(1)):
        n, j = i // columns, first + i % columns
        dA[n, j] = dY[n, j] * slope(Y[n, j], code)


@cuda.jit
def back_product(dX, dA, W, PT, accumulate):  # type: ignore[no-untyped-def]
    """dX (+)= dA W^T; of the packed transpose PT, where there is one, neighbouring threads read neighbours."""
    rows, features = dX.shape
    units, turned, zero = W.shape[1], PT.size > 0, dX.dtype.type(0)
    L = PT.shape[2] if turned else 1
    for i in range(cuda.grid(1), rows * features, cuda.gridsize(1)):
        n, k = i // features, i % features
        dx = dX[n, k] if accumulate else zero
        for j in range(units):
            dx += dA[n, j] * (PT[k // L, j, k % L] if turned else W[k, j])
        dX[n, k] = dx


@cuda.jit
def products_of_columns(x, da, add, dW, db):  # type: ignore[no-untyped-def]
    """dW = x^T da, and db as if x had one more column, of ones."""
    features, units = dW.shape
    rows, lines, zero = da.shape[0], features + (1 if db.size else 0), da.dtype.type(0)
    for i in range(cuda.grid(1), lines * units, cuda.gridsize(1)):
        k, j = i // units, i % units
        s = zero
        if add:
            s = dW[k, j] if k < features else db[j]
        for n in range(rows):
            s += x[n, k] * da[n, j] if k < features else da[n, j]
        if k < features:
            dW[k, j] = s
        else:
            db[j] = s


@cuda.jit
def pack(W, first, each, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L columns, gate by gate, the last of each filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    panels = (each + L - 1) // L
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        place = (start + q) % panels * L + j
        inside = place < each
        P[q, k, j] = W[k, first + (start + q) // panels * each + place] if inside else P.dtype.type(0)


@cuda.jit
def pack_transposed(W, first, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L of its rows, the last one filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        row = (start + q) * L + j
        P[q, k, j] = W[row, first + k] if row < W.shape[0] else P.dtype.type(0)
