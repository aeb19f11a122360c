"""What a series is turned into before it is scaled, and the way back: logarithms, changes, changes of logarithms.

Letters: R rows, D columns, N windows, S steps ahead, T targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import one_of

KINDS = ("none", "log", "difference", "log-difference")


@dataclass(frozen=True)
class Transform:
    """Turn the columns that are predicted into logarithms, changes from row to row, or changes of logarithms.

    A series that grows keeps leaving the range that a network has seen; its changes do not. After Box and Jenkins
    (1976), Time Series Analysis: Forecasting and Control, chapter 4.

    Parameters
    ----------
    kind : {"none", "log", "difference", "log-difference"}

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> grown = np.array([[100.0], [110.0], [121.0]])
    >>> change = Transform("log-difference")
    >>> inside = change.forward(grown, [0])
    >>> inside[:, 0].round(4).tolist()
    [0.0953, 0.0953]
    >>> change.inverse(inside.reshape(1, 2, 1), grown[:1]).round(6).tolist()
    [[[110.0], [121.0]]]
    """

    kind: str = "none"

    def __post_init__(self) -> None:
        one_of("transform", self.kind, KINDS)

    @property
    def lost(self) -> int:
        """How many rows at the start have no change yet."""
        return int("difference" in self.kind)

    def forward(self, rows: NDArray[np.float64], columns: Sequence[int], names: Any = None) -> NDArray[np.float64]:
        """Return rows (R - lost, D) whose chosen columns are turned; the others stay as they are.

        Parameters
        ----------
        rows : float64 array (R, D)
        columns : sequence of int
        names : sequence of str, optional
            What the columns are called, for sentences.

        Raises
        ------
        ValueError
            If a logarithm is asked of a value that is not above 0; row and column are named.
        """
        if self.kind == "none":
            return rows
        found, chosen = rows.copy(), list(columns)
        values = rows[:, chosen]
        if "log" in self.kind:
            bad = np.argwhere(values <= 0)
            if len(bad):
                row, k = bad[0]
                name = f"column {chosen[k]}" if names is None else f"column {names[chosen[k]]!r}"
                raise ValueError(
                    f"transform {self.kind!r} takes logarithms, so {name} must be above 0 everywhere, but row {row} "
                    f'(counted from 0) holds {values[row, k]:g}; choose "none" or "difference".'
                )
            values = np.log(values)
        found[self.lost :, chosen] = values if not self.lost else np.diff(values, axis=0)
        return found[self.lost :]

    def inverse(self, inside: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return forecasts in the series' own units.

        Parameters
        ----------
        inside : float64 array (N, S, T)
            Forecasts of the turned series.
        last : float64 array (N, T)
            The last known values, in the series' own units.
        """
        if self.kind == "log":
            return np.exp(inside)
        if self.kind == "difference":
            return last[:, None] + np.cumsum(inside, axis=1)
        if self.kind == "log-difference":
            return last[:, None] * np.exp(np.cumsum(inside, axis=1))
        return inside
