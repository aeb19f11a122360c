"""Layers: weights, shapes, and how they lower themselves to kernel calls. They compute nothing.

Shapes as users see them leave the batch out: (T, D) for sequences, (F,) for vectors. Inside a program sequences are
time-major, (T, B, D), and vectors (B, F).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import initializers, regularizers
from .checks import flag, one_of, whole_number
from .kernels.activations import ACTIVATIONS, LINEAR
from .kernels.gemm import DEPTH, PANELS, TALL
from .kernels.tile import ROWS, VECTOR_BYTES
from .program import ALIGNMENT, Buffer, Program, Weights
from .regularizers import Regularizer
from .series import real_array

Shape = tuple[int | None, ...]
FEW, SMALL_SIZE = 8, 64  # rows or columns, and numbers, up to which a matrix is read as it stands
PAGE_PART = 1024  # bytes: rows that are a multiple of it apart share a part of the first cache
PARTS = 4  # calls that pack one matrix
LARGE = 4096  # numbers from which packing costs less than walking over the rows of a wide matrix
# Takes dL/dy and whether dL/dx is wanted; adds the calls of the backward pass and returns dL/dx.
Backward = Callable[[Buffer, bool], Buffer | None]


@dataclass(frozen=True)
class Weight:
    """A trainable array of a layer, by Keras' name."""

    name: str
    shape: tuple[int, ...]
    initializer: str
    ones: slice | None = None  # entries that begin at 1 whatever the initializer
    regularizer: Regularizer | None = None


LAYERS: dict[str, type[Layer]] = {}  # by class name; a subclass is entered when it is defined


class Layer:
    """What all layers share: a name, an optional input shape, and weights once a model has built them.

    Parameters
    ----------
    input_shape : tuple, optional
        On the first layer of a model: the shape of one sample, (T, D) or (F,).
    name : str, optional
        Unique within a model; given by the model where it is not given here.
    """

    kind = "layer"

    def __init_subclass__(cls) -> None:
        LAYERS[cls.__name__] = cls

    def __init__(self, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        self.name = name
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        self.views: dict[str, np.ndarray] | None = None  # into the model's block of parameters
        self.owned = False  # by a model
        self.regularizers: dict[str, Regularizer] = {}  # by the argument's name

    def weights(self, shape: Shape) -> list[Weight]:
        """Return the layer's weights for an input shape, in Keras' order."""
        return []

    def weight(self, name: str, shape: tuple[int, ...], initializer: str, ones: slice | None = None) -> Weight:
        """Return a weight with its regularizer: kernel_regularizer, recurrent_regularizer or bias_regularizer."""
        role = name.partition("_")[0]
        return Weight(name, shape, initializer, ones, self.regularizers.get(f"{role}_regularizer"))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one output sample.

        Raises
        ------
        ValueError
            If the layer cannot take inputs of this shape.
        """
        return shape

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        """Add the calls of the forward pass; return the output and what adds those of the backward pass."""
        raise NotImplementedError

    def state_names(self) -> list[str]:
        """Return the names of the states that the layer carries from step to step."""
        return []

    def config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        config: dict[str, Any] = {"name": self.name}
        if self.input_shape is not None:
            config["input_shape"] = list(self.input_shape)
        return config | {name: given.described() for name, given in self.regularizers.items()}

    def regularize(self, **arguments: Any) -> None:
        """Take over penalties on weights, given by name, as an object or not at all."""
        for name, value in arguments.items():
            regularizer = regularizers.get(name, value)
            if regularizer is not None:
                self.regularizers[name] = regularizer

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the layer's weights, in Keras' order and layouts."""
        return [view.copy() for view in self._views().values()]

    def set_weights(self, weights: list[Any]) -> None:
        """Set the layer's weights from a list in Keras' order.

        Raises
        ------
        ValueError
            If there are too many or too few, or one has another shape or is not finite; nothing is changed then.
        """
        assign(self._named(), weights, f"layer {self.name}")

    def count_params(self) -> int:
        """Return the number of trainable numbers."""
        return sum(view.size for view in self._views().values())

    def _views(self) -> dict[str, np.ndarray]:
        if self.views is None:
            raise ValueError(
                f"layer {self.name or self.kind} has no weights yet: add it to a model that knows its input_shape."
            )
        return self.views

    def _named(self) -> list[tuple[str, np.ndarray]]:
        return [(f"{self.name}/{name}", view) for name, view in self._views().items()]

    def _buffer(self, p: Program, name: str) -> Buffer:
        return p[f"{self.name}/{name}"]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if value is not None)
        return f"{type(self).__name__}({arguments})"


