"""How much memory a run needs, before it runs, and whether the machine has it.

A plan's blocks are what an executor allocates, so the statement and the arrays come from the same sizes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plan import Plan

MIB, GIB = 1 << 20, 1 << 30
PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
NAMES = {  # blocks as a reader knows them; the rest are states
    "params": "weights",
    "grads": "gradients",
    "slots": "optimizer",
    "hyper": "optimizer",
    "packed": "packed weights",
    "work": "work",
    "stats": "control",
    "control": "control",
    "order": "order",
    "x": "inputs",
    "y": "targets",
    "output": "outputs",
    "sample_weights": "sample weights",
}
THERE = ("weights", "inputs", "targets", "sample weights")  # before a run begins


class NotEnoughMemoryError(ValueError):
    """A run needs more memory than there is; nothing was begun.

    Attributes
    ----------
    needed : int
        Bytes that were asked for.
    """

    def __init__(self, text: str, needed: int) -> None:
        super().__init__(text)
        self.needed = needed


@dataclass(frozen=True)
class Part:
    """Something that a run holds in memory: `each` bytes, `copies` times."""

    name: str
    each: int
    copies: int

    @property
    def nbytes(self) -> int:
        """Bytes of all copies."""
        return self.each * self.copies

    def __str__(self) -> str:
        return f"{self.name} {in_words(self.nbytes)}" + (
            f" ({self.copies} x {in_words(self.each)})" if self.copies > 1 else ""
        )


@dataclass(frozen=True)
class Memory:
    """What a run holds in memory while it runs a whole batch; printed, it is a table.

    Attributes
    ----------
    title : str
        What runs: the model, the mode, the batch and its shards.
    parts : tuple of Part
        Weights, gradients, optimizer, work, packed weights and so on; gradients and work once a shard.
    """

    title: str
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, plan: Plan, beside: Mapping[str, int] | None = None) -> Memory:
        """Return what a plan's executor holds.

        Parameters
        ----------
        plan : Plan
        beside : dict of str to int, optional
            Bytes of what is held beside the plan's blocks, by its name: on a GPU.
        """
        sums: dict[tuple[str, int], int] = {}
        for block, (each, copies) in plan.nbytes.items():
            key = NAMES.get(block.partition(":")[0], "states"), copies
            sums[key] = sums.get(key, 0) + each
        program = plan.programs[min(plan.shard, max(plan.programs))]
        cut = f", {plan.shards} shards of {plan.shard}" if plan.shards > 1 else ""
        title = f"{program.title}, batches of {min(plan.batch, plan.samples)}{cut}, {program.dtype.name}"
        sums |= {(name, 1): each for name, each in (beside or {}).items()}
        return cls(title, tuple(Part(name, each, copies) for (name, copies), each in sums.items() if each))

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts)

    @property
    def new(self) -> int:
        """Bytes that a run takes beside the weights, inputs and targets, which are there before it."""
        return sum(part.nbytes for part in self.parts if part.name not in THERE)

    def __getitem__(self, name: str) -> int:
        """Return a part's bytes by its name, 0 if there is no such part."""
        return sum(part.nbytes for part in self.parts if part.name == name)

    def largest(self, count: int) -> list[Part]:
        """Return the largest parts that a run adds."""
        added = [part for part in self.parts if part.name not in THERE]
        return sorted(added, key=lambda part: part.nbytes, reverse=True)[:count]

    def __str__(self) -> str:
        lines = [self.title, f"{'part':<18}{'bytes of one':>18}{'copies':>8}{'bytes':>20}{'MiB':>14}"]
        for part in self.parts:
            size = f"{part.nbytes:>20,}{part.nbytes / MIB:>14,.3f}"
            lines.append(f"{part.name:<18}{part.each:>18,}{part.copies:>8}{size}")
        lines.append(f"{'total':<44}{self.total:>20,}{self.total / MIB:>14,.3f}")
        return "\n".join(lines)


def in_words(nbytes: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    if nbytes < MIB:
        return f"{nbytes:,} bytes"
    return f"{nbytes / MIB:,.1f} MiB" if nbytes < GIB else f"{nbytes / GIB:,.1f} GiB"


def require(*plans: Plan) -> None:
    """Refuse plans that the memory that is left cannot hold at the same time.

    Raises
    ------
    NotEnoughMemoryError
        If they need more than `available`; the sentence holds the arithmetic. Where nothing is known, never.
    """
    stated, left = [plan.memory for plan in plans], available()
    needed = sum(memory.new for memory in stated)
    if left is None or needed <= left:
        return
    parts = sorted((part for memory in stated for part in memory.largest(3)), key=lambda part: -part.nbytes)
    raise NotEnoughMemoryError(
        f"{' with '.join(memory.title for memory in stated)}, needs {in_words(needed)} beside weights and data "
        f"({', '.join(map(str, parts[:3]))}), but {in_words(left)} of memory are available: make batch_size, the time "
        "steps, the samples of one call or the layers' units smaller.",
        needed,
    )


def require_card(
    plan: Plan, left: int | None, resident: Sequence[str] = (), beside: Mapping[str, int] | None = None
) -> None:
    """Refuse a plan that what is left of a GPU's memory cannot hold.

    Parameters
    ----------
    plan : Plan
    left : int or None
        Bytes; None where nothing is known, and then nothing is refused.
    resident : sequence of str
        Blocks that stand there already.
    beside : dict of str to int, optional
        Bytes of what is held beside the plan's blocks, by its name.

    Raises
    ------
    NotEnoughMemoryError
        If it needs more; the sentence holds the arithmetic.
    """
    memory = Memory.of(plan, beside)
    needed = memory.total - sum(math.prod(plan.nbytes[name]) for name in resident if name in plan.nbytes)
    if left is None or needed <= left:
        return
    parts = sorted(memory.parts, key=lambda part: -part.nbytes)
    raise NotEnoughMemoryError(
        f"{memory.title}, needs {in_words(needed)} of the GPU's memory ({', '.join(map(str, parts[:3]))}), but "
        f"{in_words(left)} of it are free: make batch_size, the time steps, the samples of one call or the layers' "
        'units smaller, or stay on the CPU: model.to("cpu").',
        needed,
    )


def available() -> int | None:
    """Return how many bytes this process may still take; None where the system does not tell.

    The least of what the machine has left (where only its whole memory is known, that) and what the limits of this
    process' control groups leave. Files that are merely cached in memory do not count as taken.
    """
    left = [n for n in (_of_machine(), *_of_groups()) if n is not None]
    return max(0, min(left)) if left else None


def _of_machine() -> int | None:
    for line in _text(PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_groups() -> Iterator[int]:
    """Yield what is left of every limit on this process' control groups and those above them."""
    second = "memory.max", "memory.current", "inactive_file"
    first = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    for line in _text(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (GROUPS / "memory", first) if controllers else (GROUPS, second)
        inside = root / path.strip("/")
        for folder in (inside, *inside.parents):  # in a container the path may be the host's: the root is tried too
            limit, used = (_text(folder / name).strip() for name in names[:2])
            if limit.isdecimal() and used.isdecimal():
                yield int(limit) - int(used) + _cached(folder, names[2])
            if folder == root:
                break


def _cached(folder: Path, name: str) -> int:
    """Return the bytes of files that a control group's memory holds and can drop."""
    pairs = (line.split() for line in _text(folder / "memory.stat").splitlines())
    return next((int(value) for key, value in pairs if key == name), 0)


def _text(path: Path) -> str:
    """Return a system file's text, nothing if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
