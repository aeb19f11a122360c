"""The simple (Elman) recurrent layer.

    a_t = x_t Wx + h_(t-1) Wh + b          h_t = act(a_t)
    dL/da_t = dL/dh_t * act'(a_t)          dL/dh_(t-1) += dL/da_t Wh^T

Source: Elman, Finding Structure in Time, Cognitive Science 14 (1990), with Keras' names and layouts; the backward pass
is Werbos, Backpropagation Through Time, Proc. IEEE 78 (1990). Weight gradients are not sequential: they leave the time
loop, dWx = sum_t x_t^T da_t and dWh = sum_t h_(t-1)^T da_t (gemm.weight_gradient).

Letters: T steps, B samples, D features, H units; K is T where every step feeds the loss, 1 where the last one does.
Of the samples the first alive[t] have a step t, all of them where `alive` is not there (masking.py).
With dropout h_(t-1) is multiplied by one mask for all steps before its product; `kept` holds what is left of it.
h[0] is the initial state and h[t + 1] the state after step t; without `initial` h[0] is zero and is not read.
"""

from .abi import kernel
from .activations import descend
from .dropout import mask_states, unmask
from .gemm import back_product, following, neurons


@kernel(
    "x[T,B,D] Wx[D,H] Px[Q,D,L]? Wh[H,H] Ph[Q,H,L]? b[H]? mask[B,H]? alive[T]?:i8 activation:int initial:int"
    " -> !h[U,B,H] kept[U,B,H]? a[T,B,H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * 2 * (d["D"] + d["H"]),
)
def simple_rnn_forward(x, Wx, Px, Wh, Ph, b, mask, alive, activation, initial, h, kept, a):
    """Run the layer over T steps; `a`, where it is asked for, keeps the pre-activations.

    Where neither a backward pass nor anything above needs every state, h holds two that take turns.
    """
    old, masked = 0, mask.size > 0
    states_seen = kept if masked else h
    if masked and initial:
        mask_states(kept[0], h[0], mask)
    for t in range(x.shape[0]):
        new = following(old, h)
        states = Wh.shape[0] if t > 0 or initial else 0
        n = alive[t] if alive.size else x.shape[1]
        H, A = states_seen[old][:n], a[t][:n] if a.size else h[0][:0]
        neurons(h[new][:n], A, x[t][:n], Wx, Px, H, states, Wh, Ph, b, activation)
        if masked:
            mask_states(kept[new], h[new], mask[:n])
        old = new


@kernel(
    "Wh[H,H] PT[Q,H,L]? h[T+1,B,H] mask[B,H]?"
    " alive[T]?:i8 activation:int add:int -> !dh[K,B,H] da[T,B,E] !dh0[B,H]? room[B,H]?",
    flops=lambda d: d["T"] * d["B"] * d["H"] * (2 * d["H"] + 3),
)
def simple_rnn_backward(Wh, PT, h, mask, alive, activation, add, dh, da, dh0, room):
    """Backpropagation through time: dh holds what comes from the loss, and gains what comes from the future.

    The steps may be a part of all: dh0, to which is added with `add`, is then the gradient of the state before them.
    """
    T = da.shape[0]
    every, masked = dh.shape[0] == T, mask.size > 0
    for t in range(T - 1, -1, -1):
        n = alive[t] if alive.size else da.shape[1]
        now = dh[t][:n] if every else dh[0][:n]
        descend(da[t][:n], now, h[t + 1][:n], 0, now.shape[1], activation)
        if t > 0 or dh0.size:
            below, adds = (dh[t - 1][:n] if every else now, every) if t > 0 else (dh0[:n], add != 0)
            back_product(room[:n] if masked else below, da[t][:n], Wh, PT, adds and not masked)
            if masked:
                unmask(below, room, mask[:n], adds)
