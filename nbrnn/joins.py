"""Layers that join several values: Concatenate and Add."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from .graph import Shape, Value
from .layers import ENDS, Backward, Backwards, Layer, known
from .masking import Mask, in_time, joined
from .program import Buffer, Program


class Join(Layer):
    """What layers of several inputs share."""

    joins = True

    def output_shape(self, shape: Shape) -> Shape:
        raise ValueError(f"layer {self.title} takes several inputs, so it belongs into an nbrnn.Model, not a chain.")

    def shapes(self, inputs: list[Shape]) -> list[Shape]:
        if len(inputs) < 2:
            raise ValueError(f"layer {self.title} joins values: call it on a list of two or more.")
        if len({len(shape) for shape in inputs}) > 1:
            listed = ", ".join(map(str, inputs))
            raise ValueError(
                f"layer {self.title} cannot join sequences with vectors; its inputs have the shapes {listed}."
            )
        return [self.joined(inputs)]

    def joined(self, inputs: list[Shape]) -> Shape:
        """Return the output's shape for inputs that are all sequences or all vectors."""
        raise NotImplementedError

    def differ(self, what: str, inputs: list[Shape]) -> ValueError:
        """Return what says that the inputs differ where they must not."""
        return ValueError(
            f"layer {self.title} needs inputs with the same {what}; they have the shapes {', '.join(map(str, inputs))}."
        )

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Mask | None]:
        return [joined(p, str(self.name), p.masks)]

    def out(self, p: Program, *shape: int) -> tuple[Buffer, Buffer]:
        """Return the output's buffer, and the same as rows."""
        y = p.buffer(f"{self.name}/y", *shape)
        return y, rows(y)


