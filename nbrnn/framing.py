"""How a series is framed for a model: its columns, its window, its transform and scaler, and the way back.

Rows are counted from 0, in the order of time. "Raw" is the series' own units, "inside" the model's. Letters: R rows,
D columns, L rows in a window, N windows, T targets, S steps ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import one_of, share, whole_number
from .closedloop import Origins
from .csvfile import Table
from .data import sliding_windows
from .dates import calendar
from .frames import as_table
from .scalers import Scaler
from .transforms import Transform

Names = int | str | Sequence[int | str]
MISSING = ("refuse", "mask")


class Framing:
    """What a Forecaster knows of its series; the parameters are described there."""

    def __init__(
        self,
        window: int,
        scaler: Scaler | None,
        target: Names | None,
        transform: str,
        known: Names,
        missing: str,
        dtype: np.dtype,
    ) -> None:
        self.scaler, self.target, self.known, self.dtype = scaler, target, known, dtype
        if scaler is not None and not isinstance(scaler, Scaler):
            raise ValueError(f"scaler must be one such as nbrnn.MinMaxScaler(), or None, not {scaler!r}.")
        self.window = whole_number("window", window)
        self.transform, self.missing = Transform(transform), one_of("missing", missing, MISSING)
        if self.transform.lost and missing == "mask":
            raise ValueError(
                f'transform {transform!r} needs every row, so it does not go with missing="mask"; fill the rows first.'
            )
        self.columns: tuple[str, ...] | None = None
        self._targets: list[int] = []
        self._known: list[int] = []

    @property
    def past(self) -> int:
        """Rows that a forecast looks back on: the window, and one more where changes are predicted."""
        return self.window + self.transform.lost

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the columns that are predicted.

        Raises
        ------
        ValueError
            Before `fit`.
        """
        return tuple(self._columns()[k] for k in self._targets)

    @property
    def target_columns(self) -> tuple[int, ...]:
        """The indices of the columns that are predicted."""
        return tuple(self._targets)

    @property
    def horizon(self) -> int:
        """Steps that the model gives at a time."""
        raise NotImplementedError

    @property
    def known_columns(self) -> tuple[int, ...]:
        """The indices of the columns whose future is known."""
        return tuple(self._known)

    def _check(self, table: Table, targets: int) -> None:
        """Raise ValueError unless the model fits a table with so many targets."""

    def _columns(self) -> tuple[str, ...]:
        if self.columns is None:
            raise ValueError("this Forecaster has not seen a series yet; call fit first.")
        return self.columns

    def meet(self, series: ArrayLike) -> Table:
        """Learn a series' columns, without a fit, and return it as a Table.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame
            Raw.

        Raises
        ------
        ValueError
            If a column is unknown, a target is among the known ones, or the model's shapes are others.
        """
        table = as_table(series)
        targets = [*range(len(table.columns))] if self.target is None else _indices(table, self.target)
        known = _indices(table, self.known)
        both = [table.columns[k] for k in known if k in targets]
        if both:
            raise ValueError(f"{both[0]} is to be predicted, so its future cannot be known; take it out of known.")
        self._check(table, len(targets))
        self.columns, self._targets, self._known = table.columns, targets, known
        return table

    def _table(self, series: ArrayLike, least: int = 0, name: str = "series") -> Table:
        """Return a series that has the columns that were fitted."""
        columns, table = self._columns(), as_table(series, name)
        nameless = _numbered(table.columns) and _numbered(columns)
        if set(columns) <= set(table.columns) and not nameless:
            table = table.select(columns)
        elif len(table.columns) != len(columns) or not (_numbered(table.columns) or _numbered(columns)):
            raise ValueError(
                f"{name} must have the columns that were fitted, {', '.join(columns)}, but it has "
                f"{', '.join(table.columns)}."
            )
        if len(table) < least:
            raise ValueError(f"{name} has {len(table)} rows, but the forecast looks back on {least}.")
        return table

    # ------------------------------------------------------------------ inside

    def _inside(self, table: Table) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_] | None]:
        """Return rows (R - lost, D) in the model's units, and which of them are there; None for all."""
        values: NDArray[Any] = table.values
        there: NDArray[Any] | None = None
        if self.missing == "mask" and np.isnan(values).any():
            there = ~np.isnan(values).any(axis=1)
            values = np.where(there[:, None], values, 1.0 if "log" in self.transform.kind else 0.0)
        elif np.isnan(values).any():
            row, c = np.argwhere(np.isnan(values))[0]
            label = f" ({table.dates[row]})" if table.dates else ""
            raise ValueError(
                f"{table.name} misses a value of {table.columns[c]} in row {row}{label}; fill it "
                '(nbrnn.missing.fill), or make the Forecaster with missing="mask".'
            )
        rows = self.transform.forward(values, self._targets, table.columns)
        if self.scaler is not None:
            rows = self.scaler.transform(rows)
        return rows.astype(self.dtype), there

    def _masks(self, there: NDArray[np.bool_], steps: int, stride: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows of each window are there (N, L), and which of those after it (N, S)."""
        seen, ahead = sliding_windows(there.astype(np.int8), self.window, steps, stride)
        return seen[..., 0] == 1, ahead == 1

    def measure(self, series: ArrayLike) -> Self:
        """Fit the scaler to the training rows, unless it is fitted already; raises as `Scaler.fit`."""
        table = self.meet(series)
        if self.scaler is not None and self.scaler.scale is None:
            rows = self.transform.forward(table.values, self._targets, table.columns)
            if self.missing == "mask":
                rows = rows[~np.isnan(rows).any(axis=1)]
            self.scaler.fit(Table(rows, table.columns, None, table.name))
        return self

    def _outside(self, inside: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return forecasts (N, S, T) in raw units."""
        flat = inside.reshape(len(inside), -1)
        if self.scaler is not None:
            flat = self.scaler.inverse_transform(flat, columns=self._targets)
        return self.transform.inverse(flat.reshape(inside.shape), last)

    # ------------------------------------------------------------------ where forecasts begin

    def origins(self, series: ArrayLike, steps: int, stride: int = 1) -> Origins:
        """Return every `stride`-th row of a series that has a window before it and `steps` rows after it.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame
            Raw.
        steps : int
        stride : int, default 1

        Raises
        ------
        ValueError
            As `predict`.
        """
        table = self._table(series)
        rows, there = self._inside(table)
        x, _ = sliding_windows(rows, self.window, steps, stride, self._targets)
        masks = None if there is None else self._masks(there, steps, stride)[0]
        future = None
        if steps > self.horizon and self._unpredicted():
            self._need_known()
            ahead = np.lib.stride_tricks.sliding_window_view(rows[self.window :], steps, axis=0)[::stride]
            future = ahead.swapaxes(1, 2)[: len(x)]
        at = self.past - 1 + stride * np.arange(len(x))
        return Origins(x, table.values[at][:, self._targets], future, masks)

    def actual(self, series: ArrayLike, steps: int, stride: int = 1) -> NDArray[np.float64]:
        """Return what came after the rows of `origins`, raw: (N, S, T); NaN where it is missing."""
        rows = self._table(series).values[self.past :]
        ahead = np.lib.stride_tricks.sliding_window_view(rows[:, self._targets], steps, axis=0)
        return ahead[::stride].swapaxes(1, 2)

    def _end(self, table: Table, future: ArrayLike | None, steps: int) -> Origins:
        """Return a table's last row as the origin."""
        rows, there = self._inside(table)
        ahead = None
        if steps > self.horizon and self._unpredicted():
            self._need_known()
            ahead = self._future(table, future, steps - self.horizon)
        elif future is not None and not self._known:
            raise ValueError("future was given, but no column was named whose future is known (known=, --known).")
        masks = None if there is None else there[None, -self.window :]
        return Origins(rows[None, -self.window :], table.values[-1:, self._targets], ahead, masks)

    def _unpredicted(self) -> list[int]:
        """Return the columns that are no targets."""
        return [k for k in range(len(self._columns())) if k not in self._targets]

    def _need_known(self) -> None:
        """Refuse a closed loop that would need the future of columns that nobody knows."""
        unknown = [self._columns()[k] for k in self._unpredicted() if k not in self._known]
        if unknown:
            raise ValueError(
                f"to go beyond {self.horizon} {'step' if self.horizon == 1 else 'steps'} the model must be given "
                f"{', '.join(unknown)}, which it sees but does not predict: ask for fewer steps, or train it anew to "
                "predict all columns (target=None, --target all), to see fewer (--features), or with columns whose "
                "future is known (known=, --known)."
            )

    def _future(self, table: Table, future: ArrayLike | None, least: int) -> NDArray[Any]:
        """Return the rows ahead inside (1, S, D), of which only the known columns count."""
        names = [self._columns()[k] for k in self._known]
        if future is None:
            raise ValueError(
                f"this forecast needs the future values of {', '.join(names)} for {least} rows; give them (future=, "
                "--future)."
            )
        given = as_table(future, "future")
        if set(names) <= set(given.columns):
            given = given.select(names)
        elif len(given.columns) != len(names):
            raise ValueError(f"future must have the columns {', '.join(names)}, but it has {', '.join(given.columns)}.")
        if len(given) < least:
            raise ValueError(f"future has {len(given)} rows, but this forecast needs {least}.")
        rows = np.repeat(table.values[-1:], len(given) + 1, axis=0)  # targets stay: they are not looked at
        rows[1:, self._known] = given.values
        inside, _ = self._inside(Table(rows, table.columns, None, "future"))
        return inside[None, -len(given) :]


def _numbered(names: Sequence[str]) -> bool:
    """Return whether columns have no names of their own, as those of arrays."""
    return list(names) == [f"column{k}" for k in range(1, len(names) + 1)]


def _indices(table: Table, columns: Names) -> list[int]:
    """Return columns by their indices; ValueError, with the nearest name, for one that is unknown or named twice."""
    chosen = [columns] if isinstance(columns, (int, str, np.integer)) else list(columns)
    found = [table.index(c if isinstance(c, str) or c >= 0 else c + len(table.columns)) for c in chosen]
    if len(set(found)) < len(found):
        raise ValueError(f"columns must not be named twice, but {columns!r} does.")
    return found


def rows_held(asked: float, rows: int, name: str) -> int:
    """Return how many of the last rows a number or a share of them is."""
    if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
        held = whole_number(name, asked, 0)
    else:
        held = rows - int(rows * (1 - share(name, asked)))
    if held >= rows:
        raise ValueError(f"{name}={asked} leaves none of the {rows} rows to train on.")
    return held


def labels_after(table: Table, steps: int) -> tuple[str, ...] | None:
    """Return the dates of the rows ahead, where the table's dates have a step."""
    return None if table.dates is None else calendar(table.dates).after(steps)
