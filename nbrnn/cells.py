"""Cells from outside the package: a class with two step functions and the names of their arrays is a layer.

What the step functions may call: the products of `kernels/cells.py`, elementary functions, and what Numba compiles.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from . import initializers
from .checks import nearest, real_number, whole_number
from .kernels.abi import dimension
from .kernels.cells import STATE_LETTERS, Steps, add_outer, add_product, add_sum, affine, product
from .kernels.elementary import exp, expm1, log, log1p, magnitude, sigmoid, tanh
from .kernels.lanes import pick, real
from .layers import Backward, Layer, Shape, Weight, check_free, known
from .masking import at_work
from .products import gradient
from .program import Buffer, Program
from .recurrent import Recurrent
from .rehearsal import lengths, rehearse
from .truncation import segments

__all__ = [
    "Cell",
    "add_outer",
    "add_product",
    "add_sum",
    "affine",
    "exp",
    "expm1",
    "log",
    "log1p",
    "magnitude",
    "pick",
    "product",
    "real",
    "sigmoid",
    "tanh",
]

_ARRAY = re.compile(r"(\w+)\[([^\]]*)\](?:=(\w+))?$")
_NUMBER = re.compile(r"(\w+):(int|float)=(\S+)$")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Cell(Recurrent):
    """A recurrent layer of your own: a subclass declares its arrays and has two step functions, `forward`, `backward`.

    Parameters
    ----------
    units : int
        Number of hidden units H.
    return_sequences, return_state, go_backwards, stateful : bool, default False
        As for SimpleRNN.
    zero_output_for_mask : bool, default False
        As for SimpleRNN.
    dropout : float, default 0.0
        Variational dropout of the inputs.
    seed : int, optional
        Of the masks.
    input_shape, name
        As for every layer.
    **numbers
        Those that the subclass declares, by name.

    Attributes
    ----------
    params : str
        The weights, "Wz[D,H] bz[H]"; an initializer follows where the usual one is not meant: "bz[H]=ones". Letters:
        D features, H units, 2H, H+1.
    carry : str
        The states, "h[B,H]" or "h[B,H] c[B,H]"; h is the output.
    tape : str
        What a step keeps for the way back, "z[B,H]"; a trace shows it.
    scratch : str
        What a step of the way back works out, "da[B,H]"; a trace shows it too.
    numbers : str
        Scalars that the layer takes, with their defaults: "leak:float=0.5 order:int=2".

    Raises
    ------
    ValueError
        When the subclass is defined: if a declaration is not understood, the name is taken, or a function takes other
        arguments than declared. When a layer is made: if an argument is wrong. When it is lowered: if a function does
        not do with its arrays what is declared.

    Notes
    -----
    `forward` reads x, h_prev, the weights and the numbers, and writes h and the tape. `backward` may read all of
    these, dh and the transposes Wz_T; it writes dx and dh_prev, and adds to dWz, dbz. They take what they name. See
    docs/custom-cells.md.
    """

    params: ClassVar[str] = ""
    carry: ClassVar[str] = "h[B,H]"
    tape: ClassVar[str] = ""
    scratch: ClassVar[str] = ""
    numbers: ClassVar[str] = ""
    steps: ClassVar[Steps]
    defaults: ClassVar[dict[str, Any]] = {}
    _begins: ClassVar[dict[str, initializers.Initializer]] = {}

    def __init_subclass__(cls) -> None:
        kind = _WORD.sub("_", cls.__name__).lower()
        check_free(cls)
        cls.kind, cls.defaults = kind, dict(_numbers(cls))
        params, carry, tape, scratch = (_arrays(cls, what) for what in ("params", "carry", "tape", "scratch"))
        cls._begins = {
            name: initializers.check(f"cell {cls.__name__}: the initializer of {name}", begin or _usual(dims))
            for name, (dims, begin) in params.items()
        }
        cls.steps = Steps(
            kind,
            cls.__module__,
            _function(cls, "forward"),
            _function(cls, "backward"),
            {name: dims for name, (dims, _) in params.items()},
            {name: type(value).__name__ for name, value in cls.defaults.items()},
            tuple(carry),
            {name: dims for name, (dims, _) in tape.items()},
            {name: dims for name, (dims, _) in scratch.items()},
        )
        cls.states = cls.steps.carry
        _check_names(cls)
        _check_arguments(cls)
        cls.steps.register()
        cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]
        super().__init_subclass__()

    def __init__(
        self,
        units: int,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        zero_output_for_mask: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        input_shape: Shape | None = None,
        name: str | None = None,
        **numbers: float,
    ) -> None:
        if type(self) is Cell:
            raise ValueError("Cell is what cells are made of: make a subclass of it, with forward and backward.")
        flags = (return_sequences, return_state, go_backwards, stateful, zero_output_for_mask)
        nothing = (None, None, None)
        super().__init__(units, None, False, ("zeros",) * 3, flags, nothing, (dropout, 0.0, seed), input_shape, name)
        for key in numbers:
            if key not in self.defaults:
                has = f"; its numbers are {', '.join(self.defaults)}" if self.defaults else ""
                raise ValueError(f"{type(self).__name__} takes no argument {key!r}{nearest(key, self.defaults)}{has}.")
        self.values = {key: _number(key, numbers.get(key, usual), usual) for key, usual in self.defaults.items()}

    def declared(self, shape: Shape) -> list[Weight]:
        sizes = {"D": known(shape[-1]), "H": self.units}
        return [self.weight(n, lengths(dims, sizes), self._begins[n]) for n, dims in self.steps.params.items()]

    def config(self) -> dict[str, Any]:
        own = {"dropout": self.dropout or None, "seed": self.seed}
        own |= {"zero_output_for_mask": self.zero_output_for_mask or None}
        return (
            Layer.config(self)
            | {"units": self.units}
            | {name: getattr(self, name) for name in ("return_sequences", "return_state", "go_backwards", "stateful")}
            | {name: value for name, value in own.items() if value is not None}
            | self.values
        )

    def cell(self, p: Program, x: Buffer, given: bool, *states: Buffer) -> Backward:
        own, kind = self.steps, type(self)
        if "_rehearsed" not in vars(kind):
            rehearse(own, kind.__name__, self.values)
            kind._rehearsed = True  # type: ignore[attr-defined]
        count, samples, features = x.shape
        sizes = {"B": samples, "D": features, "H": self.units}
        params = {name: self._buffer(p, name) for name in own.params}
        keep = count if p.taped else 1
        tape = {name: self.buffer(p, name, keep, *lengths(dims, sizes)) for name, dims in own.tape.items()}
        for state in states:
            p.call("begin", initial=int(given), h=state)
        both = params | self.values | dict(zip(own.carry, states, strict=True)) | tape
        p.call(f"{self.kind}_forward", x=x, **both, **working(p))

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            (first, *others), packing = own.carry, p.packing
            flows: dict[str, Any] = {f"d{first}": dh, f"d{first}0": self.first_gradient(p, given, samples)}
            for name in others:
                flow = last = p.from_last.get(f"{self.name}/{name}")  # becomes that of the first state in place
                if flow is None or packing:
                    flow = self.buffer(p, f"d{name}", samples, self.units)
                if packing:
                    packing.to_rows(p, last, flow)
                elif last is None:
                    p.clear(flow)
                flows[f"d{name}"] = p.aliases[f"{self.name}/d{name}0" + (" in rows" if packing else "")] = flow
            flows |= {f"d{name}_prev": self.buffer(p, f"d{name}_prev", samples, self.units) for name in own.carry}
            for name, dims in own.scratch.items():
                flows[name] = self.buffer(p, name, *lengths(dims, sizes))
            flows |= {f"d{name}": p[gradient(f"{self.name}/{name}")] for name in params}
            turned = {f"{name}_T": self.transposed(p, params[name]) for name in own.turned}
            dx = self.buffer(p, "dx", count if wanted else 1, samples, features)
            every, own_first = dh.shape[0] == count, flows.pop(f"d{first}0")
            for start, stop in segments(p, count, every):
                steps, seen, later = slice(start, stop), slice(start, stop + 1), stop < count
                if later:
                    p.clear(*(flows[f"d{name}"] for name in others))
                part = both | {name: s[seen] for name, s in zip(own.carry, states, strict=True)}
                part |= {name: kept[steps] for name, kept in tape.items()}
                part |= flows | {f"d{first}": dh[steps] if every else dh, "dx": dx[steps] if wanted else dx}
                part |= {f"d{first}0": None if start else own_first, "add_": int(p.adding or later)}
                p.call(f"{self.kind}_backward", x=x[steps], **turned, **part, **working(p, steps))
            if start:
                p.clear(dx[:start] if wanted else None, own_first, *(flows[f"d{name}"] for name in others))
            if packing and wanted:
                rows, dx = dx, self.buffer(p, "dx_steps", *x.shape)
                p.clear(dx)
                p.call("compact", v=rows, alive=packing.alive, rows=rows)
                p.call("unsqueeze", dz=rows, source=packing.source, alive=packing.alive, dx=dx)
            return dx if wanted else None

        return backward

    def transposed(self, p: Program, W: Buffer) -> Buffer:
        """Return the transpose of a weight, made before all shards."""
        turned, new = p.prepared(f"{W.name} turned", *reversed(W.shape))
        if new and p.prepare is not None:
            p.prepare.call("turn_matrix", W=W, turned=turned)
        return turned


def working(p: Program, steps: slice = slice(None)) -> dict[str, Buffer]:
    """Return which rows are at work, as the kernels of cells take it."""
    return {f"{name}_": rows for name, rows in at_work(p, steps).items()}


def _items(cls: type[Cell], what: str) -> list[str]:
    text = getattr(cls, what)
    if not isinstance(text, str):
        raise ValueError(f"cell {cls.__name__}: {what} must be text such as {_EXAMPLES[what]!r}, not {text!r}.")
    return text.split()


_EXAMPLES = {
    "params": "Wz[D,H] bz[H]=ones",
    "carry": "h[B,H] c[B,H]",
    "tape": "z[B,H]",
    "scratch": "da[B,H]",
    "numbers": "leak:float=0.5",
}
_LETTERS = {"params": "DH", "carry": "BH", "tape": "BDH", "scratch": "BDH"}


def _arrays(cls: type[Cell], what: str) -> dict[str, tuple[str, str | None]]:
    """Return what a declaration says: dimensions and initializer by name."""
    found: dict[str, tuple[str, str | None]] = {}
    for item in _items(cls, what):
        match = _ARRAY.match(item)
        problem = f"cell {cls.__name__}: {what} has {item!r}, where an array such as {_EXAMPLES[what].split()[0]!r}"
        if match is None or (match[3] and what != "params"):
            raise ValueError(f"{problem} should stand.")
        name, dims, begin = match.groups()
        for text in dims.split(","):
            try:
                letter = dimension(text)[1]
            except ValueError:
                letter = ""
            if letter not in _LETTERS[what] or not letter:
                raise ValueError(
                    f"{problem} should stand: its lengths are of {', '.join(_LETTERS[what])}, not {text!r}."
                )
        if what == "carry" and dims != "B,H":
            raise ValueError(f"cell {cls.__name__}: a state has the shape [B,H], so not {item!r}.")
        if name in found:
            raise ValueError(f"cell {cls.__name__}: {what} declares {name} twice.")
        found[name] = dims, begin
    if what == "carry" and (next(iter(found), "") != "h" or len(found) > len(STATE_LETTERS)):
        raise ValueError(
            f"cell {cls.__name__}: carry must declare h[B,H], the output, and at most {len(STATE_LETTERS) - 1} states "
            f"more, not {' '.join(_items(cls, what))!r}."
        )
    return found


def _numbers(cls: type[Cell]) -> Iterator[tuple[str, Any]]:
    """Yield the numbers' names and defaults."""
    for item in _items(cls, "numbers"):
        match = _NUMBER.match(item)
        try:
            if match is None:
                raise ValueError
            yield match[1], {"int": int, "float": float}[match[2]](match[3])
        except ValueError:
            raise ValueError(
                f"cell {cls.__name__}: numbers has {item!r}, where a number such as 'leak:float=0.5' should stand."
            ) from None


