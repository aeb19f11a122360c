"""How design "groups" lays a recurrent layer over a chip: arithmetic only.

Each of `groups` groups of `members` blocks has a part of the batch. A block has `units` hidden units and, on chip for
all steps, the columns of the recurrent weights that they need: `columns` sums over `depth` numbers,

    forward   columns = gates x units (of h_(t-1) Wh),    depth = H
    backward  columns = units         (of da_t Wh^T),     depth = gates x H

so that the weights of a block are as large both ways. They stay in registers. The sums over depth are cut into `parts`,
each of `share` numbers, and added in shared memory in the parts' order. A part is a warp where tensor cores multiply,
and else as many threads as there are columns.

Of a step a block reads all of its group's states (forward) or gradients (backward) from the second cache, and that,
not arithmetic, is most of what grows with the batch: `clocks` weighs both, from data sheets, not from measurements.
"""

from dataclasses import dataclass

from .designs import Site
from .launching import SIMULATED
from .tensorcores import PER_REGISTER, STEP, WARP

THREADS = 256  # of a block: 255 registers each are all that a processor has
REGISTERS = 128  # of a thread, at most, that hold weights
WITH_READ = 224  # at most, that hold weights or what tensor cores multiply by them; 255 is all that a thread may have
AT_ONCE = 16  # weights of a thread that go through shared memory into registers at once
UNITS = (8, 16, 32)  # of a block
CHUNK = 4  # sequences that a thread multiplies at once without tensor cores
TILE = 8  # with them
GATES = {"lstm": 4, "gru_after": 3, "simple_rnn": 1}
CACHE_BYTES = 64  # that a processor reads of the second cache in a clock
PRODUCTS = {"float32": 128, "tf32": 512, "bfloat16": 1024}  # that it makes in a clock


@dataclass(frozen=True)
class Split:
    """One pass of a layer on a chip; all sizes that its kernel is compiled for."""

    backward: bool
    H: int
    gates: int
    precision: str
    units: int
    groups: int
    sequences: int  # of the largest group
    threads: int = THREADS
    room: int = 48 * 1024  # bytes of shared memory that a block may take

    @property
    def members(self) -> int:
        """Blocks of a group."""
        return -(-self.H // self.units)

    @property
    def cores(self) -> bool:
        """Whether tensor cores multiply."""
        return self.precision in PER_REGISTER

    @property
    def columns(self) -> int:
        """Sums that a block makes for a sequence."""
        return self.units * (1 if self.backward else self.gates)

    @property
    def depth(self) -> int:
        """Numbers that each is a sum over."""
        return self.H * (self.gates if self.backward else 1)

    @property
    def parts(self) -> int:
        """Parts that the depth is cut into."""
        return self.threads // (WARP if self.cores else self.columns)

    @property
    def share(self) -> int:
        """Numbers of a part; a multiple of what is read at once."""
        step = STEP if self.cores else 4
        return -(-self.depth // (self.parts * step)) * step

    @property
    def tiles(self) -> int:
        """Tiles of 16 columns, with tensor cores."""
        return -(-self.columns // 16)

    @property
    def half(self) -> bool:
        """Whether the one tile has 8 columns: the registers of its other rows are not kept."""
        return self.cores and self.columns == 8

    @property
    def chains(self) -> int:
        """Sums of one tile that do not wait for one another, with tensor cores."""
        return 2 if self.tiles == 1 and self.share // STEP % 2 == 0 else 1

    @property
    def sums(self) -> int:
        """Registers of a thread that hold sums."""
        return 4 * self.tiles * self.chains if self.cores else CHUNK

    @property
    def weights(self) -> int:
        """Registers of a thread that hold weights."""
        if not self.cores:
            return self.share
        per_step = 2 * (2 if self.half else 4) // PER_REGISTER[self.precision]
        return self.share // STEP * self.tiles * per_step

    @property
    def read(self) -> int:
        """Registers that hold what a lane multiplies of 8 sequences, with tensor cores, if it reads all at once."""
        return self.share // STEP * 4 // PER_REGISTER[self.precision] if self.cores else 0

    @property
    def fits(self) -> bool:
        """Whether a block's registers and shared memory have room for it."""
        return self.parts > 0 and self.weights <= min(REGISTERS, WITH_READ - self.read) and self.rows > 0

    @property
    def stride(self) -> int:
        """Numbers from a sequence's state to the next one's in shared memory: 8 lanes that read meet all banks."""
        return -(-self.parts * self.share // 32) * 32 + 16

    @property
    def line(self) -> int:
        """Numbers from a sequence's sums to the next one's in shared memory."""
        return (16 * self.tiles if self.cores else self.columns) + 4

    @property
    def rows(self) -> int:
        """Sequences that are taken at once: all, or as many as shared memory has room for."""
        step = TILE if self.cores else CHUNK
        fitting = self.room // (4 * (self.stride + self.parts * self.line)) // step * step
        return min(fitting, -(-self.sequences // step) * step)

    @property
    def shared(self) -> int:
        """Bytes of shared memory that a block takes."""
        states = self.rows * (self.stride + self.parts * self.line)
        return 4 * max(states, min(AT_ONCE, self.weights) * self.threads)

    @property
    def clocks(self) -> float:
        """Clocks that a step takes by reading and multiplying, were either at its peak and nothing else."""
        step = TILE if self.cores else CHUNK
        rows = -(-self.sequences // step) * step
        return self.depth * (4 * self.sequences / CACHE_BYTES + rows * self.columns / PRODUCTS[self.precision])


def split_of(site: Site) -> Split | str:
    """Return how a site is laid over its chip, or why it cannot be: half a sentence.

    Parameters
    ----------
    site : Site
        Of lstm, gru_after or simple_rnn, forward or backward.

    Returns
    -------
    Split or str
    """
    cell, way = site.kernel.rsplit("_", 1)
    H, B, chip = site.sizes["H"], site.sizes["B"], site.chip
    if site.precision == "float64":
        return "it multiplies float32, tf32 or bfloat16, not float64"
    if "mask" in site.given:
        return "it has no dropout between steps"
    if H % 4:
        return f"it reads states four numbers at a time, and {H} units are no multiple of 4"
    if chip.capability < (8, 0):
        return "its copies to shared memory, and its tensor cores, are those of compute capability 8.0 and later"
    found = []
    for units in UNITS:
        groups = min(B, chip.processors // -(-H // units))
        if groups:
            back = way == "backward"
            sizes = back, H, GATES[cell], site.precision, units, groups, -(-B // groups)
            split = Split(*sizes, threads=64 if SIMULATED else THREADS, room=chip.shared)
            if split.fits:
                found.append(split)
    if not found:
        return (
            f"{H} units are too many for the {chip.processors} processors of {chip.name}: a block has {UNITS[0]} units "
            f"or more, and at most {REGISTERS} registers of each of its {THREADS} threads for their weights"
        )
    return min(found, key=lambda split: split.clocks)
