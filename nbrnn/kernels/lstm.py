"""The LSTM layer, gates in Keras' and PyTorch's order i, f, n, o (n, the candidate, is Keras' c).

    a_t = x_t Wx + h_(t-1) Wh + b        i, f, o = gate(a_t)      n = act(a_t)      each in its quarter of the columns
    c_t = f * c_(t-1) + i * n            s_t = act(c_t)           h_t = o * s_t

    dL/dc_t gains dh * o * act'(c_t)     do = dh * s      di = dc * n      df = dc * c_(t-1)      dn = dc * i
    da = (di, df, dn, do) * the slopes   dL/dh_(t-1) += da Wh^T            dL/dc_(t-1) = dc * f

Source: Hochreiter & Schmidhuber, Neural Computation 9 (1997), with the forget gate of Gers, Schmidhuber & Cummins
(Neural Computation 12, 2000) and no peepholes. Weight gradients leave the time loop (gemm.weight_gradient).

Letters: T steps, B samples, D features, H units; K is T where every step feeds the loss, 1 where the last one does.
Rows of g and da may be longer than 4H (see weight_gradient).
Of the samples the first alive[t] have a step t, all of them where `alive` is not there (masking.py).
With dropout h_(t-1) is multiplied by one mask for all steps before its product; `kept` holds what is left of it.
h[0], c[0] are the initial states, h[t + 1], c[t + 1] those after step t; without `initial` they are zero.
"""

from .abi import inlined, kernel
from .activations import SIGMOID, TANH, squash, steepness
from .dropout import mask_states, unmask
from .gemm import back_product, clear, following, joint_strip, panel_width
from .lanes import load, muladd, store, width


@inlined
def step(ai, af, an, ao, before, activation, gate, known):
    """Return i, f, n, o, c_t, s_t and h_t from the gates' pre-activations and c_(t-1), for one unit or for lanes."""
    i, f, u, o = (
        squash(ai, gate, known),
        squash(af, gate, known),
        squash(an, activation, known),
        squash(ao, gate, known),
    )
    cell = muladd(f, before, i * u)
    s = squash(cell, activation, known)
    return i, f, u, o, cell, s, o * s


@inlined
def advance(j, n, g, before, now, squashed, out, a, taped, activation, gate, known):
    """Take n units of a sample, from j on, one step on; their gates' pre-activations stand in g, and become gates."""
    H = out.size
    ai, af, an, ao = load(g, j, n), load(g, H + j, n), load(g, 2 * H + j, n), load(g, 3 * H + j, n)
    if taped:
        store(a, j, n, ai)
        store(a, H + j, n, af)
        store(a, 2 * H + j, n, an)
        store(a, 3 * H + j, n, ao)
    i, f, u, o, cell, s, h = step(ai, af, an, ao, load(before, j, n), activation, gate, known)
    store(g, j, n, i)
    store(g, H + j, n, f)
    store(g, 2 * H + j, n, u)
    store(g, 3 * H + j, n, o)
    store(now, j, n, cell)
    store(squashed, j, n, s)
    store(out, j, n, h)


@inlined
def advance_row(g, before, now, squashed, out, a, taped, first, stop, activation, gate, known):
    """Take units first to stop of a sample one step on, as many at once as a register holds."""
    w = width(now)
    for j in range(first, stop, w):
        advance(j, min(w, stop - j), g, before, now, squashed, out, a, taped, activation, gate, known)


