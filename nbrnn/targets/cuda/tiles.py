"""Products of matrices by blocks of threads: tiles of both factors in shared memory, sums in registers.

A block makes `rows` x `columns` numbers of the result. It walks along the depth (what is summed over): its threads read
`depth` columns of one factor and rows of the other into shared memory, then each adds their products to its own `down`
x `across` sums. `slices` groups of threads may each take a part of every tile's depth; their sums are added in order.

What a tile of 128 x 128 x 8 with 8 x 8 sums a thread can reach, as arithmetic, not as a measurement:

- A number that is read from memory is used 128 times: 2 * 128 * 128 FLOPs for 4 * (128 + 128) bytes of float32, 32 a
  byte. An H200 (67 TFLOP/s of float32 without tensor cores, 4.8 TB/s, by its data sheet) needs 14.
- A step of the depth is 16 reads of shared memory and 64 multiply-adds a thread. A processor reads for one warp in the
  time in which it does four warps' multiply-adds, so that both take as long; with 4 x 4 sums (8 reads, 16
  multiply-adds) reading takes twice as long as the arithmetic.
- Memory takes some hundred clocks to answer. A thread asks for all its numbers of the next tile, then multiplies the
  last one, and only then looks at what it has got; so that hardly depends on how many blocks a processor has (two of
  128 registers a thread, one of 168).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from ...kernels.activations import act
from .persistent_memory import peek, poke
from .precision import rounded


@dataclass(frozen=True)
class Tile:
    """What a block takes at once: sizes of a tile, the sums of a thread, and in how many parts the depth goes."""

    rows: int
    columns: int
    depth: int
    down: int
    across: int
    slices: int = 1

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows // self.down * (self.columns // self.across) * self.slices

    def shared(self, itemsize: int) -> int:
        """Return the bytes of shared memory of a block."""
        pad, lines = self.pad, self.rows // self.down
        return itemsize * (
            self.depth * (self.rows + self.columns + 2 * pad) + self.slices * lines * (self.columns + pad)
        )

    @property
    def pad(self) -> int:
        """Numbers after each row of a tile, so that threads which write a column meet different banks."""
        return max(1, 32 // self.depth)


PLAIN, TURNED, COLUMNS = "X W", "X W^T", "X^T Y"


@cache
def tiled(form: str, tile: Tile, dtype: Any, joint: bool, acting: bool, rounding: bool) -> Any:
    """Make the kernel of a product.

    Parameters
    ----------
    form : str
        PLAIN, TURNED or COLUMNS.
    tile : Tile
    dtype : numpy.dtype
        float32 or float64.
    joint : bool
        Whether a second product is added to the first.
    acting : bool
        Whether an activation is taken of the result.
    rounding : bool
        Whether factors are rounded.

    Returns
    -------
    CUDA kernel
        Of C, kept, A, B, A2, B2, b, alive, at, depths, features, add, code, dropped; see products.py. Its grid has two
        dimensions: the tiles of C, and the parts of the depth, each of which has M rows of C for itself.
    """
    turned, columns_first = form == TURNED, form == COLUMNS
    number = from_dtype(np.dtype(dtype))
    BM, BN, BK, DOWN, ACROSS, SLICES = tile.rows, tile.columns, tile.depth, tile.down, tile.across, tile.slices
    LINES, LANES = BM // DOWN, BN // ACROSS  # threads down and across
    THREADS, SHARE = tile.threads, BK // SLICES
    A_EACH, B_EACH = BM * BK // THREADS, BN * BK // THREADS  # numbers that a thread reads of a tile
    A_WIDE, B_WIDE = BM + tile.pad, BN + tile.pad
    A_SIZE, B_SIZE = BK * A_WIDE, BK * B_WIDE

    def product(C, kept, A, B, A2, B2, b, alive, at, depths, features, add, code, dropped):  # type: ignore[no-untyped-def]
        tile_A = cuda.shared.array(A_SIZE, number)  # flat: an index that may be negative costs more than a product
        tile_B = cuda.shared.array(B_SIZE, number)
        parts = cuda.shared.array((SLICES, LINES, B_WIDE), number)
        sums = cuda.local.array((DOWN, ACROSS), number)
        left = cuda.local.array(DOWN, number)
        ahead_A = cuda.local.array(A_EACH, number)
        ahead_B = cuda.local.array(B_EACH, number)
        zero = C.dtype.type(0)
        one = C.dtype.type(1)
        thread = cuda.threadIdx.x
        lane = thread % LANES
        line = thread // LANES % LINES
        share = thread // (LANES * LINES) * SHARE
        N = C.shape[1]
        if columns_first:  # what X^T has one row more than, of ones, makes the sum of Y's columns
            M = features + (1 if b.size > 0 else 0)
            K1 = A.shape[0]
            K2 = A2.shape[0] if joint else 0
        else:
            M = C.shape[0] // cuda.gridDim.y
            K1 = B.shape[1] if turned else B.shape[0]
            K2 = B2.shape[0] if joint else 0
        if depths.size > 0:
            K1 = depths[0]
            if joint:
                K2 = depths[1]
        bound = M
        if alive.size > 0:
            bound = min(M, alive[at])
        across = (N + BN - 1) // BN
        m0 = cuda.blockIdx.x // across * BM
        n0 = cuda.blockIdx.x % across * BN
        if m0 >= bound:
            return
        K = K1 + K2
        steps = (K + BK - 1) // BK
        each = (steps + cuda.gridDim.y - 1) // cuda.gridDim.y * BK
        first = cuda.blockIdx.y * each
        stop = min(K, first + each)
        for i in range(DOWN):
            for j in range(ACROSS):
                sums[i, j] = zero
        for k0 in range(first - BK, stop, BK):  # the next tile is on its way while the last one is multiplied
            for i in range(A_EACH):
                e = thread + i * THREADS
                m = m0 + (e % BM if columns_first else e // BK)
                k = k0 + BK + (e // BM if columns_first else e % BK)
                value = zero
                if m < bound and k < stop:
                    if columns_first:
                        if m == features:
                            value = one
                        elif joint and k >= K1:
                            value = A2[k - K1, m]
                        else:
                            value = A[k, m]
                    elif joint and k >= K1:
                        value = A2[m, k - K1]
                    else:
                        value = A[m, k]
                ahead_A[i] = value
            for i in range(B_EACH):
                e = thread + i * THREADS
                n = n0 + (e // BK if turned else e % BN)
                k = k0 + BK + (e % BK if turned else e // BN)
                value = zero
                if n < N and k < stop:
                    if turned:
                        value = B[n, k]
                    elif joint and k >= K1:
                        value = B2[k - K1, n]
                    else:
                        value = B[k, n]
                ahead_B[i] = value
            if k0 >= first:
                for d in range(share, share + SHARE):
                    for i in range(DOWN):
                        left[i] = peek(tile_A, d * A_WIDE + line + i * LINES)
                    for j in range(ACROSS):
                        right = peek(tile_B, d * B_WIDE + lane + j * LANES)
                        for i in range(DOWN):
                            sums[i, j] += left[i] * right
                cuda.syncthreads()
            for i in range(A_EACH):
                e = thread + i * THREADS
                m = e % BM if columns_first else e // BK
                d = e // BM if columns_first else e % BK
                poke(tile_A, d * A_WIDE + m, rounded(ahead_A[i], dropped) if rounding else ahead_A[i])
            for i in range(B_EACH):
                e = thread + i * THREADS
                n = e // BK if turned else e % BN
                d = e % BK if turned else e // BN
                poke(tile_B, d * B_WIDE + n, rounded(ahead_B[i], dropped) if rounding else ahead_B[i])
            cuda.syncthreads()
        for i in range(DOWN):  # by way of shared memory, where slices are added and neighbours write neighbours
            for j in range(ACROSS):
                parts[thread // (LANES * LINES), line, lane + j * LANES] = sums[0, j]
            for later in range(1, DOWN):  # the next row moves up: a register has no index that is found at run time
                for j in range(ACROSS):
                    sums[later - 1, j] = sums[later, j]
            cuda.syncthreads()
            for e in range(thread, LINES * BN, THREADS):
                m = m0 + i * LINES + e // BN
                n = n0 + e % BN
                if m < bound and n < N:
                    total = parts[0, e // BN, e % BN]
                    for s in range(1, SLICES):
                        total += parts[s, e // BN, e % BN]
                    if columns_first and cuda.gridDim.y == 1 and m == features:
                        b[n] = b[n] + total if add else total
                    else:
                        row = cuda.blockIdx.y * M + m
                        if not columns_first and b.size > 0:
                            total += b[n]
                        if add:
                            total += C[row, n]
                        if acting:
                            if kept.size > 0:
                                kept[row, n] = total
                            total = act(total, code)
                        C[row, n] = total
            cuda.syncthreads()

    return cuda.jit(product)
