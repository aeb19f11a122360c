"""From a series to windows, to parts in the order of time, and to memory that a kernel can read; views where possible.

Letters: R rows of a series, D columns, L rows in a window, N windows, T targets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from .checks import one_of, real_number, whole_number
from .dates import calendar, period_end
from .scalers import MaxScaler, MinMaxScaler, Scaler, StandardScaler, scaler_from_dict
from .series import column_indices, finite_rows

__all__ = [
    "MaxScaler",
    "MinMaxScaler",
    "Scaler",
    "StandardScaler",
    "chronological_split",
    "scaler_from_dict",
    "sliding_windows",
    "split_slices",
]

PARTS = {2: ("training", "test"), 3: ("training", "validation", "test")}


def sliding_windows(
    series: ArrayLike,
    length: int,
    horizon: int = 1,
    stride: int = 1,
    target: int | Sequence[int] | None = None,
    missing: str = "refuse",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut a series into windows and the values that follow each of them.

    Window n covers the rows from n * stride to n * stride + length - 1. Rows at the end that fill no window with its
    targets are left out.

    Parameters
    ----------
    series : array (R,) or (R, D)
        One row a time step, in the order of time, in any units; a 1-D series is one column.
    length : int
        Rows in a window.
    horizon : int, default 1
        How many rows after the window are targets. The window holds every column, targets too: their past is known.
        With 0 the targets are those of the window's last row, and the window holds only the other columns.
    stride : int, default 1
        Rows from one window's start to the next; `stride=length` gives windows that do not overlap.
    target : int or sequence of int, optional
        Columns to predict, in this order; all columns if it is not given.
    missing : "refuse" or "keep", default "refuse"
        Whether NaN may stand in the series, and so in X and y; whoever keeps it has to mask or leave out such windows.

    Returns
    -------
    X : array (N, L, D), or (N, L, D - T) with horizon 0
    y : array (N, horizon * T), or (N, T) with horizon 0
        Step-major: all targets of the first row after the window, then those of the second, and so on.

    Raises
    ------
    ValueError
        If the series is empty, not 1-D or 2-D, holds anything but finite numbers (the row is named), is shorter than
        a window with its targets, or an argument is out of range.

    Notes
    -----
    X and y have the series' dtype and are read-only views of it: a change of the series shows in them. Two cases copy
    R rows, never windows: columns that do not stand evenly apart, and several but not all columns as targets over
    several steps.

    Examples
    --------
    >>> X, y = sliding_windows([1, 2, 3, 4, 5], length=3)
    >>> X[..., 0].tolist(), y.tolist()
    ([[1, 2, 3], [2, 3, 4]], [[4], [5]])

    Two features and a target that belongs to the same row:

    >>> rows = [(2, 3, 3), (3, 4, 4), (2, 4, 4), (3, 5, 5)]
    >>> X, y = sliding_windows(rows, length=3, horizon=0, target=2)
    >>> X[0].tolist(), y[0].tolist()
    ([[2, 3], [3, 4], [2, 4]], [4])
    """
    rows = finite_rows("series", series, one_of("missing", missing, ("refuse", "keep")) == "keep")
    length, stride = whole_number("length", length), whole_number("stride", stride)
    horizon = whole_number("horizon", horizon, 0)
    targets = column_indices("target", target, rows.shape[1])
    if len(rows) < length + horizon:
        raise ValueError(
            f"series holds {len(rows)} rows, but a window of {length} with horizon {horizon} needs at least "
            f"{length + horizon}; give more rows or a smaller length."
        )
    inputs = rows
    if horizon == 0:
        kept = [c for c in range(rows.shape[1]) if c not in targets]
        if not kept:
            raise ValueError("horizon 0 takes the targets out of the windows, and no column is left; choose target.")
        inputs = _take(rows, kept)
    count = (len(rows) - length - horizon) // stride + 1
    starts = slice(0, count * stride, stride)
    X = sliding_window_view(inputs, length, axis=0)[starts].swapaxes(1, 2)
    aims, span = _take(rows, targets), max(horizon, 1)
    if span > 1 and len(targets) > 1 and aims.strides[0] != len(targets) * aims.strides[1]:
        aims = np.ascontiguousarray(aims)  # now a step follows the step before it in memory
    after = aims[length if horizon else length - 1 :]
    y = sliding_window_view(after, span, axis=0)[starts].swapaxes(1, 2).reshape(count, -1)
    return X, y


def split_slices(
    rows: int,
    *,
    share: float | Sequence[float] | None = None,
    at: int | Sequence[int] | None = None,
    train_until: str | int | None = None,
    validate_until: str | int | None = None,
    dates: Sequence[Any] | None = None,
) -> tuple[slice, ...]:
    """Return where the parts of a chronological split begin and end, as `chronological_split` makes them.

    Use it when the rows before a part are wanted too, as the past of its first windows.

    Parameters
    ----------
    rows : int
        Rows of the series.
    share, at, train_until, validate_until, dates
        As for `chronological_split`.

    Returns
    -------
    tuple of slice
        Two (training, test) or three (training, validation, test); together they cover all rows in order.

    Raises
    ------
    ValueError
        As for `chronological_split`.

    Examples
    --------
    >>> split_slices(2820, share=0.8)
    (slice(0, 2256, None), slice(2256, 2820, None))
    """
    rows = whole_number("rows", rows)
    ways = {"share": share, "at": at, "train_until": train_until}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            f"a split needs one of share, at and train_until, not {' and '.join(given) or 'none of them'}."
        )
    if validate_until is not None and train_until is None:
        raise ValueError("validate_until needs train_until too.")
    if share is not None:
        edges = _share_edges(rows, share)
    elif at is not None:
        edges = [_row_index(row, rows) for row in np.atleast_1d(np.asarray(at)).tolist()]
    else:
        untils = [str(until) for until in (train_until, validate_until) if until is not None]
        edges = _date_edges(rows, untils, dates)
    bounds = [0, *edges, rows]
    counts = np.diff(bounds)
    parts = PARTS.get(len(counts))
    if parts is None:
        raise ValueError(f"a split has two parts (training, test) or three (and validation), not {len(counts)}.")
    if (counts < 0).any():
        raise ValueError(f"the parts of a split must follow each other, but they would begin at rows {bounds[:-1]}.")
    if not counts.all():
        found = ", ".join(f"{part} {count}" for part, count in zip(parts, counts, strict=True))
        raise ValueError(
            f"the split by {given[0]} leaves the {parts[int(counts.argmin())]} part without rows ({found}); move it."
        )
    return tuple(slice(a, b) for a, b in itertools.pairwise(bounds))


