"""The backward pass of a trace as formulas: what each step receives, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .cells import SLOPES
from .numbers import Numbers, Row, activation_of

if TYPE_CHECKING:
    from . import LayerTrace, Step


@dataclass(frozen=True)
class At:
    """A unit of a layer at a step, and the layer above it."""

    layer: LayerTrace
    above: LayerTrace | None
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
        if self.above is None:
            return "dL/do of the loss" if self.back.dh_loss[self.j] else "the loss does not see this step"
        above, T, taken = self.above, len(self.layer.steps), len(self.above.steps)
        t = self.t - (T - taken)
        if t < 0:
            return "the layer above does not see this step"
        t = taken - 1 - t if getattr(above.layer, "go_backwards", False) else t
        kernel = above.weights.get("Wx", above.weights.get("W"))
        if kernel is None or len(kernel) != self.layer.layer.units:
            return f"handed down by {above.name}"
        return self.number.products(above.backward[t].da, kernel[self.j])

    def from_future(self) -> str:
        """Return what the next step hands back: dh through its products and, of a GRU, through its mixture."""
        if self.t + 1 == len(self.layer.steps):
            return "there is no later step"
        number, Wh, H, j = self.number, self.layer.weights["Wh"], self.layer.layer.units, self.j
        step, back = self.layer.steps[self.t + 1], self.layer.backward[self.t + 1]
        if self.layer.kind != "GRU":
            return number.products(back.da, Wh[j])
        straight = number.product(back.dh[j], step.z[j])
        if "dq" in back.names:
            return number.join(iter([straight, number.products(back.dq, Wh[j])]))
        reset = f"({number.products(back.da[2 * H :], Wh[j, 2 * H :])})*{number.inner(step.r[j])}"
        return number.join(iter([f"{straight} + {reset}", number.products(back.da[: 2 * H], Wh[j, : 2 * H])]))


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
    yield "da", at.slope(at.back.dy[at.j], at.layer.layer.activation, at.step.y[at.j]), at.back.da[at.j]


def lstm_back(at: At) -> Iterator[Row]:
    """LSTM: dc gains from this step's h and from the later step's c."""
    step, back, j, number = at.step, at.back, at.j, at.number
    yield from received(at)
    yield "ds", number.product(back.dh[j], step.o[j]), back.ds[j]
    yield "dc here", at.slope(back.ds[j], at.layer.layer.activation, step.s[j]), back.dc_here[j]
    later = "there is no later step"
    if at.t + 1 < len(at.layer.steps):
        later = number.product(at.layer.backward[at.t + 1].dc[j], at.layer.steps[at.t + 1].f[j])
    yield "dc future", later, back.dc_future[j]
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
}
