"""Models and arrays with random numbers, each from a seed: what the strategies draw, and examples are printed as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import one_of, whole_number
from ..graph import Input
from ..joins import Concatenate
from ..layers import Layer, Shape
from ..losses import Loss
from ..model import Model
from ..sequential import Sequential

BOUND = 2.0  # of moderate numbers
VALUES = ("moderate", "zero", "denormal", "large", "huge", "mixed")
LAYOUTS = ("C", "F", "strided", "reversed", "read-only", "overlapping")
DTYPES = ("float32", "float64")


def random_model(
    layers: Sequence[Layer],
    input_shape: Shape,
    *,
    seed: int = 0,
    dtype: str = "float64",
    loss: str | Loss | None = None,
    skips: Sequence[tuple[int, int]] = (),
) -> Model:
    """Return a model with moderate random weights, biases too.

    A matrix is uniform in +-1/sqrt(inputs), a bias in +-1/2: for inputs from [-2, 2] pre-activations have a median
    below 1 and seldom exceed 3, so that neither saturation nor overflow blurs what a test looks for.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the output.
    input_shape : tuple
        Of one sample: (time steps, features), where the time steps may be None, or (features,).
    seed : int
        Decides the weights.
    dtype : {"float32", "float64"}
    loss : str or Loss, optional
        If it is given, the model is compiled with it and SGD.
    skips : sequence of (value, layer)
        Ways round layers: (0, 2) joins the input to what layers[2] reads, (1, 2) what layers[0] gives, by Concatenate.

    Returns
    -------
    Sequential or Model
        A Model where there are skips.

    Raises
    ------
    ValueError
        If a layer cannot follow what is below it, or an argument is out of range.
    """
    settings: dict[str, Any] = {"seed": seed, "dtype": one_of("dtype", dtype, DTYPES)}
    if skips:
        values = _values(list(layers), input_shape, skips)
        model = Model(values[0], values[-1], **settings)
    else:
        model = Sequential(layers, input_shape=input_shape, **settings)
    rng = np.random.default_rng(model.seed)
    for layer in model.layers:
        for name, view in layer._views().items():
            limit = 0.5 if name.endswith("bias") else 1 / np.sqrt(view.shape[0])
            view[...] = rng.uniform(-limit, limit, view.shape)
    if loss is not None:
        model.compile("sgd", loss)
    return model


def _values(layers: list[Layer], input_shape: Shape, skips: Sequence[tuple[int, int]]) -> list[Any]:
    """Return the input and what every layer gives, where some also read what comes from further below."""
    values: list[Any] = [Input(input_shape)]
    for first, to in skips:
        if whole_number("a layer in skips", to, 0) >= len(layers) or whole_number("a value in skips", first, 0) >= to:
            raise ValueError(f"skips must be pairs (value, layer above it), below {len(layers)}, not {(first, to)}.")
    for k, layer in enumerate(layers):
        more = [values[first] for first, to in skips if to == k]
        values.append(layer(Concatenate()([values[-1], *more]) if more else values[-1]))
    return values


def random_array(
    shape: tuple[int, ...], *, seed: int = 0, dtype: str = "float64", values: str = "moderate", layout: str = "C"
) -> np.ndarray:
    """Return finite random numbers, of a kind and in a layout in memory that a test asks for.

    Parameters
    ----------
    shape : tuple of int
        (samples, time steps, features), or any other.
    seed : int
    dtype : {"float32", "float64"}
    values : {"moderate", "zero", "denormal", "large", "huge", "mixed"}
        Uniform in [-2, 2]; zeros of both signs; magnitudes below the smallest normal number; from 10 to 10,000, where
        activations saturate; from the square root of the largest number to half of that number, where products
        overflow; or each entry of one of these kinds.
    layout : {"C", "F", "strided", "reversed", "read-only", "overlapping"}
        C- or Fortran-contiguous; with gaps of NaN between the numbers; with negative strides; C-contiguous but
        read-only; or read-only windows over the second axis, each of which begins one row after the one before.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If a name is unknown, a length is no whole number of at least 1, or windows are asked for in one axis.
    """
    one_of("values", values, VALUES), one_of("layout", layout, LAYOUTS)
    shape = tuple(whole_number("shape", n) for n in shape)
    kind = np.dtype(one_of("dtype", dtype, DTYPES))
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    if layout == "overlapping":
        if len(shape) < 2:
            raise ValueError(f"overlapping windows need two axes or more, but shape is {shape}.")
        rows = _numbers(rng, (shape[0] + shape[1] - 1, *shape[2:]), kind, values)
        return np.moveaxis(np.lib.stride_tricks.sliding_window_view(rows, shape[1], axis=0), -1, 1)
    array = _numbers(rng, shape, kind, values)
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.full([2 * n for n in shape], np.nan, kind)
        places = wide[tuple(slice(None, None, 2) for _ in shape)]
        places[...] = array
        return places
    if layout == "reversed":
        return array[tuple(slice(None, None, -1) for _ in shape)]
    array.flags.writeable = layout != "read-only"
    return array


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, values: str) -> np.ndarray:
    """Return numbers of one of VALUES, C-contiguous."""
    if values == "mixed":
        kinds = [_numbers(rng, shape, dtype, kind) for kind in VALUES[:-1]]
        return np.choose(rng.integers(0, len(kinds), shape), kinds)
    if values == "moderate":
        return rng.uniform(-BOUND, BOUND, shape).astype(dtype)
    limits, sign = np.finfo(dtype), rng.choice([-1.0, 1.0], shape).astype(dtype)
    if values == "zero":
        return 0 * sign
    if values == "denormal":
        return sign * rng.integers(1, 1000, shape).astype(dtype) * limits.smallest_subnormal
    low, high = (np.log2(10), np.log2(1e4)) if values == "large" else (limits.maxexp / 2, limits.maxexp - 1)
    return sign * np.exp2(rng.uniform(low, high, shape)).astype(dtype)
