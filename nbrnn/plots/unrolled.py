"""A recurrent layer unrolled over its steps, with the numbers of a trace in the boxes and beside the arrows."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..cells import Cell
from ..tracing import LayerTrace, Trace
from .style import BACKWARD, FORWARD, INK, INPUT, OUTPUT, PALE, SMALL, STATE, TARGET, canvas, caption, new_figure
from .traces import above, layer_title, recurrent_layer, sees_steps, short, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS, GATED_STEPS, UNITS = (6, 2, 3), (5, 2, 2), (4, 2, 1)  # drawn in full; of more, that many first and last ones
BEFORE, GAP, MIDDLE = -1, -2, -3  # places that are no step: of the first states, of what is left out, of what joins all
LINE, LETTER = 0.16, 0.0715  # inches of a line and of a letter of a table
PAD, MARGIN = 0.1, 0.15  # inches between a box's edge and its text, and around the graph
AISLE = 0.12  # inches from a column's middle to its arrows
Columns = dict[str, np.ndarray]  # a table's columns by their heads
Point = tuple[float, float]


def plot_unrolled(trace: Trace, layer: str | None = None) -> Figure:
    """Draw a recurrent layer as a graph of its steps, x -> h -> o, with the numbers of the trace in it.

    Solid arrows show the forward pass. Where the trace has a backward pass, dashed arrows show the gradients: dh_loss,
    what a step hears from the loss, dh_future, what it hears from the next step (and dc_future, of an LSTM), and da,
    what it makes of them, of all gates. Of more than 6 steps (5 of an LSTM or GRU) or 4 units the first and
    the last ones are drawn.

    Parameters
    ----------
    trace : Trace
    layer : str, optional
        The recurrent layer's name; not needed where there is only one.

    Returns
    -------
    matplotlib.figure.Figure
        Steps and units count from 1. A table of numbers has its quantities and step as gid: "h 2", "dh_future 2".

    Raises
    ------
    ValueError
        If the layer is unknown, not recurrent or must be chosen, its states are not all finite, or it is a custom cell.
    """
    found = recurrent_layer(trace, layer)
    if isinstance(found.layer, Cell):
        raise ValueError(
            f"layer {found.name} is a custom cell, {found.kind}, whose arrays this picture has no places for: print "
            "the trace, or draw plot_hidden and plot_itemised."
        )
    states(found)
    if isinstance(trace.output, dict):
        raise ValueError(f"the picture shows one output, but the model has {', '.join(trace.output)}.")
    tables = _Tables(trace, found)
    graph = _Graph(tables)
    steps = len(found.steps)
    lines = math.ceil(len(text := _caption(tables)) / (13 * max(graph.width, 7.0)))
    figure = new_figure(max(graph.width, 7.0) + 0.3, graph.height + 0.17 * lines + 0.95)
    axes = figure.subplots()
    canvas(axes, graph.width, graph.height)
    axes.set_title(f"{layer_title(found)}, unrolled over {steps} step{'s' * (steps > 1)}", parse_math=False)
    graph.draw(axes)
    caption(figure, text)
    return figure


class _Tables:
    """The numbers of a picture: a table for every box and every backward arrow of the steps that are drawn."""

    def __init__(self, trace: Trace, layer: LayerTrace) -> None:
        self.trace, self.layer, self.above = trace, layer, above(trace, layer)
        self.kept = some(len(layer.steps), *(GATED_STEPS if layer.gates else STEPS))
        self.steps = [t for t in self.kept if t != GAP]
        self.back = bool(layer.backward)
        last = len(layer.steps) - 1
        self.joined = layer.layer.return_sequences and not sees_steps(trace, layer)  # no output of a step's own
        self.heard = self.steps if layer.layer.return_sequences else [last]  # steps that the layer above sees
        self.outputs = [] if self.joined else self.heard

    def before(self) -> Columns:
        """Return the first states, which stand left of step 1."""
        first = self.layer.steps[0]
        return {f"{s}0": first[f"{s}_prev"] for s in ("h", "c") if s in first.names}

    def x(self, t: int) -> Columns:
        """Return a step's input."""
        return {"x": self.layer.steps[t].x}

    def h(self, t: int) -> Columns:
        """Return a step's states."""
        step = self.layer.steps[t]
        return {s: step[s] for s in ("h", "c") if s in step.names}

    def o(self, t: int) -> Columns:
        """Return the output that a step's state makes, and its target."""
        rows = {"o": self.trace.output} | ({} if self.trace.target is None else {"target": self.trace.target})
        return {name: row[t] if self.layer.layer.return_sequences else row for name, row in rows.items()}

    def da(self, t: int) -> Columns:
        """Return dL/da, a column a gate."""
        da, gates = self.layer.backward[t].da, self.layer.gates
        return dict(zip([f"da_{g}" for g in gates], np.split(da, len(gates)), strict=True)) if gates else {"da": da}

    def dh_future(self, t: int) -> Columns:
        """Return what a step hears from the next one."""
        back = self.layer.backward[t]
        return {name: back[name] for name in ("dh_future", "dc_future") if name in back.names}

    def dh_loss(self, t: int) -> Columns:
        """Return what a step hears from the loss."""
        return {"dh_loss": self.layer.backward[t].dh_loss}

    def do(self, t: int) -> Columns:
        """Return dL/do."""
        back = self.trace.layers[-1].backward[t if self.layer.layer.return_sequences else -1]
        return {"do": back["dy"] if "dy" in back.names else back.dh_loss}

    @property
    def way_up(self) -> str:
        """What takes h to o."""
        if self.joined or not self.above:
            return "" if self.joined else "o = h"
        return "Wy" if len(self.above) == 1 else "\n".join(one.name for one in self.above)

    @property
    def together(self) -> str:
        """What the layers say that make one output of all steps."""
        names = ", ".join(one.name for one in self.above)
        if self.trace.output.ndim > 1:
            return names
        row = [short(float(self.trace.output[j])) if j != GAP else "..." for j in some(len(self.trace.output), *UNITS)]
        return f"{names}:  o = ({', '.join(row)})"

    @property
    def loss(self) -> str:
        """The loss, named."""
        assert self.trace.loss is not None and self.trace.model.loss is not None
        return f"L ({self.trace.model.loss.name}) = {short(self.trace.loss, 4, 9)}"


