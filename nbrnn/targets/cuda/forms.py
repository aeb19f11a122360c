"""What launches each kernel on a CUDA device, by the kernel's name: what treats every element alike, and moves numbers.

A thread calls the CPU's own kernel on views one element long; where an element's place decides what is done with it,
the kernel is written for threads. Sums stand in forms_sums.py, optimizers in forms_steps.py, masks in forms_masks.py,
recurrent layers and products in forms_cells.py.
"""

import numpy as np
from numba import cuda

from ...kernels.abi import BATCH, POSITION, SEED, STEP
from ...kernels.embedding import row_of
from ...kernels.feedback import target_share
from ...kernels.random import philox
from . import forms_cells, forms_gru, forms_masks, forms_steps, forms_sums
from .launching import FORMS, alike, alone, own

__all__ = ["FORMS", "forms_cells", "forms_gru", "forms_masks", "forms_steps", "forms_sums"]

# ---------------------------------------------------------------- moves

alike("gather", "TBD", source="source[iT * per_step + iD * per_feature :]", order="order[iB:]")
alike("scatter", "TBD", order="order[iB:]")
alike("flatten", "BTD", y="y[iB : iB + 1, iT * nD + iD :]")
alike("flatten_backward", "BTD", dy="dy[iB : iB + 1, iT * nD + iD :]")
alike("repeat_steps", "TBD")
alike("sum_steps", "BD")
alike("swap_axes", "TBD")
alike("reverse", "TBD", x="x[nT - 1 - iT : nT - iT, iB : iB + 1, iD : iD + 1]")
alike("turn_matrix", "FO")
alike("accumulate", "BH")
alike("begin", "BH")
alike("take_columns", "HP", W="W[iH : iH + 1, iP:]")
alike("put_columns", "HP", W="W[iH : iH + 1, iP:]")
_step = "max(0, iT + dy.shape[0] - nT)"  # none, where no gradient comes
alike("spread", "TBH", dy=f"dy[{_step} : max(0, iT + dy.shape[0] - nT + 1), iB : iB + 1, iH : iH + 1]")


@cuda.jit(device=True)
def row_at(i, order, control, carried):  # type: ignore[no-untyped-def]
    """Return the row of the i-th sample of a shard, see load_state in kernels/moves.py."""
    at = control[POSITION] + i
    return at % control[BATCH] if carried else order[at]


@own("state")
def load_state(source, order, control, carried, state):  # type: ignore[no-untyped-def]
    """Fetch the samples' rows."""
    units = state.shape[1]
    for k in range(cuda.grid(1), state.size, cuda.gridsize(1)):
        i, j = k // units, k % units
        state[i, j] = source[row_at(i, order, control, carried), j]


@own("state")
def store_state(state, order, control, carried, target):  # type: ignore[no-untyped-def]
    """Store what `load_state` fetches."""
    units = state.shape[1]
    for k in range(cuda.grid(1), state.size, cuda.gridsize(1)):
        i, j = k // units, k % units
        target[row_at(i, order, control, carried), j] = state[i, j]


# ---------------------------------------------------------------- where values meet

alike("blend", "ND")
alike("multiply", "ND")
alike("scaled", "ND")
alike("activation_forward", "NO")
alike("softmax", "N")
alike("softmax_backward", "N")
alike("look_up", "TBE", x="x[iT * per_step + iB * per_sample :]", W="W[:, iE : iE + 1]")
alike("mask_zeros", "TB", x="x[iT * per_step + iB * per_sample :]")
alike("lag", "TB", fed="fed[iT : iT + fed.shape[0] - nT + 1, iB : iB + 1]")
alike("choose", "BO")
alike("choose_back", "BO")
alone("weigh")


@own("dW")
def look_up_backward(x, dy, per_step, per_sample, add, dW):  # type: ignore[no-untyped-def]
    """A thread adds up one number of the table, over all steps at which its row was read, in order."""
    (T, B, E), V = dy.shape, dW.shape[0]
    for q in range(cuda.grid(1), dW.size, cuda.gridsize(1)):
        k, e = q // E, q % E
        s = dW[k, e] if add else dW.dtype.type(0)
        for t in range(T):
            for i in range(B):
                if row_of(x[t * per_step + i * per_sample], V) == k:
                    s += dy[t, i, e]
        dW[k, e] = s


@own("dfed")
def lag_back(dW, first, skip, dfed):  # type: ignore[no-untyped-def]
    """A thread adds up the gradient of one number that was fed back, over the steps whose columns show it."""
    (U, B, O), T = dfed.shape, dW.shape[0]
    k = U - T + 1
    for q in range(cuda.grid(1), dfed.size, cuda.gridsize(1)):
        u, i, o = q // (B * O), q // O % B, q % O
        if u >= skip:
            s = dfed[u, i, o]
            for t in range(max(0, u - k + 1), min(T, u + 1)):
                s += dW[t, i, first + (t + k - 1 - u) * O + o]
            dfed[u, i, o] = s


@own("coins")
def draw_coins(control, seed, purpose, kind, rate, start, stop, coins):  # type: ignore[no-untyped-def]
    """A thread draws the coin of one step and sample."""
    (T, B), key = coins.shape, control[SEED] if seed < 0 else seed
    share = target_share(control[STEP], kind, rate, start, stop)
    for q in range(cuda.grid(1), coins.size, cuda.gridsize(1)):
        t, i = q // B, q % B
        bits = philox(key, purpose, control[STEP], (control[POSITION] + i) * T + t)[0]
        coins[t, i] = coins.dtype.type(1 if np.float64(bits) < share else 0)
