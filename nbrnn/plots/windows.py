"""The sliding window, drawn over the series that it cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ..checks import whole_number
from ..data import sliding_windows
from ..series import finite_rows
from .style import (
    BLUE,
    GREEN,
    INK,
    INPUT,
    PALE_BLUE,
    PALE_ORANGE,
    PURPLE,
    SMALL,
    TARGET,
    caption,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = (BLUE, GREEN, INK, PURPLE)  # a column's line; further columns begin again
MOST_NUMBERS = 24  # rows across, up to which numbers are written into the squares


def plot_windows(
    series: ArrayLike,
    length: int,
    horizon: int = 1,
    stride: int = 1,
    target: int | Sequence[int] | None = None,
    shown: int = 4,
    names: Sequence[str] | None = None,
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw a series and, under it, which rows the first windows take as inputs and which as targets.

    Parameters
    ----------
    series : array (rows,) or (rows, columns)
        As for `sliding_windows`, and so are the next four.
    length, horizon, stride, target
        Rows in a window, rows to predict (0: the window's last row), rows from one window to the next, and the columns
        to predict.
    shown : int, default 4
        How many windows are drawn, if there are as many.
    names : sequence of str, optional
        A name for each column.
    unit : str
        For the vertical axis.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Rows are counted from 1.

    Raises
    ------
    ValueError
        As for `sliding_windows`; if `shown` is not a positive whole number, or there is no name for each column.
    """
    rows = finite_rows("series", series)
    X, y = sliding_windows(rows, length, horizon, stride, target)
    shown = min(whole_number("shown", shown), len(X))
    columns = rows.shape[1]
    if names is not None and len(names) != columns:
        raise ValueError(f"names must hold a name for each of the {columns} columns, not {len(names)} names.")
    # The same cut through the rows' numbers tells where each value comes from.
    numbers = np.stack([np.arange(1, len(rows) + 1)] * 2, axis=1)
    inputs, targets = sliding_windows(numbers, length, horizon, stride, target=1)
    inputs = inputs[:shown, :, 0]
    last = min(len(rows), int(targets[shown - 1, -1]) + max(1, length // 4))
    tall = 0.35 + 0.2 * columns if last <= MOST_NUMBERS else 0.45

    figure = new_figure(10, 3.8 + tall * shown)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, tall * shown + 0.2))
    for c in range(columns):
        label = names[c] if names is not None else (f"column {c}" if columns > 1 else "the series")
        width = 1.5 + 1.2 * min(columns - 1 - c, 3)  # columns of equal values stay in sight
        style = {"color": LINES[c % 4], "lw": width, "marker": "o", "ms": width + 2.5}
        above.plot(numbers[:last, 0], rows[:last, c], label=label, zorder=2, **style)
    _mark_first(above, inputs[0], targets[0])
    above.set_ylabel(unit or "value", parse_math=False)
    above.set_title(title, parse_math=False)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=SMALL)

    for n in range(shown):
        _lane(below, n, inputs[n], targets[n], X[n], y[n], numbers_fit=last <= MOST_NUMBERS)
    below.set_ylim(shown - 0.4, -0.6)
    below.set_yticks(range(shown), [f"window {n + 1}" for n in range(shown)])
    below.tick_params(axis="y", length=0)
    every = MaxNLocator(15, integer=True, steps=[1, 2, 5, 10])
    below.xaxis.set_major_locator(FixedLocator(range(1, last + 1)) if last <= MOST_NUMBERS else every)
    below.set_xlim(0.3, last + 0.7)
    more = len(X) - shown
    rest = f"and {more} more window{'s' * (more > 1)}" if more else "no more windows"
    below.set_xlabel(f"row of the series, counted from 1 ({len(rows)} rows; {rest})")
    for axes in (above, below):
        tidy(axes)
    below.spines["left"].set_visible(False)
    where = "the row just after it" if horizon == 1 else f"the {horizon} rows after it"
    where = where if horizon else "its last row, in the column that the model does not see"
    step = "one row" if stride == 1 else f"{stride} rows"
    caption(
        figure,
        f"each lane below is one row of the table that a network learns from: blue squares are what it sees "
        f"({length} row{'s' * (length > 1)} of the series), orange squares what it must say ({where}). From lane to "
        f"lane the window moves on by {step}. The first window is marked on the curve above.",
    )
    return figure


def _mark_first(axes: Axes, inputs: NDArray, targets: NDArray) -> None:
    """Shade the first window's rows, and its targets', behind the curve."""
    part = 0.35 if targets[0] == inputs[-1] else 1.0  # horizon 0: both stand in one row
    for span, color, high, label in ((inputs, PALE_BLUE, 1.0, "inputs"), (targets, PALE_ORANGE, part, "target")):
        edges = (span[0] - 0.5, span[-1] + 0.5)
        axes.axvspan(*edges, 0, high, color=color, lw=0, label=f"window 1: {label}", zorder=1)


def _lane(axes: Axes, n: int, inputs: NDArray, targets: NDArray, x: NDArray, y: NDArray, *, numbers_fit: bool) -> None:
    """Draw one window as squares, with the numbers in them if they fit."""
    same_row = targets[0] == inputs[-1]  # horizon 0: the target shares the last row's square
    steps = y.reshape(len(targets), -1)
    for row, values in zip(inputs, x, strict=True):
        shared = same_row and row == inputs[-1]
        _square(axes, row, n - 0.4, 0.52 if shared else 0.8, INPUT, values if numbers_fit else None)
    for row, values in zip(targets, steps, strict=True):
        top, height = (n + 0.14, 0.26) if same_row else (n - 0.4, 0.8)
        _square(axes, row, top, height, TARGET, values if numbers_fit else None)


def _square(axes: Axes, row: int, top: float, height: float, color: str, values: NDArray | None) -> None:
    axes.add_patch(Rectangle((row - 0.45, top), 0.9, height, facecolor=color, edgecolor="white", lw=1.0))
    if values is not None:
        text = "\n".join(f"{value:.4g}" for value in values)
        axes.text(row, top + height / 2, text, ha="center", va="center", fontsize=SMALL, color=INK)
