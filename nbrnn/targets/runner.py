"""The runner: one compiled loop that walks a program's table batch by batch, and the way into it from Python.

It knows nothing of kernels but their addresses. cpu.py compiles it and fills its tables.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, prange, types
from numba.extending import intrinsic, overload

from ..kernels import abi
from ..kernels.abi import BATCH, EPOCH, POSITION, SEED, SHARDS, STATUS, STEP
from ..kernels.random import permute
from ..plan import Plan

# Words of a job, the runner's orders.
FIRST, STOP, SAMPLES, BATCH_SIZE, SHARD_SIZE, SHUFFLE, JOB_SEED, EPOCH_0, STEP_0, PREPARE = range(10)
AGAIN = 2  # of SHUFFLE: the order of the first batch's epoch is made anew, though its first batches are done
NEVER, ONCE, EVERY_BATCH = range(3)  # when what all shards share is prepared; once done, ONCE becomes NEVER
REFUSED = -1  # what the entry point returns if a number of x that it looks at is not finite

# The entry point's table: for each of these, an address and two lengths; of x, how many numbers are looked at and
# the bytes of one.
ENTRIES = ("x", "functions", "rows", "spans", "blocks", "control", "order", "stats", "log", "job")


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
        if (place == 0 and job[SHUFFLE]) or (n == job[FIRST] and job[SHUFFLE] == AGAIN):
            permute(order, job[JOB_SEED], epoch)
        start = place * batch
        size = min(batch, samples - start)
        shards = (size + shard - 1) // shard
        if job[PREPARE] != NEVER:
            for k in prange(spans[last, 0], spans[last, 1]):
                call(functions, k, blocks, 0, rows)
            if job[PREPARE] == ONCE:
                job[PREPARE] = NEVER
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


_run: Any = abi.jit(run)


@intrinsic
def _pointer(typingctx, address, like):  # type: ignore[no-untyped-def]
    """Make a pointer of an address: to numbers of the second argument's type."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), codegen


_viewing = njit(**abi.VIEWING)


@_viewing
def _vector(table, k, like):  # type: ignore[no-untyped-def]
    return carray(_pointer(table[3 * k], like), (table[3 * k + 1],))


@_viewing
def _matrix(table, k, like):  # type: ignore[no-untyped-def]
    return carray(_pointer(table[3 * k], like), (table[3 * k + 1], table[3 * k + 2]))


@abi.inlined
def all_finite(numbers):  # type: ignore[no-untyped-def]
    """Return whether no number is infinite or NaN."""
    wrong = 0
    for k in range(numbers.size):
        wrong += 0 if np.isfinite(numbers[k]) else 1
    return wrong == 0


def enter(address):  # type: ignore[no-untyped-def]
    """Look through x and run what a table describes: nine arrays from Python would cost ten times as much as one."""
    table, i, f = carray(_pointer(address, 0), (3 * len(ENTRIES),)), 0, 0.0
    finite = all_finite(_vector(table, 0, np.float32(0))) if table[2] == 4 else all_finite(_vector(table, 0, f))
    if not finite:
        return REFUSED
    return _run(
        _vector(table, 1, i),
        _matrix(table, 2, i),
        _matrix(table, 3, i),
        _matrix(table, 4, i),
        _matrix(table, 5, i),
        _vector(table, 6, i),
        _matrix(table, 7, f),
        _matrix(table, 8, f),
        _vector(table, 9, i),
    )


def make_job(plan: Plan, first: int, stop: int, shuffle: int, seed: int, epoch: int, step: int) -> np.ndarray:
    """Return the runner's orders."""
    job = np.zeros(10, np.int64)
    job[[FIRST, STOP, SAMPLES, BATCH_SIZE, SHARD_SIZE]] = first, stop, plan.samples, plan.batch, plan.shard
    job[[SHUFFLE, JOB_SEED, EPOCH_0, STEP_0]] = shuffle, seed, epoch, step
    if plan.prepare is not None:
        job[PREPARE] = EVERY_BATCH if plan.update is not None else ONCE
    return job
