"""Forecasts in a series' own units, and their scores beside the baselines'.

Rows are counted from 0, in the order of time. "Raw" is the series' own units, "scaled" the model's. Letters: R rows,
D columns, N windows, T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .baselines import LeastSquaresAR, last_value, rmse, seasonal_naive
from .checks import whole_number
from .csvfile import Table
from .data import sliding_windows
from .saving import save_model
from .scalers import Scaler
from .sequential import Sequential

NETWORK = "network"


class Forecaster:
    """A model that owns its window and its units: series go in and come out as the user has them.

    Parameters
    ----------
    model : Sequential
        Compiled; its input shape is (window, columns), its output one number for each target.
    window : int
        Rows that the model sees, all columns; it predicts the row after them.
    scaler : Scaler, optional
        `fit` fits it to its series; one that is fitted already stays as it is. Raw values if not given.
    target : int, optional
        The column to predict; all of them if not given.
    stride : int, default 1
        Rows from one window's start to the next; `stride=window` gives windows that do not overlap.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(4), nbrnn.Dense(1)], input_shape=(3, 1), seed=0)
    >>> model.compile("adam")
    >>> series = np.sin(np.arange(40.0))
    >>> forecaster = Forecaster(model, window=3, scaler=nbrnn.MinMaxScaler()).fit(series, epochs=2, verbose=0)
    >>> forecaster.predict(series).shape
    (37, 1)
    """

    def __init__(
        self, model: Sequential, window: int, scaler: Scaler | None = None, target: int | None = None, stride: int = 1
    ) -> None:
        self.model, self.scaler, self.target = model, scaler, target
        self.window, self.stride = whole_number("window", window), whole_number("stride", stride)

    def windows(self, series: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a series' windows (N, window, D) and targets (N, T), both scaled."""
        scaled = series if self.scaler is None else self.scaler.transform(series)
        return sliding_windows(scaled, self.window, 1, self.stride, self.target)

    def fit(self, series: ArrayLike, **options: Any) -> Self:
        """Fit the scaler and the model to a series, and return the forecaster itself.

        Parameters
        ----------
        series : array (R,) or (R, D)
            The training rows only, raw.
        **options
            As for `Sequential.fit`: epochs, batch_size, verbose ...

        Raises
        ------
        ValueError
            As `Scaler.fit`, `sliding_windows` and `Sequential.fit`.
        KeyboardInterrupt
            On Ctrl-C; what was learned is kept.
        """
        if self.scaler is not None and self.scaler.scale is None:
            self.scaler.fit(series)
        self.model.fit(*self.windows(series), **options)
        return self

    def predict(self, series: ArrayLike) -> NDArray[np.float64]:
        """Return the predictions (N, T), raw, that belong to the targets of a series' windows."""
        outputs = self.model.predict(self.windows(series)[0]).astype(np.float64)
        return outputs if self.scaler is None else self.scaler.inverse_transform(outputs, columns=self.target)

    def save(self, path: str | Path, **notes: Any) -> None:
        """Write the model to one file, with window, stride, target, scaler and what else JSON can hold.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        scaler = None if self.scaler is None else self.scaler.to_dict()
        extra = {"window": self.window, "stride": self.stride, "target": self.target, "horizon": 1, "scaler": scaler}
        save_model(self.model, path, extra | notes)


@dataclass(frozen=True)
class Part:
    """One part's targets, and what each forecast says of them, raw.

    Attributes
    ----------
    rows : int array (N,)
        Where the targets stand in the series.
    actual : float64 array (N,)
    predicted : dict of str to float64 array (N,)
        By "network" and the baselines' names; NaN where a baseline knows nothing.
    """

    rows: NDArray[np.int64]
    actual: NDArray[np.float64]
    predicted: dict[str, NDArray[np.float64]]

    def rmse(self, name: str) -> float:
        """Return a forecast's root of the mean squared error, raw; NaN if it does not answer to every target."""
        return rmse(self.predicted[name], self.actual)


