"""Forecasts in closed loop: what a model predicts is what it sees next.

Letters: N windows, L rows in a window, D columns, S steps ahead, T targets, h steps that the model gives at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = 2**22  # in the windows that are laid out at a time

Predict = Callable[..., Any]


@dataclass(frozen=True)
class Origins:
    """Where forecasts begin.

    Attributes
    ----------
    windows : array (N, L, D)
        The last known rows, in the model's units.
    last : float64 array (N, T)
        The targets in the last known row, in the series' own units.
    future : array (N, S, D), optional
        What is known of the rows ahead; its targets are not looked at. Needed where S is more than the model gives at a
        time and some columns are no targets.
    masks : bool array (N, L), optional
        False for rows that are missing.
    """

    windows: NDArray[np.floating[Any]]
    last: NDArray[np.float64]
    future: NDArray[np.floating[Any]] | None = None
    masks: NDArray[np.bool_] | None = None

    def part(self, at: Any, copies: int = 1) -> Origins:
        """Return some of them, each so many times."""

        def some(a: Any) -> Any:
            return None if a is None else np.repeat(a[at], copies, axis=0) if copies > 1 else a[at]

        return Origins(some(self.windows), some(self.last), some(self.future), some(self.masks))


def closed_loop(predict: Predict, origins: Origins, steps: int, targets: Sequence[int]) -> NDArray[np.float64]:
    """Return forecasts (N, S, T) in the model's units: each window moves on by the rows that were predicted from it.

    Parameters
    ----------
    predict : callable
        From windows (N, L, D), and mask=(N, L) where there are masks, to outputs (N, h * T), step-major.
    origins : Origins
    steps : int
        S; up to h the forecast is direct.
    targets : sequence of int
        The columns of the outputs.
    """
    now, seen, done = origins.windows, origins.masks, 0
    found = np.empty((len(now), steps, len(targets)))
    while done < steps:
        outputs = predict(now) if seen is None else predict(now, mask=seen)
        ahead = np.asarray(outputs).reshape(len(now), -1, len(targets))[:, : steps - done]
        count = ahead.shape[1]
        found[:, done : done + count] = ahead
        if done + count < steps:
            rows = np.zeros((len(now), count, now.shape[2]), now.dtype)
            if origins.future is not None:
                rows[:] = origins.future[:, done : done + count]
            rows[..., list(targets)] = ahead
            now = np.concatenate([now, rows], axis=1)[:, count:]
            if seen is not None:
                seen = np.pad(seen, ((0, 0), (0, count)), constant_values=True)[:, count:]
        done += count
    return found


def chunks(origins: Origins, copies: int = 1) -> list[slice]:
    """Return parts of the origins whose windows may be laid out at a time."""
    _, length, columns = origins.windows.shape
    each = max(1, NUMBERS // (length * columns * copies))
    return [slice(k, k + each) for k in range(0, len(origins.windows), each)]
