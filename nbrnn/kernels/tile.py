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


def _function(module, name, rows, vectors, masked, double):
    """Write the tile as a function of its own, once a module: copies of its loop would cost compile time."""
    element = ir.DoubleType() if double else ir.FloatType()
    size = 8 if double else 4
    width = VECTOR_BYTES // size
    vector, flags, counts = (ir.VectorType(kind, width) for kind in (element, ir.IntType(1), I64))
    pointer, suffix = ir.PointerType(), f"v{width}f{size * 8}"

    def declare(name, returns, *takes):
        return cgutils.get_or_insert_function(module, ir.FunctionType(returns, takes), name)

    takes = [pointer] * 3 + [I64] * 5 + [ir.IntType(1), I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), takes), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    a, b, c, a_row, a_k, b_k, c_row, K, accumulate, columns = function.args
    entry, old, start, loop, done = (function.append_basic_block(n) for n in ("entry", "old", "start", "loop", "done"))
    builder = ir.IRBuilder(entry)
    fma = declare(f"llvm.fma.{suffix}", vector, vector, vector, vector)
    read = declare(f"llvm.masked.load.{suffix}.p0", vector, pointer, I32, flags, vector)
    write = declare(f"llvm.masked.store.{suffix}.p0", ir.VoidType(), vector, pointer, I32, flags)
    zero, undefined = ir.Constant(vector, [0.0] * width), ir.Constant(vector, ir.Undefined)
    lane0 = ir.Constant(ir.VectorType(I32, width), [0] * width)
    tile = [(r, v) for r in range(rows) for v in range(vectors)]

    def at(base, offset):
        return builder.gep(base, [offset], inbounds=True, source_etype=element)

    def mask(v):
        nothing = ir.Constant(counts, ir.Undefined)
        whole = builder.shuffle_vector(builder.insert_element(nothing, columns, I32(0)), nothing, lane0)
        return builder.icmp_signed("<", ir.Constant(counts, [v * width + i for i in range(width)]), whole)

    masks = [mask(v) for v in range(vectors)] if masked else []

    def load(base, v):
        place = at(base, I64(v * width))
        if masked:
            return builder.call(read, [place, I32(size), masks[v], zero])
        return builder.load(place, align=size, typ=vector)

    def store(value, base, v):
        place = at(base, I64(v * width))
        if masked:
            builder.call(write, [value, place, I32(size), masks[v]])
        else:
            builder.store(value, place, align=size)

    a_rows = [at(a, builder.mul(a_row, I64(r))) for r in range(rows)]
    c_rows = [at(c, builder.mul(c_row, I64(r))) for r in range(rows)]
    builder.cbranch(accumulate, old, start)

    builder.position_at_end(old)
    before = {(r, v): load(c_rows[r], v) for r, v in tile}
    builder.branch(start)

    builder.position_at_end(start)
    sums = {rv: builder.phi(vector) for rv in tile}
    for rv in tile:
        sums[rv].add_incoming(zero, entry)
        sums[rv].add_incoming(before[rv], old)
    builder.cbranch(builder.icmp_signed(">", K, I64(0)), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(I64)
    running = {rv: builder.phi(vector) for rv in tile}
    row, column = at(b, builder.mul(k, b_k)), builder.mul(k, a_k)
    line = [load(row, v) for v in range(vectors)]
    grown = {}
    for r in range(rows):
        scalar = builder.load(at(a_rows[r], column), align=size, typ=element)
        spread = builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lane0)
        for v in range(vectors):
            grown[r, v] = builder.call(fma, [spread, line[v], running[r, v]])
    following = builder.add(k, I64(1))
    k.add_incoming(I64(0), start)
    k.add_incoming(following, loop)
    for rv in tile:
        running[rv].add_incoming(sums[rv], start)
        running[rv].add_incoming(grown[rv], loop)
    builder.cbranch(builder.icmp_signed("<", following, K), loop, done)

    builder.position_at_end(done)
    totals = {rv: builder.phi(vector) for rv in tile}
    for rv in tile:
        totals[rv].add_incoming(sums[rv], start)
        totals[rv].add_incoming(grown[rv], loop)
    for r, v in tile:
        store(totals[r, v], c_rows[r], v)
    builder.ret_void()
    return function


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
            name = f"nbrnn_tile_{rows}x{vectors}{'m' if masked else ''}_{'f8' if double else 'f4'}"
            function = builder.module.globals.get(name)
            if function is None:
                function = _function(builder.module, name, rows, vectors, masked, double)
            places = []
            for array, offset in ((0, 1), (4, 5), (7, 8)):
                data = context.make_array(sig.args[array])(context, builder, args[array]).data
                place = builder.gep(data, [args[offset]], inbounds=True, source_etype=element)
                places.append(builder.bitcast(place, ir.PointerType()))
            builder.call(function, [*places, *(args[i] for i in (2, 3, 6, 9, 10, 11, 12))])
            return context.get_dummy_value()

        return signature, codegen

    return tile


full, single = make_tile(ROWS, 2, False), make_tile(1, 2, False)
full_edge, single_edge = make_tile(ROWS, 1, True), make_tile(1, 1, True)
