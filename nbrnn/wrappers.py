"""Layers that hold layers: Bidirectional and TimeDistributed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .checks import one_of
from .described import described, made
from .graph import Shape
from .handed import begun, last_shapes, lower_states
from .joins import rows
from .layers import Backward, Backwards, Layer, Weight, known
from .program import Buffer, Program
from .recurrent import Recurrent, turned

MERGES = ("concat", "sum", "ave", "mul")
SAME = ("return_sequences", "return_state", "stateful")


class Wrapper(Layer):
    """A layer around others, which have names within it: weights are called bidirectional/forward_lstm/kernel."""

    def __init__(self, inner: dict[str, Layer], input_shape: Shape | None, name: str | None) -> None:
        self.inner = inner
        super().__init__(input_shape=input_shape, name=name)

    @property
    def name(self) -> str | None:  # type: ignore[override]
        """The wrapper's name; the layers within it follow."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        for own, layer in self.inner.items():
            layer.name = f"{self.title}/{own}"

    def inner_shape(self, shape: Shape) -> Shape:
        """Return what the layers within see of an input."""
        return shape

    def declared(self, shape: Shape) -> list[Weight]:
        below = self.inner_shape(shape)
        return [replace(w, name=f"{own}/{w.name}") for own, layer in self.inner.items() for w in layer.declared(below)]

    def bind(self, views: dict[str, np.ndarray]) -> None:
        super().bind(views)
        for own, layer in self.inner.items():
            start = f"{own}/"
            layer.bind({name.removeprefix(start): v for name, v in views.items() if name.startswith(start)})

    def leaves(self) -> list[Layer]:
        return [leaf for layer in self.inner.values() for leaf in layer.leaves()]

    def state_names(self) -> list[str]:
        return [name for layer in self.inner.values() for name in layer.state_names()]

    def reset_states(self) -> None:
        """Set the states that stateful layers within carry back to zero."""
        for leaf in self.leaves():
            if isinstance(leaf, Recurrent):
                leaf.reset_states()

    reset_state = reset_states

    def again(self, number: int) -> Layer:
        twin = copy.copy(self)
        twin.inner = {own: layer.again(number) for own, layer in self.inner.items()}
        twin.name = f"{self.name}:{number + 1}"
        return twin

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        inner = {
            key: made(entry)
            for key, entry in config.items()
            if key in ("layer", "backward_layer") and isinstance(entry, dict)
        }
        return super().from_config(config | inner)


def copied(argument: str, layer: Any, name: str, **changes: Any) -> Any:
    """Return a new layer with a layer's configuration; ValueError if it stands in a model, whose weights it has."""
    if not isinstance(layer, Layer):
        raise ValueError(f"{argument} must be a layer such as nbrnn.LSTM(8), not {layer!r}.")
    if layer.owned:
        raise ValueError(f"{argument}: layer {layer.title} stands in a model already; make a new one.")
    return type(layer).from_config(layer.config() | {"name": name, "input_shape": None} | changes)


