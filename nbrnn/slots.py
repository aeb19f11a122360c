"""The optimizer's state by name: for every slot and weight an array, and the powers of Adam's decays.

Tensors "optimizer/m/dense/kernel" and "optimizer/powers". Names, not the block as it lies in memory, whose gaps depend
on the layout.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .lowering import add_optimizer, parameter_layout

if TYPE_CHECKING:
    from .model import Model

PREFIX = "optimizer/"
POWERS = f"{PREFIX}powers"
WHOLE = "all parameters"  # of the block itself, which holds all weights


def _places(model: Model) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """Return where the optimizer's arrays stand, by name: the block, the offset and the shape."""
    optimizer = model.optimizer
    assert optimizer is not None
    buffers = add_optimizer(parameter_layout(model, gradients=False), optimizer).buffers
    places = {
        f"{PREFIX}{slot}/{b.name}": ("slots", buffers[f"slots/{slot}"].offset + b.offset, b.shape)
        for slot in optimizer.slots
        for b in buffers.values()
        if b.block == "params" and b.name != WHOLE
    }
    powers = {POWERS: ("hyper", len(optimizer.hyper()), (optimizer.powers,))} if optimizer.powers else {}
    return places | powers


def optimizer_arrays(model: Model) -> dict[str, np.ndarray]:
    """Return the optimizer's arrays by name, as parts of its blocks; none if it has not taken a step."""
    blocks = model._slots
    if blocks is None:
        return {}
    return {
        name: blocks[block][start : start + math.prod(shape)].reshape(shape)
        for name, (block, start, shape) in _places(model).items()
    }


def restore_optimizer(model: Model, arrays: dict[str, np.ndarray]) -> None:
    """Set the optimizer's arrays from those that `optimizer_arrays` gave; where there are none, it begins anew.

    Raises
    ------
    ValueError
        If they are not those that the model and its optimizer need; nothing is changed then.
    """
    places = _places(model)
    if not any(name in arrays for name in places):
        return
    for name, (_, _, shape) in places.items():
        array = arrays.get(name)
        if array is None:
            raise ValueError(f"its optimizer needs {name}, which it does not hold.")
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            came = f"{array.shape} of {array.dtype}"
            raise ValueError(f"{name} must hold finite numbers in the shape {shape}, but holds {came}.")
    if model._slots is None:
        model._start_optimizer()
    for name, view in optimizer_arrays(model).items():
        view[...] = arrays[name]
