"""Copies of four neighbouring float32 from device memory to shared memory, by the chip's own copying (cp.async.cg).

They go past the first cache, so that what other blocks wrote is read where it was written. The copies of a thread are
there for it behind `copies_done`, and for the others of its block behind the next syncthreads. 16 bytes are the most
that one instruction of a thread moves: a row must begin at a multiple of them, and an index be a multiple of 4.
"""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

if config.ENABLE_CUDASIM:

    def copy_quad(into: Any, i: int, V: Any, t: int, row: int, k: int) -> None:
        """Copy four neighbours of a row to shared memory."""
        for j in range(4):
            into[i + j] = V[t, row, k + j]

    def copies_done() -> None:
        """Wait for all copies of this thread."""

else:
    _BYTE, _PLACE = ir.IntType(8), ir.IntType(64)
    COPY = """{
        .reg .u64 to, from;
        cvta.to.shared.u64 to, $0;
        cvta.to.global.u64 from, $1;
        cp.async.cg.shared.global [to], [from], 16;
    }"""

    @intrinsic
    def copy_quad(typingctx, into, i, V, t, row, k):  # type: ignore[no-untyped-def]
        """Begin to copy four neighbours of a row."""

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            room = context.make_array(signature.args[0])(context, builder, args[0])
            matrices = context.make_array(signature.args[2])(context, builder, args[2])
            steps = [builder.extract_value(matrices.strides, axis) for axis in range(3)]
            away = builder.add(builder.mul(args[3], steps[0]), builder.mul(args[4], steps[1]))
            away = builder.add(away, builder.mul(args[5], steps[2]))
            source = builder.gep(builder.bitcast(matrices.data, _BYTE.as_pointer()), [away])
            places = [builder.ptrtoint(p, _PLACE) for p in (builder.gep(room.data, [args[1]]), source)]
            kind = ir.FunctionType(ir.VoidType(), [_PLACE] * 2)
            builder.call(ir.InlineAsm(kind, COPY, "l,l,~{memory}", side_effect=True), places)
            return context.get_dummy_value()

        return types.void(into, types.intp, V, types.intp, types.intp, types.intp), codegen

    @intrinsic
    def copies_done(typingctx):  # type: ignore[no-untyped-def]
        """Wait for all copies of this thread."""

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(ir.InlineAsm(kind, "cp.async.wait_all;", "~{memory}", side_effect=True), [])
            return context.get_dummy_value()

        return types.void(), codegen
