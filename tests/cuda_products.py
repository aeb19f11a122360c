"""Products of matrices in the simulator; test_cuda_products.py starts it."""

import numpy as np
import pytest
from column_major import ColumnMajor, near_tf32
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cuda
from support import assert_close, seeds

from nbrnn.kernels.activations import ACTIVATIONS, LINEAR
from nbrnn.targets.cuda import launching, products
from nbrnn.targets.cuda.cublas import Library
from nbrnn.targets.cuda.precision import DROPPED, using
from nbrnn.targets.cuda.products import count_rows, neurons, product, product_turned, products_of_columns
from nbrnn.targets.cuda.tiles import Tile

TOLERANCES = {"float64": 1e-14, "float32": 2e-6, "tf32": 2e-6, "bfloat16": 2e-6}
ODD = Tile(6, 10, 4, 3, 5, 2)  # four threads
precisions = st.sampled_from(tuple(TOLERANCES))
rows = st.sampled_from((1, 3, 4, 5, 16, 17, 33))
sizes = st.sampled_from((1, 2, 7, 16, 17))
pytestmark = pytest.mark.parametrize("way", ["tiles", "odd tiles", "library"])


@pytest.fixture(autouse=True)
def asked(way, monkeypatch):
    """Choose the way that products go; return what the library was asked for."""
    functions = ColumnMajor()
    if way == "odd tiles":
        monkeypatch.setattr(products, "TILES", dict.fromkeys(products.TILES, ODD))
    if way == "library":
        fake = Library(functions, np.zeros(64, np.uint8), lambda a: getattr(a, "_ary", a).ctypes.data)
        monkeypatch.setattr(products, "library", lambda: (fake, ""))
        monkeypatch.setattr(products, "LIBRARY_FROM", dict.fromkeys(products.LIBRARY_FROM, 0))
        monkeypatch.setattr(products, "LOW_ROWS", 0)
    return functions.asked


def near(x, precision):
    """Round to a precision by arithmetic: np.rint takes the even one of two that are as near."""
    if precision not in DROPPED:
        return x.astype(np.float64)
    if precision == "tf32":
        return near_tf32(x.astype(np.float64))
    m, e = np.frexp(x.astype(np.float64))
    bits = 24 - DROPPED[precision]
    return np.ldexp(np.rint(np.ldexp(m, bits)), e - bits)


class Case:
    """Random matrices of a precision, on the host and on the device."""

    def __init__(self, data, precision):
        self.rng = np.random.default_rng(data.draw(seeds))
        self.precision, self.dtype = precision, "float64" if precision == "float64" else "float32"

    def draw(self, *shape):
        return self.rng.normal(size=shape).astype(self.dtype)

    def near(self, x):
        return near(x, self.precision)

    def run(self, function, result, *arguments, **options):
        """Return what a function makes of its first argument, twice the same bits on different grids."""
        found = []
        for grid in ((3, 4), (2, 3)):
            launching.GRID, there = grid, cuda.to_device(result.copy())
            with using(self.precision):
                function(there, *map(on_device, arguments), **{k: on_device(v) for k, v in options.items()})
            found.append(there.copy_to_host())
        assert found[0].tobytes() == found[1].tobytes()
        return found[0]

    def check(self, actual, expected):
        assert_close(actual, expected.astype(self.dtype), TOLERANCES[self.precision])


def on_device(value):
    """Copy arrays, and those in a tuple, to the device."""
    if isinstance(value, tuple):
        return tuple(map(on_device, value))
    return cuda.to_device(value) if isinstance(value, np.ndarray) else value


@settings(max_examples=6)
@given(data=st.data(), precision=precisions, N=rows, F=sizes, O=sizes, more=st.integers(0, 2), add=st.booleans(),
       biased=st.booleans(), bounded=st.booleans())  # fmt: skip
def test_product(way, asked, data, precision, N, F, O, more, add, biased, bounded):
    case = Case(data, precision)
    Y, X, W, b = case.draw(N, O), case.draw(N, F + more), case.draw(F, O), case.draw(O)
    alive = np.array([-1, data.draw(st.integers(0, N)), N + 5])
    X[:, F:] = np.nan  # not to be read
    stop = alive[1] if bounded else N
    expected = Y.astype(np.float64)
    expected[:stop] = add * expected[:stop] + case.near(X[:stop, :F]) @ case.near(W) + (b if biased else 0)
    before = len(asked)
    options = dict(bias=b if biased else None, add=add, alive=(alive, 1) if bounded else None)
    case.check(case.run(product, Y, X, W, **options), expected)
    assert len(asked) - before == (2 if way == "library" and not bounded else 0)


