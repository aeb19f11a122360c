"""A look ahead from a series' last row, and beside it what the same forecast would have said some rows earlier.

Letters: S steps ahead, T targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backtest import NETWORK, Backtest, forward_filled, score_text, some_steps
from .baselines import last_value, seasonal_naive
from .checks import real_number, whole_number
from .csvfile import Table, read_csv
from .dates import calendar
from .fans import Coverage, Fan, measure_coverage
from .forecasting import Forecaster
from .problems import VALIDATION, Problem

ROUGHLY = 0.05  # a coverage that is further off than that is called wrong
FLAT = 0.01  # of the history's spread: less is a constant
LEAST = 40  # rows of history that are looked back on, where there are so many
LAST, SEASONAL = "last value", "seasonal-naive"


@dataclass(frozen=True, eq=False)
class Outlook:
    """What comes after a series' last row, raw, and what can be seen beside it.

    Attributes
    ----------
    problem : Problem
    fan : Fan
        The forecast beyond the last row.
    horizon : int
        Steps that the network gives at a time; further ones are predicted in closed loop.
    window : int
        Rows that it looks back on.
    level : float
        The share of the fan's paths within its band.
    naive : dict of str to float64 array (S, T)
        The baselines' forecasts of the same rows: "last value" and, with a season, "seasonal-naive".
    start : int
        The first row of the history that is looked back on.
    one_step : float64 array (K, T)
        Forecasts of the last K rows one step ahead, each from the true rows before it.
    free : float64 array (M, T)
        A forecast of the last M rows that saw none of them, to be compared with what came.
    """

    problem: Problem
    fan: Fan
    horizon: int
    window: int
    level: float
    naive: dict[str, NDArray[np.float64]]
    start: int
    one_step: NDArray[np.float64]
    free: NDArray[np.float64]

    @property
    def steps(self) -> int:
        """How many rows ahead."""
        return len(self.fan.mean)

    @property
    def labels(self) -> list[str]:
        """What the rows ahead are called: dates, or +1, +2 and so on."""
        return list(self.fan.labels or (f"+{k}" for k in range(1, self.steps + 1)))

    @property
    def fans_out(self) -> bool:
        """Whether there is more than one path."""
        return len(self.fan.paths) > 1

    def columns(self, target: int = 0) -> dict[str, NDArray[np.float64]]:
        """Return the forecasts of a target by what they are: mean, low, high, seasonal-naive, last value.

        Parameters
        ----------
        target : int, default 0

        Returns
        -------
        dict of str to float64 array (S,)
            Low and high, the band's edges, only where there is more than one path.
        """
        found = {"mean": self.fan.mean}
        if self.fans_out:
            found["low"], found["high"] = self.fan.band(self.level)
        return {name: values[:, target] for name, values in (found | self.naive).items()}

    def records(self) -> tuple[list[str], Iterator[list[Any]]]:
        """Return the header and the rows of forecast.csv."""
        targets = self.problem.targets
        columns = {f"{name} {what}": v for k, name in enumerate(targets) for what, v in self.columns(k).items()}
        rows = zip(range(1, self.steps + 1), self.labels, *columns.values(), strict=True)
        return ["step", "date" if self.problem.table.dates else "row", *columns], map(list, rows)

    def runs_flat(self, target: int = 0) -> int | None:
        """Return the step, from 1, after which a closed loop stays constant; None if it goes on moving.

        Constant is what spreads less than 1 % of the history from there to the end, for a season or more (a window,
        where there is no season).

        Parameters
        ----------
        target : int, default 0
        """
        values = self.fan.mean[:, target]
        history = self.problem.table.column(self.problem.targets[target])
        if self.steps <= self.horizon:
            return None
        rest = values[::-1]
        spread = (np.maximum.accumulate(rest) - np.minimum.accumulate(rest))[::-1]
        flat = np.flatnonzero(spread < FLAT * (np.nanmax(history) - np.nanmin(history)))
        enough = self.problem.season or self.window
        return int(flat[0]) + 1 if len(flat) >= enough else None

    def remarks(self) -> list[str]:
        """Return sentences on how far the forecast can be trusted."""
        told = []
        if self.steps > self.horizon:
            ahead = "1 step" if self.horizon == 1 else f"{self.horizon} steps"
            told.append(
                f"The network gives {ahead} at a time; further ones are made in closed loop, from its own forecasts, "
                "so that errors add up."
            )
        elif self.problem.known:
            told.append(f"To go further the network must be told {' and '.join(self.problem.known)}: --future FILE.")
        for k, name in enumerate(self.problem.targets):
            step = self.runs_flat(k)
            if step is not None:
                told.append(
                    f"From step {step} ({self.labels[step - 1]}) on the closed loop of {name} stays at "
                    f"{score_text(self.fan.mean[-1, k])}, within a hundredth of the history's spread: it has run out "
                    "to a constant, which is no forecast. A longer window, a longer --horizon, or a transform may help."
                )
        return told

    def __str__(self) -> str:
        return "\n\n".join(self._table(k) for k in range(len(self.problem.targets)))

    def _table(self, target: int) -> str:
        name, table = self.problem.targets[target], self.problem.table
        unit = self.problem.units.get(name)
        after = f"{table.dates[-1]}" if table.dates else f"row {len(table)}"
        columns = self.columns(target)
        widths = {what: max(len(what) + 2, 10) for what in columns}
        across = max(map(len, self.labels))
        header = "".join(f"{what:>{width}}" for what, width in widths.items())
        lines = [f"{name}{f' ({unit})' if unit else ''}: {self.steps} {_rows(self.steps)} after {after}"]
        lines.append(f"{'step':>5}  {'':<{across}}{header}")
        for s in some_steps(self.steps, 6):
            cells = "".join(f"{score_text(columns[what][s - 1]):>{width}}" for what, width in widths.items())
            lines.append(f"{s:>5}  {self.labels[s - 1]:<{across}}{cells}")
        return "\n".join(lines)


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def look_ahead(
    problem: Problem,
    forecaster: Forecaster,
    steps: int | None = None,
    future: Table | None = None,
    samples: int | None = None,
    level: float = 0.8,
    seed: int = 0,
) -> Outlook:
    """Forecast what comes after a problem's last row.

    Parameters
    ----------
    problem : Problem
    forecaster : Forecaster
        Fitted.
    steps : int, optional
        How many rows ahead. If not given, a season, or else as many as the window has; only as many as the model gives
        at a time where it cannot go on from its own forecasts.
    future : Table, optional
        The known columns in the rows ahead, as `future_rows` gives them.
    samples : int, optional
        As for `Forecaster.fan`.
    level : float, default 0.8
        The share of the paths within the band.
    seed : int, default 0
        As for `Forecaster.fan`.

    Raises
    ------
    ValueError
        As `Forecaster.fan`.
    """
    level = real_number("level", level, 0.0, 1.0, open_low=True)
    table, past, horizon = problem.table, forecaster.past, forecaster.horizon
    unpredicted = set(range(len(table.columns))) - set(forecaster.target_columns)
    goes_on = unpredicted <= set(forecaster.known_columns)
    if steps is None:
        steps = max(horizon, problem.season or forecaster.window) if goes_on else horizon
        if unpredicted:
            steps = min(steps, horizon + (0 if future is None else len(future)))
    steps = whole_number("steps", steps)
    fan, end = forecaster.fan(steps, table, future, samples, seed), len(table)
    start = max(0, end - max(3 * steps, LEAST))
    back = max(past, end - (steps if goes_on else min(steps, horizon)))
    one_step = free = np.empty((0, len(problem.targets)))
    if end > past:
        one_step = np.asarray(forecaster.predict(table[max(0, start - past) :], 1, 1))
        names = [table.columns[k] for k in forecaster.known_columns]
        known = table[back:].select(names) if names else None
        free = forecaster.fan(end - back, table[:back], known, samples, seed).mean
    naive = naive_forecasts(problem, steps)
    return Outlook(problem, fan, horizon, forecaster.window, level, naive, start, one_step, free)


def naive_forecasts(problem: Problem, steps: int) -> dict[str, NDArray[np.float64]]:
    """Return what the baselines that learn nothing say of the rows after a problem's last one, (S, T) each."""
    rows = forward_filled(problem.table.select(problem.targets)).values
    padded = np.concatenate([rows, np.zeros((steps, rows.shape[1]))])  # baselines answer where rows follow
    found = {LAST: last_value(padded, len(rows), steps)}
    if problem.season is not None and problem.season <= len(rows):
        found = {SEASONAL: seasonal_naive(padded, problem.season, len(rows), steps)} | found
    return {name: values.reshape(steps, -1) for name, values in found.items()}


