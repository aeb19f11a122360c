"""How a recurrent kernel's weights, sequences and sums lie on one processor of the GPU: arithmetic, no code.

A product Y = X W is shared out to the threads of a block: a thread owns four neighbouring outputs (a group) and a
slice of the inputs, and keeps its part of W for all steps, as much of it as fits in registers, the rest in shared
memory. Each step it reads its slice of X, a row a sequence, and leaves four sums, a part of Y; whoever needs Y adds the
slices' parts, in their order. Every thread also has some items: units of sequences, whose pointwise step it takes.

Shared memory holds, one after the other: the operands X, a padded row a sequence; the parts of Y; the weights that
registers do not hold, a thread's beside its neighbour's.

No sum depends on the rows of a block or on the number of blocks: slices follow from the units and the precision.
"""

from dataclasses import dataclass
from functools import cache

from .device import Chip

FOUR = 4
WARP = 32
THREADS = (64, 96, 128, 192, 256, 384, 512)
ROWS = (1, 2, 4, 8)  # sequences of a block
MOST_REGISTERS = 255  # of a thread
DROPPED = {"float64": 0, "float32": 0, "tf32": 13, "bfloat16": 16}  # bits of a factor's fraction
# Of each kernel: its products (inputs, outputs; in units), what an item loads ahead and keeps, operations of an item.
KERNELS = {
    "simple_rnn_forward": ([(1, 1)], 1, 1, 30),
    "simple_rnn_backward": ([(1, 1)], 2, 2, 10),
    "lstm_forward": ([(1, 4)], 4, 2, 130),
    "lstm_backward": ([(4, 1)], 7, 5, 40),
    "gru_after_forward": ([(1, 3)], 3, 8, 90),
    "gru_after_backward": ([(3, 1)], 6, 4, 30),
    "gru_before_forward": ([(1, 2), (1, 1)], 3, 11, 90),
    "gru_before_backward": ([(1, 1), (2, 1)], 6, 10, 30),
}