def _number(name: str, value: Any, usual: Any) -> Any:
    """Return a number of the kind of its default."""
    if isinstance(usual, int):
        return whole_number(name, value, -(2**63))
    return real_number(name, value, -np.inf)


def _usual(dims: str) -> str:
    """Return how a weight usually begins: biases at 0, squares of units orthogonal."""
    if "," not in dims:
        return "zeros"
    return "orthogonal" if dims.split(",", maxsplit=1)[0] == "H" else "glorot_uniform"


def _function(cls: type[Cell], way: str) -> Callable[..., None]:
    function = getattr(cls, way, None)
    if not inspect.isfunction(function):
        raise ValueError(f"cell {cls.__name__} needs the function {way}, which takes a step on arrays.")
    return function


def _check_names(cls: type[Cell]) -> None:
    """Raise ValueError where two arrays, derived ones too, would have one name."""
    own = cls.steps
    taken = {"x": "the input", "dx": "its gradient"}

    def take(name: str, what: str) -> None:
        if not name.isidentifier() or keyword.iskeyword(name) or name.endswith("_"):
            raise ValueError(f"cell {cls.__name__}: {name!r} cannot be the name of {what}.")
        if taken.setdefault(name, what) != what:
            raise ValueError(f"cell {cls.__name__}: {name} would be both {taken[name]} and {what}; name one otherwise.")

    for name in own.carry:
        take(name, f"the state {name}")
        for derived in (f"{name}_prev", f"d{name}", f"d{name}_prev", f"d{name}0"):
            take(derived, f"{derived} of the state {name}")
    for name in own.params:
        take(name, f"the weight {name}")
        take(f"d{name}", f"the gradient of the weight {name}")
        take(f"{name}_T", f"the transpose of the weight {name}")
    for what, names in (("tape", own.tape), ("scratch", own.scratch), ("number", own.numbers)):
        for name in names:
            take(name, f"the {what} {name}")
    arguments = set(inspect.signature(Cell.__init__).parameters)
    for name in own.numbers:
        if name in arguments:
            raise ValueError(f"cell {cls.__name__}: a number cannot be called {name}, as every layer's argument is.")


