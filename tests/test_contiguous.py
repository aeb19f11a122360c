"""Any array becomes memory that a kernel can read, and overlapping windows are never expanded on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbrnn.arrays import contiguous_dtype
from nbrnn.data import sliding_windows


def draw_series(seed, rows, columns):
    return np.random.default_rng(seed).normal(size=(rows, columns))


axis_slices = st.builds(slice, st.none(), st.none(), st.sampled_from([1, 2, 3, -1, -2]))
numbers = st.sampled_from(["f4", "f8", ">f8", ">f4", "i8", "i2", "u1", "?", "f2"])


@st.composite
def laid_out(draw):
    """Arrays of many dtypes and layouts: slices, steps, backwards, transposed, broadcast, overlapping windows."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))
    a = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(scale=50, size=shape).astype(draw(numbers))
    a = a[tuple(draw(axis_slices) for _ in shape)]
    if draw(st.booleans()):
        a = a.T
    if a.ndim < 3 and len(a) > 1 and draw(st.booleans()):
        a, _ = sliding_windows(a, draw(st.integers(1, len(a) - 1)))
        a = a[tuple(draw(axis_slices) for _ in a.shape)]
    if draw(st.booleans()):
        a = np.broadcast_to(a, (3, *a.shape))
    return a


@given(a=laid_out(), dtype=st.sampled_from(["f4", "f8", "c16"]))
def test_any_layout_becomes_readable_memory(a, dtype):
    before = a.copy()
    out = contiguous_dtype(a, dtype)
    assert out.dtype == np.dtype(dtype) and out.dtype.isnative and out.flags.aligned
    assert all(s >= 0 and s % out.itemsize == 0 for s in out.strides)
    np.testing.assert_array_equal(out, before.astype(dtype))
    np.testing.assert_array_equal(a, before)
    assert out is a or span(out) <= a.size  # neither expanded nor with gaps


def span(a):
    low, high = np.lib.array_utils.byte_bounds(a)
    return (high - low) // a.itemsize


@pytest.mark.parametrize("source", ["f8", ">f4", "i4", "f4"])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("order", "CF")
def test_overlapping_windows_are_not_expanded(source, stride, order):
    series = np.array(draw_series(10, 500, 2) * 100, dtype=source, order=order)
    X, _ = sliding_windows(series, 80, stride=stride)
    for windows in (X, X[::2], X[5:, 10:], X[:, ::3], X[..., :1], X[..., 1:], X[::-1, ::-1, ::-1]):
        out = contiguous_dtype(windows, "f4")
        np.testing.assert_array_equal(out, windows.astype("f4"))
        assert span(out) <= series.size < out.size
    assert np.shares_memory(contiguous_dtype(X, "f4"), series) == (source == "f4")


def test_windows_that_run_both_ways_are_copied_in_full():
    X, _ = sliding_windows(draw_series(11, 60, 1), 20)
    out = contiguous_dtype(X[:, ::-1], "f4")
    assert out.flags.c_contiguous and out.shape == (40, 20, 1)
    np.testing.assert_array_equal(out, X[:, ::-1].astype("f4"))


def test_fields_of_a_packed_record_and_gaps_that_hold_no_numbers():
    records = np.zeros(300, dtype=[("flag", "u1"), ("value", "f8")])
    records["flag"], records["value"] = 255, np.random.default_rng(12).normal(size=300)
    X, _ = sliding_windows(records["value"], 50)  # strides of 9 bytes
    for dtype in ("f8", "f4"):
        out = contiguous_dtype(X, dtype)
        np.testing.assert_array_equal(out, X.astype(dtype))
        assert span(out) == 299
    frame = draw_series(13, 300, 3)
    X = sliding_windows(frame, 50)[0][..., ::2]
    frame[:, 1] = 1e300  # between the columns that are read
    np.testing.assert_array_equal(contiguous_dtype(X, "f4"), X.astype("f4"))


def test_memory_that_is_not_aligned_is_copied():
    shifted = np.frombuffer(b"." + np.arange(9, dtype="f4").tobytes(), "f4", offset=1)
    out = contiguous_dtype(shifted, "f4")
    assert out.flags.aligned and not shifted.flags.aligned
    np.testing.assert_array_equal(out, np.arange(9))


def test_readable_memory_comes_back_as_it_is():
    a = draw_series(14, 30, 4).astype("f4")
    for same in (a, a[::2], a[:, 1], a.T, sliding_windows(a, 5)[0], np.broadcast_to(a, (2, 30, 4))):
        assert contiguous_dtype(same, np.float32) is same
    assert contiguous_dtype(np.float32(2.0), "f4").shape == ()
    assert contiguous_dtype(np.zeros((0, 3)), "f4").shape == (0, 3)


@pytest.mark.parametrize(
    "wrong", [np.array([1, None]), ["a"], [b"a"], np.array(["2010"], "M8[D]"), [1j], [[1], [2, 3]]]
)
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="inputs must hold"):
        contiguous_dtype(wrong, "f4", name="inputs")
