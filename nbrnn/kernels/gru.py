"""The GRU layer, gates in Keras' order z, r, n (n, the candidate, is Keras' h), in its two forms.

    reset_after (Keras' default, cuDNN, PyTorch; ONNX' linear_before_reset=1), with two biases:
        p = x_t Wx + b      q = h_(t-1) Wh + c      z, r = gate(p + q)      n = act(p + r * q)
    reset before (Cho et al. 2014; ONNX' default), with one:
        p = x_t Wx + b      z, r = gate(p + h_(t-1) Wh)                     n = act(p + (r * h_(t-1)) Wh)
    both:  h_t = z * h_(t-1) + (1 - z) * n

    dz = dh * (h_(t-1) - n)      dn = dh * (1 - z)      dL/dh_(t-1) gains dh * z, and what comes through the products
    after:   dr = dn_a * q_n, dq = (dz_a, dr_a, dn_a * r), dL/dh_(t-1) += dq Wh^T
    before:  m = dn_a Wh_n^T, dr = m * h_(t-1), dL/dh_(t-1) += m * r + (dz_a, dr_a) Wh_zr^T

Source: Cho et al., arXiv:1406.1078, eq. 5-8; reset_after: NVIDIA's cuDNN. Weight gradients leave the time loop:
dWx = sum x^T da, and dWh = sum h^T dq; reset before, the candidate's third of it is sum (r * h)^T da_n.

Letters: T steps, B samples, D features, H units; K is T where every step feeds the loss, 1 where the last one does.
h[0] is the initial state, h[t + 1] the state after step t; without `initial` it is zero.
"""

from .abi import inlined, kernel
from .activations import activate, descend
from .gemm import affine, back_product, clear, copy, following


@inlined
def open_gates(g, part, a, H, gate):
    """z, r = gate(p + part), with p standing in g; `a`, unless it is empty, keeps the pre-activations."""
    for k in range(g.shape[0]):
        for j in range(2 * H):
            g[k, j] += part[k, j]
    if a.size:
        copy(a, g)
    activate(g, 0, 2 * H, gate)


@inlined
def close_step(now, before, g, a, H, activation):
    """n = act(its pre-activation, which stands in g), h_t = z * h_(t-1) + (1 - z) * n."""
    for k in range(a.shape[0]):
        for j in range(2 * H, 3 * H):
            a[k, j] = g[k, j]
    activate(g, 2 * H, 3 * H, activation)
    one = now.dtype.type(1)
    for k in range(now.shape[0]):
        out, h, z, n = now[k], before[k], g[k, :H], g[k, 2 * H :]
        for j in range(H):
            out[j] = z[j] * h[j] + (one - z[j]) * n[j]


@inlined
def unmix(da, through, dh, before, g, H):
    """Take dh back through the mixture: dz and dn into da's thirds, and what goes straight to the state before."""
    one = dh.dtype.type(1)
    for k in range(dh.shape[0]):
        d, h, z, n = dh[k], before[k], g[k, :H], g[k, 2 * H :]
        dz, dn, straight = da[k, :H], da[k, 2 * H :], through[k]
        for j in range(H):
            dz[j] = d[j] * (h[j] - n[j])
        for j in range(H):
            dn[j] = d[j] * (one - z[j])
        for j in range(H):
            straight[j] = d[j] * z[j]


@inlined
def add(into, V):
    """Add a matrix to another."""
    for k in range(into.shape[0]):
        for j in range(into.shape[1]):
            into[k, j] += V[k, j]


FLOPS = {"flops": lambda d: d["T"] * d["B"] * d["H"] * (6 * (d.get("D", 0) + d["H"]) + 10)}


@kernel(
    "x[T,B,D] Wx[D,3H] Px[Q,D,L]? Wh[H,3H] Ph[Q,H,L]? b[3H]? c[3H]? activation:int gate:int"
    " -> !h[U,B,H] g[K,B,3H] q[K,B,3H] a[T,B,3H]?",
    **FLOPS,
)
def gru_after_forward(x, Wx, Px, Wh, Ph, b, c, activation, gate, h, g, q, a):
    """Run the layer, reset after the product; g keeps z, r, n and q the state's product (see lstm_forward)."""
    T, B, H = x.shape[0], x.shape[1], Wh.shape[0]
    old = 0
    for t in range(T):
        at, new = t if g.shape[0] > 1 else 0, following(old, h)
        affine(g[at], x[t], Wx, Px, x[t], 0, Wx, Px, b)
        affine(q[at], h[old], Wh, Ph, h[old], 0, Wh, Ph, c)
        open_gates(g[at], q[at], a[t] if a.size else g[at][:0], H, gate)
        for k in range(B):
            r, n, part = g[at, k, H : 2 * H], g[at, k, 2 * H :], q[at, k, 2 * H :]
            for j in range(H):
                n[j] += r[j] * part[j]
        close_step(h[new], h[old], g[at], a[t] if a.size else g[at][:0], H, activation)
        old = new


