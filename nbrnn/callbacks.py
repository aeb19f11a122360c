"""Callbacks: what happens between the epochs and, where a callback asks for it, the batches of a fit.

Names, arguments, defaults and decisions are Keras 3's. Only a callback with a hook for batches makes a fit come back to
Python for every batch; else an epoch is one native call, or some of 50 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .checks import flag, one_of, real_number, takes, whole_number
from .elsewhere import finder
from .kerasways import HOOKS, PLATEAU, knows

if TYPE_CHECKING:
    from .model import Model

Logs = dict[str, float]
UPWARD = ("accuracy", "precision", "recall", "r2", "auc", "f1")  # also binary_accuracy and so on: by the last word


class Callback:
    """What a fit calls; a class of your own overrides the hooks that it needs.

    Attributes
    ----------
    model : Model
        The model that is trained; `model.stop_training = True` ends the fit after the batch or epoch.
    params : dict
        "epochs", "steps" (batches of an epoch), "verbose" and "metrics", the names in an epoch's logs.
    """

    model: Model
    params: dict[str, Any]
    say: Callable[[str], Any] = staticmethod(print)  # a line; a fit puts one here that spares the live line

    def set_model(self, model: Model) -> None:
        """Take the model that will be trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the fit's numbers."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Do what comes before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Do what comes after the last epoch; logs are those of that epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Do what comes before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Do what comes after an epoch; logs hold loss, metrics, val_ figures and learning_rate. What is added stays.

        A number that is put into the logs gets into the history.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Do what comes before a batch, counted from 0 within its epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Do what comes after a batch; logs hold the means of the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Do what comes before the validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Do what comes after the validation; logs are its figures, without val_."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: numbers, text, None, arrays, and lists and dicts of them."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned; a resumed fit calls it after `on_train_begin`."""


def _own(callback: Callback, hook: str) -> bool:
    """Return whether a callback does something at a hook."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")


class Callbacks:
    """The callbacks of a fit, in the order in which they are called."""

    def __init__(self, callbacks: Any, model: Model) -> None:
        given = [callbacks] if isinstance(callbacks, Callback) else [] if callbacks is None else callbacks
        if not isinstance(given, (list, tuple)):
            raise ValueError(f"callbacks must be a list of callbacks, not {type(given).__name__}.")
        for each in given:
            if not isinstance(each, Callback):
                made = f"; write {each.__name__}(...)" if isinstance(each, type) else ""
                raise ValueError(f"callbacks must be objects such as nbrnn.EarlyStopping(), not {each!r}{made}.")
            for hook in (hook for hook in HOOKS if hasattr(each, hook)):
                raise ValueError(f"{type(each).__name__}.{hook} would not be called: {HOOKS[hook]}.")
        self.all: list[Callback] = list(given)
        for each in self.all:
            each.set_model(model)
        self.each_batch = any(_own(c, h) for c in self.all for h in BATCH_HOOKS)
        self.keeps_rate = any(isinstance(c, (LearningRateScheduler, ReduceLROnPlateau)) for c in self.all)

    def __iter__(self) -> Iterator[Callback]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def begin(self, params: dict[str, Any], say: Callable[[str], Any]) -> None:
        """Tell all callbacks that a fit begins."""
        own = all(type(c).__module__.partition(".")[0] == __name__.partition(".")[0] for c in self.all)
        for each in self.all:
            each.say = say  # type: ignore[method-assign]
            each.set_params(params)
            if own and isinstance(each, Monitor):  # another's callback may add what is monitored
                each.look_for(params["metrics"])
        self("on_train_begin", {})

    def __call__(self, hook: str, *arguments: Any) -> None:
        """Call a hook of all callbacks."""
        for each in self.all:
            getattr(each, hook)(*arguments)


class Monitor(Callback):
    """What callbacks share that watch a figure."""

    def __init__(self, monitor: str, mode: str, min_delta: float, best: float | None = None) -> None:
        if not isinstance(monitor, str):
            raise ValueError(f"monitor must be the name of a figure such as 'val_loss', not {monitor!r}.")
        self.monitor, self.mode = monitor, one_of("mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(real_number("min_delta", min_delta, -1e300))
        self.best = best

    def look_for(self, names: Sequence[str]) -> None:
        """Refuse a figure that the logs will not hold."""
        if self.monitor not in names:
            hint = "give fit validation_data or validation_split, or " if self.monitor.startswith("val_") else ""
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, but an epoch's logs hold {', '.join(names)}: "
                f"{hint}monitor one of these."
            )

    def watched(self, logs: Logs | None) -> float | None:
        """Return the figure; None after an epoch whose validation `validation_freq` leaves out."""
        if not logs or self.monitor not in logs:
            if not (self.monitor.startswith("val_") and self.monitor in self.params["metrics"]):
                self.look_for(list(logs or {}))
            return None
        return logs[self.monitor]

    def better(self, value: float, reference: float | None) -> bool:
        """Return whether a value is better than another, by more than min_delta; anything is better than None."""
        shown = self.monitor.removeprefix("val_")
        asked = getattr(getattr(self, "model", None), "asked", ())
        name = next((one.figure.name for one in asked if one.name == shown), shown)
        up = self.mode == "max" or (self.mode == "auto" and name.rpartition("_")[2] in UPWARD)
        return reference is None or (value - self.min_delta > reference if up else value + self.min_delta < reference)


