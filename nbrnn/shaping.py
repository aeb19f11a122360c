"""Layers that only move numbers within a sample: RepeatVector, Reshape, Permute."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .checks import whole_number
from .graph import Shape
from .layers import ENDS, Backward, Layer, known
from .masking import Mask
from .program import Buffer, Program


class Shaping(Layer):
    """A layer after which steps are others than before, so that it ends its input's mask."""

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Mask | None]:
        if p.masks[0] is not None:
            warnings.warn(f"layer {self.title} ends the mask of its input: {ENDS}", stacklevel=2)
        return [None]


class RepeatVector(Shaping):
    """Make a sequence of a vector, n times the same: (F,) becomes (n, F).

    Parameters
    ----------
    n : int
        How many steps.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If n is no positive whole number; when it is built, if its input is a sequence.
    """

    kind = "repeat_vector"

    def __init__(self, n: int, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.n = whole_number("n", n)

    def config(self) -> dict[str, Any]:
        return super().config() | {"n": self.n}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"layer {self.title} repeats vectors (features,), but its input is {shape}.")
        return (self.n, *shape)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        y = p.buffer(f"{self.name}/y", self.n, *x.shape)
        p.call("repeat_steps", x=x, y=y)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            if not wanted:
                return None
            dx = p.buffer(f"{self.name}/dx", *x.shape)
            p.call("sum_steps", dy=dy, dx=dx)
            return dx

        return y, backward


class Reshape(Shaping):
    """See the numbers of a sample, row by row, in another shape: (6, 2) becomes (4, 3) or (12,).

    Parameters
    ----------
    target_shape : tuple
        (time steps, features) or (features,); one of them may be -1, which stands for what is left.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the shape cannot be one; when it is built, if its input has another number of numbers.
    """

    kind = "reshape"

    def __init__(
        self, target_shape: tuple[int, ...], *, input_shape: Shape | None = None, name: str | None = None
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        given = list(target_shape) if isinstance(target_shape, (tuple, list)) else [target_shape]
        self.target_shape = tuple(n if n == -1 else whole_number("target_shape", n) for n in given)
        if not 1 <= len(given) <= 2 or given.count(-1) > 1:
            raise ValueError(
                f"target_shape must be (time steps, features) or (features,) with at most one -1, not {target_shape!r}."
            )

    def config(self) -> dict[str, Any]:
        return super().config() | {"target_shape": list(self.target_shape)}

    def output_shape(self, shape: Shape) -> Shape:
        target, rest = self.target_shape, math.prod(n for n in self.target_shape if n != -1)
        if None in shape:
            if len(target) == 2 and target[0] == -1:  # how many steps is seen when a sequence comes
                return (None, target[1])
            raise ValueError(
                f"layer {self.title} needs a known number of time steps, but its input is {shape}; or give "
                "target_shape=(-1, features)."
            )
        size = math.prod(known(n) for n in shape)
        if size % rest or (-1 not in target and size != rest):
            raise ValueError(f"layer {self.title} cannot see {shape}, {size} numbers, as {target}.")
        return tuple(size // rest if n == -1 else n for n in target)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        shape = x.shape[1:] if len(x.shape) == 2 else (x.shape[0], x.shape[2])
        after = self.output_shape(shape)
        if None in after or math.prod(shape) != math.prod(known(n) for n in after):
            raise ValueError(f"layer {self.title} cannot see {shape} as {self.target_shape}.")

        def seen_as(v: Buffer, to: Shape, name: str) -> Buffer:
            """Add the calls that see numbers in a shape, by way of a row a sample."""
            rows = v
            if len(v.shape) == 3:
                rows = p.buffer(f"{name} in rows" if len(to) == 2 else name, v.shape[1], v.shape[0] * v.shape[2])
                p.call("flatten", x=v, y=rows)
            if len(to) == 1:
                return rows
            made = p.buffer(name, known(to[0]), rows.shape[0], known(to[1]))
            p.call("flatten_backward", dy=rows, dx=made)
            return made

        y = seen_as(x, after, f"{self.name}/y")
        return y, lambda dy, wanted: seen_as(dy, shape, f"{self.name}/dx") if wanted else None


class Permute(Shaping):
    """Swap the time steps with the features: (T, D) becomes (D, T).

    Parameters
    ----------
    dims : tuple
        (2, 1) swaps them, (1, 2) leaves them as they are.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If dims are others; when it is built, if its input is a vector or its time steps are not known.
    """

    kind = "permute"

    def __init__(self, dims: tuple[int, int], *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        if not isinstance(dims, (tuple, list)) or sorted(map(str, dims)) != ["1", "2"]:
            raise ValueError(f"dims of Permute must be (2, 1) or (1, 2), not {dims!r}.")
        self.dims = tuple(int(n) for n in dims)

    def config(self) -> dict[str, Any]:
        return super().config() | {"dims": list(self.dims)}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or None in shape:
            raise ValueError(f"layer {self.title} needs sequences with a known number of time steps, not {shape}.")
        return tuple(shape[n - 1] for n in self.dims)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        def swapped(v: Buffer, name: str) -> Buffer:
            made = p.buffer(name, v.shape[2], v.shape[1], v.shape[0])
            p.call("swap_axes", x=v, y=made)
            return made

        if self.dims == (1, 2):
            return x, lambda dy, wanted: dy if wanted else None
        y = swapped(x, f"{self.name}/y")
        return y, lambda dy, wanted: swapped(dy, f"{self.name}/dx") if wanted else None
