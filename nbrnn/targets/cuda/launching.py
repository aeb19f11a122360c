"""How kernels are started on the device, and how the CPU's kernels become the work of many threads.

A launch shares elements out to all threads of the grid, and is over before the next one begins: launches are the only
barriers. Every sum is made in an order that does not depend on the grid, so that its bits repeat.
"""

import inspect
import math
import threading
from collections.abc import Callable
from functools import partial
from textwrap import indent
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
from numba import config, cuda

from ...kernels import KERNELS
from . import simulator as _simulator  # noqa: F401
from .keeping import keep
from .persistent_memory import STATIC, allow_shared

SIMULATED = bool(config.ENABLE_CUDASIM)
GRID = (3, 4)  # the simulator's: blocks, and threads of each, which stride over the elements
THREADS, MOST_BLOCKS = 128, 4096  # a GPU's: threads of a block, and blocks of which each thread takes several elements
LANES, TEAM = (8, 4) if SIMULATED else (256, 256)  # parts of a sum, and the threads of the one block that makes it
FORMS: dict[str, Callable[..., None]] = {}  # by a kernel's name: what launches it, given the kernel's arguments


TURN = threading.RLock()  # held by the thread that launches, captures or counts: they share the queue


class Queue:
    """Where launches go: a stream, or what captures a graph."""

    now: Any = 0  # the default stream
    trying: bool = False  # whether kernels are only made ready: compiled and loaded, but not launched
    counted: set[Any] | None = None  # kernels, where these are only counted: nothing is launched or allocated then
    rooms: ClassVar[dict[Any, Any]] = {}  # for results in between: an executor's, while it runs


