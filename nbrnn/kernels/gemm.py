"""Products of matrices, strip by strip: as many columns as a register tile has (tile.py), for all rows.

A matrix that many rows are multiplied with is packed first: panels of as many columns as a strip, each contiguous, so
that a tile walks through memory in a line. The numbers are the same, bit for bit. Letters: N rows (time steps times
samples), F features in, O features out; Q panels of L columns.
"""

from numba import types
from numba.extending import overload

from .abi import BARE, INLINED, inlined, kernel
from .activations import SMALL, TANH, act, activate
from .lanes import constant, load, muladd, store, width
from .tile import ROWS, VECTOR_BYTES, narrow, wide

# A weight gradient's blocks: a panel of DEPTH rows stays in the first cache, PANELS of them and TALL columns of x in
# the second. Rows of da, which come from memory, are read in as long pieces as that allows.
DEPTH, PANELS, TALL = 128, 32, 512


def strip(C, first, count, A, turned, a_at, B, b_at, H, states, W, w_at, I):
    """Fill `count` columns of C, from the first on, with I + A B + H W (plain Python; the native twin is below).

    A may have more columns than B has rows, which do not count; where it is `turned` its transpose is taken, from
    column `a_at` on. B and W are taken from columns `b_at` and `w_at` on; of H the first `states` columns (all or
    none); I is a matrix, one row for all, or empty, and taken at C's columns.
    """
    columns = slice(first, first + count)
    left = A[:, a_at : a_at + C.shape[0]].T if turned else A[:, : B.shape[0]]
    total = left @ B[:, b_at : b_at + count]
    if states:
        total = total + H[:, :states] @ W[:states, w_at : w_at + count]
    C[:, columns] = total + I[:, columns] if I.size else total


def tiled_strip(C, first, count, A, turned, a_at, B, b_at, H, states, W, w_at, I):
    """Fill a strip by register tiles; what is narrower than two registers goes under masks."""
    M, N = C.shape
    K = B.shape[0]
    a_row, a_k = (1, A.shape[1]) if turned else (A.shape[1], 1)
    i_row, lanes, begun = I.shape[1] if I.shape[0] > 1 else 0, VECTOR_BYTES // C.itemsize, I.size > 0
    if count >= 2 * lanes:
        wide(A, a_at, a_row, a_row, a_k, B, b_at, B.shape[1], K, H, 0, H.shape[1], W, w_at, W.shape[1], states,
             I, first, i_row, begun, C, first, N, M, 0)  # fmt: skip
        return
    for done in range(0, count, lanes):
        narrow(A, a_at, a_row, a_row, a_k, B, b_at + done, B.shape[1], K, H, 0, H.shape[1],
               W, w_at + done, W.shape[1], states, I, first + done, i_row, begun,
               C, first + done, N, M, count - done)  # fmt: skip


def looped_strip(C, first, count, A, turned, a_at, B, b_at, H, states, W, w_at, I):
    """Fill a strip by plain loops, for complex numbers."""
    for m in range(C.shape[0]):
        row = C[m, first : first + count]
        for n in range(count):
            row[n] = I[m if I.shape[0] > 1 else 0, first + n] if I.size else C.dtype.type(0)
        for k in range(B.shape[0]):
            a, line = A[k, a_at + m] if turned else A[m, k], B[k]
            for n in range(count):
                row[n] += a * line[b_at + n]
        for k in range(states):
            a, line = H[m, k], W[k]
            for n in range(count):
                row[n] += a * line[w_at + n]


@overload(strip, jit_options=INLINED)
def _strip(C, first, count, A, turned, a_at, B, b_at, H, states, W, w_at, I):  # type: ignore[no-untyped-def]
    return looped_strip if C.dtype == types.complex128 else tiled_strip


@inlined
def panel_width(V):
    """Return the number of columns of a panel."""
    return 2 * VECTOR_BYTES // V.itemsize


@inlined
def joint_strip(C, first, count, X, Wx, Px, x_at, x_panel, H, states, Wh, Ph, h_at, h_panel, I):
    """Fill a strip of C with I + X Wx + H Wh, from panels of the weights or, where these are empty, their columns.

    Weights are packed both or not at all. H may have no columns that count (`states` 0).
    """
    if Px.size:
        strip(C, first, count, X, False, 0, Px[x_panel], 0, H, states, Ph[h_panel], 0, I)
    else:
        strip(C, first, count, X, False, 0, Wx, x_at, H, states, Wh, h_at, I)


