"""The backward pass of a trace as formulas: what each step receives, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..layers import SOFTMAX
from .cells import SLOPES
from .numbers import Numbers, Row, activation_of

if TYPE_CHECKING:
    from . import LayerTrace, Step


@dataclass(frozen=True)
class At:
    """A unit of a layer at a step, and the layers that read it."""

    layer: LayerTrace
    readers: list[LayerTrace]
    t: int
    j: int
    number: Numbers

    @property
    def step(self) -> Step:
        """The forward numbers."""
        return self.layer.steps[self.t]

    @property
    def back(self) -> Step:
        """The backward numbers."""
        return self.layer.backward[self.t]

    def slope(self, upstream: float, activation: str, y: float) -> str:
        """Return dy * act', with act' from the output y."""
        shown = self.number.inner(y)
        known = {"tanh": f"(1 - {shown}^2)", "sigmoid": f"{shown}*(1 - {shown})"}
        return f"{self.number(upstream)}*{known.get(activation) or self.number(float(SLOPES[activation](np.array(y))))}"

    def from_loss(self) -> str:
        """Return what the layer above, or the loss itself, hands down to this step."""
        layer, T = self.layer, len(self.layer.steps)
        if not self.readers or (self.step.masked and not self.back.dh_loss.any()):
            return "dL/do of the loss" if self.back.dh_loss[self.j] else "the loss does not see this step"
        if not layer.layer.return_sequences and self.t < T - 1:
            return "the layer above does not see this step"
        above = self.readers[0]
        kernel = above.weights.get("Wx", above.weights.get("W"))
        if len(self.readers) > 1 or layer.gives or kernel is None or len(kernel) != layer.layer.units:
            return f"handed down by {', '.join(['the loss'] * bool(layer.gives) + [r.name for r in self.readers])}"
        t = self.t - (T - len(above.steps))
        t = len(above.steps) - 1 - t if getattr(above.layer, "go_backwards", False) else t
        return self.number.products(above.backward[t].da, kernel[self.j])

    def from_future(self) -> str:
        """Return what the next step hands back: dh through its products and, of a GRU, through its mixture."""
        if self.t + 1 == len(self.layer.steps):
            return "there is no later step"
        number, Wh, H, j = self.number, self.layer.weights["Wh"], self.layer.layer.units, self.j
        step, back = self.layer.steps[self.t + 1], self.layer.backward[self.t + 1]
        if step.masked:
            return number(back.dh[j])
        if self.layer.kind != "GRU":
            return number.products(back.da, Wh[j])
        straight = number.product(back.dh[j], step.z[j])
        if "dq" in back.names:
            return number.join(iter([straight, number.products(back.dq, Wh[j])]))
        reset = f"({number.products(back.da[2 * H :], Wh[j, 2 * H :])})*{number.inner(step.r[j])}"
        return number.join(iter([f"{straight} + {reset}", number.products(back.da[: 2 * H], Wh[j, : 2 * H])]))

    def cell_from_future(self) -> str:
        """Return the dc of an LSTM that the next step hands back."""
        if self.t + 1 == len(self.layer.steps):
            return "there is no later step"
        step, back = self.layer.steps[self.t + 1], self.layer.backward[self.t + 1]
        return self.number(back.dc[self.j]) if step.masked else self.number.product(back.dc[self.j], step.f[self.j])


def received(at: At) -> Iterator[Row]:
    """Yield dh and its two sources."""
    back, j = at.back, at.j
    yield "dh loss", at.from_loss(), back.dh_loss[j]
    yield "dh future", at.from_future(), back.dh_future[j]
    yield "dh", at.number.sum(back.dh_loss[j], back.dh_future[j]), back.dh[j]


def rnn_back(at: At) -> Iterator[Row]:
    """SimpleRNN."""
    yield from received(at)
    yield "da", at.slope(at.back.dh[at.j], at.layer.layer.activation, at.step.h[at.j]), at.back.da[at.j]


def dense_back(at: At) -> Iterator[Row]:
    """Dense."""
    if at.layer.layer.activation == SOFTMAX:
        yield "da", softmax_formula(at), at.back.da[at.j]
        return
    yield "da", at.slope(at.back.dy[at.j], at.layer.layer.activation, at.step.y[at.j]), at.back.da[at.j]


def softmax_formula(at: At) -> str:
    """Return y_j (dy_j - sum_k dy_k y_k)."""
    y, dy, number = at.step.y, at.back.dy, at.number
    return f"{number(y[at.j])}*({number(dy[at.j])} - ({number.products(dy, y)}))"


def pointwise_back(at: At) -> Iterator[Row]:
    """Activation and Softmax."""
    activation = getattr(at.layer.layer, "activation", SOFTMAX)
    if activation == SOFTMAX:
        formula = softmax_formula(at)
    else:
        formula = at.slope(at.back.dy[at.j], activation, at.step.y[at.j])
    yield f"dx[{at.j + 1}]", formula, at.back.dx[at.j]


def masked_back(at: At) -> Iterator[Row]:
    """Yield what goes on through a masked step."""
    yield from received(at)
    if "dc_future" in at.back.names:
        yield "dc", at.cell_from_future(), at.back.dc[at.j]


def lstm_back(at: At) -> Iterator[Row]:
    """LSTM: dc gains from this step's h and from the later step's c."""
    step, back, j, number = at.step, at.back, at.j, at.number
    yield from received(at)
    yield "ds", number.product(back.dh[j], step.o[j]), back.ds[j]
    yield "dc here", at.slope(back.ds[j], at.layer.layer.activation, step.s[j]), back.dc_here[j]
    yield "dc future", at.cell_from_future(), back.dc_future[j]
    yield "dc", number.sum(back.dc_here[j], back.dc_future[j]), back.dc[j]
    sources = {"i": (back.dc, step.n), "f": (back.dc, step.c_prev), "n": (back.dc, step.i), "o": (back.dh, step.s)}
    for g, gate in enumerate(at.layer.gates):
        left, right = sources[gate]
        yield from gate_back(at, gate, g, number.product(left[j], right[j]))


def gru_back(at: At) -> Iterator[Row]:
    """GRU: the candidate comes before the reset gate, which hears of the loss through it."""
    step, back, j, number = at.step, at.back, at.j, at.number
    yield from received(at)
    dh = number(back.dh[j])
    yield from gate_back(at, "z", 0, f"{dh}*({number.sum(step.h_prev[j], -step.n[j])})")
    yield from gate_back(at, "n", 2, f"{dh}*(1 - {number.inner(step.z[j])})")
    H = at.layer.layer.units
    if "bh" in step.names:
        k = 2 * H + j
        reset = f"{number(back.da[k])}*({number.sum(step.hWh[k], step.bh[k])})"
    else:
        through = number.products(back.da[2 * H :], at.layer.weights["Wh"][j, 2 * H :])
        reset = f"({through}) * {number.inner(step.h_prev[j])}"
    yield from gate_back(at, "r", 1, reset)


def gate_back(at: At, gate: str, g: int, formula: str) -> Iterator[Row]:
    """Yield a gate's gradient, after and before its activation."""
    d, k = at.back[f"d{gate}"][at.j], g * at.layer.layer.units + at.j
    yield f"d{gate}", formula, d
    yield f"da {gate}", at.slope(d, activation_of(at.layer, gate), at.step[gate][at.j]), at.back.da[k]


BACKWARD: dict[str, Callable[[At], Iterator[Row]]] = {
    "SimpleRNN": rnn_back,
    "Dense": dense_back,
    "LSTM": lstm_back,
    "GRU": gru_back,
    "Activation": pointwise_back,
    "Softmax": pointwise_back,
}