def future_rows(path: str, problem: Problem) -> Table:
    """Return the known columns of a CSV file in the rows after a problem's last one.

    Parameters
    ----------
    path : str
        Where the file has dates, rows up to the problem's last date are left out, and the next row must follow it.
    problem : Problem

    Raises
    ------
    ValueError
        If the problem has no known columns, a column is missing, or the dates do not go on where the problem's end.
    FileNotFoundError
        If there is no such file.
    """
    if not problem.known:
        raise ValueError(
            "the model sees no column whose future is known, so there is nothing that --future could tell it; "
            "`nbrnn train --known` names such columns."
        )
    given = read_csv(path, columns=list(problem.known), decimal=problem.decimal)
    dates = problem.table.dates
    if dates is None or given.dates is None:
        return given
    ends, here = calendar(dates), calendar(given.dates)
    if ends.times is None or ends.stride is None:
        return given
    if here.times is None:
        raise ValueError(f"the dates of {path} cannot be read: {here.refusal}")
    later = np.flatnonzero(here.times > ends.times[-1])
    wanted = ends.after(1)[0]
    if not len(later) or not here.in_order or here.times[later[0]] != ends.stride.after(ends.times[-1], 1)[0]:
        last = given.dates[later[0]] if len(later) else "nothing"
        raise ValueError(f"the rows of {path} must go on with {wanted}, in order, but after {dates[-1]} comes {last}.")
    return given[int(later[0]) :]