def some(count: int, most: int, first: int, last: int) -> list[int]:
    """Return the indices that are drawn; GAP stands for those left out."""
    if count <= most:
        return [*range(count)]
    return [*range(first), GAP, *range(count - last, count)]


def table(columns: Columns, numbered: bool = False) -> str:
    """Return columns of numbers under their centred heads, to be set in a font of equal letters."""
    count, size = len(next(iter(columns.values()))), (4, 8) if len(columns) < 3 else (3, 7)
    kept = some(count, *UNITS)
    cells = {name: [short(float(v[j]), *size) if j != GAP else "..." for j in kept] for name, v in columns.items()}
    if numbered and count > 1:
        cells = {"": [str(j + 1) if j != GAP else "..." for j in kept]} | cells
    wide = [[name, *column] for name, column in cells.items()]
    padded = []
    for head, *numbers in wide:
        width = max(map(len, (head, *numbers)))
        padded.append([head.center(width), *(number.rjust(width) for number in numbers)])
    return "\n".join(" ".join(row) for row in zip(*padded, strict=True))


def size(text: str) -> Point:
    """Return a table's inches."""
    lines = text.split("\n")
    return LETTER * max(map(len, lines)), LINE * len(lines)


def largest(texts: list[str]) -> Point:
    """Return the inches that hold the widest and the tallest table."""
    sizes = [size(text) for text in texts] or [(0.0, 0.0)]
    return max(w for w, _ in sizes), max(h for _, h in sizes)


