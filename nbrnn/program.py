"""A program: buffers in blocks and a table of kernel calls over them. It holds no pointer and nothing of a target.

Layers, losses and optimizers write a program (they are *lowered* to it); a target runs it. Shapes are checked here,
once, when a call is added, so that kernels need not check anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .checks import nearest
from .kernels import KERNELS
from .kernels.abi import Argument, dimension
from .listing import program_text
from .memory import Memory, NotEnoughMemoryError, in_words

ALIGNMENT = 64  # bytes: one cache line, and one AVX-512 register

# Whose a block is: shared by all shards of a batch, private to each, or the caller's own array.
SHARED, PRIVATE, FOREIGN = "shared", "private", "foreign"


class _Blocks(dict[str, Any]):
    """By a block's name; of several inputs or outputs the later ones are named x:1, x:2 ... and numbered last."""

    def __missing__(self, name: str) -> Any:
        kind, _, number = name.partition(":")
        if not number:
            raise KeyError(name)
        return self[kind] if self is BLOCKS else len(self) + len(LAST) * (int(number) - 1) + LAST.index(kind)


BLOCKS = _Blocks({
    "params": ("model", SHARED),
    "grads": ("model", PRIVATE),
    "slots": ("model", SHARED),
    "packed": ("model", SHARED),
    "work": ("model", PRIVATE),
    "stats": ("f8", PRIVATE),
    "hyper": ("f8", SHARED),
    "control": ("i8", PRIVATE),
    "order": ("i8", FOREIGN),
    "initial": ("model", FOREIGN),
    "final": ("model", FOREIGN),
    "carried": ("model", FOREIGN),
    "directions": ("model", FOREIGN),
    "x": ("model", FOREIGN),
    "y": ("model", FOREIGN),
    "output": ("model", FOREIGN),
    "sample_weights": ("model", FOREIGN),
    "mask": ("model", FOREIGN),
})  # fmt: skip
AS_THEY_STAND = ("order", "x", "y", "sample_weights", "mask")  # arrays of one buffer, which end where they end
LAST = ("x", "y", "sample_weights", "output", "mask")  # of which there may be several
BLOCK_NUMBERS = _Blocks({name: number for number, name in enumerate(BLOCKS)})


def dtype_of(block: str, dtype: np.dtype) -> np.dtype:
    """Return the dtype of a block's numbers; "f8" grows to complex128 where the model is complex."""
    kind = BLOCKS[block][0]
    return dtype if kind == "model" or (kind == "f8" and dtype.kind == "c") else np.dtype(kind)


def numbered(block: str, number: int) -> str:
    """Return the name of a foreign block for one of several arrays: x, x:1, x:2 and so on."""
    return f"{block}:{number}" if number else block


class Weights:
    """Counts the changes of any model's weights: what is packed from them is packed again after a change alone."""

    changes = 0


