"""What the machine can do: the tile on operands that stay in the first cache, NumPy's product, a copy."""

import time
from collections.abc import Callable
from types import FunctionType

import numpy as np

from nbrnn.kernels.abi import OPTIONS, njit, types
from nbrnn.kernels.tile import ROWS, VECTOR_BYTES, wide
from nbrnn.program import aligned
from nbrnn.targets import cache

K = 256  # inner length of the tile's product: 32 KiB of each operand with AVX-512
SIDE = 512  # of NumPy's matrices
COPIED = 64 * 2**20  # bytes of an array that is copied: more than caches hold
ROUNDS = 15


def tiles(A, B, C, count):
    """Run the tile on the same packed operands, many times."""
    L, M = B.shape[1], A.shape[0]
    for _ in range(count):
        wide(A, 0, K, K, 1, B, 0, L, K, B, 0, L, B, 0, L, 0, C, 0, L, False, C, 0, L, M, 0)


def fastest(work: Callable[[], object]) -> float:
    """Return the best of some rounds, in seconds: a peak is what can be reached."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def tile_peak(dtype: str) -> float:
    """Return the GFLOP/s of one thread within the tile."""
    L = 2 * VECTOR_BYTES // np.dtype(dtype).itemsize
    M = 4 * ROWS
    A, B, C = aligned((M, K), dtype), aligned((K, L), dtype), aligned((M, L), dtype)
    rng = np.random.default_rng(0)
    A[...], B[...] = rng.standard_normal(A.shape), rng.standard_normal(B.shape)
    matrix = types.Array(getattr(types, dtype), 2, "C")
    copy = FunctionType(tiles.__code__, tiles.__globals__)
    copy.__qualname__, copy.__module__ = f"tiles_{dtype}", __name__  # Numba's cache confuses signatures of one name
    with cache.location() as use:
        run = njit(types.void(matrix, matrix, matrix, types.int64), cache=use, **OPTIONS)(copy)
    count = 2_000
    return 2 * M * K * L * count / fastest(lambda: run(A, B, C, count)) / 1e9


def numpy_peak(dtype: str) -> float:
    """Return the GFLOP/s of NumPy's matmul with the threads that it has."""
    A, B = (np.random.default_rng(seed).random((SIDE, SIDE)).astype(dtype) for seed in (0, 1))
    C = np.empty_like(A)
    return 2 * SIDE**3 / fastest(lambda: np.matmul(A, B, out=C)) / 1e9


def bandwidth() -> float:
    """Return the GB/s of a copy from memory to memory, what is read and what is written."""
    a, b = np.ones(COPIED // 8), np.zeros(COPIED // 8)
    return 2 * COPIED / fastest(lambda: np.copyto(b, a)) / 1e9


def peaks(dtype: str, threads: int, memory: bool) -> dict[str, float]:
    """Return the peak that shares refer to, threads times that of one, and what stands beside it."""
    found = {"gflops": threads * tile_peak(dtype), "numpy_gflops": numpy_peak(dtype)}
    return found | ({"gigabytes_per_s": bandwidth()} if memory else {})