class EarlyStopping(Monitor):
    """Stop the fit when a figure has not become better for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The figure's name in the history.
    min_delta : float, default 0
        What it must change by to count as better.
    patience : int, default 0
        Epochs without a better figure after which the fit stops.
    verbose : int, default 0
        1 says when it stops.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracy, precision, recall and r2.
    baseline : float, optional
        What the figure must be better than, else the patience runs out.
    restore_best_weights : bool, default False
        Whether the weights of the best epoch come back at the end, whether it stops early or not.
    start_from_epoch : int, default 0
        Epochs before this one are not looked at.

    Raises
    ------
    ValueError
        If an argument is out of range; in a fit, if the logs do not hold the figure.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose = whole_number("patience", patience, 0), verbose
        self.baseline = None if baseline is None else real_number("baseline", baseline, -1e300)
        self.restore_best_weights = flag("restore_best_weights", restore_best_weights)
        self.start_from_epoch = whole_number("start_from_epoch", start_from_epoch, 0)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier fit."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the figure with the best so far."""
        value = self.watched(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Bring the best weights back."""
        if self.stopped_epoch and self.verbose:
            self.say(f"epoch {self.stopped_epoch + 1}: stopped early, {self.monitor} was best in {self.best_epoch + 1}")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        """Return the best figure, the best weights and how long there was no better one."""
        names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.__dict__.update(state)


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by a factor when a figure has not become better for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    factor : float, default 0.1
        Above 0 and below 1.
    patience : int, default 10
        Epochs without a better figure.
    verbose : int, default 0
        1 says when it acts.
    mode : {"auto", "min", "max"}
        As for EarlyStopping.
    min_delta : float, default 1e-4
        What the figure must change by to count as better.
    cooldown : int, default 0
        Epochs after a change that are not counted.
    min_lr : float, default 0
        The learning rate does not fall below it.

    Raises
    ------
    ValueError
        If an argument is out of range; in a fit, if the logs do not hold the figure.
    """

    @knows(PLATEAU)
    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = real_number("factor", factor, open_low=True)
        if self.factor >= 1:
            raise ValueError(f"factor must be below 1, not {factor!r}: the learning rate shall fall.")
        self.patience, self.verbose = whole_number("patience", patience, 0), verbose
        self.cooldown, self.min_lr = whole_number("cooldown", cooldown, 0), real_number("min_lr", min_lr)
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier fit."""
        self.wait, self.cooldown_counter, self.best = 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the figure with the best so far."""
        value = self.watched(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer, rate = self.model.optimizer, own_rate(self)
        assert optimizer is not None
        if rate > self.min_lr:
            optimizer.learning_rate = max(rate * self.factor, self.min_lr)
            self.cooldown_counter, self.wait = self.cooldown, 0
            if self.verbose:
                self.say(f"epoch {epoch + 1}: the learning rate becomes {optimizer.learning_rate:.4g}")

    def state(self) -> dict[str, Any]:
        """Return the best figure and the counters."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.__dict__.update(state)


class LearningRateScheduler(Callback):
    """Ask a function for the learning rate before every epoch.

    Parameters
    ----------
    schedule : callable
        Called with the epoch, counted from 0, and the learning rate, or, if it takes one argument, with the epoch;
        returns the next learning rate.
    verbose : int, default 0
        1 says what was set.

    Raises
    ------
    ValueError
        If `schedule` cannot be called; in a fit, if it returns no number above 0.
    """

    def __init__(self, schedule: Callable[[int, float], float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise ValueError(f"schedule must be a function of the epoch and the learning rate, not {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose
        self.asks_rate = takes(schedule, 2)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        assert optimizer is not None
        before = own_rate(self)
        rate = self.schedule(epoch, before) if self.asks_rate else self.schedule(epoch)  # type: ignore[call-arg]
        if rate is None:
            raise ValueError(
                f"schedule of LearningRateScheduler returned None for epoch {epoch}: it must end in the return of a "
                "learning rate."
            )
        optimizer.learning_rate = rate
        if self.verbose:
            self.say(f"epoch {epoch + 1}: the learning rate is {optimizer.learning_rate:.4g}")


def own_rate(callback: Callback) -> float:
    """Return the learning rate that a callback is to change.

    Raises
    ------
    ValueError
        If the optimizer has a schedule.
    """
    optimizer = callback.model.optimizer
    assert optimizer is not None
    rate = optimizer.learning_rate
    if not isinstance(rate, float):
        raise ValueError(
            f"{type(callback).__name__} sets the learning rate, but the optimizer takes it from {rate!r}; give the "
            "optimizer a number, or leave the callback out."
        )
    return rate


__getattr__ = finder(__name__, Callback)
