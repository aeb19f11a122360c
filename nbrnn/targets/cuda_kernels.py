"""What launches each kernel on a CUDA device, by the kernel's name.

What treats every element alike is the CPU's own kernel, which each thread calls on views one element long. A kernel
that is made of products and activations of whole matrices, a step of time after the other, is the CPU's own too, as
plain Python in which each product and each activation is a launch. The products themselves are written here.

A launch shares elements out to all threads of the grid, and is over before the next one begins: launches are the only
barriers. Every sum is made in an order that does not depend on the grid, so that its bits repeat.
"""

from collections.abc import Callable
from functools import cache, partial
from types import FunctionType
from typing import Any

import numpy as np
from numba import config, cuda

from ..kernels import KERNELS
from ..kernels.abi import STATUS
from ..kernels.activations import act, slope
from ..kernels.optimizers import GRADIENT_NOT_FINITE, UPDATE_NOT_FINITE, finite

GRID = (3, 4) if config.ENABLE_CUDASIM else (128, 128)  # blocks, and threads of each; a thread strides over the grid
LANES = 64  # parts of a sum over all outputs
FORMS: dict[str, Callable[..., None]] = {}  # by a kernel's name: what launches it, given the kernel's arguments


def launch(kernel: Any, *arguments: Any) -> None:
    """Run a CUDA kernel on the whole grid."""
    kernel[GRID](*arguments)


# ---------------------------------------------------------------- the CPU's kernels, one element a call

ALIKE = """
def shared_out({names}):
    {counts}
    for i in range(cuda.grid(1), {total}, cuda.gridsize(1)):
        {places}
        KERNEL({views})
"""
SUMMED = """
def shared_out({names}, parts):
    {counts}
    one = cuda.local.array(1, stats.dtype)
    for lane in range(cuda.grid(1), parts.size, cuda.gridsize(1)):
        part = 0.0
        for i in range(lane, {total}, parts.size):
            {places}
            KERNEL({views})
            part += one[0]
        parts[lane] = part
"""
STEPPED = """
def shared_out({names}):
    {counts}
    moved = cuda.local.array(1, params.dtype)
    if control[STATUS] != GRADIENT_NOT_FINITE:
        for i in range(cuda.grid(1), {total}, cuda.gridsize(1)):
            {places}
            moved[0] = params[i]
            KERNEL({views})
"""


def shared_out(text: str, name: str, letters: str, **views: str) -> Any:
    """Make a CUDA kernel of one of the texts above: its threads call the CPU's kernel on one element after the other.

    The elements are those of the specification's `letters`: where an axis has one of them as its length, the CPU's
    kernel gets a view one long (and an absent array stays empty). "flatten_backward" and "BTD" give
    KERNEL(dy[iB:iB + 1, :], dx[iT:iT + 1, iB:iB + 1, iD:iD + 1]). `views` says what it gets for an argument
    instead.
    """
    entry = KERNELS[name]
    lengths: dict[str, str] = {}
    for argument in entry.arguments:
        dims = argument.dims or ()
        cut = ", ".join(f"i{d}:i{d} + 1" if d in letters else ":" for d in dims)
        alone = any(d in letters for d in dims)
        views.setdefault(argument.name, f"{argument.name}[{cut}]" if alone else argument.name)
        for k, d in enumerate(dims):
            if d in letters and not argument.optional:
                lengths.setdefault(d, f"n{d} = {argument.name}.shape[{k}]")
    places = []
    for k, d in enumerate(letters):
        later = " * ".join(f"n{e}" for e in letters[k + 1 :])
        places.append(f"i{d} = i" + (f" // ({later})" if later else "") + (f" % n{d}" if k else ""))
    source = text.format(
        names=", ".join(a.name for a in entry.arguments),
        counts="; ".join(lengths[d] for d in letters),
        total=" * ".join(f"n{d}" for d in letters),
        places="; ".join(places),
        views=", ".join(views[a.name] for a in entry.arguments),
    )
    scope = {"cuda": cuda, "KERNEL": entry.function, "STATUS": STATUS, "GRADIENT_NOT_FINITE": GRADIENT_NOT_FINITE}
    exec(source, scope)
    return cuda.jit(scope["shared_out"])


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


