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
Rows of g, da and dq may be longer than 3H (see weight_gradient).
Of the samples the first alive[t] have a step t, all of them where `alive` is not there (masking.py).
With dropout h_(t-1) is multiplied by one mask for all steps before its products; `kept` holds what is left of it.
h[0] is the initial state, h[t + 1] the state after step t; without `initial` it is zero.
"""

from .abi import inlined, kernel
from .activations import SIGMOID, TANH, squash, steepness
from .dropout import mask_states, unmask
from .gemm import back_product, clear, copy, following, joint_strip, panel_width
from .lanes import constant, load, muladd, store, width


@inlined
def open_gate(j, n, g, v, a, taped, gate, known):
    """Turn a pre-activation into a gate, in column j; `a` keeps it where the run is `taped`."""
    if taped:
        store(a, j, n, v)
    v = squash(v, gate, known)
    store(g, j, n, v)
    return v


@inlined
def blend(z, u, before):
    """Return h_t = z * h_(t-1) + (1 - z) * n, for one unit or for lanes."""
    return muladd(z, before, (constant(z, 1.0) - z) * u)


@inlined
def mix(j, n, g, v, z, before, out, a, taped, activation, known):
    """n = act(v), and h_t."""
    v = open_gate(2 * out.size + j, n, g, v, a, taped, activation, known)
    store(out, j, n, blend(z, v, load(before, j, n)))


@inlined
def step_after(az, ar, p, q, before, activation, gate, known):
    """Return z, r, a_n, n and h_t from the gates' pre-activations and the candidate's two parts, for one unit."""
    z, r = squash(az, gate, known), squash(ar, gate, known)
    v = muladd(r, q, p)
    u = squash(v, activation, known)
    return z, r, v, u, blend(z, u, before)


@inlined
def after(j, n, g, q, c, before, out, a, taped, activation, gate, known):
    """Take n units of a sample, from j on, one step on; q holds the candidate's product with the state before."""
    H = out.size
    z, r = load(g, j, n), load(g, H + j, n)
    if c.size:
        z, r = z + load(c, j, n), r + load(c, H + j, n)
    if taped:
        store(a, j, n, z)
        store(a, H + j, n, r)
    parts = load(g, 2 * H + j, n), load(q, j, n), load(before, j, n)
    z, r, v, u, h = step_after(z, r, *parts, activation, gate, known)
    if taped:
        store(a, 2 * H + j, n, v)
    store(g, j, n, z)
    store(g, H + j, n, r)
    store(g, 2 * H + j, n, u)
    store(out, j, n, h)


@inlined
def after_row(g, q, c, before, out, a, taped, first, stop, activation, gate, known):
    """Take units first to stop of a sample one step on."""
    w = width(out)
    for j in range(first, stop, w):
        after(j, min(w, stop - j), g, q, c, before, out, a, taped, activation, gate, known)


@inlined
def before_gates(j, n, g, before, m, a, taped, gate, known):
    """Open the gates of n units of a sample, and apply one to the state: m = r * h_(t-1)."""
    H = m.size
    open_gate(j, n, g, load(g, j, n), a, taped, gate, known)
    store(m, j, n, open_gate(H + j, n, g, load(g, H + j, n), a, taped, gate, known) * load(before, j, n))


@inlined
def before_row(candidate, g, before, m, out, a, taped, first, stop, activation, gate, known):
    """Take units first to stop of a sample through the gates, or then through the candidate."""
    w = width(out)
    for j in range(first, stop, w):
        n = min(w, stop - j)
        if candidate:
            v, z = load(g, 2 * out.size + j, n), load(g, j, n)
            mix(j, n, g, v, z, before, out, a, taped, activation, known)
        else:
            before_gates(j, n, g, before, m, a, taped, gate, known)


@inlined
def step_unmix(z, u, before, dh, activation, gate, known):
    """Return dz and dn, through their slopes, and what goes straight to the state before, for one unit."""
    dz = dh * (before - u) * steepness(z, gate, known)
    dn = dh * (constant(z, 1.0) - z) * steepness(u, activation, known)
    return dz, dn, dh * z


