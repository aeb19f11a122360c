"""Blocks of weights: four inputs of four neighbouring outputs, a tuple of 16 numbers, or of 8 pairs in bfloat16."""

from ...kernels.abi import inlined
from .persistent_memory import high_half, low_half, pair, peek, peek4, poke4
from .precision import rounded


@inlined
def weight(W, i, o, inputs, outputs, turned, dropped):  # type: ignore[no-untyped-def]
    """Return the rounded weight from an input to an output, zero beyond the last of either; or of the transpose."""
    if i < inputs and o < outputs:
        return rounded(peek(W, o * inputs + i if turned else i * outputs + o), dropped)
    return W.dtype.type(0)


@inlined
def line(W, i, o, inputs, outputs, turned, dropped):  # type: ignore[no-untyped-def]
    """Return the weights from an input to four outputs."""
    return (
        weight(W, i, o, inputs, outputs, turned, dropped),
        weight(W, i, o + 1, inputs, outputs, turned, dropped),
        weight(W, i, o + 2, inputs, outputs, turned, dropped),
        weight(W, i, o + 3, inputs, outputs, turned, dropped),
    )


@inlined
def block(W, i, o, inputs, outputs, turned, dropped):  # type: ignore[no-untyped-def]
    """Return the weights from four inputs."""
    return (
        line(W, i, o, inputs, outputs, turned, dropped)
        + line(W, i + 1, o, inputs, outputs, turned, dropped)
        + line(W, i + 2, o, inputs, outputs, turned, dropped)
        + line(W, i + 3, o, inputs, outputs, turned, dropped)
    )


@inlined
def paired(low, high):  # type: ignore[no-untyped-def]
    """Return two lines in one."""
    return pair(low[0], high[0]), pair(low[1], high[1]), pair(low[2], high[2]), pair(low[3], high[3])


@inlined
def pairs(W, i, o, inputs, outputs, turned, dropped):  # type: ignore[no-untyped-def]
    """Return the weights from four inputs in pairs."""
    first = line(W, i, o, inputs, outputs, turned, dropped), line(W, i + 1, o, inputs, outputs, turned, dropped)
    last = line(W, i + 2, o, inputs, outputs, turned, dropped), line(W, i + 3, o, inputs, outputs, turned, dropped)
    return paired(first[0], first[1]) + paired(last[0], last[1])


@inlined
def put_block(M, at, step, w):  # type: ignore[no-untyped-def]
    """Write a block to shared memory, a line every `step` numbers."""
    poke4(M, at, w[0:4])
    poke4(M, at + step, w[4:8])
    poke4(M, at + 2 * step, w[8:12])
    poke4(M, at + 3 * step, w[12:16])


@inlined
def get_block(M, at, step):  # type: ignore[no-untyped-def]
    """Read it."""
    return peek4(M, at) + peek4(M, at + step) + peek4(M, at + 2 * step) + peek4(M, at + 3 * step)


@inlined
def put_pairs(M, at, step, w):  # type: ignore[no-untyped-def]
    """Write a block of pairs."""
    poke4(M, at, w[0:4])
    poke4(M, at + step, w[4:8])


@inlined
def get_pairs(M, at, step):  # type: ignore[no-untyped-def]
    """Read it."""
    return peek4(M, at) + peek4(M, at + step)


@inlined
def add_line(a, x, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Return four sums and what one input adds to them."""
    return a[0] + x * w0, a[1] + x * w1, a[2] + x * w2, a[3] + x * w3


@inlined
def add_block(a, x, w):  # type: ignore[no-untyped-def]
    """Return four sums and what four inputs add to them, one after the other."""
    a = add_line(a, x[0], w[0], w[1], w[2], w[3])
    a = add_line(a, x[1], w[4], w[5], w[6], w[7])
    a = add_line(a, x[2], w[8], w[9], w[10], w[11])
    return add_line(a, x[3], w[12], w[13], w[14], w[15])


@inlined
def add_pairs(a, x, w):  # type: ignore[no-untyped-def]
    """Return the same with weights in pairs."""
    a = add_line(a, x[0], low_half(w[0]), low_half(w[1]), low_half(w[2]), low_half(w[3]))
    a = add_line(a, x[1], high_half(w[0]), high_half(w[1]), high_half(w[2]), high_half(w[3]))
    a = add_line(a, x[2], low_half(w[4]), low_half(w[5]), low_half(w[6]), low_half(w[7]))
    return add_line(a, x[3], high_half(w[4]), high_half(w[5]), high_half(w[6]), high_half(w[7]))
