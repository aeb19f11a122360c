"""What the factors of a product are rounded to before they are multiplied; sums are float32, or float64.

    float64, float32    nothing is rounded
    tf32                8 bits of exponent and 10 of fraction stay of a float32
    bfloat16            8 bits of exponent and 7 of fraction stay

Rounding is to the nearest, and to even where two are as near; by integer arithmetic on the bits, so that the simulator
and every GPU give the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...kernels.abi import overloaded
from .designs import PRECISIONS

DROPPED = {"tf32": 13, "bfloat16": 16}  # bits of a float32's fraction; 0 of the others


class Precision:
    """What the factors of products are rounded to now, in models of float32; those of float64 never are."""

    now: str = "float32"


@contextmanager
def using(precision: str) -> Iterator[None]:
    """Let the products that are launched inside be of a precision.

    Parameters
    ----------
    precision : str
        "float32", "tf32" or "bfloat16"; "float64" for models of float64.

    Raises
    ------
    ValueError
        If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
    before, Precision.now = Precision.now, precision
    try:
        yield
    finally:
        Precision.now = before


def dropped_bits(dtype: Any) -> int:
    """Return how many bits of its fraction a factor of this dtype loses now."""
    return DROPPED.get(Precision.now, 0) if np.dtype(dtype) == np.float32 else 0


def rounded(x, dropped):  # type: ignore[no-untyped-def]
    """Return a float32 without its last `dropped` bits, to nearest even (plain Python; the native twin is below)."""
    if dropped == 0 or x != x:
        return x
    bits = int(np.float32(x).view(np.uint32))
    bits += (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)
    return np.uint32(bits >> dropped << dropped).view(np.float32)


@intrinsic
def _rounded(typingctx, x, dropped):  # type: ignore[no-untyped-def]
    """Round by the bits, or not at all where none is dropped."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = ir.IntType(32)
        number, drop = args[0], builder.trunc(args[1], word)
        bits = builder.bitcast(number, word)
        odd = builder.and_(builder.lshr(bits, drop), word(1))
        almost_half = builder.sub(builder.lshr(builder.shl(word(1), drop), word(1)), word(1))
        sum_ = builder.add(builder.add(bits, almost_half), odd)
        cut = builder.shl(builder.lshr(sum_, drop), drop)
        kept = builder.or_(builder.icmp_signed("==", drop, word(0)), builder.fcmp_unordered("uno", number, number))
        return builder.select(kept, number, builder.bitcast(cut, ir.FloatType()))

    return types.float32(types.float32, types.int64), codegen


@overloaded(rounded)
def _native_rounded(x, dropped):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x, dropped: _rounded(x, dropped)
    return lambda x, dropped: x
