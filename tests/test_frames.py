"""Series of every kind at the door, and forecasts that come back as the kind that went in."""

import subprocess
import sys

import numpy as np
import pytest

from nbrnn.csvfile import Table
from nbrnn.dates import calendar
from nbrnn.frames import as_table, like

RNG = np.random.default_rng(11)
parity = pytest.mark.parity


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.mark.parametrize(
    ("series", "columns", "names"),
    [
        (RNG.normal(size=5), None, ("column1",)),
        (RNG.normal(size=5), "spots", ("spots",)),
        (RNG.normal(size=(5, 2)).astype("f4"), None, ("column1", "column2")),
        (RNG.integers(0, 9, (5, 2))[::-1], ["a", "b"], ("a", "b")),
        ([3, 1, 4], None, ("column1",)),
        ([[3, 1], [4, 1]], ("x", "y"), ("x", "y")),
        ([True, False], None, ("column1",)),
        ([1.0, float("nan")], None, ("column1",)),
    ],
)
def test_arrays_and_lists(series, columns, names):
    table = as_table(series, "sales", columns)
    assert (table.columns, table.dates, table.name) == (names, None, "sales")
    assert table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values, np.reshape(np.asarray(series, float), (len(series), -1)))


def test_tables_stay():
    table = Table(RNG.normal(size=(3, 2)), ("a", "b"), ("1", "2", "3"))
    assert as_table(table) is table and as_table(table, columns="b").columns == ("b",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"series": [], "name": "sales"}, r"sales holds no numbers: its shape is \(0, 1\)"),
        ({"series": None}, "series must be an array, not None"),
        ({"series": ["a"]}, "real numbers only"),
        ({"series": [1, None]}, "real numbers only"),
        ({"series": np.ones((2, 2, 2))}, r"not \(2, 2, 2\)"),
        ({"series": 3.0}, r"not \(\)"),
        ({"series": np.eye(3), "columns": ["a", "b"]}, "series has 3 columns, but columns names 2"),
        ({"series": np.eye(2), "columns": ["a", "a"]}, "two columns of the name 'a'"),
        ({"series": Table(np.eye(2), ("a", "b")), "columns": "c"}, "has no column 'c'"),
    ],
)
def test_series_that_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        as_table(**arguments)