@dataclass(frozen=True)
class Buffer:
    """A named array: `shape` elements from `offset` on in a block, C-contiguous."""

    name: str
    block: str
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def kind(self) -> str:
        """What its elements are: "model" (the program's dtype), "f8" or "i8"."""
        return BLOCKS[self.block][0]

    def reshape(self, *shape: int) -> Buffer:
        """Return the same elements in another shape; one length may be -1."""
        if -1 in shape:
            known = math.prod(n for n in shape if n != -1)
            shape = tuple(self.size // known if n == -1 else n for n in shape)
        if math.prod(shape) != self.size:
            raise ValueError(f"buffer {self.name} of shape {self.shape} cannot be seen as {shape}.")
        return replace(self, shape=tuple(shape))

    def __getitem__(self, part: slice | int) -> Buffer:
        """Return a part along the first axis."""
        row = self.size // self.shape[0]
        if isinstance(part, slice):
            start, stop, step = part.indices(self.shape[0])
            if step != 1:
                raise ValueError(f"a buffer can be cut in steps of 1 only, not {step}.")
            return replace(self, offset=self.offset + start * row, shape=(max(0, stop - start), *self.shape[1:]))
        index = range(self.shape[0])[part]
        return replace(self, offset=self.offset + index * row, shape=self.shape[1:])

    def __str__(self) -> str:
        return f"{self.name}({','.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Call:
    """One kernel call: its arguments by name, and the sizes that the specification's letters stand for."""

    kernel: str
    arguments: dict[str, Buffer | int | float | None]
    dims: dict[str, int]
    layer: str = ""  # that added it, if any did

    @property
    def flops(self) -> int:
        """Floating-point operations, by the kernel's own count."""
        return KERNELS[self.kernel].flops(self.dims)

    def buffers(self, written: bool) -> Iterator[Buffer]:
        """Yield the buffers that the call writes, or those that it reads."""
        for argument in KERNELS[self.kernel].arguments:
            value = self.arguments.get(argument.name)
            if isinstance(value, Buffer) and (argument.written if written else argument.read):
                yield value

    def row(self) -> list[int]:
        """Return the call as int64 words; an absent array has no elements."""
        words: list[int] = []
        for argument in KERNELS[self.kernel].arguments:
            value = self.arguments.get(argument.name)
            if isinstance(value, Buffer):
                words += [BLOCK_NUMBERS[value.block], value.offset, *value.shape]
            elif value is None:
                words += [0] * argument.words
            elif argument.kind == "float":
                words.append(int(np.float64(value).view(np.int64)))
            else:
                words.append(int(value))
        return words


@dataclass
class Layout:
    """Where named buffers stand in the blocks; several programs may share one (params, slots)."""

    itemsize: int
    buffers: dict[str, Buffer] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, shape: tuple[int, ...], block: str) -> Buffer:
        """Place a new buffer: at the next cache line of its block, but for small weights."""
        if name in self.buffers:
            raise ValueError(f"the program has a buffer {name} already.")
        line = ALIGNMENT // min(4, self.itemsize)  # as many elements for every dtype: whole vectors
        size, end = math.prod(shape), self.sizes.get(block, 0)
        # Small weights share a line: an optimizer then has fewer lines to go over.
        step = line if size >= line or block not in ("params", "grads") else 1
        buffer = Buffer(name, block, -(-end // step) * step, tuple(shape))
        exact = step == 1 or block.partition(":")[0] in AS_THEY_STAND
        self.sizes[block] = buffer.offset + (size if exact else -(-size // line) * line)
        self.buffers[name] = buffer
        return buffer


@dataclass(frozen=True)
class Options:
    """What a program does beyond its mode. Recurrent states are named layer/h and layer/c."""

    tape: bool = False  # keep every intermediate number
    input_gradient: bool = False  # dL/dx in the buffer "x gradient", dL/dh_0 in layer/dh0
    given: bool = False  # the first states come from the block "initial", a row a sample
    kept: bool = False  # the last states go to the block "final", a row a sample
    projected: bool = False  # the last states join the loss, projected on the block "directions"
    streamed: bool = False  # one step, run many times between two changes of the weights
    threads: int = 0  # that run the shards, where no sum goes over them and so no bit depends on their cut
    training: bool | None = None  # whether dropout drops; None: in a training only
    sampled: bool = False  # a prediction in which dropout drops: the epoch counts the draws
    truncate: int = 0  # steps over which the gradient of a state goes back; 0: all
    device: str = "cpu"  # that runs it: on "cuda" a batch is one shard, and nothing is packed


class Program:
    """A list of buffers and calls for one shard of a batch.

    Parameters
    ----------
    dtype : numpy.dtype
        float32, float64 or complex128 (the last in gradient checks only).
    samples : int
        Number of samples of the shard; 0 for a program that no sample enters (an optimizer's step).
    layout : Layout
        The buffers that exist already: parameters, gradients, slots.
    title : str
        What it does, for the printed table.
    batch : int
        Number of samples of a whole batch; that of the shard if it is not given.
    options : Options
    prepare : Program, optional
        What has to be done once, before the shards of a batch, or before all batches where no weight changes: its
        calls do not depend on one another. A new one if it is not given.
    """

    def __init__(
        self,
        dtype: np.dtype,
        samples: int,
        layout: Layout,
        title: str,
        batch: int | None = None,
        options: Options = Options(),
        prepare: Program | None = None,
    ) -> None:
        self.prepare = prepare
        self.dtype, self.samples, self.title = np.dtype(dtype), samples, title
        self.batch, self.options = samples if batch is None else batch, options
        self.adding = False  # whether weight gradients are added to those of another call of the layer
        self.taped = True  # whether what a backward pass needs is kept
        self.training = False  # whether dropout drops
        self.layer = ""  # that is adding calls
        self.target: Callable[[], Buffer] | None = None  # gives the target of that layer's output, if it has one
        self.memory: Memory | None = None  # what a whole batch needs, where a plan knows it
        self.path_of: Callable[[Call], str] | None = None  # how a call is run, where not as on the CPU
        self.every_batch = False  # whether `prepare` runs before each batch
        self.aliases: dict[str, Buffer] = {}  # second names
        self.last: dict[str, Buffer] = {}  # the recurrent layers' last states, by name
        self.from_last: dict[str, Buffer] = {}  # and what reaches their gradients from outside
        self.handed: dict[str, Buffer] = {}  # the first ones, where another layer gives them
        self.masks: list[Any] = []  # of the inputs of the layer that is being lowered
        self.mask_of: dict[int, Any] = {}  # by value
        self.feeds: dict[str, Any] = {}  # how the users' arrays lie, by the buffer that holds the shard's part
        self.packings: dict[Any, Any] = {}  # of masks, by mask and direction
        self.packing: Any = None  # of the recurrent layer whose calls are added
        self.masked: tuple[bool, ...] = ()  # for each output, whether its loss sees a mask
        self.layout = Layout(self.dtype.itemsize, dict(layout.buffers), dict(layout.sizes))
        self.calls: list[Call] = []

    def buffer(self, name: str, *shape: int, block: str = "work") -> Buffer:
        """Add a buffer."""
        return self.layout.add(name, shape, block)

    def scratch(self, name: str, *shape: int) -> Buffer:
        """Return a buffer that several calls use in turn, added by the first of them; none needs more than that one."""
        return self.layout.buffers[name][: shape[0]] if name in self.layout.buffers else self.buffer(name, *shape)

    def prepared(self, name: str, *shape: int) -> tuple[Buffer, bool]:
        """Return a buffer that `prepare` fills, and whether it is new, so that its calls have yet to be added."""
        if self.prepare is None:
            self.prepare = Program(self.dtype, 0, Layout(self.layout.itemsize), f"{self.title}, before a batch")
        new = name not in self.prepare.layout.buffers
        made = self.prepare.buffer(name, *shape, block="packed") if new else self.prepare[name]
        self.prepare.layer = self.layer
        self.layout.buffers[name] = made
        self.layout.sizes["packed"] = self.prepare.layout.sizes["packed"]
        return made, new

    def __getitem__(self, name: str) -> Buffer:
        return self.layout.buffers.get(name) or self.aliases[name]

    def call(self, kernel: str, /, **arguments: Buffer | int | float | None) -> None:
        """Add a call; its arguments are checked against the kernel's specification.

        Raises
        ------
        ValueError
            If there is no such kernel; if an argument is missing, unknown, of another kind, or its shape contradicts
            another argument's.
        """
        if kernel not in KERNELS:
            raise ValueError(f"there is no kernel {kernel!r}{nearest(kernel, KERNELS)}.")
        entry = KERNELS[kernel]
        dims: dict[str, int] = {}
        unknown = set(arguments) - {a.name for a in entry.arguments}
        if unknown:
            raise ValueError(f"kernel {kernel} takes no argument {', '.join(sorted(unknown))}.")
        for argument in entry.arguments:
            value = arguments.get(argument.name)
            if argument.dims is None:
                if not isinstance(value, (int, float, np.integer, np.floating)):
                    raise ValueError(f"kernel {kernel} needs the number {argument.name}, not {value!r}.")
            elif isinstance(value, Buffer):
                self._check(kernel, argument, value, dims)
            elif value is not None or not argument.optional:
                raise ValueError(f"kernel {kernel} needs a buffer for {argument.name}, not {value!r}.")
        self.calls.append(Call(kernel, arguments, dims, self.layer))

    def clear(self, *buffers: Buffer | None) -> None:
        """Add the calls that set buffers to zero."""
        for buffer in buffers:
            if buffer is not None:
                self.call("begin", initial=0, h=buffer.reshape(1, -1, buffer.shape[-1]))

    @staticmethod
    def _check(kernel: str, argument: Argument, buffer: Buffer, dims: dict[str, int]) -> None:
        assert argument.dims is not None
        wanted = ",".join(argument.dims)
        problem = f"kernel {kernel} wants {argument.name}[{wanted}], but {buffer.name} has shape {buffer.shape}"
        if buffer.kind != argument.kind:
            raise ValueError(f"{problem} and holds {buffer.kind} numbers, not {argument.kind}.")
        if len(buffer.shape) != len(argument.dims):
            raise ValueError(f"{problem}.")
        for text, length in zip(argument.dims, buffer.shape, strict=True):
            factor, letter, extra = dimension(text)
            size, rest = divmod(length - extra, factor)
            if rest or dims.setdefault(letter, size) != size:
                raise ValueError(f"{problem}, and {letter} is {dims.get(letter, 'a whole number')} elsewhere.")

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each block, for one shard."""
        return {block: size * dtype_of(block, self.dtype).itemsize for block, size in self.layout.sizes.items()}

    def bytes_of(self, buffer: Buffer) -> int:
        """Return the bytes of a buffer."""
        return buffer.size * dtype_of(buffer.block, self.dtype).itemsize

    def __str__(self) -> str:
        return program_text(self)


def aligned(shape: int | tuple[int, ...], dtype: np.dtype | type | str, zero: bool = True) -> np.ndarray:
    """Return zeros that begin at a cache line; without `zero`, whatever stands there.

    Raises
    ------
    NotEnoughMemoryError
        If the system does not give so much memory.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    nbytes = size * dtype.itemsize
    try:
        raw = (np.zeros if zero else np.empty)(nbytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: more than addresses can count
        raise NotEnoughMemoryError(
            f"{in_words(nbytes)} of memory could not be had, for an array of shape {shape} in {dtype.name}: make "
            "batch_size, the time steps or the layers' units smaller.",
            nbytes,
        ) from error
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes].view(dtype).reshape(shape)


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """Return a copy that begins at a cache line."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy
