"""Runs a program natively: names become addresses, and one compiled loop walks the table.

Gathering a batch, forward, loss, backward and the optimizer's step never return to Python. With NUMBA_DISABLE_JIT=1
the same loop and the same kernels run in plain Python. Threads live here and nowhere else: the shards of a batch run
side by side, and their gradients are summed in a fixed order, so that the bits do not depend on the number of threads.
"""

import importlib
import os
import types as python_types
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import cfunc, config, njit, prange, types
from numba.extending import intrinsic, overload

from ..kernels import KERNELS, abi
from ..kernels.abi import BATCH, EPOCH, POSITION, SEED, SHARDS, STATUS, STEP, carve
from ..kernels.random import permute
from ..memory import require
from ..paths import registers
from ..program import BLOCK_NUMBERS, BLOCKS, FOREIGN, PRIVATE, Buffer, Plan, Program, aligned, dtype_of
from . import cache as code_cache

JIT = not config.DISABLE_JIT
MODELS = {"float32": types.float32, "float64": types.float64, "complex128": types.complex128}
THREADS_FROM = 5_000_000  # FLOPs of a batch: below it, waking threads costs more than they save
announce: Callable[[str], None] | None = None  # told, once a process, that kernels have to be compiled
_announced = False

# Words of a job, the runner's orders.
FIRST, STOP, SAMPLES, BATCH_SIZE, SHARD_SIZE, SHUFFLE, JOB_SEED, EPOCH_0, STEP_0, PREPARE = range(10)
NEVER, ONCE, EVERY_BATCH = range(3)  # when what all shards share is prepared


def _kernel_call(blocks, row):  # type: ignore[no-untyped-def]
    """The body of every compiled kernel; `compile_kernel` gives each copy its own KERNEL and SPEC."""
    KERNEL(*carve(blocks, row, SPEC))  # type: ignore[name-defined] # noqa: F821


@cache
def compile_kernel(name: str, dtype: str) -> Any:
    """Compile a kernel for a dtype, or load it; without the JIT, return the plain Python function.

    Each (kernel, dtype) is a function of its own name: Numba's cache confuses signatures that two processes compile.
    """
    entry = KERNELS[name]
    scope = {"KERNEL": entry.function, "SPEC": entry.spec, "carve": carve, "__name__": __name__}
    function = python_types.FunctionType(_kernel_call.__code__, scope, name)
    if not JIT:
        return function
    function.__qualname__ = f"{name}_{dtype}"
    function.__module__ = __name__
    signature = types.void(types.CPointer(types.CPointer(MODELS[dtype])), types.CPointer(types.int64))
    return _cached(cfunc, signature, function, entry.packaged, {})


def _cached(decorator: Any, signature: Any, function: Any, cacheable: bool, options: dict[str, Any]) -> Any:
    """Compile a function, or load it from our own cache folder."""
    global _announced
    if announce is not None and not _announced and not (cacheable and code_cache.holds(function.__qualname__)):
        announce("compiling kernels that are new to this machine; this takes some seconds ...")
        _announced = True
    with code_cache.location() as use:
        return decorator(signature, cache=use and cacheable, **abi.OPTIONS | options)(function)


def call(functions, k, blocks, s, rows):  # type: ignore[no-untyped-def]
    """Call function k with row k and the blocks of shard s (plain Python; the native twin is below)."""
    functions[k](blocks[s], rows[k])