class Dense(Layer):
    """The dense layer y = act(x W + b), on the last axis: a sequence is taken step by step.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, optional
        As for SimpleRNN; linear where it is not given.
    use_bias : bool, default True
        Whether b is there.
    kernel_initializer, bias_initializer : str
        How W and b begin.
    kernel_regularizer, bias_regularizer : str or regularizer, optional
        A penalty on W and on b that joins the loss: "l1", "l2", "l1_l2", or nbrnn.L2(0.001).
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is not a positive whole number, or a name is unknown.

    Notes
    -----
    Weights, in order: kernel (F, units), bias (units,).
    """

    kind = "dense"

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.regularize(kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer)
        self.units = whole_number("units", units)
        self.activation = one_of("activation", "linear" if activation is None else activation, ACTIVATIONS)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = initializers.check("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializers.check("bias_initializer", bias_initializer)

    def weights(self, shape: Shape) -> list[Weight]:
        return [
            self.weight("kernel", (known(shape[-1]), self.units), self.kernel_initializer),
            *([self.weight("bias", (self.units,), self.bias_initializer)] if self.use_bias else []),
        ]

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        W = self._buffer(p, "kernel")
        b = self._buffer(p, "bias") if self.use_bias else None
        code = ACTIVATIONS.index(self.activation)
        flat = x.reshape(-1, x.shape[-1])
        rows = flat.shape[0]
        y = p.buffer(f"{self.name}/y", rows, self.units)
        a = p.buffer(f"{self.name}/a", rows, self.units) if p.options.tape else None
        p.call("dense_forward", x=flat, W=W, P=packed(p, W, rows), b=b, activation=code, y=y, a=a)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            da = dy.reshape(rows, self.units)
            if code != LINEAR:
                da = p.buffer(f"{self.name}/da", rows, self.units)
                p.call("activation_backward", y=y, dy=dy.reshape(rows, self.units), activation=code, da=da)
            weight_gradient(p, flat, da, f"{self.name}/kernel", f"{self.name}/bias" if self.use_bias else None)
            return input_gradient(p, da, W, p.buffer(f"{self.name}/dx", *x.shape)) if wanted else None

        return y.reshape(*x.shape[:-1], self.units), backward

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }


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
            raise ValueError(f"layer {self.name} needs a known number of time steps, but its input is {shape}.")
        return (math.prod(known(n) for n in shape),)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
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


def known(size: int | None) -> int:
    """Return a size that must be known by now."""
    if size is None:
        raise ValueError("the number of features, the last entry of input_shape, must be known.")
    return size