def _check_arguments(cls: type[Cell]) -> None:
    """Raise ValueError unless the step functions take what is declared."""
    own = cls.steps
    reads = ["x", *(f"{name}_prev" for name in own.carry), *own.params, *own.numbers]
    after = [*own.carry, *own.tape]
    gradients = ["dx", *(f"d{name}_prev" for name in own.carry), *(f"d{name}" for name in own.params)]
    flows = [f"d{name}" for name in own.carry]
    turned = [f"{name}_T" for name, dims in own.params.items() if dims.count(",") == 1]
    ways = {
        "forward": (own.forward, [*reads, *after], [*own.params, *after]),
        "backward": (
            own.backward,
            [*reads, *after, *flows, *turned, *gradients, *own.scratch],
            [*flows, *gradients, *own.scratch],
        ),
    }
    for way, (function, choices, needed) in ways.items():
        arguments = inspect.signature(function).parameters
        for name, argument in arguments.items():
            if argument.kind is not argument.POSITIONAL_OR_KEYWORD or argument.default is not argument.empty:
                raise ValueError(f"cell {cls.__name__}: {way} must take plain arguments, not {str(argument)!r}.")
            if name not in choices:
                raise ValueError(
                    f"cell {cls.__name__}: {way} takes {name!r}, which is not declared{nearest(name, choices)}; "
                    f"it may take {', '.join(choices)}."
                )
        missing = [name for name in needed if name not in arguments]
        if missing:
            raise ValueError(f"cell {cls.__name__}: {way} does not take {', '.join(missing)}, which it has to use.")


def _signature(cls: type[Cell]) -> inspect.Signature:
    """Return the arguments of a cell's layers, its numbers among them."""
    parameters = list(inspect.signature(Cell.__init__).parameters.values())[1:-1]
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter(name, kind, default=value) for name, value in cls.defaults.items()]
    return inspect.Signature([*parameters, *own])
