"""A recurrent layer at work on one sample: its states as a map, and which step contributes what to a gradient."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, Locator, MaxNLocator

from ..checks import one_of
from ..layers import Dense
from ..recurrent import Recurrent
from ..tracing import LayerTrace, Trace
from ..tracing.itemise import check_backward, norms
from .style import BACKWARD, BLUE, DIVERGING, GREEN, GREY, INK, INPUT, PURPLE, SMALL, caption, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

LINES = (BLUE, BACKWARD, GREEN, PURPLE)  # a feature's line; more than these bear one colour
SEQUENTIAL = "YlGnBu"  # of norms: light is little
WIDE, TALL = 0.6, 0.3  # inches of a cell
MOST_WIDE, MOST_TALL = 9.0, 5.5  # inches of a map
BAR, BAR_WIDE = 0.05, 0.18  # of a colour bar: its share of the width, its inches
# Largest norm / smallest: from where on the scale is logarithmic, and how much of it is shown.
LOG_FROM, LOG_TO = 1e3, 1e8
NOTHING = np.finfo(np.float64).tiny  # what zero is for a logarithm: the lightest colour


def plot_hidden(trace: Trace, layer: str | None = None) -> Figure:
    """Draw a recurrent layer's states h as a map of units and time steps, with the layer's input above it.

    Parameters
    ----------
    trace : Trace
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.

    Returns
    -------
    matplotlib.figure.Figure
        Steps, units and features count from 1.

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent or must be chosen, or its states are not all finite.
    """
    found = recurrent_layer(trace, layer)
    h = states(found)
    steps, units = h.shape
    width, height = map_size(steps, units)
    figure = new_figure(max(width + 1.9, 6.5), height + 3.2)
    axes: dict[str, Axes] = figure.subplot_mosaic([["x"], ["h"]], height_ratios=(1.3, height))
    largest = float(np.abs(h).max()) or 1.0
    image = draw_map(axes["h"], h.T, Normalize(-largest, largest), DIVERGING)
    axes["h"].set(xlabel=step_label(found), ylabel="unit")
    figure.colorbar(image, ax=axes["h"], label="h", fraction=BAR, pad=0.02, aspect=height / BAR_WIDE)
    draw_input(axes["x"], np.array([step.x for step in found.steps]), found is trace.layers[0])
    same_steps(axes["x"], axes["h"])
    figure.suptitle(f"{layer_title(found)}: the state h after every step", parse_math=False)
    caption(
        figure,
        "a column is one time step, a row is one unit; the colour is the unit's state h after that step: red is "
        "positive, blue negative, white zero. Go along a row: a unit that keeps its colour after the input has moved "
        "on remembers; one that moves with the input follows it.",
    )
    return figure


def plot_itemised(trace: Trace, layer: str | None = None, weight: str = "dWh") -> Figure:
    """Draw what the loss at step t contributes to a weight's gradient through step k: a triangle of norms, k <= t.

    Under it stand the norms of each step's own share (its column, summed), beside it those of each loss' gradient (its
    row, summed: what backpropagation through time gives for that loss alone). A layer of which the loss sees the last
    step only has one row. `nbrnn.tracing.itemise.itemise` gives the shares themselves, and their equation.

    Parameters
    ----------
    trace : Trace
        With a backward pass.
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.
    weight : {"dWh", "dWx", "db"}
        The gradient that is taken apart; of a custom cell, that of any of its weights.

    Returns
    -------
    matplotlib.figure.Figure
        Norms are Frobenius norms; steps count from 1.

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent or must be chosen, has no such weight, or there is no backward pass of
        finite numbers.
    ArithmeticError
        If the shares do not sum to the trace's gradients.
    """
    found = recurrent_layer(trace, layer)
    check_backward(found)
    weight = one_of("weight", weight, found.totals)
    shares, rows = norms(found, weight)
    count, steps = shares.shape
    width, height = map_size(steps, count)
    figure = new_figure(max(width + (3.4 if count > 1 else 1.9), 6.5), height + 3.8)
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [["shares", "rows"], ["steps", "."]] if count > 1 else [["shares"], ["steps"]],
        width_ratios=(width, 1.3) if count > 1 else (1,),
        height_ratios=(height, 1.3),
    )
    image = _draw_shares(axes["shares"], shares)
    _itemised_scale(figure, image, [chart for name, chart in axes.items() if name != "steps" or count == 1], weight)
    source = "loss at step t" if sees_steps(trace, found) else "from above, into step t"
    axes["shares"].set_ylabel(source if count > 1 else "the loss")
    if count == 1:
        axes["shares"].set_yticklabels([])
    _draw_column_sums(axes["steps"], np.array([np.linalg.norm(back[weight]) for back in found.backward]))
    axes["steps"].set(xlabel=f"through {step_label(found, ' k')}", ylabel=f"norm of\nstep k's {weight}")
    same_steps(axes["shares"], axes["steps"])
    if count > 1:
        _draw_row_sums(axes["rows"], rows, axes["shares"])
        axes["rows"].set_xlabel(f"norm of\nrow t's {weight}")
    total = short(float(np.linalg.norm(found.totals[weight])), 4, 9)
    figure.suptitle(f"{found.name}: which step contributes what to {weight} (norm {total} in all)", parse_math=False)
    caption(figure, _itemised_caption(weight, count > 1))
    return figure


def _itemised_caption(weight: str, many: bool) -> str:
    if not many:
        return (
            f"the loss sees the last step only, and every earlier step through the states between. A cell is the norm "
            f"of what {weight} gets through that step; the bars show the same. The run's {weight} is the sum of these "
            "shares. Where they shrink to the left, early steps hardly teach the layer anything."
        )
    return (
        f"choose a row, the loss at step t, and go left: a cell is the norm of what flows from that loss back through "
        f"step k into {weight}. Nothing flows to later steps, so the upper right is empty. The run's {weight} is the "
        "sum of all shares; norms do not add up, as shares may cancel. Bars: a column's sum (below), a row's (right)."
    )


def _itemised_scale(figure: Figure, image: AxesImage, beside: list[Axes], weight: str) -> None:
    """Draw the colour bar at the right of some charts."""
    extend = "min" if isinstance(image.norm, LogNorm) else "neither"
    tall = sum(chart.get_position().height for chart in beside if chart.get_position().x0 < 0.5)
    aspect = tall * figure.get_figheight() / BAR_WIDE
    label = f"norm of a share of {weight}"
    figure.colorbar(image, ax=beside, label=label, extend=extend, fraction=BAR, pad=0.02, aspect=aspect)


def _draw_column_sums(axes: Axes, columns: np.ndarray) -> None:
    """Draw bars under the triangle."""
    axes.bar(np.arange(1, len(columns) + 1), columns, color=BACKWARD)
    axes.set_ylim(0, 1.05 * float(columns.max()) or 1.0)
    tidy(axes)


def _draw_row_sums(axes: Axes, rows: np.ndarray, triangle: Axes) -> None:
    """Draw bars beside the triangle, their scale above them."""
    axes.barh(np.arange(1, len(rows) + 1), rows, color=BLUE)
    axes.sharey(triangle)
    axes.tick_params(labelleft=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.spines[["right", "bottom"]].set_visible(False)


# ---------------------------------------------------------------- of a trace


def recurrent_layer(trace: Trace, layer: str | None) -> LayerTrace:
    """Return a recurrent layer of a trace by its name, or the only one."""
    if not isinstance(trace, Trace):
        raise ValueError(f"trace must be what nbrnn.trace returns, not {type(trace).__name__}.")
    names = [one.name for one in trace.layers if isinstance(one.layer, Recurrent)]
    if not names:
        raise ValueError("the model has no recurrent layer; there is nothing to draw.")
    if layer is None and len(names) > 1:
        raise ValueError(f"the model has {len(names)} recurrent layers; choose with layer= one of {', '.join(names)}.")
    name = names[0] if layer is None else one_of("layer", layer, [one.name for one in trace.layers])
    if name not in names:
        raise ValueError(f"layer {name!r} is not recurrent; layer must be one of {', '.join(names)}.")
    return next(one for one in trace.layers if one.name == name)


def layer_title(layer: LayerTrace) -> str:
    """Return a layer's name, class and size."""
    units = layer.layer.units
    return f"{layer.name} ({layer.kind}, {units} unit{'s' * (units > 1)})"


