"""The LSTM layer, gates in Keras' and PyTorch's order i, f, n, o (n, the candidate, is Keras' c).

    a_t = x_t Wx + h_(t-1) Wh + b        i, f, o = gate(a_t)      n = act(a_t)      each in its quarter of the columns
    c_t = f * c_(t-1) + i * n            s_t = act(c_t)           h_t = o * s_t

    dL/dc_t gains dh * o * act'(c_t)     do = dh * s      di = dc * n      df = dc * c_(t-1)      dn = dc * i
    da = (di, df, dn, do) * the slopes   dL/dh_(t-1) += da Wh^T            dL/dc_(t-1) = dc * f

Source: Hochreiter & Schmidhuber, Neural Computation 9 (1997), with the forget gate of Gers, Schmidhuber & Cummins
(Neural Computation 12, 2000) and no peepholes. Weight gradients leave the time loop (gemm.weight_gradient).

Letters: T steps, B samples, D features, H units; K is T where every step feeds the loss, 1 where the last one does.
h[0], c[0] are the initial states, h[t + 1], c[t + 1] those after step t; without `initial` they are zero.
"""

from .abi import kernel
from .activations import activate, descend
from .gemm import affine, back_product, clear, copy, following


@kernel(
    "x[T,B,D] Wx[D,4H] Px[Q,D,L]? Wh[H,4H] Ph[Q,H,L]? b[4H]? activation:int gate:int initial:int"
    " -> !h[U,B,H] !c[V,B,H] g[K,B,4H] s[K,B,H] a[T,B,4H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (8 * (d["D"] + d["H"]) + 4),
)
def lstm_forward(x, Wx, Px, Wh, Ph, b, activation, gate, initial, h, c, g, s, a):
    """Run the layer over T steps; g keeps the gates, s = act(c), and `a`, where asked for, the pre-activations.

    Where no backward pass follows, g and s hold one step, and h and c may hold two states that take turns.
    """
    T, B, H = x.shape[0], x.shape[1], Wh.shape[0]
    if not initial:
        clear(c[0])
    old, before_at = 0, 0
    for t in range(T):
        at = t if g.shape[0] > 1 else 0
        new, now_at = following(old, h), following(before_at, c)
        affine(g[at], x[t], Wx, Px, h[old], H if t > 0 or initial else 0, Wh, Ph, b)
        if a.size:
            copy(a[t], g[at])
        activate(g[at], 0, 2 * H, gate)
        activate(g[at], 2 * H, 3 * H, activation)
        activate(g[at], 3 * H, 4 * H, gate)
        for k in range(B):
            i, f, n = g[at, k, :H], g[at, k, H : 2 * H], g[at, k, 2 * H : 3 * H]
            before, now, squashed = c[before_at, k], c[now_at, k], s[at, k]
            for j in range(H):
                now[j] = f[j] * before[j] + i[j] * n[j]
            for j in range(H):
                squashed[j] = now[j]
        activate(s[at], 0, H, activation)
        for k in range(B):
            o, squashed, out = g[at, k, 3 * H :], s[at, k], h[new, k]
            for j in range(H):
                out[j] = o[j] * squashed[j]
        old, before_at = new, now_at


@kernel(
    "Wh[H,4H] PT[Q,4H,L]? c[T+1,B,H] g[T,B,4H] s[T,B,H] activation:int gate:int final:int"
    " -> !dh[K,B,H] !dc[B,H] ds[B,H] da[T,B,4H] dh0[B,H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (8 * d["H"] + 20),
)
def lstm_backward(Wh, PT, c, g, s, activation, gate, final, dh, dc, ds, da, dh0):
    """Backpropagation through time; dc goes from dL/dc_T (zero unless `final`) to dL/dc_0."""
    T, B, H = s.shape
    every = dh.shape[0] == T
    if not final:
        clear(dc)
    for t in range(T - 1, -1, -1):
        now = dh[t] if every else dh[0]
        for k in range(B):  # h = o * s
            o, out, dsk = g[t, k, 3 * H :], now[k], ds[k]
            for j in range(H):
                dsk[j] = out[j] * o[j]
        descend(ds, ds, s[t], 0, H, activation)
        for k in range(B):
            i, f, n = g[t, k, :H], g[t, k, H : 2 * H], g[t, k, 2 * H : 3 * H]
            di, df, dn, do = da[t, k, :H], da[t, k, H : 2 * H], da[t, k, 2 * H : 3 * H], da[t, k, 3 * H :]
            before, squashed, out, dck, dsk = c[t, k], s[t, k], now[k], dc[k], ds[k]
            for j in range(H):
                dck[j] += dsk[j]
            for j in range(H):
                do[j] = out[j] * squashed[j]
            for j in range(H):  # c = f * before + i * n
                di[j] = dck[j] * n[j]
            for j in range(H):
                dn[j] = dck[j] * i[j]
            for j in range(H):
                df[j] = dck[j] * before[j]
            for j in range(H):
                dck[j] *= f[j]
        descend(da[t], da[t], g[t], 0, 2 * H, gate)
        descend(da[t], da[t], g[t], 2 * H, 3 * H, activation)
        descend(da[t], da[t], g[t], 3 * H, 4 * H, gate)
        if t > 0:
            back_product(dh[t - 1] if every else now, da[t], Wh, PT, every)
        elif dh0.size:
            back_product(dh0, da[0], Wh, PT, False)
