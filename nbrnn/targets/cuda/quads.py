"""Four neighbouring float32 at a time: 16 bytes, the most that one instruction of a thread moves.

A row must begin at a multiple of 16 bytes, and an index be a multiple of 4. `copy_quad` takes them from device memory
to shared memory past the first cache (cp.async.cg): what other blocks wrote is read where it was written. The copies
of a thread are there for it behind `copies_done`, and for the others of its block behind the next syncthreads.
"""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

if config.ENABLE_CUDASIM:

    def quad(V: Any, i: int) -> tuple[Any, Any, Any, Any]:
        """Return four neighbours of a row."""
        return V[i], V[i + 1], V[i + 2], V[i + 3]

    def copy_quad(into: Any, i: int, V: Any, t: int, row: int, k: int) -> None:
        """Copy four neighbours of a row to shared memory."""
        for j in range(4):
            into[i + j] = V[t, row, k + j]

    def copies_done() -> None:
        """Wait for all copies of this thread."""

else:
    _BYTE, _WORD, _PLACE, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
    COPY = """{
        .reg .u64 to, from;
        cvta.to.shared.u64 to, $0;
        cvta.to.global.u64 from, $1;
        cp.async.cg.shared.global [to], [from], 16;
    }"""

    @intrinsic
    def quad(typingctx, V, i):  # type: ignore[no-untyped-def]
        """Read four neighbours of a row by one instruction."""

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            place = builder.gep(data, [args[1]])
            four = builder.load(builder.bitcast(place, ir.VectorType(_FLOAT, 4).as_pointer(place.type.addrspace)))
            four.align = 16
            parts = [builder.extract_element(four, _WORD(k)) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 4)(V, types.intp), codegen

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