def states(layer: LayerTrace) -> np.ndarray:
    """Return the states h, (T, H), if they can be drawn."""
    h = np.array([step.h for step in layer.steps])
    if not np.isfinite(h).all():
        raise ValueError(f"the states of {layer.name} are not all finite; they cannot be drawn.")
    return h


def above(trace: Trace, layer: LayerTrace) -> list[LayerTrace]:
    """Return the layers above one, up to where the way parts."""
    found = [layer]
    while len(readers := [one for one in trace.layers if found[-1].name in one.reads]) == 1 and readers[0] not in found:
        found += readers
    return found[1:]


def sees_steps(trace: Trace, layer: LayerTrace) -> bool:
    """Whether each state makes an output of its own, so that there is a loss at every step, or the last one does."""
    return all(isinstance(one.layer, Dense) for one in above(trace, layer))


def step_label(layer: LayerTrace, letter: str = "") -> str:
    """Return what the time axis is called."""
    turned = " (the layer reads the sequence from its end)" if layer.layer.go_backwards else ""
    return f"step{letter}{turned}"


def short(value: float, digits: int = 3, width: int = 7) -> str:
    """Return a number with as many significant digits as the width has room for, with a power of ten if that helps."""
    for kept in range(digits, 0, -1):
        for text in (f"{value:#.{kept}g}", f"{value:.{kept - 1}e}"):
            text = re.sub(r"\.?e\+?(-?)0*", r"e\1", text.rstrip("."))
            if len(text) <= width:
                return "0" if value == 0 else text
    return text


