"""The trainings that a sweep is made of: one setting, one seed, one error on the validation rows; many at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .backtest import NETWORK, Backtest
from .callbacks import Callback, Logs
from .optimizers import OPTIMIZERS
from .problems import VALIDATION, Problem
from .recipes import Recipe

SWEPT = ("cell", "units", "window", "learning_rate", "dropout")  # what the settings of a sweep differ in
WAKE = 0.2  # seconds after which the waiting thread looks up, so that Ctrl-C is heard on every system


@dataclass(frozen=True)
class Trial:
    """One training, and what came of it.

    Attributes
    ----------
    recipe : Recipe
        With one seed.
    error : float
        On the validation rows; NaN if the training failed.
    parameters : int
        Trainable numbers of the network.
    epochs : int
        That were run.
    seconds : float
        Of processor time for the training.
    failure : str
        Why it failed; empty if it did not.
    lost : bool
        Whether it is the machine that failed, so that another try may succeed.
    """

    recipe: Recipe
    error: float
    parameters: int
    epochs: int
    seconds: float
    failure: str = ""
    lost: bool = False


def plain(recipe: Recipe) -> Recipe:
    """Return a recipe of one network with its learning rate spelt out, so that equal settings are equal."""
    optimizer: Any = OPTIMIZERS[recipe.optimizer]
    rate = float(optimizer().learning_rate if recipe.learning_rate is None else recipe.learning_rate)
    units = tuple(map(int, recipe.units))
    return replace(recipe, units=units, learning_rate=rate, dropout=float(recipe.dropout), seeds=1)


class Stopped(Exception):
    """Nobody waits for this training any more."""


class _Watch(Callback):
    """Ends a fit at the end of an epoch, once an event is set."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.stop.is_set():
            raise Stopped


@dataclass(frozen=True, eq=False)
class Judge:
    """Trains recipes on a problem and scores them on its validation rows.

    Attributes
    ----------
    problem : Problem
    metric : {"rmse", "mae", "mase"}
        Of all steps together, the mean over the targets.
    references : dict of int to Backtest
        What came, by the rows that a forecast looks back on.
    """

    problem: Problem
    metric: str
    references: dict[int, Backtest]

    def __call__(self, recipe: Recipe, stop: threading.Event | None = None) -> Trial:
        """Train a network and score it; a training that fails is told of, not raised.

        Raises
        ------
        Stopped
            If `stop` is set before the training has ended.
        """
        begun, parameters, epochs = time.thread_time(), 0, 0
        try:
            forecaster = self.problem.forecaster(recipe)
            parameters = forecaster.model.count_params()
            watch = [] if stop is None else [_Watch(stop)]
            self.problem.train(forecaster, recipe, verbose=0, callbacks=watch)
            seconds, epochs = time.thread_time() - begun, len(forecaster.model.history.epoch)
            held, past = self.problem.parts[VALIDATION], forecaster.past
            found = forecaster.predict(self.problem.table[held.start - past : held.stop], stride=1)
            reference = self.references[past]
            network = {NETWORK: np.asarray(found).reshape(reference.actual.shape)}
            error = score(replace(reference, predicted=network), self.metric, NETWORK)
            failure = "" if np.isfinite(error) else "its forecasts are not finite"
        except (ValueError, FloatingPointError, MemoryError) as problem:  # DivergedError among them
            seconds, error, failure = time.thread_time() - begun, float("nan"), str(problem) or type(problem).__name__
        return Trial(recipe, error, parameters, epochs, round(seconds, 6), " ".join(failure.split()))


def score(found: Backtest, metric: str, name: str) -> float:
    """Return a forecast's figure, the mean over the targets."""
    return float(np.mean([found.score(metric, name, None, k) for k in range(len(found.targets))]))


def in_threads(judge: Judge, recipes: Sequence[Recipe], jobs: int) -> Generator[Trial]:
    """Yield trials as they come, `jobs` at a time: native code runs beside the other threads.

    Whatever ends the iteration, Ctrl-C too, ends the trainings under way at the end of their epochs.
    """
    waiting, stop = deque(recipes), threading.Event()
    found: queue.SimpleQueue[Trial | BaseException] = queue.SimpleQueue()

    def labour() -> None:
        try:
            while waiting and not stop.is_set():
                found.put(judge(waiting.popleft(), stop))
        except IndexError:  # another thread took the last one
            pass
        except BaseException as error:
            found.put(error)

    threads = [threading.Thread(target=labour, daemon=True) for _ in range(min(jobs, len(recipes)))]
    try:
        for thread in threads:
            thread.start()
        for _ in recipes:
            yield _next(found)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _next(found: queue.SimpleQueue[Trial | BaseException]) -> Trial:
    while True:
        try:
            item = found.get(timeout=WAKE)
        except queue.Empty:
            continue
        if isinstance(item, BaseException):
            raise item
        return item
