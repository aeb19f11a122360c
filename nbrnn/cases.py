"""A model at one point: its program bound to given inputs, targets and states, run once. Checks and traces read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import arrays_of, foreign_arrays
from .lowering import TRAIN, feeds_of, input_buffers, make_plan
from .program import Options
from .recurrent import Recurrent
from .saving import copy_model
from .stack import Stack
from .targets import cpu

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True)
class Case:
    """What a model is checked at: C-contiguous arrays and blocks of states."""

    x: Any  # an array, or Samples of several
    y: Any = None
    states: np.ndarray | None = None  # the first ones; None: zeros that are not read
    directions: np.ndarray | None = None  # of the last states, where outputs are projected
    weights: np.ndarray | None = None  # of the samples or time steps, with a last axis of length 1
    training: bool = False  # whether dropout drops

    def executor(self, model: Model, mode: str, *, tape: bool = False, input_gradient: bool = True) -> cpu.Executor:
        """Return the program of this case, bound to its arrays as they stand."""
        flags: dict[str, Any] = {
            "given": self.states is not None,
            "projected": self.directions is not None,
            "training": self.training,
        }
        y, weights = (None if one is None else feeds_of(one) for one in (self.y, self.weights))
        options = Options(tape, input_gradient, **flags)
        plan = make_plan(model, mode, feeds_of(self.x), y, len(self.x), options, weights)
        arrays = {"params": model.params, "order": np.arange(len(self.x))}
        own = {"x": self.x, "y": self.y, "initial": self.states, "directions": self.directions}
        own["sample_weights"] = self.weights
        for block, x in own.items():
            arrays |= {} if x is None else foreign_arrays(block, x)
        for block in plan.sizes:
            if block.partition(":")[0] == "output":
                arrays[block] = np.empty(plan.sizes[block], model.dtype)
        return cpu.Executor(plan, arrays)

    def complex(self) -> Case:
        """Return the case in complex128, as arrays of its own."""
        arrays = {name: getattr(self, name) for name in ("x", "y", "states", "directions", "weights")}
        return replace(self, **{k: a.astype(np.complex128) for k, a in arrays.items() if a is not None})


def plain_copy(model: Model, dtype: str) -> Model:
    """Return a copy whose states come from the case alone, and whose only figure is the loss."""
    if not isinstance(model, Stack):
        raise ValueError(f"model must be a model such as nbrnn.Sequential(...), not {type(model).__name__}.")
    twin = copy_model(model, dtype)
    twin.metrics = ()
    for layer in (leaf for one in twin.layers for leaf in one.leaves()):
        if isinstance(layer, Recurrent):
            layer.stateful = False
    return twin


def run_loss(executor: cpu.Executor, model: Model) -> complex:
    """Run the program once and return the loss of the batch; a complex one is logged as pairs.

    The first of the model's figures is the loss; what follows on the last of them are projections of states.
    """
    masked = executor.plan.masked
    places = model.places_under(masked)
    row = executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)[1][0]
    total = row.view(np.complex128) if executor.private["stats"].dtype.kind == "c" else row
    samples, ends = executor.plan.samples, (places[0], places[-1].stop) if places else (slice(0, 1), 1)
    loss, projections = total[ends[0]], total[ends[1] :].sum() if places else 0.0
    if masked and len(masked) == 1:
        return complex(loss[:-1].sum() / max(1.0, loss[-1].real) + projections / samples)
    return complex(loss.sum() + projections) / samples


def run_backward(model: Model, case: Case) -> tuple[float, dict[str, np.ndarray]]:
    """Run forward and backward once; return the loss and the gradients, summed over the shards."""
    executor = case.executor(model, TRAIN)
    loss = run_loss(executor, model)
    return float(loss.real), read_gradients(model, case, executor)


def read_gradients(model: Model, case: Case, executor: cpu.Executor) -> dict[str, np.ndarray]:
    """Return the gradients that a run has left, by name: every parameter's, "x" and those of the first states."""
    gradients: dict[str, np.ndarray] = {}
    for layer in model.layers:
        for name, view in layer._views().items():
            full = f"{layer.name}/{name}"
            at = model.layout.buffers[full].offset
            parts = executor.private["grads"][:, at : at + view.size]
            gradients[full] = parts.sum(axis=0).reshape(view.shape)

    def collected(name: str, axis: int) -> np.ndarray:
        plan, parts = executor.plan, []
        for s in range(plan.shards):
            program = plan.programs[min(plan.shard, len(case.x) - s * plan.shard)]
            parts.append(executor.view(program[name], s))
        return np.concatenate(parts, axis)

    for name, array in zip(input_buffers(model.graph), arrays_of(case.x), strict=True):
        place = f"{name} gradient"
        gradients[name] = collected(place, 1).swapaxes(0, 1) if array.ndim == 3 else collected(place, 0)
    if case.states is not None:
        for state in model._units():
            layer_name, _, name = state.rpartition("/")
            gradients[f"{state}0"] = collected(f"{layer_name}/d{name}0", 0)
    return gradients
