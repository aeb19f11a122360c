"""Masked steps: sequences without them, packed into rows, and the way back.

A recurrent layer holds its state in a masked step, which is the same as not taking the step. So the valid steps of each
sample are moved to the front, and the samples of a shard ordered by how many they have: at step t the first alive[t]
rows are at work and nothing else is. The work is that of the valid steps, wherever the masked ones stand.

    row[i]        the row of sample i
    seen[t, i]    the valid steps of sample i up to step t, in the layer's direction
    source[s, r]  where row r finds its step s: t B + i
    alive[s]      how many rows have a step s

A mask is 1 or 0 a step. Letters: T steps, B samples of the shard, D features, H units, U states that are kept (T + 1,
or 2 that take turns), P steps that go back together, K and J steps: all, or the last one; M samples of the batch.
"""

from .abi import BATCH, POSITION, inlined, kernel
from .gemm import has_gaps
from .lanes import load, store, width


@inlined
def copy_row(into, row):
    """Copy a row, as many numbers at once as a register holds."""
    w = width(into)
    for j in range(0, into.size, w):
        n = min(w, into.size - j)
        store(into, j, n, load(row, j, n))


@inlined
def wipe(row):
    """Set a row to zero."""
    for j in range(row.size):
        row[j] = row.dtype.type(0)


@inlined
def add_row(into, row):
    """Add a row to another."""
    for j in range(into.size):
        into[j] += row[j]


@kernel("valid[T,B] backwards:int -> row[B]:i8 seen[T,B]:i8 !source[T,B]:i8 alive[T]:i8")
def order_steps(valid, backwards, row, seen, source, alive):
    """Say where every valid step goes; a layer that goes backwards takes the last one first."""
    T, B = valid.shape
    for t in range(T):
        now, before, alive[t] = valid[T - 1 - t if backwards else t], seen[max(0, t - 1)], 0
        for i in range(B):
            seen[t, i] = (before[i] if t > 0 else 0) + (1 if now[i].real > 0 else 0)
    for i in range(B):
        own, at = seen[T - 1, i], 0
        for k in range(B):
            at += 1 if seen[T - 1, k] > own or (seen[T - 1, k] == own and k < i) else 0
        row[i] = at
        for s in range(own):
            alive[s] += 1
    for t in range(T):
        for i in range(B):
            if seen[t, i] > (seen[t - 1, i] if t > 0 else 0):
                source[seen[t, i] - 1, row[i]] = (T - 1 - t if backwards else t) * B + i


@kernel("x[T,B,D] source[T,B]:i8 alive[T]:i8 -> !z[T,B,D]")
def squeeze(x, source, alive, z):
    """Put the valid steps of a sequence into their rows."""
    rows = x.reshape((x.shape[0] * x.shape[1], x.shape[2]))
    for s in range(alive.size):
        for r in range(alive[s]):
            copy_row(z[s, r], rows[source[s, r]])


@kernel("dz[P,B,D] source[P,B]:i8 alive[P]:i8 -> !dx[T,B,D]")
def unsqueeze(dz, source, alive, dx):
    """Put gradients of some steps, whose rows stand without gaps, back to where the steps came from."""
    to, k = dx.reshape((dx.shape[0] * dx.shape[1], dx.shape[2])), 0
    rows = dz.reshape((dz.shape[0] * dz.shape[1], dz.shape[2]))
    for s in range(alive.size):
        for r in range(alive[s]):
            copy_row(to[source[s, r]], rows[k])
            k += 1


@kernel("v[P,B,F] alive[P]:i8 -> !rows[P,B,F]")
def compact(v, alive, rows):
    """Copy the rows at work so that they stand without gaps, in place or elsewhere; nothing is done if they do so."""
    B, to, k = v.shape[1], rows.reshape((rows.shape[0] * rows.shape[1], rows.shape[2])), 0
    if has_gaps(alive, B):
        for s in range(alive.size):
            for r in range(alive[s]):
                copy_row(to[k], v[s, r])
                k += 1


@kernel("h[U,B,H] row[B]:i8 seen[T,B]:i8 zero:int -> y[K,B,H]")
def hold(h, row, seen, zero, y):
    """Give the outputs of the last K steps: of a masked one the last output again or 0, and 0 where there is none."""
    T, K = seen.shape[0], y.shape[0]
    for k in range(K):
        t = T - K + k
        for i in range(row.size):
            n = seen[t, i]
            fresh = n > (seen[t - 1, i] if t > 0 else 0)
            if n == 0 or (zero and not fresh):
                wipe(y[k, i])
            else:
                copy_row(y[k, i], h[n % h.shape[0], row[i]])


