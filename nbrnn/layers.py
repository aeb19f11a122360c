"""Layers: weights, shapes, and how they lower themselves to kernel calls. They compute nothing.

Shapes as users see them leave the batch out: (T, D) for sequences, (F,) for vectors. Inside a program sequences are
time-major, (T, B, D), and vectors (B, F).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import initializers, regularizers
from .checks import flag, one_of, whole_number
from .elsewhere import finder
from .graph import Input as InputLayer  # noqa: F401  # Keras' other name
from .graph import Shape, call, checked_shape
from .initializers import Initializer
from .kerasways import LAYER, OF_LAYERS, Trained, all_take, no_call, point
from .kernels.activations import ACTIVATIONS, LINEAR
from .products import input_gradient, packed, weight_gradient
from .program import Buffer, Program, Weights
from .regularizers import Regularizer
from .series import real_array

if TYPE_CHECKING:
    from .variables import Variable

# Takes dL/dy and whether dL/dx is wanted; adds the calls of the backward pass and returns dL/dx.
Backward = Callable[[Buffer, bool], Buffer | None]
ENDS = "what follows sees masked steps as it sees all others."
# The same for all outputs and all inputs of a call. Who gets a gradient may write over it, and hands on none that
# somebody else may write over.
Backwards = Callable[[list[Buffer], list[bool]], list[Buffer | None]]


@dataclass(frozen=True)
class Weight:
    """A trainable array of a layer, by Keras' name."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    ones: slice | None = None  # entries that begin at 1 whatever the initializer
    regularizer: Regularizer | None = None


SOFTMAX = "softmax"  # an activation over all units, not of each
LAYERS: dict[str, type[Layer]] = {}  # by class name; a subclass is entered when it is defined


def check_free(cls: type[Layer]) -> None:
    """Raise ValueError if a layer of another place has a class' name; the same one may be defined again."""
    other = LAYERS.get(cls.__name__)
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(
            f"there is a layer {cls.__name__} already, in {other.__module__}: files name layers by their class, so "
            f"give the one in {cls.__module__} another name."
        )


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
    joins = False  # whether it takes several inputs
    sort = "layer"
    trainable = Trained()
    tokens = 0  # its input's numbers are whole and below this; 0: they are any

    def __init_subclass__(cls) -> None:
        check_free(cls)
        if "weights" in vars(cls):
            raise ValueError(f"{cls.__name__}.weights would hide the layer's weights: declare them in declared(shape).")
        no_call(cls)
        all_take(cls, LAYER)
        LAYERS[cls.__name__] = cls

    def __init__(self, *, input_shape: Shape | None = None, name: str | None = None) -> None:
        self.name = name
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        self.views: dict[str, np.ndarray] | None = None  # into the model's block of parameters
        self.come_back: Callable[[], None] | None = None  # brings them from a GPU, where the model is there
        self.owned = False  # by a model
        self.regularizers: dict[str, Regularizer] = {}  # by the argument's name

    @property
    def title(self) -> str:
        """The name, or the kind where a model has not named it yet."""
        return self.name or self.kind

    def __call__(self, inputs: Any) -> Any:
        """Return the symbolic value that the layer gives for one, or for a list of them; see `nbrnn.Input`."""
        return call(self, inputs)

    def declared(self, shape: Shape) -> list[Weight]:
        """Return what weights the layer has for an input shape, in Keras' order."""
        return []

    def weight(self, name: str, shape: tuple[int, ...], initializer: Initializer, ones: slice | None = None) -> Weight:
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

    def shapes(self, inputs: list[Shape]) -> list[Shape]:
        """Return the shapes of all outputs for those of all inputs.

        Raises
        ------
        ValueError
            If the layer cannot take inputs of these shapes.
        """
        if len(inputs) != 1:
            raise ValueError(f"layer {self.title} takes one input, not {len(inputs)}; join them with Concatenate().")
        return [self.output_shape(inputs[0])]

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        """Add the calls of the forward pass; return the output and what adds those of the backward pass."""
        raise NotImplementedError

    def lower_all(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        """Do what `lower` does, for a layer of any number of inputs and outputs."""
        y, backward = self._lowered(p, inputs[0])
        return [y], lambda dys, wanted: [backward(dys[0], wanted[0])]

    def _lowered(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        """Return what `lower` does, if it is what was promised."""
        found: Any = self.lower(p, x)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Buffer)):
            raise ValueError(
                f"layer {self.title}: lower must return its output, a buffer, and a function that adds the calls of "
                f"the backward pass; it returned {found!r:.80}."
            )
        came, promised = _sample(found[0]), self.output_shape(_sample(x))
        if came != tuple(promised):
            raise ValueError(
                f"layer {self.title}: lower gives samples of shape {came}, but output_shape says {tuple(promised)}."
            )
        return found

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Any]:
        """Return the masks of what the layer gives, None where there is none: that of its input, for sequences."""
        return [p.masks[0] if len(y.shape) == 3 else None for y in results]

    def leaves(self) -> list[Layer]:
        """Return the layer, or those that it wraps."""
        return [self]

    def again(self, number: int) -> Layer:
        """Return a copy for another call in one program: its buffers have names of their own."""
        twin = copy.copy(self)
        twin.name = f"{self.name}:{number + 1}"
        return twin

    def bind(self, views: dict[str, np.ndarray]) -> None:
        """Take the places of the weights in the model's block of parameters."""
        self.views = views

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

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again, for `from_config`."""
        return self.config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return the layer that `config` describes, for which JSON may have made lists of tuples."""
        shape = config.get("input_shape")
        own: dict[str, Any] = {} if shape is None else {"input_shape": tuple(shape)}
        return cls(**{key: value for key, value in config.items() if key != "input_shape"}, **own)

    @property
    def weights(self) -> list[Variable]:
        """The layer's weights with their names, in Keras' order: `path`, `shape`, `numpy()`, `assign(value)`."""
        from .variables import variables_of

        return variables_of([self])

    trainable_weights = trainable_variables = variables = weights

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
        if self.come_back is not None:
            self.come_back()
        return self.views

    def _named(self) -> list[tuple[str, np.ndarray]]:
        return [(f"{self.name}/{name}", view) for name, view in self._views().items()]

    def _buffer(self, p: Program, name: str) -> Buffer:
        return p[f"{self.name}/{name}"]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if value is not None)
        return f"{type(self).__name__}({arguments})"


