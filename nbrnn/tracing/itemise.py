"""What the loss at each step contributes to a weight's gradient through each step.

One step's dh_loss is kept, the others are zero, and the layer's backward equations run over the trace's forward
numbers. They are linear in (dh, dc), so all the steps that the loss sees go back side by side. The shares are put
together again: they must give the trace's own gradients, or ArithmeticError says which do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..cells import Cell
from .cells import SLOPES, Arrays, agree
from .custom import cell_flows

if TYPE_CHECKING:
    from . import LayerTrace, Step

MOST_BYTES = 2**31  # of the arrays that `itemise` returns


class Flow(NamedTuple):
    """What one step makes of (dh, dc): a row a step that the loss sees, (K, ...)."""

    da: np.ndarray
    dq: np.ndarray  # what reaches the recurrent kernel; da but for a GRU that resets after the product
    dh_prev: np.ndarray
    dc_prev: np.ndarray  # of an LSTM; zeros else


def itemise(layer: LayerTrace) -> Arrays:
    """Return each weight's gradient as shares: of the loss at step t, through step k.

    The gradient of a weight W that is used at every step is dL/dW = sum_t sum_(k <= t) (dL_t/da_k) (da_k/dW), where
    L_t is what the loss sees of step t, and da_k/dW counts the use at step k only. Source: Pascanu, Mikolov and Bengio
    2013, arXiv:1211.5063, eq. 3-5.

    Parameters
    ----------
    layer : LayerTrace
        A recurrent layer of a trace with a backward pass.

    Returns
    -------
    dict of str to numpy.ndarray
        dWx, dWh and, where there is a bias, db: (K, T, *shape of the weight), [t, k] the share of the loss at step t
        through step k, which is zero for k > t. K is T where the layer returns every state, else 1: the last step.
        Steps are in the order in which the layer takes them. In a layer below another one "the loss at step t" is
        all that comes back from above into step t.

    Raises
    ------
    ValueError
        If the layer is not recurrent, there is no backward pass, its numbers are not finite, or the shares would fill
        more than 2 GiB.
    ArithmeticError
        If the shares do not sum to the trace's gradients: over t to each step's own, over all to the run's totals.
    """
    check_backward(layer)
    rows = len(_received(layer))
    size = 8 * rows * len(layer.steps) * sum(total.size for total in layer.totals.values())
    if size > MOST_BYTES:
        raise ValueError(
            f"the shares of {layer.name} would fill {size / 2**30:.3g} GiB, more than {MOST_BYTES / 2**30:.3g}: "
            "trace a shorter sequence or a smaller layer."
        )
    return {name: np.stack(list(shares(layer, name)), axis=1) for name in layer.totals}


def norms(layer: LayerTrace, weight: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the Frobenius norms of the shares, (K, T), and of their sums over the steps, (K,); see `itemise`."""
    sizes, sums = [], np.zeros((len(_received(layer)), *layer.totals[weight].shape))
    for share in shares(layer, weight):
        sizes.append(_norm(share))
        sums += share
    return np.stack(sizes, axis=1), _norm(sums)


def shares(layer: LayerTrace, weight: str) -> Iterator[np.ndarray]:
    """Yield a weight's shares through step 1, 2, ..., each (K, *shape of the weight); they are checked on the way."""
    total, largest = np.zeros_like(layer.totals[weight]), 1.0
    for k, share in enumerate(_unchecked(layer, weight)):
        largest = max(largest, float(np.abs(share).sum(axis=0).max()))  # sums may cancel to much less
        own = share.sum(axis=0)
        agree(f"{layer.name}: {weight} of step {k + 1}", own / largest, layer.backward[k][weight] / largest)
        total += own
        yield share
    agree(f"{layer.name}: {weight}", total / largest, layer.totals[weight] / largest)


def _unchecked(layer: LayerTrace, weight: str) -> list[np.ndarray]:
    """Return a weight's shares through each step."""
    if isinstance(layer.layer, Cell):
        return [flow[weight] for flow in cell_flows(layer, _received(layer))][::-1]
    nothing = np.zeros((len(_received(layer)), *layer.totals[weight].shape))
    return [
        nothing if layer.steps[k].masked else SHARES[weight](layer, layer.steps[k], flow)
        for k, flow in enumerate(_flows(layer))
    ]


def check_backward(layer: LayerTrace) -> None:
    """Refuse a layer that is not recurrent, or whose trace has no backward pass of finite numbers."""
    if layer.kind not in BACK and not isinstance(layer.layer, Cell):
        raise ValueError(f"layer {layer.name} is not recurrent ({layer.kind}): it has no steps to share a gradient.")
    if not layer.backward:
        raise ValueError(f"the trace of {layer.name} has no backward pass: give nbrnn.trace a target y.")
    if not all(np.isfinite(total).all() for total in layer.totals.values()):
        raise ValueError(f"the gradients of {layer.name} are not all finite: there is nothing to share out.")


# ---------------------------------------------------------------- the way back


