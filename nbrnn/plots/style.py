"""One visual language for all pictures: colours, sizes, and a caption under each."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart; those that meet in a picture differ in lightness too.
GREY, BLUE, SKY, ORANGE = "#A8A8A8", "#0072B2", "#56B4E9", "#E69F00"
VERMILION, GREEN, PURPLE = "#D55E00", "#009E73", "#CC79A7"
INK, RED = "#333333", "#D00000"
PALE, PALE_BLUE, PALE_ORANGE = "#EDEDED", "#CDE8F8", "#F9E3B4"  # to draw over

ACTUAL, PREDICTED, SPLIT, VALIDATION = GREY, BLUE, RED, ORANGE
INPUT, STATE, OUTPUT, TARGET = SKY, BLUE, GREEN, ORANGE
FORWARD, BACKWARD = INK, VERMILION
DIVERGING = "RdBu_r"  # where signs matter; centre it on zero

SMALL, TEXT = 8.5, 10.0  # points; nothing is drawn smaller
DPI = 120


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; pyplot does not know it."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def caption(figure: Figure, text: str) -> None:
    """Put 'How to read this: ...' at the figure's foot."""
    lines = textwrap.fill(f"How to read this: {text}", round(14.5 * figure.get_figwidth()))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=SMALL, color=INK, parse_math=False)


def tidy(axes: Axes) -> None:
    """Leave the frame of a chart open at the top and the right."""
    axes.spines[["top", "right"]].set_visible(False)


def canvas(axes: Axes, width: float, height: float) -> None:
    """Make axes a sheet to draw a diagram on, both ways in the same unit, with (0, 0) at the lower left."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()
