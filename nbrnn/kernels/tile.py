"""A register tile: rows x vectors of a product, kept in vector registers while the inner index runs.

    C[r, c] = I[r, c] + sum_k A[r, k] B[k, c] + sum_s H[r, s] W[s, c]    for `rows` rows, `vectors` vectors of columns

An element of A is broadcast, a vector of B loaded, and one fused multiply-add made of them; C is written once. The
second product is what a recurrent layer needs: x_t Wx and h_(t-1) Wh go into the same sums, which begin with the bias.
LLVM does not find this form from plain loops, so it is written as LLVM code. The lanes follow the host: 64 bytes with
AVX-512, 32 with AVX, else 16 (NBRNN_VECTOR_BYTES forces another width, for tests).
"""

import os
from functools import cache

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .linking import Linked

_FEATURES = binding.get_host_cpu_features()
VECTOR_BYTES = int(
    os.environ.get("NBRNN_VECTOR_BYTES") or (64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16)
)
ROWS = 8 if VECTOR_BYTES == 64 else 4  # 8 x 2 sums of 32 registers, 4 x 2 of 16
I32, I64 = ir.IntType(32), ir.IntType(64)


@cache
def _library(codegen, rows, vectors, masked, double):
    """Write a tile once a process, as a function of its own; return its library, its name and its type."""
    name = f"nbrnn_tile_{rows}x{vectors}{'m' if masked else ''}_{'f8' if double else 'f4'}"
    library = Linked(codegen, name)
    module = library.create_ir_module(name)
    function = _function(module, name, rows, vectors, masked, double)
    library.add_ir_module(module)
    return library, name, function.function_type


def _function(module, name, rows, vectors, masked, double):
    """Write a tile."""
    element = ir.DoubleType() if double else ir.FloatType()
    size = 8 if double else 4
    lanes = VECTOR_BYTES // size
    vector, flags, counts = (ir.VectorType(kind, lanes) for kind in (element, ir.IntType(1), I64))
    pointer, suffix = ir.PointerType(), f"v{lanes}f{size * 8}"

    def declare(name, returns, *takes):
        return cgutils.get_or_insert_function(module, ir.FunctionType(returns, takes), name)

    takes = [pointer, I64, I64, I64, pointer, I64, I64, pointer, I64, pointer, I64, I64]
    takes += [pointer, I64, ir.IntType(1), pointer, I64, I64, I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), takes), name)
    function.attributes.add("noinline")
    a, a_step, a_row, a_k, b, b_k, K, h, h_row, w, w_k, S, begin, begin_row, begun, c, c_row, M, columns = function.args
    names = ("entry", "rows", "fetch", "fresh", "start", "done", "old", "write", "end")
    entry, next_rows, fetch, fresh, start, done, old, write_rows, end = map(function.append_basic_block, names)
    builder = ir.IRBuilder(entry)
    fma = declare(f"llvm.fma.{suffix}", vector, vector, vector, vector)
    read = declare(f"llvm.masked.load.{suffix}.p0", vector, pointer, I32, flags, vector)
    write = declare(f"llvm.masked.store.{suffix}.p0", ir.VoidType(), vector, pointer, I32, flags)
    prefetch = declare("llvm.prefetch.p0", ir.VoidType(), pointer, I32, I32, I32)
    zero, undefined = ir.Constant(vector, [0.0] * lanes), ir.Constant(vector, ir.Undefined)
    lane0 = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    tile = [(r, v) for r in range(rows) for v in range(vectors)]

    def at(base, offset):
        return builder.gep(base, [offset], inbounds=True, source_etype=element)

    def mask(v):
        nothing = ir.Constant(counts, ir.Undefined)
        whole = builder.shuffle_vector(builder.insert_element(nothing, columns, I32(0)), nothing, lane0)
        return builder.icmp_signed("<", ir.Constant(counts, [v * lanes + i for i in range(lanes)]), whole)

    masks = [mask(v) for v in range(vectors)] if masked else []

    def load(base, v):
        place = at(base, I64(v * lanes))
        if masked:
            return builder.call(read, [place, I32(size), masks[v], zero])
        return builder.load(place, align=size, typ=vector)

    def store(value, base, v):
        place = at(base, I64(v * lanes))
        if masked:
            builder.call(write, [value, place, I32(size), masks[v]])
        else:
            builder.store(value, place, align=size)

    def product(before, came_from, leaves_to, left, left_row, left_k, right, right_k, depth):
        """Add `left` times `right` to the sums, k by k; return the sums and the block that they leave from."""
        test, loop, after = came_from, function.append_basic_block("loop"), leaves_to
        left_rows = [at(left, builder.mul(left_row, I64(r))) for r in range(rows)]
        builder.cbranch(builder.icmp_signed(">", depth, I64(0)), loop, after)
        builder.position_at_end(loop)
        k = builder.phi(I64)
        running = {rv: builder.phi(vector) for rv in tile}
        row = at(right, builder.mul(k, right_k))
        line = [load(row, v) for v in range(vectors)]
        column, grown = builder.mul(k, left_k), {}
        for r in range(rows):
            scalar = builder.load(at(left_rows[r], column), align=size, typ=element)
            spread = builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lane0)
            for v in range(vectors):
                grown[r, v] = builder.call(fma, [spread, line[v], running[r, v]])
        following = builder.add(k, I64(1))
        for value, first, later in ((k, I64(0), following), *((running[rv], before[rv], grown[rv]) for rv in tile)):
            value.add_incoming(first, test)
            value.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
        builder.position_at_end(after)
        sums = {rv: builder.phi(vector) for rv in tile}
        for rv in tile:
            sums[rv].add_incoming(before[rv], test)
            sums[rv].add_incoming(grown[rv], loop)
        return sums

    builder.cbranch(builder.icmp_signed(">", M, I64(0)), next_rows, end)
    builder.position_at_end(next_rows)
    m = builder.phi(I64)
    m.add_incoming(I64(0), entry)
    a_here, h_here, begin_here, c_here = (
        at(base, builder.mul(step, m)) for base, step in ((a, a_step), (h, h_row), (begin, begin_row), (c, c_row))
    )
    begin_rows = [at(begin_here, builder.mul(begin_row, I64(r))) for r in range(rows)]
    builder.cbranch(begun, fetch, fresh)

    builder.position_at_end(fetch)  # what the sums begin with is added last, when it has come from a far cache
    for r, v in tile:
        builder.call(prefetch, [at(begin_rows[r], I64(v * lanes)), I32(0), I32(3), I32(1)])
    builder.branch(fresh)

    builder.position_at_end(fresh)
    sums = dict.fromkeys(tile, zero)
    sums = product(sums, fresh, start, a_here, a_row, a_k, b, b_k, K)
    sums = product(sums, start, done, h_here, h_row, I64(1), w, w_k, S)
    builder.cbranch(begun, old, write_rows)

    builder.position_at_end(old)
    added = {(r, v): builder.fadd(load(begin_rows[r], v), sums[r, v]) for r, v in tile}
    builder.branch(write_rows)

    builder.position_at_end(write_rows)
    totals = {rv: builder.phi(vector) for rv in tile}
    for r, v in tile:
        totals[r, v].add_incoming(sums[r, v], done)
        totals[r, v].add_incoming(added[r, v], old)
    for r, v in tile:
        store(totals[r, v], at(c_here, builder.mul(c_row, I64(r))), v)
    further = builder.add(m, I64(rows))
    m.add_incoming(further, write_rows)
    builder.cbranch(builder.icmp_signed("<", further, M), next_rows, end)

    builder.position_at_end(end)
    builder.ret_void()
    return function


