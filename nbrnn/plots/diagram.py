"""A model as boxes, with the arithmetic of its parameters written out."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from ..checks import whole_number
from ..layers import Layer, Shape
from ..recurrent import Recurrent
from .style import BLUE, GREEN, INK, INPUT, PALE, SMALL, TEXT, canvas, caption, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..sequential import Sequential

WIDTH, BOX, STEP = 10.0, 4.4, 1.55  # inches: the figure, a box, from one box to the next
LEFT, TALL, RIGHT = 0.6, 1.0, 5.5  # where boxes begin, their height, where the arithmetic begins


def plot_model(model: Sequential, limit: int = 12, title: str = "") -> Figure:
    """Draw a model's layers as boxes, from the input down, and count its parameters where they arise.

    A recurrent layer's products are inputs * units * gates, units * units * gates and, for the bias, units * gates
    (twice for a GRU with `reset_after`, which has one for the input and one for the state).

    Parameters
    ----------
    model : Sequential
        Built.
    limit : int, default 12
        A unit is a dot; of more units than this only the first and the last are drawn.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the model does not know its input_shape yet, or `limit` is less than 3.
    """
    model._built()
    limit = whole_number("limit", limit, 3)
    if not model.graph.is_chain:
        raise ValueError(f"plot_model draws a chain of layers, but {model.graph.why_no_chain()}.")
    shapes: list[Shape] = [*model.input_shapes, model.output_shape]
    height = STEP * len(shapes) + 0.05
    figure = new_figure(WIDTH, height + 0.7)
    axes = figure.subplots()
    canvas(axes, WIDTH, height)
    axes.set_title(title or model.name, parse_math=False)
    top = height - 0.1
    _box(axes, top, "input", shapes[0], INPUT, limit)
    axes.text(RIGHT, top - TALL / 2, _in_words(shapes[0]), va="center", fontsize=TEXT, color=INK)
    for k, layer in enumerate(model.layers):
        below = top - STEP
        axes.add_patch(_arrow((LEFT + BOX / 2, top - TALL), (LEFT + BOX / 2, below)))
        recurs = any(isinstance(leaf, Recurrent) for leaf in layer.leaves())
        name, color = f"{layer.name} ({type(layer).__name__})", BLUE if recurs else GREEN
        _box(axes, below, name, shapes[k + 1], color, limit)
        if recurs:
            _loop(axes, below)
        axes.text(RIGHT, below - TALL / 2, _counted(layer, shapes[k]), va="center", fontsize=TEXT, color=INK)
        top = below
    counts = [layer.count_params() for layer in model.layers]
    total = " + ".join(map(str, counts)) + f" = {sum(counts)}" if len(counts) > 1 else f"{counts[0]}"
    axes.text(RIGHT, top - TALL - 0.25, f"all parameters: {total}", va="center", fontsize=TEXT, weight="bold")
    text = (
        "numbers enter at the top and leave at the bottom. A dot is one number that the box gives out (a unit). At a "
        "box's upper right stands the shape of what it gives out for one sample."
    )
    if model.recurrent():
        text += (
            " The loop says that a recurrent layer reads its own last output at the next time step: with the SAME "
            "weights, so that the number of steps is in no product on the right."
        )
    caption(figure, text)
    return figure


def parameter_terms(layer: Layer, shape: Shape) -> list[tuple[str, str, int]]:
    """Return each weight of a built layer as its name, the product that sizes it, and its size.

    Parameters
    ----------
    layer : Layer
    shape : tuple
        Of the layer's input.

    Examples
    --------
    >>> from nbrnn import GRU, Sequential
    >>> gru = GRU(10)
    >>> _ = Sequential([gru], input_shape=(50, 1))
    >>> parameter_terms(gru, (50, 1))
    [('kernel', '1*10*3', 30), ('recurrent_kernel', '10*10*3', 300), ('bias', '2*10*3', 60)]
    """
    gates = layer.gates if isinstance(layer, Recurrent) else 1
    terms = []
    for weight in layer.declared(shape):
        factors = [*weight.shape[:-1], weight.shape[-1] // gates, *([gates] if gates > 1 else [])]
        terms.append((weight.name, "*".join(map(str, factors)), prod(weight.shape)))
    return terms


def _counted(layer: Layer, shape: Shape) -> str:
    """Return a layer's arithmetic: a line with the sum, and one that names its parts."""
    terms = parameter_terms(layer, shape)
    if not terms:
        return "no parameters: it only moves numbers"
    arithmetic = " + ".join(product for _, product, _ in terms)
    names = " + ".join(name.replace("_", " ") for name, _, _ in terms)
    gates = layer.gates if isinstance(layer, Recurrent) else 1
    blocks = f"\nfactor {gates}: {gates - 1} gates and the candidate" if gates > 1 else ""
    return f"{arithmetic} = {layer.count_params()}\n{names}{blocks}"


def _in_words(shape: Shape) -> str:
    features = f"{shape[-1]} feature{'s' * (shape[-1] != 1)}"
    if len(shape) == 1:
        return features
    steps = "any number of" if shape[0] is None else str(shape[0])
    return f"{steps} time step{'s' * (shape[0] != 1)} of {features}"


def _box(axes: Axes, top: float, name: str, shape: Shape, color: str, limit: int) -> None:
    """Draw a box that hangs from `top`: its name, its output's shape, its units as dots."""
    style: dict[str, Any] = {"facecolor": PALE, "edgecolor": color, "lw": 2.0}
    axes.add_patch(FancyBboxPatch((LEFT, top - TALL), BOX, TALL, boxstyle="round,pad=0,rounding_size=0.08", **style))
    axes.text(LEFT + 0.12, top - 0.2, name, va="center", fontsize=TEXT, weight="bold", color=INK, parse_math=False)
    written = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
    axes.text(LEFT + BOX - 0.12, top - 0.2, written, ha="right", va="center", fontsize=TEXT, color=INK)
    units = shape[-1] or 0
    shown = units if units <= limit else limit - 1
    apart = min(0.32, (BOX - 0.6) / limit)
    start = LEFT + BOX / 2 - apart * (min(units, limit) - 1) / 2
    places = [start + apart * j for j in range(min(units, limit))]
    if shown < units:
        gap = places.pop(-2)
        axes.text(gap, top - 0.65, "...", ha="center", va="center", fontsize=TEXT, color=INK)
    for x in places:
        axes.add_patch(Circle((x, top - 0.65), 0.4 * apart, facecolor=color, edgecolor="white"))


def _loop(axes: Axes, top: float) -> None:
    """Draw the arrow from a recurrent layer's right side back to its left."""
    x, y = LEFT + BOX, top - TALL / 2
    axes.add_patch(_arrow((x, y - 0.22), (x, y + 0.22), "arc3,rad=1.6"))
    axes.text(x + 0.2, top - TALL - 0.12, "next step", ha="center", va="center", fontsize=SMALL, color=INK)


def _arrow(start: tuple[float, float], end: tuple[float, float], curve: str = "arc3") -> FancyArrowPatch:
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 14,
        "shrinkA": 0,
        "shrinkB": 0,
        "color": INK,
        "lw": 1.4,
    }
    return FancyArrowPatch(start, end, connectionstyle=curve, **style)
