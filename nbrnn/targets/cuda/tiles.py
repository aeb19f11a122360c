"""Products of matrices by blocks of threads: tiles of both factors in shared memory, sums in registers.

A block makes `rows` x `columns` numbers of the result. It walks along the depth (what is summed over): its threads read
`depth` columns of one factor and rows of the other into shared memory, then each adds their products to its own `down`
x `across` sums. `slices` groups of threads may each take a part of every tile's depth; their sums are added in order.

Of the default tile, 128 x 128 x 8 with 8 x 8 sums a thread: a number that is read from memory is used 128 times, which
makes 2 * 128 * 128 / (4 * (128 + 128)) = 32 FLOPs a byte of float32, where an H200 (67 TFLOP/s of float32, 4.8 TB/s by
its data sheet) needs 14 to be limited by arithmetic. In shared memory, a step of the depth is 16 reads and 64
multiply-adds a thread; a processor does a warp's read in the time of four warps' multiply-adds, so that these reads take
as long as the arithmetic: the expected limit is near the peak, and what of it is reached has not been measured.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from ...kernels.activations import act
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
        Of C, kept, A, B, A2, B2, b, alive, at, depths, add, code, dropped; see products.py. Its grid has two
        dimensions: the tiles of C, and the parts of the depth, each of which has M rows of C for itself.
    """
    turned, columns_first = form == TURNED, form == COLUMNS
    number = from_dtype(np.dtype(dtype))
    BM, BN, BK, DOWN, ACROSS, SLICES = tile.rows, tile.columns, tile.depth, tile.down, tile.across, tile.slices
    LINES, LANES = BM // DOWN, BN // ACROSS  # threads down and across
    THREADS, SHARE = tile.threads, BK // SLICES
    direct = SLICES == 1 and not acting
    A_WIDE, B_WIDE = BM + tile.pad, BN + tile.pad

    @cuda.jit(device=True)
    def finish(C, kept, b, m, n, start, features, add, code, total):  # type: ignore[no-untyped-def]
        if columns_first and start == 0 and m == features and cuda.gridDim.y == 1:
            b[n] = b[n] + total if add else total
        else:
            row = start + m
            if not columns_first and b.size > 0:
                total += b[n]
            if add:
                total += C[row, n]
            if acting:
                if kept.size > 0:
                    kept[row, n] = total
                total = act(total, code)
            C[row, n] = total

    def product(C, kept, A, B, A2, B2, b, alive, at, depths, add, code, dropped):  # type: ignore[no-untyped-def]
        tile_A = cuda.shared.array((BK, A_WIDE), number)
        tile_B = cuda.shared.array((BK, B_WIDE), number)
        parts = cuda.shared.array((SLICES, LINES, B_WIDE), number)
        sums = cuda.local.array((DOWN, ACROSS), number)
        left = cuda.local.array(DOWN, number)
        zero = C.dtype.type(0)
        one = C.dtype.type(1)
        thread = cuda.threadIdx.x
        lane = thread % LANES
        line = thread // LANES % LINES
        share = thread // (LANES * LINES) * SHARE
        N = C.shape[1]
        if columns_first:  # what X^T has one row more than, of ones, makes the sum of Y's columns
            features = A.shape[1]
            M = features + (1 if b.size > 0 else 0)
            K1 = A.shape[0]
            K2 = A2.shape[0] if joint else 0
        else:
            features = M = C.shape[0] // cuda.gridDim.y
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
        for k0 in range(first, stop, BK):
            for e in range(thread, BM * BK, THREADS):
                if columns_first:
                    m = e % BM
                    d = e // BM
                else:
                    m = e // BK
                    d = e % BK
                k = k0 + d
                value = zero
                if m0 + m < bound and k < stop:
                    if columns_first:
                        if m0 + m == features:
                            value = one
                        elif joint and k >= K1:
                            value = A2[k - K1, m0 + m]
                        else:
                            value = A[k, m0 + m]
                    elif joint and k >= K1:
                        value = A2[m0 + m, k - K1]
                    else:
                        value = A[m0 + m, k]
                tile_A[d, m] = rounded(value, dropped) if rounding else value
            for e in range(thread, BN * BK, THREADS):
                if turned:
                    n = e // BK
                    d = e % BK
                else:
                    n = e % BN
                    d = e // BN
                k = k0 + d
                value = zero
                if n0 + n < N and k < stop:
                    if turned:
                        value = B[n0 + n, k]
                    elif joint and k >= K1:
                        value = B2[k - K1, n0 + n]
                    else:
                        value = B[k, n0 + n]
                tile_B[d, n] = rounded(value, dropped) if rounding else value
            cuda.syncthreads()
            for d in range(SHARE):
                for i in range(DOWN):
                    left[i] = tile_A[share + d, line + i * LINES]
                for j in range(ACROSS):
                    right = tile_B[share + d, lane + j * LANES]
                    for i in range(DOWN):
                        sums[i, j] += left[i] * right
            cuda.syncthreads()
        if direct:
            for i in range(DOWN):
                for j in range(ACROSS):
                    m = m0 + line + i * LINES
                    n = n0 + lane + j * LANES
                    if m < bound and n < N:
                        finish(C, kept, b, m, n, cuda.blockIdx.y * M, features, add, code, sums[i, j])
        else:  # by way of shared memory, where the slices' sums are added and neighbours write neighbours
            for i in range(DOWN):
                for j in range(ACROSS):
                    parts[thread // (LANES * LINES), line, lane + j * LANES] = sums[i, j]
                cuda.syncthreads()
                for e in range(thread, LINES * BN, THREADS):
                    m = m0 + i * LINES + e // BN
                    n = n0 + e % BN
                    if m < bound and n < N:
                        total = parts[0, e // BN, e % BN]
                        for s in range(1, SLICES):
                            total += parts[s, e // BN, e % BN]
                        finish(C, kept, b, m, n, cuda.blockIdx.y * M, features, add, code, total)
                cuda.syncthreads()

    return cuda.jit(product)