def chronological_split(
    *arrays: Any,
    share: float | Sequence[float] | None = None,
    at: int | Sequence[int] | None = None,
    train_until: str | int | None = None,
    validate_until: str | int | None = None,
    dates: Sequence[Any] | None = None,
) -> tuple[Any, ...]:
    """Split series into a past to learn from and a later part, or two, to be judged on; nothing is shuffled.

    Parameters
    ----------
    *arrays : arrays, Tables, pandas objects or lists
        With one row a time step, all with as many rows.
    share : float or sequence of float, optional
        0.8 gives the first 80 % of the rows to the training part; (0.7, 0.15, 0.15) makes a validation part too. A part
        ends at floor(rows * shares up to it).
    at : int or sequence of int, optional
        The row at which the test part begins, or (validation, test); negative rows are counted from the end.
    train_until, validate_until : str or int, optional
        The last date of the training and validation parts: train_until="1965" includes 1965-12 and 31.12.1965.
    dates : sequence, optional
        The date of each row, in order, in a form that `parse_dates` knows; a Table brings its own. Texts that are no
        dates are taken in alphabetical order, and belong to a part up to those that begin with train_until.

    Returns
    -------
    tuple
        For each array its parts, one array after the other: x_train, x_test, y_train, y_test. Parts of NumPy arrays are
        views.

    Raises
    ------
    ValueError
        If a part would be empty (it is named), not exactly one way to split is given, an argument is out of range, the
        arrays differ in length, or the dates are missing or not in order.

    Examples
    --------
    >>> past, future = chronological_split([3, 1, 4, 1, 5], share=0.8)
    >>> past, future
    ([3, 1, 4, 1], [5])
    >>> months = ["1965-11", "1965-12", "1966-01"]
    >>> chronological_split(months, train_until="1965", dates=months)
    (['1965-11', '1965-12'], ['1966-01'])
    """
    if not arrays:
        raise ValueError("chronological_split needs at least one series to split.")
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"the series to split must have as many rows each, not {', '.join(map(str, lengths))}.")
    if dates is None:
        dates = next((array.dates for array in arrays if getattr(array, "dates", None) is not None), None)
    parts = split_slices(
        lengths[0], share=share, at=at, train_until=train_until, validate_until=validate_until, dates=dates
    )
    return tuple(getattr(array, "iloc", array)[part] for array in arrays for part in parts)


def _take(rows: NDArray[Any], columns: list[int]) -> NDArray[Any]:
    """Return columns of (R, D): a view if they stand evenly apart in rising order, else a copy."""
    step = columns[1] - columns[0] if len(columns) > 1 else 1
    if columns == list(range(columns[0], columns[-1] + 1, step)):
        return rows[:, columns[0] : columns[-1] + 1 : step]
    return np.ascontiguousarray(rows[:, columns])


def _share_edges(rows: int, share: float | Sequence[float]) -> list[int]:
    shares = [real_number("share", s, 0.0, 1.0) for s in np.atleast_1d(np.asarray(share)).tolist()]
    if np.ndim(share) == 0:
        shares.append(1 - shares[0])
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"share must add up to 1, but {share!r} adds up to {sum(shares):g}.")
    return [math.floor(rows * sum(shares[:k]) + 1e-6) for k in range(1, len(shares))]  # 1e-6: 0.7 + 0.2 < 0.9


def _row_index(row: Any, rows: int) -> int:
    if isinstance(row, bool) or not isinstance(row, int) or not -rows <= row <= rows:
        raise ValueError(f"at must name rows from {-rows} to {rows}, not {row!r}.")
    return row + (rows if row < 0 else 0)


def _date_edges(rows: int, untils: list[str], dates: Sequence[Any] | None) -> list[int]:
    if dates is None:
        raise ValueError("train_until needs dates: one for each row.")
    labels = [str(date) for date in dates]
    if len(labels) != rows:
        raise ValueError(f"dates must hold one date for each of the {rows} rows, not {len(labels)}.")
    dated = calendar(labels)
    if dated.times is not None:
        _check_order([*dated.times], labels)
        ends = zip(untils, ("train_until", "validate_until"), strict=False)
        return [int((dated.times < period_end(until, dated.form, name)).sum()) for until, name in ends]
    _check_order(labels, labels)
    return [sum(label[: len(until)] <= until for label in labels) for until in untils]


def _check_order(dates: Sequence[Any], labels: Sequence[str]) -> None:
    for row, (before, date) in enumerate(itertools.pairwise(dates), start=1):
        if date < before:
            raise ValueError(
                f"dates must come in order, but row {row} (counted from 0) holds {labels[row]!r} after "
                f"{labels[row - 1]!r}."
            )
