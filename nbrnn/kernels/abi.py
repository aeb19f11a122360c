"""How a kernel is declared, and how its arrays are carved out of the blocks.

A kernel is a plain function on arrays. Its specification names the arguments in order, inputs before the arrow:

    "x[T,B,D] Wx[D,H] b[H]? activation:int -> h[T+1,B,H]"

`?` marks an array that may be absent (it then has size 0), `:int` and `:float` scalars, `:f8` and `:i8` arrays that
are float64 (complex128 where the model is) and int64 whatever the model's dtype, `!` an output that is read first too.
One specification serves the shape checks, the printed program and the carving; nothing is declared twice.

A row of a program holds, for an array, (block, offset, dimensions...), and for a scalar its 64 bits. A target calls
`kernel(*carve(blocks, row, specification))`, where `blocks` is a table of base addresses.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

from .linking import Helper, Outermost

# Words of the control block: where a shard stands. The runner writes them, kernels read them.
POSITION, BATCH, SHARDS, STEP, EPOCH, SEED, STATUS = range(7)
CONTROL_WORDS = 8

# error_model: a division that may raise stops vectorisation. No fastmath: the same bits compiled or loaded from cache.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
# What returns arrays counts their references; other helpers do not (nrt): views of blocks own nothing, and every row
# that a loop looks at would be counted. No wrappers: a helper is not called from Python.
VIEWING: dict[str, Any] = OPTIONS | {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "forceinline": True,
    "pipeline_class": Helper,
}
BARE: dict[str, Any] = VIEWING | {"_nrt": False, "forceinline": False}
INLINED: dict[str, Any] = VIEWING | {"_nrt": False}
jit = njit(**BARE)
_outermost = njit(**INLINED | {"pipeline_class": Outermost})
inlined = njit(**INLINED)  # for what is called in an inner loop: a call with arrays costs 30 ns


def overloaded(
    function: Callable[..., Any], strict: bool = True, elsewhere: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Give a function its native twin: a helper for kernels on the CPU, an ordinary function for other targets.

    `elsewhere` gives the twin for other targets, where that is another one.
    """

    def register(typing: Callable[..., Any]) -> None:
        overload(function, jit_options=OPTIONS, strict=strict)(elsewhere or typing)
        overload(function, jit_options=INLINED, strict=strict, target="cpu")(typing)

    return register


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a plain function a helper, too."""
    overloaded(function, strict=False)(lambda *args: function)
    return function


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel: an array (`dims` is a tuple) or a scalar (`dims` is None)."""

    name: str
    dims: tuple[str, ...] | None
    kind: str  # "model", "f8", "i8" for arrays; "int", "float" for scalars
    optional: bool
    read: bool
    written: bool

    @property
    def words(self) -> int:
        """Number of words in a program's row."""
        return 1 if self.dims is None else 2 + len(self.dims)


@dataclass(frozen=True, eq=False)  # one that is defined anew is another one
class Kernel:
    """A kernel's name, specification and function, with its count of floating-point operations."""

    name: str
    spec: str
    function: Callable[..., None]
    flops: Callable[[dict[str, int]], int]
    packaged: bool = True  # from this package: its helpers are covered by the cache key
    arguments: tuple[Argument, ...] = field(default=())
    module: str = __name__  # that it comes from


_ITEM = re.compile(r"(!?)(\w+)(?:\[([\w+,]*)\](\??)(?::(f8|i8))?|:(int|float))$")
_DIM = re.compile(r"(\d*)([A-Z])(?:\+(\d+))?$")


def parse(spec: str) -> tuple[Argument, ...]:
    """Read a specification.

    Raises
    ------
    ValueError
        If an item of the specification is not understood.
    """
    arguments = []
    before, _, after = spec.partition("->")
    for text, written in ((before, False), (after, True)):
        for item in text.split():
            match = _ITEM.match(item)
            if match is None:
                raise ValueError(f"the kernel specification {spec!r} has an item that is not understood: {item!r}")
            both, name, dims, optional, kind, scalar = match.groups()
            arguments.append(
                Argument(
                    name,
                    None if scalar else tuple(dims.split(",")),
                    scalar or kind or "model",
                    bool(optional),
                    not written or bool(both),
                    written,
                )
            )
    return tuple(arguments)


def dimension(text: str) -> tuple[int, str, int]:
    """Read a length such as T, T+1 or 4H: (factor, letter, extra)."""
    match = _DIM.match(text)
    if match is None:
        raise ValueError(f"a kernel's dimension must look like T, T+1 or 4H, not {text!r}.")
    factor, letter, extra = match.groups()
    return int(factor or 1), letter, int(extra or 0)


