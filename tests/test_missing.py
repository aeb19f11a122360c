"""Missing values: each way of treating them against a loop, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn.csvfile import Table, read_csv
from nbrnn.missing import WAYS, fill

NAN = float("nan")


def draw_table(seed, rows=30, columns=3, share=0.2):
    rng = np.random.default_rng(seed)
    values = rng.integers(-50, 50, (rows, columns)).astype(float)
    values[1:-1][rng.random((rows - 2, columns)) < share] = NAN
    days = np.cumsum(rng.integers(1, 5, rows))
    dates = tuple(str(np.datetime64("2020-01-01") + day) for day in days)
    return Table(values, ("a", "b", "c"), dates, "drawn"), days


@given(seed=st.integers(0, 2**32 - 1), dated=st.booleans())
def test_lines_in_time_equal_a_loop(seed, dated):
    table, days = draw_table(seed)
    if not dated:
        table, days = replace(table, dates=None), np.arange(len(table))
    filled, told = fill(table, "interpolate")
    for c in range(3):
        column = table.values[:, c]
        for row, value in enumerate(column):
            before, after = row, row
            while np.isnan(column[before]):
                before -= 1
            while np.isnan(column[after]):
                after += 1
            share = 0.0 if before == after else (days[row] - days[before]) / (days[after] - days[before])
            wanted = column[before] + share * (column[after] - column[before])
            assert filled.values[row, c] == (value if not np.isnan(value) else pytest.approx(wanted, abs=1e-9))
    assert (filled.dates, filled.columns, filled.name) == (table.dates, table.columns, "drawn")
    assert told.startswith(f"drawn: {np.isnan(table.values).sum()} of 90 values") or "no value" in told
    assert ("in time" in told) == dated or "no value" in told


@given(seed=st.integers(0, 2**32 - 1))
def test_rows_with_something_missing_are_dropped(seed):
    table, _ = draw_table(seed)
    whole = [row for row in range(30) if not any(np.isnan(v) for v in table.values[row])]
    left, told = fill(table, "drop")
    np.testing.assert_array_equal(left.values, table.values[whole])
    assert left.dates == tuple(table.dates[row] for row in whole)
    if len(whole) < 30:
        assert f"{30 - len(whole)} of 30 rows were left out, so that not all rows are one step apart now." in told


def test_what_is_said(tmp_path):
    path = tmp_path / "wells.csv"
    path.write_text("date,a,b\n2020-01-01,1,2\n2020-01-02,NA,\n2020-01-05,5,?\n2020-01-06,6,7\n")
    table = read_csv(path, missing="keep")
    filled, told = fill(table, "interpolate")
    assert filled.values.tolist() == [[1, 2], [2, 3], [5, 6], [6, 7]]
    assert told == "wells: 3 of 8 values are missing; filled by straight lines in time; the longest run is 2 rows."
    same, told = fill(table, "mask")
    assert same is table and told == (
        "wells: 3 of 8 values are missing and stay so; whatever uses them has to mask them."
    )
    assert np.isnan(table.values).sum() == 3  # nothing is filled in place
    left, told = fill(table[1:], "drop")
    assert left.dates == ("2020-01-06",) and told.endswith("2 of 3 rows were left out, at the ends only.")
    for how in WAYS:
        assert fill(filled, how) == (filled, "wells: no value is missing.")
    muddled = replace(table, dates=("a", "b", "c", "d"))
    assert fill(muddled, "interpolate")[0].column("a").tolist() == [1, 3, 5, 6]
    assert "between rows, for the dates are not in order or no dates" in fill(muddled, "interpolate")[1]


@pytest.mark.parametrize(
    ("series", "how", "words"),
    [
        ([1, NAN, 3], "refuse", r"series: 1 of 3 values is missing \(row 1, column 'column1'\); say what becomes of"),
        ([NAN] * 5 + [1], "refuse", "row 0, .*; row 1, .*; row 2, column 'column1'; and 2 more"),
        ([NAN, NAN, 3], "interpolate", r"column 'column1' begins with 2 of them, .* \(series\[2:3\]\), or the column"),
        ([1, NAN, 3, NAN], "interpolate", r"'column1' ends with 1 of them, .* \(series\[0:3\]\)"),
        ([[1, NAN], [2, NAN]], "interpolate", "among them all of column 'column2'; leave that column out"),
        ([[1, NAN], [NAN, 2]], "drop", "no row would be left"),
        ([1, 2], "zero", "how 'zero' is unknown.*; known are refuse, interpolate, drop, mask"),
    ],
)
def test_what_is_refused(series, how, words):
    with pytest.raises(ValueError, match=words) as caught:
        fill(series, how)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_missing_value_is_named_by_its_date():
    with pytest.raises(ValueError, match=r"row 1 \(1949-02\), column 'a'"):
        fill(Table(np.array([[1.0], [NAN]]), ("a",), ("1949-01", "1949-02")))