@inlined
def unmix(j, n, g, before, dh, da, straight, activation, gate, known):
    """Take dh back through the mixture: into da's z and n, and what goes straight to the state before."""
    H = before.size
    z, u = load(g, j, n), load(g, 2 * H + j, n)
    dz, dn, through = step_unmix(z, u, load(before, j, n), load(dh, j, n), activation, gate, known)
    store(da, j, n, dz)
    store(da, 2 * H + j, n, dn)
    store(straight, j, n, through)
    return dz, dn


@inlined
def step_reset_back(r, q, dn, gate, known):
    """Return dr, through its slope, and dL/dq_n, of reset after the product, for one unit."""
    return dn * q * steepness(r, gate, known), dn * r


@inlined
def after_back(j, n, g, q, before, dh, da, dq, straight, activation, gate, known):
    """Take n units of a sample, from j on, one step back."""
    H = before.size
    r = load(g, H + j, n)
    dz, dn = unmix(j, n, g, before, dh, da, straight, activation, gate, known)
    dr, dq_n = step_reset_back(r, load(q, j, n), dn, gate, known)
    store(da, H + j, n, dr)
    store(dq, j, n, dz)
    store(dq, H + j, n, dr)
    store(dq, 2 * H + j, n, dq_n)


@inlined
def after_back_row(g, q, before, dh, da, dq, straight, activation, gate, known):
    """Take all units of a sample one step back."""
    w = width(before)
    for j in range(0, before.size, w):
        after_back(j, min(w, before.size - j), g, q, before, dh, da, dq, straight, activation, gate, known)


@inlined
def before_unmix(j, n, g, before, dh, da, dn, straight, activation, gate, known):
    """Take n units of a sample back through the mixture; dn is the candidate's part of da, as a matrix of its own."""
    store(dn, j, n, unmix(j, n, g, before, dh, da, straight, activation, gate, known)[1])


@inlined
def before_reset(j, n, g, before, dm, da, dg, straight, gate, known):
    """Take n units of a sample back through the reset gate; dg is the gates' part of da, as a matrix of its own."""
    H = before.size
    r, d = load(g, H + j, n), load(dm, j, n)
    dr = d * load(before, j, n) * steepness(r, gate, known)
    store(da, H + j, n, dr)
    store(dg, H + j, n, dr)
    store(dg, j, n, load(da, j, n))
    store(straight, j, n, muladd(d, r, load(straight, j, n)))


@inlined
def before_back_row(reset, g, before, dh, dm, da, dg, dn, straight, activation, gate, known):
    """Take all units of a sample back through the mixture, or then through the reset gate."""
    w = width(before)
    for j in range(0, before.size, w):
        n = min(w, before.size - j)
        if reset:
            before_reset(j, n, g, before, dm, da, dg, straight, gate, known)
        else:
            before_unmix(j, n, g, before, dh, da, dn, straight, activation, gate, known)


@inlined
def plus(into, V):
    """Add a matrix to another."""
    for k in range(into.shape[0]):
        for j in range(into.shape[1]):
            into[k, j] += V[k, j]


@inlined
def mend_reset(through, dm, g, mask):
    """Turn dm r, which `through` holds among others, into dm r mask."""
    B, H = mask.shape
    for k in range(B):
        for j in range(H):
            through[k, j] += dm[k, j] * g[k, H + j] * (mask[k, j] - mask.dtype.type(1))


def flops(d):
    """Return the operations of a pass over the sequence."""
    return d["T"] * d["B"] * d["H"] * (6 * (d.get("D", 0) + d["H"]) + 10)


