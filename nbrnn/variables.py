"""Weights one by one, with their names, as Keras shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .layers import Layer, assign


class Variable:
    """A weight of a model: it shows what the weight is now, and `assign` changes it.

    Attributes
    ----------
    path, name : str
        "lstm/kernel", and "kernel".
    shape : tuple
    dtype : numpy.dtype
    """

    def __init__(self, layer: Layer, own: str) -> None:
        self.path, self.name, self._layer, self._own = f"{layer.name}/{own}", own.rpartition("/")[2], layer, own

    @property
    def _view(self) -> np.ndarray:
        return self._layer._views()[self._own]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._view.shape

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers."""
        return self._view.dtype

    def numpy(self) -> np.ndarray:
        """Return a copy of its numbers."""
        return self._view.copy()

    def assign(self, value: Any) -> None:
        """Set its numbers.

        Raises
        ------
        ValueError
            If the array has another shape or a number that is not finite; nothing is changed then.
        """
        assign([(self.path, self._view)], [value], f"weight {self.path}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._view, dtype=dtype)

    def __repr__(self) -> str:
        return f"<{self.path} {self.shape} {self.dtype}>"


def variables_of(layers: list[Layer]) -> list[Variable]:
    """Return the weights of layers, in Keras' order."""
    return [Variable(layer, own) for layer in layers for own in layer._views()]
