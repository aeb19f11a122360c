"""The errors of a sweep's settings, their spread over the seeds, and what they cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from .style import BLUE, GREY, INK, ORANGE, PALE_BLUE, RED, SMALL, VERMILION, caption, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..sweeptable import Sweep, SweepRow

COLORS = {"rnn": BLUE, "gru": VERMILION, "lstm": ORANGE}
MARKERS = "osD^vPX*"  # one for each window, if there are no more
WIDE = 4.0  # errors that differ by more than this factor are drawn on a logarithmic axis
BESIDE = 1.2  # factor over which marks of other windows are spread, since all have the same parameters
LEAST = 1e-4  # seconds
CLOSE = 0.04  # of the errors' reach: lines that lie closer share a label


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
    windows = windows if 1 < len(windows) <= len(MARKERS) else []
    for axes, cost, label in zip(panels, ("parameters", "seconds"), ("parameters", "seconds of training"), strict=True):
        axes.axhspan(best.mean, found.limit, color=PALE_BLUE, lw=0, zorder=0)
        for row in found.rows:
            if row.errors:
                k = windows.index(row.recipe.window) if row.recipe.window in windows else 0
                aside = BESIDE ** (k / len(windows[1:]) - 0.5) if windows and cost == "parameters" else 1.0
                _draw(axes, row, aside * max(getattr(row, cost), LEAST), MARKERS[k], row is chosen)
        _logarithmic(axes, "x", [max(getattr(row, cost), LEAST) for row in found.rows if row.errors])
        axes.set_xlabel(label)
        tidy(axes)
    errors = [error for row in found.rows for error in row.errors]
    lines = {name: error for name, error in found.baselines.items() if error <= 1.5 * max(errors)}
    reach = [*errors, *lines.values()]
    _logarithmic(panels[0], "y", reach)
    for axes in panels:
        for error in lines.values():
            axes.axhline(error, color=GREY, lw=1, ls="--", zorder=0)
    for height, names in _apart(lines, max(reach) - min(reach)):
        panels[1].text(
            1.01, height, names, fontsize=SMALL, color=INK, va="center", transform=panels[1].get_yaxis_transform()
        )
    panels[0].set_ylabel(found.title, parse_math=False)
    panels[0].legend(handles=_legend(found, windows), frameon=False, fontsize=SMALL)
    figure.suptitle(title or f"chosen: {found.label(chosen)}", parse_math=False)
    spread = "the bar is the mean's standard error, the small dots are single seeds" if len(found.seeds) > 1 else ""
    caption(
        figure,
        "each mark is a setting, its height the mean error of its seeds on the validation rows"
        + f"; {spread}" * bool(spread)
        + ". To the right networks are larger (left panel) or take longer (right panel). The blue band goes from the "
        "best mean one standard error up: all marks in it are about as good, and the circled one has the fewest "
        "parameters of them. Dashed lines are forecasts without a network: what lies above them is not worth training."
        + " A hollow mark is a setting of which a training failed."
        * any(row.failed for row in found.rows),
    )
    return figure


def _draw(axes: Axes, row: SweepRow, x: float, marker: str, chosen: bool) -> None:
    color = COLORS[row.recipe.cell]
    spread = 0.0 if math.isnan(row.standard_error) else row.standard_error
    face = "white" if row.failed else color
    axes.plot([x] * len(row.errors), row.errors, ls="", marker=".", ms=3, color=color, alpha=0.35)
    axes.errorbar([x], [row.mean], [spread], color=color, marker=marker, ms=6, capsize=3, lw=1.3, mfc=face)
    if chosen:
        axes.plot([x], [row.mean], ls="", marker="o", ms=16, mfc="none", mec=RED, mew=2, zorder=5)


def _logarithmic(axes: Axes, name: str, values: list[float]) -> None:
    """Make an axis logarithmic where its values are far apart; 0.02 and 300 are written, not powers of ten."""
    if min(values) > 0 and max(values) / min(values) > WIDE:
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))


def _apart(lines: dict[str, float], reach: float) -> list[tuple[float, str]]:
    """Return heights and labels; lines that lie too close for two labels share one."""
    found: list[tuple[float, list[str]]] = []
    for name, error in sorted(lines.items(), key=lambda line: line[1]):
        if found and error - found[-1][0] < CLOSE * min(reach, 2 * error):
            found[-1][1].append(name)
        else:
            found.append((error, [name]))
    return [(error, ",\n".join(names)) for error, names in found]


def _legend(found: Sweep, windows: list[int]) -> list[Any]:
    cells = dict.fromkeys(row.recipe.cell for row in found.rows)
    handles = [Line2D([], [], color=COLORS[cell], marker="o", label=cell) for cell in COLORS if cell in cells]
    handles += [
        Line2D([], [], color=INK, ls="", marker=marker, label=f"window {window}")
        for marker, window in zip(MARKERS, windows, strict=False)
    ]
    handles.append(Line2D([], [], ls="", marker="o", ms=10, mfc="none", mec=RED, mew=2, label="chosen"))
    return handles
