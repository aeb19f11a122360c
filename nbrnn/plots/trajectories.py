"""Where the state of a recurrent layer goes while it reads: many sequences as paths in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ..tracing import Trace
from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, SMALL, VERMILION, caption, new_figure, tidy
from .traces import recurrent_layer, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P")  # of the ends, so that colour is not alone


def plot_trajectories(traces: Sequence[Trace], labels: Sequence[Any], layer: str | None = None) -> Figure:
    """Draw the states of a recurrent layer as paths, one a sequence, in the plane in which they spread most.

    Parameters
    ----------
    traces : sequence of Trace
        One a sequence, of the same model.
    labels : sequence of str or int
        The class of each sequence; at most six classes.
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.

    Returns
    -------
    matplotlib.figure.Figure
        A path begins at the first state, a cross, and ends at a marker. The axes are the first two principal
        components of all states.

    Raises
    ------
    ValueError
        If there are no traces, labels are more or fewer or of more than six classes, the layer cannot be found, its
        sizes differ or are below two units, or its states are not all finite.
    """
    if not traces:
        raise ValueError("traces must hold at least one trace.")
    if len(labels) != len(traces):
        raise ValueError(f"labels must be {len(traces)}, one for each trace, not {len(labels)}.")
    classes = sorted(set(labels))
    if len(classes) > len(COLORS):
        raise ValueError(f"labels hold {len(classes)} classes; at most {len(COLORS)} can be told apart in one picture.")
    layers = [recurrent_layer(trace, layer) for trace in traces]
    sizes = {one.layer.units for one in layers}
    if len(sizes) > 1 or min(sizes) < 2:
        raise ValueError(f"traces must be of one layer of two units or more, not of {sorted(sizes)} units.")
    paths = [np.vstack([one.steps[0].h_prev, states(one)]) for one in layers]
    paths, shares = _flatten(paths)
    figure = new_figure(7.5, 6.6)
    axes = figure.subplots()
    for label, path in zip(labels, paths, strict=True):
        k = classes.index(label)
        axes.plot(*path.T, color=COLORS[k], lw=0.9, alpha=0.55, zorder=2)
        axes.plot(*path[-1], MARKERS[k], color=COLORS[k], ms=7, mec="white", mew=0.8, zorder=3)
        axes.plot(*path[0], "x", color=INK, ms=10, mew=2, zorder=4)
    _legend(axes, classes)
    axes.axhline(0, color=GREY, lw=0.6, zorder=0)
    axes.axvline(0, color=GREY, lw=0.6, zorder=0)
    axes.set(xlabel=f"first direction ({shares[0]:.0%})", ylabel=f"second direction ({shares[1]:.0%})")
    axes.set_aspect("equal", adjustable="datalim")
    tidy(axes)
    figure.suptitle(f"{layers[0].name}: the state's way through each sequence", parse_math=False)
    last = "" if layers[0].layer.return_sequences else ", which is all that the next layer sees"
    caption(
        figure,
        f"a path begins at a cross, the first state, and ends at a marker, the state after the last step{last}. The "
        f"{sizes.pop()} units are seen from where the states spread most; per cent say how much of their spread shows. "
        "Where the ends of a class lie together, it can be told from the others; what overlaps here may lie apart in "
        "the other directions.",
    )
    return figure


def _flatten(paths: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return paths in the plane of their two principal components about zero's image, and these components' shares."""
    every = np.vstack(paths)
    _, lengths, directions = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)
    plane = directions[:2].T
    plane *= np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])  # a direction's sign is free: choose one
    return [path @ plane for path in paths], lengths[:2] ** 2 / (lengths**2).sum()


def _legend(axes: Axes, classes: Sequence[Any]) -> None:
    for k, label in enumerate(classes):
        axes.plot([], [], MARKERS[k] + "-", color=COLORS[k], label=str(label))
    axes.legend(frameon=False, fontsize=SMALL, loc="best")
