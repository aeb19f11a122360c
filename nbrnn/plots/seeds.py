"""The scores of networks that differ by their seed alone, beside forecasts that need no network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import GREEN, INK, ORANGE, PREDICTED, PURPLE, VERMILION, caption, new_figure, tidy

LINES = (("--", INK), (":", VERMILION), ("-.", GREEN), ((0, (6, 2, 1, 2, 1, 2)), ORANGE), ((0, (1, 3)), PURPLE))


def plot_seeds(scores: ArrayLike, baselines: Mapping[str, float], unit: str = "", title: str = "") -> Figure:
    """Draw a dot for the score of each seed, and a line for each baseline; lower scores are better.

    Parameters
    ----------
    scores : array (S,)
        An error for each seed.
    baselines : dict of str to float
        Errors of what needs no network; at most five.
    unit : str
        Of the errors.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no score, one is not finite, or there are more than five baselines.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"scores must be a row of finite numbers, one a seed, not an array of shape {values.shape}.")
    if len(baselines) > len(LINES):
        raise ValueError(f"baselines holds {len(baselines)} errors; at most {len(LINES)} can be told apart.")
    figure = new_figure(9, 3.2)
    axes = figure.subplots()
    axes.plot(values, np.linspace(0.2, 0.8, len(values)), "o", color=PREDICTED, ms=7, label="network, a seed each")
    for (name, value), (line, color) in zip(baselines.items(), LINES, strict=False):
        axes.axvline(value, ls=line, lw=2, color=color, label=f"{name}: {value:.4g}")
    axes.set(ylim=(0, 1), yticks=[])
    axes.set_xlabel(unit or "error", parse_math=False)
    axes.set_title(title, parse_math=False)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    caption(
        figure,
        "left is better. A dot is the error of a network of another seed; its height has no meaning. A line is a "
        "forecast that needs no network. A dot to the right of a line has lost to it.",
    )
    return figure
