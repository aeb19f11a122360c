"""Series as people hold them: arrays, lists, Tables, pandas' and polars' frames, and forecasts given back in kind.

Frames are known by what they can do; pandas is imported only when an object of its own came in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .csvfile import MISSING, Table
from .dates import date_labels, parse_dates
from .series import real_array

NUMBERS = "biuf"
ZONED = re.compile(r":\d{2}[-+]\d{2}:\d{2}$")


def as_table(series: Any, name: str = "series", columns: str | Sequence[str] | None = None) -> Table:
    """Return a series of any kind as a Table, its values in float64; what is missing becomes NaN.

    Parameters
    ----------
    series : array (R,) or (R, D), list, Table, pandas Series or DataFrame, polars DataFrame
        One row a time step. A frame's index becomes the labels of the rows, unless it only counts them; in a polars
        frame, the first column of dates or times does.
    name : str, default "series"
        What the table is called, and the series in sentences.
    columns : str or sequence of str, optional
        The names of an array's columns (column1, column2 and so on if not given); of a Table or frame, which columns
        are taken, in this order.

    Returns
    -------
    Table
        A Table comes back as it is, or with the columns chosen.

    Raises
    ------
    ValueError
        If there are no rows or columns, a column holds anything but numbers (a frame's is named), two columns have one
        name, a name is unknown, or the names do not fit the array.

    Examples
    --------
    >>> as_table([3, 1, 4], columns="spots")
    <Table 'series': 3 rows, columns spots>
    """
    if isinstance(series, Table):
        return series if columns is None else series.select(columns)
    if hasattr(series, "columns") and hasattr(series, "to_numpy"):
        table = _from_frame(series, name)
        return table if columns is None else table.select(columns)
    if hasattr(series, "iloc"):
        label = series.name if columns is None else columns
        names = [label] if isinstance(label, str) else list(label) if isinstance(label, Sequence) else [label or name]
        values = _column(series, str(names[0]), name, 0)[:, None]
        return _checked(values, names, _index_labels(series.index), name)
    rows = real_array(name, series)
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name} must have the shape (rows,) or (rows, columns), not {rows.shape}.")
    rows = rows[:, None] if rows.ndim == 1 else rows
    given = [columns] if isinstance(columns, str) else columns
    return _checked(rows, given or [f"column{k}" for k in range(1, rows.shape[1] + 1)], None, name)


def like(original: Any, values: ArrayLike, columns: Sequence[str], labels: Sequence[str] | None = None) -> Any:
    """Return rows that follow a series as the kind of object that the series is.

    Parameters
    ----------
    original : as for `as_table`
    values : array (steps,) or (steps, K)
    columns : sequence of str
        K names.
    labels : sequence of str, optional
        One for each step, as `Calendar.after` gives them for the original's table.

    Returns
    -------
    DataFrame, Series or float64 array
        A pandas DataFrame for a DataFrame; for a Series a Series, or a DataFrame if K is above 1. Its index goes on
        where the original's ends: dates by their own `freq` if they state one and else by the labels, periods and
        numbers by themselves; labels such as "+1" make an index of texts. For all else the values as they are.

    Raises
    ------
    ValueError
        If there are not as many labels as rows, or names as columns.

    Examples
    --------
    >>> like([1.0, 2.0], [3.0, 4.0], ["column1"])
    array([3., 4.])
    """
    array = np.asarray(values, np.float64)
    rows = array[:, None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != len(columns) or (labels is not None and len(labels) != len(rows)):
        told = f"{len(columns)} names" + ("" if labels is None else f" and {len(labels)} labels")
        raise ValueError(f"values of shape {array.shape} do not fit {told}.")
    if not (hasattr(original, "iloc") and hasattr(original, "index")):
        return array
    import pandas

    index = _continued(pandas, original.index, len(rows), labels).rename(original.index.name)
    if hasattr(original, "columns") or rows.shape[1] > 1:
        return pandas.DataFrame(rows, index, list(columns))
    return pandas.Series(rows[:, 0], index, name=original.name)


def _checked(values: NDArray[Any], columns: Sequence[Any], labels: tuple[str, ...] | None, name: str) -> Table:
    names = tuple(str(column) for column in columns)
    twice = next((column for k, column in enumerate(names) if column in names[:k]), None)
    if twice is not None:
        raise ValueError(f"{name} has two columns of the name {twice!r}; rename one of them.")
    if values.size == 0:
        raise ValueError(f"{name} holds no numbers: its shape is {values.shape}.")
    if values.shape[1] != len(names):
        raise ValueError(f"{name} has {values.shape[1]} columns, but columns names {len(names)}.")
    return Table(np.ascontiguousarray(values, np.float64), names, labels, name)


def _from_frame(frame: Any, name: str) -> Table:
    columns, labels = list(frame.columns), None
    count = len(columns)
    if hasattr(frame, "iloc"):
        labels = _index_labels(frame.index)
        arrays = [_column(frame.iloc[:, c], str(columns[c]), name, c) for c in range(count)]
    else:
        held = [frame[column].to_numpy() for column in columns]
        dated = next((c for c in range(count) if held[c].dtype.kind == "M"), None)
        labels = None if dated is None else tuple(date_labels(held[dated]))
        arrays = [_column(frame[columns[c]], str(columns[c]), name, c) for c in range(count) if c != dated]
        columns = [column for c, column in enumerate(columns) if c != dated]
    values = np.column_stack(arrays) if arrays else np.empty((len(frame), 0))
    return _checked(values, columns, labels, name)


def _column(column: Any, called: str, name: str, place: int) -> NDArray[np.float64]:
    """Return a frame's column as float64, NaN where it has no value; ValueError names one that holds no numbers."""
    kind = getattr(column.dtype, "kind", None)  # pandas' own types have one too
    array = column.to_numpy() if kind is None else None
    if str(kind if array is None else array.dtype.kind) not in NUMBERS:
        first = next((value for value in column if str(value).lower() not in MISSING), None)
        raise ValueError(
            f"column {called!r} of {name} holds {first!r}, but numbers are wanted; convert it, make it the index if it "
            "is the date, or leave it out."
        )
    if array is not None:
        return array.astype(np.float64)
    return column.to_numpy(np.float64, na_value=np.nan)


def _index_labels(index: Any) -> tuple[str, ...] | None:
    """Return the labels of a pandas index; None if it only counts the rows."""
    kind = type(index).__name__
    if kind == "RangeIndex" or len(index) == 0:
        return None
    if kind == "MultiIndex":
        raise ValueError("the index has several levels, but one label a row is wanted; reset all levels but one.")
    if kind == "DatetimeIndex":
        walls = index.tz_localize(None)
        if index.tz is None or len(set(walls.time)) == 1:  # with one time of day the clock on the wall goes on
            return tuple(date_labels(walls.to_numpy()))
    return tuple(date_labels(index))


def _continued(pandas: Any, index: Any, steps: int, labels: Sequence[str] | None) -> Any:
    """Return the index of the rows that follow."""
    kind = type(index).__name__
    if kind == "RangeIndex":
        return pandas.RangeIndex(index.stop, index.stop + steps * index.step, index.step)
    if kind == "PeriodIndex":
        return pandas.period_range(index[-1] + 1, periods=steps, freq=index.freq)
    if kind == "DatetimeIndex" and index.freq is not None:
        return pandas.date_range(index[-1], periods=steps + 1, freq=index.freq)[1:]
    if labels is None or str(labels[0]).startswith("+"):
        return pandas.Index(list(labels or (f"+{k}" for k in range(1, steps + 1))))
    if kind == "DatetimeIndex":
        if ZONED.search(labels[0]):
            return pandas.to_datetime(list(labels), utc=True).tz_convert(index.tz)
        return pandas.DatetimeIndex(parse_dates(labels, "labels")).tz_localize(index.tz)
    numbers = getattr(index.dtype, "kind", "O") in "iu"
    return pandas.Index([int(label) for label in labels] if numbers else list(labels))
