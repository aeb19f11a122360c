"""What a custom cell lays open: its declared arrays by name, forward from the run, and its steps back in plain Python.

The steps back are the cell's own `backward` on the run's numbers; what they give must be the run's gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cells import Cell
from ..rehearsal import lengths
from .cells import Arrays, OpenedRecurrent, Read, agree
from .numbers import Numbers

if TYPE_CHECKING:
    from . import LayerTrace, Step


class OpenedCell(OpenedRecurrent):
    """A custom cell: x, the states before and after, the tape; dh, what a step back works out, and its shares."""

    layer: Cell

    def __init__(
        self, layer: Cell, read: Read, inputs: list[np.ndarray], dy: np.ndarray | None, valid: np.ndarray | None = None
    ) -> None:
        self.letters = {name: name for name in layer.steps.params}  # type: ignore[misc]
        super().__init__(layer, read, inputs, dy, valid)

    def open_forward(self, x: np.ndarray) -> Arrays:
        own = self.layer.steps
        states = {k: v for name in own.carry for k, v in self.states(name).items()}
        before = {f"{name}_prev": states[f"{name}_prev"] for name in own.carry}
        sizes = {"B": 1, "D": x.shape[-1], "H": self.layer.units}
        tape = {}
        for name, dims in own.tape.items():
            kept = self.read(name).reshape(len(x), *lengths(dims, sizes))
            tape[name] = kept[:, 0] if dims.startswith("B") else kept
        return {"x": x} | before | tape | {name: states[name] for name in own.carry}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        first, *others = self.layer.steps.carry
        forward, from_loss, T = self.forward, self.from_loss(dy), len(self.forward["x"])
        if not T:  # no step counts: one of zeros tells the shapes
            forward = {name: np.zeros((1, *array.shape[1:])) for name, array in forward.items()}
            from_loss = np.zeros_like(forward[first])
        flows = {f"d{name}": np.zeros(self.layer.units) for name in self.layer.steps.carry}
        steps: list[Arrays] = []
        for t in range(max(T, 1) - 1, -1, -1):
            future = flows[f"d{first}"]
            own = {f"d{first}_loss": from_loss[t], f"d{first}_future": future, f"d{first}": from_loss[t] + future}
            own |= {f"d{name}": flows[f"d{name}"] for name in others}
            numbers = {name: array[t] for name, array in forward.items()}
            steps.append(own | step_back(self.layer, self.weights, numbers | own))
            flows = {f"d{name}": steps[-1][f"d{name}_prev"] for name in self.layer.steps.carry}
        every = {name: np.stack([step[name] for step in reversed(steps)])[:T] for name in steps[0]}
        agree(f"{self.name}: d{first}", every[f"d{first}"], self.read(f"d{first}"))
        return every


def step_back(layer: Cell, weights: Arrays, numbers: Arrays) -> Arrays:
    """Run a cell's backward on one step of one sample; return what it writes, sums from zero on."""
    own, sizes = layer.steps, {"B": 1, "D": numbers["x"].shape[-1], "H": layer.units}
    dims = {"x": "B,D"} | {f"{n}{end}": "B,H" for n in own.carry for end in ("", "_prev")} | own.tape
    dims |= {f"d{name}": "B,H" for name in own.carry}
    given = {n: np.array(numbers[n]).reshape(lengths(d, sizes)) for n, d in dims.items()} | weights | layer.values
    given |= {f"{name}_T": np.ascontiguousarray(weights[name].T) for name in own.turned}
    outputs = dict(own.scratch) | {"dx": "B,D"} | {f"d{name}_prev": "B,H" for name in own.carry}
    written = {name: np.zeros(lengths(text, sizes)) for name, text in outputs.items()}
    written |= {f"d{name}": np.zeros_like(weights[name]) for name in own.params}
    names = own.backward.__code__.co_varnames[: own.backward.__code__.co_argcount]
    own.backward(*((given | written)[name] for name in names))
    return {n: a[0] if outputs.get(n, "").startswith("B") else a for n, a in written.items()}


def cell_flows(layer: LayerTrace, received: np.ndarray) -> Iterator[Arrays]:
    """Yield, from the last step to the first, what each makes of the loss at every step, a row a step of the loss."""
    own, T = layer.layer.steps, len(layer.steps)
    flows = [{f"d{name}": np.zeros(layer.layer.units) for name in own.carry} for _ in received]
    for k in range(T - 1, -1, -1):
        seen = k - (T - len(received))
        if seen >= 0:
            flows[seen][f"d{own.carry[0]}"] = received[seen]
        if layer.steps[k].masked:
            yield {f"d{name}": np.zeros((len(flows), *W.shape)) for name, W in layer.weights.items()}
            continue
        numbers = {name: layer.steps[k][name] for name in layer.steps[k].names}
        made = [step_back(layer.layer, layer.weights, numbers | flow) for flow in flows]
        flows = [{f"d{name}": row[f"d{name}_prev"] for name in own.carry} for row in made]
        yield {name: np.stack([row[name] for row in made]) for name in made[0]}


def described(step: Step, skip: tuple[str, ...], number: Numbers) -> Iterator[str]:
    """Yield a line a quantity, which stands there as a vector."""
    for name in step.names:
        if name not in skip:
            yield f"  {name} = {number.vector(np.atleast_1d(step[name]).reshape(-1))}"


def equations(layer: Any) -> str:
    """Return what a cell's docstring says of it."""
    return "\n".join((type(layer).__doc__ or "").strip().splitlines()[:1]) if isinstance(layer, Cell) else ""