@kernel(
    "x[T,B,D] Wx[D,3H] Px[Q,D,L]? Wh[H,3H] Ph[Q,H,L]? b[3H]? c[3H]? mask[B,H]? alive[T]?:i8 activation:int gate:int"
    " -> !h[U,B,H] kept[U,B,H]? g[K,B,G] q[K,B,H] a[T,B,3H]?",
    flops,
    twice=False,
)
def gru_after_forward(x, Wx, Px, Wh, Ph, b, c, mask, alive, activation, gate, h, kept, g, q, a):
    """Run the layer, reset after the product; g keeps z, r, n and q the candidate's product with the state.

    As in lstm_forward some units are taken at a time, and buffers may hold one step, or two states.
    """
    T, B, H, L = x.shape[0], x.shape[1], Wh.shape[0], panel_width(Wh)
    each, begins, rest = (H + L - 1) // L, b.reshape((1, b.size)), c[2 * H :]
    state_begins, usual = rest.reshape((1, rest.size)), gate == SIGMOID and activation == TANH
    old, taped, masked = 0, a.size > 0, mask.size > 0
    seen = kept if masked else h
    if masked:
        mask_states(kept[0], h[0], mask)
    for t in range(T):
        at, new, n = t if g.shape[0] > 1 else 0, following(old, h), alive[t] if alive.size else B
        gates, x_t, state = g[at][:n], x[t][:n], seen[old][:n]
        for first in range(0, H, L):
            count = min(L, H - first)
            for k in range(3):
                to, p, states = k * H + first, k * each + first // L, H if k < 2 else 0
                joint_strip(gates, to, count, x_t, Wx, Px, to, p, state, states, Wh, Ph, to, p, begins)
            to, p = 2 * H + first, 2 * each + first // L
            joint_strip(q[at][:n], first, count, state, Wh, Ph, to, p, state, 0, Wh, Ph, to, p, state_begins)
            for k in range(n):
                g_k, q_k, h_k, new_k, stop = g[at, k], q[at, k], h[old, k], h[new, k], first + count
                a_k = a[t, k] if taped else g_k
                if usual:
                    after_row(g_k, q_k, c, h_k, new_k, a_k, taped, first, stop, TANH, SIGMOID, True)
                else:
                    after_row(g_k, q_k, c, h_k, new_k, a_k, taped, first, stop, activation, gate, False)
        if masked:
            mask_states(kept[new], h[new], mask[:n])
        old = new


@kernel(
    "Wh[H,3H] PT[Q,3H,L]? h[T+1,B,H] g[T,B,G] q[T,B,H] mask[B,H]? alive[T]?:i8 activation:int gate:int add:int"
    " -> !dh[K,B,H] through[B,H] da[T,B,E] dq[T,B,E] !dh0[B,H]? room[B,H]?",
    flops,
    twice=False,
)
def gru_after_backward(Wh, PT, h, g, q, mask, alive, activation, gate, add, dh, through, da, dq, dh0, room):
    """Backpropagation through time, reset after the product; of a part of all steps as in lstm_backward."""
    T, B = g.shape[:2]
    every, usual = dh.shape[0] == T, gate == SIGMOID and activation == TANH
    masked = mask.size > 0
    for t in range(T - 1, -1, -1):
        n = alive[t] if alive.size else B
        now = dh[t][:n] if every else dh[0][:n]
        for k in range(n):
            g_k, q_k, h_k, dh_k, da_k, dq_k = g[t, k], q[t, k], h[t, k], now[k], da[t, k], dq[t, k]
            if usual:
                after_back_row(g_k, q_k, h_k, dh_k, da_k, dq_k, through[k], TANH, SIGMOID, True)
            else:
                after_back_row(g_k, q_k, h_k, dh_k, da_k, dq_k, through[k], activation, gate, False)
        if t > 0 or dh0.size:
            below, adds = (dh[t - 1][:n] if every else now, every) if t > 0 else (dh0[:n], add != 0)
            back_product(room[:n] if masked else below, dq[t][:n], Wh, PT, adds and not masked)
            if masked:
                unmask(below, room, mask[:n], adds)
            plus(below, through[:n])


