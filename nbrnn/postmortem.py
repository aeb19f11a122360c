"""What led to a number that is not finite: the first buffer, layer, step and gate, and norms by step.

The place is read from the buffers as the failing batch has left them. The norms come from that batch once more, with a
tape, in float64, and from the last finite weights: there most numbers that overflow float32 are finite.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .kernels.abi import STATUS
from .kernels.optimizers import UPDATE_NOT_FINITE
from .lowering import make_plan
from .memory import NotEnoughMemoryError
from .program import BLOCKS, FOREIGN
from .saving import copy_model
from .targets import cpu

if TYPE_CHECKING:
    from .model import Model
    from .program import Buffer, Call, Program

GATES = {"lstm": ("i", "f", "n", "o"), "gru": ("z", "r", "n")}  # by the first word of a kernel's name
COMPUTED = ("a", "gates", "hWn", "rh", "c", "act_c", "h")  # a step's forward pass, in its order
ROWS, BAR = 20, 44  # of a chart: the steps shown, and the longest bar
IN_WORDS = {
    "stats": "the loss itself (what the network put out is finite, but it or the targets are so large that the loss "
    "is not)"
}
ADVICE = "The last finite weights are kept; try a smaller learning_rate, clipping or scaled data."


@dataclass(frozen=True)
class Place:
    """Where a number stands: steps are counted from 1."""

    buffer: str
    layer: str = ""
    step: int | None = None
    gate: str | None = None

    def __str__(self) -> str:
        parts = [f"step {self.step}"] * (self.step is not None) + [f"gate {self.gate}"] * (self.gate is not None)
        return f"{self.buffer} ({', '.join(parts)})" if parts else IN_WORDS.get(self.buffer, self.buffer)


class DivergedError(ValueError):
    """A loss, a gradient or a step became infinite or NaN; the model keeps the last finite weights.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 0.
    buffer : str
        The first buffer of the program that held such a number.
    layer : str
        The layer that wrote it; empty if none did.
    step : int or None
        The time step, counted from 1, where the buffer is a sequence.
    gate : str or None
        i, f, n or o of an LSTM, z, r or n of a GRU.
    """

    def __init__(self, what: str, epoch: int, batch: int, place: Place, replay: Replay) -> None:
        self.headline = f"{what} is not finite in epoch {epoch + 1}, batch {batch + 1}"
        super().__init__(f"{self.headline}: the first such number stands in {place}. {ADVICE}")
        self.epoch, self.batch, self.place = epoch, batch, place
        self.buffer, self.layer, self.step, self.gate = place.buffer, place.layer, place.step, place.gate
        self._replay = replay

    @property
    def gradient_norms(self) -> dict[str, np.ndarray]:
        """The norm of dL/dh by time step, of every recurrent layer, for the failing batch at the last finite weights.

        The batch is run again in float64 when they are first asked for.
        """
        return self._replay.norms[0]

    @property
    def state_norms(self) -> dict[str, np.ndarray]:
        """The norm of h by time step, of every recurrent layer, as for `gradient_norms`."""
        return self._replay.norms[1]

    def report(self) -> str:
        """Return what is known as text of at most 80 columns, with a chart of the norms by step."""
        lines = textwrap.wrap(f"{self.headline}: the first such number stands in {self.place}. {ADVICE}", 80)
        try:
            gradients, states = self.gradient_norms, self.state_norms
        except NotEnoughMemoryError as error:
            return "\n".join([*lines, "", "The batch was not run again:", *textwrap.wrap(str(error), 80)])
        if gradients:
            lines += ["", "The failing batch once more, in float64, at these weights (logarithmic bars):"]
        for layer, norms in gradients.items():
            lines += ["", f"{layer}: norm of the state h, from the first step to the last"]
            lines += _chart(states[layer], list(range(len(norms))))
            lines += ["", f"{layer}: norm of dL/dh, from the last step back to the first"]
            lines += _chart(norms, list(range(len(norms)))[::-1])
        return "\n".join(lines)


class Replay:
    """The failing batch, to be run again: what the run read is kept as it was."""

    def __init__(self, model: Model, executor: cpu.Executor, batch: int, epoch: int, step: int) -> None:
        self.model, self.executor = model, executor
        self.batch, self.epoch, self.step = batch, epoch, step
        self.weights, self.order = model.get_weights(), executor.order.copy()
        self.states = model.states
        self.key = next((key for key, other in model._executors.items() if other is executor), None)
        self.foreign = {name: a for name, a in executor.arrays.items() if BLOCKS[name][1] == FOREIGN}

    @cached_property
    def norms(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The norms of dL/dh and of h by step, for every recurrent layer; none if the run is not the model's own."""
        if self.key is None:
            return {}, {}
        twin = copy_model(self.model, "float64")
        twin.set_weights(self.weights)
        mode, x, y, batch, options, weights = self.key
        plan = make_plan(twin, mode, x, y, batch, replace(options, tape=True), weights)
        arrays = {"params": twin.params, "order": self.order}
        for name, array in self.foreign.items():
            if name not in ("order", "carried"):
                arrays[name] = array.astype(twin.dtype) if BLOCKS[name][0] == "model" else array
        if self.states:
            twin.set_states(self.states)
            assert twin._carried is not None
            arrays["carried"] = twin._carried
        again = cpu.Executor(plan, arrays)
        again.run(self.batch, self.batch + 1, shuffle=0, seed=self.model.seed, epoch=self.epoch, step=self.step)
        layers = [str(layer.name) for layer in twin.recurrent()]
        dh, h = ({name: self._norms(again, f"{name}/{key}") for name in layers} for key in ("dh", "h"))
        return dh, {name: norms[1:] for name, norms in h.items()}

    def _norms(self, executor: cpu.Executor, name: str) -> np.ndarray:
        parts = [executor.view(program[name], s) for s, program in shards(executor, self.batch)]
        numbers = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        largest = np.abs(numbers).max(axis=1)  # its square may overflow
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(((numbers / scale[:, None]) ** 2).sum(axis=1)) * scale)