@kernel(
    "Wh[H,3H] PT[Q,3H,L]? h[T+1,B,H] g[T,B,3H] q[T,B,3H] activation:int gate:int"
    " -> !dh[K,B,H] through[B,H] da[T,B,3H] dq[T,B,3H] dh0[B,H]?",
    **FLOPS,
)
def gru_after_backward(Wh, PT, h, g, q, activation, gate, dh, through, da, dq, dh0):
    """Backpropagation through time, reset after the product."""
    T, B, H = g.shape[0], g.shape[1], Wh.shape[0]
    every = dh.shape[0] == T
    for t in range(T - 1, -1, -1):
        now = dh[t] if every else dh[0]
        unmix(da[t], through, now, h[t], g[t], H)
        descend(da[t], da[t], g[t], 2 * H, 3 * H, activation)
        for k in range(B):
            r, part, dn = g[t, k, H : 2 * H], q[t, k, 2 * H :], da[t, k, 2 * H :]
            dr, dqn = da[t, k, H : 2 * H], dq[t, k, 2 * H :]
            for j in range(H):
                dr[j] = dn[j] * part[j]
            for j in range(H):
                dqn[j] = dn[j] * r[j]
        descend(da[t], da[t], g[t], 0, 2 * H, gate)
        for k in range(B):
            for j in range(2 * H):
                dq[t, k, j] = da[t, k, j]
        if t > 0:
            before = dh[t - 1] if every else now
            back_product(before, dq[t], Wh, PT, every)
            add(before, through)
        elif dh0.size:
            back_product(dh0, dq[0], Wh, PT, False)
            add(dh0, through)


@kernel(
    "x[T,B,D] Wx[D,3H] Px[Q,D,L]? Wg[H,2H] Pg[R,H,L]? Wn[H,H] Pn[S,H,L]? b[3H]? activation:int gate:int"
    " -> !h[U,B,H] g[K,B,3H] u[K,B,2H] m[K,B,H] v[K,B,H] a[T,B,3H]?",
    **FLOPS,
)
def gru_before_forward(x, Wx, Px, Wg, Pg, Wn, Pn, b, activation, gate, h, g, u, m, v, a):
    """Run the layer, reset before the product; g keeps z, r, n and m = r * h_(t-1); u, v are the state's products."""
    T, B, H = x.shape[0], x.shape[1], Wn.shape[0]
    old = 0
    for t in range(T):
        at, new = t if g.shape[0] > 1 else 0, following(old, h)
        affine(g[at], x[t], Wx, Px, x[t], 0, Wx, Px, b)
        affine(u[at], h[old], Wg, Pg, h[old], 0, Wg, Pg, b[:0])
        open_gates(g[at], u[at], a[t] if a.size else g[at][:0], H, gate)
        for k in range(B):
            r, before, reset = g[at, k, H : 2 * H], h[old, k], m[at, k]
            for j in range(H):
                reset[j] = r[j] * before[j]
        affine(v[at], m[at], Wn, Pn, m[at], 0, Wn, Pn, b[:0])
        for k in range(B):
            n, part = g[at, k, 2 * H :], v[at, k]
            for j in range(H):
                n[j] += part[j]
        close_step(h[new], h[old], g[at], a[t] if a.size else g[at][:0], H, activation)
        old = new


@kernel(
    "Wg[H,2H] PgT[Q,2H,L]? Wn[H,H] PnT[Q,H,L]? h[T+1,B,H] g[T,B,3H] activation:int gate:int"
    " -> !dh[K,B,H] through[B,H] dm[B,H] da[T,B,3H] dg[T,B,2H] dn[T,B,H] dh0[B,H]?",
    **FLOPS,
)
def gru_before_backward(Wg, PgT, Wn, PnT, h, g, activation, gate, dh, through, dm, da, dg, dn, dh0):
    """Backpropagation through time, reset before the product; dg and dn are da's parts, as matrices of their own."""
    T, B, H = g.shape[0], g.shape[1], Wn.shape[0]
    every = dh.shape[0] == T
    for t in range(T - 1, -1, -1):
        now = dh[t] if every else dh[0]
        unmix(da[t], through, now, h[t], g[t], H)
        descend(da[t], da[t], g[t], 2 * H, 3 * H, activation)
        for k in range(B):
            for j in range(H):
                dn[t, k, j] = da[t, k, 2 * H + j]
        back_product(dm, dn[t], Wn, PnT, False)
        for k in range(B):
            r, before, part, dr, straight = g[t, k, H : 2 * H], h[t, k], dm[k], da[t, k, H : 2 * H], through[k]
            for j in range(H):
                dr[j] = part[j] * before[j]
            for j in range(H):
                straight[j] += part[j] * r[j]
        descend(da[t], da[t], g[t], 0, 2 * H, gate)
        for k in range(B):
            for j in range(2 * H):
                dg[t, k, j] = da[t, k, j]
        if t > 0:
            before = dh[t - 1] if every else now
            back_product(before, dg[t], Wg, PgT, every)
            add(before, through)
        elif dh0.size:
            back_product(dh0, dg[0], Wg, PgT, False)
            add(dh0, through)


@kernel("initial:int -> !h[S,B,H]")
def begin(initial, h):
    """Set the first state to zero, unless it is given."""
    if not initial:
        clear(h[0])


@kernel("W[H,G] first:int -> part[H,P]")
def take_columns(W, first, part):
    """Copy columns of a matrix into a matrix of their own."""
    for k in range(part.shape[0]):
        for j in range(part.shape[1]):
            part[k, j] = W[k, first + j]


@kernel("part[H,P] first:int -> !W[H,G]")
def put_columns(part, first, W):
    """Copy a matrix into columns of another."""
    for k in range(part.shape[0]):
        for j in range(part.shape[1]):
            W[k, first + j] = part[k, j]


@kernel("x[T,B,D] -> y[T,B,D]")
def reverse(x, y):
    """Turn a sequence round in time."""
    T = x.shape[0]
    for t in range(T):
        copy(y[t], x[T - 1 - t])
