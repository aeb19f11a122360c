"""The CUDA target's products: in the simulator, by a stand-in for cuBLAS, and compiled for GPUs that are not there."""

import re

import numpy as np
import pytest
from column_major import ColumnMajor, near_tf32
from cuda_compiling import ARCHITECTURES, array, compiled, missing, needs_compiler
from numba import cuda, njit, types
from support import assert_close
from test_cuda_host import card  # noqa: F401

from nbrnn.kernels.abi import OPTIONS
from nbrnn.targets import cpu
from nbrnn.targets.cuda import cublas, products
from nbrnn.targets.cuda.precision import Precision, dropped_bits, precision_of, rounded, upper_half, using
from nbrnn.targets.cuda.tiles import COLUMNS, PLAIN, TURNED, tiled

KERNELS = [  # form, tile, dtype, joint, acting, rounding
    (PLAIN, "wide", "float32", False, False, False),
    (TURNED, "wide", "float32", False, False, True),
    (COLUMNS, "wide", "float32", True, False, False),
    (PLAIN, "middle", "float32", True, True, False),
    (COLUMNS, "middle", "float64", True, False, False),
    (PLAIN, "low", "float32", True, True, True),
    (TURNED, "low", "float32", False, False, False),
    (COLUMNS, "low", "float32", False, False, True),
    (PLAIN, "low, float64", "float64", True, True, False),
]
SITES = [(k, a) for k in KERNELS for a in ARCHITECTURES if a == (9, 0) or k in (KERNELS[2], KERNELS[5])]


@pytest.mark.cudasim
def test_products_in_the_simulator(passes_in_the_simulator):
    passes_in_the_simulator("cuda_products.py")


class TestCompiled:
    pytestmark = needs_compiler

    @pytest.mark.parametrize(("kernel", "architecture"), SITES, ids=str)
    def test_sums_stay_in_registers(self, kernel, architecture, tmp_path):
        form, size, dtype, *options = kernel
        tile, whole = products.TILES[size], types.int64
        M, V, I = array(dtype, 2), array(dtype, 1), array("int64", 1)
        signature = (M, M, M, M, M, M, V, I, whole, I, whole, whole, whole, whole)
        found = compiled(tiled(form, tile, np.dtype(dtype), *options), signature, architecture, tmp_path)
        assert found.stack == found.spills == 0 and ".local" not in found.ptx
        assert found.registers * tile.threads <= 65536
        assert found.shared == tile.shared(np.dtype(dtype).itemsize) <= 48 * 1024
        assert found.ptx.count("fma.rn.f") >= tile.down * tile.across
        assert dtype == "float64" or ".f64" not in found.ptx
        # All of a tile's numbers are asked for before the first is waited for.
        before = re.split(r"st\.shared\.f|fma\.rn\.f", found.ptx, maxsplit=1)[0]
        assert before.count("ld.global.f") >= (tile.rows + tile.columns) * tile.depth // tile.threads

    def test_what_is_launched_beside_tiles_compiles(self, tmp_path):
        M, V, I, whole = array("float32", 2), array("float32", 1), array("int64", 1), types.int64
        for kernel, signature in {
            products.add_parts: (V, whole, whole, whole, M, V),
            products.begin_rows: (V, whole, M),
            products.to_bfloat16: (array("float32", 2, "A"), array("uint16", 2)),
            products.activate: (M, M, whole),
            products.count_rows: (I, whole, whole, I),
        }.items():
            found = compiled(kernel, signature, (9, 0), tmp_path)
            assert found.stack == found.spills == 0 and ".f64" not in found.ptx


def test_what_is_rounded_and_when():
    assert [dropped_bits(dtype) for dtype in ("float32", "float64")] == [0, 0]
    with using("bfloat16"):
        assert [dropped_bits(dtype) for dtype in ("float32", "float64")] == [16, 0]
        assert precision_of(np.float64) == "float64"
    with using("float64"):
        assert precision_of(np.float32) == "float32"
    assert Precision.now == "float32"
    with pytest.raises(ValueError, match="precision must be one of float64, float32, tf32, bfloat16, not 'half'"):
        using("half").__enter__()


@pytest.mark.parametrize("dropped", [13, 16])
def test_numbers_are_rounded_to_the_nearest_and_then_to_even_or_away_from_zero(dropped):
    step = 2.0 ** (dropped - 23)  # between neighbours from 1 to 2
    tie = 1.0 if dropped == 16 else 1 + step
    for x, expected in (
        (1 + step / 2, tie), (-1 - step / 2, -tie), (2 - step / 4, 2.0),
        (1 + 1.5 * step, 1 + 2 * step), (-1 - 0.51 * step, -1 - step),
        (0.0, 0.0), (-0.0, -0.0), (np.inf, np.inf), (np.finfo("f4").max, np.inf), (np.nan, np.nan),
    ):  # fmt: skip
        assert np.float32(rounded(np.float32(x), dropped)).tobytes() == np.float32(expected).tobytes()


