"""A plan: programs for all shards that an epoch's batches meet, and how samples fall into them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .memory import Memory
from .program import BLOCKS, PRIVATE, Program, dtype_of


@dataclass(frozen=True)
class Plan:
    """Programs for the shards of a batch, and how samples fall into batches and shards.

    A batch of `batch` samples is cut into shards of `shard` samples; the last shard of a batch, and of the last batch,
    may be smaller and then has a program of its own. The cut depends on the batch alone, never on the machine, but for
    predictions, whose bits do not depend on it.
    """

    programs: dict[int, Program]  # by number of samples
    update: Program | None
    prepare: Program | None
    samples: int
    batch: int
    shard: int
    masked: tuple[bool, ...] = ()  # for each output, whether its figures see a mask; empty where none does

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of a full batch, and some more where its shards differ."""
        return max(sum(c.flops for c in p.calls) for p in self.programs.values()) * self.shards

    @property
    def shards(self) -> int:
        """Number of shards of a full batch."""
        return -(-min(self.batch, self.samples) // self.shard)

    @property
    def sizes(self) -> dict[str, int]:
        """Elements of each block: the largest that any program needs."""
        sizes: dict[str, int] = {}
        others = [p for p in (self.update, self.prepare) if p is not None]
        for program in [*self.programs.values(), *others]:
            for block, size in program.layout.sizes.items():
                sizes[block] = max(size, sizes.get(block, 0))
        return sizes

    @property
    def nbytes(self) -> dict[str, tuple[int, int]]:
        """Bytes of each block while a batch runs, and how many there are of it: one a shard if it is private."""
        dtype = next(iter(self.programs.values())).dtype
        return {
            block: (size * dtype_of(block, dtype).itemsize, self.shards if BLOCKS[block][1] == PRIVATE else 1)
            for block, size in self.sizes.items()
        }

    @property
    def memory(self) -> Memory:
        """What a run of this plan holds in memory."""
        return Memory.of(self)


def shard_size(batch: int, threads: int = 0, device: str = "cpu") -> int:
    """Return how many samples a shard of a batch of this size holds: 16 or more, and at most 8 shards; on a GPU all.

    Where the number of threads may decide, shards are as large as these need, and at most 64: each of them reads all
    weights at every step.
    """
    if device == "cuda":
        return batch
    if threads:
        return min(batch, max(16, min(64, -(-batch // (8 * threads)) * 8)))
    return batch if batch < 32 else max(16, -(-batch // 64) * 8)


def sample_counts(samples: int, batch: int, shard: int) -> set[int]:
    """Return the sizes of all shards that an epoch of these batches meets."""
    batch = min(batch, samples)
    rests = (batch % shard, samples % batch % shard)
    full = {shard} if batch >= shard else set()
    return full | {rest for rest in rests if rest}
