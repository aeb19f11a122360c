"""What each kind of layer lays open: every number of every step, forward and backward, from the buffers of a run.

Sums are taken apart here (x Wx, h Wh, b; the loss' and the future's share of dh; each step's share of dW) and put
together again: they must give the run's own numbers to 1e-12, or ArithmeticError says which do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..layers import SOFTMAX
from .held import Arrays, backward_steps, forward_steps, from_above, heard, together

Read = Callable[[str], np.ndarray]  # a buffer of the layer by name, without the axis of samples
Taken = list[tuple[Arrays, bool]]  # steps: their numbers, and whether they are masked

# act' from the output y = act(a), as the kernels take it.
SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": np.ones_like,
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
    "relu": lambda y: np.where(y > 0, 1.0, 0.0),
    "softsign": lambda y: (1 - np.abs(y)) ** 2,
    "elu": lambda y: np.where(y > 0, 1.0, y + 1),
    "hard_sigmoid": lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0.0),
}


def agree(what: str, derived: np.ndarray, run: np.ndarray) -> None:
    """Raise ArithmeticError unless numbers taken apart and put together again are the run's."""
    scale = max(1.0, float(np.abs(run).max(initial=0.0)))
    if not np.allclose(derived, run, rtol=0, atol=1e-12 * scale, equal_nan=True):
        worst = float(np.abs(derived - run).max())
        raise ArithmeticError(f"{what}: the terms do not sum to the run's numbers; they are {worst:.3g} apart.")


