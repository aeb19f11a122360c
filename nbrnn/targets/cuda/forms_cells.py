"""Recurrent layers on the device, design "steps": a time step is products of matrices and launches of its arithmetic.

    forward    where gates are kept for all steps, x Wx + b of all of them is one product; then, step by step,
               h_(t-1) Wh is added and a thread takes one unit of one sample through the cell's own function
    backward   a thread takes one unit of one sample back, then dL/dh_(t-1) (+)= dL/da Wh^T

The functions are the CPU's (kernels/lstm.py and its neighbours) for one unit. Activations are constants of a kernel:
there is one for every pair that is used. Rows at or beyond alive[t] are left alone; the device looks it up.
"""

from functools import cache, partial
from typing import Any

from numba import cuda

from ...kernels import lstm
from ...kernels.activations import slope
from ...kernels.gemm import following
from .forms_masks import wipe_all
from .launching import FORMS, alike, launch, rebound
from .products import (
    count_rows,
    neurons,
    pack,
    pack_transposed,
    product,
    product_turned,
    products_of_columns,
    room,
)

NEXT = rebound(following)  # on the host


def flat(V: Any, columns: int) -> Any:
    """Return the rows of all steps, with so many columns."""
    return V.reshape((V.shape[0] * V.shape[1], V.shape[2]))[:, :columns]


def rows_of(alive: Any, t: int) -> tuple[Any, int] | None:
    """Return where the device finds the number of rows at work in a step, if they are not all."""
    return (alive, t) if alive.size else None


@cuda.jit(device=True)
def at_work(alive, t, rows):  # type: ignore[no-untyped-def]
    """Return how many rows of a step are at work."""
    return alive[t] if alive.size > 0 else rows


@cuda.jit
def mask_rows(to, state, by, alive, t):  # type: ignore[no-untyped-def]
    """Multiply a state by its dropout mask."""
    H = by.shape[1]
    for q in range(cuda.grid(1), at_work(alive, t, by.shape[0]) * H, cuda.gridsize(1)):
        i, j = q // H, q % H
        to[i, j] = state[i, j] * by[i, j]


@cuda.jit
def unmask_rows(into, d, by, add, alive, t):  # type: ignore[no-untyped-def]
    """Take a gradient back through the dropout mask of a state."""
    H = by.shape[1]
    for q in range(cuda.grid(1), at_work(alive, t, by.shape[0]) * H, cuda.gridsize(1)):
        i, j = q // H, q % H
        into[i, j] = (into[i, j] if add else d.dtype.type(0)) + d[i, j] * by[i, j]


def mask_first(kept: Any, h: Any, mask: Any, alive: Any, initial: int) -> None:
    """Launch the dropout of the first state, where there is dropout and a first state."""
    if mask.size and initial:
        launch(mask_rows, kept[0], h[0], mask, alive[:0], 0, count=mask.size)


def inputs(g: Any, x: Any, Wx: Any, b: Any) -> bool:
    """Launch x Wx + b of all steps where g holds them; return whether it does."""
    every = bool(g.shape[0] == x.shape[0])
    if every:
        product(flat(g, Wx.shape[1]), flat(x, x.shape[2]), Wx, b)
    return every


def below(t: int, every: bool, dh: Any, dh0: Any, add: Any) -> tuple[Any, bool]:
    """Return where the gradient of the state before step t goes, and whether it is added to what stands there."""
    if t > 0:
        return (dh[t - 1], True) if every else (dh[0], False)
    return dh0, bool(add)


def hand_down(into: Any, adds: bool, da: Any, W: Any, mask: Any, room: Any, alive: Any, t: int) -> None:
    """Launch into (+)= da W^T, through the dropout mask where there is one."""
    if mask.size:
        product_turned(room, da, W, False, rows_of(alive, t))
        launch(unmask_rows, into, room, mask, int(adds), alive, t, count=mask.size)
    else:
        product_turned(into, da, W, adds, rows_of(alive, t))


# ---------------------------------------------------------------- SimpleRNN


def simple_rnn_forward(
    x: Any, Wx: Any, Px: Any, Wh: Any, Ph: Any, b: Any, mask: Any, alive: Any, activation: int, initial: int,
    h: Any, kept: Any, a: Any,
) -> None:  # fmt: skip
    """Launch the layer's steps: one each, which takes both products into the same sums."""
    old, seen = 0, kept if mask.size else h
    mask_first(kept, h, mask, alive, initial)
    for t in range(x.shape[0]):
        new, states = NEXT(old, h), Wh.shape[0] if t > 0 or initial else 0
        tape = a[t] if a.size else h[0][:0]
        neurons(h[new], tape, x[t], Wx, Px, seen[old], states, Wh, Ph, b, activation, rows_of(alive, t))
        if mask.size:
            launch(mask_rows, kept[new], h[new], mask, alive, t, count=mask.size)
        old = new


@cache
def _simple_rnn_back(activation: int) -> Any:
    @cuda.jit
    def back(dh, h, da, alive, t):  # type: ignore[no-untyped-def]
        H = h.shape[1]
        for q in range(cuda.grid(1), at_work(alive, t, h.shape[0]) * H, cuda.gridsize(1)):
            i, j = q // H, q % H
            da[i, j] = dh[i, j] * slope(h[i, j], activation)

    return back


