"""The size of a numeric derivative's step against its error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .style import BLUE, GREEN, GREY, INK, SMALL, VERMILION, caption, new_figure, tidy

FLOOR = 1e-18  # where an error of exactly zero is drawn: a logarithmic axis has no zero
STYLES = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"), (GREY, "^"))


def plot_step_errors(steps: ArrayLike, errors: Mapping[str, ArrayLike], title: str = "") -> Figure:
    """Draw how wrong numeric derivatives are, for each size of their step, on logarithmic axes.

    Parameters
    ----------
    steps : array (N,)
        Sizes of the step, above zero.
    errors : dict of str to array (N,)
        The size of the error for each step, by the method's name; at most four methods. An error of exactly zero is
        drawn at the foot of the picture.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no method or more than four, an array has another length than `steps`, a step is not above zero, or
        an error is below zero or not finite.
    """
    s = np.asarray(steps, np.float64)
    drawn = {name: np.asarray(values, np.float64) for name, values in errors.items()}
    if not 1 <= len(drawn) <= len(STYLES):
        raise ValueError(f"errors must hold 1 to {len(STYLES)} methods, not {len(drawn)}.")
    if s.ndim != 1 or not len(s) or not (np.isfinite(s) & (s > 0)).all():
        raise ValueError("steps must be a list of finite numbers above zero.")
    for name, values in drawn.items():
        if values.shape != s.shape or not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"the errors of {name!r} must be {len(s)} finite numbers of at least zero, one a step.")
    figure = new_figure(9, 5.5)
    axes = figure.subplots()
    for (name, values), (color, marker) in zip(drawn.items(), STYLES, strict=False):
        axes.plot(s, np.maximum(values, FLOOR), color=color, marker=marker, ms=5, lw=1.4, label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="size of the step (large steps to the left)", ylabel="size of the error"
    )
    axes.set_xlim(2 * s.max(), s.min() / 2)
    axes.set_ylim(bottom=FLOOR / 200)
    if any((values < FLOOR).any() for values in drawn.values()):
        axes.axhline(FLOOR, color=INK, lw=0.8, ls=":")
        axes.text(s.max(), FLOOR / 3, "no error at all", va="top", fontsize=SMALL, color=INK)
    axes.legend(frameon=False)
    axes.set_title(title, parse_math=False)
    tidy(axes)
    caption(
        figure,
        "go from left to right, from large steps to small ones. A curve that falls gains from smaller steps, because "
        "the straight line through two points comes closer to the tangent. Where it rises again, the two values have "
        "become so alike that their difference is mostly rounding. A curve at the foot subtracts nothing; where it "
        "leaves the foot for single steps, the last bit was rounded.",
    )
    return figure