@kernel(
    "x[T,B,D] Wx[D,4H] Px[Q,D,L]? Wh[H,4H] Ph[Q,H,L]? b[4H]? mask[B,H]?"
    " alive[T]?:i8 activation:int gate:int initial:int"
    " -> !h[U,B,H] kept[U,B,H]? !c[V,B,H] g[K,B,G] s[K,B,H] a[T,B,4H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (8 * (d["D"] + d["H"]) + 4),
    twice=False,
)
def lstm_forward(x, Wx, Px, Wh, Ph, b, mask, alive, activation, gate, initial, h, kept, c, g, s, a):
    """Run the layer over T steps; g keeps the gates, s = act(c), and `a`, where asked for, the pre-activations.

    Where no backward pass follows, g and s hold one step, and h and c may hold two states that take turns. Some units
    are taken at a time: their gates are used while they stand in the first cache.
    """
    T, H, L = x.shape[0], Wh.shape[0], panel_width(Wh)
    each, begins = (H + L - 1) // L, b.reshape((1, b.size))
    if not initial:
        clear(c[0])
    masked = mask.size > 0
    states_seen = kept if masked else h
    if masked and initial:
        mask_states(kept[0], h[0], mask)
    old, before_at, taped, usual = 0, 0, a.size > 0, gate == SIGMOID and activation == TANH
    for t in range(T):
        at, states = t if g.shape[0] > 1 else 0, H if t > 0 or initial else 0
        new, now_at = following(old, h), following(before_at, c)
        n = alive[t] if alive.size else x.shape[1]
        gates, x_t, state = g[at][:n], x[t][:n], states_seen[old][:n]
        for first in range(0, H, L):
            count = min(L, H - first)
            for k in range(4):
                to, p = k * H + first, k * each + first // L
                joint_strip(gates, to, count, x_t, Wx, Px, to, p, state, states, Wh, Ph, to, p, begins)
            for k in range(n):
                g_k, c_k, now_k, s_k, h_k = g[at, k], c[before_at, k], c[now_at, k], s[at, k], h[new, k]
                a_k, stop = a[t, k] if taped else g_k, first + count
                if usual:
                    advance_row(g_k, c_k, now_k, s_k, h_k, a_k, taped, first, stop, TANH, SIGMOID, True)
                else:
                    advance_row(g_k, c_k, now_k, s_k, h_k, a_k, taped, first, stop, activation, gate, False)
        if masked:
            mask_states(kept[new], h[new], mask[:n])
        old, before_at = new, now_at


@inlined
def step_back(i, f, u, o, before, s, dh, dc, activation, gate, known):
    """Return dL/da of the four gates, and dL/dc of the step before, from dL/dh, dL/dc and what the step has kept."""
    cell = dc + dh * o * steepness(s, activation, known)
    return (
        cell * u * steepness(i, gate, known),
        cell * before * steepness(f, gate, known),
        cell * i * steepness(u, activation, known),
        dh * s * steepness(o, gate, known),
        cell * f,
    )


@inlined
def go_back(j, n, g, before, squashed, dh, dc, da, activation, gate, known):
    """Take n units of a sample, from j on, one step back: from dL/dh, dL/dc to dL/da and dL/dc of the step before."""
    H = dc.size
    i, f, u, o = load(g, j, n), load(g, H + j, n), load(g, 2 * H + j, n), load(g, 3 * H + j, n)
    kept, out = (load(before, j, n), load(squashed, j, n)), load(dh, j, n)
    di, df, du, do, down = step_back(i, f, u, o, *kept, out, load(dc, j, n), activation, gate, known)
    store(da, j, n, di)
    store(da, H + j, n, df)
    store(da, 2 * H + j, n, du)
    store(da, 3 * H + j, n, do)
    store(dc, j, n, down)


@inlined
def go_back_row(g, before, squashed, dh, dc, da, activation, gate, known):
    """Take all units of a sample one step back."""
    w = width(dc)
    for j in range(0, dc.size, w):
        go_back(j, min(w, dc.size - j), g, before, squashed, dh, dc, da, activation, gate, known)


@kernel(
    "Wh[H,4H] PT[Q,4H,L]? c[T+1,B,H] g[T,B,G] s[T,B,H] mask[B,H]?"
    " alive[T]?:i8 activation:int gate:int final:int add:int"
    " -> !dh[K,B,H] !dc[B,H] da[T,B,E] !dh0[B,H]? room[B,H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (8 * d["H"] + 20),
    twice=False,
)
def lstm_backward(Wh, PT, c, g, s, mask, alive, activation, gate, final, add, dh, dc, da, dh0, room):
    """Backpropagation through time; dc goes from dL/dc_T (zero unless `final`) to dL/dc_0.

    The steps may be a part of all: dh0, to which is added with `add`, is then the gradient of the state before them.
    """
    T, B = s.shape[:2]
    every, usual = dh.shape[0] == T, gate == SIGMOID and activation == TANH
    masked = mask.size > 0
    if not final:
        clear(dc)
    for t in range(T - 1, -1, -1):
        n = alive[t] if alive.size else B
        now = dh[t][:n] if every else dh[0][:n]
        for k in range(n):
            if usual:
                go_back_row(g[t, k], c[t, k], s[t, k], now[k], dc[k], da[t, k], TANH, SIGMOID, True)
            else:
                go_back_row(g[t, k], c[t, k], s[t, k], now[k], dc[k], da[t, k], activation, gate, False)
        if t > 0 or dh0.size:
            below, adds = (dh[t - 1][:n] if every else now, every) if t > 0 else (dh0[:n], add != 0)
            back_product(room[:n] if masked else below, da[t][:n], Wh, PT, adds and not masked)
            if masked:
                unmask(below, room, mask[:n], adds)
