"""Windows and splits, against naive twins and the lessons' tables."""

import datetime

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbrnn.data import MinMaxScaler, chronological_split, sliding_windows, split_slices
from nbrnn.datasets import load_dataset


def draw_series(seed, rows, columns):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def naive_windows(rows, length, horizon, stride, targets):
    """Cut the windows with loops over every element."""
    inputs = [c for c in range(rows.shape[1]) if horizon or c not in targets]
    X, y = [], []
    start = 0
    while start + length + horizon <= len(rows):
        X.append([[rows[start + t, c] for c in inputs] for t in range(length)])
        after = range(start + length, start + length + horizon) if horizon else [start + length - 1]
        y.append([rows[t, c] for t in after for c in targets])
        start += stride
    return np.array(X), np.array(y)


# ---------------------------------------------------------------- windows


@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 7),
    horizon=st.integers(0, 4),
    stride=st.integers(1, 9),
    extra=st.integers(0, 20),
    columns=st.integers(1, 5),
    order=st.sampled_from("CF"),
    data=st.data(),
)
def test_windows_equal_the_naive_ones_and_are_views(seed, length, horizon, stride, extra, columns, order, data):
    series = np.array(draw_series(seed, length + horizon + extra, columns), order=order)
    most = columns if horizon else columns - 1
    assume(most)
    targets = data.draw(st.lists(st.integers(0, columns - 1), min_size=1, max_size=most, unique=True))
    X, y = sliding_windows(series, length, horizon, stride, targets)
    naive_X, naive_y = naive_windows(series, length, horizon, stride, targets)
    np.testing.assert_array_equal(X, naive_X)
    np.testing.assert_array_equal(y, naive_y)
    assert not X.flags.writeable and not y.flags.writeable
    assert np.shares_memory(X, series) or horizon == 0
    if len(targets) == 1:
        assert np.shares_memory(y, series)


def test_columns_of_all_targets_and_one_feature_are_views_too():
    series = draw_series(1, 30, 3)
    X, y = sliding_windows(series, 5, horizon=4)
    assert np.shares_memory(X, series) and np.shares_memory(y, series)
    X, y = sliding_windows(series, 5, horizon=0, target=1)  # columns 0 and 2: a slice with step 2
    assert np.shares_memory(X, series) and np.shares_memory(y, series)
    flat = series[:, 0]
    assert np.shares_memory(sliding_windows(flat, 5)[0], series)


def test_copied_columns_cost_no_more_than_the_series():
    series = draw_series(2, 400, 4)
    X, y = sliding_windows(series, 100, horizon=50, target=[3, 0])
    for windows in (X, y, sliding_windows(series, 100, horizon=0, target=2)[0]):
        low, high = np.lib.array_utils.byte_bounds(windows)
        assert high - low <= series.nbytes < windows.size * windows.itemsize


def test_the_windows_of_the_tables_of_the_lessons():
    one_to_ten = range(1, 11)
    X, y = sliding_windows(one_to_ten, 1)
    assert [(*x, *t) for x, t in zip(X[:, :, 0].tolist(), y.tolist(), strict=True)] == [
        (n, n + 1) for n in range(1, 10)
    ]
    X, y = sliding_windows(one_to_ten, 3)
    assert X[..., 0].tolist() == [[n, n + 1, n + 2] for n in range(1, 8)]
    assert y.tolist() == [[n] for n in range(4, 11)]


def test_the_readers_table_with_the_target_in_the_last_row():
    rows = [(2, 3, 3), (3, 4, 4), (2, 4, 4), (3, 5, 5), (4, 6, 6)]
    X, y = sliding_windows(rows, 3, horizon=0, target=2)
    assert X.tolist() == [
        [[2, 3], [3, 4], [2, 4]],
        [[3, 4], [2, 4], [3, 5]],
        [[2, 4], [3, 5], [4, 6]],
    ]
    assert y.tolist() == [[4], [5], [6]]


def test_the_readers_outputs_fed_back():
    rows = [(2, 3, 3, 10, 9), (3, 4, 4, 11, 10), (2, 4, 4, 12, 11), (3, 5, 5, 13, 12)]
    X, y = sliding_windows(rows, 1, target=3)  # the window holds the target's past
    assert [tuple(x[0]) for x in X.tolist()] == rows[:3]
    assert y.tolist() == [[11], [12], [13]]


@pytest.mark.parametrize(
    ("rows", "length", "windows"), [(144, 10, 134), (144, 20, 124), (2501, 50, 2451), (700, 300, 400)]
)
def test_the_numbers_of_windows_of_the_lessons(rows, length, windows):
    X, y = sliding_windows(draw_series(3, rows, 1)[:, 0], length)
    assert X.shape == (windows, length, 1) and y.shape == (windows, 1)


def test_the_windows_of_the_sunspots_lesson():
    scaled = MinMaxScaler().fit_transform(load_dataset("sunspots").values)  # all rows, as the lesson does
    past, future = chronological_split(scaled, share=0.8)
    assert (len(past), len(future)) == (2256, 564)
    X, y = sliding_windows(past, 12, stride=12)
    assert X.shape == (187, 12, 1) and y.shape == (187, 1)
    assert y[0, 0] == pytest.approx(0.2888100867, abs=1e-10)
    assert sliding_windows(future, 12, stride=12)[0].shape == (46, 12, 1)


def test_four_series_are_predicted_together():
    series = draw_series(4, 700, 4)
    X, y = sliding_windows(series, 300)
    assert X.shape == (400, 300, 4)
    np.testing.assert_array_equal(y, series[300:])


def test_what_is_missing_is_kept_on_demand():
    series = draw_series(5, 30, 2)
    series[[3, 17], [0, 1]] = np.nan
    X, y = sliding_windows(series, 4, horizon=2, missing="keep")
    whole = np.isfinite(X).all(axis=(1, 2)) & np.isfinite(y).all(axis=1)
    touched = [n for n in range(len(X)) if any(n <= row < n + 6 for row in (3, 17))]
    assert np.flatnonzero(~whole).tolist() == touched
    series[5] = np.inf
    with pytest.raises(ValueError, match=r"row 5, column 0 .* holds inf"):
        sliding_windows(series, 4, missing="keep")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"series": range(10), "length": 3, "missing": "drop"}, "missing 'drop' is unknown"),
        ({"series": range(10), "length": 12}, r"holds 10 rows, but a window of 12 with horizon 1 needs at least 13"),
        ({"series": range(10), "length": 10, "horizon": 0, "target": 0}, "no column is left"),
        ({"series": range(10), "length": 0}, "length must be a whole number of at least 1, not 0"),
        ({"series": range(10), "length": -3}, "length must be a whole number"),
        ({"series": range(10), "length": 2.5}, "length must be a whole number"),
        ({"series": range(10), "length": True}, "length must be a whole number"),
        ({"series": range(10), "length": 3, "horizon": -1}, "horizon must be a whole number of at least 0"),
        ({"series": range(10), "length": 3, "stride": 0}, "stride must be a whole number of at least 1"),
        ({"series": [1.0, 2.0, float("nan"), 4.0], "length": 2}, "row 2, column 0 .* holds nan"),
        ({"series": [[1.0, 2.0], [3.0, -np.inf]], "length": 1}, "row 1, column 1 .* holds -inf"),
        ({"series": np.eye(3), "length": 1, "target": 3}, "target must name columns from 0 to 2, not 3"),
        ({"series": np.eye(3), "length": 1, "target": -4}, "target must name columns from 0 to 2"),
        ({"series": np.eye(3), "length": 1, "target": [0, 0]}, "none twice"),
        ({"series": np.eye(3), "length": 1, "target": []}, "at least one column"),
        ({"series": np.eye(3), "length": 1, "target": "a"}, "not 'a'"),
        ({"series": np.eye(3), "length": 1, "target": 0.5}, "not 0.5"),
        ({"series": np.ones((5, 2, 1)), "length": 2}, r"\(rows,\) or \(rows, columns\), not \(5, 2, 1\)"),
        ({"series": 3.0, "length": 2}, r"not \(\)"),
        ({"series": [], "length": 2}, "no numbers"),
        ({"series": np.ones((5, 0)), "length": 2}, "no numbers"),
        ({"series": ["a", "b", "c"], "length": 1}, "real numbers only"),
        ({"series": [1, None, 3], "length": 1}, "real numbers only"),
        ({"series": [[1, 2], [3]], "length": 1}, "differ in length"),
        ({"series": [1j, 2j, 3j], "length": 1}, "real numbers only"),
    ],
)
def test_windows_refuse(arguments, words):
    with pytest.raises(ValueError, match=words):
        sliding_windows(**arguments)


# ---------------------------------------------------------------- splits


@given(
    rows=st.integers(3, 400),
    cuts=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=2, unique=True).map(sorted),
    how=st.sampled_from(["share", "at", "dates"]),
)
def test_a_split_covers_all_rows_in_order(rows, cuts, how):
    series = np.random.default_rng(rows).normal(size=(rows, 2))
    edges = [int(cut * rows) for cut in cuts]
    assume(all(a < b for a, b in zip([0, *edges], [*edges, rows], strict=True)))
    dates = [f"{1000 + k // 12}-{k % 12 + 1:02d}" for k in range(rows)]
    if how == "share":
        parts = chronological_split(series, share=np.diff([0, *cuts, 1]))
        assert all(abs(part - wanted) <= 1 for part, wanted in zip(np.cumsum([*map(len, parts)]), edges, strict=False))
    elif how == "at":
        parts = chronological_split(series, at=edges)
    else:
        untils = {name: dates[e - 1] for name, e in zip(["train_until", "validate_until"], edges, strict=False)}
        parts = chronological_split(series, dates=dates, **untils)
    if how != "share":
        assert [len(part) for part in parts] == np.diff([0, *edges, rows]).tolist()
    assert all(len(part) and np.shares_memory(part, series) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), series)


@pytest.mark.parametrize(("rows", "tenths"), [(r, t) for r in (10, 100, 2820, 999) for t in range(1, 10)])
def test_a_share_is_not_lost_to_rounding(rows, tenths):
    first, second = split_slices(rows, share=(tenths / 10, 1 - tenths / 10))
    assert first.stop == second.start == rows * tenths // 10
    third = (1 / 3, 1 / 3, 1 / 3)
    assert [s.stop for s in split_slices(9, share=third)] == [3, 6, 9]


def test_a_year_includes_its_months():
    sunspots = load_dataset("sunspots")
    train, validation, test = chronological_split(sunspots, train_until="1965", validate_until=1975)
    assert train.dates[-1] == "1965-12" and validation.dates[0] == "1966-01"
    assert validation.dates[-1] == "1975-12" and test.dates[0] == "1976-01"
    assert len(train) + len(validation) + len(test) == len(sunspots)
    np.testing.assert_array_equal(test.values, sunspots.values[-len(test) :])
    train, test = chronological_split(sunspots, train_until="1965-06-30")  # finer than the labels
    assert train.dates[-1] == "1965-06"


def test_other_dates_and_other_arrays():
    days = np.arange("2010-01-01", "2010-01-11", dtype="datetime64[D]")
    x, y = np.arange(10.0), np.arange(10)
    parts = chronological_split(x, y, dates=days, train_until="2010-01-07")
    assert [part.tolist() for part in parts] == [[*range(7)], [7, 8, 9], [*range(7)], [7, 8, 9]]
    assert [len(part) for part in chronological_split(x, at=-2)] == [8, 2]


