"""Missing values (NaN) of a series: named, filled, left out or kept, and each time said what was done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import one_of
from .csvfile import Table
from .dates import calendar
from .frames import as_table
from .series import first_few

WAYS = ("refuse", "interpolate", "drop", "mask")


def fill(table: Any, how: str = "refuse") -> tuple[Table, str]:
    """Return a series without missing values, or with them kept on purpose, and a sentence that says what was done.

    Parameters
    ----------
    table : Table, or a series of another kind as for `as_table`
        NaN stands for what is missing.
    how : "refuse", "interpolate", "drop" or "mask", default "refuse"
        "interpolate": a straight line in time, column by column, between the values before and after; by rows where
        there are no dates in order. Nothing is made up before a column's first value or after its last one: that is
        refused, for a line needs two ends. "drop": rows in which anything is missing are left out; neighbouring rows
        may then lie further apart than a step. "mask": NaN stays, and whoever uses the table has to mask it.

    Returns
    -------
    table : Table
        The same object if nothing changes; values that are there, and dates, stay as they are.
    told : str
        One sentence.

    Raises
    ------
    ValueError
        If something is missing and `how` is "refuse", a column begins or ends with missing values that should be
        interpolated, no row would be left, or `how` is none of the four.

    Notes
    -----
    An interpolated value knows the value after the gap. Where a gap lies in the test rows, forecasts made within it
    have seen a part of what they forecast; "drop" and "mask" do not have that fault.

    Examples
    --------
    >>> filled, told = fill([1.0, float("nan"), 4.0], "interpolate")
    >>> filled.values[:, 0].tolist(), told
    ([1.0, 2.5, 4.0], 'series: 1 of 3 values is missing; filled by straight lines between rows.')
    """
    one_of("how", how, WAYS)
    table = as_table(table)
    gaps = np.isnan(table.values)
    count = int(gaps.sum())
    if not count:
        return table, f"{table.name}: no value is missing."
    found = f"{table.name}: {count} of {gaps.size} values {'is' if count == 1 else 'are'} missing"
    if how == "refuse":
        raise ValueError(f"{found} ({_named(table, gaps)}); say what becomes of them: {', '.join(WAYS[1:])}.")
    if how == "mask":
        return table, f"{found} and stay so; whatever uses them has to mask them."
    if how == "drop":
        kept = ~gaps.any(axis=1)
        left = int(kept.sum())
        if not left:
            raise ValueError(f"{found}, and every row holds one of them; no row would be left.")
        dates = None if table.dates is None else tuple(np.array(table.dates, object)[kept])
        inside = not kept[kept.argmax() : len(kept) - kept[::-1].argmax()].all()
        told = f"{found}; {len(kept) - left} of {len(kept)} rows were left out"
        told += ", so that not all rows are one step apart now." if inside else ", at the ends only."
        return Table(table.values[kept], table.columns, dates, table.name), told
    for name, column in zip(table.columns, gaps.T, strict=True):
        _check_ends(table, name, column, found)
    times, line = _times(table)
    values = table.values.copy()
    for c, column in enumerate(gaps.T):
        values[column, c] = np.interp(times[column], times[~column], values[~column, c])
    longest = max(_longest_run(column) for column in gaps.T)
    run = f"; the longest run is {longest} rows" if longest > 1 else ""
    return Table(values, table.columns, table.dates, table.name), f"{found}; filled by straight lines {line}{run}."


def _named(table: Table, gaps: NDArray[np.bool_]) -> str:
    """Return the first missing values by row (counted from 0), date and column."""
    dates = table.dates

    def tell(cell: NDArray[np.int64]) -> str:
        row, c = cell
        return f"row {row}{f' ({dates[row]})' if dates else ''}, column {table.columns[c]!r}"

    return first_few(tell, np.argwhere(gaps))


def _check_ends(table: Table, name: str, gaps: NDArray[np.bool_], found: str) -> None:
    """Refuse a column whose first or last value is missing."""
    if gaps.all():
        raise ValueError(f"{found}, among them all of column {name!r}; leave that column out.")
    first, last = int((~gaps).argmax()), len(gaps) - 1 - int((~gaps)[::-1].argmax())
    if first == 0 and last == len(gaps) - 1:
        return
    end, count = ("begins", first) if first else ("ends", len(gaps) - 1 - last)
    raise ValueError(
        f"{found}, and column {name!r} {end} with {count} of them, which no line between two values can fill; leave "
        f"out those rows ({table.name}[{first}:{last + 1}]), or the column."
    )


def _times(table: Table) -> tuple[NDArray[np.float64], str]:
    """Return when each row is, and in words between what lines are drawn."""
    dated = None if table.dates is None else calendar(table.dates)
    if dated is None or dated.times is None or not dated.in_order:
        why = "" if table.dates is None else ", for the dates are not in order or no dates"
        return np.arange(len(table), dtype=np.float64), f"between rows{why}"
    return (dated.times - dated.times[0]).astype(np.float64), "in time"


def _longest_run(gaps: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], gaps, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
