"""Shared and device memory as the persistent kernels reach it: by a number's place in a flat array.

Places are never negative, so that nothing is added for Python's negative indexes, and four neighbours are one access.
In bfloat16 two weights stand in the bits of one float32: the higher half is one of them, the lower half the other.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from ...kernels.abi import overloaded

STATIC = 48 * 1024  # bytes of shared memory that a block has without asking
HIGH = 0xFFFF0000  # the bits of the higher half


def peek(V: Any, at: int) -> Any:
    """Return a number of a flat array."""
    _inside(V, at, 1)
    return V[at]


def poke(V: Any, at: int, value: Any) -> None:
    """Write a number of a flat array."""
    _inside(V, at, 1)
    V[at] = value


def peek4(V: Any, at: int) -> Any:
    """Return four neighbours of a flat array; the place of the first is a multiple of four."""
    _inside(V, at, 4)
    return V[at], V[at + 1], V[at + 2], V[at + 3]


def poke4(V: Any, at: int, four: Any) -> None:
    """Write four neighbours."""
    _inside(V, at, 4)
    V[at : at + 4] = four


def _inside(V: Any, at: int, count: int) -> None:
    """See in plain Python that a place is one of the array's."""
    if not 0 <= at <= V.size - count or at % count:
        raise IndexError(f"{count} numbers at {at} of {V.size}")


def pair(low: Any, high: Any) -> Any:
    """Return two float32, whose lower halves are zero, in the bits of one."""
    bits = int(np.float32(low).view(np.uint32)) >> 16 | int(np.float32(high).view(np.uint32))
    return np.uint32(bits).view(np.float32)


def low_half(both: Any) -> Any:
    """Return the first of a pair."""
    return np.uint32((int(np.float32(both).view(np.uint32)) << 16) & HIGH).view(np.float32)


def high_half(both: Any) -> Any:
    """Return the second of a pair."""
    return np.uint32(int(np.float32(both).view(np.uint32)) & HIGH).view(np.float32)


def apart() -> None:
    """Let no read behind go before this place, where its address and its number would take registers."""


def read_again(tid: int) -> int:
    """Return a thread's number, which is read here: nothing that needs it takes a register before this place."""
    return tid


# ---------------------------------------------------------------- the same in machine code

MEET = "bar.warp.sync 0xffffffff;"  # of all lanes of a warp: memory is in order before and behind it
WORD, FLOAT = ir.IntType(32), ir.FloatType()


def _place(context: Any, builder: Any, array: Any, value: Any, at: Any, count: int) -> tuple[Any, int]:
    """Return a pointer to `count` numbers of an array, and its alignment."""
    data = context.make_array(array)(context, builder, value).data
    one = context.get_data_type(array.dtype)
    into = ir.VectorType(one, count).as_pointer() if count > 1 else one.as_pointer()
    size = array.dtype.bitwidth // 8
    return builder.bitcast(builder.gep(data, [at], inbounds=True), into), min(16, count * size)


@intrinsic
def _peek(typingctx, V, at):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place, align = _place(context, builder, signature.args[0], args[0], args[1], 1)
        return builder.load(place, align=align)

    return V.dtype(V, types.intp), codegen


@intrinsic
def _poke(typingctx, V, at, value):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place, align = _place(context, builder, signature.args[0], args[0], args[1], 1)
        builder.store(args[2], place, align=align)
        return context.get_dummy_value()

    return types.void(V, types.intp, V.dtype), codegen


@intrinsic
def _peek4(typingctx, V, at):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place, align = _place(context, builder, signature.args[0], args[0], args[1], 4)
        four = builder.load(place, align=align)
        numbers = [builder.extract_element(four, WORD(k)) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(V.dtype, 4)(V, types.intp), codegen


@intrinsic
def _poke4(typingctx, V, at, four):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place, align = _place(context, builder, signature.args[0], args[0], args[1], 4)
        vector = ir.Constant(place.type.pointee, ir.Undefined)
        for k in range(4):
            vector = builder.insert_element(vector, builder.extract_value(args[2], k), WORD(k))
        builder.store(vector, place, align=align)
        return context.get_dummy_value()

    return types.void(V, types.intp, types.UniTuple(V.dtype, 4)), codegen


@intrinsic
def _apart(typingctx):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        meet = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), MEET, "~{memory}", side_effect=True)
        builder.call(meet, [], attrs=("convergent",))
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _read_again(typingctx, tid):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        read = ir.InlineAsm(ir.FunctionType(WORD, []), "mov.u32 $0, %tid.x;", "=r,~{memory}", side_effect=True)
        return builder.call(read, [])

    return types.int32(tid), codegen


def _stays(instruction: str, count: int) -> Any:
    """Make an intrinsic of float32s by an instruction on their bits which stays where it is.

    As plain arithmetic on weights, what unpacks would go before the loop, with a register for each half, and what packs
    behind all reads of weights, until when there would be one for each half, too.
    """
    places = ["=r", *["r"] * count]

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        asm = ir.InlineAsm(ir.FunctionType(WORD, [WORD] * count), instruction, ",".join(places), side_effect=True)
        return builder.bitcast(builder.call(asm, [builder.bitcast(a, WORD) for a in args]), FLOAT)

    kind = types.float32(*[types.float32] * count)
    if count == 1:
        return intrinsic(lambda typingctx, both: (kind, codegen))
    return intrinsic(lambda typingctx, low, high: (kind, codegen))


_low_half, _high_half = _stays("shl.b32 $0, $1, 16;", 1), _stays(f"and.b32 $0, $1, {HIGH:#x};", 1)
_pair = _stays("prmt.b32 $0, $1, $2, 0x7632;", 2)  # the higher two bytes of each


overloaded(peek)(lambda V, at: lambda V, at: _peek(V, at))
overloaded(poke)(lambda V, at, value: lambda V, at, value: _poke(V, at, value))
overloaded(peek4)(lambda V, at: lambda V, at: _peek4(V, at))
overloaded(poke4)(lambda V, at, four: lambda V, at, four: _poke4(V, at, four))
overloaded(pair)(lambda low, high: lambda low, high: _pair(low, high))
overloaded(low_half)(lambda both: lambda both: _low_half(both))
overloaded(high_half)(lambda both: lambda both: _high_half(both))
overloaded(apart)(lambda: lambda: _apart())
overloaded(read_again)(lambda tid: lambda tid: _read_again(tid))


def allow_shared(kernel: Any, nbytes: int) -> None:
    """Let every compiled form of a kernel have so many bytes of dynamic shared memory; numba-cuda itself does not ask.

    Parameters
    ----------
    kernel : numba.cuda dispatcher
        Compiled for the types of its arguments already.
    nbytes : int
    """
    if nbytes <= STATIC or config.ENABLE_CUDASIM:
        return
    from numba.cuda.cudadrv import driver

    attribute = driver.binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    for definition in kernel.overloads.values():
        function = definition._codelibrary.get_cufunc()
        driver.driver.cuKernelSetAttribute(attribute, nbytes, function.handle, function.device.id)