@inlined
def affine(Y, X, Wx, Px, H, states, Wh, Ph, I):
    """Y = I + X Wx + H Wh, with the first `states` columns of H (all or none); I, and packed weights, may be empty."""
    L, N = panel_width(Y), Y.shape[1]
    for first in range(0, N, L):
        if Px.size:
            strip(Y, first, min(L, N - first), X, False, 0, Px[first // L], 0, H, states, Ph[first // L], 0, I)
        else:
            strip(Y, first, min(L, N - first), X, False, 0, Wx, first, H, states, Wh, first, I)


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
    w = width(y)
    for j in range(0, y.size, w):
        n = min(w, y.size - j)
        s = load(b, j, n)
        for d in range(x.size):
            s = muladd(load(Wx[d], j, n), x[d], s)
        for k in range(states):
            s = muladd(load(Wh[k], j, n), h[k], s)
        store(y, j, n, act(s, code))


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
    affine(Y, X, Wx, Px, H, states, Wh, Ph, b.reshape((1, b.size)))
    if A.size:
        copy(A, Y)
    activate(Y, 0, units, code)


@inlined
def back_product(dX, dA, W, PT, accumulate):
    """dX (+)= dA W^T; the packed transpose PT serves wide matrices, W itself small ones."""
    if PT.size:
        affine(dX, dA, PT[0], PT, dA, 0, PT[0], PT, dX if accumulate else dX[:0])
        return
    for n in range(dX.shape[0]):
        dx, da = dX[n], dA[n]
        for k in range(dx.size):
            s = dx[k] if accumulate else dx.dtype.type(0)
            for j in range(W.shape[1]):
                s += da[j] * W[k, j]
            dx[k] = s


@kernel("W[F,O] first:int each:int start:int -> P[Q,F,L]")
def pack(W, first, each, start, P):
    """Copy columns of a matrix into panels of L, from the panel `start` on; zeros fill up what a panel lacks.

    The columns begin at `first` and belong to gates of `each` columns; every gate begins a panel.
    """
    L, panels = P.shape[2], (each + P.shape[2] - 1) // P.shape[2]
    for k in range(W.shape[0]):
        for q in range(P.shape[0]):
            gate, place = (start + q) // panels, (start + q) % panels * L
            line, row, here = P[q, k], W[k, first + gate * each + place :], min(L, each - place)
            for j in range(here):
                line[j] = row[j]
            for j in range(here, L):
                line[j] = P.dtype.type(0)


@kernel("W[F,G] first:int start:int -> P[Q,O,L]")
def pack_transposed(W, first, start, P):
    """Copy O columns of a matrix, from `first` on, into panels of L of its rows, from the panel `start` on."""
    L = P.shape[2]
    for q in range(P.shape[0]):
        below = (start + q) * L
        for j in range(L):
            if below + j < W.shape[0]:
                row = W[below + j, first:]
                for k in range(P.shape[1]):
                    P[q, k, j] = row[k]
            else:
                for k in range(P.shape[1]):
                    P[q, k, j] = P.dtype.type(0)


def blocked_gradient(x, da, add, dW, db, tall, room):
    """dW (+)= x^T da and db (+)= the sum of da, block by block (plain Python; the native twin is below)."""
    dW[...] = (dW if add else 0) + x.T @ da[:, : dW.shape[1]]
    if db.size:
        db[...] = (db if add else 0) + da[:, : db.size].sum(axis=0)


@inlined
def pack_rows(x, first, rows, tall):
    """Pack columns of x, rows of dW, by as many as a tile has; return how many are packed, all but a rest."""
    whole, w, depth = rows // ROWS * ROWS, min(width(x), ROWS), x.shape[0]
    for start in range(0, depth, 8):  # some steps at a time, so that whole lines of memory are written
        for m in range(whole // ROWS):
            for n in range(start, min(start + 8, depth)):
                for r in range(0, ROWS, w):
                    store(tall[m * depth + n], r, w, load(x[n], first + m * ROWS + r, w))
    return whole


@inlined
def pack_panels(da, first, stop, room):
    """Pack columns of da into panels; what follows the last column stays as it is and is not used."""
    w, L, depth = width(da), room.shape[1], da.shape[0]
    for n in range(depth):
        line, to = da[n], n
        for begin in range(first, stop, L):
            into, count = room[to], min(L, stop - begin)
            for j in range(0, count, w):
                here = min(w, count - j)
                store(into, j, here, load(line, begin + j, here))
            to += depth


@inlined
def add_rows(room, rows, count, db, first):
    """Add a panel's rows to db; in four sums, since each waits for the one before."""
    w = width(room)
    for j in range(0, count, w):
        n, here = 0, min(w, count - j)
        s0 = load(db, first + j, here)
        s1 = s2 = s3 = constant(s0, 0.0)
        while n + 4 <= rows:
            s0, s1 = s0 + load(room[n], j, here), s1 + load(room[n + 1], j, here)
            s2, s3 = s2 + load(room[n + 2], j, here), s3 + load(room[n + 3], j, here)
            n += 4
        while n < rows:
            s0 = s0 + load(room[n], j, here)
            n += 1
        store(db, first + j, here, (s0 + s1) + (s2 + s3))


def tiled_gradient(x, da, add, dW, db, tall, room):
    """dW (+)= x^T da, and db: blocks of x and panels of da are packed, and each panel serves all rows of its block."""
    (N, F), O, L = x.shape, dW.shape[1], room.shape[1]
    for f in range(0, F, TALL):
        part = dW[f : f + TALL]
        for n in range(0, N, DEPTH):
            rows, above = x[n : n + DEPTH], da[n : n + DEPTH]
            depth, begun = rows.shape[0], n > 0 or add != 0
            whole = pack_rows(rows, f, part.shape[0], tall)
            for first in range(0, O, L):
                if first % (PANELS * L) == 0:  # neighbours together: a row of da is far from the next
                    pack_panels(above, first, min(O, first + PANELS * L), room)
                count, place = min(L, O - first), first // L % PANELS * depth
                panel = room[place : place + depth]
                if f == 0 and db.size:
                    add_rows(panel, depth, count, db, first)
                lanes = L // 2 if count < L else L
                for done in range(0, count, lanes):
                    at = first + done
                    if count == L:
                        wide(tall, 0, depth, 1, ROWS, panel, done, L, depth, room, 0, L, room, 0, L, 0,
                             part, at, O, begun, part, at, O, whole, 0)  # fmt: skip
                    else:
                        narrow(tall, 0, depth, 1, ROWS, panel, done, L, depth, room, 0, L, room, 0, L, 0,
                               part, at, O, begun, part, at, O, whole, count - done)  # fmt: skip
                if whole < part.shape[0]:
                    rest = part[whole:]
                    I = rest if begun else rest[:0]
                    strip(rest, first, count, rows, True, f + whole, panel, 0, rows, 0, room, 0, I)


@overload(blocked_gradient, jit_options=BARE)
def _blocked_gradient(x, da, add, dW, db, tall, room):  # type: ignore[no-untyped-def]
    if x.dtype == types.complex128:  # nothing is packed for complex numbers
        return lambda x, da, add, dW, db, tall, room: None
    return tiled_gradient


@inlined
def rows_of(alive):
    """Return how many rows are at work in all steps."""
    count = 0
    for t in range(alive.size):
        count += alive[t]
    return count


@inlined
def has_gaps(alive, B):
    """Return whether rows at work stand after others that are not, B rows a step."""
    gaps = 0
    for t in range(1, alive.size):
        gaps += 1 if alive[t - 1] < B and alive[t] > 0 else 0
    return gaps > 0


@inlined
def few_gradients(x, da, add, dW, db):
    """`weight_gradient` of some numbers, each of its rows in a register."""
    w, O = width(da), dW.shape[1]
    for j in range(0, O, w):
        n = min(w, O - j)
        for f in range(dW.shape[0]):
            s = load(dW[f], j, n)
            s = s if add else constant(s, 0.0)
            for m in range(da.shape[0]):
                s = muladd(load(da[m], j, n), x[m, f], s)
            store(dW[f], j, n, s)
        if db.size:
            s = load(db, j, n)
            for m in range(da.shape[0]):
                s = s + load(da[m], j, n)
            store(db, j, n, s)


@kernel(
    "x[N,F] packed[N,F]? da[N,G] alive[A]?:i8 add:int -> !dW[F,O] !db[O]? tall[S,R]? room[K,L]?",
    flops=lambda d: (2 * d["F"] + 1) * d["N"] * d["O"],
)
def weight_gradient(x, packed, da, alive, add, dW, db, tall, room):
    """dW = x^T da and db = the sum of da, over many steps and samples at once: no part of it is sequential.

    With `add` they are added to what dW and db hold.

    Rows of da may be longer than those of dW: lines that are a power of two apart get in each other's way in a cache.
    `tall` and `room`, for large products, are where blocks of x and of da are packed. With `alive` only so many rows
    count as it sums to (masking.py); `packed`, where it is there, holds those of x if they have gaps.
    """
    if not add:
        for j in range(db.size):
            db[j] = db.dtype.type(0)
    if alive.size:
        count = rows_of(alive)
        if packed.size and has_gaps(alive, x.shape[0] // alive.size):
            x = packed
        x, da = x[:count], da[:count]
        if count == 0:
            if not add:
                clear(dW)
            return
    if not room.size and dW.shape[0] < SMALL and dW.shape[1] < 2 * SMALL:
        few_gradients(x, da, add, dW, db)
        return
    if room.size:
        blocked_gradient(x, da, add, dW, db, tall, room)
        return
    L, O = panel_width(dW), dW.shape[1]
    for first in range(0, O, L):
        strip(dW, first, min(L, O - first), x, True, 0, da, first, x, 0, da, 0, dW if add else dW[:0])
    add_rows(da, da.shape[0], db.size, db, 0)


@kernel("da[N,G] W[F,O] PT[Q,O,L]? alive[A]?:i8 -> dx[N,F]", flops=lambda d: 2 * d["N"] * d["F"] * d["O"])
def input_gradient(da, W, PT, alive, dx):
    """dx = da W^T, of all rows, or of so many as `alive` sums to."""
    count = rows_of(alive) if alive.size else dx.shape[0]
    back_product(dx[:count], da[:count], W, PT, False)