class Bidirectional(Wrapper):
    """Read a sequence from both ends with two recurrent layers, and merge what they give.

    Parameters
    ----------
    layer : Layer
        A recurrent layer; two are made like it, forward_<name> and backward_<name>, which reads from the end.
    merge_mode : {"concat", "sum", "ave", "mul"} or None
        How the two outputs become one: side by side, their sum, mean or product. None gives both (in an nbrnn.Model).
        With return_sequences those of the backward layer are turned round in time first.
    backward_layer : Layer, optional
        Another recurrent layer for the way back, with `go_backwards` the other way round.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If a layer is not recurrent or the two do not fit each other.

    Notes
    -----
    Weights, in order: the forward layer's, the backward layer's. Source: Schuster & Paliwal 1997.
    """

    kind = "bidirectional"

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        backward_layer: Layer | None = None,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        self.merge_mode = None if merge_mode is None else one_of("merge_mode", merge_mode, MERGES)
        other = layer if backward_layer is None else backward_layer
        if not (isinstance(layer, Recurrent) and isinstance(other, Recurrent)):
            wrong = other if isinstance(layer, Recurrent) else layer
            raise ValueError(f"Bidirectional takes recurrent layers such as nbrnn.LSTM(8), not {wrong!r}.")
        if backward_layer is not None:
            self._check_pair(layer, other)
        self.bases = [one.title.rpartition("/")[2] for one in (layer, other)]
        self.own_backward = backward_layer is not None
        names = [f"{side}_{base}" for side, base in zip(("forward", "backward"), self.bases, strict=True)]
        zeros = {"zero_output_for_mask": layer.return_sequences}  # as in Keras
        inner = {
            names[0]: copied("layer", layer, names[0], **zeros),
            names[1]: copied("backward_layer", other, names[1], go_backwards=not layer.go_backwards, **zeros),
        }
        super().__init__(inner, layer.input_shape if input_shape is None else input_shape, name)

    def _check_pair(self, layer: Recurrent, other: Recurrent) -> None:
        """Raise ValueError unless two layers can go side by side."""
        if layer.go_backwards == other.go_backwards:
            raise ValueError("backward_layer of Bidirectional must have go_backwards the other way round than layer.")
        names = [*SAME, *(["units"] if self.merge_mode in ("sum", "ave", "mul") else [])]
        for name in names:
            ours, theirs = getattr(layer, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(f"layer and backward_layer must have the same {name}, not {ours} and {theirs}.")

    @property
    def both(self) -> tuple[Recurrent, Recurrent]:
        """The forward layer and the backward layer."""
        forward, backward = self.inner.values()
        assert isinstance(forward, Recurrent) and isinstance(backward, Recurrent)
        return forward, backward

    def config(self) -> dict[str, Any]:
        first, second = (described(one, name=base) for one, base in zip(self.both, self.bases, strict=True))
        own = {"layer": first, "merge_mode": self.merge_mode, "backward_layer": second if self.own_backward else None}
        return super().config() | own

    def output_shape(self, shape: Shape) -> Shape:
        if self.merge_mode is None:
            raise ValueError(
                f"layer {self.title} has merge_mode=None and gives two outputs, which a chain cannot take: give a "
                "merge_mode, or build an nbrnn.Model."
            )
        return self.shapes([shape])[0]

    def __call__(self, inputs: Any, initial_state: Any = None) -> Any:
        """Return what the layer gives, and with return_state the forward layer's last states, then the other's."""
        return begun(self, inputs, initial_state)

    def shapes(self, inputs: list[Shape]) -> list[Shape]:
        if len(inputs[0]) != 2:
            raise ValueError(
                f"layer {self.title} needs sequences (time steps, features), but its input is {inputs[0]}."
            )
        first, second = (one.output_shape(inputs[0]) for one in self.both)
        results = [first, second] if self.merge_mode is None else [first]
        if self.merge_mode == "concat":
            results = [(*first[:-1], known(first[-1]) + known(second[-1]))]
        return [*results, *last_shapes(self, self.both, inputs[1:])]

    def lower_all(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        return lower_states(p, self.both, inputs, lambda x: self._lower(p, x))

    def _lower(self, p: Program, x: Buffer) -> tuple[list[Buffer], Backwards]:
        (y, z), (back, back_too) = zip(*(one.lower(p, x) for one in self.both), strict=True)
        if self.both[0].return_sequences:
            z = turned(p, z, f"{self.name}/turned")
        results, split = self._merged(p, y, z)

        def backward(dys: list[Buffer], wanted: list[bool]) -> list[Buffer | None]:
            dy, dz = split(dys)
            if self.both[0].return_sequences:
                dz = turned(p, dz, f"{self.name}/dy_turned")
            dx, more = back(dy, wanted[0]), back_too(dz, wanted[0])
            if dx is not None and more is not None:
                p.call("accumulate", v=rows(more), into=rows(dx))
            return [dx]

        return results, backward

    def _merged(
        self, p: Program, y: Buffer, z: Buffer
    ) -> tuple[list[Buffer], Callable[[list[Buffer]], tuple[Buffer, Buffer]]]:
        """Return the outputs, and what splits their gradients into those of y and z."""
        mode, flat = self.merge_mode, {"v": rows(y), "w": rows(z)}
        if mode is None:
            return [y, z], lambda dys: (dys[0], dys[1])
        width = y.shape[-1] + (z.shape[-1] if mode == "concat" else 0)
        merged = p.buffer(f"{self.name}/y", *y.shape[:-1], width)
        places = ((y, 0), (z, y.shape[-1]))
        scale = 0.5 if mode == "ave" else 1.0
        if mode == "concat":
            for part, first in places:
                p.call("put_columns", part=rows(part), first=first, W=rows(merged))
        elif mode == "mul":
            p.call("multiply", **flat, y=rows(merged))
        else:
            p.call("blend", **flat, scale=scale, y=rows(merged))

        def split(dys: list[Buffer]) -> tuple[Buffer, Buffer]:
            dy, dz = (p.buffer(f"{self.name}/dy_{side}", *one.shape) for side, one in (("forward", y), ("backward", z)))
            for part, (other, first) in zip((dy, dz), ((z, 0), (y, y.shape[-1])), strict=True):
                if mode == "concat":
                    p.call("take_columns", W=rows(dys[0]), first=first, part=rows(part))
                elif mode == "mul":
                    p.call("multiply", v=rows(dys[0]), w=rows(other), y=rows(part))
                else:
                    p.call("scaled", x=rows(dys[0]), factor=scale, y=rows(part))
            return dy, dz

        return [merged], split


class TimeDistributed(Wrapper):
    """Apply a layer to every time step by itself.

    Dense, Activation and Softmax take sequences step by step without it too.

    Parameters
    ----------
    layer : Layer
        One that takes vectors and has no time of its own: Dense, Activation, Softmax, Flatten.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the layer is recurrent, wraps others or takes several inputs; when it is built, if its input is a vector.
    """

    kind = "time_distributed"

    def __init__(self, layer: Layer, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        if isinstance(layer, (Recurrent, Wrapper)) or getattr(layer, "joins", False):
            raise ValueError(
                f"layer of TimeDistributed must take vectors, as Dense does; {type(layer).__name__} does not."
            )
        base = layer.title.rpartition("/")[2] if isinstance(layer, Layer) else ""
        inner = copied("layer", layer, base)
        super().__init__({base: inner}, input_shape, name)

    @property
    def layer(self) -> Layer:
        """The layer that every step goes through."""
        return next(iter(self.inner.values()))

    def config(self) -> dict[str, Any]:
        return super().config() | {"layer": described(self.layer, name=next(iter(self.inner)))}

    def inner_shape(self, shape: Shape) -> Shape:
        return shape[1:]

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"layer {self.title} needs sequences (time steps, features), but its input is {shape}.")
        below = self.layer.output_shape(shape[1:])
        if len(below) != 1:
            raise ValueError(f"layer {self.title} makes a sequence {below} of every step; it must make a vector.")
        return (shape[0], *below)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        flat, back = self.layer.lower(p, rows(x))

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            dx = back(rows(dy), wanted)
            return None if dx is None else dx.reshape(*x.shape)

        return flat.reshape(*x.shape[:-1], flat.shape[-1]), backward