class Concatenate(Join):
    """Join values on one axis: on the last one every step gains features, on the axis of time a sequence gains steps.

    Parameters
    ----------
    axis : int, default -1
        As in Keras, where axis 0 is that of the samples: -1 the features; 1, of sequences, the time steps.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the axis is not one of these; when it is called, if the inputs do not fit each other.
    """

    kind = "concatenate"

    def __init__(self, axis: int = -1, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        if isinstance(axis, bool) or axis not in (-2, -1, 1, 2):
            raise ValueError(f"axis of Concatenate must be -1 (features) or 1 (time steps), not {axis!r}.")
        self.axis = axis

    def config(self) -> dict[str, Any]:
        return super().config() | {"axis": self.axis}

    def joined(self, inputs: list[Shape]) -> Shape:
        axes = len(inputs[0])
        if not -axes <= self.axis <= axes:
            raise ValueError(f"layer {self.title} has axis={self.axis}, but its inputs are vectors, whose axis is -1.")
        if self._in_time(axes):
            if len({shape[1] for shape in inputs}) > 1:
                raise self.differ("number of features", inputs)
            lengths = [shape[0] for shape in inputs]
            return (None if None in lengths else sum(known(n) for n in lengths), inputs[0][1])
        steps = sorted({n for n in (shape[0] for shape in inputs) if n is not None}) if axes == 2 else []
        if len(steps) > 1:
            raise self.differ("number of time steps", inputs)
        width = sum(known(shape[-1]) for shape in inputs)
        return (width,) if axes == 1 else (steps[0] if steps else None, width)

    def _in_time(self, axes: int) -> bool:
        return axes == 2 and self.axis in (1, -2)

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Mask | None]:
        if not self._in_time(len(inputs[0].shape) - 1):
            return super().out_masks(p, inputs, results)
        return [in_time(p, str(self.name), p.masks, inputs)]

    def lower_all(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        return (self._steps if self._in_time(len(inputs[0].shape) - 1) else self._columns)(p, inputs)

    def _steps(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        """Put sequences one after the other; a gradient's parts are read where they lie."""
        ends = [sum(x.shape[0] for x in inputs[: k + 1]) for k in range(len(inputs))]
        y, _ = self.out(p, ends[-1], *inputs[0].shape[1:])
        places = [slice(end - x.shape[0], end) for x, end in zip(inputs, ends, strict=True)]
        for x, place in zip(inputs, places, strict=True):
            p.call("scaled", x=rows(x), factor=1.0, y=rows(y[place]))
        return [y], lambda dys, wanted: [
            dys[0][place] if yes else None for place, yes in zip(places, wanted, strict=True)
        ]

    def _columns(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        """Put columns side by side."""
        widths = [x.shape[-1] for x in inputs]
        firsts = [sum(widths[:k]) for k in range(len(widths))]
        y, flat = self.out(p, *inputs[0].shape[:-1], sum(widths))
        for x, first in zip(inputs, firsts, strict=True):
            p.call("put_columns", part=rows(x), first=first, W=flat)

        def backward(dys: list[Buffer], wanted: list[bool]) -> list[Buffer | None]:
            found: list[Buffer | None] = []
            for k, (x, first, yes) in enumerate(zip(inputs, firsts, wanted, strict=True)):
                found.append(dx := p.buffer(f"{self.name}/dx_{k}", *x.shape) if yes else None)
                if dx is not None:
                    p.call("take_columns", W=rows(dys[0]), first=first, part=rows(dx))
            return found

        return [y], backward


class Add(Join):
    """Add values of one shape, number by number: a way round layers (a skip connection) ends in it.

    Parameters
    ----------
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        When it is called, if the inputs do not have the same shape.
    """

    kind = "add"

    def joined(self, inputs: list[Shape]) -> Shape:
        wide, steps = {shape[-1] for shape in inputs}, {shape[0] for shape in inputs} - {None}
        if len(wide) > 1 or len(steps) > 1:
            raise self.differ("shape", inputs)
        return (*steps, inputs[0][-1]) if len(inputs[0]) == 2 and steps else inputs[0]

    def lower_all(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        y, flat = self.out(p, *inputs[0].shape)
        p.call("blend", v=rows(inputs[0]), w=rows(inputs[1]), scale=1.0, y=flat)
        for x in inputs[2:]:
            p.call("accumulate", v=rows(x), into=flat)

        def backward(dys: list[Buffer], wanted: list[bool]) -> list[Buffer | None]:
            found: list[Buffer | None] = [None] * len(inputs)
            for k in [k for k, yes in enumerate(wanted) if yes]:
                if not any(found):
                    found[k] = dys[0]
                    continue
                found[k] = dx = p.buffer(f"{self.name}/dx_{k}", *inputs[k].shape)
                p.call("scaled", x=rows(dys[0]), factor=1.0, y=rows(dx))
            return found

        return [y], backward


def rows(x: Buffer) -> Buffer:
    """Return a buffer's numbers as rows of its last axis."""
    return x.reshape(-1, x.shape[-1])


class Flatten(Layer):
    """Put the steps of a sequence side by side: (T, D) becomes (T * D,).

    Parameters
    ----------
    input_shape, name
        As for every layer.
    """

    kind = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        if None in shape:
            raise ValueError(f"layer {self.title} needs a known number of time steps, but its input is {shape}.")
        return (math.prod(known(n) for n in shape),)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        if p.masks and p.masks[0] is not None:
            warnings.warn(f"layer {self.title} ends the mask of its input, as in Keras: {ENDS}", stacklevel=2)
        if len(x.shape) == 2:
            return x, lambda dy, wanted: dy if wanted else None
        steps, samples, features = x.shape
        y = p.buffer(f"{self.name}/y", samples, steps * features)
        p.call("flatten", x=x, y=y)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            if not wanted:
                return None
            dx = p.buffer(f"{self.name}/dx", *x.shape)
            p.call("flatten_backward", dy=dy, dx=dx)
            return dx

        return y, backward


def concatenate(inputs: Sequence[Value], axis: int = -1) -> Value:
    """Return what `Concatenate(axis)` gives for values.

    Parameters
    ----------
    inputs : sequence of Value
    axis : int, default -1

    Returns
    -------
    Value

    Raises
    ------
    ValueError
        If the values do not fit each other on that axis.
    """
    return Concatenate(axis)(inputs)


def add(inputs: Sequence[Value]) -> Value:
    """Return what `Add()` gives for values.

    Parameters
    ----------
    inputs : sequence of Value

    Returns
    -------
    Value

    Raises
    ------
    ValueError
        If the values do not have the same shape.
    """
    return Add()(inputs)
