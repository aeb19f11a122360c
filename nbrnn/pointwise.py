"""Layers without weights that map numbers: Activation and Softmax."""

from __future__ import annotations

from typing import Any

from .checks import one_of
from .graph import Shape
from .joins import rows
from .kernels.activations import ACTIVATIONS
from .layers import SOFTMAX, Backward, Layer
from .program import Buffer, Program


class Pointwise(Layer):
    """A layer whose output has its input's shape, and whose gradient follows from its output."""

    def kernels(self) -> tuple[str, str, dict[str, int]]:
        """Return the kernels forward and backward, and their arguments."""
        raise NotImplementedError

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        forward, backwards, own = self.kernels()
        y = p.buffer(f"{self.name}/y", *x.shape)
        p.call(forward, x=rows(x), y=rows(y), **own)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            if not wanted:
                return None
            dx = p.buffer(f"{self.name}/dx", *x.shape)
            result = "da" if own else "dx"
            p.call(backwards, y=rows(y), dy=rows(dy), **own, **{result: rows(dx)})
            return dx

        return y, backward


class Activation(Pointwise):
    """Apply an activation to every number; "softmax" goes over the last axis.

    Parameters
    ----------
    activation : str
        One of linear, tanh, sigmoid, relu, softsign, elu, hard_sigmoid, softmax.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the name is unknown.
    """

    kind = "activation"

    def __init__(self, activation: str, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.activation = one_of("activation", activation, (*ACTIVATIONS, SOFTMAX))

    def kernels(self) -> tuple[str, str, dict[str, int]]:
        if self.activation == SOFTMAX:
            return "softmax", "softmax_backward", {}
        return "activation_forward", "activation_backward", {"activation": ACTIVATIONS.index(self.activation)}

    def config(self) -> dict[str, Any]:
        return super().config() | {"activation": self.activation}


class Softmax(Pointwise):
    """Turn the last axis into shares that sum to 1: y_j = exp(x_j) / sum_k exp(x_k).

    Parameters
    ----------
    axis : int, default -1
        The last axis; no other is supported.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the axis is not -1.
    """

    kind = "softmax"

    def __init__(self, axis: int = -1, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        super().__init__(input_shape=input_shape, name=name)
        if isinstance(axis, bool) or axis != -1:
            raise ValueError(f"axis of Softmax must be -1, the features, not {axis!r}.")
        self.axis = -1

    def kernels(self) -> tuple[str, str, dict[str, int]]:
        return "softmax", "softmax_backward", {}

    def config(self) -> dict[str, Any]:
        return super().config() | {"axis": self.axis}
