"""A register tile: rows x vectors of a product, kept in vector registers while the inner index runs.

    C[r, c] (+)= sum_k A[r, k] B[k, c]        for `rows` rows and `vectors` vectors of columns

An element of A is broadcast, a vector of B loaded, and one fused multiply-add made of them; C is touched twice only.
LLVM does not find this form from plain loops, so it is written as LLVM code. The lanes follow the host: 64 bytes with
AVX-512, 32 with AVX, else 16 (NBRNN_VECTOR_BYTES forces another width, for tests).
"""

import os

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = binding.get_host_cpu_features()
VECTOR_BYTES = int(
    os.environ.get("NBRNN_VECTOR_BYTES") or (64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16)
)
ROWS = 8 if VECTOR_BYTES == 64 else 4  # 8 x 2 sums of 32 registers, 4 x 2 of 16
I32, I64 = ir.IntType(32), ir.IntType(64)


def make_tile(rows, vectors, masked):
    """Make the intrinsic of one tile size.

    Its arguments count elements: A, its offset, the steps from row to row and from k to k; B, its offset and its step
    from k to k; C, its offset and its step from row to row; K; whether C is added to; and, where the tile is `masked`,
    how many columns there are (fewer than vectors x lanes).
    """

    @intrinsic
    def tile(typingctx, A, a_at, a_row, a_k, B, b_at, b_k, C, c_at, c_row, K, accumulate, columns):  # type: ignore[no-untyped-def]
        n = types.intp
        signature = types.void(A, n, n, n, B, n, n, C, n, n, n, types.boolean, n)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            double = sig.args[0].dtype == types.float64
            element = ir.DoubleType() if double else ir.FloatType()
            size = 8 if double else 4
            width = VECTOR_BYTES // size
            vector, flags = ir.VectorType(element, width), ir.VectorType(ir.IntType(1), width)
            suffix = f"v{width}f{size * 8}"
            a, b, c = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 4, 7))
            a_at, a_row, a_k, b_at, b_k, c_at, c_row, K, accumulate, columns = (
                args[i] for i in (1, 2, 3, 5, 6, 8, 9, 10, 11, 12)
            )

            def declare(name, returns, *takes):  # type: ignore[no-untyped-def]
                return cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, takes), name)

            fma = declare(f"llvm.fma.{suffix}", vector, vector, vector, vector)
            pointer = ir.PointerType()
            zero = ir.Constant(vector, [0.0] * width)
            undefined, lane0 = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(I32, width), [0] * width)

            def at(base, offset):  # type: ignore[no-untyped-def]
                return builder.gep(base, [offset], inbounds=True, source_etype=element)

            if masked:
                read = declare(f"llvm.masked.load.{suffix}.p0", vector, pointer, I32, flags, vector)
                write = declare(f"llvm.masked.store.{suffix}.p0", ir.VoidType(), vector, pointer, I32, flags)
                counts = ir.VectorType(I64, width)
                whole = builder.insert_element(ir.Constant(counts, ir.Undefined), columns, I32(0))
                whole = builder.shuffle_vector(whole, ir.Constant(counts, ir.Undefined), lane0)
                mask = [
                    builder.icmp_signed("<", ir.Constant(counts, [v * width + i for i in range(width)]), whole)
                    for v in range(vectors)
                ]

            def load(base, v):  # type: ignore[no-untyped-def]
                place = at(base, I64(v * width))
                if masked:
                    return builder.call(read, [builder.bitcast(place, pointer), I32(size), mask[v], zero])
                return builder.load(place, align=size, typ=vector)

            def store(value, base, v):  # type: ignore[no-untyped-def]
                place = at(base, I64(v * width))
                if masked:
                    builder.call(write, [value, builder.bitcast(place, pointer), I32(size), mask[v]])
                else:
                    builder.store(value, builder.bitcast(place, vector.as_pointer()), align=size)

            a_rows = [at(a, builder.add(a_at, builder.mul(a_row, I64(r)))) for r in range(rows)]
            c_rows = [at(c, builder.add(c_at, builder.mul(c_row, I64(r)))) for r in range(rows)]
            b_base = at(b, b_at)
            entry, function = builder.block, builder.function
            old, loop, done = (function.append_basic_block(f"tile.{name}") for name in ("old", "loop", "done"))
            start = function.append_basic_block("tile.start")
            builder.cbranch(accumulate, old, start)

            builder.position_at_end(old)
            before = [[load(c_rows[r], v) for v in range(vectors)] for r in range(rows)]
            builder.branch(start)

            builder.position_at_end(start)
            sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
            for r in range(rows):
                for v in range(vectors):
                    sums[r][v].add_incoming(zero, entry)
                    sums[r][v].add_incoming(before[r][v], old)
            builder.cbranch(builder.icmp_signed(">", K, I64(0)), loop, done)

            builder.position_at_end(loop)
            k = builder.phi(I64)
            k.add_incoming(I64(0), start)
            running = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
            row = at(b_base, builder.mul(k, b_k))
            line = [load(row, v) for v in range(vectors)]
            column = builder.mul(k, a_k)
            grown = []
            for r in range(rows):
                scalar = builder.load(at(a_rows[r], column), align=size, typ=element)
                spread = builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lane0)
                grown.append([builder.call(fma, [spread, line[v], running[r][v]]) for v in range(vectors)])
            following = builder.add(k, I64(1))
            k.add_incoming(following, loop)
            for r in range(rows):
                for v in range(vectors):
                    running[r][v].add_incoming(sums[r][v], start)
                    running[r][v].add_incoming(grown[r][v], loop)
            builder.cbranch(builder.icmp_signed("<", following, K), loop, done)

            builder.position_at_end(done)
            for r in range(rows):
                for v in range(vectors):
                    total = builder.phi(vector)
                    total.add_incoming(sums[r][v], start)
                    total.add_incoming(grown[r][v], loop)
                    grown[r][v] = total
            for r in range(rows):
                for v in range(vectors):
                    store(grown[r][v], c_rows[r], v)
            return context.get_dummy_value()

        return signature, codegen

    return tile


full, single = make_tile(ROWS, 2, False), make_tile(1, 2, False)
full_edge, single_edge = make_tile(ROWS, 1, True), make_tile(1, 1, True)
