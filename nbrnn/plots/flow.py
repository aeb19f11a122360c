"""How far back a gradient reaches: its norm at every state, by the number of steps to the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..tracing import Trace
from ..tracing.itemise import check_backward
from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SMALL, VERMILION, caption, new_figure, tidy
from .traces import recurrent_layer

STYLES = ((VERMILION, "o"), (BLUE, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"), (INK, "x"))
MARKS = 12  # on a curve, at most about so many
DECADES = 18  # that are drawn below the largest norm; what is less, zero too, stands at the foot


def gradient_norms(trace: Trace, layer: str | None = None, state: str = "h") -> NDArray[np.float64]:
    """Return the norm of dL/dh at every step, by lag: the last step's first, that of the initial state last.

    Parameters
    ----------
    trace : Trace
        With a backward pass.
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.
    state : str, default "h"
        Which state: "c" of an LSTM.

    Returns
    -------
    array (T + 1,)

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent or must be chosen, has no such state, or there is no backward pass of
        finite numbers.
    """
    found = recurrent_layer(trace, layer)
    check_backward(found)
    if f"d{state}_prev" not in found.backward[0].names:
        raise ValueError(f"{found.name} has no state {state!r}; it has {', '.join(found.layer.states)}.")
    # A masked step hands on what comes to it, and a step hands its own to the one before.
    first = found.backward[0][f"d{state}_prev"]
    reached = [back[f"d{state}"] if f"d{state}" in back.names else back[f"d{state}_prev"] for back in found.backward]
    return np.array([np.linalg.norm(gradient) for gradient in [*reached[::-1], first]])


def plot_gradient_flow(
    traces: Trace | Mapping[str, Trace], layer: str | None = None, relative: bool = True, title: str = ""
) -> Figure:
    """Draw the norm of dL/dh by lag, the steps from a state to the last one, on a logarithmic axis.

    An LSTM has two states; the gradient of its cell state c is drawn beside it, dashed.

    Parameters
    ----------
    traces : Trace or dict of str to Trace
        With backward passes; at most six, by the names that the picture gives them.
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.
    relative : bool, default True
        Whether norms are divided by that of dL/dh at the last step, so that every curve of h begins at 1.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no trace or more than six, the gradient at the last step is zero and `relative` is asked for, or as
        `gradient_norms`.
    """
    named = traces if isinstance(traces, Mapping) else {"": traces}
    if not 1 <= len(named) <= len(STYLES):
        raise ValueError(f"traces must hold 1 to {len(STYLES)} traces, not {len(named)}.")
    curves: list[tuple[NDArray[np.float64], dict[str, Any]]] = []
    for (name, trace), (color, marker) in zip(named.items(), STYLES, strict=False):
        found = recurrent_layer(trace, layer)
        label = name or found.name
        for state, line in (("h", "-"), ("c", "--")):
            if state not in found.layer.states:
                continue
            norms = gradient_norms(trace, layer, state)
            if state == "h":
                unit = norms[0] if relative else 1.0
                if not unit:
                    raise ValueError(
                        f"the gradient at the last step of {label} is zero, so nothing can be measured by it; "
                        "give relative=False."
                    )
            called = f"{label}, {state}" if "c" in found.layer.states else label
            curves.append((norms / unit, {"color": color, "marker": marker, "ls": line, "label": called}))
    figure = new_figure(9, 5.2)
    axes = figure.subplots()
    largest = max(float(norms.max()) for norms, _ in curves) or 1.0
    foot = largest / 10.0**DECADES
    for norms, drawn in curves:
        every = max(1, len(norms) // MARKS)
        marked: dict[str, Any] = {"ms": 5, "markevery": every, "lw": 1.6}
        axes.plot(np.arange(len(norms)), np.maximum(norms, foot), **marked, **drawn)
    if any((norms < foot).any() for norms, _ in curves):
        axes.text(0, foot, "zero, or too small to be drawn", va="bottom", fontsize=SMALL, color=INK)
    if relative:
        axes.axhline(1, color=GREY, lw=0.8, zorder=0)
    axes.set(yscale="log", xlabel="lag: steps back from the last one")
    axes.set_ylabel("norm of dL/dh, as a multiple of the last step's" if relative else "norm of dL/dh")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, parse_math=False)
    axes.legend(frameon=False)
    tidy(axes)
    caption(
        figure,
        "at the left is the last step, where the loss is; every step to the right is one step further into the past. A "
        "curve that falls as a line loses the same share of the gradient at every step: it vanishes, and what happened "
        "long ago teaches the network nothing. One that rises explodes. Flat is what a long memory needs.",
    )
    return figure
