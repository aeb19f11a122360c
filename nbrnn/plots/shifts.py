"""The same forecasts drawn at other rows: where a forecast belongs, and where it only seems to be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..checks import whole_number
from .style import ACTUAL, PREDICTED, caption, new_figure, tidy


def plot_shifts(series: ArrayLike, forecasts: ArrayLike, shifts: Sequence[int], rows: int = 30) -> Figure:
    """Draw the beginning of a series, and its forecasts moved on by some rows, a chart a shift.

    Parameters
    ----------
    series, forecasts : array (R,), (N,)
    shifts : sequence of int
        Forecast i is drawn at row i + shift, counted from 0.
    rows : int, default 30
        How many rows of the series are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no shift, one is negative or leaves no forecast among the rows, or an array is not one row of
        numbers.
    """
    drawn, said = (np.asarray(values, dtype=float) for values in (series, forecasts))
    for name, values in (("series", drawn), ("forecasts", said)):
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{name} must be one row of numbers, not an array of the shape {values.shape}.")
    drawn = drawn[: whole_number("rows", rows, 1)]
    if not shifts:
        raise ValueError("shifts must hold a whole number at least.")
    figure = new_figure(8, 1.4 + 1.7 * len(shifts))
    column = figure.subplots(len(shifts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, shift in zip(column, shifts, strict=True):
        if whole_number("a shift", shift, 0) >= len(drawn):
            raise ValueError(f"a shift must be below the {len(drawn)} rows that are drawn, not {shift}.")
        part = said[: len(drawn) - shift]
        axes.plot(drawn, color=ACTUAL, lw=4, label="the series")
        axes.plot(np.arange(len(part)) + shift, part, color=PREDICTED, label="the forecasts")
        axes.set_title(f"forecast i drawn at row i + {shift}" if shift else "forecast i drawn at row i")
        axes.set_ylabel("value")
        tidy(axes)
    column[-1].set_xlabel("row, counted from 0")
    figure.legend(*column[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    caption(
        figure,
        "the blue curve is the same in every chart, only moved to the right. Where it belongs, a good forecast covers "
        "the grey one; elsewhere it looks wrong, however good it is.",
    )
    return figure
