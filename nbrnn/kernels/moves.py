"""What only moves numbers: samples into a shard, outputs out of it, and time-major steps into flat rows.

Inside a program sequences stand time-major, (T, B, D), so that one step of all samples is one contiguous matrix; users'
arrays are (N, T, D). Letters: E elements of a user's array, N samples, T steps, B samples of the shard, D features.
"""

from .abi import POSITION, kernel


@kernel("source[E] order[N]:i8 control[C]:i8 per_sample:int per_step:int per_feature:int -> x[T,B,D]")
def gather(source, order, control, per_sample, per_step, per_feature, x):
    """Fetch the shard's samples, in the epoch's order; the strides are those of the user's array, in elements."""
    T, B, D = x.shape
    for i in range(B):
        start = order[control[POSITION] + i] * per_sample
        for t in range(T):
            step, into = start + t * per_step, x[t, i]
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