@settings(max_examples=6)
@given(data=st.data(), precision=precisions, N=rows, F=sizes, O=sizes, add=st.booleans(), bounded=st.booleans())
def test_product_turned(way, asked, data, precision, N, F, O, add, bounded):
    case = Case(data, precision)
    Y, X, W = case.draw(N, F), case.draw(N, O), case.draw(F, O)
    alive = np.array([data.draw(st.integers(0, N))])
    stop = alive[0] if bounded else N
    expected = Y.astype(np.float64)
    expected[:stop] = add * expected[:stop] + case.near(X[:stop]) @ case.near(W).T
    before = len(asked)
    case.check(case.run(product_turned, Y, X, W, add, (alive, 0) if bounded else None), expected)
    assert len(asked) - before == (2 if way == "library" and not bounded else 0)


@settings(max_examples=6)
@given(data=st.data(), precision=precisions, N=rows, F=sizes, O=sizes, more=st.integers(0, 2), add=st.booleans(),
       biased=st.booleans())  # fmt: skip
def test_products_of_columns(way, asked, data, precision, N, F, O, more, add, biased):
    case = Case(data, precision)
    x, da, dW, db = case.draw(N, F), case.draw(N, O + more), case.draw(F, O), case.draw(O if biased else 0)
    da[:, O:] = np.nan
    sums = on_device(db)
    actual = case.run(lambda dW: products_of_columns(on_device(x), on_device(da), add, dW, on_device(db)), dW)
    case.check(actual, add * dW.astype(np.float64) + case.near(x).T @ case.near(da[:, :O]))
    with using(precision):
        products_of_columns(on_device(x), on_device(da), add, on_device(dW), sums)
    if biased:
        case.check(sums.copy_to_host(), add * db.astype(np.float64) + case.near(da[:, :O]).sum(axis=0))
    assert len(asked) == 0 or way == "library"


@settings(max_examples=6)
@given(data=st.data(), B=st.sampled_from((1, 2, 3, 7)), T=st.sampled_from((1, 2, 3)), gapped=st.booleans())
def test_rows_with_gaps_are_read_from_their_copy(asked, data, B, T, gapped):
    case = Case(data, "float64")
    counts = np.sort(np.array(data.draw(st.lists(st.integers(0, B), min_size=T, max_size=T))))[::-1].copy()
    total = counts.sum()
    x, packed, da, dW, db = (case.draw(*shape) for shape in ((T * B, 5), (T * B, 5), (T * B, 3), (5, 3), (3,)))
    gaps = any(counts[t - 1] < B and counts[t] > 0 for t in range(1, T)) and gapped
    read = packed if gaps else x
    for rest in (x if not gaps else packed, da):
        rest[total:] = np.nan
    depths = cuda.to_device(np.array([77, 77]))
    launching.launch(count_rows, on_device(counts), B, int(gapped), depths)
    assert depths.copy_to_host().tolist() == ([0, total] if gaps else [total, 0])
    there = on_device(db)
    options = dict(depths=depths, packed=packed if gapped else None)
    actual = case.run(
        lambda dW, **o: products_of_columns(on_device(x), on_device(da), False, dW, there, **o), dW, **options
    )
    case.check(actual, read[:total].T @ da[:total])
    case.check(there.copy_to_host(), da[:total].sum(axis=0))
    assert not asked


@settings(max_examples=6)
@given(data=st.data(), precision=precisions, N=rows, H=sizes, states=st.booleans(), kept=st.booleans(),
       code=st.integers(0, len(ACTIVATIONS) - 1))  # fmt: skip
def test_neurons(asked, data, precision, N, H, states, kept, code):
    case = Case(data, precision)
    Y, A, X, Wx, S, Wh, b = (case.draw(*s) for s in ((N, H), (N, H), (N, 3), (3, H), (N, H), (H, H), (H,)))
    sums = case.near(X) @ case.near(Wx) + (case.near(S) @ case.near(Wh) if states else 0) + b
    there = on_device(A if kept else A[:0])
    arguments = X, Wx, None, S, H if states else 0, Wh, None, b, code
    case.run(lambda Y, *rest: neurons(Y, there, *rest), Y, *arguments)
    if kept:
        case.check(there.copy_to_host(), sums)
    linear = case.run(lambda Y, *rest: neurons(Y, there, *rest), Y, *arguments[:-1], LINEAR)
    case.check(linear, sums)
    tanh = case.run(lambda Y, *rest: neurons(Y, there, *rest), Y, *arguments[:-1], ACTIVATIONS.index("tanh"))
    assert_close(tanh, np.tanh(sums).astype(case.dtype), max(1e-13, 2 * TOLERANCES[precision]))