class _Graph:
    """Where everything stands, in inches, and the drawing of it."""

    def __init__(self, tables: _Tables) -> None:
        self.tables = tables
        t, steps, back = tables, tables.steps, tables.back
        self.at: dict[str, str] = {}  # each table's text by its gid
        for name, make, which in (
            ("x", t.x, steps),
            ("h", t.h, steps),
            ("o", t.o, t.outputs),
            ("da", t.da, steps if back else []),
            ("dh_loss", t.dh_loss, t.heard if back else []),
            ("dh_future", t.dh_future, [k for k in steps if k + 1 < len(t.layer.steps)] if back else []),
            ("do", t.do, t.outputs if back else []),
        ):
            self.at |= {f"{name} {k + 1}": table(make(k), numbered=name == "h") for k in which}
        self.at["h 0"] = table(t.before(), numbered=True)
        self._rows()
        self._columns()

    def of(self, *names: str) -> list[str]:
        """Return all tables of some quantities."""
        return [text for gid, text in self.at.items() if gid.split()[0] in names]

    def _rows(self) -> None:
        """Stack x, h, o and the loss, with room for the tables of the arrows between them."""
        tall = {name: largest(self.of(name))[1] for name in ("x", "h", "o", "da", "dh_loss", "dh_future", "do")}
        boxes = {name: tall[name] + 2 * PAD for name in ("x", "o")}
        boxes["h"] = max(tall["h"] + 2 * PAD, tall["dh_future"] + 0.5)
        boxes["loss"] = LINE + 2 * PAD
        if self.tables.joined:
            boxes["o"] = LINE + 2 * PAD
        gaps = {"x": tall["da"], "h": tall["dh_loss"], "o": tall["do"]}
        y, self.y, self.tall = LINE + 0.1, {}, boxes
        for name in ("x", "h", "o", *(["loss"] if self.tables.trace.loss is not None else [])):
            self.y[name] = y + boxes[name] / 2
            y += boxes[name] + max(0.5, gaps.get(name, 0.0) + 0.3)
        self.height = self.y[name] + boxes[name] / 2 + MARGIN / 2

    def _columns(self) -> None:
        """Put the steps side by side, with room for the tables between them."""
        t = self.tables
        self.wide = largest(self.of("x", "h", "o"))[0] + 2 * PAD
        beside = AISLE + 0.1 + largest(self.of("da", "dh_loss", "do"))[0]
        label = AISLE + 0.1 + size(t.way_up)[0] + 0.1
        gap = max(0.8, largest(self.of("dh_future"))[0] + 0.3, beside + label + 0.1 - self.wide)
        before = size(self.at["h 0"])[0] + 2 * PAD
        x, self.x = MARGIN + before, {BEFORE: MARGIN + before / 2}
        x += max(0.6, label - self.wide / 2)
        for k in t.kept:
            wide = self.wide if k != GAP else 0.8
            self.x[k] = x + wide / 2
            x += wide + gap
        right = max(self.wide / 2, beside, size(t.loss)[0] / 2 + PAD if t.trace.loss is not None else 0)
        self.width = self.x[t.kept[-1]] + right + MARGIN
        left, last = self.x[t.steps[0]] - self.wide / 2, self.x[t.steps[-1]] + self.wide / 2
        self.span = left, max(last, left + size(t.together)[0] + 2 * PAD) if t.joined else last
        self.x[MIDDLE] = sum(self.span) / 2
        self.width = max(self.width, self.span[1] + MARGIN)

    def draw(self, axes: Axes) -> None:
        """Draw all of it."""
        t = self.tables
        for k in t.steps:
            self._box(axes, "x", k, INPUT)
            self._box(axes, "h", k, STATE)
            self._up(axes, k, "x", "h", "Wx", "da")
            axes.text(self.x[k], MARGIN / 2, f"step {k + 1}", ha="center", va="bottom", fontsize=SMALL, weight="bold")
        self._box(axes, "h", BEFORE, STATE)
        for left, right in pairwise([BEFORE, *t.kept]):
            self._along(axes, left, right)
        if GAP in t.kept:
            self._omitted(axes)
        self._head(axes)

    def _head(self, axes: Axes) -> None:
        """Draw what the states make: outputs and the loss."""
        t = self.tables
        for k in t.heard:
            if k in t.steps:
                self._up(axes, k, "h", "o", t.way_up, "dh_loss")
        for k in t.outputs:
            self._box(axes, "o", k, OUTPUT)
        if t.joined:
            self._rectangle(axes, "o", self.span, t.together, OUTPUT)
        if t.trace.loss is None:
            return
        for k in t.outputs or [MIDDLE]:
            self._up(axes, k, "o", "loss", "", "do")
        x, half = self.x[t.heard[0]], size(t.loss)[0] / 2 + PAD
        self._rectangle(axes, "loss", (x - half, x + half) if len(t.outputs) == 1 else self.span, t.loss, TARGET)

    def _box(self, axes: Axes, name: str, k: int, color: str) -> None:
        """Draw a step's box with its table."""
        text = self.at[f"{name} {k + 1}"]
        half = size(text)[0] / 2 + PAD if k == BEFORE else self.wide / 2
        self._rectangle(axes, name, (self.x[k] - half, self.x[k] + half), text, color, f"{name} {k + 1}")

    def _rectangle(self, axes: Axes, name: str, span: Point, text: str, color: str, gid: str | None = None) -> None:
        left, right = span
        low = self.y[name] - self.tall[name] / 2
        style: dict[str, Any] = {"facecolor": PALE, "edgecolor": color, "lw": 2.0}
        shape = "round,pad=0,rounding_size=0.06"
        axes.add_patch(FancyBboxPatch((left, low), right - left, self.tall[name], boxstyle=shape, **style))
        _write(axes, ((left + right) / 2, self.y[name]), text, INK, gid or name)

    def _edge(self, name: str, side: int) -> float:
        """Return the height of a row's upper (1) or lower (-1) edge."""
        return self.y[name] + side * self.tall[name] / 2

    def _up(self, axes: Axes, k: int, low: str, high: str, label: str, back: str) -> None:
        """Draw the arrow from a box to the one above it and, dashed, the gradient's way down."""
        x, bottom, top = self.x[k], self._edge(low, 1), self._edge(high, -1)
        middle = (bottom + top) / 2
        _arrow(axes, (x - AISLE, bottom), (x - AISLE, top))
        axes.text(x - AISLE - 0.07, middle, label, ha="right", va="center", fontsize=SMALL, color=FORWARD)
        if self.tables.back:
            _arrow(axes, (x + AISLE, top), (x + AISLE, bottom), back=True)
            gid = f"{back} {k + 1}"
            _write(axes, (x + AISLE + 0.1, middle), self.at.get(gid, ""), BACKWARD, gid, ha="left")

    def _along(self, axes: Axes, left: int, right: int) -> None:
        """Draw the arrow from a step to the next and, dashed, the gradient's way back."""
        halves = {GAP: 0.4, BEFORE: size(self.at["h 0"])[0] / 2 + PAD}
        start = self.x[left] + halves.get(left, self.wide / 2)
        end = self.x[right] - halves.get(right, self.wide / 2)
        upper, lower = self._edge("h", 1) - AISLE, self._edge("h", -1) + AISLE
        _arrow(axes, (start, upper), (end, upper))
        axes.text((start + end) / 2, upper + 0.05, "Wh", ha="center", va="bottom", fontsize=SMALL, color=FORWARD)
        if self.tables.back and left != BEFORE:
            _arrow(axes, (end, lower), (start, lower), back=True)
            gid = f"dh_future {left + 1}"
            _write(axes, ((start + end) / 2, lower + 0.06), self.at.get(gid, ""), BACKWARD, gid, va="bottom")

    def _omitted(self, axes: Axes) -> None:
        """Say which steps are left out."""
        t = self.tables
        gap = t.kept.index(GAP)
        first, last = t.steps[gap - 1] + 2, t.steps[gap]
        text = f"...\nsteps\n{first} to {last}\nleft out"
        axes.text(self.x[GAP], self.y["h"], text, ha="center", va="center", fontsize=SMALL, color=INK)


