"""Optimizers on the device: a thread a parameter, and one thread for the numbers that all of them share.

Nothing moves before all gradients, nor all next parameters, are known to be finite: three launches. A step that has
failed is seen in the status word, by this one and by those after it.
"""

from typing import Any

from numba import cuda

from ...kernels.abi import STATUS
from ...kernels.optimizers import (
    GRADIENT_NOT_FINITE,
    UPDATE_NOT_FINITE,
    adam_next,
    adam_powers,
    adam_rates,
    finite,
    rmsprop_next,
    rmsprop_rates,
    sgd_next,
    sgd_rates,
)
from .launching import FORMS, alike, alone, launch

for _name in (
    "exponential_decay",
    "inverse_time_decay",
    "polynomial_decay",
    "piecewise_constant_decay",
    "cosine_decay",
    "cosine_decay_restarts",
):
    alone(_name)
alike("sum_shards", "P")
alike("clip_value", "P")
alike("decay_weights", "P")


@cuda.jit
def check(control, grads, failure):  # type: ignore[no-untyped-def]
    """Set the status word to `failure` if a number is not finite, unless something has failed before."""
    if control[STATUS] == 0:
        for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
            if not finite(grads[i : i + 1]):
                control[STATUS] = failure


@cuda.jit
def copy_next(control, grads, params):  # type: ignore[no-untyped-def]
    """Copy the next parameters, which stand in `grads`, unless the step has failed."""
    if control[STATUS] == 0:
        for i in range(cuda.grid(1), params.size, cuda.gridsize(1)):
            params[i] = grads[i]


def take_over(control: Any, grads: Any, params: Any) -> None:
    """Launch what commits next parameters that a step has left in `grads`."""
    launch(check, control, grads, UPDATE_NOT_FINITE, count=grads.size)
    launch(copy_next, control, grads, params, count=grads.size)


def _stepped(later: int, control: Any, grads: Any, params: Any, *launches: tuple[Any, ...]) -> None:
    """Launch a step: a look at the gradients, what is the optimizer's own, and the commitment unless it comes later."""
    launch(check, control, grads, GRADIENT_NOT_FINITE, count=grads.size)
    for kernel, *arguments in launches:
        launch(kernel, control, *arguments, count=grads.size)
    if not later:
        take_over(control, grads, params)


@cuda.jit
def move_sgd(control, hyper, nesterov, grads, params, v):  # type: ignore[no-untyped-def]
    """Put sgd's next parameters in the gradients' place."""
    if control[STATUS] == 0:
        rate, momentum = sgd_rates(hyper, params)
        for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
            k = slice(i, i + 1)
            sgd_next(rate, momentum, nesterov, grads[k], params[k], v[k])


def sgd(hyper: Any, nesterov: int, later: int, control: Any, grads: Any, params: Any, v: Any) -> None:
    """Launch a step of sgd."""
    _stepped(later, control, grads, params, (move_sgd, hyper, nesterov, grads, params, v))


@cuda.jit
def move_rmsprop(control, hyper, grads, params, v, mean, momentum):  # type: ignore[no-untyped-def]
    """Put rmsprop's next parameters in the gradients' place."""
    if control[STATUS] == 0:
        rate, rho, rest, epsilon, share = rmsprop_rates(hyper, params)
        for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
            k = slice(i, i + 1)
            rmsprop_next(rate, rho, rest, epsilon, share, grads[k], params[k], v[k], mean[k], momentum[k])


def rmsprop(hyper: Any, later: int, control: Any, grads: Any, params: Any, v: Any, mean: Any, momentum: Any) -> None:
    """Launch a step of rmsprop."""
    _stepped(later, control, grads, params, (move_rmsprop, hyper, grads, params, v, mean, momentum))


@cuda.jit
def advance_powers(control, hyper):  # type: ignore[no-untyped-def]
    """Take the powers of adam's betas one step on: one thread, for all."""
    if control[STATUS] == 0 and cuda.grid(1) == 0:
        adam_powers(hyper)


@cuda.jit
def move_adam(control, hyper, grads, params, m, v, largest):  # type: ignore[no-untyped-def]
    """Put adam's next parameters in the gradients' place."""
    if control[STATUS] == 0:
        rate, epsilon, b1, r1, b2, r2 = adam_rates(hyper, params)
        for i in range(cuda.grid(1), grads.size, cuda.gridsize(1)):
            k = slice(i, i + 1)
            adam_next(rate, epsilon, b1, r1, b2, r2, grads[k], params[k], m[k], v[k], largest[k])


def adam(later: int, hyper: Any, control: Any, grads: Any, params: Any, m: Any, v: Any, largest: Any) -> None:
    """Launch a step of adam."""
    step = move_adam, hyper, grads, params, m, v, largest
    _stepped(later, control, grads, params, (advance_powers, hyper), step)


FORMS |= {"take_over": take_over, "sgd": sgd, "rmsprop": rmsprop, "adam": adam}
