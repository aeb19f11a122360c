"""What one unit of a sequence does in a step of design "groups": the cells' own step functions on what they need.

A forward step is called with the sums over h_(t-1) in shared memory (`made` says whether there are any), the input's
products in pre[p], and the unit's place in the arrays; a backward step with dL/dh. Both write what the CPU's kernels
write, where they write it. `q`, `u` and so on are the arrays that a cell has beside h, in the order of CELLS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...kernels import gru, lstm
from ...kernels.activations import act, slope
from .blockproducts import inlined


@dataclass(frozen=True)
class Cell:
    """A cell's steps, made for a split's `total`, its units and two constant codes of activations."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    straight: bool  # whether a part of dL/dh goes to the step before without a product, by the last of the arrays


@inlined
def place(t, count):  # type: ignore[no-untyped-def]
    """Return where the t-th stands of all, of two that take turns, or of one; without a division in every step."""
    return t if t < count else t & (count - 1)


@inlined
def gates_at(V, t, row, j, H):  # type: ignore[no-untyped-def]
    """Return the first three numbers of a unit: of its gates, or of what is made of them."""
    return V[t, row, j], V[t, row, H + j], V[t, row, 2 * H + j]


@inlined
def keep(V, t, row, j, H, first, second, third):  # type: ignore[no-untyped-def]
    """Write them."""
    V[t, row, j] = first
    V[t, row, H + j] = second
    V[t, row, 2 * H + j] = third


@inlined
def keep4(V, t, row, j, H, first, second, third, fourth):  # type: ignore[no-untyped-def]
    """Write all four of a cell of four gates."""
    keep(V, t, row, j, H, first, second, third)
    V[t, row, 3 * H + j] = fourth


def _lstm_forward(total: Any, UNITS: int, ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(shared, r, m, made, t, row, j, pre, p, h, c, g, s, a):  # type: ignore[no-untyped-def]
        H = h.shape[2]
        ai, af, an = gates_at(pre, p, row, j, H)
        ao = pre[p, row, 3 * H + j]
        if made:
            ai += total(shared, r, m)
            af += total(shared, r, UNITS + m)
            an += total(shared, r, 2 * UNITS + m)
            ao += total(shared, r, 3 * UNITS + m)
        if a.size > 0:
            keep4(a, t, row, j, H, ai, af, an, ao)
        before = c[place(t, c.shape[0]), row, j]
        i, f, n, o, cell, squashed, out = lstm.step(ai, af, an, ao, before, ACTIVATION, GATE, True)
        k = place(t, g.shape[0])
        keep4(g, k, row, j, H, i, f, n, o)
        c[place(t + 1, c.shape[0]), row, j] = cell
        s[k, row, j] = squashed
        h[place(t + 1, h.shape[0]), row, j] = out

    return step


def _lstm_backward(ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(t, row, j, H, dh, da, c, g, s, dc, unused):  # type: ignore[no-untyped-def]
        i, f, n = gates_at(g, t, row, j, H)
        o = g[t, row, 3 * H + j]
        di, df, dn, do, down = lstm.step_back(
            i, f, n, o, c[t, row, j], s[t, row, j], dh, dc[row, j], ACTIVATION, GATE, True
        )
        keep4(da, t, row, j, H, di, df, dn, do)
        dc[row, j] = down

    return step


def _gru_forward(total: Any, UNITS: int, ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(shared, r, m, made, t, row, j, pre, p, h, c, g, q, a):  # type: ignore[no-untyped-def]
        H = h.shape[2]
        az, ar, an = gates_at(pre, p, row, j, H)
        state = h.dtype.type(0)
        if made:
            az += total(shared, r, m)
            ar += total(shared, r, UNITS + m)
            state += total(shared, r, 2 * UNITS + m)
        if c.size > 0:
            az += c[j]
            ar += c[H + j]
            state += c[2 * H + j]
        before = h[place(t, h.shape[0]), row, j]
        z, reset, an, n, out = gru.step_after(az, ar, an, state, before, ACTIVATION, GATE, True)
        if a.size > 0:
            keep(a, t, row, j, H, az, ar, an)
        k = place(t, g.shape[0])
        keep(g, k, row, j, H, z, reset, n)
        q[k, row, j] = state
        h[place(t + 1, h.shape[0]), row, j] = out

    return step


def _gru_backward(ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(t, row, j, H, dh, dq, h, g, q, da, through):  # type: ignore[no-untyped-def]
        z, reset, n = gates_at(g, t, row, j, H)
        dz, dn, direct = gru.step_unmix(z, n, h[t, row, j], dh, ACTIVATION, GATE, True)
        dr, dq_n = gru.step_reset_back(reset, q[t, row, j], dn, GATE, True)
        keep(da, t, row, j, H, dz, dr, dn)
        keep(dq, t, row, j, H, dz, dr, dq_n)
        through[row, j] = direct

    return step


def _simple_forward(total: Any, UNITS: int, ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(shared, r, m, made, t, row, j, pre, p, h, a, unused, none, nothing):  # type: ignore[no-untyped-def]
        v = pre[p, row, j]
        if made:
            v += total(shared, r, m)
        if a.size > 0:
            a[t, row, j] = v
        h[place(t + 1, h.shape[0]), row, j] = act(v, ACTIVATION)

    return step


def _simple_backward(ACTIVATION: int, GATE: int) -> Any:
    @inlined
    def step(t, row, j, H, dh, da, h, unused, none, nothing, empty):  # type: ignore[no-untyped-def]
        da[t, row, j] = dh * slope(h[t + 1, row, j], ACTIVATION)

    return step


CELLS = {
    "lstm": Cell(_lstm_forward, _lstm_backward, False),
    "gru_after": Cell(_gru_forward, _gru_backward, True),
    "simple_rnn": Cell(_simple_forward, _simple_backward, False),
}
