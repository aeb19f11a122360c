"""Forecasts beside what came, and the losses of a fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from ..training import History
from .style import (
    ACTUAL,
    BLUE,
    INK,
    PALE,
    PALE_BLUE,
    PALE_ORANGE,
    PREDICTED,
    SMALL,
    SPLIT,
    VALIDATION,
    caption,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..backtest import Backtest
    from ..csvfile import Table


VECTORS = 5000  # points that an SVG may hold one by one; more become pixels


def plot_predictions(
    actual: ArrayLike,
    predicted: ArrayLike,
    split: int,
    rows: ArrayLike | None = None,
    dates: Sequence[str] | None = None,
    unit: str = "",
    title: str = "",
    zoom: int = 120,
    part: str = "test",
) -> Figure:
    """Draw actual and predicted values, a close look at the last of them, and the errors.

    Parameters
    ----------
    actual, predicted : array (N,)
        In the series' own units.
    split : int
        The first row of the test part; a red line stands before it.
    rows : int array (N,), optional
        The row of each value in the series, rising; 0 to N - 1 if not given.
    dates : sequence of str, optional
        The label of each row of the series.
    unit : str
        For the vertical axes.
    title : str
    zoom : int, default 120
        How many of the last rows the close look shows.
    part : str, default "test"
        What the rows from the split on are called.

    Raises
    ------
    ValueError
        If the arrays differ in length, are empty, or there is no date for a row.
    """
    actual, predicted = np.asarray(actual, np.float64), np.asarray(predicted, np.float64)
    rows = np.arange(len(actual)) if rows is None else np.asarray(rows)
    if not len(actual) or actual.shape != predicted.shape or actual.shape != rows.shape or actual.ndim != 1:
        raise ValueError(
            "actual, predicted and rows must be arrays of one length, not of shapes "
            f"{actual.shape}, {predicted.shape} and {rows.shape}."
        )
    if dates is not None and len(dates) <= rows[-1]:
        raise ValueError(f"dates must hold a label for each row up to {rows[-1]}, not {len(dates)} labels.")
    figure = new_figure(10, 8)
    whole, close, errors = figure.subplots(3, 1, height_ratios=(3, 3, 2))
    errors.sharex(whole)
    count = max(2, min(zoom, len(rows) // 3))
    dense = len(rows) > 500
    for axes, shown in ((whole, slice(None)), (close, slice(-count, None))):
        thin = dense and axes is whole
        axes.plot(rows[shown], actual[shown], color=ACTUAL, lw=1.4 if thin else 2.5, label="actual")
        style = {"lw": 0.6} if thin else {"lw": 1.2, "marker": ".", "ms": 5}
        axes.plot(rows[shown], predicted[shown], color=PREDICTED, label="predicted, one step ahead", **style)
        axes.set_ylabel(unit or "value", parse_math=False)
    whole.legend(loc="upper left", ncols=2, frameon=False)
    whole.set_title(title, parse_math=False)
    close.set_title(f"the last {len(rows[-count:])} predictions, closer", fontsize="medium")
    points = {"ls": "", "marker": ".", "ms": 2 if dense else 5, "rasterized": len(rows) > VECTORS}
    errors.plot(rows, actual - predicted, color=PREDICTED, **points)
    errors.axhline(0, color=ACTUAL, lw=0.8)
    errors.set_ylabel("actual - predicted")
    for axes in (whole, close, errors):
        axes.margins(x=0.01)
        low, high = axes.get_xlim()
        if low < split < high:
            axes.axvline(split - 0.5, color=SPLIT, lw=1.8)
        date_axis(axes, dates)
        tidy(axes)
    low, high = whole.get_ylim()
    whole.set_ylim(low, high + 0.15 * (high - low))
    for text, side in (("training rows ", "right"), (f" {part} rows", "left")):
        whole.text(split - 0.5, whole.get_ylim()[1], text, ha=side, va="top", color=SPLIT)
    caption(
        figure,
        "the red line parts the rows that the network learned from (left) from those that it never "
        "saw. Each prediction is made from the true rows just before it, so a curve that only repeats the last value "
        "looks close too: judge it by its scores beside the baselines. The errors (below) should scatter around 0, and "
        "no wider to the right of the line than to the left.",
    )
    return figure


def plot_backtest(parts: Sequence[Backtest], series: Table, unit: str = "", target: int = 0) -> Figure:
    """Draw the forecasts one step ahead of two parts, the training rows and what follows, as `plot_predictions` does.

    Parameters
    ----------
    parts : sequence of two Backtest
        Of the training rows, and of those that are judged.
    series : Table
        All rows, for the dates.
    unit : str
    target : int, default 0
        Which of the targets.
    """
    first, judged = parts
    name = judged.targets[target]
    actual, predicted = (
        [values(part)[:, 0, target] for part in parts]
        for values in (lambda part: part.actual, lambda part: part.predicted["network"])
    )
    rows, gap = [first.rows, judged.rows], int(first.rows[-1]) + 1
    if judged.rows[0] > gap:  # rows between them are not drawn, nor bridged by a line
        for arrays, filler in ((actual, np.nan), (predicted, np.nan), (rows, gap)):
            arrays.insert(1, np.array([filler]))
    return plot_predictions(
        np.concatenate(actual),
        np.concatenate(predicted),
        int(judged.rows[0]),
        rows=np.concatenate(rows),
        dates=series.dates,
        unit=unit or name,
        title=f"{name}: actual and predicted, one step ahead",
        part=judged.part,
    )


def plot_series(
    series: Table, parts: Mapping[str, slice] | None = None, column: str | int = 0, unit: str = "", title: str = ""
) -> Figure:
    """Draw a series, and the parts that it was split into.

    Parameters
    ----------
    series : Table
    parts : dict of str to slice, optional
        The rows of each part, by its name.
    column : str or int, default 0
    unit : str
        For the vertical axis; the column's name if not given.
    title : str

    Raises
    ------
    ValueError
        If the column is unknown.
    """
    values = series.column(column)
    name = series.columns[series.index(column)]
    figure = new_figure(10, 3.6)
    axes = figure.subplots()
    axes.plot(values, color=BLUE, lw=0.8 if len(values) > 500 else 1.5)
    axes.set_ylabel(unit or name, parse_math=False)
    axes.set_title(title or f"{series.name}: {name}", parse_math=False)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))
    shades = (PALE, PALE_ORANGE, PALE_BLUE)
    for (part, rows), shade in zip((parts or {}).items(), shades, strict=False):
        axes.axvspan(rows.start - 0.5, rows.stop - 0.5, color=shade, lw=0, zorder=0)
        middle, height = (rows.start + rows.stop) / 2, axes.get_ylim()[1]
        text = f"{part}\n{rows.stop - rows.start} rows"
        axes.text(middle, height, text, ha="center", va="top", fontsize=SMALL, color=INK)
    date_axis(axes, series.dates)
    tidy(axes)
    caption(
        figure,
        "time goes to the right. The network learns from the training rows; the validation rows decide when to stop "
        "and which settings are kept; the test rows are looked at once, at the end.",
    )
    return figure


def plot_history(history: History | Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draw the loss, and the validation loss where there is one, epoch by epoch; other figures stand in a second panel.

    Parameters
    ----------
    history : History or its dict
        What `fit` returned.
    title : str

    Raises
    ------
    ValueError
        If no epoch was finished.
    """
    figures = history.history if isinstance(history, History) else history
    if not figures or not all(len(values) for values in figures.values()):
        raise ValueError("the history holds no finished epoch; there is nothing to draw.")
    validated = np.searchsorted(history.epoch, history.validated) if isinstance(history, History) else ()
    names = [name for name in figures if not name.startswith("val_")]
    figure = new_figure(8, 2.2 + 2.6 * len(names))
    for name, axes in zip(names, np.ravel(figure.subplots(len(names), 1, sharex=True)), strict=True):
        for key, color, style, label in (
            (name, PREDICTED, "-", "training"),
            (f"val_{name}", VALIDATION, "--", "validation"),
        ):
            values = figures.get(key)
            if values is not None:
                epochs = np.arange(1, len(values) + 1)
                if key != name and len(validated) == len(values):  # not after every epoch, perhaps
                    epochs = np.asarray(validated) + 1
                axes.plot(epochs, values, color=color, ls=style, marker=".", label=label)
        if all(value > 0 for key in (name, f"val_{name}") for value in figures.get(key, ())):
            axes.set_yscale("log")
        axes.set_ylabel(name, parse_math=False)
        axes.legend(frameon=False)
        tidy(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    figure.suptitle(title, parse_math=False)
    caption(
        figure,
        "a curve that still falls wants more epochs; one that jumps, a smaller learning rate. A "
        "validation curve that turns up while the training curve falls shows overfitting.",
    )
    return figure


def date_axis(axes: Axes, dates: Sequence[str] | None) -> None:
    """Label the rows with their dates: with round years if they span enough of them."""
    if dates is None:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("row")
        return
    low, high = (int(np.clip(end, 0, len(dates) - 1)) for end in axes.get_xlim())
    years = {}
    for row in range(low, high + 1):
        found = re.match(r"\d{4}(?=\D|$)", dates[row])
        if found and (row == 0 or dates[row - 1][:4] != found[0]):
            years[int(found[0])] = row
    for step in (1, 2, 5, 10, 20, 25, 50, 100):
        ticks = [row for year, row in years.items() if year % step == 0]
        if 3 <= len(ticks) <= 12:
            axes.xaxis.set_major_locator(FixedLocator(ticks))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda row, _: dates[round(row)][:4]))
            return
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda row, _: dates[round(row)] if 0 <= row < len(dates) else ""))
