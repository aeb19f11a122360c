"""The terms of a pre-activation as bars: what each feature adds to each unit, and what comes from the state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..checks import whole_number
from ..tracing import LayerTrace, Trace
from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, caption, new_figure, tidy
from .traces import recurrent_layer

COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)  # of the features
REST = GREY  # what comes from the state, and the biases
SHOWN = 4  # steps at most
FILLED = 0.8  # of a unit's place
MOST_WIDE = 12.0  # inches


def products(layer: LayerTrace, step: int) -> NDArray[np.float64]:
    """Return the terms of a step's pre-activations: of each feature x_j Wx[j], then all the rest; they sum to `a`.

    Parameters
    ----------
    layer : LayerTrace
        A recurrent layer of a trace.
    step : int
        Counted from 0.

    Returns
    -------
    array (features + 1, gates * units)
    """
    taken = layer.steps[step]
    terms = taken.x[:, None] * layer.weights["Wx"]
    return np.concatenate([terms, [taken.a - terms.sum(axis=0)]])


def plot_products(
    trace: Trace,
    layer: str | None = None,
    steps: Sequence[int] | None = None,
    features: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw for each unit what each feature adds to its pre-activation a, x_j Wx[j], and what the state and biases add.

    Parameters
    ----------
    trace : Trace
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.
    steps : sequence of int, optional
        Which steps, counted from 0 in the order in which the layer takes them, at most four; the first ones if not
        given. Each is a column of charts; each gate is a row.
    features : sequence of str, optional
        Their names; x1, x2 ... if not given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Steps and units count from 1.

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent, custom or must be chosen, has more than six features, a step is masked
        or not there, or there are too many steps or too few names.
    """
    found = recurrent_layer(trace, layer)
    chosen, names = _steps(found, steps), _names(found, features)
    gates = list(found.gates) or [""]
    units = found.layer.units
    wide = 2.4 + len(chosen) * (0.9 + 0.12 * units * (len(names) + 1))
    figure = new_figure(min(max(wide, 8), MOST_WIDE), 2.2 + 1.9 * len(gates))
    grid = figure.subplots(len(gates), len(chosen), sharex=True, sharey=True, squeeze=False)
    width, at = FILLED / (len(names) + 1), np.arange(1, units + 1)
    for column, step in zip(grid.T, chosen, strict=True):
        parts = np.split(products(found, step), len(gates), axis=1)
        column[0].set_title(f"step {step + 1}")
        column[-1].set_xlabel("unit")
        for axes, gate, terms in zip(column, gates, parts, strict=True):
            for j, (name, term) in enumerate(zip([*names, "state and bias"], terms, strict=True)):
                color = REST if j == len(names) else COLORS[j]
                axes.bar(at + (j - len(names) / 2) * width, term, width, color=color, label=name)
            place = {"xmin": at - FILLED / 2, "xmax": at + FILLED / 2}
            axes.hlines(terms.sum(axis=0), **place, color=INK, lw=2, label="their sum, a")
            axes.axhline(0, color=INK, lw=0.8)
            axes.set_xticks(at)
            tidy(axes)
            if axes is grid[gates.index(gate), 0]:
                axes.set_ylabel(f"terms of a_{gate}" if gate else "terms of a")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend([*handles[1:], handles[0]], [*labels[1:], labels[0]], loc="outside right upper", frameon=False)
    figure.suptitle(title or f"{found.name}: x Wx, feature by feature", parse_math=False)
    caption(
        figure,
        "a group of bars is one unit. Each coloured bar is one feature times its own weight to that unit, the grey one "
        "is what comes from the last state and the biases; the black line is the sum of the group, which goes into the "
        "activation. A feature whose bars are all small has no say; one with large bars drowns the others.",
    )
    return figure


def _steps(found: LayerTrace, steps: Sequence[int] | None) -> list[int]:
    """Return the steps to be drawn."""
    count = len(found.steps)
    chosen = list(range(min(count, SHOWN))) if steps is None else [whole_number("a step", step, 0) for step in steps]
    if not 1 <= len(chosen) <= SHOWN:
        raise ValueError(f"steps must name 1 to {SHOWN} steps, not {len(chosen)}.")
    for step in chosen:
        if step >= count:
            raise ValueError(f"{found.name} has {count} steps, so a step must be at most {count - 1}, not {step}.")
        if found.steps[step].masked:
            raise ValueError(f"step {step} of {found.name} is masked: it has no products.")
    return chosen


def _names(found: LayerTrace, features: Sequence[str] | None) -> list[str]:
    """Return the features' names."""
    if "Wx" not in found.weights or "a" not in found.steps[0].names:
        raise ValueError(f"{found.name} has no x Wx to be drawn ({found.kind}).")
    count = len(found.weights["Wx"])
    if count > len(COLORS):
        raise ValueError(f"{found.name} reads {count} features, but at most {len(COLORS)} can be told apart.")
    names = [f"x{j + 1}" for j in range(count)] if features is None else list(features)
    if len(names) != count:
        raise ValueError(f"features must hold {count} names, one a feature, not {len(names)}.")
    return names
