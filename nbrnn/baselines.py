"""Baselines: what a score means nothing without. They predict the targets of the windows that a model sees.

Given the arguments of `sliding_windows`, a baseline's row n answers to that function's y[n], in the series' own units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import whole_number
from .data import sliding_windows
from .scores import rmse
from .series import column_indices, finite_rows

__all__ = ["LeastSquaresAR", "drift", "last_value", "rmse", "seasonal_mean", "seasonal_naive"]

CHUNK = 1024  # windows that are laid out in full at a time


def last_value(
    series: ArrayLike, length: int, horizon: int = 1, stride: int = 1, target: int | Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Predict that every target stays as it is in the window's last row.

    Parameters
    ----------
    series, length, stride, target
        As for `sliding_windows`.
    horizon : int, default 1
        At least 1.

    Returns
    -------
    float64 array (N, horizon * T), step-major

    Raises
    ------
    ValueError
        As `sliding_windows`.

    Examples
    --------
    >>> last_value([1.0, 2.0, 4.0, 8.0], length=2, horizon=2)
    array([[2., 2.]])
    """
    horizon = whole_number("horizon", horizon)
    X, _ = sliding_windows(series, length, horizon, stride, target)
    return np.tile(X[:, -1, column_indices("target", target, X.shape[2])], (1, horizon)).astype(np.float64)


