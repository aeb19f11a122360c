"""The loss over two directions of weight space, with the ways that optimizers took.

Which two: those in which the ways go farthest, found by singular values. Source: Li, Xu, Taylor, Studer, Goldstein,
NeurIPS 2018, arXiv:1712.09913, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ..checks import whole_number
from ..model import Model
from ..saving import copy_model
from .style import INK, ORANGE, PURPLE, VERMILION, caption, new_figure

COLORS = "Blues"  # light is little
PATHS = ((VERMILION, "-"), (ORANGE, "--"), (PURPLE, ":"), (INK, "-."))
MARGIN = 0.25  # of a path's extent, around it
LEVELS = 12
LOG_FROM = 20.0  # largest loss / smallest: from where on the colours are logarithmic
FLAT = 1e-9  # of the largest singular value: less is no direction

Weights = Sequence[ArrayLike]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """Losses on a grid of two directions.

    Attributes
    ----------
    axes : tuple of two arrays (n,)
        Distances from the end of the first path, along each direction.
    losses : array (n, n)
        [j, i] at axes[1][j] and axes[0][i]; NaN where the loss is not finite.
    paths : list of arrays (points, 2)
        The projected paths.
    directions : array (2, P)
        Orthonormal, over all weights.
    share : float
        Of the paths' squared distances from that end, what lies in the plane.
    """

    axes: tuple[Floats, Floats]
    losses: Floats
    paths: list[Floats]
    directions: Floats
    share: float


def loss_surface(
    model: Model,
    x: Any,
    y: Any,
    paths: Sequence[Sequence[Weights]],
    directions: tuple[Weights, Weights] | None = None,
    size: int = 25,
) -> Surface:
    """Return the losses of a model in the plane of two directions around the end of the first path.

    Parameters
    ----------
    model : Model
        Compiled; it is copied, not changed.
    x, y : arrays
        As for `evaluate`.
    paths : sequence of sequences of weights
        Each a list of what `get_weights` returned, from the start to the end.
    directions : pair of weights, optional
        Each as `get_weights` returns them; those in which the paths go farthest if not given.
    size : int, default 25
        Points of the grid along each direction.

    Returns
    -------
    Surface

    Raises
    ------
    ValueError
        If weights have other shapes than the model's or are not finite, the paths or the directions span no plane, or
        the model has no loss.
    """
    if model.loss is None:
        raise ValueError("the model has no loss to draw: call compile() first.")
    points = [np.array([_flat(model, weights) for weights in path]) for path in paths]
    if not points or not all(len(path) for path in points):
        raise ValueError("paths must hold at least one path, and each at least one point.")
    centre = points[0][-1]
    offsets = np.concatenate(points) - centre
    spanning = offsets if directions is None else np.array([_flat(model, weights) for weights in directions])
    _, sizes, rows = np.linalg.svd(spanning, full_matrices=False)
    if len(sizes) < 2 or sizes[1] <= FLAT * sizes[0]:
        what = "the paths go" if directions is None else "directions point"
        raise ValueError(f"{what} along a single line, which spans no plane; give two directions that differ.")
    # Of given directions the first is kept as it is, and the second made perpendicular to it.
    plane = rows[:2] if directions is None else _perpendicular(spanning)
    projected = [(path - centre) @ plane.T for path in points]
    flat = np.concatenate(projected)
    low, high = flat.min(axis=0), flat.max(axis=0)
    room = MARGIN * np.maximum(high - low, 0.1 * (high - low).max() or 1.0)
    count = whole_number("size", size, 2)
    first, second = (np.linspace(low[k] - room[k], high[k] + room[k], count) for k in (0, 1))
    twin = copy_model(model, "float64")
    losses = np.empty((count, count))
    for place in np.ndindex(losses.shape):
        twin.set_weights(_shaped(model, centre + first[place[1]] * plane[0] + second[place[0]] * plane[1]))
        figures: Any = twin.evaluate(x, y, return_dict=True)
        found = figures["loss"]
        losses[place] = found if np.isfinite(found) else np.nan
    unit = np.abs(offsets).max() or 1.0  # squares may overflow
    inside, total = (float(((part / unit) ** 2).sum()) for part in (flat, offsets))
    return Surface((first, second), losses, projected, plane, inside / total if total else 1.0)


def plot_loss_surface(
    model: Model,
    x: Any,
    y: Any,
    paths: Sequence[Weights] | Mapping[str, Sequence[Weights]],
    directions: tuple[Weights, Weights] | None = None,
    size: int = 25,
    title: str = "",
) -> Figure:
    """Draw the loss over two directions of weight space, and the ways that optimizers took there.

    Parameters
    ----------
    model : Model
        Compiled; it is copied, not changed.
    x, y : arrays
        As for `evaluate`.
    paths : sequence of weights, or dict of str to such
        What `get_weights` returned, from the start to the end of a fit; of several fits by their names, at most four.
    directions : pair of weights, optional
        Each as `get_weights` returns them; those in which the paths go farthest if not given.
    size : int, default 25
        Points of the grid along each direction; each costs one `evaluate`.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As `loss_surface`, if there are more than four paths, or no loss in the plane is finite.
    """
    named: Mapping[str, Sequence[Weights]] = paths if isinstance(paths, Mapping) else {"": paths}
    if not 1 <= len(named) <= len(PATHS):
        raise ValueError(f"paths must hold 1 to {len(PATHS)} paths, not {len(named)}.")
    found = loss_surface(model, x, y, list(named.values()), directions, size)
    losses = found.losses
    if np.isnan(losses).all():
        raise ValueError("no loss in this plane is finite; there is nothing to draw.")
    low, high = float(np.nanmin(losses)), float(np.nanmax(losses))
    logarithmic = low > 0 and high / low > LOG_FROM
    norm: Normalize = LogNorm(low, high) if logarithmic else Normalize(low, high)
    figure = new_figure(8, 6.4)
    axes = figure.subplots()
    image = axes.pcolormesh(*found.axes, losses, cmap=COLORS, norm=norm, shading="nearest", rasterized=True)
    spaced = np.geomspace(low, high, LEVELS) if logarithmic else np.linspace(low, high, LEVELS)
    if high > low:
        axes.contour(*found.axes, losses, levels=spaced[1:-1], colors=INK, linewidths=0.5)
    for (name, path), (color, line) in zip(zip(named, found.paths, strict=True), PATHS, strict=False):
        axes.plot(path[:, 0], path[:, 1], color=color, ls=line, lw=2.2, label=name or "the way of the fit")
        axes.plot(*path[0], color=color, marker="o", ms=8, mec=INK)
        axes.plot(*path[-1], color=color, marker="*", ms=14, mec=INK)
    figure.colorbar(image, ax=axes, label=f"loss ({model.loss.name})" if model.loss else "loss")
    axes.set(xlabel="distance along direction 1", ylabel="distance along direction 2")
    axes.set_title(title, parse_math=False)
    figure.legend(loc="outside upper center", ncols=len(named), frameon=False)
    caption(
        figure,
        "every point is a setting of all weights, its colour their loss: a map, and dark is high. A dot is where a fit "
        "began, a star where it ended; the map is made for the end of the first one. Close lines are steep. The plane "
        f"holds {found.share:.1%} of the ways (of their squared distances); what leaves it is not seen, and beside the "
        "plane the loss is another one.",
    )
    return figure


def _flat(model: Model, weights: Weights) -> Floats:
    """Return weights as one row, if they are the model's."""
    arrays = [np.asarray(array, np.float64) for array in weights]
    wanted = [array.shape for array in model.get_weights()]
    if [array.shape for array in arrays] != wanted:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"weights must have the model's shapes {', '.join(map(str, wanted))}, not {shapes or 'none'}.")
    row = np.concatenate([array.ravel() for array in arrays])
    if not np.isfinite(row).all():
        raise ValueError(
            "weights must be finite numbers, but some are not; leave out what came after the fit diverged."
        )
    return row


def _shaped(model: Model, row: Floats) -> list[Floats]:
    """Return a row as a list of the model's weights."""
    shapes = [array.shape for array in model.get_weights()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes, strict=True)]


def _perpendicular(pair: Floats) -> Floats:
    """Return two orthonormal directions in the plane of two given ones, of which the first keeps its own."""
    first = pair[0] / np.linalg.norm(pair[0])
    second = pair[1] - (pair[1] @ first) * first
    return np.array([first, second / np.linalg.norm(second)])
