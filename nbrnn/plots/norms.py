"""How much a loss asks each array of weights to move: the norms of the gradients, network beside network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..tracing import Trace
from .style import BACKWARD, caption, new_figure, tidy
from .traces import recurrent_layer

MOST = 4  # traces side by side


def plot_gradient_norms(traces: Sequence[Trace], titles: Sequence[str] = (), layer: str | None = None) -> Figure:
    """Draw the norm of the gradient of each array of weights of a recurrent layer, a chart a trace.

    Parameters
    ----------
    traces : sequence of Trace
        One to four, each with a loss: made with a target.
    titles : sequence of str, optional
        One for each trace.
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are too few or too many traces, the titles are not as many, a trace has no loss, or the layer is
        unknown, not recurrent or must be chosen.
    """
    if not 1 <= len(traces) <= MOST:
        raise ValueError(f"traces must hold 1 to {MOST} traces, not {len(traces)}.")
    if titles and len(titles) != len(traces):
        raise ValueError(f"titles holds {len(titles)} names for {len(traces)} traces.")
    norms = []
    for trace in traces:
        totals = recurrent_layer(trace, layer).totals
        if trace.loss is None or not totals:
            raise ValueError("a trace has no gradients: give nbrnn.trace a target, as in nbrnn.trace(model, x, y).")
        norms.append({name: float(np.linalg.norm(total)) for name, total in totals.items()})
    figure = new_figure(max(4.5, 4.0 * len(traces)), 4.2)
    row = figure.subplots(1, len(traces), sharey=True, squeeze=False)[0]
    for axes, of, title in zip(row, norms, titles or [""] * len(traces), strict=True):
        bars = axes.bar(list(of), list(of.values()), color=BACKWARD)
        axes.bar_label(bars, fmt="%.3g")
        axes.set_title(title, parse_math=False)
        tidy(axes)
    row[0].set_ylabel("norm of the gradient")
    caption(
        figure,
        "a bar says how much the loss asks an array of weights to move: dWx that of the input, dWh that of the state, "
        "db the bias. Its height is the root of the sum of the squares of all its slopes. No bar: nothing is asked, "
        "and training will leave the array as it is.",
    )
    return figure