def _write(axes: Axes, place: Point, text: str, color: str, gid: str, ha: str = "center", va: str = "center") -> None:
    """Write a table."""
    if text:
        style: dict[str, Any] = {"family": "monospace", "fontsize": SMALL, "color": color, "parse_math": False}
        axes.text(*place, text, ha=ha, va=va, ma="left", gid=gid, **style)


def _arrow(axes: Axes, start: Point, end: Point, back: bool = False) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "lw": 1.3}
    style |= {"color": BACKWARD, "linestyle": (0, (4, 2))} if back else {"color": FORWARD}
    axes.add_patch(FancyArrowPatch(start, end, **style))


def _caption(tables: _Tables) -> str:
    arrows = "Solid arrows, forward" if tables.back else "Arrows"
    text = (
        "a column is one time step; all of them use the same weights. In a box a numbered row is a unit. "
        f"{arrows}: x and the state before make h. "
    )
    if tables.back:
        slope = "what its gates make of it (a column a gate)" if tables.layer.gates else "dh times the slope at h"
        cell = " (dc_future: of the cell state)" if tables.layer.kind == "LSTM" else ""
        text += (
            "Dashed arrows, backward, from right to left: a step's dh is the sum of dh_loss, from the loss, and "
            f"dh_future, from the step after it{cell}; da is {slope}. "
        )
    if any(len(v) > UNITS[0] for k in tables.steps for v in (*tables.x(k).values(), *tables.h(k).values())):
        text += f"Of more than {UNITS[0]} numbers the first two and the last are shown. "
    if tables.layer.layer.go_backwards:
        text += "This layer reads the sequence from its end. "
    return text.strip()
