"""Several forecasts of the same rows, and how often what came lay between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import real_number, whole_number

if TYPE_CHECKING:
    from .forecasting import Forecaster

ORIGINS = 50  # that a coverage is measured from


def edges(paths: NDArray[np.float64], level: float, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper edge of the middle share of paths that lie along an axis."""
    tail = (1 - real_number("level", level, 0.0, 1.0, open_low=True)) / 2
    low, high = np.quantile(paths, [tail, 1 - tail], axis=axis)
    return low, high


@dataclass(frozen=True, eq=False)
class Fan:
    """Several forecasts of the same rows, raw.

    Attributes
    ----------
    paths : float64 array (P, S, T)
    targets : tuple of str
    labels : tuple of str, or None
        The dates of the S rows, where they are known.
    """

    paths: NDArray[np.float64]
    targets: tuple[str, ...]
    labels: tuple[str, ...] | None = None

    @property
    def mean(self) -> NDArray[np.float64]:
        """The paths' mean, (S, T)."""
        return self.paths.mean(axis=0)

    def band(self, level: float = 0.8) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and upper edge, (S, T) each, of the middle share of the paths.

        Parameters
        ----------
        level : float, default 0.8
            Above 0 and at most 1: 0.8 is from the quantile 0.1 to the quantile 0.9.

        Raises
        ------
        ValueError
            If the level is out of range.
        """
        return edges(self.paths, level, axis=0)


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often what came lay within a fan's band.

    Attributes
    ----------
    level : float
        The share of the paths within the band.
    by_step : float64 array (S, T)
        The share of the origins whose value lay within it, of those that have one.
    origins : int
    """

    level: float
    by_step: NDArray[np.float64]
    origins: int

    @property
    def overall(self) -> float:
        """The share over all steps and targets."""
        return float(np.nanmean(self.by_step))


def measure_coverage(
    forecaster: Forecaster, series: ArrayLike, steps: int, level: float = 0.8, samples: int | None = None, seed: int = 0
) -> Coverage:
    """Return how often the values of a series lay within the band of fans from at most 50 of its rows.

    Parameters
    ----------
    forecaster : Forecaster
        Trained on other rows: a fan is always too sure of those that it has seen.
    series : array (R,) or (R, D), Table, or pandas Series or DataFrame
        Raw: the rows to be judged, with `forecaster.past` rows before them.
    steps : int
    level : float, default 0.8
    samples, seed
        As for `Forecaster.fan`.

    Raises
    ------
    ValueError
        If the series is too short, or there is but one path: neither several models nor dropout.
    """
    steps, samples = whole_number("steps", steps), forecaster.draws(samples)
    if samples == 0 and len(forecaster.models) == 1:
        raise ValueError("one model without dropout gives one path and no fan; train several seeds, or with dropout.")
    origins, actual = forecaster.origins(series, steps), forecaster.actual(series, steps)
    chosen = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), ORIGINS)).round().astype(int))
    paths = forecaster.paths(origins.part(chosen), steps, samples, seed)
    low, high = edges(paths, level, axis=1)
    came = actual[chosen]
    there, inside = np.isfinite(came).sum(axis=0), (low <= came) & (came <= high)
    with np.errstate(invalid="ignore"):  # a step at which every value is missing
        return Coverage(level, inside.sum(axis=0) / there, len(inside))