def outer(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return every step's outer product: its share of a weight gradient."""
    return rows[:, :, None] * columns[:, None, :]


def softmax_back(y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the gradient of softmax' inputs from its outputs: y_j (dy_j - sum_k dy_k y_k)."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


class Opened:
    """A layer laid open: `forward` and `backward` hold an array of (steps, ...) a quantity.

    Parameters
    ----------
    layer : Layer
    read : callable
        Returns a buffer of the layer by its name; "out" is its output.
    inputs : list of arrays
        Sequences (T, D), or vectors as one step, (1, F).
    dy : array or None
        The gradient of the output; None without a backward pass.
    valid : array (T,) of bool, optional
        Which steps of the inputs count.
    """

    gates: tuple[str, ...] = ()
    letters: ClassVar[dict[str, str]] = {"kernel": "W", "bias": "b"}  # of the equations

    def __init__(
        self, layer: Any, read: Read, inputs: list[np.ndarray], dy: np.ndarray | None, valid: np.ndarray | None = None
    ) -> None:
        self.layer, self.read, self.name, self.inputs, self.valid = layer, read, str(layer.name), inputs, valid
        self.weights: Arrays = {self.letters.get(name, name): view.copy() for name, view in layer._views().items()}
        self.forward = self.open_forward(*inputs)
        self.backward = {} if dy is None else self.open_backward(dy)
        self.shares = {f"d{letter}": name for name, letter in self.letters.items() if f"d{letter}" in self.backward}
        self.shares = {d: name for d, name in self.shares.items() if d[1:] in self.weights}
        self.totals = {d: self.backward[d].sum(axis=0) for d in self.shares}

    def open_forward(self, x: np.ndarray) -> Arrays:
        """Return the forward pass' numbers."""
        y = self.read("out")
        return {"x": x if len(x) == len(y) else x[None], "y": y}  # steps that become one vector are one step

    def open_backward(self, dy: np.ndarray) -> Arrays:
        """Return the backward pass' numbers."""
        return {"dy": dy}

    def steps(self) -> Taken:
        """Return every step forward."""
        return self._each(self.forward)

    def steps_back(self) -> Taken:
        """Return every step backward, in the same order."""
        return self._each(self.backward)

    def _each(self, arrays: Arrays) -> Taken:
        count = len(next(iter(arrays.values()))) if arrays else 0
        masked = [False] * count if self.valid is None else [not yes for yes in self.valid]
        return [({name: array[t] for name, array in arrays.items()}, masked[t]) for t in range(count)]

    def outputs(self) -> np.ndarray:
        """Return what the layer hands on, as the layers above read it."""
        return self.forward["y"]

    def down(self) -> list[np.ndarray]:
        """Return what it hands down to each input; nothing where it is no layer that the trace knows."""
        names = ["dx"] if len(self.inputs) == 1 else [f"dx{k + 1}" for k in range(len(self.inputs))]
        return [
            self.backward[n].reshape(x.shape) for n, x in zip(names, self.inputs, strict=True) if n in self.backward
        ]

    def slope(self, y: np.ndarray, gate: bool = False) -> np.ndarray:
        """Return act' of the layer's activation, or of its gates', from the output y."""
        return SLOPES[self.layer.recurrent_activation if gate else self.layer.activation](y)

    def bias(self, columns: int) -> np.ndarray:
        """Return the bias, or zeros where there is none."""
        return self.weights.get("b", np.zeros(columns))

    def every(self, row: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return a row once a step."""
        return np.broadcast_to(row, (len(like), *row.shape))


class OpenedDense(Opened):
    """y = act(x W + b)."""

    def open_forward(self, x: np.ndarray) -> Arrays:
        a, y, b = self.read("a"), self.read("y"), self.bias(self.layer.units)
        terms = x @ self.weights["W"]
        agree(f"{self.name}: a", terms + b, a)
        return {"x": x, "xW": terms, "b": self.every(b, x), "a": a, "y": y}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        x, y = self.forward["x"], self.forward["y"]
        da = softmax_back(y, dy) if self.layer.activation == SOFTMAX else dy * self.slope(y)
        return {"dy": dy, "da": da, "dW": outer(x, da), "db": da, "dx": da @ self.weights["W"].T}


class OpenedRecurrent(Opened):
    """What recurrent layers have in common: states before and after each step, and the two sources of dh."""

    letters: ClassVar[dict[str, str]] = {"kernel": "Wx", "recurrent_kernel": "Wh", "bias": "b"}

    def __init__(
        self, layer: Any, read: Read, inputs: list[np.ndarray], dy: np.ndarray | None, valid: np.ndarray | None = None
    ) -> None:
        (x,), way = inputs, -1 if layer.go_backwards else 1
        self.x = x[::way]  # in the order in which the layer takes its steps, as all that follows
        self.counts = np.ones(len(x), bool) if valid is None else valid[::way]
        taken, self.last = int(self.counts.sum()), dy
        super().__init__(
            layer, lambda name: read(name)[: taken + (name in layer.states)], [self.x[self.counts]], dy, valid
        )

    def states(self, name: str) -> Arrays:
        """Return a state before and after each step."""
        s = self.read(name)
        return {f"{name}_prev": s[:-1], name: s[1:]}

    def from_loss(self, dy: np.ndarray) -> np.ndarray:
        """Return what comes back to each step's state from the layers above."""
        return together(from_above(dy, self.counts, self.layer.zero_output_for_mask), self.counts)

    def received(self, dy: np.ndarray, dh_prev: np.ndarray) -> Arrays:
        """Return dh and its two sources, checked; dh_prev is what each step hands to the one before."""
        dh, from_loss, future = self.read("dh"), self.from_loss(dy), np.zeros_like(dh_prev)
        future[:-1] = dh_prev[1:]
        agree(f"{self.name}: dh", from_loss + future, dh)
        return {"dh_loss": from_loss, "dh_future": future, "dh": dh}

    def steps(self) -> Taken:
        if self.valid is None:
            return super().steps()
        return forward_steps(self.forward, self.counts, self.x, {s: self.read(s) for s in self.layer.states})

    def steps_back(self) -> Taken:
        if self.valid is None or self.last is None:
            return super().steps_back()
        loss = from_above(self.last, self.counts, self.layer.zero_output_for_mask)
        return backward_steps(self.backward, self.counts, loss, self.layer.states)

    def outputs(self) -> np.ndarray:
        h = self.forward["h"]
        if self.valid is not None:
            h = np.array([numbers["h"] for numbers, _ in self.steps()])
            h = h * heard(self.counts, self.layer.zero_output_for_mask)[:, None]
        return h if self.layer.return_sequences else h[-1:]

    def down(self) -> list[np.ndarray]:
        dx = self.backward["dx"]
        if self.valid is not None:
            dx = np.array([numbers["dx"] for numbers, _ in self.steps_back()])
        return [dx[:: -1 if self.layer.go_backwards else 1]]

    def sums(self, x: np.ndarray) -> tuple[Arrays, Arrays]:
        """Return the state before and after, and the terms that most cells add: x Wx + h Wh + b."""
        h, W = self.states("h"), self.weights
        b = self.bias(W["Wx"].shape[1])
        return h, {"xWx": x @ W["Wx"], "hWh": h["h_prev"] @ W["Wh"], "b": self.every(b, x)}

    def split(self, columns: np.ndarray) -> list[np.ndarray]:
        """Return each gate's columns."""
        return np.split(columns, len(self.gates), axis=-1)

    def products(self, x: np.ndarray, da: np.ndarray, dq: np.ndarray | None = None) -> Arrays:
        """Return each step's share of the weight gradients, and dx; dq, else da, reaches the recurrent kernel."""
        own = {"dWx": outer(x, da), "dWh": outer(self.forward["h_prev"], da if dq is None else dq)}
        db = da if dq is None else np.stack([da, dq], axis=1)
        return own | {"db": db, "dx": da @ self.weights["Wx"].T}


class OpenedSimpleRNN(OpenedRecurrent):
    """a_t = x_t Wx + h_(t-1) Wh + b, h_t = act(a_t)."""

    def open_forward(self, x: np.ndarray) -> Arrays:
        h, terms = self.sums(x)
        a = self.read("a")
        agree(f"{self.name}: a", terms["xWx"] + terms["hWh"] + terms["b"], a)
        return {"x": x, "h_prev": h["h_prev"], **terms, "a": a, "h": h["h"]}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        da = self.read("da")
        dh_prev = da @ self.weights["Wh"].T
        own = self.received(dy, dh_prev)
        agree(f"{self.name}: da", own["dh"] * self.slope(self.forward["h"]), da)
        return own | {"da": da, "dh_prev": dh_prev, **self.products(self.forward["x"], da)}


class OpenedLSTM(OpenedRecurrent):
    """i, f, o = gate(a), n = act(a), c_t = f c_(t-1) + i n, s_t = act(c_t), h_t = o s_t."""

    gates = ("i", "f", "n", "o")

    def open_forward(self, x: np.ndarray) -> Arrays:
        h, terms = self.sums(x)
        c, a, s = self.states("c"), self.read("a"), self.read("act_c")
        gates = dict(zip(self.gates, self.split(self.read("gates")), strict=True))
        agree(f"{self.name}: a", terms["xWx"] + terms["hWh"] + terms["b"], a)
        agree(f"{self.name}: c", gates["f"] * c["c_prev"] + gates["i"] * gates["n"], c["c"])
        agree(f"{self.name}: h", gates["o"] * s, h["h"])
        before = {"h_prev": h["h_prev"], "c_prev": c["c_prev"]}
        return {"x": x, **before, **terms, "a": a, **gates, "c": c["c"], "s": s, "h": h["h"]}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        f, da = self.forward, self.read("da")
        dh_prev = da @ self.weights["Wh"].T
        own = self.received(dy, dh_prev)
        ds = own["dh"] * f["o"]
        here = ds * self.slope(f["s"])  # dc from this step's h
        future, dc = np.zeros_like(here), np.zeros_like(here)
        for t in range(len(here) - 1, -1, -1):
            if t + 1 < len(here):
                future[t] = dc[t + 1] * f["f"][t + 1]
            dc[t] = here[t] + future[t]
        gates = {"di": dc * f["n"], "df": dc * f["c_prev"], "dn": dc * f["i"], "do": own["dh"] * f["s"]}
        columns = [gates[f"d{g}"] * self.slope(f[g], gate=g != "n") for g in self.gates]
        agree(f"{self.name}: da", np.concatenate(columns, axis=-1), da)
        cell = {"ds": ds, "dc_here": here, "dc_future": future, "dc": dc, **gates}
        last = {"dh_prev": dh_prev, "dc_prev": dc * f["f"]}
        return own | cell | {"da": da, **last, **self.products(f["x"], da)}


class OpenedGRU(OpenedRecurrent):
    """z, r = gate(a), n = act(a), h_t = z h_(t-1) + (1 - z) n; `q` is what the reset gate scales, or makes."""

    gates = ("z", "r", "n")

    def open_forward(self, x: np.ndarray) -> Arrays:
        W, H, after = self.weights, self.layer.units, self.layer.reset_after
        h, b = self.states("h"), self.bias(3 * self.layer.units)
        gates = dict(zip(self.gates, self.split(self.read("gates")), strict=True))
        terms, a = x @ W["Wx"], self.read("a")
        before = h["h_prev"]
        if after:  # two biases: with x Wx, and with h Wh inside the reset
            first, second = b if b.ndim == 2 else (b, b)
            product = before @ W["Wh"]
            inner = product + second
            agree(f"{self.name}: hWn", inner[:, 2 * H :], self.read("hWn"))
            state = np.concatenate([inner[:, : 2 * H], gates["r"] * inner[:, 2 * H :]], axis=1)
            own = {"xWx": terms, "b": self.every(first, x), "hWh": product, "bh": self.every(second, x)}
        else:
            reset = gates["r"] * before
            product = np.concatenate([before @ W["Wh"][:, : 2 * H], reset @ W["Wh"][:, 2 * H :]], axis=1)
            first, state = b, product
            own = {"xWx": terms, "b": self.every(b, x), "rh": reset, "hWh": product}
        agree(f"{self.name}: a", terms + first + state, a)
        agree(f"{self.name}: h", gates["z"] * before + (1 - gates["z"]) * gates["n"], h["h"])
        return {"x": x, "h_prev": before, **own, "a": a, **gates, "h": h["h"]}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        f, da, W, H = self.forward, self.read("da"), self.weights["Wh"], self.layer.units
        z, r, n, before = f["z"], f["r"], f["n"], f["h_prev"]
        da_z, da_r, da_n = self.split(da)
        if self.layer.reset_after:
            inner = (f["hWh"] + f["bh"])[:, 2 * H :]
            dq: np.ndarray | None = np.concatenate([da_z, da_r, da_n * r], axis=1)
            dr, through = da_n * inner, dq @ W.T
        else:
            dq, dm = None, da_n @ W[:, 2 * H :].T
            dr, through = dm * before, dm * r + np.concatenate([da_z, da_r], axis=1) @ W[:, : 2 * H].T
        dh = self.read("dh")
        dh_prev = dh * z + through
        own = self.received(dy, dh_prev)
        dz, dn = dh * (before - n), dh * (1 - z)
        columns = [dz * self.slope(z, gate=True), dr * self.slope(r, gate=True), dn * self.slope(n)]
        agree(f"{self.name}: da", np.concatenate(columns, axis=1), da)
        products = self.products(f["x"], da, dq)
        if dq is None:  # the candidate's columns saw r h, not h
            products["dWh"] = np.concatenate([outer(before, da[:, : 2 * H]), outer(f["rh"], da_n)], axis=2)
        else:
            own["dq"] = dq
        return own | {"dz": dz, "dr": dr, "dn": dn, "da": da, "dh_prev": dh_prev, **products}


OPENED: dict[str, type[Opened]] = {
    "SimpleRNN": OpenedSimpleRNN,
    "LSTM": OpenedLSTM,
    "GRU": OpenedGRU,
    "Dense": OpenedDense,
}
