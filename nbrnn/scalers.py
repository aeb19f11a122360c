"""Scalers: (value - shift) / scale, column by column in float64, and the way back into the series' own units.

Fit a scaler on the training rows only: one that has seen the test rows tells the model about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import one_of
from .series import column_indices, finite_rows, real_array


class Scaler:
    """What all scalers share.

    Attributes
    ----------
    shift, scale : float64 array (D,)
        What is subtracted from each column, and by what it is divided then; None before `fit`.
    """

    kind: ClassVar[str]
    shift: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None

    def _measure(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return shift and scale, (D,) each, of rows (R, D)."""
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        return {}

    def fit(self, series: ArrayLike) -> Self:
        """Measure the columns of a series, (R,) or (R, D), and return the scaler itself.

        Raises
        ------
        ValueError
            If the series is empty, not 1-D or 2-D, holds anything but finite numbers, or a column cannot be scaled
            because it is constant; a Table or DataFrame gives the sentence the column's name.
        """
        rows = finite_rows("series", series).astype(np.float64)
        low, high = rows.min(axis=0), rows.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            shift, scale = self._measure(rows)
        for c in np.flatnonzero(~((scale > 0) & np.isfinite(scale))):
            names = getattr(series, "columns", None)
            column = f"column {c} (counted from 0)" if names is None else f"column {names[c]!r}"
            found = f"every row holds {low[c]:g}" if low[c] == high[c] else f"it runs from {low[c]:g} to {high[c]:g}"
            raise ValueError(f"{column} of series cannot be scaled, for {found}; leave it out.")
        self.shift, self.scale = shift, scale
        return self

    def transform(self, a: ArrayLike) -> NDArray[np.float64]:
        """Return an array in scaled units.

        Parameters
        ----------
        a : array (R,), (R, D) or (..., D)
            In the units, and with the columns, that the scaler was fitted on; NaN stays NaN.

        Raises
        ------
        ValueError
            If the scaler is not fitted, or was fitted on another number of columns.
        """
        shift, scale = self._fitted()
        values = real_array("the array", a).astype(np.float64)
        one_column = values.ndim == 1 and len(scale) == 1
        if not one_column and values.shape[-1:] != scale.shape:
            raise ValueError(f"the scaler was fitted on {len(scale)} columns, but the array's shape is {values.shape}.")
        return (values - shift) / scale

    def fit_transform(self, series: ArrayLike) -> NDArray[np.float64]:
        """Return `fit(series).transform(series)`."""
        return self.fit(series).transform(series)

    def inverse_transform(self, a: ArrayLike, columns: int | Sequence[int] | None = None) -> NDArray[np.float64]:
        """Return an array in the units that the scaler was fitted on.

        Parameters
        ----------
        a : array (R,), (R, D) or (..., steps * T)
            Scaled values. The last axis holds the columns, once or, step-major, once for each predicted step.
        columns : int or sequence of int, optional
            Which of the fitted columns these are (a model's targets, say), in the array's order; all if not given.

        Raises
        ------
        ValueError
            If the scaler is not fitted, a column is out of range, or the last axis does not hold whole steps.

        Examples
        --------
        >>> scaler = MinMaxScaler().fit([[0.0, 10.0], [2.0, 30.0]])
        >>> scaler.inverse_transform([[0.5, 0.75]], columns=1)
        array([[20., 25.]])
        """
        shift, scale = self._fitted()
        chosen = column_indices("columns", columns, len(scale))
        values = real_array("the array", a).astype(np.float64)
        if len(chosen) == 1:
            return values * scale[chosen[0]] + shift[chosen[0]]
        if values.ndim == 0 or values.shape[-1] % len(chosen):
            raise ValueError(
                f"{len(chosen)} columns do not fit into the last axis of an array of shape {values.shape}."
            )
        steps = values.shape[-1] // len(chosen)
        return values * np.tile(scale[chosen], steps) + np.tile(shift[chosen], steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted scaler as a dict that JSON can hold; `scaler_from_dict` reads it."""
        shift, scale = self._fitted()
        return {"kind": self.kind, **self._settings(), "shift": shift.tolist(), "scale": scale.tolist()}

    def _fitted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.shift is None or self.scale is None:
            raise ValueError(f"this {type(self).__name__} has not seen a series yet; call fit first.")
        return self.shift, self.scale

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._settings().items())})"


class MinMaxScaler(Scaler):
    """Scale each column so that its smallest and largest fitted values become the ends of a range.

    Parameters
    ----------
    feature_range : (float, float), default (0, 1)

    Raises
    ------
    ValueError
        If the range is not two finite numbers in rising order.

    Examples
    --------
    >>> MinMaxScaler().fit_transform([2.0, 4.0, 3.0])
    array([0. , 1. , 0.5])
    """

    kind = "minmax"

    def __init__(self, feature_range: tuple[float, float] = (0, 1)) -> None:
        try:
            low, high = feature_range
            rising = -np.inf < low < high < np.inf
        except (TypeError, ValueError):
            rising = False
        if not rising:
            raise ValueError(f"feature_range must be two finite numbers, the smaller first, not {feature_range!r}.")
        self.feature_range = (low, high)

    def _settings(self) -> dict[str, Any]:
        return {"feature_range": self.feature_range}

    def _measure(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = self.feature_range
        scale = (rows.max(axis=0) - rows.min(axis=0)) / (high - low)
        return rows.min(axis=0) - low * scale, scale


class StandardScaler(Scaler):
    """Scale each column to mean 0 and standard deviation 1 (over all rows, not one less) on the fitted series.

    Examples
    --------
    >>> StandardScaler().fit_transform([1.0, 3.0, 1.0, 3.0])
    array([-1.,  1., -1.,  1.])
    """

    kind = "standard"

    def _measure(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        varies = rows.max(axis=0) > rows.min(axis=0)  # rounding can give a constant column a deviation above 0
        return rows.mean(axis=0), rows.std(axis=0) * varies


class MaxScaler(Scaler):
    """Divide each column by its largest absolute fitted value; 0 stays 0, and a constant other than 0 can be scaled.

    Examples
    --------
    >>> MaxScaler().fit_transform([1.0, -4.0, 2.0])
    array([ 0.25, -1.  ,  0.5 ])
    """

    kind = "max"

    def _measure(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.zeros(rows.shape[1]), np.abs(rows).max(axis=0)


SCALERS: dict[str, type[Scaler]] = {cls.kind: cls for cls in (MinMaxScaler, StandardScaler, MaxScaler)}


def scaler_from_dict(d: Mapping[str, Any]) -> Scaler:
    """Return the scaler that `to_dict` wrote.

    Raises
    ------
    ValueError
        If the kind is unknown or the numbers are missing or not usable.

    Examples
    --------
    >>> scaler = scaler_from_dict(MinMaxScaler().fit([2.0, 4.0]).to_dict())
    >>> scaler, scaler.transform([3.0])
    (MinMaxScaler(feature_range=(0, 1)), array([0.5]))
    """
    cls = SCALERS[one_of("scaler", d.get("kind"), SCALERS)]
    try:
        settings = {name: tuple(value) for name, value in d.items() if name not in ("kind", "shift", "scale")}
        scaler = cls(**settings)
        shift, scale = (np.array(d[name], np.float64) for name in ("shift", "scale"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the description of the {cls.kind} scaler cannot be read: {error}.") from None
    usable = shift.ndim == 1 and shift.shape == scale.shape and np.isfinite([shift, scale]).all() and (scale > 0).all()
    if not usable or not len(scale):
        raise ValueError(f"the description of the {cls.kind} scaler holds no usable shift and scale.")
    scaler.shift, scaler.scale = shift, scale
    return scaler
