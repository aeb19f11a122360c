"""What a step of a model reads: its input, and what came back from the step before. Elman and Jordan side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from ..feedback import Feedback
from ..layers import Layer
from ..recurrent import Recurrent
from .style import (
    BACKWARD,
    FORWARD,
    INK,
    INPUT,
    OUTPUT,
    PALE,
    PALE_ORANGE,
    SMALL,
    STATE,
    TEXT,
    canvas,
    caption,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model import Model

WIDE, BOX, TALL, GAP = 5.8, 2.0, 0.7, 0.6  # inches: a diagram, a box, its height, from one box to the next
MIDDLE, FOOT, OUT = WIDE / 2, 0.15, 0.5
DELAY = 0.19  # half the side of the square that says 'one step later'
Box = tuple[str, str]
Loop = tuple[int, int, str, str]
DASHED = (0, (4, 2))
MOST = 4  # diagrams side by side


def plot_wiring(models: Model | Sequence[Model], titles: Sequence[str] = ()) -> Figure:
    """Draw each model as the boxes that one time step goes through, with what comes back from the step before.

    Parameters
    ----------
    models : Sequential or Model, or a sequence of at most four
        Built; chains of layers without Bidirectional.
    titles : sequence of str, optional
        One for each model; their names if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no model or more than four, one is not built, no chain or holds a layer without a step of its own,
        or there are not as many titles as models.
    """
    given = list(models) if isinstance(models, Sequence) else [models]
    if not 1 <= len(given) <= MOST:
        raise ValueError(f"models must hold 1 to {MOST} models, not {len(given)}.")
    if titles and len(titles) != len(given):
        raise ValueError(f"titles holds {len(titles)} names for {len(given)} models.")
    wirings = [wiring(model) for model in given]
    height = FOOT + (TALL + GAP) * max(len(boxes) for boxes, _ in wirings)
    figure = new_figure(WIDE * len(given) + 0.4, height + 1.2)
    names = titles or [model.name for model in given]
    sheets = figure.subplots(1, len(given), squeeze=False)[0]
    for axes, name, (boxes, loops) in zip(sheets, names, wirings, strict=True):
        canvas(axes, WIDE, height)
        axes.set_title(name, parse_math=False)
        _draw(axes, boxes, loops)
    caption(
        figure,
        "a column of boxes is one time step, from the input at the foot to the output at the top. The dashed arrow is "
        "what a later step reads beside its input, in an Elman network the state, in a Jordan network the output; the "
        "number in its square says how many steps later.",
    )
    return figure


def wiring(model: Model) -> tuple[list[Box], list[Loop]]:
    r"""Return a step's boxes, from the input up, and what goes back.

    Parameters
    ----------
    model : Sequential or Model

    Returns
    -------
    boxes : list of (str, str)
        What is written into each, and its colour.
    loops : list of (int, int, str, str)
        From which box to which, how many steps later, and what is written beside the arrow.

    Raises
    ------
    ValueError
        As `plot_wiring`.

    Examples
    --------
    >>> from nbrnn import Dense, Sequential, SimpleRNN
    >>> boxes, loops = wiring(Sequential([SimpleRNN(3), Dense(1)], input_shape=(None, 2)))
    >>> [text for text, _ in boxes]
    ['x_t: 2 numbers', 'h_t: 3 numbers', 'y_t: 1 number']
    >>> loops
    [(1, 1, '1', 'h_(t-1)\n3x3 weights')]
    """
    model._built()
    if not model.graph.is_chain:
        raise ValueError(f"plot_wiring draws a chain of layers, but {model.graph.why_no_chain()}.")
    boxes = [(_sized("x_t", model.input_shapes[0][-1]), INPUT)]
    loops: list[Loop] = []
    for layer in model.layers:
        if isinstance(layer, Feedback):
            first = len(boxes)
            for inner in layer.steps:
                _add(inner, boxes, loops)
            lags = "y_(t-1)" + (f" ... y_(t-{layer.lags})" if layer.lags > 1 else "")
            reads = getattr(layer.steps[0], "units", 0) * getattr(layer.steps[0], "gates", 1)
            later = "1" if layer.lags == 1 else f"1-{layer.lags}"
            loops.append((len(boxes) - 1, first, later, f"{lags}\n{layer.lags * layer.outputs}x{reads} weights"))
        else:
            _add(layer, boxes, loops)
    boxes[-1] = (boxes[-1][0].replace(boxes[-1][0].split(":")[0], "y_t", 1), OUTPUT)
    return boxes, loops


def _add(layer: Layer, boxes: list[Box], loops: list[Loop]) -> None:
    """Add a layer's box, and what it keeps for its own next step."""
    units = getattr(layer, "units", None)
    if layer.leaves() != [layer] or units is None:
        raise ValueError(f"plot_wiring draws layers of units, such as SimpleRNN, Dense and Jordan, not {layer.title}.")
    number = sum(color == STATE for _, color in boxes)
    name = "h" + "'" * number
    boxes.append((_sized(f"{name}_t", units), STATE))
    if isinstance(layer, Recurrent):
        states = ", ".join(f"{s}{chr(39) * number}_(t-1)" for s in layer.states)
        size = f"{layer.units}x{layer.gates * layer.units} weights"
        loops.append((len(boxes) - 1, len(boxes) - 1, "1", f"{states}\n{size}"))