@pytest.mark.skipif(not cpu.JIT, reason="compares compiled code with Python's")
def test_compiled_code_rounds_as_python_does():
    native = njit(**OPTIONS)(lambda x, dropped: rounded(x, dropped))
    upper = njit(**OPTIONS)(lambda x: upper_half(x))
    bits = np.random.default_rng(4).integers(0, 2**32, 3000, np.uint32)
    bits[:4] = 0x7F800000, 0x7FFFFFFF, 0x7F7FFFFF, 0x80000000  # infinity, a NaN, the largest number, -0
    for x in bits.view(np.float32):
        assert upper(x) == upper_half(x) or np.isnan(x)
        for dropped in (0, 13, 16):
            found, expected = np.float32(native(x, dropped)), np.float32(rounded(x, dropped))
            assert found.tobytes() == expected.tobytes() or (np.isnan(found) and np.isnan(expected))


# ---------------------------------------------------------------- cuBLAS


def host(array_):
    return array_.ctypes.data


def test_a_product_gives_the_stream_and_then_the_workspace(monkeypatch):
    class Builder:
        def __cuda_stream__(self):
            return 0, 99

    functions = ColumnMajor()
    library = cublas.Library(functions, np.zeros(8, np.uint8), host)
    Y, X, W = np.zeros((2, 3)), np.ones((2, 4)), np.ones((4, 3))
    for queue, stream in ((0, None), (Builder(), 99)):
        monkeypatch.setattr(cublas.Queue, "now", queue)
        library.gemm(cublas.gemm_of(PLAIN, Y, X, W, True), "float64")
        assert functions.stream == stream
    assert library.version == "12.9.1" and (Y == 8).all()


@pytest.mark.cuda_compile
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("precision", ["float64", "float32", "tf32"])
def test_the_library_reads_the_devices_own_arrays(card, precision, monkeypatch):  # noqa: F811
    kind = "float64" if precision == "float64" else "float32"
    rng = np.random.default_rng(3)
    Y, X, W = (near_tf32(rng.normal(size=shape)).astype(kind) for shape in ((20, 9), (20, 12), (8, 9)))
    functions = ColumnMajor()
    library = cublas.Library(functions, cuda.device_array(8, np.uint8))
    monkeypatch.setattr(products, "library", lambda: (library, ""))
    monkeypatch.setattr(products, "LIBRARY_FROM", dict.fromkeys(products.LIBRARY_FROM, 0))
    monkeypatch.setattr(products, "LOW_ROWS", 0)
    y, x, w, none = (cuda.to_device(a) for a in (Y, X, W, np.zeros(0, kind)))
    wide, dx, dw = (cuda.to_device(a) for a in (np.ones((40, 16), kind), X.copy(), W.copy()))
    with using(precision):
        products.product(y, x, w)
        products.product(wide[20:, :9], x[:20], w, None, True)
        products.product_turned(dx[:, :8], y, w)
        products.products_of_columns(x[:, :8], wide[20:], True, dw, none)
    exact, tolerance = X[:, :8].astype(float) @ W, 1e-13 if precision == "float64" else 1e-6
    expected = np.ones((40, 16))
    expected[20:, :9] += exact
    assert_close(wide.copy_to_host(), expected, tolerance)
    assert_close(dw.copy_to_host(), W + X[:, :8].T.astype(float) @ expected[20:, :9], max(tolerance, 1e-3))
    assert_close(dx.copy_to_host()[:, :8], exact @ W.T, max(tolerance, 1e-3 if precision == "tf32" else 0))
    assert len(functions.asked) == 4 and not card.launched
    np.testing.assert_array_equal(dx.copy_to_host()[:, 8:], X[:, 8:])


def test_a_failure_of_the_library_is_one_sentence():
    functions = ColumnMajor()
    functions.cublasSetWorkspace_v2 = lambda *arguments: 7
    library = cublas.Library(functions, np.zeros(8, np.uint8), host)
    Y = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"cublasSetWorkspace_v2 returned 7; set NBRNN_CUBLAS=0 to do without it"):
        library.gemm(cublas.gemm_of(PLAIN, Y, Y, Y, False), "float64")


def test_what_the_library_cannot_read_goes_to_tiles():
    V = np.zeros((4, 6))
    assert cublas.fits(V, V[:, :2], V[::2], V[:1]) and not cublas.fits(V[:, ::2]) and not cublas.fits(V.T)


def test_the_choice_by_size_is_said(monkeypatch):
    monkeypatch.setenv(cublas.OFF, "0")
    assert products.describe() == "own tiles; NBRNN_CUBLAS=0 is set"
    assert not products.by_library(1000, 1000, 1000, "float32")
    fake = cublas.Library(ColumnMajor(), np.zeros(8, np.uint8), host)
    monkeypatch.setattr(products, "library", lambda: (fake, ""))
    assert products.describe().startswith("cuBLAS 12.9.1 from so many multiply-adds on: float64 4,194,304, float32")
    choose = products.by_library
    assert choose(64, 256, 1024, "float32") and not choose(64, 256, 255, "float32")
    assert not choose(64, 256, 1024, "bfloat16") and not choose(64, 256, 1024, "float32", bounded=True)
    assert not choose(products.LOW_ROWS, 4096, 4096, "float32")
