"""The driver of a fit: asks the runner for about 50 ms of batches at a time, and keeps the history.

Between two native calls Ctrl-C is heard, progress is shown and callbacks act. Where nothing has to happen between
epochs, one call runs across them; where a callback wants every batch, a call runs one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from .callbacks import Callbacks
from .postmortem import diverged
from .progress import Progress
from .recording import TerminateOnNaN
from .targets.runner import AGAIN

if TYPE_CHECKING:
    from .checkpoint import Keeper
    from .model import Model
    from .optimizers import Optimizer
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
    validated : list of int
        Those after which the validation was evaluated: the "val_" figures have a value for each of these only.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    validated: list[int] = field(default_factory=list, repr=False)

    def extend(self, first: int, figures: dict[str, list[float]]) -> None:
        """Append the figures of several epochs."""
        self.epoch += range(first, first + len(next(iter(figures.values()))))
        for name, values in figures.items():
            self.history.setdefault(name, []).extend(values)

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        """Append an epoch's figures."""
        self.epoch.append(epoch)
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)


class Interrupt:
    """Hears Ctrl-C without being torn out of the bookkeeping: `came` is looked at between two native calls.

    A KeyboardInterrupt raised while Numba compiles can come up in a callback of LLVM's, where it is lost.
    """

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


