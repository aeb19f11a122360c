"""What only moves numbers: samples into a shard, outputs out of it, and time-major steps into flat rows.

Inside a program sequences stand time-major, (T, B, D), so that one step of all samples is one contiguous matrix; users'
arrays are (N, T, D). Letters: E elements of a user's array, N samples, T steps, B samples of the shard, D features,
H units, K the last steps.
"""

from .abi import BATCH, POSITION, kernel
from .lanes import load, store, width


@kernel("source[E] order[N]:i8 control[C]:i8 per_sample:int per_step:int per_feature:int -> x[T,B,D]")
def gather(source, order, control, per_sample, per_step, per_feature, x):
    """Fetch the shard's samples, in the epoch's order; the strides are those of the user's array, in elements."""
    (T, B, D), w = x.shape, width(x)
    for i in range(B):
        start = order[control[POSITION] + i] * per_sample
        for t in range(T if D == 1 else 0):
            x[t, i, 0] = source[start + t * per_step]
        for t in range(T if D > 1 else 0):
            step, into = start + t * per_step, x[t, i]
            if per_feature == 1:
                for d in range(0, D, w):
                    n = min(w, D - d)
                    store(into, d, n, load(source, step + d, n))
            else:
                for d in range(D):
                    into[d] = source[step + d * per_feature]


@kernel("y[T,B,D] order[N]:i8 control[C]:i8 -> output[M,T,D]")
def scatter(y, order, control, output):
    """Store the shard's outputs at their samples' places."""
    T, B, D = y.shape
    for i in range(B):
        sample = order[control[POSITION] + i]
        for t in range(T):
            for d in range(D):
                output[sample, t, d] = y[t, i, d]


@kernel("source[N,H] order[M]:i8 control[C]:i8 carried:int -> state[B,H]")
def load_state(source, order, control, carried, state):
    """Fetch the samples' rows; of what is carried from batch to batch a row belongs to a place in the batch."""
    for i in range(state.shape[0]):
        at = control[POSITION] + i
        row = at % control[BATCH] if carried else order[at]
        for j in range(state.shape[1]):
            state[i, j] = source[row, j]


@kernel("state[B,H] order[M]:i8 control[C]:i8 carried:int -> target[N,H]")
def store_state(state, order, control, carried, target):
    """Store what `load_state` fetches."""
    for i in range(state.shape[0]):
        at = control[POSITION] + i
        row = at % control[BATCH] if carried else order[at]
        for j in range(state.shape[1]):
            target[row, j] = state[i, j]


@kernel("v[B,H] -> !into[B,H]")
def accumulate(v, into):
    """Add a matrix to another."""
    for i in range(v.shape[0]):
        for j in range(v.shape[1]):
            into[i, j] += v[i, j]


@kernel("dy[K,B,H] -> dh[T,B,H]")
def spread(dy, dh):
    """Put the gradients of the last K steps among zeros for all T."""
    T, B, H = dh.shape
    first = T - dy.shape[0]
    for t in range(T):
        for i in range(B):
            for j in range(H):
                dh[t, i, j] = dy[t - first, i, j] if t >= first else dh.dtype.type(0)


@kernel("x[T,B,D] -> y[B,W]")
def flatten(x, y):
    """Put the steps of each sample side by side, W = T D."""
    T, B, D = x.shape
    for i in range(B):
        for t in range(T):
            for d in range(D):
                y[i, t * D + d] = x[t, i, d]


@kernel("dy[B,W] -> dx[T,B,D]")
def flatten_backward(dy, dx):
    """Put a flat gradient back into steps."""
    T, B, D = dx.shape
    for i in range(B):
        for t in range(T):
            for d in range(D):
                dx[t, i, d] = dy[i, t * D + d]


@kernel("x[B,D] -> y[T,B,D]")
def repeat_steps(x, y):
    """Make every step the same."""
    (T, B, D), w = y.shape, width(y)
    for t in range(T):
        for i in range(B):
            for d in range(0, D, w):
                n = min(w, D - d)
                store(y[t, i], d, n, load(x[i], d, n))


@kernel("dy[T,B,D] -> dx[B,D]", flops=lambda d: d["T"] * d["B"] * d["D"])
def sum_steps(dy, dx):
    """Add the steps, the first one first."""
    (T, B, D), w = dy.shape, width(dx)
    for i in range(B):
        for d in range(0, D, w):
            n = min(w, D - d)
            total = load(dy[0, i], d, n)
            for t in range(1, T):
                total = total + load(dy[t, i], d, n)
            store(dx[i], d, n, total)


@kernel("x[T,B,D] -> y[D,B,T]")
def swap_axes(x, y):
    """Swap steps and features."""
    for d in range(y.shape[0]):
        for i in range(y.shape[1]):
            for t in range(y.shape[2]):
                y[d, i, t] = x[t, i, d]
