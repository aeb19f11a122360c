"""The gates of a recurrent layer over time: which are open, which are shut, and where their slope is all but gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..tracing import LayerTrace, Trace
from ..tracing.cells import SLOPES
from ..tracing.numbers import activation_of
from .style import DIVERGING, GREY, caption, new_figure
from .traces import TALL, draw_input, draw_map, layer_title, map_size, recurrent_layer, same_steps, states, step_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SATURATED = 0.1  # a slope below this share of the steepest
STEEPEST = {"sigmoid": 1 / 4, "hard_sigmoid": 1 / 6}  # of the other activations 1
HATCH = "///"
LEAST, MOST = 0.6, 1.6  # inches of a strip
NAMES = {
    "LSTM": {"i": "i, input", "f": "f, forget", "n": "n, candidate", "o": "o, output"},
    "GRU": {"z": "z, update", "r": "r, reset", "n": "n, candidate"},
}


def plot_gates(trace: Trace, layer: str | None = None) -> Figure:
    """Draw the gates of an LSTM or GRU as strips over time, the input above them and the state below.

    Parameters
    ----------
    trace : Trace
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.

    Returns
    -------
    matplotlib.figure.Figure
        A strip a gate: i, f, n, o, then c, or z, r, n, then h. Cells are hatched where the slope of the gate's
        activation is below a tenth of the steepest. Steps and units count from 1; a masked step is empty.

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent or must be chosen, has no gates, or its numbers are not all finite.
    """
    found = recurrent_layer(trace, layer)
    if found.kind not in NAMES:
        raise ValueError(f"layer {found.name!r} is a {found.kind}, which has no gates: give an LSTM or a GRU.")
    states(found)
    gates = gate_strips(found)
    state = "c" if found.kind == "LSTM" else "h"
    memory = np.array([step[state] for step in found.steps])
    if not np.isfinite(memory).all():
        raise ValueError(f"the states {state} of {found.name} are not all finite; they cannot be drawn.")
    width, _ = map_size(len(memory), 1)
    tall = min(max(TALL * memory.shape[1], LEAST), MOST)
    figure = new_figure(max(width + 2.2, 6.5), 2.9 + (tall + 0.42) * (len(gates) + 1))
    rows = ["x", *gates, "state"]
    axes: dict[str, Axes] = figure.subplot_mosaic([[row] for row in rows], height_ratios=[1.0] + [tall] * len(rows[1:]))
    limit = max(1.0, *(float(np.nanmax(np.abs(g), initial=0.0)) for g in gates.values()))
    for gate, numbers in gates.items():
        image = draw_map(axes[gate], numbers.T, Normalize(-limit, limit), DIVERGING)
        axes[gate].set_facecolor(GREY)  # where a step is masked
        shade(axes[gate], saturated(found, gate, numbers).T)
        axes[gate].set_title(NAMES[found.kind][gate], loc="left", fontsize="medium")
    strips = [axes[gate] for gate in gates]
    figure.colorbar(image, ax=strips, label="gate", fraction=0.05, pad=0.02, aspect=14 * len(strips) * tall)
    largest = float(np.abs(memory).max()) or 1.0
    kept = draw_map(axes["state"], memory.T, Normalize(-largest, largest), DIVERGING)
    title = "c, the cell state" if state == "c" else "h, the state"
    axes["state"].set_title(title, loc="left", fontsize="medium")
    figure.colorbar(
        kept,
        ax=axes["state"],
        label=state,
        fraction=0.05,
        pad=0.02,
        aspect=14 * tall,
        ticks=MaxNLocator(2, symmetric=True),
    )
    draw_input(axes["x"], np.array([step.x for step in found.steps]), found is trace.layers[0])
    for strip in strips:
        same_steps(strip, axes["state"])
        strip.set_ylabel("unit")
    same_steps(axes["x"], axes["state"])
    axes["state"].set(xlabel=step_label(found), ylabel="unit")
    figure.suptitle(f"{layer_title(found)}: the gates at every step", parse_math=False)
    caption(figure, _caption(found))
    return figure


def gate_strips(layer: LayerTrace) -> dict[str, np.ndarray]:
    """Return each gate's numbers, (T, H), NaN in masked steps."""
    nothing = np.full(layer.layer.units, np.nan)
    return {gate: np.array([nothing if step.masked else step[gate] for step in layer.steps]) for gate in layer.gates}


def saturated(layer: LayerTrace, gate: str, numbers: np.ndarray) -> np.ndarray:
    """Return where a gate's activation has all but lost its slope."""
    name = activation_of(layer, gate)
    with np.errstate(invalid="ignore"):
        return np.asarray(SLOPES[name](numbers) < SATURATED * STEEPEST.get(name, 1.0))


def shade(axes: Axes, where: np.ndarray) -> None:
    """Hatch cells of a map whose rows and columns count from 1."""
    cells = [
        [(t + 0.5, j + 0.5), (t + 1.5, j + 0.5), (t + 1.5, j + 1.5), (t + 0.5, j + 1.5)] for j, t in np.argwhere(where)
    ]
    axes.add_collection(PolyCollection(cells, facecolors="none", edgecolors=GREY, linewidths=0, hatch=HATCH))


def _caption(layer: LayerTrace) -> str:
    meaning = {
        "LSTM": "i says how much of the candidate n is added to c, f how much of the old c stays, o how much of c is "
        "shown. c keeps a number while f is dark red and i is white.",
        "GRU": "z says how much of the old state stays, r how much of it the candidate n sees. A unit keeps its state "
        "while z is dark red.",
    }
    masked = " Grey steps are masked." if any(step.masked for step in layer.steps) else ""
    return (
        "a column is a time step, a row a unit; white is 0 (shut), dark red 1 (open), blue negative. "
        f"{meaning[layer.kind]} Hatched cells are saturated: their slope is below a tenth of the steepest, so that "
        f"hardly any error passes them backward.{masked}"
    )