def rebound(function: Any, **instead: Any) -> Callable[..., Any]:
    """Return a compiled function as plain Python, in which some names stand for something else."""
    plain = getattr(function, "py_func", function)
    return FunctionType(plain.__code__, plain.__globals__ | instead, plain.__name__)


@cuda.jit
def neurons(Y, A, X, Wx, Px, H, states, Wh, Ph, b, code):  # type: ignore[no-untyped-def]
    """Y = act(X Wx + H Wh + b), with the first `states` columns of H; A, if it is there, keeps what act is taken of.

    Neighbouring threads read neighbours in the weights as they stand, so the panels are not needed here.
    """
    rows, units = Y.shape
    features, biased, kept, zero = Wx.shape[0], b.size > 0, A.size > 0, Y.dtype.type(0)
    for i in range(cuda.grid(1), rows * units, cuda.gridsize(1)):
        n, j = i // units, i % units
        a = b[j] if biased else zero
        for d in range(features):
            a += X[n, d] * Wx[d, j]
        for k in range(states):
            a += H[n, k] * Wh[k, j]
        if kept:
            A[n, j] = a
        Y[n, j] = act(a, code)


@cuda.jit
def descend(dA, dY, Y, first, stop, code):  # type: ignore[no-untyped-def]
    """Set columns of dA to dY * act'(A), from the output Y = act(A)."""
    rows, columns = Y.shape[0], stop - first
    for i in range(cuda.grid(1), rows * columns, cuda.gridsize(1)):
        n, j = i // columns, first + i % columns
        dA[n, j] = dY[n, j] * slope(Y[n, j], code)


@cuda.jit
def back_product(dX, dA, W, PT, accumulate):  # type: ignore[no-untyped-def]
    """dX (+)= dA W^T; of the packed transpose PT, where there is one, neighbouring threads read neighbours."""
    rows, features = dX.shape
    units, turned, zero = W.shape[1], PT.size > 0, dX.dtype.type(0)
    L = PT.shape[2] if turned else 1
    for i in range(cuda.grid(1), rows * features, cuda.gridsize(1)):
        n, k = i // features, i % features
        dx = dX[n, k] if accumulate else zero
        for j in range(units):
            dx += dA[n, j] * (PT[k // L, j, k % L] if turned else W[k, j])
        dX[n, k] = dx


@cuda.jit
def products_of_columns(x, da, add, dW, db):  # type: ignore[no-untyped-def]
    """dW = x^T da, and db as if x had one more column, of ones."""
    features, units = dW.shape
    rows, lines, zero = da.shape[0], features + (1 if db.size else 0), da.dtype.type(0)
    for i in range(cuda.grid(1), lines * units, cuda.gridsize(1)):
        k, j = i // units, i % units
        s = zero
        if add:
            s = dW[k, j] if k < features else db[j]
        for n in range(rows):
            s += x[n, k] * da[n, j] if k < features else da[n, j]
        if k < features:
            dW[k, j] = s
        else:
            db[j] = s


@cuda.jit
def pack(W, first, each, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L columns, gate by gate, the last of each filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    panels = (each + L - 1) // L
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        place = (start + q) % panels * L + j
        inside = place < each
        P[q, k, j] = W[k, first + (start + q) // panels * each + place] if inside else P.dtype.type(0)


@cuda.jit
def pack_transposed(W, first, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L of its rows, the last one filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        row = (start + q) * L + j
        P[q, k, j] = W[row, first + k] if row < W.shape[0] else P.dtype.type(0)


_launched = {k.__name__: partial(launch, k) for k in (neurons, descend, back_product)}
_made_of_them = ("simple_rnn_forward", "simple_rnn_backward", "dense_forward", "activation_backward", "input_gradient")
for _name in _made_of_them:
    FORMS[_name] = rebound(KERNELS[_name].function, **_launched)
FORMS["weight_gradient"] = lambda x, packed, da, alive, add, dW, db, tall, room: launch(
    products_of_columns, x, da, add, dW, db
)
FORMS["pack"], FORMS["pack_transposed"] = partial(launch, pack), partial(launch, pack_transposed)