def seasonal_naive(
    series: ArrayLike,
    season: int,
    length: int,
    horizon: int = 1,
    stride: int = 1,
    target: int | Sequence[int] | None = None,
    history: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Predict for each target its last known value at the same place in the season.

    Parameters
    ----------
    series, length, stride, target
        As for `sliding_windows`.
    season : int
        Rows in a season. It may be longer than a window: the rows before the window are known too.
    horizon : int, default 1
        At least 1.
    history : array (rows,) or (rows, D), optional
        What came before the series; for a test part, the rows before it.

    Returns
    -------
    float64 array (N, horizon * T), step-major
        NaN where the value a season before lies before the first known row.

    Raises
    ------
    ValueError
        As `sliding_windows`, and if the season is not a whole number of at least 1 or the history has other columns.

    Examples
    --------
    >>> seasonal_naive([1.0, 2.0, 3.0, 4.0, 5.0], season=3, length=2)
    array([[nan],
           [ 1.],
           [ 2.]])
    """
    season, horizon = whole_number("season", season), whole_number("horizon", horizon)
    known, first = _known(series, length, horizon, stride, target, history)
    ahead = np.arange(horizon)
    source = first[:, None] + ahead - season * (ahead // season + 1)
    predicted = np.where(source[..., None] >= 0, known[np.maximum(source, 0)], np.nan)
    return predicted.reshape(len(first), -1)


def seasonal_mean(
    series: ArrayLike,
    season: int,
    length: int,
    horizon: int = 1,
    stride: int = 1,
    target: int | Sequence[int] | None = None,
    history: ArrayLike | None = None,
    training: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Predict for each target the mean of the training rows at the same place in the season.

    With 365 rows in a season it is the mean of the day of the year, the climatology of weather services.

    Parameters
    ----------
    series, season, length, horizon, stride, target, history
        As for `seasonal_naive`; a target's place in the season is counted from the first row of history.
    training : array (rows,) or (rows, D), optional
        The rows to take means of; the history if not given. Its first row stands at the place in the season at which
        the history, or without one the series, begins.

    Returns
    -------
    float64 array (N, horizon * T), step-major
        NaN where no training row stands at that place.

    Raises
    ------
    ValueError
        As `seasonal_naive`, and if neither history nor training is given or they have other columns.

    Examples
    --------
    >>> seasonal_mean([5.0, 2.0, 5.0], season=2, length=1, history=[1.0, 2.0, 3.0, 4.0])
    array([[3.],
           [2.]])
    """
    season, horizon = whole_number("season", season), whole_number("horizon", horizon)
    if training is None and history is None:
        raise ValueError("seasonal_mean needs the rows to take means of: training or history.")
    known, first = _known(series, length, horizon, stride, target, history)
    seen = known[: first[0] - length]
    if training is not None:
        columns = finite_rows("series", series).shape[1]
        seen = _like_columns("training", training, columns)[:, column_indices("target", target, columns)]
    places = np.arange(len(seen)) % season
    counts = np.bincount(places, minlength=season)
    sums = np.stack([np.bincount(places, column, season) for column in seen.T.astype(np.float64)], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    return means[(first[:, None] + np.arange(horizon)) % season].reshape(len(first), -1)


def drift(
    series: ArrayLike,
    length: int,
    horizon: int = 1,
    stride: int = 1,
    target: int | Sequence[int] | None = None,
    history: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Predict that every target goes on along the line from the first known row to the window's last row.

    x[T] + k * (x[T] - x[0]) / T for the k-th step after row T: Hyndman and Athanasopoulos (2021), Forecasting:
    Principles and Practice, 3rd edition, section 5.2. If T is 0, the last value.

    Parameters
    ----------
    series, length, horizon, stride, target, history
        As for `seasonal_naive`.

    Returns
    -------
    float64 array (N, horizon * T), step-major

    Raises
    ------
    ValueError
        As `seasonal_naive`.

    Examples
    --------
    >>> drift([1.0, 2.0, 5.0, 4.0, 3.0], length=3, horizon=2)
    array([[7., 9.]])
    """
    horizon = whole_number("horizon", horizon)
    known, first = _known(series, length, horizon, stride, target, history)
    last = known[first - 1]
    slope = (last - known[0]) / np.maximum(first - 1, 1)[:, None]
    ahead = np.arange(1, horizon + 1)[:, None]
    return (last[:, None] + ahead * slope[:, None]).reshape(len(first), -1)


class LeastSquaresAR:
    """A linear autoregression: each target is an intercept plus weights times the last `order` rows, all columns.

    Every step of the horizon has weights of its own (a direct forecast). Where several weights fit equally well, the
    smallest are taken.

    Parameters
    ----------
    order : int
        Rows that it looks back; the window's length, for a fair comparison.
    horizon : int, default 1
        At least 1.
    target : int or sequence of int, optional
        As for `sliding_windows`.

    Attributes
    ----------
    intercept : float64 array (horizon * T,), or None before `fit`
    weights : float64 array (order, D, horizon * T), or None before `fit`
        weights[-1] belongs to the window's last row.

    Raises
    ------
    ValueError
        If order or horizon is not a whole number of at least 1.

    Examples
    --------
    >>> fibonacci = [1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]
    >>> LeastSquaresAR(order=2).fit(fibonacci).predict([34.0, 55.0, 0.0]).round(6)
    array([[89.]])
    """

    def __init__(self, order: int, horizon: int = 1, target: int | Sequence[int] | None = None) -> None:
        self.order, self.horizon, self.target = whole_number("order", order), whole_number("horizon", horizon), target
        self.intercept: NDArray[np.float64] | None = None
        self.weights: NDArray[np.float64] | None = None

    def fit(self, series: ArrayLike, stride: int = 1) -> LeastSquaresAR:
        """Find the weights from the windows of a series (the training rows) that begin every `stride` rows.

        Raises
        ------
        ValueError
            As `sliding_windows`.
        """
        X, y = sliding_windows(series, self.order, self.horizon, stride, self.target)
        known = 1 + X.shape[1] * X.shape[2]
        # The R of a QR decomposition of [1, X, y] holds all that least squares needs; it is built chunk by chunk.
        triangle: Any = np.empty((0, known + y.shape[1]))
        for ones_X, chunk in _laid_out(X):
            rows = np.vstack([triangle, np.hstack([ones_X, y[chunk]])])
            triangle = np.linalg.qr(rows, mode="r")
        found = np.linalg.lstsq(triangle[:, :known], triangle[:, known:])[0]
        self.intercept, self.weights = found[0], found[1:].reshape(self.order, X.shape[2], -1)
        return self

    def predict(self, series: ArrayLike, length: int | None = None, stride: int = 1) -> NDArray[np.float64]:
        """Predict the targets of a series' windows.

        Parameters
        ----------
        series : array (R,) or (R, D)
        length : int, optional
            Rows in a window, of which the last `order` are looked at; `order` if not given.
        stride : int, default 1
            As for `sliding_windows`.

        Returns
        -------
        float64 array (N, horizon * T), step-major

        Raises
        ------
        ValueError
            As `sliding_windows`, and if it is not fitted, was fitted on other columns, or length is below order.
        """
        if self.weights is None or self.intercept is None:
            raise ValueError("this LeastSquaresAR has not seen a series yet; call fit first.")
        length = self.order if length is None else whole_number("length", length, self.order)
        X, _ = sliding_windows(series, length, self.horizon, stride, self.target)
        if X.shape[2] != self.weights.shape[1]:
            raise ValueError(f"series has {X.shape[2]} columns, but the fit saw {self.weights.shape[1]}.")
        found = np.vstack([self.intercept, self.weights.reshape(-1, len(self.intercept))])
        return np.concatenate([ones_X @ found for ones_X, _ in _laid_out(X[:, -self.order :])])


def _laid_out(X: NDArray[np.generic]) -> Iterator[tuple[NDArray[np.float64], slice]]:
    """Yield [1, X] of some windows at a time, each a row, and which windows they are."""
    for start in range(0, len(X), CHUNK):
        chunk = slice(start, min(start + CHUNK, len(X)))
        rows = X[chunk].reshape(chunk.stop - start, -1).astype(np.float64)
        yield np.hstack([np.ones((len(rows), 1)), rows]), chunk


def _known(
    series: ArrayLike,
    length: int,
    horizon: int,
    stride: int,
    target: int | Sequence[int] | None,
    history: ArrayLike | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the targets' columns of history and series together, and the first row that each window does not know."""
    X, _ = sliding_windows(series, length, horizon, stride, target)
    rows = finite_rows("series", series)
    past = rows[:0] if history is None else _like_columns("history", history, rows.shape[1])
    known = np.concatenate([past, rows])[:, column_indices("target", target, rows.shape[1])].astype(np.float64)
    return known, len(past) + length + stride * np.arange(len(X))


def _like_columns(name: str, array: ArrayLike, columns: int) -> NDArray[Any]:
    rows = finite_rows(name, array)
    if rows.shape[1] != columns:
        raise ValueError(f"{name} has {rows.shape[1]} columns, but series has {columns}.")
    return rows
