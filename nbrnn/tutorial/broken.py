"""Layers whose backward pass may have a fault: six with gates for lesson 10, two that take masks for lesson 12.

Forward they are LSTM and SimpleRNN. Look here only after you have questioned them with `check_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..cells import Cell, add_outer, add_product, add_sum, affine, product, sigmoid, tanh
from ..gated import LSTM
from ..gradcheck import check_gradients
from ..layers import Backward, Layer
from ..masking import Packing
from ..products import input_gradient
from ..program import Buffer, Program
from ..simple import SimpleRNN
from ..testing import random_model

# What `fault` chooses; 0 is none.
NO_CELL, WRONG_SLOPE, SWAPPED, NO_STATE, LATE = range(1, 6)


class GatedSuspect(Cell):
    """The LSTM, step by step: weights and gates as those of `nbrnn.LSTM`, columns i, f, n, o."""

    params = "W[D,4H] U[H,4H] b[4H]"
    carry = "h[B,H] c[B,H]"
    tape = "g[B,4H] s[B,H]"
    scratch = "da[B,4H]"
    numbers = "fault:int=0"

    @staticmethod
    def forward(x: Any, h_prev: Any, c_prev: Any, W: Any, U: Any, b: Any, h: Any, c: Any, g: Any, s: Any) -> None:
        """Take a step: c = f c_prev + i n, h = o tanh(c)."""
        affine(g, x, W, b)
        add_product(g, h_prev, U)
        samples, units = h.shape
        for k in range(samples):
            for j in range(units):
                i, f = sigmoid(g[k, j]), sigmoid(g[k, units + j])
                n, o = tanh(g[k, 2 * units + j]), sigmoid(g[k, 3 * units + j])
                g[k, j], g[k, units + j], g[k, 2 * units + j], g[k, 3 * units + j] = i, f, n, o
                c[k, j] = f * c_prev[k, j] + i * n
                s[k, j] = tanh(c[k, j])
                h[k, j] = o * s[k, j]

    @staticmethod
    def backward(
        x: Any,
        h_prev: Any,
        c_prev: Any,
        c: Any,
        g: Any,
        s: Any,
        dh: Any,
        dc: Any,
        W_T: Any,
        U_T: Any,
        dx: Any,
        dh_prev: Any,
        dc_prev: Any,
        dW: Any,
        dU: Any,
        db: Any,
        da: Any,
        fault: int,
    ) -> None:
        """Take a step back, with the fault that was chosen."""
        one, nothing = s.dtype.type(1), s.dtype.type(0)
        samples, units = dh.shape
        for k in range(samples):
            for j in range(units):
                i, f, n, o = g[k, j], g[k, units + j], g[k, 2 * units + j], g[k, 3 * units + j]
                bent = c[k, j] if fault == WRONG_SLOPE else s[k, j]  # the slope is that of the output
                d = dc[k, j] + dh[k, j] * o * (one - bent * bent)
                old = c[k, j] if fault == LATE else c_prev[k, j]  # f multiplies the state before the step
                to_i, to_f = d * n * i * (one - i), d * old * f * (one - f)
                if fault == SWAPPED:  # forward the columns are i, f
                    to_i, to_f = to_f, to_i
                da[k, j], da[k, units + j] = to_i, to_f
                da[k, 2 * units + j] = d * i * (one - n * n)
                da[k, 3 * units + j] = dh[k, j] * s[k, j] * o * (one - o)
                dc_prev[k, j] = nothing if fault == NO_CELL else d * f  # the way along c
        product(dx, da, W_T)
        product(dh_prev, da, U_T)
        if fault == NO_STATE:  # the way along h
            for k in range(samples):
                for j in range(units):
                    dh_prev[k, j] = nothing
        add_outer(dW, x, da)
        add_outer(dU, h_prev, da)
        add_sum(db, da)


class MaskSuspect(SimpleRNN):
    """A layer with SimpleRNN's forward pass and, where there is a mask, perhaps its backward pass."""

    kind = "mask_suspect"

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        """Go back through masked steps as if they had been taken: with the states that were held there."""
        mask = p.masks[0] if p.masks else None
        y, unmasked = super().lower(p, x)
        if mask is None:
            return y, unmasked
        packing, given = Packing.of(p, mask, self.go_backwards), self.given(p)
        steps, samples, _ = x.shape

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            held = self.buffer(p, "held", steps + 1, samples, self.units)
            first = p[f"{self.name}/h first"]
            if given:
                p.call("scaled", x=first, factor=1.0, y=held[0])
            else:
                p.clear(held[0])
            p.call("hold", h=p[f"{self.name}/h"], row=packing.row, seen=packing.seen, zero=0, y=held[1:])
            dh = self.buffer(p, "dh", steps, samples, self.units)
            p.call("spread", dy=dy.reshape(-1, samples, self.units), dh=dh)
            last = p.from_last.get(f"{self.name}/h")
            if last:
                p.call("accumulate", v=last, into=dh[-1])
            da = self.buffer(p, "da", steps, samples, self.units)
            dh0 = self.first_gradient(p, given, samples)
            self.through_time(p, self._buffer(p, "recurrent_kernel"), held, dh, da, dh0)
            self.gradients(p, x, da, held, given)
            dx = self.buffer(p, "dx", *x.shape)
            return input_gradient(p, da, self._buffer(p, "kernel"), dx) if wanted else None

        return y, backward


class MaskTaker(SimpleRNN):
    """A layer with SimpleRNN's forward pass and, where there is a mask, perhaps its backward pass."""

    kind = "mask_taker"


GATED = {
    letter: partial(GatedSuspect, fault=fault)
    for letter, fault in zip("FGHIJK", (NO_CELL, WRONG_SLOPE, 0, SWAPPED, NO_STATE, LATE), strict=True)
}
MASKED = {"L": MaskSuspect, "M": MaskTaker}


def question(make: Callable[[int], Layer], steps: int) -> tuple[str, str]:
    """Ask a layer with gates which of its gradients are wrong, and of which gates.

    Parameters
    ----------
    make : callable
        Makes the layer for a number of units; its first weight has the columns i, f, n, o.
    steps : int
        The length of the two random sequences on which it is checked.

    Returns
    -------
    wrong : str
        The gradients of which `check_gradients` says that they are wrong, "W U b x h0 c0", or "none".
    gates : str
        The gates whose columns of the first weight's gradient are not those of LSTM with the same weights, "i f n o",
        or "none".
    """
    models = [random_model([one(3)], (steps, 2)) for one in (make, LSTM)]
    models[1].set_weights(models[0].get_weights())
    x = np.random.default_rng(1).normal(size=(2, steps, 2))
    report, right = (check_gradients(model, x) for model in models)
    wrong = [row.name.split("/")[-1] for row in report.rows if row.relative_error > 1e-6]
    dW, ours = (next(iter(one.gradients.values())) for one in (report, right))
    apart = np.abs(dW - ours).max(axis=0).reshape(4, 3).max(axis=1)
    gates = [gate for gate, difference in zip("ifno", apart, strict=True) if difference > 1e-9]
    return " ".join(wrong) or "none", " ".join(gates) or "none"
