"""What no other test would notice: each of these fails for a small change that tools/mutate.py found to survive."""

import numba
import numpy as np
import pytest
import support
from support import assert_close, panels

from nbrnn.kernels import activations, gemm

# ---------------------------------------------------------------- products: the loops behind the tiles


@pytest.fixture
def tiles(monkeypatch):
    """Let the products run as plain Python, on tiles of 4 rows and vectors of 2 float64; return the tiles' names."""
    monkeypatch.setattr(gemm, "ROWS", 4)
    for module in (gemm, support):
        monkeypatch.setattr(module, "VECTOR_BYTES", 16)
    used = []
    shapes = {"full": (4, 2, False), "single": (1, 2, False), "full_edge": (4, 1, True), "single_edge": (1, 1, True)}
    for name, shape in shapes.items():
        monkeypatch.setattr(gemm, name, tile(name, used, *shape))
    for name in ("tiled_multiply", "loop_multiply", "tiled_packed"):
        monkeypatch.setattr(gemm, name, plain(getattr(gemm, name)))
    return used


def plain(function):
    """Return a kernel's helper as the Python function that it was."""
    return getattr(function, "py_func", function)


def tile(name, used, rows, vectors, masked):
    """Return what a register tile does, in plain Python; it notes its name."""

    def run(A, a_at, a_row, a_k, B, b_at, b_k, C, c_at, c_row, K, accumulate, columns):
        a, b, c = A.reshape(-1), B.reshape(-1), C.reshape(-1)
        wide = vectors * gemm.VECTOR_BYTES // C.itemsize
        wide = min(wide, columns) if masked else wide
        used.append(name)
        for r in range(rows):
            line = c[c_at + r * c_row :][:wide]
            assert line.size == wide, "beyond the matrix"
            line *= accumulate
            for k in range(K):
                line += a[a_at + r * a_row + k * a_k] * b[b_at + k * b_k :][:wide]

    return run


SHAPES = [(M, K, N) for M in (1, 3, 4, 5, 8, 11) for K in (1, 3) for N in (1, 2, 3, 4, 5, 7, 8, 9)]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_compiled_product_covers_every_element_once(tiles, dtype, accumulate, transposed):
    rng = np.random.default_rng(0)
    for M, K, N in SHAPES:
        A, B, C = (rng.normal(size=shape).astype(dtype) for shape in ((M, K), (K, N), (M, N)))
        wanted, same = C * accumulate + A @ B, C.copy()
        given = np.ascontiguousarray(A.T) if transposed else A
        make = gemm._multiply_tn if transposed else gemm._multiply
        make(numba.typeof(C), None, None, None)(C, given, B, accumulate)
        (gemm.multiply_tn if transposed else gemm.multiply)(same, given, B, accumulate)
        assert_close(C, wanted, 1e-14, (M, K, N))
        assert_close(same, wanted, 1e-14, (M, K, N))
    assert set(tiles) == (set() if dtype == "complex128" else {"full", "single", "full_edge", "single_edge"})


@pytest.mark.parametrize("accumulate", [False, True])
def test_a_product_with_a_packed_matrix_covers_every_element_once(tiles, accumulate):
    rng = np.random.default_rng(1)
    for M, K, N in SHAPES:
        A, B, C = (rng.normal(size=shape) for shape in ((M, K), (K, N), (M, N)))
        wanted, same = C * accumulate + A @ B, C.copy()
        P = panels(B)
        gemm._multiply_packed(numba.typeof(C), None, None, None)(C, A, P, accumulate)
        gemm.multiply_packed(same, A, P, accumulate)
        assert_close(C, wanted, 1e-14, (M, K, N))
        assert_close(same, wanted, 1e-14, (M, K, N))
    assert set(tiles) == {"full", "single", "full_edge", "single_edge"}


def test_complex_numbers_are_never_packed():
    C = np.zeros((2, 2), complex)
    assert gemm._multiply_packed(numba.typeof(C), None, None, None)(C, C, C, False) is None
    assert not C.any()


# ---------------------------------------------------------------- activations


def test_the_complex_step_sees_relu_flat_at_zero_as_its_slope_does():
    a = np.complex128(1e-20j)
    assert plain(activations.act)(a, activations.RELU) == 0
    assert plain(activations.slope)(np.float64(0.0), activations.RELU) == 0