def validation_coverage(
    problem: Problem, forecaster: Forecaster, steps: int, level: float, samples: int | None = None, seed: int = 0
) -> Coverage | None:
    """Return how often a fan's band held the values of the validation part; None where that has too few rows.

    Parameters
    ----------
    problem : Problem
    forecaster : Forecaster
        With more than one path.
    steps : int
        At most; not more than half of the part's rows, so that there are several origins.
    level, samples, seed
        As for `measure_coverage`.

    Raises
    ------
    ValueError
        As `measure_coverage`.
    """
    part = problem.parts.get(VALIDATION)
    if part is None:
        return None
    rows = problem.table[max(0, part.start - forecaster.past) : part.stop]
    usable = len(rows) - forecaster.past
    if usable < 1:
        return None
    return measure_coverage(forecaster, rows, min(steps, max(1, usable // 2)), level, samples, seed)


def coverage_sentence(coverage: Coverage | None) -> str:
    """Return in words how often the band held what came."""
    if coverage is None:
        return "There are no validation rows, so how often the band holds what comes is not known."
    wanted, found, steps = coverage.level, coverage.overall, len(coverage.by_step)
    ahead = "1 step" if steps == 1 else f"1 to {steps} steps"
    told = f"The {100 * wanted:.3g} % band held {100 * found:.0f} % of the validation values ({ahead} ahead)"
    if found < wanted - ROUGHLY:
        return f"{told}: it is too narrow, so take it for less than it says."
    return f"{told}." if found <= wanted + ROUGHLY else f"{told}: it is too wide."


def scores_by_seed(forecaster: Forecaster, table: Table, scores: Backtest, target: int = 0) -> dict[int, float]:
    """Return the RMSE of each model of an ensemble alone, by its seed, on the rows of a backtest.

    Parameters
    ----------
    forecaster : Forecaster
    table : Table
        All rows.
    scores : Backtest
        Of the same forecaster.
    target : int, default 0
    """
    first, steps = int(scores.rows[0]), scores.steps
    stride = int(scores.rows[1]) - first if len(scores.rows) > 1 else 1
    rows = table[first - forecaster.past : int(scores.rows[-1]) + steps]
    paths = forecaster.paths(forecaster.origins(rows, steps, stride), steps)
    alone = [replace(scores, predicted={NETWORK: paths[:, k]}) for k in range(len(forecaster.models))]
    return {model.seed: one.score("rmse", target=target) for model, one in zip(forecaster.models, alone, strict=True)}
