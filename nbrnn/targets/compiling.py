"""Makes machine code of kernels and of the runner, or loads it; several processes share what is new to a machine."""

import contextlib
import importlib
import itertools
import os
import re
import subprocess
import sys
import threading
import types as python_types
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from numba import cfunc, config, njit, types

from ..kernels import KERNELS, abi
from ..kernels.abi import carve
from ..kernels.linking import Compiled
from . import cache as code_cache
from .fingerprints import fingerprint
from .runner import enter, run

JIT = not config.DISABLE_JIT
MODELS = {"float32": types.float32, "float64": types.float64, "complex128": types.complex128}
ENTRY, PARALLEL = "enter", "run_parallel"  # the runner's forms
MOST = 4  # processes that compile side by side
FEWEST = 3  # functions from which another process is worth its start
WORKER = "from nbrnn.targets.compiling import work; work()"
announce: Callable[[str], None] | None = None  # told, once a process, that kernels have to be compiled
_announced = False
_alone = threading.RLock()  # held while compiling: the cache folder is set for the whole process


def _kernel_call(blocks, row):  # type: ignore[no-untyped-def]
    """The body of every compiled kernel; `compile_kernel` gives each copy its own KERNEL and SPEC."""
    KERNEL(*carve(blocks, row, SPEC))  # type: ignore[name-defined] # noqa: F821


def compile_kernel(name: str, dtype: str) -> Any:
    """Compile a kernel for a dtype, or load it; without the JIT, return the plain Python function.

    Each (kernel, dtype) is a function of its own name: Numba's cache confuses signatures that two processes compile.
    """
    return _compiled(KERNELS[name], dtype)


@cache
def _compiled(entry: abi.Kernel, dtype: str) -> Any:
    """Compile a kernel; one from outside the package is cached under a name that tells its code from any other."""
    scope = {"KERNEL": entry.function, "SPEC": entry.spec, "carve": carve, "__name__": __name__}
    function = python_types.FunctionType(_kernel_call.__code__, scope, entry.name)
    if not JIT:
        return function
    own = "" if entry.packaged else fingerprint(entry.function)
    function.__qualname__ = f"{entry.name}{own or ''}_{dtype}"
    function.__module__ = __name__
    signature = types.void(types.CPointer(types.CPointer(MODELS[dtype])), types.CPointer(types.int64))
    try:
        return _cached(cfunc, signature, function, own is not None, {"pipeline_class": Compiled})
    except Exception as error:  # Numba's own errors, and those of other kinds that its passes let through
        if entry.packaged:
            raise
        what = f"the kernel {entry.name} cannot be compiled for {dtype}{_place(error)}"
        raise ValueError(f"{what}: {_in_short(error)}{_advice(error)}.") from error


def _in_short(error: Exception) -> str:
    """Return what Numba says is wrong, without the way to it."""
    lines = [line.strip() for line in _plain(error).splitlines()]
    said = itertools.takewhile(lambda line: not line.startswith(("During:", 'File "', "---")), lines)
    told = [line for line in said if line and not line.startswith("Failed in")]
    return " ".join(told[:2]).rstrip(".") if told else type(error).__name__


def _place(error: Exception) -> str:
    """Return the innermost line of the user's that Numba names, if it names one."""
    places = re.findall(r'File "([^"\n]+)", line (\d+):', _plain(error))
    own = [(path, line) for path, line in places if "numba" not in path.replace("\\", "/").split("/")]
    return f" ({os.path.basename(own[0][0])}, line {own[0][1]})" if own else ""


def _plain(error: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error))


def _advice(error: Exception) -> str:
    """Return what to write in place of what Numba does not take, where that is known."""
    if isinstance(error, ImportError) and "scipy" in str(error):
        return "; for products of matrices take affine, product and the like of nbrnn.cells, which do without"
    if re.search(r"\b[gl][te]>?\(complex128", str(error)):
        return "; complex numbers, as check_gradients takes them, have no order: write pick(real(a) > 0, a, b)"
    return ""


@cache
def compile_entry() -> Any:
    """Compile what runs a table on this thread, or load it."""
    return _cached(njit, types.int64(types.int64), enter, True, {})


@cache
def compile_parallel() -> Any:
    """Compile the runner with threads, or load it."""
    function = python_types.FunctionType(run.__code__, run.__globals__, PARALLEL)
    function.__module__ = __name__
    i1, i2, f2 = types.int64[::1], types.int64[:, ::1], types.float64[:, ::1]
    signature = types.int64(i1, i2, i2, i2, i2, i1, f2, f2, i1)
    return _cached(njit, signature, function, True, {"parallel": True})


def _cached(decorator: Any, signature: Any, function: Any, cacheable: bool, options: dict[str, Any]) -> Any:
    """Compile a function, or load it from our own cache folder."""
    if not (cacheable and code_cache.holds(function.__qualname__)):
        _tell()
    with _alone, code_cache.location() as use:
        return decorator(signature, cache=use and cacheable, **abi.OPTIONS | options)(function)


def _tell() -> None:
    """Announce, the first time, that something is compiled."""
    global _announced
    if announce is not None and not _announced:
        announce("compiling kernels that are new to this machine; this takes some seconds ...")
        _announced = True


def processes() -> int:
    """Return how many processes compile: NBRNN_COMPILERS, or the processor's cores, at most four.

    Raises
    ------
    ValueError
        If NBRNN_COMPILERS is no whole number above 0.
    """
    text = os.environ.get("NBRNN_COMPILERS", "").strip()
    if text and not (text.isdecimal() and int(text)):
        raise ValueError(f"NBRNN_COMPILERS must be a whole number above 0, not {text!r}.")
    return int(text) if text else min(MOST, config.NUMBA_DEFAULT_NUM_THREADS)


def prepare(names: Iterable[str], dtype: str) -> None:
    """Compile what the cache folder lacks of these kernels, and of the runner's forms, in several processes.

    Each process takes the next name when it is done with one. What fails in another process is compiled in this one,
    where it is needed.

    Raises
    ------
    ValueError
        If NBRNN_COMPILERS is no whole number above 0.
    """
    if not JIT or code_cache.folder() is None:
        return
    new = [name for name in dict.fromkeys(names) if _packaged(name) and not code_cache.holds(_title(name, dtype))]
    others = min(processes() - 1, len(new) // FEWEST)
    if others < 1 or not os.path.basename(sys.executable or "").lower().startswith("python"):
        return
    _tell()
    waiting = deque(sorted(new, key=_length, reverse=True))  # long ones first, so that nobody waits for one
    workers = [_start() for _ in range(others)]
    feeders = [threading.Thread(target=_feed, args=(worker, waiting, dtype), daemon=True) for worker in workers]
    try:
        for feeder in feeders:
            feeder.start()
        for name in _taken(waiting):
            _compile(name, dtype)
        for feeder in feeders:
            feeder.join()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _packaged(name: str) -> bool:
    return name not in KERNELS or KERNELS[name].packaged


def _title(name: str, dtype: str) -> str:
    """Return the name of a function in the cache folder."""
    return f"{name}_{dtype}" if name in KERNELS else name


def _length(name: str) -> int:
    """Return a measure of a kernel's compile time: its own code and that of the helpers it names."""
    function = KERNELS[name].function if name in KERNELS else run
    seen: set[Any] = set()

    def count(function: Any) -> int:
        code = getattr(function, "py_func", function)
        if not isinstance(code, python_types.FunctionType) or code in seen:
            return 0
        seen.add(code)
        names = (code.__globals__.get(other) for other in code.__code__.co_names)
        return len(code.__code__.co_code) + sum(count(other) for other in names)

    return count(function)


def _taken(waiting: deque[str]) -> Iterable[str]:
    """Yield what nobody has taken yet."""
    with contextlib.suppress(IndexError):  # there is none left
        while True:
            yield waiting.popleft()


def _start() -> subprocess.Popen[str]:
    """Start a process that compiles the names that it reads; it ends with its input."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _feed(worker: subprocess.Popen[str], waiting: deque[str], dtype: str) -> None:
    """Give a process a name after the other, as long as it lives."""
    assert worker.stdin is not None and worker.stdout is not None
    for name in _taken(waiting):
        try:
            worker.stdin.write(f"{name} {dtype}\n")
            worker.stdin.flush()
            if not worker.stdout.readline():
                return
        except OSError:
            return


def _compile(name: str, dtype: str) -> None:
    """Compile a kernel or one of the runner's forms."""
    if name in KERNELS:
        compile_kernel(name, dtype)
    else:
        {ENTRY: compile_entry, PARALLEL: compile_parallel}[name]()


def work() -> None:
    """Compile what stands on each line of the standard input, and say so: what a process of `prepare` does."""
    importlib.import_module("nbrnn.model")
    for line in sys.stdin:
        _compile(*line.split())
        print("done", flush=True)
