"""Forecasts in a series' own units: a model that owns its window, its columns, its scaler and its transform.

Rows are counted from 0, in the order of time. "Raw" is the series' own units, "inside" the model's. Letters: R rows,
D columns, L rows in a window, N windows, T targets, h steps that the model gives at a time, S steps ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import whole_number
from .closedloop import Origins, chunks, closed_loop
from .csvfile import Table
from .data import sliding_windows
from .fans import Fan
from .frames import like
from .framing import Framing, Names, labels_after, rows_held
from .layers import known as known_size
from .model import Model
from .scalers import Scaler

if TYPE_CHECKING:
    from .backtest import Backtest


class Forecaster(Framing):
    """A model, or several of different seeds, that owns its window and its units: series go in and come out raw.

    Parameters
    ----------
    model : Sequential, Model, or a sequence of them
        Compiled; of input shape (window, columns), and with horizon * targets outputs, step-major: the horizon follows
        from it. Several models of one shape make an ensemble: the forecast is the mean of theirs.
    window : int
        Rows that the model sees, all columns; it predicts the rows after them.
    scaler : Scaler, optional
        `fit` fits it to the training rows; one that is fitted already stays as it is. Raw values if not given.
    target : int, str or sequence of them, optional
        The columns to predict, by index or name; all of them if not given.
    stride : int, default 1
        Rows from one training window's start to the next; `stride=window` gives windows that do not overlap.
    transform : {"none", "log", "difference", "log-difference"}
        What is done to the targets' columns before they are scaled, see `nbrnn.transforms`.
    known : int, str or sequence of them, default ()
        Columns whose future is known when a forecast is made (the calendar, prices, plans); no targets.
    missing : {"refuse", "mask"}
        Whether NaN is refused, or the rows that hold it are steps that the model skips, and no targets.

    Attributes
    ----------
    models : list of Model
    horizon : int
        Steps that the models give at a time; further ones are predicted in closed loop.
    columns : tuple of str, or None before `fit`
    tail : Table or None
        The last rows that `fit` saw, from which `forecast` goes on.

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the model.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(4), nbrnn.Dense(1)], input_shape=(3, 1), seed=0)
    >>> model.compile("adam")
    >>> series = np.sin(np.arange(40.0))
    >>> forecaster = Forecaster(model, window=3, scaler=nbrnn.MinMaxScaler()).fit(series, epochs=2, verbose=0)
    >>> forecaster.predict(series).shape
    (37, 1)
    >>> forecaster.forecast(steps=5).shape
    (5, 1)
    """

    def __init__(
        self,
        model: Model | Sequence[Model],
        window: int,
        scaler: Scaler | None = None,
        target: Names | None = None,
        stride: int = 1,
        transform: str = "none",
        known: Names = (),
        missing: str = "refuse",
    ) -> None:
        self.models = list(model) if isinstance(model, Sequence) else [model]
        if not self.models or not all(isinstance(one, Model) for one in self.models):
            raise ValueError("model must be a Sequential or a Model, or a sequence of them.")
        super().__init__(window, scaler, target, transform, known, missing, self.models[0].dtype)
        self.stride = whole_number("stride", stride)
        self.tail: Table | None = None
        self._frame: Any = None  # the same, if it came from pandas

    @property
    def model(self) -> Model:
        """The first of the models."""
        return self.models[0]

    @property
    def horizon(self) -> int:
        """Steps that the models give at a time."""
        self._columns()
        return self._outputs() // len(self._targets)

    def _outputs(self) -> int:
        shape = self.model.output_shape
        if shape is None or len(self.model.graph.outputs) != 1 or len(shape) != 1:
            raise ValueError(
                f"the model must give one number for each step ahead and target, but its output shape is {shape}; end "
                "it with a Dense layer on the last step."
            )
        return known_size(shape[0])

    def _check(self, table: Table, targets: int) -> None:
        shape, columns = self.model.input_shape, ", ".join(table.columns)
        wanted = (self.window, len(table.columns))
        if shape is not None and (len(shape) != 2 or shape[0] not in (None, wanted[0]) or shape[1] != wanted[1]):
            raise ValueError(
                f"the model takes inputs of shape {shape}, but a window of {self.window} rows and the columns "
                f"{columns} have the shape {wanted}."
            )
        if self.model.built and self._outputs() % targets:
            raise ValueError(f"the model has {self._outputs()} outputs, no multiple of {targets} targets.")

    def windows(self, series: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a series' windows (N, L, D) and targets (N, h * T) as the model is given them.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame

        Raises
        ------
        ValueError
            As `sliding_windows`, and before `fit` or `meet`.
        """
        rows, _ = self._inside(self._table(series))
        return sliding_windows(rows, self.window, self.horizon, self.stride, self._targets)

    def _samples(self, table: Table) -> dict[str, Any]:
        """Return x and y of a table's windows, and mask where rows are missing."""
        rows, there = self._inside(table)
        x, y = sliding_windows(rows, self.window, self.horizon, self.stride, self._targets)
        if there is None:
            return {"x": x, "y": y}
        masks, ahead = self._masks(there, self.horizon, self.stride)
        usable = ahead.all(axis=1) & masks.any(axis=1)
        if not usable.any():
            raise ValueError(f"{table.name} has no window whose targets are all there; fill the missing values.")
        found = {"x": x, "y": y, "mask": masks}
        return found if usable.all() else {name: array[usable] for name, array in found.items()}

    def fit(self, series: ArrayLike, validation: float = 0, **options: Any) -> Self:
        """Fit the scaler and the models to a series, and return the forecaster itself.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame
            Raw; without the test rows.
        validation : int or float, default 0
            The last rows that are only evaluated after each epoch: their number, or their share if below 1. Neither
            weights nor scaler learn from them; their windows look back on the training rows.
        **options
            As for `Sequential.fit`: epochs, batch_size, verbose, callbacks ...

        Raises
        ------
        ValueError
            As `meet`, `Scaler.fit`, `sliding_windows` and `Sequential.fit`; if the validation leaves no rows to train.
        KeyboardInterrupt
            On Ctrl-C; what was learned is kept.
        """
        table = self.meet(series)
        held = rows_held(validation, len(table), "validation")
        first = table[: len(table) - held]
        self.measure(first)
        data = self._samples(first)
        if held:
            other = self._samples(table[len(first) - self.past :])
            data["validation_data"] = (other["x"], other["y"], None, other.get("mask"))
        self.tail = table[-self.past :]
        self._frame = series.iloc[-self.past :] if hasattr(series, "iloc") else None
        for model in self.models:
            model.fit(**data, **options)
        return self

    # ------------------------------------------------------------------ forecasts

    def predict(self, series: ArrayLike, steps: int | None = None, stride: int | None = None) -> Any:
        """Return the forecasts from every window of a series whose targets lie in it too.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame
            Raw. The known columns are taken from it for the steps ahead, the others only for the windows.
        steps : int, optional
            S, the horizon if not given: more are predicted in closed loop.
        stride : int, optional
            Rows from one window's start to the next; as in training if not given.

        Returns
        -------
        float64 array (N, S * T), step-major
            Row n belongs to y[n] of sliding_windows(series, past, S, stride). Of a pandas object with one step
            ahead a DataFrame with the rows' index.

        Raises
        ------
        ValueError
            As `forecast` and `sliding_windows`.
        """
        table = self._table(series)
        steps = self.horizon if steps is None else whole_number("steps", steps)
        stride = self.stride if stride is None else whole_number("stride", stride)
        found = self.paths(self.origins(table, steps, stride), steps).mean(axis=1)
        outputs = found.reshape(len(found), -1)
        if steps > 1 or stride > 1 or not hasattr(series, "iloc"):
            return outputs
        dates = table.dates[self.past :] if table.dates else None
        return like(series.iloc[: self.past], outputs, self.targets, dates)

    def paths(self, origins: Origins, steps: int, samples: int = 0, seed: int = 0) -> NDArray[np.float64]:
        """Return every model's forecasts, raw: (N, P, S, T).

        Parameters
        ----------
        origins : Origins
        steps : int
        samples : int, default 0
            With 0, a path a model; else so many with a dropout mask of their own for each model.
        seed : int, default 0
            Of these masks.
        """
        copies, targets = max(samples, 1), len(self._targets)
        found = np.empty((len(origins.windows), len(self.models) * copies, steps, targets))
        for k, model in enumerate(self.models):
            predict = partial(model.predict, training=True, seed=seed + k) if samples else model.predict
            for part in chunks(origins, copies):
                some = origins.part(part, copies)
                raw = self._outside(closed_loop(predict, some, steps, self._targets), some.last)
                found[part, k * copies : (k + 1) * copies] = raw.reshape(-1, copies, steps, targets)
        return found

    def forecast(self, steps: int, series: ArrayLike | None = None, future: ArrayLike | None = None) -> Any:
        """Return what comes after a series' last row.

        Up to the horizon the forecast is direct; further steps are predicted in closed loop, each from the
        predictions before it.

        Parameters
        ----------
        steps : int
            S.
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame, optional
            Raw, at least `past` rows; what `fit` saw if not given.
        future : array (at least S - h, K), Table or DataFrame, optional
            The known columns in the rows ahead, from the first one on; by name, or in the order of `known`.

        Returns
        -------
        float64 array (S, T)
            Raw; a DataFrame, or of one target a Series, if the series came from pandas, with the index going on.

        Raises
        ------
        ValueError
            If the series is too short or has other columns, holds NaN, or the future of a column that is not
            predicted is needed and not given.
        """
        found = self.fan(steps, series, future, samples=0)
        return like(self._frame if series is None else series, found.mean, self.targets, found.labels)

    def fan(
        self,
        steps: int,
        series: ArrayLike | None = None,
        future: ArrayLike | None = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> Fan:
        """Return several forecasts of the rows after a series' last one: of each model, or with dropout drawn anew.

        Parameters
        ----------
        steps, series, future
            As for `forecast`.
        samples : int, optional
            How many dropout masks each model draws, one for the whole of a path; 0 for none. If not given, 100 where
            the models have dropout, else none: then every model (seed) is a path.
        seed : int, default 0
            Of the masks.

        Raises
        ------
        ValueError
            As `forecast`, and if masks are asked for where there is no dropout.
        """
        steps, samples = whole_number("steps", steps), self.draws(samples)
        self._columns()
        table = self.tail if series is None else self._table(series, self.past)
        assert table is not None
        origin = self._end(table[-self.past :], future, steps)
        return Fan(self.paths(origin, steps, samples, seed)[0], self.targets, labels_after(table, steps))

    def evaluate(
        self, series: ArrayLike, rows: float, steps: int | None = None, season: int | None = None, stride: int = 1
    ) -> Backtest:
        """Return forecasts of a series' last rows, from every `stride`-th row, beside the baselines'.

        Parameters
        ----------
        series : array (R,) or (R, D), Table, or pandas Series or DataFrame
            Raw, from the first training row on.
        rows : int or float
            How many of the last rows are judged, or their share if below 1; the baselines learn from those before.
        steps : int, optional
            How many steps ahead each forecast goes; the horizon if not given.
        season : int, optional
            Rows in a season, for the seasonal baselines.
        stride : int, default 1

        Returns
        -------
        Backtest
            Print it to read it; `verdict()` says in words what is beaten and what not.

        Raises
        ------
        ValueError
            If the rows are too few for the steps, or as `predict`.
        """
        from .backtest import backtest

        table = self._table(series)
        held = rows_held(rows, len(table), "rows")
        split = len(table) - held
        return backtest(self, table, slice(split, len(table)), slice(0, split), steps, season, stride)

    def draws(self, samples: int | None = None) -> int:
        """Return how many dropout masks a fan draws of each model; ValueError if there is no dropout to draw."""
        drops = any(
            getattr(leaf, "rate", 0) or getattr(leaf, "dropout", 0) or getattr(leaf, "recurrent_dropout", 0)
            for layer in self.model.layers
            for leaf in layer.leaves()
        )
        if samples is None:
            return 100 if drops else 0
        if whole_number("samples", samples, 0) and not drops:
            raise ValueError(f"samples={samples} asks for dropout masks, but the model has no dropout; give it some.")
        return samples

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path, **notes: Any) -> None:
        """Write everything that a forecast needs to one file; see `nbrnn.forecastfile`.

        Parameters
        ----------
        path : str or Path
        **notes
            What else the file shall hold, as far as JSON can.

        Raises
        ------
        ValueError
            Before `fit`.
        OSError
            If the file cannot be written.
        """
        from .forecastfile import save_forecaster

        save_forecaster(self, path, **notes)

    @classmethod
    def load(cls, path: str | Path) -> Forecaster:
        """Read a forecaster that `save` or `nbrnn train` wrote; ValueError if the file is none."""
        from .forecastfile import load_forecaster

        return load_forecaster(path)[0]