def _sized(name: str, count: int | None) -> str:
    return f"{name}: {count} number{'s' * (count != 1)}"


def _draw(axes: Axes, boxes: list[Box], loops: list[Loop]) -> None:
    """Draw a step's boxes and arrows."""
    bottoms = [FOOT + k * (TALL + GAP) for k in range(len(boxes))]
    for (text, color), low in zip(boxes, bottoms, strict=True):
        style: dict[str, Any] = {"facecolor": PALE, "edgecolor": color, "lw": 2.0}
        shape = "round,pad=0,rounding_size=0.08"
        axes.add_patch(FancyBboxPatch((MIDDLE - BOX / 2, low), BOX, TALL, boxstyle=shape, **style))
        axes.text(MIDDLE, low + TALL / 2, text, ha="center", va="center", fontsize=TEXT, color=INK, parse_math=False)
    for low, high in pairwise(bottoms):
        axes.add_patch(_arrow((MIDDLE, low + TALL), (MIDDLE, high), FORWARD))
    for source, goal, *texts in loops:
        _loop(axes, bottoms[source] + TALL, bottoms[goal], texts, 1 if source == goal else -1)


def _loop(axes: Axes, top: float, bottom: float, texts: Sequence[str], side: int) -> None:
    """Draw the way from a box through the square to the one that reads it next, at the right (1) or left (-1)."""
    start, end, edge = top - 0.16, bottom + 0.16, MIDDLE + side * BOX / 2
    out, middle = edge + side * OUT, (start + end) / 2
    axes.plot([edge, out, out], [start, start, end], color=BACKWARD, lw=1.5, ls=DASHED)
    axes.add_patch(_arrow((out, end), (edge, end), BACKWARD, linestyle=DASHED))
    corner = (out - DELAY, middle - DELAY)
    axes.add_patch(Rectangle(corner, 2 * DELAY, 2 * DELAY, facecolor=PALE_ORANGE, edgecolor=BACKWARD, zorder=3))
    style: dict[str, Any] = {"va": "center", "fontsize": SMALL, "color": INK, "parse_math": False}
    axes.text(out, middle, texts[0], ha="center", zorder=4, **style)
    axes.text(out + side * (DELAY + 0.08), middle, texts[1], ha="left" if side > 0 else "right", **style)


def _arrow(start: tuple[float, float], end: tuple[float, float], color: str, **more: Any) -> FancyArrowPatch:
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 0, "shrinkB": 0, "lw": 1.5}
    return FancyArrowPatch(start, end, color=color, **style, **more)
