"""The driver of a fit: asks the runner for about 50 ms of batches at a time, and keeps the history.

Between two native calls Ctrl-C is heard and progress is shown. Where nothing has to happen between epochs, one call
runs across them.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .kernels.abi import STATUS
from .kernels.optimizers import UPDATE_NOT_FINITE
from .progress import Progress

if TYPE_CHECKING:
    from .model import Model
    from .program import Program
    from .targets.cpu import Executor

SLICE = 0.05  # seconds of batches in one native call


@dataclass
class History:
    """What a fit recorded.

    Attributes
    ----------
    history : dict of str to list of float
        For each figure ("loss", "val_loss", metrics) its value at every epoch.
    epoch : list of int
        The epochs, counted from 0.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        """Append an epoch's figures."""
        self.epoch.append(epoch)
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)


class Interrupt:
    """Hears Ctrl-C without being torn out of the bookkeeping: `came` is looked at between two native calls."""

    def __init__(self) -> None:
        self.came = False
        main = threading.current_thread() is threading.main_thread()
        self.ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.ours:
            signal.signal(signal.SIGINT, self._hear)

    def _hear(self, number: int, frame: object) -> None:
        self.came = True

    def restore(self) -> None:
        """Give Ctrl-C back."""
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class DivergedError(ValueError):
    """A loss, a gradient or a step became infinite or NaN; the model keeps the last finite weights.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 0.
    buffer : str
        The first buffer of the program that held such a number.
    """

    def __init__(self, what: str, epoch: int, batch: int, buffer: str, where: str) -> None:
        super().__init__(
            f"{what} is not finite in epoch {epoch + 1}, batch {batch + 1}: the first such number stands in {buffer}"
            f"{where}. The last finite weights are kept; try a smaller learning_rate, clipping or scaled data."
        )
        self.epoch, self.batch, self.buffer = epoch, batch, buffer


def train(
    model: Model,
    executor: Executor,
    epochs: int,
    *,
    shuffle: bool,
    verbose: int,
    validate: Callable[[], dict[str, float]] | None,
) -> History:
    """Run a fit's epochs. A KeyboardInterrupt leaves the weights of the last finished batch and `model.history`."""
    batches = -(-executor.plan.samples // executor.plan.batch)
    total = batches * epochs
    history = model.history = History()
    progress, interrupt = Progress(epochs, batches, verbose), Interrupt()
    stops_between = validate is not None or verbose > 0
    pace, done, step0 = first_guess(executor), 0, model.steps
    log = np.zeros((0, len(model.figures)))  # of the epoch that is not finished
    try:
        while done < total:
            if interrupt.came:
                raise KeyboardInterrupt
            limit = min(total, (done // batches + 1) * batches) if stops_between else total
            stop = min(limit, done + max(1, int(SLICE / pace)))
            started = time.perf_counter()
            reached, rows = executor.run(done, stop, shuffle=shuffle, seed=model.seed, epoch=model.epochs, step=step0)
            log = np.concatenate([log, rows[: reached - done]])
            pace = max((time.perf_counter() - started) / (stop - done), 1e-8)
            done, model.steps = reached, step0 + reached
            whole = len(log) // batches
            for sums in log[: whole * batches].reshape(whole, batches, log.shape[1]).sum(axis=1):
                finished = len(history.epoch)
                figures = model.figures_of(sums, executor.plan.samples)
                if validate is not None:
                    figures |= {f"val_{name}": value for name, value in validate().items()}
                history.add(finished, figures)
                progress.epoch_end(finished, figures)
            log = log[whole * batches :]
            if reached < stop:
                _diverged(executor, reached, batches, rows[-1, 0])
            if len(log):
                seen = min(len(log) * executor.plan.batch, executor.plan.samples)
                progress.update(done // batches, len(log), model.figures_of(log.sum(axis=0), seen))
    finally:
        interrupt.restore()
        model.epochs += len(history.epoch)
        if done < total:
            progress.stop()
    if interrupt.came:  # in the last native call: the fit is whole, but Ctrl-C must not be lost
        raise KeyboardInterrupt
    return history


def run_once(executor: Executor) -> np.ndarray:
    """Run all batches in order, in slices, and return their log; a figure that is not finite stops nothing."""
    plan, rows, done, pace = executor.plan, [], 0, first_guess(executor)
    executor.order[:] = np.arange(plan.samples)
    batches = -(-plan.samples // plan.batch)
    while done < batches:
        stop, started = min(batches, done + max(1, int(SLICE / pace))), time.perf_counter()
        log = executor.run(done, stop, shuffle=False, seed=0, epoch=0, step=0)[1]
        pace = max((time.perf_counter() - started) / len(log), 1e-8)
        done += len(log)
        rows.append(log)
    return np.concatenate(rows)


def first_guess(executor: Executor) -> float:
    """Return the seconds that a batch may take at 2 GFLOP/s: enough for a first slice that is not too long."""
    plan = executor.plan
    flops = max(sum(c.flops for c in p.calls) for p in plan.programs.values()) * plan.shards
    return 1e-6 + flops / 2e9


def _diverged(executor: Executor, batch: int, batches: int, loss: float) -> None:
    """Find the first buffer that is not finite, in the order of the calls, and raise."""
    plan, place = executor.plan, batch % batches
    if executor.control[0, STATUS] == UPDATE_NOT_FINITE:
        raise DivergedError("the optimizer's step", batch // batches, place, "the new parameters", "")
    what = "a gradient" if np.isfinite(loss) else "the loss"
    size = min(plan.batch, plan.samples - place * plan.batch)
    for s in range(-(-size // plan.shard)):
        program = plan.programs[min(plan.shard, size - s * plan.shard)]
        found = first_not_finite(executor, program, s)
        if found is not None:
            raise DivergedError(what, batch // batches, place, *found)
    raise DivergedError(what, batch // batches, place, "the sum over the shards", "")


def first_not_finite(executor: Executor, program: Program, shard: int) -> tuple[str, str] | None:
    """Return the first buffer, in the order of the calls, that holds a number that is not finite, and its step."""
    for call in program.calls:
        for buffer in call.buffers(written=True):
            bad = np.argwhere(~np.isfinite(executor.view(buffer, shard)))
            if len(bad):
                return buffer.name, f" (step {max(1, bad[0][0])})" if buffer.name.endswith("/h") else ""
    return None