def test_arrays_come_back_as_arrays():
    np.testing.assert_array_equal(like([1, 2], [3, 4], ["a"]), [3.0, 4.0])
    assert like(np.eye(3), RNG.normal(size=(4, 2)), ["a", "b"], ["1", "2", "3", "4"]).shape == (4, 2)
    for values, names, labels in (
        (np.eye(2), ["a"], None),
        (np.ones(2), ["a"], ["1"]),
        (np.ones((1, 1, 1)), ["a"], None),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            like([1], values, names, labels)


def test_pandas_is_not_imported_without_need():
    code = "import sys, numpy, nbrnn.frames as f; f.like([1], f.as_table(numpy.ones(3)).values, ['a'])"
    code += "; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


# ---------------------------------------------------------------- pandas

INDICES = {
    "months": dict(start="2020-01-31", freq="ME"),
    "hours": dict(start="2020-01-01", freq="h"),
    "business days": dict(start="2020-01-01", freq="B"),
    "days over a change of the clock": dict(start="2020-10-20", freq="D", tz="Europe/Berlin"),
    "hours over a change of the clock": dict(start="2020-10-24 20:00", freq="h", tz="Europe/Berlin"),
    "hours of a zone": dict(start="2020-01-01", freq="h", tz="Asia/Kolkata"),
    "fractions": dict(start="2020-01-01", freq="250ms"),
}


@parity
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("name", INDICES)
def test_an_index_of_dates_goes_on(pandas, name, stated):
    index = pandas.date_range(**INDICES[name], periods=13, name="when")
    frame = pandas.DataFrame(RNG.normal(size=(10, 2)), index[:10], ["a", "b"])
    if not stated:
        frame.index.freq = None
    table = as_table(frame)
    assert table.columns == ("a", "b") and len(table.dates) == 10
    np.testing.assert_array_equal(table.values, frame.to_numpy())
    values, labels = RNG.normal(size=(3, 2)), calendar(table.dates).after(3)
    found = like(frame, values, table.columns, labels)
    pandas.testing.assert_frame_equal(found, pandas.DataFrame(values, index[10:], ["a", "b"]), check_freq=False)
    series = like(frame["b"], values[:, 1], ["b"], labels)
    pandas.testing.assert_series_equal(series, pandas.Series(values[:, 1], index[10:], name="b"), check_freq=False)


@parity
def test_other_indices_go_on(pandas):
    def after(index):
        frame = pandas.DataFrame({"a": np.arange(len(index), dtype=float)}, index)
        table = as_table(frame)
        labels = calendar(table.dates).after(2) if table.dates else None
        return table.dates, list(like(frame, RNG.normal(size=(2, 1)), ["a"], labels).index)

    assert after(pandas.RangeIndex(3)) == (None, [3, 4])
    assert after(pandas.RangeIndex(3, 9, 2)) == (None, [9, 11])
    assert after(pandas.Index(np.array([1700, 1701]))) == (("1700", "1701"), [1702, 1703])
    assert after(pandas.Index(["Jan 99", "Feb 99"])) == (("Jan 99", "Feb 99"), ["Mar 99", "Apr 99"])
    assert after(pandas.Index(["a", "b"])) == (("a", "b"), ["+1", "+2"])
    quarters = pandas.period_range("2020Q3", periods=4, freq="Q")
    assert after(quarters[:2]) == (("2020Q3", "2020Q4"), list(quarters[2:]))
    uneven = pandas.DatetimeIndex(["2020-01-01", "2020-01-05", "2020-01-17", "2020-03-11"])
    assert after(uneven)[1] == ["+1", "+2"]
    both = like(pandas.Series([1.0, 2.0], name="a"), np.ones((2, 3)), ["a", "low", "high"])
    assert list(both.columns) == ["a", "low", "high"] and list(both.index) == [2, 3]


@parity
def test_columns_of_pandas(pandas):
    frame = pandas.DataFrame(
        {"x": pandas.array([1, None, 3], "Int64"), 7: [1.5, np.nan, 2.0], "b": [True, False, True]}
    )
    table = as_table(frame, "sales")
    assert table.columns == ("x", "7", "b") and table.dates is None and table.name == "sales"
    np.testing.assert_array_equal(table.values, [[1, 1.5, 1], [np.nan, np.nan, 0], [3, 2, 1]])
    assert as_table(frame, columns=["b", "x"]).columns == ("b", "x")
    assert as_table(pandas.Series([1, 2], name="s")).columns == ("s",)
    assert as_table(pandas.Series([1, 2]), "sales").columns == ("sales",)
    assert as_table(pandas.Series([1, 2]), columns="z").columns == ("z",)


@parity
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda p: p.DataFrame({"date": ["1949-01", "b"], "v": [1, 2]}),
            "column 'date' of series holds '1949-01', but",
        ),
        (lambda p: p.DataFrame({"v": [None, "x"]}), "column 'v' of series holds 'x'"),
        (lambda p: p.DataFrame({"v": p.Categorical(["a"])}), "column 'v' of series holds 'a'"),
        (lambda p: p.DataFrame({"v": p.to_datetime(["2020-01-01"])}), "make it the index if it is the date"),
        (lambda p: p.Series(["1", "2"], name="v"), "column 'v' of series holds '1'"),
        (lambda p: p.Series([1j]), "holds 1j"),
        (lambda p: p.DataFrame({"v": []}), "series holds no numbers"),
        (lambda p: p.DataFrame(), "series holds no numbers"),
        (lambda p: p.DataFrame(np.eye(2), columns=["a", "a"]), "two columns of the name 'a'"),
        (lambda p: p.Series([1], index=p.MultiIndex.from_tuples([(1, 2)])), "index has several levels"),
    ],
)
def test_frames_that_are_refused(pandas, make, words):
    with pytest.raises(ValueError, match=words) as caught:
        as_table(make(pandas))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@parity
def test_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    when = np.array(["2020-01-01", "2020-01-02"], "M8[D]")
    frame = polars.DataFrame({"a": [1, None], "when": when, "b": [0.5, 2.5]})
    table = as_table(frame)
    assert table.columns == ("a", "b") and table.dates == ("2020-01-01", "2020-01-02")
    np.testing.assert_array_equal(table.values, [[1, 0.5], [np.nan, 2.5]])
    with pytest.raises(ValueError, match="column 't' of series holds 'x'"):
        as_table(polars.DataFrame({"t": ["x", "y"]}))