def make_tiles(vectors, masked):
    """Make the intrinsic that fills a strip of `vectors` vectors of columns: rows by eights, by fours, then one by one.

    Its arguments count elements: A, its offset, the steps from row to row between tiles, within them (the same but for
    packed rows) and from k to k; B, its offset, its step
    from k to k; K; the same of the second product, H W over S; what the sums begin with, its offset and step from row
    to row, and whether they do (else with zero); C, its offset and step from row to row; M rows; and, where the strip
    is `masked`, how many columns there are (fewer than vectors x lanes).
    """

    @intrinsic
    def tiles(  # type: ignore[no-untyped-def]
        typingctx, A, a_at, a_step, a_row, a_k, B, b_at, b_k, K, H, h_at, h_row, W, w_at, w_k, S, I, i_at, i_row, begun,
        C, c_at, c_row, M, columns,
    ):  # fmt: skip
        n = types.intp
        signature = types.void(A, n, n, n, n, B, n, n, n, H, n, n, W, n, n, n, I, n, n, types.boolean, C, n, n, n, n)
        # Where the arrays stand, and their steps from row to row.
        arrays, by_row = (0, 5, 9, 12, 16, 20), {0: 2, 9: 11, 16: 18, 20: 22}

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            double = sig.args[0].dtype == types.float64
            element = ir.DoubleType() if double else ir.FloatType()
            total, done = args[23], I64(0)
            for rows in (ROWS, ROWS // 2, 1):
                library, name, kind = _library(context.codegen(), rows, vectors, masked, double)
                context.active_code_library.add_linking_library(library)
                function = cgutils.get_or_insert_function(builder.module, kind, name)
                here = builder.and_(builder.sub(total, done), I64(-rows))
                with builder.if_then(builder.icmp_signed(">", here, I64(0))):
                    values = []
                    for k, value in enumerate(args):
                        if k in arrays:
                            data = context.make_array(sig.args[k])(context, builder, value).data
                            start = args[k + 1]
                            if k in by_row:
                                start = builder.add(start, builder.mul(done, args[by_row[k]]))
                            place = builder.gep(data, [start], inbounds=True, source_etype=element)
                            values.append(builder.bitcast(place, ir.PointerType()))
                        elif k == 23:
                            values.append(here)
                        elif k - 1 not in arrays:
                            values.append(value)
                    builder.call(function, values)
                done = builder.add(done, here)
            return context.get_dummy_value()

        return signature, codegen

    return tiles


wide, narrow = make_tiles(2, False), make_tiles(1, True)
