"""How kernels are started on the device, and how the CPU's kernels become the work of many threads.

A launch shares elements out to all threads of the grid, and is over before the next one begins: launches are the only
barriers. Every sum is made in an order that does not depend on the grid, so that its bits repeat.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import config, cuda

from ...kernels import KERNELS
from ...kernels.abi import STATUS
from ...kernels.optimizers import GRADIENT_NOT_FINITE
from . import simulator as _simulator  # noqa: F401

GRID = (3, 4) if config.ENABLE_CUDASIM else (128, 128)  # blocks, and threads of each; a thread strides over the grid
FORMS: dict[str, Callable[..., None]] = {}  # by a kernel's name: what launches it, given the kernel's arguments


class Queue:
    """Where launches go: a stream, or what captures a graph."""

    now: Any = 0  # the default stream


def launch(kernel: Any, *arguments: Any, grid: tuple[Any, int] | None = None, shared: int = 0) -> None:
    """Run a CUDA kernel on the whole grid, or on another one of (blocks, threads), with some bytes of shared memory."""
    blocks, threads = grid or GRID
    kernel[blocks, threads, Queue.now, shared](*arguments)


def rebound(function: Any, **instead: Any) -> Callable[..., Any]:
    """Return a compiled function as plain Python, in which some names stand for something else."""
    plain = getattr(function, "py_func", function)
    return FunctionType(plain.__code__, plain.__globals__ | instead, plain.__name__)


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
