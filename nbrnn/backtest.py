"""Rolling-origin evaluation: forecasts from many rows of a series, beside baselines and beside what came.

After Tashman (2000), Out-of-sample tests of forecasting accuracy, Int. J. Forecasting 16. Letters: N origins, S steps
ahead, T targets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import scores
from .baselines import LeastSquaresAR, drift, last_value, seasonal_mean, seasonal_naive
from .checks import one_of, whole_number
from .csvfile import Table
from .forecasting import Forecaster

NETWORK = "network"
METRICS = ("rmse", "mae", "mase", "smape", "r2")
TITLES = {"rmse": "RMSE", "mae": "MAE", "mase": "MASE", "smape": "sMAPE %", "r2": "R2"}
SHAPES = {"rmse": ".4g", "mae": ".4g", "mase": ".3f", "smape": ".1f", "r2": ".3f"}
WIDE = 1e4, 1e7  # what .4g would write with an exponent, though there is room for the digits
SHOWN = 5  # steps that a table has room for


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts from many origins, raw, and what came.

    Attributes
    ----------
    rows : int array (N,)
        The row of each origin's first step in the series.
    actual : float64 array (N, S, T)
        NaN where the value is missing: it is left out of the scores.
    predicted : dict of str to float64 array (N, S, T)
        By "network" and the baselines' names; NaN where a baseline knows nothing.
    targets : tuple of str
    scale : float64 array (T,)
        The denominators of the MASE: the mean absolute error of the (seasonal) naive forecast, one step ahead, on the
        training rows.
    part : str
        What the rows are called: "validation", "test" ...
    """

    rows: NDArray[np.int64]
    actual: NDArray[np.float64]
    predicted: dict[str, NDArray[np.float64]]
    targets: tuple[str, ...]
    scale: NDArray[np.float64]
    part: str = "test"

    @property
    def steps(self) -> int:
        """How many steps ahead."""
        return self.actual.shape[1]

    def score(self, metric: str, name: str = NETWORK, step: int | None = None, target: int = 0) -> float:
        """Return one figure of one forecast.

        Parameters
        ----------
        metric : {"rmse", "mae", "mase", "smape", "r2"}
        name : str
            "network", or a baseline's name.
        step : int, optional
            How many steps ahead, from 1; all steps together if not given.
        target : int, default 0
            Which of the targets.

        Returns
        -------
        float
            NaN if the forecast does not answer to every value.

        Raises
        ------
        ValueError
            If the metric, the name or the step is unknown.
        """
        one_of("metric", metric, METRICS)
        one_of("forecast", name, self.predicted)
        if step is not None and not 1 <= whole_number("step", step) <= self.steps:
            raise ValueError(f"step must be from 1 to {self.steps}, not {step}.")
        at = slice(None) if step is None else slice(step - 1, step)
        actual, predicted = self.actual[:, at, target].ravel(), self.predicted[name][:, at, target].ravel()
        there = np.isfinite(actual)
        if not there.any() or not np.isfinite(predicted[there]).all():
            return float("nan")
        actual, predicted = actual[there], predicted[there]
        if metric == "mase":
            scale = float(self.scale[target])
            return scores.mae(actual, predicted) / scale if scale > 0 else float("nan")
        return float(getattr(scores, metric)(actual, predicted))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield a row of figures for each target, forecast and step; step "all" for all of them together."""
        for (k, target), name in itertools.product(enumerate(self.targets), self.predicted):
            for step in [*range(1, self.steps + 1), None] if self.steps > 1 else [1]:
                figures = {metric: self.score(metric, name, step, k) for metric in METRICS}
                yield {"part": self.part, "target": target, "forecast": name, "step": step or "all"} | figures

    def wins(self, name: str, target: int = 0) -> list[int]:
        """Return the steps ahead, from 1, at which the network's RMSE is below a baseline's."""
        steps = range(1, self.steps + 1)
        return [s for s in steps if self.score("rmse", NETWORK, s, target) < self.score("rmse", name, s, target)]

    def known(self, target: int = 0) -> list[str]:
        """Return the baselines that answer to every value."""
        return [n for n in self.predicted if n != NETWORK and np.isfinite(self.score("rmse", n, None, target))]

    # ------------------------------------------------------------------ for people

    def __str__(self) -> str:
        return "\n\n".join(self._table(k) for k in range(len(self.targets)))

    def _table(self, target: int) -> str:
        count = len(self.rows)
        ahead = "one step ahead" if self.steps == 1 else f"1 to {self.steps} steps ahead"
        origin = f"{count} origin" + "s" * (count > 1)
        lines = [f"{self.targets[target]}, {self.part} rows: {ahead}, from {origin}"]
        lines.append(f"{'':<28}" + "".join(f"{TITLES[metric]:>10}" for metric in METRICS))
        for name in self.predicted:
            cells = [f"{score_text(self.score(metric, name, None, target), metric):>10}" for metric in METRICS]
            lines.append(f"{name:<28}" + "".join(cells))
        if self.steps > 1:
            shown = some_steps(self.steps)
            lines += ["", f"{'RMSE by steps ahead':<28}" + "".join(f"{s:>10}" for s in shown)]
            for name in self.predicted:
                cells = [f"{score_text(self.score('rmse', name, s, target)):>10}" for s in shown]
                lines.append(f"{name:<28}" + "".join(cells))
        return "\n".join(lines)

    def verdict(self, target: int = 0) -> str:
        """Return in words which baselines the network beats by its RMSE, at which steps, and which not."""
        beats, loses = [], []
        for name in self.known(target):
            won = self.wins(name, target)
            lost = [s for s in range(1, self.steps + 1) if s not in won]
            one = self.steps == 1
            if won:
                beats.append(name + ("" if one or not lost else f" at {_ranges(won)}"))
            if lost:
                loses.append(name + ("" if one or not won else f" at {_ranges(lost)}"))
        told = [f"it {word} {_and(some)}" for word, some in (("beats", beats), ("does NOT beat", loses)) if some]
        own = score_text(self.score("rmse", NETWORK, None, target))
        many = len(self.targets) > 1
        about = f"On the {self.part} rows the network's RMSE" + (f" of {self.targets[target]}" if many else "")
        return f"{about} is {own}: {'; '.join(told) or 'there is no baseline to compare it with'}."


def score_text(value: float, metric: str = "rmse") -> str:
    """Return a figure of four digits, of more where they stand before the point; at most eight characters or so."""
    shape = ".0f" if WIDE[0] <= abs(value) < WIDE[1] and SHAPES[metric] == ".4g" else SHAPES[metric]
    return f"{value:{shape}}" if np.isfinite(value) else "-"


def _and(some: list[str]) -> str:
    return " and ".join([", ".join(some[:-1])] * (len(some) > 1) + some[-1:])


def _ranges(steps: list[int]) -> str:
    """Return '1 step', '2 to 7 steps' and so on."""
    runs: list[list[int]] = []
    for s in steps:
        if runs and runs[-1][-1] == s - 1:
            runs[-1].append(s)
        else:
            runs.append([s])
    told = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return _and(told) + (" step" if steps == [1] else " steps")


def some_steps(steps: int, most: int = SHOWN) -> list[int]:
    """Return some steps for a table, the first and the last among them."""
    return (
        [int(s) for s in np.unique(np.geomspace(1, steps, min(most, steps)).round())]
        if steps > most
        else [*range(1, steps + 1)]
    )


def backtest(
    forecaster: Forecaster,
    series: Table,
    part: slice,
    training: slice,
    steps: int | None = None,
    season: int | None = None,
    stride: int = 1,
    name: str = "test",
) -> Backtest:
    """Forecast from every `stride`-th row of a part, with the network and with baselines.

    The forecasts look back over the part's first row; all of their steps lie within the part. The baselines are: last
    value, drift, seasonal-naive and the season's mean (with a season), and the least-squares autoregression, direct for
    every step, which sees what the network sees.

    Parameters
    ----------
    forecaster : Forecaster
        Fitted.
    series : Table
        All rows, raw.
    part : slice
        The rows that are predicted.
    training : slice
        The rows that the baselines learn from.
    steps : int, optional
        The forecaster's horizon if not given.
    season : int, optional
        Rows in a season.
    stride : int, default 1
    name : str
        What the part is called.

    Raises
    ------
    ValueError
        If the part has fewer rows than steps, or as `Forecaster.predict`.
    """
    steps = forecaster.horizon if steps is None else whole_number("steps", steps)
    past = forecaster.past
    first = max(part.start, past if season is None else max(past, season if part.start == 0 else 0))
    if part.stop - first < steps:
        raise ValueError(
            f"the {name} part has {part.stop - part.start} rows, of which {max(0, part.stop - first)} can be "
            f"predicted, but {steps} steps ahead need as many; ask for fewer steps or move the split."
        )
    start = first - past
    return beside(
        forecaster, series[start : part.stop], series[training], steps, stride, name, season, series[:start], first
    )


def beside(
    forecaster: Forecaster,
    rows: Table,
    learned: Table,
    steps: int,
    stride: int = 1,
    name: str = "test",
    season: int | None = None,
    history: Table | None = None,
    first: int = 0,
    learned_stride: int = 1,
) -> Backtest:
    """Return the forecasts from every `stride`-th window of rows beside the baselines'.

    Parameters
    ----------
    forecaster : Forecaster
        Fitted.
    rows : Table
        Raw: the first window and all that follows.
    learned : Table
        The rows that the baselines learn from; they begin where history does.
    steps, stride, name, season
        As for `backtest`.
    history : Table, optional
        The rows before `rows`.
    first : int
        What the first predicted row is called.
    learned_stride : int
        Rows from one window of the autoregression's training to the next.

    Raises
    ------
    ValueError
        As `Forecaster.predict`.
    """
    origins = forecaster.origins(rows, steps, stride)
    network = forecaster.paths(origins, steps).mean(axis=1)
    columns = forecaster.columns or ()
    known, learned = (forward_filled(table.select(columns)) for table in (rows, learned))
    before = forward_filled(history.select(columns)) if history is not None and len(history) else None
    targets = [known.index(target) for target in forecaster.targets]
    how = (forecaster.past, steps, stride, targets)
    flat = {"last value": last_value(known, *how), "drift": drift(known, *how, history=before)}
    if season is not None:
        flat[f"seasonal-naive ({season} rows)"] = seasonal_naive(known, season, *how, history=before)
        if len(learned):
            mean = seasonal_mean(known, season, *how, history=before, training=learned)
            flat[f"season's mean ({season} rows)"] = mean
    order = forecaster.window
    if len(learned) > (order * len(columns) + steps) * learned_stride:
        ar = LeastSquaresAR(order, steps, targets).fit(learned, learned_stride)
        flat[f"least-squares AR({order})"] = ar.predict(known, forecaster.past, stride)
    predicted = {NETWORK: network} | {key: values.reshape(network.shape) for key, values in flat.items()}
    lag, y = season or 1, learned.values[:, targets]
    scale = np.abs(y[lag:] - y[:-lag]).mean(axis=0) if len(y) > lag else np.full(len(targets), np.nan)
    at = first + stride * np.arange(len(network))
    return Backtest(at, forecaster.actual(rows, steps, stride), predicted, forecaster.targets, scale, name)


def forward_filled(table: Table) -> Table:
    """Return a table whose missing values are the last ones known before them, for baselines."""
    values = table.values
    if not np.isnan(values).any():
        return table
    at = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    np.maximum.accumulate(at, axis=0, out=at)
    filled = np.take_along_axis(values, at, axis=0)
    first = np.argmax(~np.isnan(values), axis=0)
    filled = np.where(np.isnan(filled), values[first, np.arange(values.shape[1])], filled)
    return Table(filled, table.columns, table.dates, table.name)