def shards(executor: cpu.Executor, batch: int) -> list[tuple[int, Program]]:
    """Return the shards of a batch, counted over all epochs, with their programs."""
    plan = executor.plan
    start = batch % -(-plan.samples // plan.batch) * plan.batch
    size = min(plan.batch, plan.samples - start)
    return [(s, plan.programs[min(plan.shard, size - s * plan.shard)]) for s in range(-(-size // plan.shard))]


def diverged(
    model: Model, executor: cpu.Executor, batch: int, epoch: int, place: tuple[int, int], loss: float
) -> DivergedError:
    """Return what to raise: `batch` is the executor's count, `place` the epoch and the batch as users count them."""
    _restore_states(model, executor, batch)
    replay = Replay(model, executor, batch, epoch, model.steps - batch)
    if executor.control[0, STATUS] == UPDATE_NOT_FINITE:
        return DivergedError("the optimizer's step", *place, Place("the new parameters"), replay)
    what = "a gradient" if np.isfinite(loss) else "the loss"
    for s, program in shards(executor, batch):
        found = first_not_finite(executor, program, s)
        if found is not None:
            return DivergedError(what, *place, found, replay)
    return DivergedError(what, *place, Place("the sum over the parts of the batch"), replay)


def _restore_states(model: Model, executor: cpu.Executor, batch: int) -> None:
    """Set carried states back to what they were before the batch, which is what the kept weights were run with."""
    start = 0
    for s, program in shards(executor, batch) if model.stateful else []:
        for name, view in model._carried_views().items():
            first = executor.view(program[f"{name} first"], s)
            view[start : start + len(first)] = first
        start += program.samples


def first_not_finite(executor: cpu.Executor, program: Program, shard: int) -> Place | None:
    """Return the first place, in the order of the calls and of the steps, of a number that is not finite.

    What stands in a buffer is what the last call has written there.
    """
    later = [[b for b in call.buffers(written=True) if b.block == "work"] for call in program.calls]
    for k, call in enumerate(program.calls):
        found = []
        for rank, buffer in enumerate(call.buffers(written=True)):
            if any(_overlap(buffer, other) for others in later[k + 1 :] for other in others):
                continue
            bad = np.argwhere(~np.isfinite(executor.view(buffer, shard)))
            if len(bad):
                found.append(_placed(program, call, buffer, bad, rank))
        if found:
            return min(found, key=lambda pair: pair[0])[1]
    return None


def _overlap(a: Buffer, b: Buffer) -> bool:
    """Return whether two buffers share memory."""
    return a.block == b.block and a.offset < b.offset + b.size and b.offset < a.offset + a.size


def _placed(
    program: Program, call: Call, buffer: Buffer, bad: np.ndarray, rank: int
) -> tuple[tuple[float, int], Place]:
    """Return when a buffer's first bad number was computed, and where it stands."""
    name, state = buffer.name.rpartition("/")[2], program.layout.buffers.get(f"{call.layer}/h")
    if state is None or buffer.size == 0 or len(buffer.shape) != 3:
        return (np.inf, rank), Place(buffer.name, call.layer)
    steps, back = state.shape[0] - 1, name.startswith("d")
    if buffer.shape[0] not in (steps, steps + 1):
        return (np.inf, rank), Place(buffer.name, call.layer)
    first = bad[:, 0].max() if back else bad[:, 0].min()
    step = max(1, int(first) + (buffer.shape[0] == steps))
    gates, gate = GATES.get(call.kernel.partition("_")[0], ()), None
    if gates and name in ("a", "gates", "da"):
        which = int(bad[bad[:, 0] == first, -1].min()) // state.shape[2]
        gate = gates[which] if which < len(gates) else None
    elif name == "hWn":
        gate = "n"
    rank = COMPUTED.index(name) if name in COMPUTED else rank
    return (-step if back else step, rank), Place(buffer.name, call.layer, step, gate)


def _chart(norms: np.ndarray, order: list[int]) -> list[str]:
    """Return a line a step, with a bar, and what a step multiplies the norm by; of many steps some."""
    shown = order
    if len(order) > ROWS:
        shown = [order[k] for k in sorted({round(k) for k in np.linspace(0, len(order) - 1, ROWS)})]
    usable = norms[np.isfinite(norms) & (norms > 0)]
    low, high = (np.log(usable.min()), np.log(usable.max())) if len(usable) else (0.0, 0.0)
    width, lines = len(str(len(order))), []
    for t in shown:
        bar = ""
        if np.isfinite(norms[t]) and norms[t] > 0:
            bar = "#" * (1 + round((BAR - 1) * (np.log(norms[t]) - low) / max(high - low, 1e-9)))
        lines.append(f"  step {t + 1:>{width}} {norms[t]:>10.3g}  {bar}".rstrip())
    first, last = norms[order[0]], norms[order[-1]]
    if len(order) > 1 and np.isfinite([first, last]).all() and first > 0 and last > 0:
        ratio = (np.log(last) - np.log(first)) / (len(order) - 1)
        lines.append(f"  on average a step multiplies it by {np.exp(ratio):.3g}")
    return lines