@pytest.mark.parametrize(
    ("form", "until"),
    [
        ("%d.%m.%Y", "10.3.2010"),
        ("%d.%m.%Y", "2010-03-10"),
        ("%m/%d/%y", "3/10/10"),
        ("%m/%d/%y %H:%M", "3/10/10"),
        ("%d %b %Y", "10 Mar 2010"),
        ("%Y%m%d", "2010-03-10"),
        ("%Y-%m-%d", "2010-03-10"),
    ],
)
def test_dates_of_other_forms_are_split_in_the_order_of_time(form, until):
    start = datetime.date(2010, 1, 1)
    labels = [(start + datetime.timedelta(days=k)).strftime(form) for k in range(365)]
    train, test = chronological_split(labels, train_until=until, dates=labels)
    assert (len(train), len(test)) == (31 + 28 + 10, 365 - 69)
    for same in ("Mar 2010", "2010-3", "31.3.2010"):
        train, _ = chronological_split(labels, train_until=same, dates=labels)
        assert len(train) == 31 + 28 + 31
    assert [len(part) for part in chronological_split("abcd", train_until="k2", dates=["k1", "k2", "k3", "k3"])] == [
        2,
        2,
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "one of share, at and train_until, not none of them"),
        ({"share": 0.8, "at": 5}, "not share and at"),
        ({"share": 1.0}, "test part without rows"),
        ({"share": 0.01}, "training part without rows"),
        ({"share": (0.5, 0.01, 0.49)}, r"validation part without rows \(training 5, validation 0, test 5\)"),
        ({"share": (0.5, 0.4)}, "add up to 1, but .* adds up to 0.9"),
        ({"share": 1.5}, "share must be a number"),
        ({"share": "0.8"}, "share must be a number"),
        ({"share": (0.25, 0.25, 0.25, 0.25)}, "two parts .* or three .*, not 4"),
        ({"share": [1.0]}, "not 1"),
        ({"at": 0}, "training part without rows"),
        ({"at": 10}, "test part without rows"),
        ({"at": 11}, "rows from -10 to 10, not 11"),
        ({"at": 2.0}, "not 2.0"),
        ({"at": (7, 3)}, "must follow each other"),
        ({"train_until": "1990"}, "needs dates"),
        ({"validate_until": "1990", "share": 0.5}, "validate_until needs train_until"),
        ({"train_until": "2009", "dates": [f"2010-{m:02d}" for m in range(1, 11)]}, "training part without rows"),
        ({"train_until": "2010", "dates": [f"2010-{m:02d}" for m in range(1, 11)]}, "test part without rows"),
        (
            {"train_until": "2010-03", "validate_until": "2010-02", "dates": [f"2010-{m:02d}" for m in range(1, 11)]},
            "must follow each other",
        ),
        ({"train_until": "2010", "dates": ["2010-01"]}, "one date for each of the 10 rows, not 1"),
        (
            {"train_until": "2010", "dates": [f"{d}.01.2010" for d in (5, 6, 7, 9, 8, 10, 11, 12, 13, 14)]},
            r"dates must come in order, but row 4 \(counted from 0\) holds '8.01.2010' after '9.01.2010'",
        ),
        ({"train_until": "2010", "dates": [f"{d}.01.2010" for d in range(5, 15)]}, "test part without rows"),
        (
            {"train_until": "x", "dates": [f"{d}.01.2010" for d in range(5, 15)]},
            "train_until holds 'x'; a date such as",
        ),
        (
            {"train_until": "2010-03", "dates": [f"2010-{m:02d}" for m in (1, 2, 3, 5, 4, 6, 7, 8, 9, 10)]},
            "row 4 .* holds '2010-04' after '2010-05'",
        ),
    ],
)
def test_splits_refuse(arguments, words):
    with pytest.raises(ValueError, match=words):
        chronological_split(np.arange(10.0), **arguments)


def test_splits_refuse_arrays_that_do_not_fit():
    with pytest.raises(ValueError, match="as many rows each, not 10, 9"):
        chronological_split(np.arange(10.0), np.arange(9.0), share=0.5)
    with pytest.raises(ValueError, match="at least one series"):
        chronological_split(share=0.5)
