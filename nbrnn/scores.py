"""Scores of forecasts, in the forecasts' own units where nothing else is said.

Letters: y is what came, f what was forecast, n the number of values. Arrays may have any shape, all their values count
alike, and a NaN makes the score NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import real_number, whole_number
from .series import finite_rows, real_array


def mae(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean absolute error, sum |y - f| / n.

    Parameters
    ----------
    actual, predicted : arrays of one shape

    Raises
    ------
    ValueError
        If they are empty, hold no real numbers, or differ in shape.

    Examples
    --------
    >>> mae([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0])
    0.5
    """
    y, f = _same_shape("mae", actual, predicted)
    return float(np.mean(np.abs(y - f)))


def rmse(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the root of the mean squared error, sqrt(sum (y - f)^2 / n); parameters and errors as for `mae`.

    Parameters
    ----------
    actual, predicted : arrays of one shape

    Examples
    --------
    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    y, f = _same_shape("rmse", actual, predicted)
    return float(np.sqrt(np.mean((y - f) ** 2)))


def mase(actual: ArrayLike, predicted: ArrayLike, training: ArrayLike, season: int = 1) -> float:
    """Return the mean absolute scaled error: the MAE over that of the seasonal-naive forecast on the training rows.

    mean |y - f| / mean |x[t] - x[t - season]| over the training rows x. Below 1, the forecast's errors are smaller than
    one-step errors of the naive one were on the training rows. Hyndman and Koehler (2006), Another look at measures of
    forecast accuracy, International Journal of Forecasting 22, 679-688.

    Parameters
    ----------
    actual, predicted : arrays of one shape
    training : array (R,) or (R, 1)
        The series' training rows, in the same units.
    season : int, default 1
        Rows in a season; 1 compares with the last value.

    Returns
    -------
    float
        NaN if every training row is what it was a season before: the scale would be 0.

    Raises
    ------
    ValueError
        As `mae`, and if training holds several columns, anything but finite numbers, or no more rows than a season.

    Examples
    --------
    >>> mase([5.0, 7.0], [4.0, 4.0], training=[1.0, 3.0, 2.0, 4.0])
    1.2
    """
    y, f = _same_shape("mase", actual, predicted)
    season, rows = whole_number("season", season), finite_rows("training", training)
    if rows.shape[1] != 1 or len(rows) <= season:
        raise ValueError(
            f"training must be one column of more than {season} rows, a season, not of shape {rows.shape}."
        )
    x = rows[:, 0].astype(np.float64)
    scale = np.mean(np.abs(x[season:] - x[:-season]))
    return float(np.mean(np.abs(y - f)) / scale) if scale > 0 else float("nan")


def smape(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the symmetric mean absolute percentage error, 200 / n * sum |y - f| / (|y| + |f|): 0 to 200.

    The form of the M3 and M4 competitions: Makridakis and Hibon (2000), The M3-Competition, International Journal of
    Forecasting 16, 451-476. Where y and f are both 0 the error is 0; where one of them is, it is 200, however small the
    other. For series that come near 0 it says little.

    Parameters
    ----------
    actual, predicted : arrays of one shape

    Raises
    ------
    ValueError
        As `mae`.

    Examples
    --------
    >>> smape([1.0, 0.0, 0.0], [3.0, 0.0, 1.0])
    100.0
    """
    y, f = _same_shape("smape", actual, predicted)
    size = np.abs(y) + np.abs(f)
    return float(200 * np.mean(np.abs(y - f) / np.where(size == 0, 1.0, size)))


def r2(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the coefficient of determination, 1 - sum (y - f)^2 / sum (y - mean y)^2: at most 1.

    0 is the score of the mean of the very values that are forecast, which nobody knows beforehand. Of a series with a
    trend nearly every forecast has a high one.

    Parameters
    ----------
    actual, predicted : arrays of one shape

    Returns
    -------
    float
        If all values of `actual` are equal, 1.0 for a forecast without error and else 0.0, as in scikit-learn.

    Raises
    ------
    ValueError
        As `mae`.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 5.0])
    -1.0
    """
    y, f = _same_shape("r2", actual, predicted)
    error, spread = np.sum((y - f) ** 2), np.sum((y - y.mean()) ** 2)
    if y.min() == y.max():  # the mean of equal values may be off by a rounding
        return 1.0 if error == 0 else 0.0 if error > 0 else float("nan")
    return float(1 - error / spread)


def coverage(low: ArrayLike, high: ArrayLike, actual: ArrayLike) -> float:
    """Return the share of the values that lie within their intervals, low <= y <= high: 0 to 1.

    Intervals that are called 90 % should hold 0.9 of the values: fewer, and they are too narrow.

    Parameters
    ----------
    low, high, actual : arrays of one shape

    Raises
    ------
    ValueError
        As `mae`, and if an interval ends below its beginning.

    Examples
    --------
    >>> coverage([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.5, 1.0, 1.5, -0.5])
    0.5
    """
    y, low = _same_shape("coverage", actual, low)
    y, high = _same_shape("coverage", actual, high)
    if (low > high).any():
        where = int(np.argmax(low > high))
        ends = f"{low.flat[where]:g} to {high.flat[where]:g}"
        raise ValueError(f"low must nowhere be above high, but interval {where} (counted from 0) runs from {ends}.")
    if np.isnan(low + high + y).any():
        return float("nan")
    return float(np.mean((low <= y) & (y <= high)))


def pinball(actual: ArrayLike, predicted: ArrayLike, quantile: float) -> float:
    """Return the pinball (quantile) loss, mean of q * (y - f) where y is above f, of (1 - q) * (f - y) where below.

    The forecasts that make it smallest are the q-quantiles; with q = 0.5 it is half of the MAE. Koenker and Bassett
    (1978), Regression Quantiles, Econometrica 46, 33-50.

    Parameters
    ----------
    actual, predicted : arrays of one shape
    quantile : float
        q, above 0 and below 1.

    Raises
    ------
    ValueError
        As `mae`, and if quantile is out of range.

    Examples
    --------
    >>> pinball([1.0, 2.0], [0.0, 4.0], quantile=0.75)
    0.625
    """
    y, f = _same_shape("pinball", actual, predicted)
    q = real_number("quantile", quantile, 0.0, 1.0, open_low=True)
    if q == 1:
        raise ValueError(f"quantile must be below 1, not {quantile!r}.")
    return float(np.mean(np.maximum(q * (y - f), (q - 1) * (y - f))))


def _same_shape(name: str, a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = (real_array(f"each array given to {name}", x).astype(np.float64) for x in (a, b))
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"{name} needs arrays of one shape that are not empty, not {a.shape} and {b.shape}.")
    return a, b
