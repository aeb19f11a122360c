"""Tensor cores: a warp's product of a 16-row matrix A and an 8-column matrix B, added to C, in float32 sums.

    bfloat16    mma.sync.m16n8k16: A is 16 x 16, B 16 x 8; a register holds two numbers
    tf32        mma.sync.m16n8k8:  A is 16 x 8,  B 8 x 8;  a register holds one

Which lane holds which element is the PTX ISA's ("Matrix fragments for mma.m16n8k16", "... m16n8k8"): `a_place`,
`b_place`, `c_place` say it as functions of (lane, register). A sum over k does not care for the order of k, so long as
A and B have the same: lane 4 g + t takes the four neighbours 4 t ... 4 t + 3 of 16 numbers, one read of 16 bytes, and
calls them the k that its registers stand for (`number_of`).

In the simulator, which has no warps, the lanes of a block show one another their registers; every lane of every warp
must take part, which is what mma.sync asks of a warp.
"""

import threading
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from .precision import DROPPED, near

WARP = 32
STEP = 16  # numbers of k that a lane's four neighbours are a part of
PER_REGISTER = {"tf32": 1, "bfloat16": 2}


def a_place(lane: int, register: int, half: int, per: int) -> tuple[int, int]:
    """Return (row, k) of the number in a half of a lane's register of A, where a register holds `per` numbers."""
    return lane // 4 + 8 * (register % 2), per * (lane % 4) + half + 4 * per * (register // 2)


def b_place(lane: int, register: int, half: int, per: int) -> tuple[int, int]:
    """Return (k, column) of the number in a half of a lane's register of B."""
    return per * (lane % 4) + half + 4 * per * register, lane // 4


def c_place(lane: int, register: int) -> tuple[int, int]:
    """Return (row, column) of a lane's register of C."""
    return lane // 4 + 8 * (register // 2), 2 * (lane % 4) + register % 2


def number_of(mma: int, k: int, per: int) -> int:
    """Return which of 16 neighbours a k of one of the 2 / per products over them stands for."""
    lane, register, half = k // per % 4, k // (4 * per), k % per
    return 4 * lane + (per * register + half if per == 2 else 2 * mma + register)


def to_bfloat16(x: Any) -> Any:
    """Return the 16 bits of a bfloat16 next to a float32, to even where two are as near (cvt.rn.bf16)."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.int64)
    return np.where(np.isnan(x), 0x7FFF, near(bits, DROPPED["bfloat16"]) >> 16).astype(np.uint32)


def to_tf32(x: Any) -> Any:
    """Return the bits of a float32 with 10 bits of fraction next to one, away from zero in a tie (cvt.rna.tf32)."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.int64)
    return np.where(np.isfinite(x), near(bits, DROPPED["tf32"]), bits).astype(np.uint32)


def values(registers: np.ndarray, per: int) -> np.ndarray:
    """Return the float32 numbers that registers hold, those of one along a last axis."""
    bits = np.asarray(registers, np.uint32)
    parts = [bits << np.uint32(16), bits & np.uint32(0xFFFF0000)] if per == 2 else [bits]
    return np.stack(parts, axis=-1).view(np.float32)


@cache
def places(place: Any, registers: int, per: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of what all lanes' registers hold, as two arrays of their shape."""
    found = [
        [[place(lane, register, half, per) for half in range(per)] for register in range(registers)]
        for lane in range(WARP)
    ]
    rows, columns = np.moveaxis(np.array(found), -1, 0)
    return rows, columns


def product_of_fragments(a: np.ndarray, b: np.ndarray, c: np.ndarray, lane: int, per: int) -> list[np.float32]:
    """Return what mma.sync leaves in a lane's four registers of C, by its definition.

    Parameters
    ----------
    a, b : numpy.ndarray
        The registers of all 32 lanes, (32, 4) and (32, 2) of uint32.
    c : numpy.ndarray
        This lane's four sums.
    lane : int
    per : int
        Numbers in a register.

    Returns
    -------
    list of numpy.float32
    """
    depth = 8 * per
    A, B = np.zeros((16, depth), np.float32), np.zeros((depth, 8), np.float32)
    A[places(a_place, 4, per)] = values(a, per)
    B[places(b_place, 2, per)] = values(b, per)
    own = [c_place(lane, register) for register in range(4)]
    return [np.float32(c[r] + A[row] @ B[:, column]) for r, (row, column) in enumerate(own)]


# ---------------------------------------------------------------- on the device


_FLOAT, _WORD = ir.FloatType(), ir.IntType(32)


def _instruction(text: str, returns: Any, takes: list[Any], constraints: str, stays: bool = False) -> Any:
    """Return what emits one instruction of PTX, which may have to stay where it is; a struct becomes a tuple."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        assembly = ir.InlineAsm(ir.FunctionType(returns, takes), text, constraints, side_effect=stays)
        made = builder.call(assembly, args, attrs=("convergent",) if stays else ())
        if not isinstance(returns, ir.LiteralStructType):
            return made
        parts = [builder.extract_value(made, k) for k in range(len(returns.elements))]
        return context.make_tuple(builder, signature.return_type, parts)

    return emit


def _mma(shape: str, kind: str) -> Any:
    """Return mma.sync as a function of four registers of A, two of B and four sums; it returns four sums."""
    emit = _instruction(
        f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 "
        "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};",
        ir.LiteralStructType([_FLOAT] * 4),
        [_WORD] * 6 + [_FLOAT] * 4,
        "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f",
        stays=True,  # no compiler may move it to where only some lanes go
    )

    @intrinsic
    def mma(typingctx, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
        return types.UniTuple(types.float32, 4)(*[types.uint32] * 6, *[types.float32] * 4), emit

    return mma


def _shown(per: int) -> Any:
    """Return the simulator's twin of mma: lanes show one another their registers, each then makes its own sums."""
    board = np.zeros((1024, 6), np.uint32)

    def mma(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
        lane: Any = threading.current_thread()  # the simulator's, a Python thread for each of the device's
        i = lane.threadIdx.x
        board[i] = a0, a1, a2, a3, b0, b1
        lane.syncthreads()
        warp = board[i // WARP * WARP :][:WARP]
        made = product_of_fragments(warp[:, :4], warp[:, 4:], np.array([c0, c1, c2, c3]), i % WARP, per)
        lane.syncthreads()
        return made

    return mma


if config.ENABLE_CUDASIM:
    mma_bfloat16, mma_tf32 = _shown(2), _shown(1)

    def pair(low, high):  # type: ignore[no-untyped-def]
        """Return a register of two bfloat16."""
        return to_bfloat16(low) | to_bfloat16(high) << np.uint32(16)

    single = to_tf32

else:
    mma_bfloat16, mma_tf32 = _mma("m16n8k16", "bf16"), _mma("m16n8k8", "tf32")

    @intrinsic
    def pair(typingctx, low, high):  # type: ignore[no-untyped-def]
        """Return a register of two bfloat16."""
        emit = _instruction("cvt.rn.bf16x2.f32 $0, $2, $1;", _WORD, [_FLOAT] * 2, "=r,f,f")
        return types.uint32(types.float32, types.float32), emit

    @intrinsic
    def single(typingctx, x):  # type: ignore[no-untyped-def]
        """Return a register of one number of tf32."""
        return types.uint32(types.float32), _instruction("cvt.rna.tf32.f32 $0, $1;", _WORD, [_FLOAT], "=r,f")