# ---------------------------------------------------------------- maps


def map_size(columns: int, rows: int) -> tuple[float, float]:
    """Return a map's inches."""
    return min(max(WIDE * columns, 3.5), MOST_WIDE), min(max(TALL * rows, 0.5), MOST_TALL)


def _counting(count: int) -> Locator:
    """Return ticks for 1 to count: all of them if they are few."""
    return FixedLocator(range(1, count + 1)) if count <= 15 else MaxNLocator("auto", integer=True)


def draw_map(axes: Axes, numbers: np.ndarray, norm: Normalize, colors: str) -> AxesImage:
    """Draw numbers as colours and, where there is room, as figures; rows and columns count from 1."""
    rows, columns = numbers.shape
    extent = (0.5, columns + 0.5, rows + 0.5, 0.5)
    drawn = np.where(numbers == 0, NOTHING, numbers) if isinstance(norm, LogNorm) else numbers
    image = axes.imshow(drawn, cmap=colors, norm=norm, aspect="auto", extent=extent, interpolation="nearest")
    axes.xaxis.set_major_locator(_counting(columns))
    axes.yaxis.set_major_locator(_counting(rows))
    if WIDE * columns <= MOST_WIDE and TALL * rows <= MOST_TALL:
        lightness = image.to_rgba(drawn)[..., :3] @ (0.299, 0.587, 0.114)
        for (row, column), value in np.ndenumerate(numbers):
            if np.isfinite(value):
                dark = lightness[row, column] < 0.5
                style: dict[str, Any] = {"color": "white" if dark else INK, "fontsize": SMALL}
                axes.text(column + 1, row + 1, short(value), ha="center", va="center", **style)
    return image


def _draw_shares(axes: Axes, shares: np.ndarray) -> AxesImage:
    """Draw the triangle of norms; steps after the loss stay empty."""
    count, steps = shares.shape
    cells = np.where(np.arange(steps) > np.arange(steps - count, steps)[:, None], np.nan, shares)
    largest = float(shares.max()) or 1.0
    smallest = shares[shares > 0].min(initial=largest)
    norm = Normalize(0, largest)
    if largest / smallest > LOG_FROM:
        norm = LogNorm(max(smallest, largest / LOG_TO), largest)
    return draw_map(axes, cells, norm, SEQUENTIAL)


def draw_input(axes: Axes, x: np.ndarray, first: bool) -> None:
    """Draw the layer's input, a line a feature."""
    steps, features = x.shape
    few = features <= len(LINES)
    for j in range(features):
        style: dict[str, Any] = {"color": LINES[j], "lw": 1.4} if few else {"color": INPUT, "lw": 0.8}
        axes.plot(np.arange(1, steps + 1), x[:, j], marker="." if steps <= 60 else "", label=f"x{j + 1}", **style)
    if few and features > 1:
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0, "ncols": features}
        axes.legend(frameon=False, fontsize=SMALL, **place)
    axes.axhline(0, color=GREY, lw=0.8, zorder=0)
    what = "input x" if first else "x, from\nthe layer below"
    axes.set_ylabel(f"{what}\n({features} features)" if not few else what)
    tidy(axes)


def same_steps(upper: Axes, lower: Axes) -> None:
    """Let two charts that stand one above the other share their time axis, and its labels."""
    limits, ticks = next((a.get_xlim(), a.xaxis.get_major_locator()) for a in (upper, lower) if a.images)
    upper.sharex(lower)
    lower.set_xlim(limits)
    lower.xaxis.set_major_locator(ticks)
    upper.tick_params(labelbottom=False)