@intrinsic
def _call(typingctx, functions, k, blocks, s, rows):  # type: ignore[no-untyped-def]
    """Call the machine code whose address stands in functions[k]."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def row_of(position, index):  # type: ignore[no-untyped-def]
            array = context.make_array(signature.args[position])(context, builder, args[position])
            width = builder.extract_value(array.shape, 1) if signature.args[position].ndim == 2 else ir.IntType(64)(1)
            return builder.gep(array.data, [builder.mul(args[index], width)])

        pointer = ir.IntType(64).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [pointer, pointer]).as_pointer()
        address = builder.inttoptr(builder.load(row_of(0, 1)), function)
        builder.call(address, [row_of(2, 3), row_of(4, 1)])
        return context.get_dummy_value()

    return types.void(functions, types.int64, blocks, types.int64, rows), codegen


@overload(call)
def _native_call(functions, k, blocks, s, rows):  # type: ignore[no-untyped-def]
    return lambda functions, k, blocks, s, rows: _call(functions, k, blocks, s, rows)


def run(functions, rows, spans, blocks, control, order, stats, log, job):  # type: ignore[no-untyped-def]
    """Run batches job[FIRST] to job[STOP] and return the batch at which it stopped.

    spans[m] is the part of the table for a shard of m samples, spans[0] the optimizer's step, the last one what is
    prepared for all shards. The log gains a row a batch: the sums of the shards' statistics, the loss first. A loss or
    a step that is not finite ends the run before the parameters are touched.
    """
    last = spans.shape[0] - 1
    samples, batch, shard = job[SAMPLES], job[BATCH_SIZE], job[SHARD_SIZE]
    batches = (samples + batch - 1) // batch
    for n in range(job[FIRST], job[STOP]):
        epoch, place = job[EPOCH_0] + n // batches, n % batches
        if place == 0 and job[SHUFFLE]:
            permute(order, job[JOB_SEED], epoch)
        start = place * batch
        size = min(batch, samples - start)
        shards = (size + shard - 1) // shard
        if job[PREPARE] == EVERY_BATCH or (job[PREPARE] == ONCE and n == job[FIRST]):
            for k in prange(spans[last, 0], spans[last, 1]):
                call(functions, k, blocks, 0, rows)
        for s in prange(shards):
            at = control[s]
            at[POSITION], at[BATCH], at[SHARDS] = start + s * shard, size, shards
            at[STEP], at[EPOCH], at[SEED], at[STATUS] = job[STEP_0] + n, epoch, job[JOB_SEED], 0
            span = spans[min(shard, size - s * shard)]
            for k in range(span[0], span[1]):
                call(functions, k, blocks, s, rows)
        entry = log[n - job[FIRST]]
        for q in range(entry.size):
            entry[q] = 0.0
            for s in range(shards):
                entry[q] += stats[s, q]
        if not np.isfinite(entry[0]):
            return n
        for k in range(spans[0, 0], spans[0, 1]):
            call(functions, k, blocks, 0, rows)
        if control[0, STATUS] != 0:
            return n
    return job[STOP]


@cache
def _runner(parallel: bool) -> Any:
    """Compile the runner, or load it; the serial twin needs no thread pool."""
    if not JIT:
        return run
    function = python_types.FunctionType(run.__code__, run.__globals__, run.__name__)
    function.__qualname__ = "run_parallel" if parallel else "run_serial"
    function.__module__ = __name__
    i1, i2, f2 = types.int64[::1], types.int64[:, ::1], types.float64[:, ::1]
    signature = types.int64(i1, i2, i2, i2, i2, i1, f2, f2, i1)
    return _cached(njit, signature, function, True, {"parallel": parallel})


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
        width = max(len(c.row()) for _, p in programs for c in p.calls)
        self.rows = np.zeros((sum(len(p.calls) for _, p in programs), width), np.int64)
        self.spans = np.zeros((plan.shard + 2, 2), np.int64)
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
        self.order = arrays["order"]
        self.stats = self.private["stats"].view(np.float64)
        first = programs[0][1]
        self.figures = first["stats"].size * (self.private["stats"].itemsize // 8)  # a complex one is two floats
        flops = max(sum(c.flops for c in p.calls) for p in plan.programs.values()) * plan.shards
        self.worth_threads = plan.shards > 1 and flops >= THREADS_FROM
        self.arrays = arrays
        self.functions: Any = functions
        self.blocks: Any = [[self._block(name, s) for name in BLOCKS] for s in range(plan.shards)]
        if JIT:
            self.functions = np.array([f.address for f in functions], np.int64)
            self.blocks = np.array([[b.ctypes.data for b in row] for row in self.blocks], np.int64)

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
        self.order = self.arrays["order"]

    def run(self, first: int, stop: int, *, shuffle: bool, seed: int, epoch: int, step: int) -> tuple[int, np.ndarray]:
        """Run batches first to stop, and return where it stopped and the log: a row of statistics a batch."""
        log = np.zeros((stop - first, self.figures))
        job = make_job(self.plan, first, stop, shuffle, seed, epoch, step)
        parallel = JIT and self.worth_threads and get_num_threads() > 1
        if parallel:
            _choose_layer()
        runner = _runner(parallel)
        before = numba.get_num_threads() if parallel else 0
        if parallel:
            numba.set_num_threads(get_num_threads())
        try:
            done = runner(
                self.functions, self.rows, self.spans, self.blocks, self.control, self.order, self.stats, log, job
            )
        finally:
            if parallel:
                numba.set_num_threads(before)
        return int(done), log[: int(done) - first + (int(done) < stop)]


_NOTHING = np.zeros(1)


def make_job(plan: Plan, first: int, stop: int, shuffle: bool, seed: int, epoch: int, step: int) -> np.ndarray:
    """Return the runner's orders."""
    job = np.zeros(10, np.int64)
    job[[FIRST, STOP, SAMPLES, BATCH_SIZE, SHARD_SIZE]] = first, stop, plan.samples, plan.batch, plan.shard
    job[[SHUFFLE, JOB_SEED, EPOCH_0, STEP_0]] = shuffle, seed, epoch, step
    if plan.prepare is not None:
        job[PREPARE] = EVERY_BATCH if plan.update is not None else ONCE
    return job


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
        "JIT": "on" if JIT else "off (NUMBA_DISABLE_JIT=1)",
        "cache folder": str(folder) if folder else "none can be written",
    }