def up(count: int, step: int) -> int:
    """Return the next multiple of a step."""
    return -(-count // step) * step


@dataclass(frozen=True)
class Matrix:
    """A matrix on chip: `slices` of the inputs, `each` inputs long, of which a thread's registers hold `held`."""

    inputs: int
    outputs: int
    slices: int
    each: int
    held: int
    packed: bool

    @property
    def groups(self) -> int:
        """Threads of a slice."""
        return -(-self.outputs // FOUR)

    @property
    def row(self) -> int:
        """Length of an operand's row."""
        return self.slices * self.each

    @property
    def wide(self) -> int:
        """Length of a row of sums."""
        return self.groups * FOUR

    def words(self, inputs: int) -> int:
        """Return the 32-bit words (or float64s) of a thread's weights for so many inputs."""
        return inputs * FOUR // (2 if self.packed else 1)


@dataclass(frozen=True)
class Layout:
    """How one kernel lies on a processor."""

    kernel: str
    units: int
    precision: str
    rows: int
    abreast: int
    threads: int
    matrices: tuple[Matrix, ...]

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return 8 if self.precision == "float64" else 4

    @property
    def items(self) -> int:
        """Units of sequences of a thread."""
        return -(-self.rows * self.units // self.threads)

    @property
    def operands(self) -> list[int]:
        """Where each matrix' operand begins, and where the last one ends."""
        places = [0]
        for m in self.matrices:
            places.append(places[-1] + self.rows * m.row)
        return places

    @property
    def sums(self) -> int:
        """Numbers of the largest product's parts."""
        return max(m.slices * self.rows * m.wide for m in self.matrices)

    @property
    def weights(self) -> list[int]:
        """Where each matrix' weights begin, and where the last ones end."""
        places = [self.operands[-1] + self.sums]
        for m in self.matrices:
            places.append(places[-1] + m.words(m.each - m.held) * self.threads)
        return places

    def place(self, number: int, i: int) -> int:
        """Return where the weights from input i on stand that a matrix' registers do not hold."""
        m = self.matrices[number]
        return self.weights[number] + m.words(i - m.held) * self.threads

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block."""
        return self.weights[-1] * self.size

    @property
    def registers(self) -> int:
        """Registers of a thread that hold weights."""
        return sum(m.words(m.held) for m in self.matrices) * self.size // 4

    @property
    def needed(self) -> int:
        """Registers of a thread, with what else than weights it needs."""
        return self.registers + spare(self.kernel, self.abreast, self.items, self.size, self.matrices[0].packed)

    @property
    def clocks(self) -> float:
        """Clock cycles of a step by its operations, to choose by: of latencies only that of the barriers is in it.

        A processor issues 128 float32 operations a cycle and 64 of integers, where it has two warps for each of its
        four schedulers, and shared memory gives 128 bytes. Of arithmetic and shared memory the lesser is taken to hide
        half behind the greater.
        """
        warps, loads = self.threads / WARP, -(-self.rows // self.abreast)
        products = sum(m.slices * m.each * m.groups * FOUR for m in self.matrices)
        issued = self.rows * products * self.size / 4
        if self.matrices[0].packed:
            issued += 2 * loads * products
        issued /= min(128, 16 * warps)
        kept = (self.weights[-1] - self.weights[0]) * self.size / 128 * loads
        read = sum(warps * m.each * self.rows for m in self.matrices) * self.size / 4
        parts = 2 * sum(m.slices * m.wide for m in self.matrices) * self.rows * self.size / 128
        pointwise = up(self.rows * self.units, WARP) / WARP / 4 * KERNELS[self.kernel][3]
        both = issued, kept + read + parts
        return max(both) + min(both) / 2 + pointwise + 60 * len(self.matrices)

    def __str__(self) -> str:
        held, rest = self.registers * 4 * self.threads, self.shared - self.weights[0] * self.size
        places = [f"{held / 1024:.3g} KB of weights in registers"] if held else []
        places += [f"{rest / 1024:.3g} KB in shared memory"] if rest else []
        return f"{self.rows} sequence{'s' * (self.rows > 1)} a block, {', '.join(places)}"


def spare(kernel: str, abreast: int, items: int, size: int, packed: bool) -> int:
    """Return how many registers of a thread are needed for other things than weights.

    An item has what it loads ahead, now and for the next step, what it keeps, and its places in so many arrays; pairs
    have to be unpacked beside what holds them. The numbers are above what kernels with all options need
    (tests/cuda_scan.py).
    """
    products, ahead, keeps, _ = KERNELS[kernel]
    second = (11 + 24 * packed) * (len(products) - 1)  # what reads the second matrix, beside all of the first
    return 29 + second + (2 * FOUR * abreast + (2 * ahead + keeps + 16 + 24 * packed) * items) * size // 4


def lay(
    kernel: str,
    units: int,
    precision: str,
    rows: int,
    abreast: int,
    threads: int,
    registers: int = MOST_REGISTERS,
    packed: bool = False,
) -> Layout | None:
    """Lay a kernel out on so many threads, or return None where there are more groups of outputs than threads.

    Parameters
    ----------
    kernel : str
    units : int
    precision : str
        Of the products: "float64", "float32", "tf32" or "bfloat16".
    rows, abreast : int
        Sequences of a block, and how many of them meet a weight at once; the latter divides the former.
    threads : int
        Of a block.
    registers : int, default 255
        32-bit registers that a thread may have.
    packed : bool, default False
        Whether two weights of bfloat16 share a register; they have to be unpacked at every step.
    """
    size = 8 if precision == "float64" else 4
    items = -(-rows * units // threads)
    free = max(0, registers - spare(kernel, abreast, items, size, packed)) * 4 // size
    matrices: list[Matrix] = []
    for a, b in KERNELS[kernel][0]:
        inputs, outputs = a * units, b * units
        slices = threads // -(-outputs // FOUR)
        if slices == 0:
            return None
        each = up(-(-inputs // slices), FOUR)
        block = FOUR * FOUR // (2 if packed else 1)
        held = min(each, free // block * FOUR)
        matrix = Matrix(inputs, outputs, -(-inputs // each), each, held, packed)
        free -= matrix.words(held)
        matrices.append(matrix)
    return Layout(kernel, units, precision, rows, abreast, threads, tuple(matrices))


def laid(
    kernel: str, units: int, precision: str, chip: Chip, rows: int, choice: tuple[int, ...], kinds: tuple[bool, ...]
) -> list[Layout]:
    """Return the layouts that leave a thread the registers it needs, whether or not shared memory holds the rest."""
    found = []
    for n in choice:
        most = min(MOST_REGISTERS, chip.registers // n // 8 * 8)
        for packed in kinds:
            each = [lay(kernel, units, precision, rows, a, n, most, packed) for a in ROWS[:3] if a <= rows]
            found += [one for one in each if one and one.needed <= most]
    return found


def kinds_of(precision: str) -> tuple[bool, ...]:
    """Return whether weights may stand in pairs: in bfloat16 they may."""
    return (False, True) if precision == "bfloat16" else (False,)


@cache
def fitting(
    kernel: str, units: int, samples: int, precision: str, chip: Chip, choice: tuple[int, ...] = THREADS
) -> Layout | None:
    """Return the layout of the fewest clock cycles among those that fit a chip, or None where none fits.

    The rows of a block follow from the batch and the number of processors; the slices of the inputs, on which bits
    depend, do not. `choice` says how many threads a block may have.
    """

    def best(rows: int, threads: tuple[int, ...], kinds: tuple[bool, ...]) -> Layout | None:
        fits = [one for one in laid(kernel, units, precision, chip, rows, threads, kinds) if one.shared <= chip.shared]
        return min(fits, key=lambda one: (one.clocks, -one.abreast), default=None)

    found = best(1, choice, kinds_of(precision))
    for rows in ROWS[1:]:
        if found is None or found.rows * chip.processors >= samples:
            break
        found = best(rows, (found.threads,), (found.matrices[0].packed,)) or found
    return found