@kernel("dy[K,B,H] last[B,H]? row[B]:i8 seen[T,B]:i8 zero:int -> dh[J,B,H]")
def unhold(dy, last, row, seen, zero, dh):
    """Take gradients of outputs, and of the last states, to the steps whose states they are."""
    T, K, J = seen.shape[0], dy.shape[0], dh.shape[0]
    for s in range(J):
        for r in range(row.size):
            wipe(dh[s, r])
    for k in range(K):
        t = T - K + k
        for i in range(row.size):
            n = seen[t, i]
            fresh = n > (seen[t - 1, i] if t > 0 else 0)
            if n > 0 and (fresh or not zero):
                add_row(dh[n - 1 if J > 1 else 0, row[i]], dy[k, i])
    for i in range(row.size if last.size else 0):
        n = seen[T - 1, i]
        if n > 0:
            add_row(dh[n - 1 if J > 1 else 0, row[i]], last[i])


@kernel("s[U,B,H] row[B]:i8 seen[T,B]:i8 -> last[B,H]")
def last_state(s, row, seen, last):
    """Give each sample's state after its last valid step."""
    for i in range(row.size):
        copy_row(last[i], s[seen[seen.shape[0] - 1, i] % s.shape[0], row[i]])


@kernel("v[B,H] row[B]:i8 -> rows[B,H]")
def to_rows(v, row, rows):
    """Put what belongs to samples into their rows."""
    for i in range(row.size):
        copy_row(rows[row[i]], v[i])


@kernel("rows[B,H] last[B,H]? row[B]:i8 seen[T,B]:i8 -> v[B,H]")
def from_rows(rows, last, row, seen, v):
    """Give each sample its row of a gradient of first states; without a valid step it is that of the last ones."""
    for i in range(row.size):
        if seen[seen.shape[0] - 1, i] > 0:
            copy_row(v[i], rows[row[i]])
        elif last.size:
            copy_row(v[i], last[i])
        else:
            wipe(v[i])


@kernel("x[T,B,D] before[T,B]? value:float -> valid[T,B] y[T,B,D]")
def mask_steps(x, before, value, valid, y):
    """Mask the steps whose features all equal a value, and those that are masked before; they become 0."""
    T, B, D = x.shape
    for t in range(T):
        for i in range(B):
            step, kept = x[t, i], 0
            for d in range(D):
                kept += 1 if step[d].real != value else 0
            yes = kept > 0 and (before.size == 0 or before[t, i].real > 0)
            valid[t, i] = x.dtype.type(1) if yes else x.dtype.type(0)
            for d in range(D):
                y[t, i, d] = step[d] if yes else x.dtype.type(0)


@kernel("dy[T,B,D] valid[T,B] -> dx[T,B,D]")
def mask_back(dy, valid, dx):
    """Take a gradient back through the mask."""
    for t in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for d in range(dy.shape[2]):
                dx[t, i, d] = dy[t, i, d] * valid[t, i]


@kernel(
    "source[E] order[N]:i8 control[C]:i8 batch:int per_sample:int per_step:int per_feature:int features:int value:float"
    " -> !valid[T,M]"
)
def mask_batch(source, order, control, batch, per_sample, per_step, per_feature, features, value, valid):
    """Leave in the mask of a whole batch the steps with a feature that is not a value; `order` is the users'.

    Samples that the batch lacks are masked.
    """
    first = control[POSITION] - control[POSITION] % batch
    for t in range(valid.shape[0]):
        for i in range(valid.shape[1]):
            kept = 0
            if i < control[BATCH]:
                start = order[first + i] * per_sample + t * per_step
                for d in range(features):
                    kept += 1 if source[start + d * per_feature].real != value else 0
            if kept == 0:
                valid[t, i] = valid.dtype.type(0)


@kernel("value:float -> v[N]")
def fill(value, v):
    """Set every number to a value."""
    for k in range(v.size):
        v[k] = v.dtype.type(value)


@kernel("a[N] b[N] -> both[N]")
def join_masks(a, b, both):
    """Leave what one of two masks leaves."""
    for k in range(a.size):
        both[k] = a.dtype.type(1) if a[k].real > 0 or b[k].real > 0 else a.dtype.type(0)


@kernel("valid[T,M] -> count[A]")
def count_valid(valid, count):
    """Count the steps that a mask leaves."""
    steps = 0
    for t in range(valid.shape[0]):
        for i in range(valid.shape[1]):
            steps += 1 if valid[t, i].real > 0 else 0
    count[0] = count.dtype.type(steps)
