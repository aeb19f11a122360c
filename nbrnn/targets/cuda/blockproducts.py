"""The product of a block in design "groups": some sequences' states times the columns of weights that it holds.

    1. states are copied from device memory to shared memory, `stride` numbers from one sequence to the next
    2. each part of the depth is multiplied by the thread, or the warp, that holds its weights in registers
    3. the parts' sums are added, in the parts' order, by who needs them

Between 1 and 2, and 2 and 3, all threads of the block have to meet (syncthreads): that is left to the kernel, since in
the simulator `cuda` stands for itself in the kernel's own module only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any

from numba import config, cuda, float32, uint32

from .copies import copies_done, copy_quad
from .persistent_memory import peek4
from .splits import AT_ONCE, CHUNK, TILE, Split
from .tensorcores import STEP, WARP, mma_bfloat16, mma_tf32, pair, single


@dataclass(frozen=True)
class BlockProduct:
    """The device functions of a product.

    w holds a thread's weights, sums its sums; both are local arrays that become registers, as all loops over them have
    lengths that the compiler knows. words is shared memory as an array of `kind`.
    """

    kind: Any  # of w
    begin: Callable[..., None]  # (shared, thread): sets what no copy ever reaches to zero
    hold: Callable[..., None]  # (w, words, W, first, thread): reads the weights of the units from `first` on
    bring: Callable[..., None]  # (shared, V, t, row, apart, n, thread): copies n rows of V[t], each `apart` on
    multiply: Callable[..., None]  # (w, sums, shared, n, thread)
    total: Callable[..., Any]  # (shared, r, m): column m of the r-th of them


def inlined(function: Callable[..., Any]) -> Any:
    """Make a device function that becomes part of its callers: a local array can then become registers."""
    options = {} if config.ENABLE_CUDASIM else {"forceinline": True}
    return cuda.jit(device=True, **options)(function)


def written_out(function: Callable[..., Any], count: int, names: str) -> Any:
    """Make a device function that calls function(i, ...) for every i below `count`, without a loop.

    Compilers unroll only short loops, and an array that is indexed by a variable is no register.
    """
    scope: dict[str, Any] = {"each": inlined(function)}
    exec("\n".join([f"def all({names}):", *(f"    each({i}, {names})" for i in range(count))]), scope)
    return inlined(scope["all"])


@cache
def block_product(split: Split) -> BlockProduct:
    """Make the device functions of a split's product."""
    H, UNITS, COLUMNS, DEPTH = split.H, split.units, split.columns, split.depth
    ROWS, STRIDE, LINE, PARTS, THREADS = split.rows, split.stride, split.line, split.parts, split.threads
    QUADS, SUMS, backward = DEPTH // 4, ROWS * STRIDE, split.backward

    @inlined
    def begin(shared, thread):  # type: ignore[no-untyped-def]
        for i in range(thread, SUMS, THREADS):
            shared[i] = 0

    @inlined
    def weight(W, k, m, first):  # type: ignore[no-untyped-def]
        unit = first + (m if backward else m % UNITS)
        if k < DEPTH and m < COLUMNS and unit < H:
            return W[unit, k] if backward else W[k, m // UNITS * H + unit]
        return W.dtype.type(0)

    @inlined
    def bring(shared, V, t, row, apart, n, thread):  # type: ignore[no-untyped-def]
        for i in range(thread, n * QUADS, THREADS):
            r = i // QUADS
            k = 4 * (i % QUADS)
            copy_quad(shared, r * STRIDE + k, V, t, row + r * apart, k)
        copies_done()

    @inlined
    def total(shared, r, m):  # type: ignore[no-untyped-def]
        s = shared[SUMS + r * LINE + m]
        for part in range(1, PARTS):
            s += shared[SUMS + (part * ROWS + r) * LINE + m]
        return s

    register, multiply = (_by_warps if split.cores else _by_threads)(split, weight)
    WEIGHTS = split.weights

    @inlined
    def prepare(words, count, start, W, first, thread):  # type: ignore[no-untyped-def]
        for i in range(count):
            words[i * THREADS + thread] = register(start + i, W, first, thread)

    @inlined
    def take(w, words, count, start, thread):  # type: ignore[no-untyped-def]
        for i in range(count):
            w[start + i] = words[i * THREADS + thread]

    def hold_some(q, w, words, W, first, thread):  # type: ignore[no-untyped-def]
        """Hold some weights: a loop leaves them in this thread's own places in shared memory, then they are taken."""
        count = min(AT_ONCE, WEIGHTS - q * AT_ONCE)
        prepare(words, count, q * AT_ONCE, W, first, thread)
        take(w, words, count, q * AT_ONCE, thread)

    hold = written_out(hold_some, -(-WEIGHTS // AT_ONCE), "w, words, W, first, thread")
    return BlockProduct(uint32 if split.cores else float32, begin, hold, bring, multiply, total)


def _by_threads(split: Split, weight: Any) -> tuple[Any, Any]:
    """Make `register` and `multiply` of float32: a thread has one column's weights of one part."""
    COLUMNS, SHARE, PARTS = split.columns, split.share, split.parts
    ROWS, STRIDE, LINE, SUMS = split.rows, split.stride, split.line, split.rows * split.stride
    SOME = gcd(SHARE, 8)  # a loop over so many is unrolled

    @inlined
    def register(k, W, first, thread):  # type: ignore[no-untyped-def]
        return weight(W, thread // COLUMNS * SHARE + k, thread % COLUMNS, first)

    def add_products(i, w, s, shared, at):  # type: ignore[no-untyped-def]
        """Add those of some weights and of as many numbers of CHUNK sequences, of which the first begin at `at`."""
        for k in range(SOME * i, SOME * i + SOME, 4):
            for c in range(CHUNK):
                v = peek4(shared, at + c * STRIDE + k)
                for j in range(4):
                    s[c] += w[k + j] * v[j]

    add_all = written_out(add_products, SHARE // SOME, "w, s, shared, at")

    @inlined
    def multiply(w, s, shared, n, thread):  # type: ignore[no-untyped-def]
        part = thread // COLUMNS
        m = thread % COLUMNS
        if part < PARTS:
            for r in range(0, n, CHUNK):
                for c in range(CHUNK):
                    s[c] = 0
                add_all(w, s, shared, r * STRIDE + part * SHARE)
                for c in range(CHUNK):
                    shared[SUMS + (part * ROWS + r + c) * LINE + m] = s[c]

    return register, multiply


def _by_warps(split: Split, weight: Any) -> tuple[Any, Any]:
    """Make `register` and `multiply` of tensor cores: a warp has the weights of all columns of one part, as A.

    Of 16 numbers of the depth a lane reads four neighbours, for bfloat16 the k of one product and for tf32 of two.
    """
    SHARE, TILES, HALF = split.share, split.tiles, split.half
    ROWS, STRIDE, LINE, SUMS = split.rows, split.stride, split.line, split.rows * split.stride
    STEPS, CHAINS, narrow = SHARE // STEP, split.chains, split.precision == "bfloat16"
    SOME = gcd(STEPS, 4)  # a loop over so many is unrolled
    mma = mma_bfloat16 if narrow else mma_tf32
    KEPT = 2 if HALF else 4  # registers of A; a tile of 8 columns has zeros in the others
    EACH = KEPT if narrow else 2 * KEPT  # of a tile for 16 numbers of the depth

    @inlined
    def fragment(W, part, s, m, e, first, lane):  # type: ignore[no-untyped-def]
        """Return register e of tile m for the s-th 16 numbers, as a_place and number_of say."""
        kept = e % KEPT
        column = 16 * m + lane // 4 + (0 if HALF else 8 * (kept % 2))
        later = kept if HALF else kept // 2
        k = part * SHARE + STEP * s + 4 * (lane % 4)
        if narrow:
            return pair(weight(W, k + 2 * later, column, first), weight(W, k + 2 * later + 1, column, first))
        return single(weight(W, k + 2 * (e // KEPT) + later, column, first))

    @inlined
    def register(i, W, first, thread):  # type: ignore[no-untyped-def]
        s = i // (TILES * EACH)
        return fragment(W, thread // WARP, s, i // EACH % TILES, i % EACH, first, thread % WARP)

    @inlined
    def add_product(w, at, b0, b1, c, i):  # type: ignore[no-untyped-def]
        """Add the product of the weights from register `at` on to four sums."""
        zero = uint32(0)
        a1 = zero if HALF else w[at + 1]
        a2 = w[at + 1] if HALF else w[at + 2]
        a3 = zero if HALF else w[at + 3]
        c[i], c[i + 1], c[i + 2], c[i + 3] = mma(w[at], a1, a2, a3, b0, b1, c[i], c[i + 1], c[i + 2], c[i + 3])

    @inlined
    def add_tiles(s, w, c, b0, b1, b2, b3):  # type: ignore[no-untyped-def]
        for m in range(TILES):
            at = (s * TILES + m) * EACH
            i = 4 * (s % CHAINS * TILES + m)
            add_product(w, at, b0, b1, c, i)
            if not narrow:
                add_product(w, at + KEPT, b2, b3, c, i)

    def add_some(i, w, c, shared, at):  # type: ignore[no-untyped-def]
        """Add the products of all tiles and some times 16 numbers of 8 sequences."""
        for s in range(SOME * i, SOME * i + SOME):
            v = peek4(shared, at + STEP * s)
            if narrow:
                b0 = pair(v[0], v[1])
                b1 = pair(v[2], v[3])
                add_tiles(s, w, c, b0, b1, b0, b1)
            else:
                add_tiles(s, w, c, single(v[0]), single(v[1]), single(v[2]), single(v[3]))

    add_all = written_out(add_some, STEPS // SOME, "w, c, shared, at")

    @inlined
    def put(c, shared, at):  # type: ignore[no-untyped-def]
        """Leave the sums of the lane: a register of a tile is a column and a sequence."""
        for i in range(4 * TILES):
            made = c[i]
            if CHAINS == 2:
                made += c[4 * TILES + i]
            shared[at + i % 2 * LINE + 16 * (i // 4) + 8 * (i % 4 // 2)] = made

    @inlined
    def multiply(w, c, shared, n, thread):  # type: ignore[no-untyped-def]
        part = thread // WARP
        lane = thread % WARP
        for r in range(0, n, TILE):
            for e in range(4 * TILES * CHAINS):
                c[e] = 0
            add_all(w, c, shared, (r + lane // 4) * STRIDE + part * SHARE + 4 * (lane % 4))
            put(c, shared, SUMS + (part * ROWS + r + 2 * (lane % 4)) * LINE + lane // 4)

    return register, multiply
