"""The GRU's two forms on the device, in the design "steps" of forms_cells.py."""

from functools import cache
from typing import Any

from numba import cuda

from ...kernels import gru
from .forms_cells import NEXT, at_work, below, hand_down, inputs, mask_first, rows_of
from .launching import FORMS, launch
from .products import product, product_turned

# ---------------------------------------------------------------- reset after the product


@cache
def _after(activation: int, gate: int) -> Any:
    @cuda.jit
    def step(g, q, c, before, out, a, mask, kept, alive, t):  # type: ignore[no-untyped-def]
        H, taped = out.shape[1], a.size > 0
        for k in range(cuda.grid(1), at_work(alive, t, out.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            tape = a[i] if taped else g[i]
            gru.after(j, 1, g[i], q[i], c, before[i], out[i], tape, taped, activation, gate, True)
            if mask.size > 0:
                kept[i, j] = out[i, j] * mask[i, j]

    return step


def gru_after_forward(
    x: Any, Wx: Any, Px: Any, Wh: Any, Ph: Any, b: Any, c: Any, mask: Any, alive: Any, activation: int, gate: int,
    h: Any, kept: Any, g: Any, q: Any, a: Any,
) -> None:  # fmt: skip
    """Launch the layer's steps; the candidate's product with the state is one of its own."""
    H, every, seen = Wh.shape[0], inputs(g, x, Wx, b), kept if mask.size else h
    mask_first(kept, h, mask, alive, 1)
    old = 0
    for t in range(x.shape[0]):
        at, new, rows = t if g.shape[0] > 1 else 0, NEXT(old, h), rows_of(alive, t)
        if not every:
            product(g[at][:, : 3 * H], x[t], Wx, b, False, rows)
        product(g[at][:, : 2 * H], seen[old], Wh[:, : 2 * H], None, True, rows)
        product(q[at], seen[old], Wh[:, 2 * H :], c[2 * H :], False, rows)
        states = g[at], q[at], c, h[old], h[new], a[t] if a.size else h[0][:0]
        masked = mask, kept[new] if mask.size else h[0][:0]
        launch(_after(activation, gate), *states, *masked, alive, t, count=h[0].size)
        old = new


@cache
def _after_back(activation: int, gate: int) -> Any:
    @cuda.jit
    def back(g, q, before, dh, da, dq, through, into, adds, alive, t):  # type: ignore[no-untyped-def]
        H = through.shape[1]
        for k in range(cuda.grid(1), at_work(alive, t, through.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            gru.after_back(j, 1, g[i], q[i], before[i], dh[i], da[i], dq[i], through[i], activation, gate, True)
            if into.size > 0:
                into[i, j] = (into[i, j] if adds else through.dtype.type(0)) + through[i, j]

    return back


def gru_after_backward(
    Wh: Any, PT: Any, h: Any, g: Any, q: Any, mask: Any, alive: Any, activation: int, gate: int, add: int,
    dh: Any, through: Any, da: Any, dq: Any, dh0: Any, room: Any,
) -> None:  # fmt: skip
    """Launch backpropagation through time; what goes straight to the state before is handed down with the step."""
    every, back = dh.shape[0] == g.shape[0], _after_back(activation, gate)
    for t in range(g.shape[0] - 1, -1, -1):
        into, adds = below(t, every, dh, dh0, add)
        states = g[t], q[t], h[t], dh[t if every else 0], da[t], dq[t], through
        launch(back, *states, into, int(adds), alive, t, count=through.size)
        if into.size:
            hand_down(into, True, dq[t], Wh, mask, room, alive, t)


# ---------------------------------------------------------------- reset before the product


@cache
def _before_gates(gate: int) -> Any:
    @cuda.jit
    def step(g, seen, m, a, alive, t):  # type: ignore[no-untyped-def]
        H, taped = m.shape[1], a.size > 0
        for k in range(cuda.grid(1), at_work(alive, t, m.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            gru.before_gates(j, 1, g[i], seen[i], m[i], a[i] if taped else g[i], taped, gate, True)

    return step


@cache
def _candidate(activation: int) -> Any:
    @cuda.jit
    def step(g, before, out, a, mask, kept, alive, t):  # type: ignore[no-untyped-def]
        H, taped = out.shape[1], a.size > 0
        for k in range(cuda.grid(1), at_work(alive, t, out.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            tape = a[i] if taped else g[i]
            gru.mix(j, 1, g[i], g[i, 2 * H + j], g[i, j], before[i], out[i], tape, taped, activation, True)
            if mask.size > 0:
                kept[i, j] = out[i, j] * mask[i, j]

    return step


def gru_before_forward(
    x: Any, Wx: Any, Px: Any, Wg: Any, Pg: Any, Wn: Any, Pn: Any, b: Any, mask: Any, alive: Any, activation: int,
    gate: int, h: Any, kept: Any, g: Any, m: Any, a: Any,
) -> None:  # fmt: skip
    """Launch the layer's steps: the gates of all units, then the candidates, whose product needs all of them."""
    H, every, seen = Wn.shape[0], inputs(g, x, Wx, b), kept if mask.size else h
    mask_first(kept, h, mask, alive, 1)
    old = 0
    for t in range(x.shape[0]):
        at, new, rows = t if g.shape[0] > 1 else 0, NEXT(old, h), rows_of(alive, t)
        tape = a[t] if a.size else h[0][:0]
        if not every:
            product(g[at], x[t], Wx, b, False, rows)
        product(g[at][:, : 2 * H], seen[old], Wg, None, True, rows)
        launch(_before_gates(gate), g[at], seen[old], m[at], tape, alive, t, count=h[0].size)
        product(g[at][:, 2 * H :], m[at], Wn, None, True, rows)
        masked = mask, kept[new] if mask.size else h[0][:0]
        launch(_candidate(activation), g[at], h[old], h[new], tape, *masked, alive, t, count=h[0].size)
        old = new


@cache
def _unmix(activation: int, gate: int) -> Any:
    @cuda.jit
    def back(g, before, dh, da, dn, through, alive, t):  # type: ignore[no-untyped-def]
        H = through.shape[1]
        for k in range(cuda.grid(1), at_work(alive, t, through.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            gru.before_unmix(j, 1, g[i], before[i], dh[i], da[i], dn[i], through[i], activation, gate, True)

    return back


@cache
def _before_reset(gate: int) -> Any:
    @cuda.jit
    def back(g, seen, dm, da, dg, through, mask, into, adds, alive, t):  # type: ignore[no-untyped-def]
        H = through.shape[1]
        for k in range(cuda.grid(1), at_work(alive, t, through.shape[0]) * H, cuda.gridsize(1)):
            i, j = k // H, k % H
            gru.before_reset(j, 1, g[i], seen[i], dm[i], da[i], dg[i], through[i], gate, True)
            if mask.size > 0:  # what the reset gate lets through has met the mask
                through[i, j] += dm[i, j] * g[i, H + j] * (mask[i, j] - mask.dtype.type(1))
            if into.size > 0:
                into[i, j] = (into[i, j] if adds else through.dtype.type(0)) + through[i, j]

    return back


def gru_before_backward(
    Wg: Any, PgT: Any, Wn: Any, PnT: Any, h: Any, kept: Any, g: Any, mask: Any, alive: Any, activation: int, gate: int,
    dh: Any, through: Any, dm: Any, da: Any, dg: Any, dn: Any, dh0: Any, room: Any,
) -> None:  # fmt: skip
    """Launch backpropagation through time."""
    every, seen = dh.shape[0] == g.shape[0], kept if mask.size else h
    for t in range(g.shape[0] - 1, -1, -1):
        into, adds = below(t, every, dh, dh0, False)
        now = dh[t if every else 0]
        launch(_unmix(activation, gate), g[t], h[t], now, da[t], dn[t], through, alive, t, count=through.size)
        product_turned(dm, dn[t], Wn, False, rows_of(alive, t))
        states = g[t], seen[t], dm, da[t], dg[t], through, mask
        launch(_before_reset(gate), *states, into, int(adds), alive, t, count=through.size)
        if into.size:
            hand_down(into, True, dg[t], Wg, mask, room, alive, t)


FORMS |= {f.__name__: f for f in (gru_after_forward, gru_after_backward, gru_before_forward, gru_before_backward)}
