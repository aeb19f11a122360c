"""A stack of layers: names, shapes, parameters in one block, and what may enter it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import native
from .checks import flag, one_of, whole_number
from .initializers import initialize
from .layers import Flatten, Layer, Shape, Weight, assign, checked_shape, known
from .losses import Loss
from .lowering import TRAIN, parameter_layout
from .memory import Memory
from .optimizers import Optimizer
from .program import Layout, aligned, aligned_copy
from .recurrent import Recurrent
from .summary import kernel_lines, plan_of, summary_lines
from .supervision import checked_targets, checked_weights
from .targets.compiling import MODELS


class Stack:
    """Layers in a row with their parameters; `Sequential` trains it."""

    compiled = False
    loss: Loss | None = None
    optimizer: Optimizer | None = None

    def __init__(
        self,
        layers: Sequence[Layer] | None,
        input_shape: Shape | None,
        seed: int | None,
        dtype: str,
        name: str,
    ) -> None:
        self.name = name
        self.dtype = np.dtype(one_of("dtype", getattr(dtype, "name", dtype), MODELS))
        drawn = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self.seed, self.seed_drawn = whole_number("seed", drawn, 0), seed is None
        self.layers: list[Layer] = []
        self.built = False
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        for layer in layers or []:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises
        ------
        ValueError
            If it is no layer, stands in a model already, has a name that is taken, or the model is compiled.
        """
        if not isinstance(layer, Layer):
            raise ValueError(f"a model takes layers such as nbrnn.Dense(1), not {layer!r}.")
        if self.compiled:
            raise ValueError("layers must be added before compile().")
        if layer.owned:
            raise ValueError(f"layer {layer.name or layer.kind} stands in a model already; make a new one.")
        taken = {other.name for other in self.layers}
        number = sum(other.kind == layer.kind for other in self.layers)
        name = layer.name or (f"{layer.kind}_{number}" if number else layer.kind)
        while layer.name is None and name in taken:
            number += 1
            name = f"{layer.kind}_{number}"
        if name in taken:
            raise ValueError(f"two layers have the name {name!r}; names must differ.")
        if layer.input_shape is not None and self.layers:
            raise ValueError(f"layer {name}: input_shape belongs to the first layer only.")
        given, shape = layer.name, layer.input_shape or self.input_shape
        layer.name = name
        self.layers.append(layer)
        try:
            if shape is not None:
                self.build(shape)
            else:
                self.built = False
        except ValueError:  # the model stays as it was
            self.layers.pop()
            layer.name = given
            raise
        layer.owned = True

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for an input shape; weights that are there already and fit are kept.

        Raises
        ------
        ValueError
            If a layer cannot take what the one below it gives.
        """
        first = shape = checked_shape(input_shape)
        shapes: list[Shape] = []
        for layer in self.layers:
            shapes.append(shape)
            if isinstance(layer, Recurrent) and len(shape) != 2:
                raise ValueError(self._why_no_sequences(layer, shape))
            shape = layer.output_shape(shape)
        self.input_shape, self.input_shapes, self.output_shape = first, shapes, shape
        self.layout: Layout = parameter_layout(self)
        self.params = aligned(self.layout.sizes["params"], self.dtype)
        for k, (layer, before) in enumerate(zip(self.layers, shapes, strict=True)):
            kept = layer.views or {}
            layer.views = {}
            for j, weight in enumerate(layer.weights(before)):
                view = self._view(layer, weight)
                old = kept.get(weight.name)
                if old is not None and old.shape == view.shape:
                    view[...] = old
                else:
                    view[...] = initialize(weight.initializer, weight.shape, (self.seed, k, j))
                    if weight.ones is not None:
                        view[weight.ones] = 1
                layer.views[weight.name] = view
        self.built = True

    def _why_no_sequences(self, layer: Recurrent, shape: Shape) -> str:
        """Return why a recurrent layer's input is no sequence, and what to write."""
        problem = f"layer {layer.name} needs sequences (time steps, features), but its input is {shape}: "
        for below in reversed(self.layers[: self.layers.index(layer)]):
            if isinstance(below, Recurrent):
                kind = type(below).__name__
                return f"{problem}write layer {below.name} as {kind}({below.units}, return_sequences=True)."
            if isinstance(below, Flatten):
                return f"{problem}leave out layer {below.name}, which makes vectors of them."
        return f"{problem}input_shape must be (time steps, features); vectors have no time steps."

    def _view(self, layer: Layer, weight: Weight) -> np.ndarray:
        """Return a weight's place in the block of parameters."""
        buffer = self.layout.buffers[f"{layer.name}/{weight.name}"]
        return self.params[buffer.offset : buffer.offset + buffer.size].reshape(buffer.shape)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy (copy.deepcopy, pickle): the layers' weights are parts of the copy's own block again."""
        self.__dict__.update(state)
        if self.built:
            self.params = aligned_copy(self.params)
            for layer, shape in zip(self.layers, self.input_shapes, strict=True):
                layer.views = {weight.name: self._view(layer, weight) for weight in layer.weights(shape)}

    def _built(self) -> None:
        if not self.layers:
            raise ValueError("the model has no layers; add some first.")
        if not self.built:
            raise ValueError("the model does not know its input_shape yet: give it, or call fit or predict first.")

    def count_params(self) -> int:
        """Return the number of trainable numbers."""
        self._built()
        return sum(layer.count_params() for layer in self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in Keras' order and layouts."""
        self._built()
        return [w for layer in self.layers for w in layer.get_weights()]

    def set_weights(self, weights: list[Any]) -> None:
        """Set all weights from a list in Keras' order.

        Raises
        ------
        ValueError
            If there are too many or too few, or one has another shape or is not finite; nothing is changed then.
        """
        self._built()
        assign([pair for layer in self.layers for pair in layer._named()], weights, "the model")

    def summary(
        self,
        print_fn: Callable[[str], Any] = print,
        kernels: bool = False,
        batch_size: int = 32,
        steps: int | None = None,
    ) -> None:
        """Print the layers with their output shapes and numbers of parameters, as Keras does.

        Parameters
        ----------
        print_fn : callable, default print
            Called with each line.
        kernels : bool, default False
            Whether every layer's kernels follow, of a training step or, where there is no optimizer, of a prediction,
            with the code path that each takes.
        batch_size : int, default 32
            Samples of that step.
        steps : int, optional
            Its time steps, where the model's input shape leaves them open.

        Raises
        ------
        ValueError
            If an argument is out of range, or the model does not know its input shape yet.
        """
        self._built()
        for line in summary_lines(self):
            print_fn(line)
        if flag("kernels", kernels):
            for line in kernel_lines(self, batch_size, steps):
                print_fn(line)

    def memory(
        self, batch_size: int = 32, samples: int | None = None, steps: int | None = None, mode: str = TRAIN
    ) -> Memory:
        """Return how many bytes a run holds in memory, and what for; print it for a table.

        Parameters
        ----------
        batch_size : int, default 32
            Samples of a batch.
        samples : int, optional
            Of the whole run, whose inputs, targets and outputs count; one batch if it is not given.
        steps : int, optional
            Time steps, where the model's input shape leaves them open.
        mode : {"train", "evaluate", "predict"}

        Returns
        -------
        Memory
            `total` is the sum of its `parts`; a part is read by its name, `model.memory()["work"]`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the model lacks what the mode needs.
        """
        batch = whole_number("batch_size", batch_size)
        return plan_of(self, mode, batch, whole_number("samples", batch if samples is None else samples), steps).memory

    def _samples(self, x: Any, name: str = "x") -> np.ndarray:
        """Return the inputs as an array that the kernels can read; build the model if this is the first one."""
        x = native(name, x, self.dtype)
        if not self.layers:
            raise ValueError("the model has no layers; add some first.")
        if not self.built and (x.ndim == 3 or (x.ndim == 2 and not isinstance(self.layers[0], Recurrent))):
            self.build(x.shape[1:])
        shape = self.input_shape
        if shape is None or x.ndim != len(shape) + 1:
            dimensions = 3 if shape is None or len(shape) == 2 else 2
            wanted_text = "(samples, time steps, features)" if dimensions == 3 else "(samples, features)"
            hint = ""
            if dimensions == 3 and x.ndim == 2:
                hint = f"; for one feature a step write {name}[..., None] or {name}.reshape({len(x)}, {x.shape[1]}, 1)"
            raise ValueError(f"{name} must have the shape {wanted_text}, but its shape is {x.shape}{hint}.")
        if x.shape[-1] != shape[-1]:
            raise ValueError(f"{name} has {x.shape[-1]} features, but the model was built for {shape[-1]}.")
        if len(shape) == 2 and shape[0] not in (None, x.shape[1]):
            raise ValueError(f"{name} has {x.shape[1]} time steps, but the model was built for {shape[0]}.")
        return x

    def _pair(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets, checked against the model and each other."""
        if self.loss is None:
            raise ValueError("the model has no loss yet: call compile() first.")
        x = self._samples(x)
        return x, checked_targets(self.loss, y, x, self.output_shape, self.dtype)

    def _weighted(self, y: np.ndarray, sample_weight: Any, class_weight: Any = None) -> np.ndarray | None:
        """Return the weights of checked targets, of samples or of time steps; None where there are none."""
        if self.loss is None or (sample_weight is None and class_weight is None):
            return None
        outputs = known(self.output_shape[-1])
        return checked_weights(self.loss, y, sample_weight, class_weight, outputs, self.dtype)
