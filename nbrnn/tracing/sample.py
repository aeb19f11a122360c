"""One sample at the door of a trace: inputs, targets and masks, with or without their axis of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import arrays_of, plain_arrays
from ..checks import by_name
from ..graph import Shape
from ..layers import known
from ..series import real_array
from ..shaping import Shaping
from ..supervision import target_shape

if TYPE_CHECKING:
    from ..model import Model


def check_followed(model: Model) -> None:
    """Raise ValueError where a layer cannot be laid open, or takes or gives states as values."""
    for node in model.graph.nodes:
        layer = node.layer
        if layer.tokens or isinstance(layer, Shaping):
            raise ValueError(f"a trace cannot look into layer {layer.name}, of class {type(layer).__name__}.")
        leaves = layer.leaves()
        states = len(node.sources) > 1 and not layer.joins
        if states or (len(node.results) > 1 and any(getattr(leaf, "return_state", False) for leaf in leaves)):
            raise ValueError(f"a trace does not follow states from layer to layer, as those of {layer.name} go.")


def one_sample(model: Model, x: Any, mask: Any, lengths: Any) -> Any:
    """Return one sample as a batch of one, with its mask."""
    names = model.graph.inputs
    single = len(names) == 1 and not isinstance(x, Mapping)
    given = {names[0]: x} if single else by_name("x", x, names, "input")
    arrays = {}
    for name, shape in zip(names, model.graph.shapes, strict=False):
        what = "x" if len(names) == 1 else f"x of input {name!r}"
        if given.get(name) is None:
            raise ValueError(f"x lacks the input {name!r}; the model has {', '.join(names)}.")
        arrays[name] = _one_input(what, given[name], shape)
    x = next(iter(arrays.values())) if len(names) == 1 else list(arrays.values())
    return plain_arrays(model._inputs(x, _batched(mask, 1, names), _batched(lengths, 0, names)))


def _one_input(what: str, x: Any, shape: Shape) -> np.ndarray:
    array = real_array(what, x)
    if array.ndim == 1 and len(shape) == 2 and shape[1] == 1:
        array = array[:, None]
    if array.ndim == len(shape):
        array = array[None]
    if array.ndim != len(shape) + 1:
        raise ValueError(f"{what} has shape {array.shape}, but one sample of the model has shape {shape}.")
    if len(array) != 1:
        raise ValueError(f"a trace follows one sample, but {what} holds {len(array)}: give one of them, such as x[0].")
    return array


def _batched(given: Any, axes: int, names: tuple[str, ...]) -> Any:
    """Return masks or lengths with an axis of samples, where they lack it; `axes` are those of one sample."""
    if isinstance(given, Mapping):
        return {name: _batched(one, axes, names[:1]) for name, one in given.items()}
    if len(names) > 1 and isinstance(given, (list, tuple)):
        return [_batched(one, axes, names[:1]) for one in given]
    return [given] if given is not None and np.ndim(given) == axes else given


def one_target(model: Model, x: Any, y: Any) -> Any:
    """Return one sample's targets as a batch of one."""
    heads, ends = model.heads, model._ends(x)
    names = [head.name for head in heads]
    if model.loss is None or (len(heads) > 1 and not isinstance(y, (Mapping, list, tuple))):
        return plain_arrays(model._pair(x, y)[1])  # it says what is wrong
    given = {names[0]: y} if len(heads) == 1 and not isinstance(y, Mapping) else by_name("y", y, names, "output")
    for head, end in zip(heads, ends, strict=True):
        if head.figures and given.get(head.name) is not None:
            what = "y" if len(heads) == 1 else f"y of output {head.name!r}"
            shape = (*end[:-1], known(target_shape(head.loss, end)[-1]))
            given[head.name] = _one_output(what, given[head.name], shape)
    return plain_arrays(model._pair(x, given if len(heads) > 1 else given[names[0]])[1])


def _one_output(what: str, y: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = real_array(what, y)
    if array.shape not in (shape, (1, *shape)) and not (array.size == np.prod(shape) and array.ndim < 2):
        raise ValueError(f"{what} has shape {array.shape}, but the output for this sample has shape {shape}.")
    return array.reshape(1, *shape)


def by_names(names: tuple[str, ...], arrays: Any, several: bool) -> Any:
    """Return one sample's arrays without the axis of samples: the only one, or a dict by names."""
    found = {name: array[0] for name, array in zip(names, arrays_of(arrays), strict=True)}
    return found if several else next(iter(found.values()))
