"""The barrier between the blocks of a group: each arrives at a counter in device memory, and waits until all have.

A counter starts at 0 (`open_meeting`, a launch before) and only grows: at the k-th meeting of a launch a block goes on
when it reads k x members or more. Nothing is reset while blocks run, so no block can miss an opening.

Why what a block wrote before is seen by the others behind it (PTX ISA, memory consistency model):
1. A thread's writes come before bar.sync (syncthreads), and that before the addition of the block's first thread.
2. The addition is a release at the scope of the GPU, and the read that sees it an acquire: they synchronise, and
   releases are cumulative: with 1., all writes of the arriving block are ordered before the acquire.
3. The acquire comes before the waiting block's second bar.sync, and that before its other threads' reads.
The compiler moves no access across either (they are volatile and name memory as changed), and states are read past the
first cache, which is not coherent (copy_quad: cp.async.cg). The read comes before the next arrival, so a buffer that
all have read may be written behind the next meeting: two buffers of h, taking turns, need one meeting a step.

All blocks must be on the chip at once: a grid has at most as many blocks as the chip has processors, and launches of
one stream do not overlap. Where that fails all the same (another program's blocks never leave), a watchdog ends the
wait: the block that has looked SPINS times counts in `status` and leaves NaN for results, and so do the others after
as many looks. So an optimizer changes no weight, and the host finds the status when it fetches a run's log.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, cuda, types
from numba.extending import intrinsic

from .device import CPU
from .launching import Queue, launch, room, shadow

APART = 32  # counters between those of two groups: a cache line of their own
GROUPS = 1024
SPINS = 1 << 22  # looks at a counter, each about as long as a read of the second cache: seconds, not minutes

if config.ENABLE_CUDASIM:

    def arrive(counters: Any, group: int) -> None:
        """Count one more block."""
        counters[group * APART] += 1

    def arrived(counters: Any, group: int) -> int:
        """Return how many blocks have arrived, at all meetings together."""
        return int(counters[group * APART])

else:

    def _place(context, builder, signature, args):  # type: ignore[no-untyped-def]
        """Return the address of a group's counter."""
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.gep(data, [builder.mul(args[1], ir.IntType(64)(APART))])

    @intrinsic
    def arrive(typingctx, counters, group):  # type: ignore[no-untyped-def]
        """Add one, as a release."""

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            place = _place(context, builder, signature, args)
            kind = ir.FunctionType(ir.VoidType(), [place.type])
            text = "red.release.gpu.add.s32 [$0], 1;"
            builder.call(ir.InlineAsm(kind, text, "l,~{memory}", side_effect=True), [place])
            return context.get_dummy_value()

        return types.void(counters, types.int64), codegen

    @intrinsic
    def arrived(typingctx, counters, group):  # type: ignore[no-untyped-def]
        """Read, as an acquire."""

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            place = _place(context, builder, signature, args)
            kind = ir.FunctionType(ir.IntType(32), [place.type])
            text = "ld.acquire.gpu.s32 $0, [$1];"
            return builder.call(ir.InlineAsm(kind, text, "=r,l,~{memory}", side_effect=True), [place])

        return types.int32(counters, types.int64), codegen


def arrive_and_wait(counters, status, group, target, spins):  # type: ignore[no-untyped-def]
    """Return whether `target` blocks have arrived before a number of looks is over; `status` counts those who do not.

    One thread of a block calls it, between two syncthreads of all.
    """
    arrive(counters, group)
    for _ in range(spins):
        if arrived(counters, group) >= target:
            return True
    arrive(status, 0)
    return False


def all_have_met(status):  # type: ignore[no-untyped-def]
    """Return whether no wait has been given up so far; blocks of one launch may read it at different times."""
    return arrived(status, 0) == 0


arrives_and_waits, have_all_met = cuda.jit(device=True)(arrive_and_wait), cuda.jit(device=True)(all_have_met)


@cuda.jit
def open_meeting(counters):  # type: ignore[no-untyped-def]
    """Set all counters to zero."""
    for group in range(cuda.grid(1), counters.size // APART, cuda.gridsize(1)):
        counters[group * APART] = 0


def meeting() -> tuple[Any, Any]:
    """Return the device's counters and its status word, which all launches share: one runs at a time."""
    return _meeting() if Queue.counted is None else (room("meetings", GROUPS * APART, "int32"), shadow(1, np.int32))


@cache
def _meeting() -> tuple[Any, Any]:
    return cuda.to_device(np.zeros(GROUPS * APART, np.int32)), cuda.to_device(np.zeros(1, np.int32))


def reopen() -> None:
    """Launch what sets the counters to zero."""
    launch(open_meeting, meeting()[0], count=GROUPS)


def require_met() -> None:
    """Raise ValueError if blocks did not meet since this was asked last; it waits for all that was launched.

    Raises
    ------
    ValueError
        If a watchdog ended a wait. What the launches since then have left is not to be used.
    """
    if not _meeting.cache_info().currsize:
        return
    status = meeting()[1]
    if status.copy_to_host()[0]:
        status.copy_to_device(np.zeros(1, np.int32))
        raise ValueError(
            "the blocks of a group did not meet: some of them were not running, as happens where another program holds "
            f"processors of the GPU: close it, set NBRNN_CUDA_DESIGN=steps, which needs no meetings, {CPU}."
        )