def checked_shape(shape: Any) -> Shape:
    """Return an input shape as a tuple, or raise ValueError."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) or not 1 <= len(shape) <= 2:
        raise ValueError(f"input_shape must be (time steps, features) or (features,), not {shape!r}.")
    steps = [None if n is None else whole_number("input_shape", n) for n in shape[:-1]]
    return (*steps, whole_number("input_shape", shape[-1]))


def assign(named: list[tuple[str, np.ndarray]], values: list[Any], owner: str) -> None:
    """Set arrays from a list, all of them or, with ValueError, none."""
    wanted = ", ".join(f"{name} {view.shape}" for name, view in named)
    if not isinstance(values, (list, tuple)) or len(values) != len(named):
        came = len(values) if isinstance(values, (list, tuple)) else type(values).__name__
        raise ValueError(f"set_weights of {owner} needs a list of {len(named)} arrays ({wanted}), not {came}.")
    arrays = []
    for (name, view), value in zip(named, values, strict=True):
        array = real_array(f"set_weights of {owner}: {name}", value, "biufc" if view.dtype.kind == "c" else "biuf")
        if array.shape != view.shape:
            raise ValueError(f"set_weights of {owner}: {name} has shape {view.shape}, but {array.shape} came.")
        with np.errstate(over="ignore"):
            array = array.astype(view.dtype)
        if not np.isfinite(array).all():
            raise ValueError(f"set_weights of {owner}: {name} holds a number that is not finite in {view.dtype}.")
        arrays.append(array)
    for (_, view), array in zip(named, arrays, strict=True):
        view[...] = array
    Weights.changes += 1


def packed(
    p: Program, W: Buffer, rows: int, first: int = 0, each: int = 0, gates: int = 1, beside: int = 0
) -> Buffer | None:
    """Return columns of W packed into panels for products with so many rows; None where W is read as it stands.

    They begin at `first` and belong to `gates` gates of `each` columns (0: all of W's). A matrix `beside` it of so many
    numbers, which goes into the same sums, may make it worth while.
    """
    each = each or W.shape[1]
    few = rows < 2 * FEW and not p.options.streamed
    if max(W.size, beside) < LARGE or few or p.options.tape or p.dtype.kind == "c":
        return None
    L = columns_of_a_panel(p)
    name = f"{W.name} packed" + (f" from {first}" if first else "")
    return _panels(p, "pack", name, W, (gates * -(-each // L), W.shape[0], L), first=first, each=each)


def packed_transposed(p: Program, W: Buffer, first: int = 0, columns: int = 0) -> Buffer | None:
    """Return the transpose of columns of W packed into panels; None where the product with a small W reads W.

    They are `columns` from `first` on (0: all of them).
    """
    columns = columns or W.shape[1]
    size = W.shape[0] * columns
    if p.dtype.kind == "c" or (size <= SMALL_SIZE and not (columns == 1 and W.shape[0] >= FEW)):
        return None
    L = columns_of_a_panel(p)
    name = f"{W.name} transposed" + (f" from {first}" if first else "")
    return _panels(p, "pack_transposed", name, W, (-(-W.shape[0] // L), columns, L), first=first)


def _panels(p: Program, kernel: str, name: str, W: Buffer, shape: tuple[int, int, int], **places: int) -> Buffer:
    """Add the calls that pack a matrix, before all shards and once; several, so that threads can share the work."""
    P, new = p.prepared(name, *shape)
    if new:
        assert p.prepare is not None
        part = -(-shape[0] // PARTS)
        for start in range(0, shape[0], part):
            p.prepare.call(kernel, W=W, start=start, P=P[start : start + part], **places)
    return P


def columns_of_a_panel(p: Program) -> int:
    """Return how many columns a register tile has in the program's dtype."""
    return 2 * VECTOR_BYTES // p.dtype.itemsize


def padded(p: Program, columns: int) -> int:
    """Return the length of rows of so many columns: a line of memory more where they lie a power of two apart."""
    line = ALIGNMENT // p.dtype.itemsize
    return columns + line if columns % (PAGE_PART // p.dtype.itemsize) == 0 and not p.options.tape else columns


def weight_gradient(
    p: Program, x: Buffer, da: Buffer, kernel: str | Buffer, bias: str | Buffer | None, add: bool = False
) -> None:
    """Add the call that gives dW = x^T da, and db, or adds to them; weights are named, or their gradients given."""
    flat = x.reshape(-1, x.shape[-1]) if x.size else x.reshape(0, x.shape[-1])
    N, (dW, db) = flat.shape[0], (p[gradient(w)] if isinstance(w, str) else w for w in (kernel, bias))
    assert dW is not None
    (F, O), room = dW.shape, {}
    if F * O >= LARGE and N >= 2 * FEW and p.dtype.kind != "c":
        L = columns_of_a_panel(p)
        room["room"] = p.scratch(f"room for {dW.name}", DEPTH * min(PANELS, -(-O // L)), L)
        room["tall"] = p.scratch(f"tall room for {dW.name}", DEPTH * max(1, min(TALL, F) // ROWS), ROWS)
    p.call("weight_gradient", x=flat, da=da.reshape(N, da.shape[-1]), dW=dW, add=int(add), db=db, **room)


def input_gradient(p: Program, da: Buffer, W: Buffer, dx: Buffer) -> Buffer:
    """Add the call that gives dx = da W^T."""
    flat = dx.reshape(-1, dx.shape[-1])
    p.call("input_gradient", da=da.reshape(flat.shape[0], da.shape[-1]), W=W, PT=packed_transposed(p, W), dx=flat)
    return dx


def gradient(name: str) -> str:
    """Return the name of a weight's gradient: simple_rnn/kernel has simple_rnn/dkernel."""
    layer, _, weight = name.rpartition("/")
    return f"{layer}/d{weight}"
