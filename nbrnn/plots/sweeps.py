"""The errors of a sweep's settings, their spread over the seeds, and what they cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import BLUE, GREY, INK, ORANGE, PALE_BLUE, RED, SMALL, VERMILION, caption, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..sweeptable import Sweep, SweepRow

COLORS = {"rnn": BLUE, "gru": VERMILION, "lstm": ORANGE}
MARKERS = "osD^vPX*"  # one for each window, layers' sizes apart
WIDE = 4.0  # errors that differ by more than this factor are drawn on a logarithmic axis


def plot_sweep(found: Sweep, title: str = "") -> Figure:
    """Draw the mean error of every setting with its standard error, over the parameters and over the seconds.

    Parameters
    ----------
    found : Sweep
    title : str, optional
        A sentence on the choice if not given.

    Raises
    ------
    ValueError
        If no setting was trained without a failure.
    """
    best, chosen = found.best, found.chosen
    if best is None or chosen is None:
        raise ValueError("no setting was trained without a failure; there is nothing to draw.")
    figure = new_figure(10, 6)
    panels = figure.subplots(1, 2, sharey=True)
    windows = sorted({row.recipe.window for row in found.rows})
    for axes, cost, label in zip(panels, ("parameters", "seconds"), ("parameters", "seconds of training"), strict=True):
        axes.axhspan(best.mean, found.limit, color=PALE_BLUE, lw=0, zorder=0)
        for row in found.rows:
            if row.errors:
                marker = MARKERS[windows.index(row.recipe.window) % len(MARKERS)]
                _draw(axes, row, max(getattr(row, cost), 1e-4), marker, row is chosen)
        axes.set_xscale("log")
        axes.set_xlabel(label)
        tidy(axes)
    errors = [error for row in found.rows for error in row.errors]
    reach = [*errors, *_near(found, max(errors))]
    if min(reach) > 0 and max(reach) / min(reach) > WIDE:
        panels[0].set_yscale("log")
    for name, error in found.baselines.items():
        if error in reach:
            for axes in panels:
                axes.axhline(error, color=GREY, lw=1, ls="--", zorder=0)
            panels[1].annotate(
                name, (0.995, error), xycoords=("axes fraction", "data"), fontsize=SMALL, color=INK, ha="right", va="bottom"
            )
    panels[0].set_ylabel(found.title, parse_math=False)
    panels[0].legend(handles=_legend(found, windows), frameon=False, fontsize=SMALL, loc="upper right")
    figure.suptitle(title or f"chosen: {found.label(chosen)}", parse_math=False)
    spread = "the bar is the mean's standard error, the small dots are single seeds" if len(found.seeds) > 1 else ""
    caption(
        figure,
        "each mark is a setting, its height the mean error of its seeds on the validation rows"
        + f"; {spread}" * bool(spread)
        + ". To the right networks are larger (left panel) or slower to train (right panel). The blue band reaches from "
        "the best mean one standard error up: all marks in it are about as good, and the circled one has the fewest "
        "parameters of them. Dashed lines are forecasts without a network: what lies above them is not worth training.",
    )
    return figure


def _draw(axes: Axes, row: SweepRow, x: float, marker: str, chosen: bool) -> None:
    color = COLORS[row.recipe.cell]
    spread = 0.0 if math.isnan(row.standard_error) else row.standard_error
    hollow = {"mfc": "white"} if row.failed else {}
    axes.plot([x] * len(row.errors), row.errors, ls="", marker=".", ms=3, color=color, alpha=0.35)
    axes.errorbar([x], [row.mean], [spread], color=color, marker=marker, ms=6, capsize=3, lw=1.3, **hollow)
    if chosen:
        axes.plot([x], [row.mean], ls="", marker="o", ms=16, mfc="none", mec=RED, mew=2, zorder=5)


def _near(found: Sweep, largest: float) -> list[float]:
    """Return the baselines' errors that do not stretch the axis too far."""
    return [error for error in found.baselines.values() if error <= 1.5 * largest]


def _legend(found: Sweep, windows: list[int]) -> list[Any]:
    cells = dict.fromkeys(row.recipe.cell for row in found.rows)
    handles = [Line2D([], [], color=COLORS[cell], marker="o", label=cell) for cell in COLORS if cell in cells]
    if len(windows) > 1:
        handles += [
            Line2D([], [], color=INK, ls="", marker=MARKERS[k % len(MARKERS)], label=f"window {window}")
            for k, window in enumerate(windows)
        ]
    handles.append(Line2D([], [], ls="", marker="o", ms=10, mfc="none", mec=RED, mew=2, label="chosen"))
    return handles
