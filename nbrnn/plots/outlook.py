"""Forecasts beyond a series' end, and errors by how far ahead a forecast looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..backtest import NETWORK
from .forecasts import date_axis
from .style import (
    ACTUAL,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE_BLUE,
    PREDICTED,
    PURPLE,
    SMALL,
    SPLIT,
    VERMILION,
    caption,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..backtest import Backtest
    from ..outlook import Outlook
    from ..scrambling import Scrambled

NAIVE, FREE = INK, VERMILION
STYLES = {
    NETWORK: (PREDICTED, "-", "o", 2.6),
    "last value": (GREY, "-", "", 5),  # so that a drift of nearly nothing is seen upon it
    "drift": (ORANGE, "-", "^", 1.5),
    "seasonal-naive": (INK, ":", "", 1.5),
    "season's mean": (PURPLE, "--", "", 1.5),
    "least-squares AR": (GREEN, "-", "D", 1.5),
}
ORDER = {NETWORK: 3, "last value": 1}  # what lies upon what
FAR = 3  # times the largest error of the network
FEW = 150  # points that still have a mark each


def plot_forecast(outlook: Outlook, target: int = 0) -> Figure:
    """Draw the last rows of a series, the forecasts of them, and the forecast beyond the end with its band.

    Parameters
    ----------
    outlook : Outlook
    target : int, default 0
        Which of the targets.

    Returns
    -------
    matplotlib.figure.Figure
    """
    problem, table = outlook.problem, outlook.problem.table
    name = problem.targets[target]
    end, start, count = len(table), outlook.start, len(outlook.free)
    history, ahead = np.arange(start, end), np.arange(end, end + outlook.steps)
    columns = outlook.columns(target)
    figure = new_figure(11, 5.6)
    axes = figure.subplots()
    few = len(history) + outlook.steps <= FEW
    marked: dict[str, Any] = {"marker": "." if few else "", "ms": 6}
    axes.plot(history, table.column(name)[start:], color=ACTUAL, lw=2.5 if few else 1.4, label="what came")
    if count:  # else the series is no longer than what a forecast looks back on
        one_step, free = outlook.one_step[:, target], outlook.free[:, target]
        told: dict[str, Any] = {"lw": 1 if few else 0.6, "label": "network, one step ahead from true rows"}
        axes.plot(np.arange(end - len(one_step), end), one_step, color=PREDICTED, **told, **marked)
        begun = f"network, begun {count} {'row' if count == 1 else 'rows'} before the end"
        axes.plot(np.arange(end - count, end), free, color=FREE, lw=1.8, ls="--", label=begun, **marked)
    if "low" in columns:
        shade = axes.fill_between if outlook.steps > 1 else axes.vlines
        thick = 0 if outlook.steps > 1 else 8
        shade(ahead, columns["low"], columns["high"], color=PALE_BLUE, lw=thick, label=_band(outlook))
    axes.plot(ahead, columns["mean"], color=PREDICTED, lw=2.4, label="network, beyond the end", **marked)
    naive = next(what for what in columns if what in outlook.naive)
    axes.plot(ahead, columns[naive], color=NAIVE, lw=1.2, ls=":", label=naive, **marked)
    axes.axvline(end - 0.5, color=SPLIT, lw=1.8)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.1 * (high - low))
    for text, side in (("known ", "right"), (" forecast", "left")):
        axes.text(end - 0.5, axes.get_ylim()[1], text, ha=side, va="top", color=SPLIT)
    axes.set_ylabel(problem.unit(name), parse_math=False)
    rows = "row" if outlook.steps == 1 else "rows"
    axes.set_title(f"{table.name}: {name}, {outlook.steps} {rows} ahead", parse_math=False)
    axes.set_xlim(right=max(axes.get_xlim()[1], end + 0.05 * len(history)))
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL)
    date_axis(axes, [*table.dates, *outlook.labels] if table.dates else None)
    tidy(axes)
    caption(figure, _how_to_read(outlook))
    return figure


def plot_errors_by_horizon(backtest: Backtest, unit: str = "", target: int = 0) -> Figure:
    """Draw the RMSE of the network and of the baselines, by how many steps ahead they look.

    Of one step ahead the figures are bars.

    Parameters
    ----------
    backtest : Backtest
        Baselines that do not answer to every value are left out.
    unit : str
        Of the target; its name if not given.
    target : int, default 0
        Which of the targets.

    Returns
    -------
    matplotlib.figure.Figure
    """
    name, steps = backtest.targets[target], np.arange(1, backtest.steps + 1)
    names = [NETWORK, *backtest.known(target)]
    errors = {n: np.array([backtest.score("rmse", n, int(s), target) for s in steps]) for n in names}
    styles = {n: _style(n) for n in names}
    figure = new_figure(10, 5 if backtest.steps > 1 else 2.2 + 0.4 * len(names))
    axes = figure.subplots()
    title = f"{name}, {backtest.part} rows: errors of {len(backtest.rows)} forecasts"
    axes.set_title(title, parse_math=False)
    unit = f"RMSE ({unit or name})"
    if backtest.steps == 1:
        ranked = sorted(names, key=lambda n: -errors[n][0])
        _bars(axes, ranked, [errors[n][0] for n in ranked], [styles[n][0] for n in ranked], unit)
        read = "shorter bars are better. The network is worth its training if its bar is shorter than the baselines'."
    else:
        for n in sorted(names, key=lambda n: -errors[n][-1]):
            color, line, mark, width = styles[n]
            marks: dict[str, Any] = {"marker": mark, "ms": 5, "markevery": max(1, len(steps) // 24)}
            above = errors[n].min() > FAR * errors[NETWORK].max()  # it would press the others together
            shown = slice(0 if above else None)
            label = f"{n}: {errors[n].min():.4g} and more" if above else n
            order = ORDER.get(n, 2)
            axes.plot(steps[shown], errors[n][shown], line, color=color, lw=width, zorder=order, label=label, **marks)
        axes.set_xlim(min(1, 1 - 0.02 * len(steps)), 1.02 * len(steps))
        axes.set(xlabel="steps ahead", ylim=(0, None))
        axes.set_ylabel(unit, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right upper", frameon=False, fontsize=SMALL)
        read = (
            "each point is the error of all forecasts that look so many steps ahead; lower is better, and the names "
            "stand in the order of the last step. Where the network's curve runs above another one, that baseline is "
            "the better forecast. A baseline that lies far above all others is not drawn, but named."
        )
    tidy(axes)
    caption(figure, read)
    return figure


def plot_scrambled(scores: Sequence[Scrambled], unit: str = "") -> Figure:
    """Draw the errors of networks that see a window's steps in order, and permuted.

    Parameters
    ----------
    scores : sequence of Scrambled
        As `scramble_time` yields them.
    unit : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are none.
    """
    if not scores:
        raise ValueError("scores holds no network; there is nothing to draw.")
    labels, values, colors, draws = [], [], [], []
    for one in scores:
        kinds = (
            ("trained anew on permuted steps", one.trained, ORANGE),
            ("permuted at test time", one.tested, VERMILION),
            ("in order", one.ordered, BLUE),
        )
        labels += [f"{one.name}: {what}" for what, _, _ in kinds]
        values += [value for _, value, _ in kinds]
        colors += [color for _, _, color in kinds]
        draws += list(zip(*one.draws, strict=True))[::-1]
    figure = new_figure(10, 2 + 0.4 * len(labels))
    axes = figure.subplots()
    axes.set_title("what the order of a window's steps is worth", parse_math=False)
    _bars(axes, labels, values, colors, f"RMSE ({unit})" if unit else "RMSE")
    for k, found in enumerate(draws):
        axes.plot(found, [k - 0.42] * len(found), "o", ms=3, color=INK, clip_on=False)
    axes.set_xlim(0, 1.1 * max(map(max, draws)) or 1)
    tidy(axes)
    caption(
        figure,
        "shorter bars are better. A bar is the median of the draws, the dots under it: other first weights and another "
        "permutation each. A network that is given permuted windows at test time only finds its weights at the "
        "wrong steps, whatever it is. Trained anew on them, a perceptron is what it was: to it the steps are columns. "
        "To a recurrent network it is another problem; only where the dots of one bar lie beyond those of the other "
        "has it made use of their order.",
    )
    return figure


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[str], unit: str) -> None:
    """Draw bars with their names and figures, the last one uppermost."""
    axes.barh(range(len(names)), values, color=colors, height=0.6)
    for k, value in enumerate(values):
        axes.text(value, k, f" {value:.4g}", va="center", fontsize=SMALL, color=INK)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel(unit, parse_math=False)
    axes.set_xlim(0, 1.1 * max(values) or 1)


def _style(name: str) -> tuple[str, str, str, float]:
    """Return colour, line, mark and width of a forecast by the beginning of its name."""
    return next((style for start, style in STYLES.items() if name.startswith(start)), (INK, "-", "", 1.5))


def _band(outlook: Outlook) -> str:
    return f"the middle {100 * outlook.level:.3g} % of {len(outlook.fan.paths)} paths"


def _how_to_read(outlook: Outlook) -> str:
    loops = outlook.steps > outlook.horizon
    told = (
        "left of the red line the grey curve is what came. The thin blue curve was told the truth at every step; judge "
        "the forecast by the dashed one, which "
        + ("had to go on from its own values, as the forecast on the right has to." if loops else "saw no later row.")
    )
    if outlook.fans_out:
        return f"{told} The band is where the network's paths lie; whether the truth lies there, its coverage tells."
    return f"{told} If the dotted baseline is as good a guess as the forecast, the network has added nothing."
