"""Pictures of `nbrnn bench`: rates under the machine's roof, and peers' times over ours by size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from .style import BLUE, GREEN, INK, ORANGE, PALE, SMALL, VERMILION, caption, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = {
    "simple_rnn": ("SimpleRNN", ORANGE, "o"),
    "lstm": ("LSTM", BLUE, "s"),
    "gru": ("GRU", GREEN, "^"),
}
TITLES = {cell: title for cell, (title, _, _) in CELLS.items()}
GOAL = VERMILION
NEAR = 0.45  # of the logarithms of two points whose numbers would stand on one another


def plot_roofline(report: Mapping[str, Any]) -> Figure:
    """Draw each layer's GFLOP/s over its FLOPs a byte, under the roof that the measured peak and memory make.

    Parameters
    ----------
    report : mapping
        What `nbrnn bench --out` writes as benchmarks.json. Each dtype and number of threads gets a panel.

    Raises
    ------
    ValueError
        If the report holds no layer with a measured peak.
    """
    peaks = {(p["dtype"], p["threads"]): p for p in report["peaks"] if "gigabytes_per_s" in p}
    panels: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for r in _layers(report):
        if (r["dtype"], r["threads"]) in peaks and r.get("gflops"):
            panels.setdefault((TITLES.get(r["name"], r["name"]), r["dtype"], r["threads"]), []).append(r)
    if not panels:
        raise ValueError("the report holds no layer whose peak and memory were measured; there is no roofline to draw.")
    every = [r for rows in panels.values() for r in rows]
    intensities = [*map(_intensity, every), *map(_ridge, peaks.values())]
    span = np.array([min(intensities) / 2, 2 * max(intensities)])
    halo = withStroke(linewidth=2.5, foreground="white")
    figure, grid = _grid(len(panels), len({key[0] for key in panels}), 4.2, 4.0)
    for axes, (key, rows) in zip(grid.flat, panels.items(), strict=False):
        _roof(axes, peaks[key[1:]], span)
        _, color, marker = CELLS.get(rows[0]["name"], ("", INK, "D"))
        for mode, face, below in (("train", color, 7), ("forward", "white", -15)):
            own = sorted((r for r in rows if r["mode"] == mode), key=lambda r: r["size"])
            points = [(_intensity(r), r["gflops"]) for r in own]
            style = {"color": color, "marker": marker, "mfc": face, "ms": 7, "mew": 1.5, "lw": 0.8, "zorder": 3}
            axes.plot(*np.reshape(points, (-1, 2)).T, label=mode, **style)
            labelled: list[float] = []
            for r, point in zip(own, points, strict=True):
                if any(abs(np.log(point[0] / other)) < NEAR for other in labelled):
                    continue  # the number would stand on its neighbour's
                labelled.append(point[0])
                label = axes.annotate(str(r["size"]), point, (0, below), textcoords="offset points", ha="center")
                label.set(fontsize=SMALL, color=INK, zorder=4, path_effects=[halo])
        lowest, highest = min(r["gflops"] for r in every), max(peak["gflops"] for peak in peaks.values())
        axes.set(xlim=span, ylim=(lowest / 3, 6 * highest), xlabel="FLOPs a byte, read or written")
        axes.set_title(_heading(key), fontsize="medium")
        axes.legend(loc="lower right", frameon=False)
        tidy(axes)
    _finish(grid, len(panels), "GFLOP/s")
    caption(
        figure,
        "a point is a layer, its number the hidden size; filled: train, open: forward. The flat line is the peak of "
        "the register tile in cache, times the threads; the slope is a copy from memory to memory by one thread. A "
        "point's distance below the flat line is what is lost of the peak; one above the slope finds its numbers in "
        "caches. Tiny layers stand far below: "
        "their steps wait for each other.",
    )
    return figure


def plot_ratios(report: Mapping[str, Any]) -> Figure:
    """Draw the fastest peer's time over ours by hidden size, with the goals.

    Parameters
    ----------
    report : mapping
        What `nbrnn bench --against ... --out` writes as benchmarks.json. Each mode, dtype and number of threads gets a
        panel.

    Raises
    ------
    ValueError
        If no layer was compared with a peer.
    """
    panels: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for r in _layers(report):
        if r.get("ratio"):
            panels.setdefault((r["mode"], r["dtype"], r["threads"]), []).append(r)
    if not panels:
        raise ValueError("the report compares no layer with a peer; run nbrnn bench with --against.")
    every = [r for rows in panels.values() for r in rows]
    sizes = sorted({r["size"] for r in every})
    places = {size: k for k, size in enumerate(sizes)}  # equal steps: the sizes are no series
    figure, grid = _grid(len(panels), min(2, len(panels)), 5.2, 3.6)
    for axes, (key, rows) in zip(grid.flat, panels.items(), strict=False):
        axes.axhline(1, color=INK, lw=1.2)
        axes.axhspan(1e-6, 1, color=PALE, zorder=0)
        for k, (cell, (_, color, marker)) in enumerate(CELLS.items()):
            own = sorted((r for r in rows if r["name"] == cell), key=lambda r: r["size"])
            x = [places[r["size"]] + 0.16 * (k - 1) for r in own]
            axes.plot(x, [r["ratio"] for r in own], color=color, marker=marker, ms=7, lw=1.2, zorder=3)
            wanted = [(at, r["goals"]["best"]) for at, r in zip(x, own, strict=True) if "best" in r["goals"]]
            for at, goal in wanted:
                axes.plot([at - 0.08, at + 0.08], [goal, goal], color=GOAL, lw=3, solid_capstyle="butt", zorder=2)
        axes.set_yscale("log")
        axes.set_title(_heading(key), fontsize="medium")
        axes.xaxis.set_major_locator(FixedLocator(range(len(sizes))))
        axes.set_xticklabels([str(size) for size in sizes])
        axes.set_xlim(-0.5, len(sizes) - 0.5)
        axes.set_xlabel("hidden size H")
        _plain_ticks(axes, every)
        tidy(axes)
    _finish(grid, len(panels), "fastest peer's time / nbrnn's")
    cells = [CELLS[cell] for cell in CELLS if any(r["name"] == cell for r in every)]
    handles = [Line2D([], [], color=c, marker=m, ms=7, lw=1.2, label=name) for name, c, m in cells]
    handles.append(Line2D([], [], color=GOAL, lw=3, label="goal"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    peers = sorted({name for r in every for name in r["contestants"]} - {"nbrnn"})
    fastest = f"the fastest of {', '.join(peers)}" if len(peers) > 1 else peers[0]
    caption(
        figure,
        f"above 1 nbrnn is faster than {fastest}, in the grey part it is slower. A marker "
        "above its bar meets the goal that was set for this cell and size. The scale is logarithmic: twice as fast and "
        "half as fast are equally far from 1.",
    )
    return figure


def _layers(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in report["results"] if r["group"] == "layer"]


def _heading(panel: tuple[Any, ...]) -> str:
    what, dtype, threads = panel
    return f"{what}, {dtype}, {threads} thread{'s' * (threads > 1)}"


def _intensity(row: Mapping[str, Any]) -> float:
    return row["flops"] / row["bytes"]


def _grid(panels: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """Return a figure with panels of a size in inches, and its axes as an array of lines and columns."""
    lines = -(-panels // columns)
    figure = new_figure(max(6.5, width * columns), 1.6 + height * lines)
    return figure, figure.subplots(lines, columns, squeeze=False, sharey=True)


def _finish(grid: Any, panels: int, label: str) -> None:
    """Name the vertical axes, and drop panels that stayed empty."""
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    for axes in grid.flat[panels:]:
        axes.remove()


def _ridge(peak: Mapping[str, float]) -> float:
    """Return the FLOPs a byte from which on memory is fast enough for the peak."""
    return peak["gflops"] / peak["gigabytes_per_s"]


def _roof(axes: Axes, peak: Mapping[str, float], span: Iterable[float]) -> None:
    """Draw the roof and say what it is made of."""
    low, high = span
    ridge = _ridge(peak)
    x = np.array([low, ridge, high])
    axes.loglog(x, np.minimum(peak["gflops"], x * peak["gigabytes_per_s"]), color=INK, lw=2, zorder=1)
    text = f"peak {peak['gflops']:.0f} GFLOP/s, memory {peak['gigabytes_per_s']:.0f} GB/s"
    axes.annotate(text, (high, peak["gflops"]), (-2, 16), textcoords="offset points", ha="right", fontsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _plain_ticks(axes: Axes, rows: Iterable[Mapping[str, Any]]) -> None:
    """Label a logarithmic axis with plain numbers around the ratios and goals."""
    values = [v for r in rows for v in (r["ratio"], *r["goals"].values())]
    low, high = min(0.8, *values) / 1.15, max(1.25, *values) * 1.15
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if low <= t <= high]
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