KERNELS: dict[str, Kernel] = {}


def kernel(
    spec: str, flops: Callable[[dict[str, int]], int] = lambda d: 0, twice: bool = True
) -> Callable[[Callable[..., None]], Any]:
    """Register a function on arrays as a kernel; its parameters are the specification's names, in order.

    Parameters
    ----------
    spec : str
    flops : callable, optional
        Takes the sizes of the letters and returns the number of floating-point operations of a call.
    twice : bool, default True
        Whether it is optimised before its arrays' addresses are known, too: tiny layers gain by that, but for kernels
        with gates, which cost the most time to compile.

    Raises
    ------
    ValueError
        If the specification is not understood, the function's parameters are others, or another module has a kernel
        of its name.
    """

    def register(function: Callable[..., None]) -> Any:
        arguments = parse(spec)
        names = tuple(a.name for a in arguments)
        if names != tuple(inspect.signature(function).parameters):
            raise ValueError(f"kernel {function.__name__}: its parameters are not the specification's names {names}")
        for argument in arguments:
            for text in argument.dims or ():
                dimension(text)
        name, module = function.__name__, function.__module__
        if name in KERNELS and KERNELS[name].module != module:
            raise ValueError(f"the kernel {name} of {module} has the name of one of {KERNELS[name].module}; rename it.")
        packaged = module.startswith("nbrnn.kernels.")
        KERNELS[name] = Kernel(
            name, spec, (_outermost if twice else inlined)(function), flops, packaged, arguments, module
        )
        return njit(**OPTIONS)(function)  # for calls from Python, compiled only if there are any

    return register


def carve(blocks: Any, row: Any, spec: str) -> tuple[Any, ...]:
    """Return the arguments of a kernel as a tuple of arrays and scalars (plain Python; the native twin is below)."""
    values: list[Any] = []
    real = np.empty(0, blocks[0].dtype).real.dtype.type
    k = 0
    for argument in parse(spec):
        if argument.dims is None:
            value = np.int64(row[k])
            values.append(real(value.view(np.float64)) if argument.kind == "float" else int(value))
        else:
            shape = tuple(int(n) for n in row[k + 2 : k + argument.words])
            start, size = int(row[k + 1]), int(np.prod(shape))
            values.append(blocks[row[k]][start : start + size].reshape(shape))
        k += argument.words
    return tuple(values)


def _pointer(element: Callable[[Any], Any]) -> Any:
    """Make the intrinsic that gives the address of an element of a block, as a pointer to `element(model dtype)`."""

    @intrinsic
    def pointer(typingctx, blocks, block, offset):  # type: ignore[no-untyped-def]
        target = types.CPointer(element(blocks.dtype.dtype))

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kind = context.get_value_type(target)
            bases = builder.bitcast(args[0], kind.as_pointer())
            return builder.gep(builder.load(builder.gep(bases, [args[1]])), [args[2]])

        return target(blocks, types.int64, types.int64), codegen

    return pointer


POINTERS = {
    "model": _pointer(lambda dtype: dtype),
    "f8": _pointer(lambda dtype: types.complex128 if dtype == types.complex128 else types.float64),
    "i8": _pointer(lambda dtype: types.int64),
}


@intrinsic
def _scalar(typingctx, blocks, bits):  # type: ignore[no-untyped-def]
    """Read 64 bits as a float64, rounded to the model's real dtype."""
    real = types.float32 if blocks.dtype.dtype == types.float32 else types.float64

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        value = builder.bitcast(args[1], ir.DoubleType())
        return builder.fptrunc(value, ir.FloatType()) if real == types.float32 else value

    return real(blocks, types.int64), codegen


@overload(carve, jit_options=VIEWING, prefer_literal=True)
def _carve(blocks, row, spec):  # type: ignore[no-untyped-def]
    """Unroll the specification into one tuple of views; `carray` from a pointer counts no references."""
    if not isinstance(spec, types.StringLiteral):
        return None
    items, k = [], 0
    for argument in parse(spec.literal_value):
        if argument.dims is None:
            items.append(f"scalar(blocks, row[{k}])" if argument.kind == "float" else f"row[{k}]")
        else:
            shape = "".join(f"row[{k + 2 + d}], " for d in range(len(argument.dims)))
            items.append(f"carray({argument.kind}(blocks, row[{k}], row[{k + 1}]), ({shape}))")
        k += argument.words
    scope: dict[str, Any] = {"carray": carray, "scalar": _scalar, **POINTERS}
    exec(f"def implementation(blocks, row, spec):\n    return ({', '.join(items)},)\n", scope)
    return scope["implementation"]
