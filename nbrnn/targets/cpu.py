"""Runs a program natively: names become addresses, and one compiled loop walks the table.

Gathering a batch, forward, loss, backward and the optimizer's step never return to Python. With NUMBA_DISABLE_JIT=1
the same loop and the same kernels run in plain Python. Threads live here and nowhere else: the shards of a batch run
side by side, and their gradients are summed in a fixed order, so that the bits do not depend on the number of threads.
"""

import importlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from numba import config

from ..memory import require
from ..paths import registers
from ..plan import Plan
from ..program import BLOCK_NUMBERS, BLOCKS, FOREIGN, PRIVATE, Buffer, Program, Weights, aligned, dtype_of
from . import cache as code_cache
from .compiling import ENTRY, JIT, PARALLEL, compile_entry, compile_kernel, compile_parallel, prepare, processes
from .runner import ENTRIES, ONCE, PREPARE, REFUSED, STOP, make_job, run

THREADS_FROM = 5_000_000  # FLOPs of a batch: below it, waking threads costs more than they save


def set_num_threads(count: int) -> None:
    """Set the number of threads that run a batch's shards; results do not depend on it.

    Parameters
    ----------
    count : int
        From 1 to the threads that Numba may start.

    Raises
    ------
    ValueError
        If the count is below 1 or above the threads that Numba may start (NUMBA_NUM_THREADS).
    """
    global _threads
    _threads = _checked_threads("the number of threads", count)


def _checked_threads(name: str, count: object) -> int:
    """Return a number of threads that Numba may start."""
    most = config.NUMBA_NUM_THREADS
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= most:
        raise ValueError(
            f"{name} must be from 1 to {most}, a whole number; Numba may start no more here (its default is the "
            f"processor's cores, NUMBA_NUM_THREADS changes it), not {count!r}."
        )
    return int(count)


_threads = 0  # 0: not chosen yet


def get_num_threads() -> int:
    """Return the number of threads in use: the caller's choice, NBRNN_NUM_THREADS, or all that Numba may start.

    Raises
    ------
    ValueError
        If NBRNN_NUM_THREADS is no number of threads that Numba may start.
    """
    global _threads
    if _threads == 0:
        text = os.environ.get("NBRNN_NUM_THREADS", "").strip()
        chosen = int(text) if text.isdecimal() else text or config.NUMBA_NUM_THREADS
        _threads = _checked_threads("NBRNN_NUM_THREADS", chosen)
    return _threads


def _choose_layer() -> None:
    """Prefer OpenMP, unless the user has chosen: its empty region costs 3 us, workqueue's 90 us."""
    if config.THREADING_LAYER == "default" and _has("omppool"):
        config.THREADING_LAYER = "omp"


class Executor:
    """A plan bound to memory, ready to run.

    Parameters
    ----------
    plan : Plan
        What to run.
    arrays : dict of str to numpy.ndarray
        The shared and foreign blocks by name, each as the flat array that holds all of its elements.
    """

    def __init__(self, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        require(plan)
        self.plan = plan
        arrays = dict(arrays)
        programs: list[tuple[int, Program]] = list(plan.programs.items())
        if plan.update is not None:
            programs.append((0, plan.update))
        if plan.prepare is not None:
            programs.append((plan.shard + 1, plan.prepare))
            arrays["packed"] = aligned(plan.sizes["packed"], plan.prepare.dtype)
        dtype = programs[0][1].dtype
        self.worth_threads = plan.shards > 1 and plan.flops >= THREADS_FROM
        width = max(len(c.row()) for _, p in programs for c in p.calls)
        self.rows = np.zeros((sum(len(p.calls) for _, p in programs), width), np.int64)
        self.spans = np.zeros((plan.shard + 2, 2), np.int64)
        forms = [ENTRY, PARALLEL] if self.threaded() else [ENTRY]
        prepare([*(c.kernel for _, p in programs for c in p.calls), *forms], dtype.name)
        functions, k = [], 0
        for samples, program in programs:
            self.spans[samples] = k, k + len(program.calls)
            for entry in program.calls:
                words = entry.row()
                self.rows[k, : len(words)] = words
                functions.append(compile_kernel(entry.kernel, dtype.name))
                k += 1
        for _, program in programs:  # a block that is too short would be overrun without a sign
            for b in program.layout.buffers.values():
                if BLOCKS[b.block][1] != PRIVATE and arrays[b.block].size < b.offset + b.size:
                    raise ValueError(f"buffer {b} ends beyond the {arrays[b.block].size} numbers of block {b.block}.")
        self.private = {
            block: aligned((plan.shards, max(size, 1)), dtype_of(block, dtype))
            for block, size in plan.sizes.items()
            if BLOCKS[block][1] == PRIVATE
        }
        self.control = self.private["control"]
        self.stats = self.private["stats"].view(np.float64)
        first = programs[0][1]
        self.figures = first["stats"].size * (self.private["stats"].itemsize // 8)  # a complex one is two floats
        self.arrays = arrays
        self.functions: Any = functions
        places = {BLOCK_NUMBERS[name]: name for name in (*BLOCKS, *plan.sizes)}
        names = [places.get(k, "") for k in range(max(places) + 1)]
        self.blocks: Any = [[self._block(name, s) for name in names] for s in range(plan.shards)]
        if JIT:
            self.functions = np.array([f.address for f in functions], np.int64)
            self.blocks = np.array([[b.ctypes.data for b in row] for row in self.blocks], np.int64)
        self.job = make_job(plan, 0, 0, False, 0, 0, 0)
        self.log = np.zeros((1, self.figures))
        self.packed_at = -1  # the count of changes at which weights were packed
        self.table = np.zeros((len(ENTRIES), 3), np.int64)
        self._tabulate(*ENTRIES[1:])

    @property
    def order(self) -> np.ndarray:
        """The order of the samples."""
        return self.arrays["order"]

    def _tabulate(self, *names: str) -> None:
        """Write arrays of the runner into the entry point's table."""
        for name in names if JIT else ():
            array = getattr(self, name)
            self.table[ENTRIES.index(name)] = (array.ctypes.data, *array.shape, 1)[:3]

    def _block(self, name: str, shard: int) -> np.ndarray:
        """Return a shard's block as a flat array that reaches to the end of its memory."""
        if name in self.private:
            return self.private[name][shard:].reshape(-1)
        return self.arrays.get(name, _NOTHING)

    @property
    def fresh(self) -> bool:
        """Whether it has not run yet, so that the system has not given it all of its memory."""
        return not self.control.any()

    def view(self, buffer: Buffer, shard: int = 0) -> np.ndarray:
        """Return a buffer of a shard as an array: what the last run left there."""
        flat = self._block(buffer.block, shard)
        return flat[buffer.offset : buffer.offset + buffer.size].reshape(buffer.shape)

    def feed(self, **arrays: np.ndarray) -> None:
        """Point foreign blocks at other arrays of the same shapes and strides."""
        for name, array in arrays.items():
            assert BLOCKS[name][1] == FOREIGN
            self.arrays[name] = array
            for s in range(self.plan.shards):
                self.blocks[s][BLOCK_NUMBERS[name]] = array.ctypes.data if JIT else array
            if name == "order":
                self._tabulate("order")

    def set_numbers(self, numbers: list[float]) -> None:
        """Set the first of the optimizer's numbers."""
        self.arrays["hyper"][: len(numbers)] = numbers

    def _room(self, batches: int) -> None:
        """Make room for the log of so many batches."""
        if len(self.log) < batches:
            self.log = np.zeros((batches, self.figures))
            self._tabulate("log")

    def entry(self, x: np.ndarray, batches: int) -> Callable[[], int]:
        """Return what runs the first batches of a pass forward at next to no cost in Python, on this thread.

        It looks at the numbers of x first, and returns REFUSED without a run if one is not finite; see `expect` and
        `renew`. Whoever asked for it must not call `run` in between.

        Parameters
        ----------
        x : array
            The block x, C-contiguous.
        batches : int
        """
        self._room(batches)
        self.job[:] = make_job(self.plan, 0, batches, False, 0, 0, 0)
        self.order[:] = np.arange(self.plan.samples)
        parts = x.itemsize // x.real.itemsize
        self.table[0] = x.ctypes.data, x.size * parts, x.real.itemsize
        if JIT:
            return partial(compile_entry(), self.table.ctypes.data)
        numbers = x.reshape(-1).view(x.real.dtype)
        return lambda: self._serial() if np.isfinite(numbers[: self.table[0, 1]]).all() else REFUSED

    def expect(self, batches: int, numbers: int) -> None:
        """Say how many batches the entry's calls run from now on, and how many numbers of x they look at."""
        self.job[STOP], self.table[0, 1] = batches, numbers

    def renew(self) -> None:
        """Let the entry's next call pack the weights again if any have changed."""
        if self.plan.prepare is not None and self.packed_at != Weights.changes:
            self.job[PREPARE] = ONCE
        self.packed_at = Weights.changes

    def _serial(self) -> int:
        """Run the job on this thread."""
        if JIT:
            return int(compile_entry()(self.table.ctypes.data))
        return run(*(getattr(self, name) for name in ENTRIES[1:]))

    def run(self, first: int, stop: int, *, shuffle: int, seed: int, epoch: int, step: int) -> tuple[int, np.ndarray]:
        """Run batches first to stop, and return where it stopped and the log: a row of statistics a batch.

        Where an epoch has begun and `order` is not its own, `shuffle` is AGAIN.
        """
        self._room(stop - first)
        self.job[:] = make_job(self.plan, first, stop, shuffle, seed, epoch, step)
        self.table[0, 1] = 0
        try:
            done = self._threaded() if self.threaded() else self._serial()
        finally:
            Weights.changes += self.plan.update is not None
        return int(done), self.log[: int(done) - first + (int(done) < stop)].copy()

    def threaded(self) -> bool:
        """Return whether a run takes several threads."""
        return JIT and self.worth_threads and get_num_threads() > 1

    def _threaded(self) -> int:
        """Run the job on several threads."""
        _choose_layer()
        runner, before = compile_parallel(), numba.get_num_threads()
        numba.set_num_threads(get_num_threads())
        try:
            return int(runner(*(getattr(self, name) for name in ENTRIES[1:])))
        finally:
            numba.set_num_threads(before)


_NOTHING = np.zeros(1)


def threading_layer() -> str:
    """Return the name of Numba's threading layer in use, or of the one that threads would be started with.

    OpenMP is preferred; NUMBA_THREADING_LAYER chooses another. Where its name is a demand ("safe", "forksafe",
    "threadsafe"), Numba decides when threads start.
    """
    try:
        return f"{numba.threading_layer()}, in use"
    except ValueError:  # no thread has been started
        _choose_layer()
    layer = str(config.THREADING_LAYER)
    if layer == "default":  # there is no OpenMP: Numba takes the first of its own list that is installed
        layer = next(name for name in config.THREADING_LAYER_PRIORITY if name == "workqueue" or _has(f"{name}pool"))
    return f"{layer}, when threads are first needed"


def _has(pool: str) -> bool:
    """Return whether a threading layer of Numba's can be loaded."""
    try:
        importlib.import_module(f"numba.np.ufunc.{pool}")
    except ImportError:
        return False
    return True


def describe() -> dict[str, str]:
    """Return what `nbrnn info` prints about this target; nothing is compiled for it."""
    folder = code_cache.folder()
    return {
        "threads": f"{get_num_threads()} of {config.NUMBA_NUM_THREADS}; set NBRNN_NUM_THREADS, or call "
        "nbrnn.set_num_threads",
        "one thread for": f"batches below 32 samples or {THREADS_FROM:,} FLOPs",
        "threading layer": threading_layer(),
        **registers(),
        "compilers": f"at most {processes()} processes; set NBRNN_COMPILERS",
        "JIT": "on" if JIT else "off (NUMBA_DISABLE_JIT=1)",
        "cache folder": str(folder) if folder else "none can be written",
    }