class Fit:
    """A fit under way: where it stands, and what happens between two native calls.

    Attributes
    ----------
    done, total : int
        Batches, over all epochs of the fit.
    epoch0, step0 : int
        The model's epochs and steps when it began.
    begun : bool
        Whether the callbacks know of the epoch that is not finished.
    ended : bool
        Whether the fit has stopped within an epoch, which is in the history all the same.
    rows : list of arrays
        The log of the epoch that is not finished: sums of its figures, a row a batch.
    """

    def __init__(
        self,
        model: Model,
        executor: Executor,
        epochs: int,
        shuffle: bool,
        verbose: int = 0,
        validate: Callable[[], dict[str, float]] | None = None,
        callbacks: Callbacks | None = None,
        initial_epoch: int = 0,
        keeper: Keeper | None = None,
        when: int | list[int] = 1,
    ) -> None:
        plan = executor.plan
        callbacks = Callbacks((), model) if callbacks is None else callbacks
        self.model, self.executor, self.validate = model, executor, validate
        self.callbacks, self.keeper, self.shuffle = callbacks, keeper, shuffle
        self.masked, self.when = plan.masked, when
        self.samples, self.batch, self.batches = plan.samples, plan.batch, -(-plan.samples // plan.batch)
        self.first, self.epochs = initial_epoch, epochs
        self.done, self.total = 0, self.batches * (epochs - initial_epoch)
        self.epoch0, self.step0 = model.epochs, model.steps
        self.begun = self.ended = False
        self.figures = executor.figures
        self.rows: list[np.ndarray] = []
        self.history = model.history = History()
        self.progress = Progress(epochs, self.batches, verbose, initial_epoch)
        self.between = validate is not None or verbose > 0 or len(callbacks) > 0
        self.pace = first_guess(executor)
        self.order_known = True

    @property
    def stopped(self) -> bool:
        """Whether there is nothing left to do."""
        return self.done >= self.total or (len(self.callbacks) > 0 and self.model.stop_training)

    def run(self) -> History:
        """Run the epochs. A KeyboardInterrupt leaves the weights of the last finished batch and `model.history`."""
        interrupt = Interrupt()
        try:
            self._begin()
            while not self.stopped:
                if interrupt.came:
                    if self.keeper is not None:
                        self.keeper.save(self, always=True)
                    raise KeyboardInterrupt
                self._advance()
            self.callbacks("on_train_end", {name: values[-1] for name, values in self.history.history.items()})
        finally:
            interrupt.restore()
            self.progress.stop()
        if interrupt.came:  # in the last native call: the fit is whole, but Ctrl-C must not be lost
            raise KeyboardInterrupt
        return self.history

    def _begin(self) -> None:
        """Tell the callbacks, and go to where a checkpoint was written."""
        if not self.callbacks and self.keeper is None:
            return
        names = self.model.metrics_names
        names = [*names, *(f"val_{name}" for name in names if self.validate), "learning_rate"]
        params = {"epochs": self.epochs, "steps": self.batches, "verbose": self.progress.verbose, "metrics": names}
        self.callbacks.begin(params, self.progress.say)
        if self.keeper is not None:
            self.keeper.restore(self)
            self.order_known = self.done % self.batches == 0
            self.progress.begin(self.done)
        self._refresh()

    def _refresh(self) -> None:
        """Hand over what callbacks may have changed."""
        if self.model.optimizer is not None:
            set_hyper(self.executor, self.model.optimizer)
        if self.model.stateful:  # reset_states() drops them
            self.executor.feed(carried=self.model._carry(self.samples, self.batch))

    def _stop(self) -> int:
        """Return the batch at which the next native call stops."""
        if self.callbacks.each_batch:
            return self.done + 1
        limit = (self.done // self.batches + 1) * self.batches if self.between else self.total
        if self.keeper is not None:
            limit = self.keeper.limit(self.done, limit)
        return min(limit, self.done + max(1, int(SLICE / self.pace)))

    def _advance(self) -> None:
        """Run some batches in one native call, and do what comes before and after it."""
        place = self.done % self.batches
        if self.callbacks and not self.begun:
            self.callbacks("on_epoch_begin", self.first + len(self.history.epoch), {})
            self.begun = True
            self._refresh()
        if self.callbacks.each_batch:
            self.callbacks("on_train_batch_begin", place, {})
            self._refresh()
        stop, started, before = self._stop(), time.perf_counter(), self.done
        shuffle = (1 if self.order_known else AGAIN) if self.shuffle else 0
        where = {"epoch": self.epoch0, "step": self.step0}
        reached, rows = self.executor.run(before, stop, shuffle=shuffle, seed=self.model.seed, **where)
        self.pace = max((time.perf_counter() - started) / (stop - before), 1e-8)
        self.order_known = True
        self.done, self.model.steps = reached, self.step0 + reached
        if reached > before:
            self.rows.append(rows[: reached - before])
        if self.callbacks.each_batch and reached == stop:
            self.callbacks("on_train_batch_end", place, self._so_far())
        self._end_epochs(reached // self.batches - before // self.batches)
        if reached < stop:
            self._diverge(rows[-1:])
        elif self.callbacks and self.model.stop_training and self.rows:
            self._end_within()
        elif self.rows and self.progress.wants():
            self.progress.update(len(self.history.epoch) + self.first, self.done % self.batches, self._so_far())
        if self.keeper is not None:
            self.keeper.save(self, always=self.stopped)

    def _so_far(self) -> dict[str, float]:
        """Return the means over the batches of the epoch that is not finished."""
        self.rows = [np.concatenate(self.rows)] if len(self.rows) > 1 else self.rows
        count = len(self.rows[0])
        return self.model.figures_of(self.rows[0].sum(axis=0), min(count * self.batch, self.samples), self.masked)

    def _end_epochs(self, whole: int) -> None:
        """Take the epochs that are finished out of the log."""
        if not whole:
            return
        log, width = np.concatenate(self.rows), whole * self.batches
        self.rows = [log[width:]] if len(log) > width else []
        sums = log[:width].reshape(whole, self.batches, self.figures).sum(axis=1)
        if self.between:
            for row in sums:
                self._end_epoch(self.model.figures_of(row, self.samples, self.masked))
            return
        found = self.model.histories_of(sums, self.samples, self.masked)
        self.history.extend(self.first + len(self.history.epoch), found)
        self.model.epochs = self.epoch0 + len(self.history.epoch)

    def _end_within(self) -> None:
        """End the fit within an epoch, whose figures are the means so far."""
        figures = self._so_far()
        self.rows, self.ended = [], True
        self._end_epoch(figures)

    def _end_epoch(self, figures: dict[str, float]) -> None:
        """Validate, tell the callbacks, and keep the figures."""
        model, epoch, callbacks = self.model, self.first + len(self.history.epoch), self.callbacks
        model.epochs = self.epoch0 + len(self.history.epoch) + 1
        if self.validate is not None and self.validates(epoch + 1):
            callbacks("on_test_begin", {})
            held = self.validate()
            callbacks("on_test_end", dict(held))
            figures |= {f"val_{name}": value for name, value in held.items()}
            self.history.validated.append(epoch)
        logs = dict(figures)
        if callbacks and model.optimizer is not None:
            logs["learning_rate"] = model.optimizer.rate_at(model.steps - model.began)
            callbacks("on_epoch_end", epoch, logs)
            if not callbacks.keeps_rate:
                del logs["learning_rate"]
            logs = {name: float(value) for name, value in logs.items() if isinstance(value, Real)}
            self.begun = False
            self._refresh()
        self.history.add(epoch, logs)
        if self.progress.verbose:
            self.progress.epoch_end(epoch, figures, self.stopped or epoch + 1 == self.epochs)

    def validates(self, epoch: int) -> bool:
        """Return whether the validation is evaluated after an epoch, counted from 1."""
        return epoch % self.when == 0 if isinstance(self.when, int) else epoch in self.when

    def _diverge(self, row: np.ndarray) -> None:
        """Raise, or end the fit if a callback asks for it."""
        place = (self.first + len(self.history.epoch), self.done % self.batches)
        error = diverged(self.model, self.executor, self.done, self.epoch0, place, row[0, 0])
        quiet = [each for each in self.callbacks if isinstance(each, TerminateOnNaN)]
        if not quiet:
            raise error
        for each in quiet:
            each.diverged(error)
        self.model.stop_training = True
        self.rows.append(row)  # as in Keras, the history shows that the loss was not finite
        self._end_within()


def set_hyper(executor: Executor, optimizer: Optimizer) -> None:
    """Hand an optimizer's numbers, which may have been changed, to what runs."""
    executor.set_numbers(optimizer.hyper())


def run_once(executor: Executor, seed: int = 0, draw: int = 0) -> np.ndarray:
    """Run all batches in order, in slices, and return their log; a figure that is not finite stops nothing.

    The seed and the number of the draw decide the masks of a sampled prediction.
    """
    plan, rows, done, pace = executor.plan, [], 0, first_guess(executor)
    executor.order[:] = np.arange(plan.samples)
    batches = -(-plan.samples // plan.batch)
    interrupt = Interrupt()
    try:
        while done < batches and not interrupt.came:
            stop, started = min(batches, done + max(1, int(SLICE / pace))), time.perf_counter()
            log = executor.run(done, stop, shuffle=False, seed=seed, epoch=draw, step=0)[1]
            pace = max((time.perf_counter() - started) / len(log), 1e-8)
            done += len(log)
            rows.append(log)
    finally:
        interrupt.restore()
    if interrupt.came:
        raise KeyboardInterrupt
    return np.concatenate(rows)


def first_guess(executor: Executor) -> float:
    """Return the seconds that a batch may take at 2 GFLOP/s: enough for a first slice that is not too long."""
    return 1e-6 + executor.plan.flops / 2e9
