"""Checkpoints of a fit, from which it goes on as if it had never stopped: the same bits.

A checkpoint is a model file (saving.py) with the optimizer's arrays and, under "fit" in its header, the place within
the fit, the history, the callbacks' states and a fingerprint of the model, the settings and the data. Tensors
"fit/log" (the sums of the batches of the epoch that is not finished), "fit/states/..." (carried states) and
"fit/callback/..." hold the arrays. There is no random state: random numbers depend on the seed, the epoch and the step.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .callbacks import Callback, Callbacks, Logs
from .checks import real_number, whole_number
from .files import clear_partial, path_of
from .layers import assign
from .saving import contents, model_config, read_contents, training_config, write_model
from .slots import restore_optimizer

if TYPE_CHECKING:
    from .model import Model
    from .training import Fit

CHUNK = 2**22  # numbers that are hashed at a time
KEPT = ("done", "epoch0", "step0", "begun", "ended")  # of a Fit
RATE = "learning_rate of the optimizer"


class Checkpoint(Callback):
    """Keep a fit's whole standing in a file, so that `fit(..., resume=...)` goes on from there, bit for bit.

    It is written as a whole or not at all, after all other callbacks have acted; also at the end of the fit, and on
    Ctrl-C at the batch that was reached. `nbrnn.load_model` reads it as the model that it holds.

    Parameters
    ----------
    path : str or Path
        One fit's alone; folders are made.
    every : "epoch" or int, default "epoch"
        Written after every epoch, or after every so many batches.
    seconds : float, optional
        Instead of `every`: written at the first batch after so many seconds, which hardly slows a fit of short epochs.

    Raises
    ------
    ValueError
        If an argument is out of range.
    OSError
        In a fit, if the file cannot be written; an older one stays as it was.
    """

    def __init__(self, path: str | Path, every: str | int = "epoch", seconds: float | None = None) -> None:
        self.path = path_of("path", path)
        if not self.path.name or self.path.is_dir():
            raise ValueError(f"path must name a file, not {str(path)!r}.")
        if isinstance(every, str) and every != "epoch":
            raise ValueError(f"every must be 'epoch' or a number of batches, not {every!r}.")
        self.every = every if isinstance(every, str) else whole_number("every", every)
        self.seconds = None if seconds is None else real_number("seconds", seconds, open_low=True)
        if self.seconds is not None and every != "epoch":
            raise ValueError("every and seconds exclude each other; give one of them.")
        self.written, self.at = 0.0, -1

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the folder, and remove what a process that was killed has left half-written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_partial(self.path.parent, self.path.name)
        self.written, self.at = time.perf_counter(), -1

    def limit(self, done: int, most: int) -> int:
        """Return the batch, at most `most`, at which a native call must stop for it."""
        return min(most, (done // self.every + 1) * self.every) if isinstance(self.every, int) else most

    def due(self, done: int, batches: int) -> bool:
        """Return whether it has to be written after so many batches."""
        if self.seconds is not None:
            return time.perf_counter() - self.written >= self.seconds
        return done % (batches if isinstance(self.every, str) else self.every) == 0


class Keeper:
    """Writes a fit's checkpoints, and brings back the one that it is resumed from.

    Parameters
    ----------
    model : Model
    callbacks : Callbacks
    resume : bool, str or Path
        The checkpoint to go on from; True for that of the callback Checkpoint, if there is one yet.
    data : dict of str to array
        What the fit reads, by name.
    **settings
        The fit's arguments that its result depends on.
    """

    def __init__(
        self,
        model: Model,
        callbacks: Callbacks,
        resume: Any,
        data: dict[str, np.ndarray | None],
        **settings: Any,
    ) -> None:
        self.model, self.callbacks = model, callbacks
        self.checkpoints = [each for each in callbacks if isinstance(each, Checkpoint)]
        self.source = self._source(resume)
        self.saved: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        if self.source is not None:
            self.saved = _read(self.source)
            if getattr(model, "seed_drawn", False):  # by this process, for want of another
                model.seed = whole_number("seed", self.saved[0]["model"]["seed"], 0)
        self.marks = fingerprint(model, data, settings) if self.checkpoints or self.saved else {}
        if self.saved is not None:
            self._compare(self.saved[0])
            self._begin(self.saved[0])

    def _begin(self, config: dict[str, Any]) -> None:
        """Let the learning rate's schedule count from where it began; the programs know it."""
        began = whole_number("began", config["training"].get("began", 0), 0)
        if began != self.model.began:
            self.model.began = began
            self.model._executors.clear()

    def _source(self, resume: Any) -> Path | None:
        """Return the file to go on from."""
        if resume is True:
            if not self.checkpoints:
                raise ValueError(
                    "resume=True goes on from the file of a callback nbrnn.Checkpoint(path), but there is none; "
                    "or give the path itself."
                )
            path = self.checkpoints[0].path
            return path if path.exists() else None
        if resume is None or resume is False:
            return None
        if not isinstance(resume, (str, Path)):
            raise ValueError(f"resume must be the path of a checkpoint, True or False, not {resume!r}.")
        return Path(resume)

    def _compare(self, config: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model, other data or other settings."""
        was, now = config["fit"]["fingerprint"], self.marks
        for key in [*was, *(key for key in now if key not in was)]:
            old, new = was.get(key), now.get(key)
            if old == new or (key == RATE and new == config["training"]["optimizer"]["config"].get("learning_rate")):
                continue
            said = "are others here" if key.startswith("numbers") else f"was {old!r} there, but is {new!r} here"
            raise ValueError(
                f"{self.source} is a checkpoint of another fit: {key} {said}. To train its model in another way, "
                "load it with nbrnn.load_model."
            )
        named = [type(each).__name__ for each in self.callbacks]
        for entry in config["fit"]["callbacks"]:
            if entry["class"] in named:
                named.remove(entry["class"])
            elif entry["state"]:
                raise ValueError(
                    f"{self.source} holds what its {entry['class']} has seen, but the fit has no such callback now: "
                    "give it again."
                )

    def limit(self, done: int, most: int) -> int:
        """Return the batch, at most `most`, at which a native call must stop for a checkpoint."""
        return min([most, *(each.limit(done, most) for each in self.checkpoints)])

    def save(self, fit: Fit, always: bool = False) -> None:
        """Write the checkpoints that are due."""
        for each in self.checkpoints:
            if each.at != fit.done and (always or each.due(fit.done, fit.batches)):
                write_model(each.path, *self._contents(fit))
                each.written, each.at = time.perf_counter(), fit.done

    def _contents(self, fit: Fit) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header and the tensors of a checkpoint."""
        config, tensors = contents(self.model)
        states = self.model.states
        tensors |= {"fit/log": np.concatenate(fit.rows) if fit.rows else np.zeros((0, fit.figures))}
        tensors |= {f"fit/states/{name}": array for name, array in states.items()}
        callbacks = [
            {"class": type(each).__name__, "state": _packed(each.state(), f"fit/callback/{k}", tensors)}
            for k, each in enumerate(self.callbacks)
        ]
        standing = {name: getattr(fit, name) for name in KEPT}
        standing |= {"history": fit.history.history, "epochs": fit.history.epoch, "stopped": self.model.stop_training}
        standing |= {"fingerprint": self.marks, "callbacks": callbacks, "states": list(states)}
        return config | {"extra": {}, "fit": standing}, tensors

    def restore(self, fit: Fit) -> None:
        """Bring the model, the callbacks and the fit to where the checkpoint was written."""
        if self.saved is None:
            return
        (config, tensors), model = self.saved, self.model
        try:
            standing = config["fit"]
            done, _, _ = (whole_number(name, standing[name], 0) for name in ("done", "epoch0", "step0"))
            if done > fit.total:
                raise ValueError(f"it has done {len(standing['epochs'])} epochs, but epochs={fit.epochs} here")
            log, begun = tensors["fit/log"], 0 if standing["ended"] else done % fit.batches
            if log.shape != (begun, fit.figures) or log.dtype != np.float64:
                raise ValueError(f"fit/log must hold ({begun}, {fit.figures}) numbers, but holds {log.shape}")
            pairs = [pair for layer in model.layers for pair in layer._named()]
            assign(pairs, [tensors[name] for name, _ in pairs], "the model")
            restore_optimizer(model, tensors)
            assert model.optimizer is not None
            rate = config["training"]["optimizer"]["config"].get("learning_rate")
            if isinstance(rate, float):
                model.optimizer.learning_rate = rate
            if standing["states"]:
                model.set_states({name: tensors[f"fit/states/{name}"] for name in standing["states"]})
            for name in KEPT:
                setattr(fit, name, standing[name])
            fit.rows = [log] if len(log) else []
            fit.history.history, fit.history.epoch = standing["history"], standing["epochs"]
            fit.history.validated = [e for e in fit.history.epoch if fit.validate and fit.validates(e + 1)]
            model.epochs, model.steps = fit.epoch0 + len(fit.history.epoch), fit.step0 + fit.done
            model.stop_training = standing["stopped"]
            left = list(self.callbacks)
            for entry in standing["callbacks"]:
                each = next((c for c in left if type(c).__name__ == entry["class"]), None)
                if each is not None:
                    left.remove(each)
                    each.set_state(_unpacked(entry["state"], tensors))
        except ValueError as error:
            raise ValueError(f"{self.source} cannot be resumed from: {str(error).rstrip('.')}.") from error
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"{self.source} is a checkpoint, but cannot be understood ({error!r}).") from error
        self.saved = None


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a checkpoint's header and tensors."""
    config, tensors = read_contents(path)
    if not isinstance(config.get("fit"), dict):
        raise ValueError(f"{path} holds a model, but no place within a fit: read it with nbrnn.load_model.")
    for key, kind in (("fingerprint", dict), ("callbacks", list)):
        if not isinstance(config["fit"].get(key), kind):
            raise ValueError(f"{path} is a checkpoint, but its {key} cannot be understood.")
    return config, tensors