def grid_for(count: int) -> tuple[int, int]:
    """Return blocks and threads for so many elements; a thread strides over the grid."""
    return GRID if SIMULATED else (max(1, min(MOST_BLOCKS, -(-count // THREADS))), THREADS)


def launch(kernel: Any, *arguments: Any, count: int = MOST_BLOCKS * THREADS, grid: Any = None, shared: int = 0) -> None:
    """Run a CUDA kernel on a grid for `count` elements, or on (blocks, threads), with some bytes of shared memory."""
    if Queue.counted is not None:
        Queue.counted.add(kernel)
        return
    blocks, threads = grid or grid_for(count)
    if not SIMULATED and (Queue.trying or shared > STATIC):
        make_ready(kernel, arguments, shared)
    if not Queue.trying:
        kernel[blocks, threads, Queue.now, shared](*arguments)


def shadow(shape: Any, dtype: Any) -> np.ndarray:
    """Return an array of a shape, and of no memory: its numbers must not be looked at."""
    kind = np.dtype(dtype)
    flat = math.prod(shape) if isinstance(shape, tuple) else shape
    return np.lib.stride_tricks.as_strided(np.empty(1, kind), (flat,), (kind.itemsize,)).reshape(shape)


def room(purpose: str, size: int, kind: str) -> Any:
    """Return the device's room for results in between: made when it is first asked for, then always the same.

    Parameters
    ----------
    purpose : str
        Two results that are there at the same time have two.
    size : int
    kind : str
        The dtype's name.
    """
    key = purpose, size, kind
    if key not in Queue.rooms:
        Queue.rooms[key] = cuda.device_array(size, kind) if Queue.counted is None else shadow(size, kind)
    return Queue.rooms[key]


_allowed: set[Any] = set()  # compiled forms that may have more shared memory than a block has without asking


def make_ready(kernel: Any, arguments: Any, shared: int) -> None:
    """Compile a kernel for the types of its arguments, or find it compiled, and load it; let it have shared memory."""
    keep(kernel)
    form = kernel.compile(tuple(map(kernel.typeof_pyval, arguments)))
    form._codelibrary.get_cufunc()
    if shared > STATIC and form not in _allowed:
        allow_shared(kernel, shared)
        _allowed.add(form)


def rebound(function: Any, **instead: Any) -> Callable[..., Any]:
    """Return a compiled function as plain Python, in which some names stand for something else."""
    plain = getattr(function, "py_func", function)
    return FunctionType(plain.__code__, plain.__globals__ | instead, plain.__name__)


ALONE = """
def shared_out({names}):
    if cuda.grid(1) == 0:
        KERNEL({views})
"""
ALIKE = """
def shared_out({names}):
    {counts}
    for i in range(cuda.grid(1), {total}, cuda.gridsize(1)):
        {places}
        KERNEL({views})
"""


def shared_out(
    text: str, name: str, letters: str, views: dict[str, str], across: str = "", scope: Any = None, **more: Any
) -> Any:
    """Make a CUDA kernel of a text as above: its threads call the CPU's kernel on one element after the other.

    The elements are those of the specification's `letters`: where an axis has one of them as its length, the CPU's
    kernel gets a view one long (and an absent array stays empty). "flatten_backward" and "BTD" give
    KERNEL(dy[iB:iB + 1, :], dx[iT:iT + 1, iB:iB + 1, iD:iD + 1]). `views` says what it gets for an argument
    instead, `more` what else the text leaves open; a block has one place among those of the letter `across`. `scope`
    holds the other names of the text; `cuda` must stand there, for the simulator exchanges it.
    """
    entry, views, lengths = KERNELS[name], dict(views), lengths_of(name)
    for argument in entry.arguments:
        cut = [f"i{d}:i{d} + 1" if d in letters + across else ":" for d in argument.dims or ()]
        view = f"{argument.name}[{', '.join(cut)}]"
        views.setdefault(argument.name, argument.name if set(cut) <= {":"} else view)
    places = []
    for k, d in enumerate(letters):
        later = " * ".join(f"n{e}" for e in letters[k + 1 :])
        places.append(f"i{d} = i" + (f" // ({later})" if later else "") + (f" % n{d}" if k else ""))
    source = text.format(
        names=", ".join(a.name for a in entry.arguments),
        counts="; ".join(f"n{d} = {lengths[d][0]}.shape[{lengths[d][1]}]" for d in letters),
        total=" * ".join(f"n{d}" for d in letters),
        places="; ".join(places),
        views=", ".join(views[a.name] for a in entry.arguments),
        **more,
    )
    made: dict[str, Any] = {}
    exec(f"def make(KERNEL):{indent(source, '    ')}    return shared_out", scope or globals(), made)
    function = made["make"](entry.function)
    function.__name__ = function.__qualname__ = name  # which profilers show
    return cuda.jit(function)


def lengths_of(name: str) -> dict[str, tuple[str, int]]:
    """Return where each letter of a kernel's specification is read: the first array that is always there, its axis."""
    found: dict[str, tuple[str, int]] = {}
    for argument in KERNELS[name].arguments:
        for axis, d in enumerate(argument.dims or ()):
            if not argument.optional:
                found.setdefault(d, (argument.name, axis))
    return found


def alike(name: str, letters: str, **views: str) -> None:
    """Register the form of a kernel that treats all elements alike."""
    kernel, places = shared_out(ALIKE, name, letters, views), lengths_of(name)
    position = {argument.name: k for k, argument in enumerate(KERNELS[name].arguments)}

    def launches(*arguments: Any) -> None:
        count = math.prod(arguments[position[a]].shape[axis] for a, axis in map(places.__getitem__, letters))
        launch(kernel, *arguments, count=count)

    FORMS[name] = launches


def alone(name: str) -> None:
    """Register the form of a kernel that sets a few numbers: one thread runs it."""
    FORMS[name] = partial(launch, shared_out(ALONE, name, "", {}), grid=(1, 1))


def own(counted: str) -> Callable[[Callable[..., None]], Any]:
    """Register a function as a CUDA kernel that takes a kernel's arguments, a thread an element of one of them."""

    def register(function: Callable[..., None]) -> Any:
        kernel, names = cuda.jit(function), [argument.name for argument in KERNELS[function.__name__].arguments]
        assert names == list(inspect.signature(function).parameters)
        FORMS[function.__name__] = lambda *arguments: launch(
            kernel, *arguments, count=arguments[names.index(counted)].size
        )
        return kernel

    return register