point(Layer, OF_LAYERS)


def _sample(x: Buffer) -> tuple[int, ...]:
    """Return the shape of a sample: inside a program sequences are time-major."""
    return (x.shape[0], *x.shape[2:]) if len(x.shape) > 2 else x.shape[1:]


class Dense(Layer):
    """The dense layer y = act(x W + b), on the last axis: a sequence is taken step by step.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, optional
        As for SimpleRNN, or "softmax" over the units; linear where it is not given.
    use_bias : bool, default True
        Whether b is there.
    kernel_initializer, bias_initializer : str or initializer
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
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.regularize(kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer)
        self.units = whole_number("units", units)
        self.activation = one_of("activation", "linear" if activation is None else activation, (*ACTIVATIONS, SOFTMAX))
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = initializers.check("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializers.check("bias_initializer", bias_initializer)

    def declared(self, shape: Shape) -> list[Weight]:
        return [
            self.weight("kernel", (known(shape[-1]), self.units), self.kernel_initializer),
            *([self.weight("bias", (self.units,), self.bias_initializer)] if self.use_bias else []),
        ]

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        W = self._buffer(p, "kernel")
        b = self._buffer(p, "bias") if self.use_bias else None
        softmax = self.activation == SOFTMAX
        code = LINEAR if softmax else ACTIVATIONS.index(self.activation)
        flat = x.reshape(-1, x.shape[-1])
        rows = flat.shape[0]
        y = p.buffer(f"{self.name}/y", rows, self.units)
        a = p.buffer(f"{self.name}/a", rows, self.units) if p.options.tape else None
        z = p.buffer(f"{self.name}/z", rows, self.units) if softmax else y
        p.call("dense_forward", x=flat, W=W, P=packed(p, W, rows), b=b, activation=code, y=z, a=a)
        if softmax:
            p.call("softmax", x=z, y=y)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            da = dy = dy.reshape(rows, self.units)
            if softmax or code != LINEAR:
                da = p.buffer(f"{self.name}/da", rows, self.units)
            if softmax:
                p.call("softmax_backward", y=y, dy=dy, dx=da)
            elif code != LINEAR:
                p.call("activation_backward", y=y, dy=dy, activation=code, da=da)
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


def known(size: int | None) -> int:
    """Return a size that must be known by now."""
    if size is None:
        raise ValueError("the number of features, the last entry of input_shape, must be known.")
    return size


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


__getattr__ = finder(__name__, Layer, "Input", "RNN", "SimpleRNNCell", "LSTMCell", "GRUCell", "add", "concatenate")