def fingerprint(model: Model, data: dict[str, np.ndarray | None], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a fit's result depends on, by the names that a sentence gives them."""
    config, training = model_config(model), training_config(model)
    marks = {key: value for key, value in config.items() if key not in ("name", "layers")}
    marks["the list of layers"] = [entry["config"].get("name") for entry in config["layers"]]
    for entry in config["layers"]:
        own = {"class": entry["class"], **entry["config"]}
        marks |= {f"{key} of layer {own.get('name')}": value for key, value in own.items()}
    chosen = training.pop("optimizer")
    marks["optimizer"] = chosen["name"]
    marks |= {f"{key} of the optimizer": value for key, value in chosen["config"].items()}
    marks |= training | settings
    for name, array in ((name, array) for name, array in data.items() if array is not None):
        marks |= {f"shape of {name}": array.shape, f"dtype of {name}": array.dtype.name}
        marks[f"numbers of {name}"] = _hash(array)
    return dict(json.loads(json.dumps(marks)))


def _hash(array: np.ndarray) -> str:
    """Return a hash of an array's numbers, however it lies in memory."""
    digest, rows = hashlib.sha256(), max(1, CHUNK // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return digest.hexdigest()


def _packed(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON can hold it; its arrays go to the tensors."""
    if isinstance(value, np.ndarray):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {str(key): _packed(each, f"{name}/{key}", tensors) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(each, f"{name}/{k}", tensors) for k, each in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a callback's state must be of numbers, text, arrays, lists and dicts, not {value!r}.")


def _unpacked(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """Return what `_packed` was given."""
    if isinstance(value, dict):
        if set(value) == {"tensor"}:
            return tensors[value["tensor"]]
        return {key: _unpacked(each, tensors) for key, each in value.items()}
    return [_unpacked(each, tensors) for each in value] if isinstance(value, list) else value
