"""What the factors of a product are rounded to before they are multiplied; sums are float32, or float64.

    float64, float32    nothing is rounded
    tf32                8 bits of exponent and 10 of fraction stay of a float32
    bfloat16            8 bits of exponent and 7 of fraction stay

Rounding is to the nearest. Where two are as near, bfloat16 takes the even one and tf32 the one away from zero, as the
chip's own conversions do (cvt.rn.bf16, cvt.rna.tf32). By integer arithmetic on the bits, so that the simulator and
every GPU give the same numbers.
"""

import math
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
EVEN = DROPPED["bfloat16"]  # with which the even one is taken of two that are as near


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


def precision_of(dtype: Any) -> str:
    """Return the precision of products of numbers of a dtype: what was asked for, or float64."""
    if np.dtype(dtype) == np.float64:
        return "float64"
    return Precision.now if Precision.now in DROPPED else "float32"


def dropped_bits(dtype: Any) -> int:
    """Return how many bits of its fraction a factor of this dtype loses now."""
    return DROPPED.get(precision_of(dtype), 0)


def near(bits: Any, dropped: int) -> Any:
    """Return the bits of a float32, or of an array of them, that is no NaN, without its last `dropped`: rounded."""
    tie = (bits >> dropped) & 1 if dropped == EVEN else 1  # what is added to half less one
    return (bits + ((1 << (dropped - 1)) - 1) + tie) >> dropped << dropped


def rounded(x, dropped):  # type: ignore[no-untyped-def]
    """Return a float32 without its last `dropped` bits, rounded (plain Python; the native twin is below)."""
    if dropped == 0 or math.isnan(x):
        return x
    return np.uint32(near(int(np.float32(x).view(np.uint32)), dropped)).view(np.float32)


@intrinsic
def _bits(typingctx, x):  # type: ignore[no-untyped-def]
    """Return the bits of a float32."""
    return types.uint32(types.float32), lambda context, builder, sig, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def _number(typingctx, bits):  # type: ignore[no-untyped-def]
    """Return the float32 of some bits."""
    return types.float32(types.uint32), lambda context, builder, sig, args: builder.bitcast(args[0], ir.FloatType())


@overloaded(rounded)
def _native_rounded(x, dropped):  # type: ignore[no-untyped-def]
    if x != types.float32:
        return lambda x, dropped: x

    def native(x, dropped):  # type: ignore[no-untyped-def]
        if dropped == 0 or math.isnan(x):
            return x
        drop, one = np.uint32(dropped), np.uint32(1)
        bits = _bits(x)
        tie = (bits >> drop) & one if dropped == EVEN else one
        return _number((bits + ((one << (drop - one)) - one) + tie) >> drop << drop)

    return native


def upper_half(x):  # type: ignore[no-untyped-def]
    """Return the upper half of a float32's bits: of one that is a bfloat16, that (the native twin is below)."""
    return np.uint16(np.float32(x).view(np.uint32) >> np.uint32(16))


@overloaded(upper_half)
def _native_upper_half(x):  # type: ignore[no-untyped-def]
    return lambda x: np.uint16(_bits(x) >> np.uint32(16))
