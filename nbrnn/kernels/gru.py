"""The GRU layer, gates in Keras' order z, r, n (n, the candidate, is Keras' h); two forms.

    reset_after (Keras' default, cuDNN, PyTorch; ONNX' linear_before_reset=1), b = (input's, state's):
        p = x_t Wx + b[0]      q = h_(t-1) Wh + b[1]      z, r = gate(p + q)      n = act(p + r * q)
    before (Cho et al. 2014; ONNX' default):
        p = x_t Wx + b         z, r = gate(p + h_(t-1) Wh)      n = act(p + (r * h_(t-1)) Wh)
    both:  h_t = z * h_(t-1) + (1 - z) * n

    dz = dh * (h_(t-1) - n)     dn = dh * (1 - z)     dL/dh_(t-1) gains dh * z, and what comes through p and q

Source: Cho et al., arXiv:1406.1078, eq. 5-8 (there z and 1 - z change places); reset_after: NVIDIA's cuDNN. Weight
gradients leave the time loop: dWx = sum x^T dp, dWh = sum h^T dq, and in the form `before` the candidate's part of dWh is
sum (r * h)^T dp. Each third of the columns is a matrix of its own there, so Wh comes in two parts, Wg (z, r) and Wn.

Letters: T steps, B samples, D features, H units; K is T where every step feeds the loss, 1 where the last one does.
h[0] is the initial state, h[t + 1] the state after step t; without `initial` it is zero.
"""

from .abi import inlined, kernel
from .activations import activate, descend
from .gemm import affine, back_product, clear, copy, multiply


@inlined
def mix(h, before, z, n):
    """h = z * before + (1 - z) * n for one row."""
    one = h.dtype.type(1)
    for j in range(h.size):
        h[j] = z[j] * before[j] + (one - z[j]) * n[j]


@inlined
def unmix(dh, before, z, n, dz, dn, through):
    """The gradient of `mix`: dz, dn, and what goes straight to the state before."""
    one = dh.dtype.type(1)
    for j in range(dh.size):
        dz[j] = dh[j] * (before[j] - n[j])
    for j in range(dh.size):
        dn[j] = dh[j] * (one - z[j])
    for j in range(dh.size):
        through[j] = dh[j] * z[j]


@kernel(
    "x[T,B,D] Wx[D,3H] Wh[H,3H] b[2,3H]? activation:int gate:int initial:int"
    " -> !h[T+1,B,H] g[T,B,3H] q[T,B,3H] a[T,B,3H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (6 * (d["D"] + d["H"]) + 8),
)
def gru_after_forward(x, Wx, Wh, b, activation, gate, initial, h, g, q, a):
    """Run the layer, reset after the product; g keeps z, r, n, q what comes from the state, `a` the pre-activations."""
    T, B, H3 = g.shape
    H = H3 // 3
    if not initial:
        clear(h[0])
    input_bias, state_bias = (b[0], b[1]) if b.size else (b[0, :0], b[0, :0])
    for t in range(T):
        affine(g[t], x[t], Wx, x[t], 0, Wx, input_bias)
        affine(q[t], h[t], Wh, h[t], 0, Wh, state_bias)
        for k in range(B):
            gates, part = g[t, k], q[t, k]
            for j in range(2 * H):
                gates[j] += part[j]
        activate(g[t], 0, 2 * H, gate) if not a.size else _keep_gates(g[t], a[t], H, gate)
        for k in range(B):
            r, n, part = g[t, k, H : 2 * H], g[t, k, 2 * H :], q[t, k, 2 * H :]
            for j in range(H):
                n[j] += r[j] * part[j]
        if a.size:
            for k in range(B):
                for j in range(2 * H, 3 * H):
                    a[t, k, j] = g[t, k, j]
        activate(g[t], 2 * H, 3 * H, activation)
        for k in range(B):
            mix(h[t + 1, k], h[t, k], g[t, k, :H], g[t, k, 2 * H :])


@inlined
def _keep_gates(g, a, H, gate):
    """Keep the pre-activations of z and r before they are squashed."""
    copy(a, g)
    activate(g, 0, 2 * H, gate)
