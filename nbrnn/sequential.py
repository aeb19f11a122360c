"""The chain of layers as Keras knows it."""

from __future__ import annotations

from collections.abc import Sequence

from .chain import Chain
from .graph import Shape, Value, checked_shape
from .layers import Layer
from .model import Model
from .running import Runnable


class Sequential(Chain, Model):
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer, optional
        The layers from the input to the output; more can be added. `nbrnn.Input(shape)` may stand before them.
    input_shape : tuple, optional
        The shape of one sample: (time steps, features), where the time steps may be None, or (features,). Where it is
        given neither here nor on the first layer, the first array that the model sees decides.
    seed : int, optional
        Decides the first weights and the order of the samples; drawn if it is not given (then see `model.seed`).
    dtype : str, default "float32"
        float32 or float64; complex128 for complex-step gradient checks.
    name : str, default "sequential"

    Raises
    ------
    ValueError
        If a layer cannot follow the one below it, or an argument is out of range.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(3), nbrnn.Dense(1)], input_shape=(12, 1), seed=0)
    >>> model.count_params()
    19
    """

    def __init__(
        self,
        layers: Sequence[Layer | Value] | None = None,
        input_shape: Shape | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        name: str = "sequential",
    ) -> None:
        Runnable.__init__(self, seed, dtype, name)
        self._begin()
        self.input_shape = None if input_shape is None else checked_shape(input_shape)
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise ValueError(f"layers must be a list such as [nbrnn.LSTM(8), nbrnn.Dense(1)], not {layers!r:.80}.")
        self._add(list(layers or []))
