"""A chain of layers, which grows by one at a time: the graph of `Sequential`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arrays import native
from .graph import Graph, Shape, Value, checked_shape, unique_name
from .joins import Flatten
from .layers import Layer
from .recurrent import Recurrent
from .stack import Stack


class Chain(Stack):
    """What `Sequential` knows beside other models: its layers are added, and the first array may give its shape."""

    def add(self, layer: Layer | Value) -> None:
        """Put a layer on top.

        Parameters
        ----------
        layer : Layer
            Or, before all layers, what `nbrnn.Input` gives for the shape of one sample.

        Raises
        ------
        ValueError
            If it is no layer, stands in a model already, has a name that is taken, or the model is compiled.
        """
        self._add([layer])

    def _add(self, layers: Sequence[Any]) -> None:
        """Put layers on top, all or none, and build the model once if its input's shape is known."""
        if layers and isinstance(layers[0], Value) and layers[0].step is None and not self.layers:
            self.input_shape, layers = layers[0].shape, layers[1:]
        before, names = self.layers, [getattr(layer, "name", None) for layer in layers]
        try:
            for layer in layers:
                self._place(layer)
            shape = (layers[0].input_shape if layers else None) or self.input_shape
            if layers and shape is not None:
                self.build(shape)
            elif layers:
                self.built = False
        except ValueError:  # the model and the layers stay as they were
            for layer, name in zip(layers, names, strict=True):
                if isinstance(layer, Layer) and not layer.owned:
                    layer.name = name
            self.layers = before
            raise
        for layer in layers:
            layer.owned = True

    def _place(self, layer: Layer) -> None:
        """Enter a layer with its name."""
        if not isinstance(layer, Layer):
            raise ValueError(f"a model takes layers such as nbrnn.Dense(1), not {layer!r}.")
        if self.compiled:
            raise ValueError("layers must be added before compile().")
        if layer.owned or any(layer is other for other in self.layers):
            raise ValueError(f"layer {layer.title} stands in a model already; make a new one.")
        number = sum(other.kind == layer.kind for other in self.layers)
        name = unique_name(layer.name, layer.kind, [str(other.name) for other in self.layers], number)
        if layer.joins:
            raise ValueError(f"layer {name} takes several inputs, so it belongs into an nbrnn.Model, not a Sequential.")
        if layer.input_shape is not None and self.layers:
            raise ValueError(f"layer {name}: input_shape belongs to the first layer only.")
        layer.name = name
        self.layers = [*self.layers, layer]

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for an input shape; weights that are there already and fit are kept.

        Parameters
        ----------
        input_shape : tuple
            (time steps, features), where the time steps may be None, or (features,); or, as in Keras, with the samples
            before: (None, time steps, features).

        Raises
        ------
        ValueError
            If a layer cannot take what the one below it gives.
        """
        with_samples = isinstance(input_shape, (tuple, list)) and len(input_shape) == 3
        shapes = [checked_shape(input_shape[1:] if with_samples else input_shape)]
        for layer in self.layers:
            if len(shapes[-1]) != 2 and any(isinstance(leaf, Recurrent) for leaf in layer.leaves()):
                raise ValueError(self._why_no_sequences(layer, shapes[-1]))
            shapes.append(layer.output_shape(shapes[-1]))
        self._allocate(Graph.chain(self.layers, shapes))

    def _why_no_sequences(self, layer: Layer, shape: Shape) -> str:
        """Return why a recurrent layer's input is no sequence, and what to write."""
        problem = f"layer {layer.name} needs sequences (time steps, features), but its input is {shape}: "
        for below in reversed(self.layers[: self.layers.index(layer)]):
            if isinstance(below, Recurrent):
                kind = type(below).__name__
                return f"{problem}write layer {below.name} as {kind}({below.units}, return_sequences=True)."
            if any(isinstance(leaf, Recurrent) for leaf in below.leaves()):
                return f"{problem}give the layer within {below.name} return_sequences=True."
            if isinstance(below, Flatten):
                return f"{problem}leave out layer {below.name}, which makes vectors of them."
        return f"{problem}input_shape must be (time steps, features); vectors have no time steps."

    def _samples(self, x: Any, name: str = "x") -> Any:
        """Return the inputs as an array that the kernels can read; build the model if this is the first one."""
        if self.built:
            return super()._samples(x, name)
        if not self.layers:
            raise ValueError("the model has no layers; add some first.")
        x = native(name, x, self.dtype)
        takes_time = any(isinstance(leaf, Recurrent) for leaf in self.layers[0].leaves())
        if x.ndim == 3 or (x.ndim == 2 and not takes_time):
            self.build(x.shape[1:])
        return self._one_input(x, self.input_shape, name)
