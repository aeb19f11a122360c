"""A user's series at the door: numbers of one kind, rows in time, columns that exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NAMED = 3  # places that a sentence names; the others are counted


def first_few(tell: Callable[[Any], str], places: Sequence[Any] | NDArray[Any]) -> str:
    """Return the first places as `tell` words them, with semicolons between them, and how many more there are."""
    others = f"; and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return "; ".join(tell(place) for place in places[:NAMED]) + others


def real_array(name: str, value: ArrayLike, kinds: str = "biuf") -> NDArray[Any]:
    """Return an array of bool, int or float numbers, or of other kinds; ValueError if it holds anything else."""
    if value is None:
        raise ValueError(f"{name} must be an array, not None.")
    try:
        array = np.asarray(value)
    except ValueError:
        if _gives_batches(value):
            raise ValueError(_join(name, value)) from None
        raise ValueError(f"{name} must hold as many numbers in each row; its rows differ in length.") from None
    if array.dtype.kind == "O" and _gives_batches(value):
        raise ValueError(_join(name, value))
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} must hold real numbers only, but its elements are of type {array.dtype}.")
    return array


def _gives_batches(value: Any) -> bool:
    """Return whether a value is a generator, a data set or the like."""
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        return False
    return any(hasattr(value, name) for name in ("__next__", "__getitem__", "__iter__"))


def _join(name: str, value: Any) -> str:
    """Return why something that gives batches is no array, and how it becomes one."""
    return (
        f"{name} must be an array, not {type(value).__name__}: join the batches that it gives, x, y = "
        f"(numpy.concatenate(part) for part in zip(*batches)), of which there must be an end."
    )


def finite_rows(name: str, series: ArrayLike, missing: bool = False) -> NDArray[Any]:
    """Return a series as (R, D), a view if it is an array; ValueError names the first row that is not finite.

    With `missing`, NaN may stand in it.
    """
    rows = real_array(name, series)
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name} must have the shape (rows,) or (rows, columns), not {rows.shape}.")
    if rows.size == 0:
        raise ValueError(f"{name} holds no numbers: its shape is {rows.shape}.")
    rows = rows[:, None] if rows.ndim == 1 else rows
    finite = np.isfinite(rows) | np.isnan(rows) if missing else np.isfinite(rows)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name} must hold finite numbers only, but row {row}, column {column} (counted from 0) holds "
            f"{rows[row, column]}."
        )
    return rows


def column_indices(name: str, columns: int | Sequence[int] | None, count: int) -> list[int]:
    """Return columns as a list of different indices from 0, all of them for None; ValueError if one is out of range."""
    if columns is None:
        return list(range(count))
    chosen: list[Any] = [columns] if np.ndim(columns) == 0 else list(columns)  # type: ignore[arg-type]
    for c in chosen:
        if isinstance(c, bool) or not isinstance(c, (int, np.integer)) or not -count <= c < count:
            raise ValueError(f"{name} must name columns from 0 to {count - 1}, not {c!r}.")
    indices = [int(c) % count for c in chosen]
    if not indices or len(set(indices)) < len(indices):
        raise ValueError(f"{name} must name at least one column and none twice, not {columns!r}.")
    return indices
