"""Callbacks that write files, and the one that ends a fit which diverges."""

from __future__ import annotations

import csv
import io
import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .callbacks import Callback, Logs, Monitor
from .checks import flag
from .files import clear_partial, path_of
from .kerasways import CHECKPOINT, knows
from .saving import save_model

if TYPE_CHECKING:
    from .postmortem import DivergedError


class ModelCheckpoint(Monitor):
    """Save the model after every epoch, or after every one that is the best so far.

    Parameters
    ----------
    filepath : str or Path
        Of a model file, which `nbrnn.load_model` reads. It may hold fields: "m-{epoch:02d}-{val_loss:.3f}.safetensors",
        with the epoch counted from 1 and the figures of the logs.
    monitor : str, default "val_loss"
    verbose : int, default 0
        1 says what was saved.
    save_best_only : bool, default False
        Whether an epoch is saved only if the figure is better than ever before.
    save_weights_only : bool, default False
        Whether the optimizer's state is left out of the file.
    mode : {"auto", "min", "max"}
        As for EarlyStopping.
    initial_value_threshold : float, optional
        What the first figure must be better than.

    Raises
    ------
    ValueError
        If an argument is out of range; in a fit, if the logs do not hold a field or, with `save_best_only`, the figure.
    OSError
        In a fit, if a file cannot be written.

    Notes
    -----
    To go on with a fit that was stopped, use `Checkpoint`.
    """

    @knows(CHECKPOINT)
    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, initial_value_threshold)
        self.filepath, self.verbose = os.fspath(path_of("filepath", filepath)), verbose
        try:
            self.fields = {field for _, field, _, _ in _parts(self.filepath) if field is not None}
        except ValueError as error:
            raise ValueError(f"filepath {self.filepath!r} has fields that cannot be read: {error}.") from None
        self.save_best_only = flag("save_best_only", save_best_only)
        self.save_weights_only = flag("save_weights_only", save_weights_only)

    def look_for(self, names: Any) -> None:
        """Refuse a figure that is needed and that the logs will not hold."""
        if self.save_best_only:
            super().look_for(names)
        missing = sorted(self.fields - {"epoch", *names})
        if missing:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} has the field {missing[0]!r}, but an epoch's logs hold "
                f"{', '.join(['epoch', *names])}."
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Remove what a process that was killed has left half-written."""
        path = Path(self.filepath)
        clear_partial(path.parent, "".join(text + "*" * (field is not None) for text, field, _, _ in _parts(path.name)))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save the model, if it shall be saved."""
        if self.save_best_only:
            value = self.watched(logs)
            if value is None or not self.better(value, self.best):
                return
            self.best = value
        self.look_for(list(logs or {}))
        path = Path(self.filepath.format(epoch=epoch + 1, **(logs or {})))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(self.model, path, include_optimizer=not self.save_weights_only)
        if self.verbose:
            self.say(f"epoch {epoch + 1}: saved {path}")

    def state(self) -> dict[str, Any]:
        """Return the best figure."""
        return {"best": self.best}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = state["best"]


def _parts(text: str) -> Any:
    return string.Formatter().parse(text)


class CSVLogger(Callback):
    """Write a row an epoch to a CSV file: the epoch, counted from 0 as in Keras, and the logs by name.

    Parameters
    ----------
    filename : str or Path
    separator : str, default ","
        One character.
    append : bool, default False
        Whether rows are added to a file that is there; else it is written anew.

    Raises
    ------
    ValueError
        If the separator is no single character; when a fit is resumed, if the file has become shorter.
    OSError
        In a fit, if the file cannot be written.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character, not {separator!r}.")
        self.filename, self.separator = path_of("filename", filename), separator
        if self.filename.is_dir():
            raise ValueError(f"filename must be that of a file, but {filename} is a folder.")
        self.append = flag("append", append)
        self.size = 0  # bytes of the rows that count
        self.keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See whether the file can be written."""
        with open(self.filename, "ab") as file:
            self.size, self.keys = file.tell() if self.append else 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        logs, text = logs or {}, io.StringIO()
        rows = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        if self.keys is None:
            later = [name for name in self.params["metrics"] if name.startswith("val_") and name not in logs]
            self.keys = [*sorted(logs), *later]
            if not self.size:
                rows.writerow(["epoch", *self.keys])
        rows.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        with open(self.filename, "r+b") as file:
            file.truncate(self.size)
            file.seek(self.size)
            file.write(text.getvalue().encode())
            self.size = file.tell()

    def state(self) -> dict[str, Any]:
        """Return the columns and how long the file is."""
        return {"keys": self.keys, "size": self.size}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on after the last row that the checkpoint knows; what came after it is written again."""
        there = self.filename.stat().st_size
        if there < state["size"]:
            raise ValueError(
                f"CSVLogger: {self.filename} has {there} bytes, but had {state['size']} at the checkpoint: it was "
                "changed since; put it back."
            )
        self.keys, self.size = state["keys"], state["size"]


class TerminateOnNaN(Callback):
    """End a fit that diverges without an exception, as Keras does; the last finite weights stay.

    Attributes
    ----------
    error : DivergedError or None
        What the fit would have raised: `callback.error.report()` shows what led there.
    """

    error: DivergedError | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier fit."""
        self.error = None

    def diverged(self, error: DivergedError) -> None:
        """Take what the fit would have raised, and say so."""
        self.error = error
        self.say(f"The fit ends: {error}")


class LambdaCallback(Callback):
    """Call functions where a fit calls hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with the epoch, counted from 0, and the logs.
    on_train_begin, on_train_end : callable, optional
        Called with the logs.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with the batch and the logs; with one of them a fit comes back to Python for every batch.

    Raises
    ------
    ValueError
        If one of them cannot be called.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if function is not None:
                if not callable(function):
                    raise ValueError(f"{name} must be a function, not {function!r}.")
                setattr(self, name, function)