@kernel(
    "x[T,B,D] Wx[D,3H] Px[Q,D,L]? Wg[H,2H] Pg[R,H,L]? Wn[H,H] Pn[S,H,L]? b[3H]? mask[B,H]?"
    " alive[T]?:i8 activation:int gate:int"
    " -> !h[U,B,H] kept[U,B,H]? g[K,B,3H] m[K,B,H] a[T,B,3H]?",
    flops,
    twice=False,
)
def gru_before_forward(x, Wx, Px, Wg, Pg, Wn, Pn, b, mask, alive, activation, gate, h, kept, g, m, a):
    """Run the layer, reset before the product; g keeps z, r, n and m = r * h_(t-1)."""
    T, B, H, L = x.shape[0], x.shape[1], Wn.shape[0], panel_width(Wn)
    each, begins, taped = (H + L - 1) // L, b.reshape((1, b.size)), a.size > 0
    usual, old, masked = gate == SIGMOID and activation == TANH, 0, mask.size > 0
    seen = kept if masked else h
    if masked:
        mask_states(kept[0], h[0], mask)
    for t in range(T):
        at, new, n = t if g.shape[0] > 1 else 0, following(old, h), alive[t] if alive.size else B
        gates, x_t, state = g[at][:n], x[t][:n], seen[old][:n]
        for half in range(2):  # the gates of all units, then the candidates, which need all of them
            for first in range(0, H, L):
                count = min(L, H - first)
                for gate_number in range(2 * half, 2 + half):
                    to, p = gate_number * H + first, gate_number * each + first // L
                    if half == 0:
                        joint_strip(gates, to, count, x_t, Wx, Px, to, p, state, H, Wg, Pg, to, p, begins)
                    else:
                        f, q = first, first // L
                        joint_strip(gates, to, count, x_t, Wx, Px, to, p, m[at][:n], H, Wn, Pn, f, q, begins)
                for k in range(n):
                    g_k, m_k, new_k = g[at, k], m[at, k], h[new, k]
                    h_k = h[old, k] if half else seen[old, k]
                    a_k = a[t, k] if taped else g_k
                    stop = first + count
                    if usual:
                        before_row(half, g_k, h_k, m_k, new_k, a_k, taped, first, stop, TANH, SIGMOID, True)
                    else:
                        before_row(half, g_k, h_k, m_k, new_k, a_k, taped, first, stop, activation, gate, False)
        if masked:
            mask_states(kept[new], h[new], mask[:n])
        old = new


@kernel(
    "Wg[H,2H] PgT[Q,2H,L]? Wn[H,H] PnT[Q,H,L]? h[T+1,B,H] kept[T+1,B,H]? g[T,B,3H] mask[B,H]?"
    " alive[T]?:i8 activation:int gate:int"
    " -> !dh[K,B,H] through[B,H] dm[B,H] da[T,B,3H] dg[T,B,2H] dn[T,B,H] dh0[B,H]? room[B,H]?",
    flops,
    twice=False,
)
def gru_before_backward(
    Wg, PgT, Wn, PnT, h, kept, g, mask, alive, activation, gate, dh, through, dm, da, dg, dn, dh0, room
):
    """Backpropagation through time, reset before the product; dg and dn are da's parts, as matrices of their own."""
    T, B = g.shape[:2]
    every, usual = dh.shape[0] == T, gate == SIGMOID and activation == TANH
    masked = mask.size > 0
    seen = kept if masked else h
    for t in range(T - 1, -1, -1):
        n = alive[t] if alive.size else B
        now = dh[t][:n] if every else dh[0][:n]
        for half in range(2):
            for k in range(n):
                state = seen[t, k] if half else h[t, k]
                rows = half, g[t, k], state, now[k], dm[k], da[t, k], dg[t, k], dn[t, k], through[k]
                if usual:
                    before_back_row(*rows, TANH, SIGMOID, True)
                else:
                    before_back_row(*rows, activation, gate, False)
            if half == 0:
                back_product(dm[:n], dn[t][:n], Wn, PnT, False)
        if masked:  # what the reset gate lets through has met the mask
            mend_reset(through, dm, g[t], mask[:n])
        if t > 0 or dh0.size:
            below, adds = (dh[t - 1][:n] if every else now, every) if t > 0 else (dh0[:n], False)
            back_product(room[:n] if masked else below, dg[t][:n], Wg, PgT, adds and not masked)
            if masked:
                unmask(below, room, mask[:n], adds)
            plus(below, through[:n])


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