def _received(layer: LayerTrace) -> np.ndarray:
    """Return dh_loss of the steps that the loss sees, (K, H)."""
    every = np.array([back.dh_loss for back in layer.backward])
    return every if layer.layer.return_sequences else every[-1:]


def _flows(layer: LayerTrace) -> list[Flow]:
    """Return what flows through each step, from the first to the last."""
    received, back = _received(layer), BACK[layer.kind]
    first = len(layer.steps) - len(received)  # the first step that the loss sees
    dh, dc = np.zeros_like(received), np.zeros_like(received)
    flows = []
    for k in range(len(layer.steps) - 1, -1, -1):
        if k >= first:
            dh[k - first] = received[k - first]  # zeros so far: nothing of step t flows through later ones
        held = layer.steps[k].masked
        flows.append(_through(layer, dh, dc) if held else back(layer, layer.steps[k], dh, dc))
        dh, dc = flows[-1].dh_prev.copy(), flows[-1].dc_prev
    return flows[::-1]


def _through(layer: LayerTrace, dh: np.ndarray, dc: np.ndarray) -> Flow:
    """Return what goes on through a masked step."""
    da = np.zeros((len(dh), layer.weights["Wx"].shape[1]))
    return Flow(da, da, dh, dc)


def _slope(layer: LayerTrace, y: np.ndarray, gate: bool = False) -> np.ndarray:
    return SLOPES[layer.layer.recurrent_activation if gate else layer.layer.activation](y)


def _rnn_back(layer: LayerTrace, step: Step, dh: np.ndarray, dc: np.ndarray) -> Flow:
    """h = act(x Wx + h_prev Wh + b)."""
    da = dh * _slope(layer, step.h)
    return Flow(da, da, da @ layer.weights["Wh"].T, dc)


def _lstm_back(layer: LayerTrace, step: Step, dh: np.ndarray, dc: np.ndarray) -> Flow:
    """c = f c_prev + i n, h = o act(c)."""
    dc = dc + dh * step.o * _slope(layer, step.s)
    to_gates = (dc * step.n, dc * step.c_prev, dc * step.i, dh * step.s)  # i, f, n, o
    slopes = (_slope(layer, step[gate], gate=gate != "n") for gate in layer.gates)
    da = np.concatenate([d * slope for d, slope in zip(to_gates, slopes, strict=True)], axis=-1)
    return Flow(da, da, da @ layer.weights["Wh"].T, dc * step.f)


def _gru_back(layer: LayerTrace, step: Step, dh: np.ndarray, dc: np.ndarray) -> Flow:
    """h = z h_prev + (1 - z) n."""
    H, W = layer.layer.units, layer.weights["Wh"]
    da_z = dh * (step.h_prev - step.n) * _slope(layer, step.z, gate=True)
    da_n = dh * (1 - step.z) * _slope(layer, step.n)
    if layer.layer.reset_after:
        dq_n, dr = da_n * step.r, da_n * (step.hWh + step.bh)[2 * H :]
        through = dq_n @ W[:, 2 * H :].T
    else:
        to_rh = da_n @ W[:, 2 * H :].T
        dq_n, dr, through = da_n, to_rh * step.h_prev, to_rh * step.r
    da_zr = np.concatenate([da_z, dr * _slope(layer, step.r, gate=True)], axis=-1)
    dh_prev = dh * step.z + da_zr @ W[:, : 2 * H].T + through
    da, dq = (np.concatenate([da_zr, last], axis=-1) for last in (da_n, dq_n))
    return Flow(da, dq, dh_prev, dc)


BACK: dict[str, Callable[[LayerTrace, Step, np.ndarray, np.ndarray], Flow]] = {
    "SimpleRNN": _rnn_back,
    "LSTM": _lstm_back,
    "GRU": _gru_back,
}


# ---------------------------------------------------------------- shares of a weight


def _norm(share: np.ndarray) -> np.ndarray:
    return np.linalg.norm(share.reshape(len(share), -1), axis=1)


def _outer(row: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return row^T column for every row of columns."""
    return row[:, None] * columns[:, None, :]


def _input_share(layer: LayerTrace, step: Step, flow: Flow) -> np.ndarray:
    return _outer(step.x, flow.da)


def _recurrent_share(layer: LayerTrace, step: Step, flow: Flow) -> np.ndarray:
    if "rh" not in step.names:
        return _outer(step.h_prev, flow.dq)
    gates = 2 * layer.layer.units  # the candidate's columns saw r h, not h
    return np.concatenate([_outer(step.h_prev, flow.da[:, :gates]), _outer(step.rh, flow.da[:, gates:])], axis=-1)


def _bias_share(layer: LayerTrace, step: Step, flow: Flow) -> np.ndarray:
    return np.stack([flow.da, flow.dq], axis=1) if "bh" in step.names else flow.da


SHARES: dict[str, Callable[[LayerTrace, Step, Flow], np.ndarray]] = {
    "dWx": _input_share,
    "dWh": _recurrent_share,
    "db": _bias_share,
}
