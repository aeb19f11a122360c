"""What no other test would notice: each of these fails for a small change that tools/mutate.py found to survive."""

import numba
import numpy as np
import pytest
from support import assert_close

from nbrnn.kernels import gemm

# ---------------------------------------------------------------- products: the loops behind the tiles


def tile(rows, vectors, masked):
    """Return what a register tile does, in plain Python."""

    def run(A, a_at, a_row, a_k, B, b_at, b_k, C, c_at, c_row, K, accumulate, columns):
        a, b, c = A.reshape(-1), B.reshape(-1), C.reshape(-1)
        wide = vectors * gemm.VECTOR_BYTES // C.itemsize
        wide = min(wide, columns) if masked else wide
        for r in range(rows):
            line = c[c_at + r * c_row :][:wide]
            assert line.size == wide, "beyond the matrix"
            line *= accumulate
            for k in range(K):
                line += a[a_at + r * a_row + k * a_k] * b[b_at + k * b_k :][:wide]

    return run


@pytest.fixture
def plain_tiles(monkeypatch):
    """Let the products run as plain Python, on tiles of 4 rows and vectors of 2 float64."""
    monkeypatch.setattr(gemm, "ROWS", 4)
    monkeypatch.setattr(gemm, "VECTOR_BYTES", 16)
    tiles = {"full": (4, 2, False), "single": (1, 2, False), "full_edge": (4, 1, True), "single_edge": (1, 1, True)}
    for name, (rows, vectors, masked) in tiles.items():
        monkeypatch.setattr(gemm, name, tile(rows, vectors, masked))
    for name in ("tiled_multiply", "loop_multiply"):
        monkeypatch.setattr(gemm, name, getattr(getattr(gemm, name), "py_func", getattr(gemm, name)))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_compiled_product_covers_every_element_once(plain_tiles, dtype, accumulate, transposed):
    rng = np.random.default_rng(0)
    for M in (1, 3, 4, 5, 8, 11):
        for N in (1, 2, 3, 4, 5, 7, 8, 9):
            for K in (1, 3):
                A, B, C = (rng.normal(size=shape).astype(dtype) for shape in ((M, K), (K, N), (M, N)))
                wanted, same = C * accumulate + A @ B, C.copy()
                given = np.ascontiguousarray(A.T) if transposed else A
                make = gemm._multiply_tn if transposed else gemm._multiply
                make(numba.typeof(C), None, None, None)(C, given, B, accumulate)
                (gemm.multiply_tn if transposed else gemm.multiply)(same, given, B, accumulate)
                assert_close(C, wanted, 1e-14, (M, N, K))
                assert_close(same, wanted, 1e-14, (M, N, K))
