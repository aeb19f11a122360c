"""What launches each kernel on a CUDA device, by the kernel's name.

What treats every element alike is the CPU's own kernel, which each thread calls on views one element long. A kernel
that is made of products and activations of whole matrices, a step of time after the other, is the CPU's own too, as
plain Python in which each product and each activation is a launch (products.py).
"""

from functools import cache, partial
from typing import Any

import numpy as np
from numba import cuda

from ...kernels import KERNELS
from ...kernels.abi import STATUS
from ...kernels.optimizers import GRADIENT_NOT_FINITE, UPDATE_NOT_FINITE, finite
from .launching import ALIKE, FORMS, STEPPED, SUMMED, launch, rebound, shared_out
from .products import back_product, descend, neurons, pack, pack_transposed, products_of_columns

LANES = 64  # parts of a sum over all outputs


def _alike(name: str, letters: str, **views: str) -> None:
    """Register a kernel that treats every element alike."""
    FORMS[name] = partial(launch, shared_out(ALIKE, name, letters, **views))


_alike("sum_shards", "P")
_alike("clip_value", "P")
_alike("decay_weights", "P")
_alike("flatten", "BTD", y="y[iB : iB + 1, iT * nD + iD :]")
_alike("flatten_backward", "BTD", dy="dy[iB : iB + 1, iT * nD + iD :]")
_alike("gather", "TBD", source="source[iT * per_step + iD * per_feature :]", order="order[iB:]")
_alike("scatter", "TBD", order="order[iB:]")


# ---------------------------------------------------------------- losses and optimizers


@cache
def _parts() -> Any:
    """Return the device's room for the parts of a sum."""
    return cuda.device_array(LANES, np.float64)


@cuda.jit
def add_parts(parts, slot, stats):  # type: ignore[no-untyped-def]
    """Set a statistic to the sum of its parts."""
    if cuda.grid(1) == 0:
        total = 0.0
        for lane in range(parts.size):
            total += parts[lane]
        stats[slot] = total


def _summed(name: str) -> None:
    """Register a loss: sums of every LANES-th output, which one thread adds."""
    row = "weight[iN // each : iN // each + 1]"  # of the output; nothing where there are no weights
    kernel = shared_out(SUMMED, name, "N", slot="0", stats="one", weight=row)
    names = [a.name for a in KERNELS[name].arguments]

    def launches(*arguments: Any) -> None:
        launch(kernel, *arguments, _parts())
        launch(add_parts, _parts(), arguments[names.index("slot")], arguments[names.index("stats")])

    FORMS[name] = launches


@cuda.jit
def check(control, grads, failure):  # type: ignore[no-untyped-def]
    """Set the status word to `failure` if a number is not finite, unless a gradient was not."""
    for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
        if control[STATUS] != GRADIENT_NOT_FINITE and not finite(grads[i : i + 1]):
            control[STATUS] = failure


@cuda.jit
def copy_next(control, grads, params):  # type: ignore[no-untyped-def]
    """Copy the next parameters, which stand in `grads`, unless the step has failed."""
    if control[STATUS] == 0:
        for i in range(cuda.grid(1), params.size, cuda.gridsize(1)):
            params[i] = grads[i]


def take_over(control: Any, grads: Any, params: Any) -> None:
    """Launch what commits next parameters that a step has left in `grads`."""
    launch(check, control, grads, UPDATE_NOT_FINITE)
    launch(copy_next, control, grads, params)


def _stepped(name: str) -> None:
    """Register an optimizer: nothing moves before all gradients, nor all next parameters, are known to be finite."""
    kernel = shared_out(STEPPED, name, "P", params="moved")
    names = [a.name for a in KERNELS[name].arguments]

    def launches(*arguments: Any) -> None:
        control, grads, params, later = (arguments[names.index(n)] for n in ("control", "grads", "params", "later"))
        launch(check, control, grads, GRADIENT_NOT_FINITE)
        launch(kernel, *arguments)
        if not later:
            launch(copy_next, control, grads, params)

    FORMS[name] = launches


for _name in ("mse", "mae", "huber", "projection"):
    _summed(_name)
_stepped("sgd")
FORMS["take_over"] = take_over


# ---------------------------------------------------------------- kernels that are made of products

_launched = {"neurons": neurons, "descend": partial(launch, descend), "back_product": back_product}
_made_of_them = ("simple_rnn_forward", "simple_rnn_backward", "dense_forward", "activation_backward", "input_gradient")
for _name in _made_of_them:
    FORMS[_name] = rebound(KERNELS[_name].function, **_launched)
FORMS["weight_gradient"] = lambda x, packed, da, alive, add, dW, db, tall, room: products_of_columns(x, da, add, dW, db)
FORMS["pack"], FORMS["pack_transposed"] = partial(launch, pack), partial(launch, pack_transposed)
