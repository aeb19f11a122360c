"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..series import real_array
from .style import INK, SMALL, TEXT, caption, new_figure

MOST = 30  # classes whose counts can be read


def plot_confusion(matrix: Any, labels: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw a confusion matrix: a square for each class and each class that it was taken for, with its count.

    Parameters
    ----------
    matrix : ConfusionMatrix or array (classes, classes)
        Counts: row i, column j those of class i that were taken for class j.
    labels : sequence of str, optional
        The classes' names; their numbers where they are not given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the counts are not square, negative or not whole, of more than 30 classes, or labels are more or fewer.
    """
    counts = real_array("matrix", np.asarray(matrix))
    n = len(counts) if counts.ndim else 0
    if counts.shape != (n, n) or not 2 <= n <= MOST:
        raise ValueError(f"matrix must be (classes, classes) with 2 to {MOST} classes, not {counts.shape}.")
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        raise ValueError("matrix must hold counts: whole numbers of at least 0.")
    names = [str(k) for k in range(n)] if labels is None else [str(label) for label in labels]
    if len(names) != n:
        raise ValueError(f"labels must be {n} names, one a class, not {len(names)}.")
    whole = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, whole, out=np.zeros((n, n)), where=whole > 0)
    size = max(4.5, 0.55 * n + 2.5)
    figure = new_figure(size + 0.8, size + 0.8)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for i, j in np.ndindex(n, n):
        color = "white" if shares[i, j] > 0.55 else INK
        axes.text(
            j, i, f"{counts[i, j]:,.0f}", ha="center", va="center", color=color, fontsize=SMALL if n > 8 else TEXT
        )
    turn = 90 if max(map(len, names)) > 3 and n > 4 else 0
    axes.set_xticks(range(n), names, rotation=turn, parse_math=False)
    axes.set_yticks(range(n), names, parse_math=False)
    axes.set(xlabel="taken for", ylabel="class of the sample")
    axes.set_title(title, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the class")
    caption(
        figure,
        "a row holds the samples of one class, by what they were taken for. On the diagonal they are right; the darker "
        "a square, the larger its share of the row. A dark square beside the diagonal is a pair of classes that the "
        "model mixes up.",
    )
    return figure
