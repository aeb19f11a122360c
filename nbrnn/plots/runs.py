"""Forecasts of the same rows beside what came: teacher-forced, free-running, naive, and a fan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..checks import whole_number
from .style import ACTUAL, GREEN, INK, PALE_BLUE, PREDICTED, PURPLE, SPLIT, VERMILION, caption, new_figure, tidy

if TYPE_CHECKING:
    from ..fans import Fan

LINES: tuple[dict[str, Any], ...] = (
    {"color": PREDICTED, "ls": "-", "lw": 1.4},
    {"color": VERMILION, "ls": "--", "lw": 1.8},
    {"color": INK, "ls": ":", "lw": 1.8},
    {"color": GREEN, "ls": "-.", "lw": 1.6},
    {"color": PURPLE, "ls": (0, (6, 2, 1, 2)), "lw": 1.6},
)


def plot_runs(
    known: ArrayLike,
    actual: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    fan: Fan | None = None,
    target: int = 0,
    level: float = 0.8,
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw the last known rows, what came after them, and forecasts of it that begin at the same row.

    Parameters
    ----------
    known : array (K,)
        The rows before the forecasts' first one.
    actual : array (S,)
        What came.
    forecasts : dict of str to array (S,)
        At most five, by their names.
    fan : Fan, optional
        Its band is shaded; S steps.
    target : int, default 0
        Which of the fan's targets.
    level : float, default 0.8
        The share of the fan's paths within the band.
    unit : str
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are more than five forecasts, one of them or the fan does not have as many rows as came, the target is
        none of the fan's, or as `Fan.band`.
    """
    before, came = np.asarray(known, np.float64), np.asarray(actual, np.float64)
    curves = {name: np.asarray(values, np.float64) for name, values in forecasts.items()}
    if before.ndim != 1 or came.ndim != 1 or not len(came):
        raise ValueError(f"known and actual must be rows of numbers, not of shapes {before.shape} and {came.shape}.")
    if len(curves) > len(LINES):
        raise ValueError(f"forecasts holds {len(curves)} curves; at most {len(LINES)} can be told apart.")
    for name, values in curves.items():
        if values.shape != came.shape:
            raise ValueError(f"forecast {name!r} must have the shape {came.shape} of what came, not {values.shape}.")
    split, ahead = len(before), len(before) + np.arange(len(came))
    if fan is not None and not 0 <= whole_number("target", target, 0) < len(fan.targets):
        raise ValueError(f"target must be from 0 to {len(fan.targets) - 1}, not {target}.")
    band = None if fan is None else [edge[:, target] for edge in fan.band(level)]
    if band and band[0].shape != came.shape:
        raise ValueError(f"fan must go {len(came)} steps ahead, as what came does, not {len(band[0])}.")
    figure = new_figure(11, 6.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    above.plot(np.concatenate([before, came]), color=ACTUAL, lw=3.5, label="what came")
    for axes, truth in ((above, np.zeros(len(came))), (below, came)):
        for (name, values), style in zip(curves.items(), LINES, strict=False):
            axes.plot(ahead, values - truth, label=name, **style)
        if fan is not None and band:
            label = f"the middle {100 * level:.3g} % of {len(fan.paths)} paths"
            low, high = (edge - truth for edge in band)
            axes.fill_between(ahead, low, high, color=PALE_BLUE, lw=0, zorder=0, label=label)
        axes.axvline(split - 0.5, color=SPLIT, lw=1.8)
        axes.margins(x=0.01)
        tidy(axes)
    below.axhline(0, color=ACTUAL, lw=3.5, zorder=1)
    below.set_xlabel("row, counted from the first one that is drawn")
    below.set_ylabel("forecast - what came")
    above.set_ylabel(unit or "value", parse_math=False)
    above.set_title(title, parse_math=False)
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    text = (
        "left of the red line all is known; right of it the grey curve is what came, and below are the forecasts' "
        "errors. A forecast that was told the truth at every step can stay near it without knowing much; one that runs "
        "free had to go on from its own values."
    )
    if fan is not None:
        text += " The band is where the paths lie; whether the truth lies there too is another question."
    caption(figure, text)
    return figure