def simple_rnn_backward(
    Wh: Any, PT: Any, h: Any, mask: Any, alive: Any, activation: int, add: int, dh: Any, da: Any, dh0: Any, room: Any
) -> None:
    """Launch backpropagation through time."""
    every = dh.shape[0] == da.shape[0]
    for t in range(da.shape[0] - 1, -1, -1):
        now = dh[t if every else 0]
        launch(_simple_rnn_back(activation), now, h[t + 1], da[t], alive, t, count=now.size)
        if t > 0 or dh0.size:
            hand_down(*below(t, every, dh, dh0, add), da[t], Wh, mask, room, alive, t)


# ---------------------------------------------------------------- LSTM


@cache
def _lstm_step(activation: int, gate: int) -> Any:
    @cuda.jit
    def step(g, before, now, squashed, out, a, mask, kept, alive, t):  # type: ignore[no-untyped-def]
        H, taped = out.shape[1], a.size > 0
        for q in range(cuda.grid(1), at_work(alive, t, out.shape[0]) * H, cuda.gridsize(1)):
            i, j = q // H, q % H
            tape = a[i] if taped else g[i]
            lstm.advance(j, 1, g[i], before[i], now[i], squashed[i], out[i], tape, taped, activation, gate, True)
            if mask.size > 0:
                kept[i, j] = out[i, j] * mask[i, j]

    return step


def lstm_forward(
    x: Any, Wx: Any, Px: Any, Wh: Any, Ph: Any, b: Any, mask: Any, alive: Any, activation: int, gate: int, initial: int,
    h: Any, kept: Any, c: Any, g: Any, s: Any, a: Any,
) -> None:  # fmt: skip
    """Launch the layer's steps."""
    columns, every, seen = Wx.shape[1], inputs(g, x, Wx, b), kept if mask.size else h
    if not initial:
        launch(wipe_all, c[:1], count=c[0].size)
    mask_first(kept, h, mask, alive, initial)
    old, cell = 0, 0
    for t in range(x.shape[0]):
        at, new, now = t if g.shape[0] > 1 else 0, NEXT(old, h), NEXT(cell, c)
        gates, rows = g[at][:, :columns], rows_of(alive, t)
        if not every:
            product(gates, x[t], Wx, b, False, rows)
        if t > 0 or initial:
            product(gates, seen[old], Wh, None, True, rows)
        states = g[at], c[cell], c[now], s[at], h[new], a[t] if a.size else h[0][:0]
        masked = mask, kept[new] if mask.size else h[0][:0]
        launch(_lstm_step(activation, gate), *states, *masked, alive, t, count=h[0].size)
        old, cell = new, now


@cache
def _lstm_back(activation: int, gate: int) -> Any:
    @cuda.jit
    def back(g, before, squashed, dh, dc, da, alive, t):  # type: ignore[no-untyped-def]
        H = dc.shape[1]
        for q in range(cuda.grid(1), at_work(alive, t, dc.shape[0]) * H, cuda.gridsize(1)):
            i, j = q // H, q % H
            lstm.go_back(j, 1, g[i], before[i], squashed[i], dh[i], dc[i], da[i], activation, gate, True)

    return back


def lstm_backward(
    Wh: Any, PT: Any, c: Any, g: Any, s: Any, mask: Any, alive: Any, activation: int, gate: int, final: int, add: int,
    dh: Any, dc: Any, da: Any, dh0: Any, room: Any,
) -> None:  # fmt: skip
    """Launch backpropagation through time."""
    every, back = dh.shape[0] == s.shape[0], _lstm_back(activation, gate)
    if not final:
        launch(wipe_all, dc.reshape((1, *dc.shape)), count=dc.size)
    for t in range(s.shape[0] - 1, -1, -1):
        launch(back, g[t], c[t], s[t], dh[t if every else 0], dc, da[t], alive, t, count=dc.size)
        if t > 0 or dh0.size:
            hand_down(*below(t, every, dh, dh0, add), da[t], Wh, mask, room, alive, t)


# ---------------------------------------------------------------- what the products' kernels launch


def weight_gradient(
    x: Any, packed: Any, da: Any, alive: Any, add: int, dW: Any, db: Any, tall: Any, room_: Any
) -> None:
    """Launch dW = x^T da; of how many rows, and of which, the device says where steps are masked."""
    if alive.size:
        depths = room("depths", 2, "int64")
        launch(count_rows, alive, x.shape[0] // alive.size, int(packed.size > 0), depths, grid=(1, 1))
        products_of_columns(x, da, add, dW, db, depths, packed)
    else:
        products_of_columns(x, da, add, dW, db)


def input_gradient(da: Any, W: Any, PT: Any, alive: Any, dx: Any) -> None:
    """Launch dx = da W^T, of all rows or of so many as `alive` sums to."""
    depths = room("depths", 2, "int64") if alive.size else alive
    if alive.size:
        launch(count_rows, alive, dx.shape[0] // alive.size, 0, depths, grid=(1, 1))
    product_turned(dx, da, W, False, rows_of(depths, 0))


def dense_forward(x: Any, W: Any, P: Any, b: Any, activation: int, y: Any, a: Any) -> None:
    """Launch a dense layer."""
    neurons(y, a, x, W, P, x, 0, W, P, b, activation)


alike("activation_backward", "NO")
FORMS |= {"pack": partial(launch, pack), "pack_transposed": partial(launch, pack_transposed)}
FORMS |= {
    f.__name__: f
    for f in (
        simple_rnn_forward, simple_rnn_backward, lstm_forward, lstm_backward,
        weight_gradient, input_gradient, dense_forward,
    )
}  # fmt: skip