@dataclass(frozen=True)
class Comparison:
    """The network beside the baselines, on the same targets.

    Attributes
    ----------
    train, test : Part
    scale : float
        Raw units in one scaled unit.
    """

    train: Part
    test: Part
    scale: float

    def rmse(self, name: str = NETWORK) -> tuple[float, float, float, float]:
        """Return (train scaled, train raw, test scaled, test raw)."""
        train, test = self.train.rmse(name), self.test.rmse(name)
        return train / self.scale, train, test / self.scale, test

    def beaten(self) -> dict[str, bool]:
        """Return, for each baseline that answers to every test target, whether the network's test RMSE is lower."""
        own = self.test.rmse(NETWORK)
        scores = {name: self.test.rmse(name) for name in self.test.predicted if name != NETWORK}
        return {name: own < score for name, score in scores.items() if np.isfinite(score)}

    def joined(self, name: str = NETWORK) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return rows, actual values and a forecast's predictions of both parts together."""
        parts = (self.train, self.test)
        columns = zip(*((part.rows, part.actual, part.predicted[name]) for part in parts), strict=True)
        rows, actual, predicted = (np.concatenate(column) for column in columns)
        return rows, actual, predicted

    def __str__(self) -> str:
        counts = [f"{name} ({len(part.rows)} rows)" for name, part in (("train", self.train), ("test", self.test))]
        lines = [f"{'RMSE, one step ahead':<28}" + "".join(f"{count:>22}" for count in counts)]
        lines.append(" " * 28 + f"{'scaled':>11}{'raw':>11}" * 2)
        for name in self.test.predicted:
            cells = [f"{v:>11.4f}" if k % 2 == 0 else f"{v:>11.5g}" for k, v in enumerate(self.rmse(name))]
            lines.append(f"{name:<28}" + "".join(cells).replace("nan", "  -"))
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return in words what the network beats on the test part, and what not."""
        beaten = self.beaten()
        sentences = []
        for wins, words in ((True, "beats"), (False, "does NOT beat")):
            names = [f"{name} ({self.test.rmse(name):.5g})" for name, won in beaten.items() if won is wins]
            if names:
                sentences.append(f"it {words} " + " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:]))
        return f"On the test rows the network's RMSE is {self.test.rmse(NETWORK):.5g}: {'; '.join(sentences)}."


def compare(
    forecaster: Forecaster, series: Table, parts: dict[str, slice], split: int, season: int | None = None
) -> Comparison:
    """Score a trained forecaster of one target beside the baselines, on the same targets.

    Parameters
    ----------
    forecaster : Forecaster
        Its target is one column.
    series : Table
        All rows, raw.
    parts : dict of str to slice
        The rows, windows and targets together, of "train" and "test".
    split : int
        Rows before it are the training rows: the autoregression is fitted on them.
    season : int, optional
        Adds the seasonal-naive forecast.

    Raises
    ------
    ValueError
        As `sliding_windows`.
    """
    window, stride, target = forecaster.window, forecaster.stride, forecaster.target
    ar = LeastSquaresAR(window, target=target).fit(series[:split], stride)
    found = {}
    for part, at in parts.items():
        rows = series[at]
        predicted = {NETWORK: forecaster.predict(rows), "last value": last_value(rows, window, 1, stride, target)}
        if season is not None:
            past = series[: at.start] if at.start else None
            naive = seasonal_naive(rows, season, window, 1, stride, target, history=past)
            predicted[f"seasonal-naive ({season} rows)"] = naive
        predicted[f"least-squares AR({window})"] = ar.predict(rows, stride=stride)
        actual = sliding_windows(rows, window, 1, stride, target)[1][:, 0]
        where = at.start + window + stride * np.arange(len(actual))
        found[part] = Part(where, actual, {name: values[:, 0] for name, values in predicted.items()})
    scale = 1.0 if forecaster.scaler is None else np.ptp(forecaster.scaler.inverse_transform([0.0, 1.0], target))
    return Comparison(found["train"], found["test"], float(scale))
