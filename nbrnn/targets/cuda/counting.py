"""What a run takes of the GPU's memory beside its plan's blocks: counted before anything is allocated.

The programs' calls are gone through with arrays that have a shape and no memory. Nothing is launched; what asks for
room in between is noted, and so are the kernels.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...plan import Plan
from ...program import Call, Program, dtype_of
from .graphs import HEAD, ROWS, WORDS
from .launching import TURN, Queue, shadow

CODE = 2**17  # bytes of a kernel's code on the device, roughly
LIBRARY = 2**26  # of cuBLAS: our workspace, and what it takes itself, roughly
Launches = Callable[[Program, Call, Mapping[str, Any], Mapping[str, Any]], Callable[[], None]]


@contextmanager
def counting() -> Iterator[tuple[set[Any], dict[Any, Any]]]:
    """Note the kernels that are launched inside, and the rooms that are asked for; nothing runs."""
    with TURN:
        before, Queue.counted, rooms, Queue.rooms = Queue.counted, set(), Queue.rooms, {}
        try:
            yield Queue.counted, Queue.rooms
        finally:
            Queue.counted, Queue.rooms = before, rooms


def beside(plan: Plan, launch_of: Launches) -> dict[str, int]:
    """Return the bytes that a plan's run takes beside its blocks, by what they are for.

    Parameters
    ----------
    plan : Plan
    launch_of : callable
        Returns what launches a call of a program, given arrays by block and those for what is absent.

    Returns
    -------
    dict of str to int
    """
    others = [p for p in (plan.update, plan.prepare) if p is not None]
    programs = [*plan.programs.values(), *others]
    dtype = programs[0].dtype
    blocks = {name: shadow(size, dtype_of(name, dtype)) for name, size in plan.sizes.items()}
    absent = {"model": shadow(1, dtype), "f8": shadow(1, "float64"), "i8": shadow(1, "int64")}
    with counting() as (kernels, rooms):
        for program in programs:
            for call in program.calls:
                launch_of(program, call, blocks, absent)()
    log = 8 * (HEAD + ROWS * programs[0]["stats"].size + WORDS)
    kept = sum(blocks[name].nbytes for name in ("hyper", "carried") if name in blocks)
    library = "cuBLAS" in kernels
    return {
        "scratch": log + kept + sum(room.nbytes for room in rooms.values()),
        "compiled kernels": CODE * (len(kernels) - library),
        "cuBLAS": LIBRARY * library,
    }
