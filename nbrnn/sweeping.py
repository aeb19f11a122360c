"""Which size, window, cell and learning rate? Many small networks, several seeds each, judged on the validation rows.

The test rows are not looked at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .backtest import NETWORK, Backtest
from .checks import one_of, whole_number
from .problems import TRAINING, VALIDATION, Problem
from .recipes import Recipe
from .sweepfile import SweepFile, about
from .sweeptable import ERRORS, Sweep, SweepRow
from .targets import cpu
from .trials import SWEPT, Judge, Trial, in_threads, plain, score

__all__ = ["Range", "Sweep", "SweepRow", "SweepRun", "random_recipes", "recipe_grid", "sweep"]

AUTOREGRESSION = "AR("  # in a baseline's name
TRIES = 50  # draws for each setting that is wanted: fewer settings are there if so many bring no new one
Progress = Callable[[Trial, int, int], Any]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high` for a random search: equally likely on a logarithmic scale, or from 0 evenly.

    Attributes
    ----------
    low, high : int or float

    Raises
    ------
    ValueError
        If high is not above low, or low is negative.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high or not math.isfinite(self.high):
            raise ValueError(f"a range goes from a smaller number to a larger one, both at least 0, not {self}.")

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"

    def draw(self, random: np.random.Generator) -> float:
        """Return a number; a whole one if both ends are."""
        u = random.random()
        if isinstance(self.low, int) and isinstance(self.high, int):
            low, high = self.low, self.high + 1
            found = low * (high / low) ** u if low else low + u * (high - low)
            return min(int(found), self.high)
        found = self.low * (self.high / self.low) ** u if self.low else u * self.high
        return float(f"{found:.3g}")


def recipe_grid(recipe: Recipe, **choices: Sequence[Any]) -> list[Recipe]:
    """Return every combination of choices, each in place of the recipe's own.

    Parameters
    ----------
    recipe : Recipe
    **choices
        For "cell", "units", "window", "learning_rate" or "dropout" a sequence of values; units as numbers, or tuples
        of them for several layers.

    Raises
    ------
    ValueError
        If a name is unknown, or a value out of range.

    Examples
    --------
    >>> [found.units for found in recipe_grid(Recipe(), units=[4, (8, 4)], cell=["gru"])]
    [(4,), (8, 4)]
    """
    _named(choices)
    for name, values in choices.items():
        for value in values:
            if isinstance(value, Range):
                raise ValueError(
                    f"{name.replace('_', '-')} {value} is a range; a grid takes values, a random search ranges."
                )
    found = [_with(recipe, dict(zip(choices, each, strict=True))) for each in itertools.product(*choices.values())]
    return list(dict.fromkeys(found))


def random_recipes(recipe: Recipe, count: int, seed: int = 0, **choices: Sequence[Any]) -> list[Recipe]:
    """Return settings drawn at random, each once: the first ones are the same however many are drawn.

    Parameters
    ----------
    recipe : Recipe
    count : int
        How many; fewer come back if there are not so many.
    seed : int, default 0
    **choices
        As for `recipe_grid`; a value may be a `Range`.

    Raises
    ------
    ValueError
        As `recipe_grid`.
    """
    _named(choices)
    count, random = whole_number("random", count), np.random.default_rng(whole_number("seed", seed, 0))
    found: dict[Recipe, None] = {}
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        picked = {name: values[int(random.integers(len(values)))] for name, values in choices.items()}
        drawn = {name: value.draw(random) if isinstance(value, Range) else value for name, value in picked.items()}
        found[_with(recipe, drawn)] = None
    return list(found)


def _named(choices: Mapping[str, Sequence[Any]]) -> None:
    for name, values in choices.items():
        one_of("choice", name, SWEPT)
        if isinstance(values, (str, bytes)) or not len(values):
            raise ValueError(f"{name} must be a sequence of values that is not empty, not {values!r}.")


def _with(recipe: Recipe, setting: dict[str, Any]) -> Recipe:
    units = setting.get("units")
    if isinstance(units, (int, np.integer)):
        setting = setting | {"units": (units,)}
    elif units is not None:
        setting = setting | {"units": tuple(units)}
    return plain(replace(recipe, **setting))


class SweepRun:
    """A sweep under way: what is to be trained, and what has been.

    Parameters
    ----------
    problem, recipes, seeds, metric, folder
        As for `sweep`, which says what is raised.

    Attributes
    ----------
    points : list of Recipe
        The trainings, one seed after the other.
    done : dict of Recipe to Trial
        Those that have ended.
    """

    def __init__(
        self,
        problem: Problem,
        recipes: Sequence[Recipe],
        seeds: int = 5,
        metric: str | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.problem, self.recipes = problem, _alike(recipes)
        first = recipes[0].seed
        self.seeds = range(first, first + whole_number("seeds", seeds))
        self.metric = _metric(problem, metric)
        self.judge, self.baselines = _prepared(problem, self.recipes, self.metric)
        self.points = [replace(recipe, seed=seed) for seed in self.seeds for recipe in self.recipes]
        self.file: SweepFile | None = None
        if folder is not None:
            content = about(problem, self.recipes[0], self.metric)
            self.file = SweepFile(Path(folder), content, self.recipes[0])
        wanted, there = set(self.points), self.file.trials if self.file else []
        self.done = {trial.recipe: trial for trial in there if trial.recipe in wanted}

    @property
    def left(self) -> list[Recipe]:
        """The trainings that have not ended."""
        return [point for point in self.points if point not in self.done]

    def run(self, jobs: int | None = None, scheduler: str | None = None, progress: Progress | None = None) -> None:
        """Train what is left.

        Parameters
        ----------
        jobs, scheduler, progress
            As for `sweep`, which says what is raised.
        """
        threads = cpu.get_num_threads()
        jobs = threads if jobs is None else whole_number("jobs", jobs)
        left = self.left
        if not left:
            return
        cpu.set_num_threads(1)  # a thread for each training, none within
        try:
            if scheduler is None:
                _compile(self.problem, self.recipes)
                trials = in_threads(self.judge, left, jobs)
            else:
                from .cluster import on_cluster

                trials = on_cluster(scheduler, self.judge, left)
            with closing(trials):
                for trial in trials:
                    self.done[trial.recipe] = trial
                    if self.file is not None and not trial.lost:
                        self.file.append(trial)
                    if progress is not None:
                        progress(trial, len(self.done), len(self.points))
        finally:
            cpu.set_num_threads(threads)

    def result(self) -> Sweep:
        """Return what was found so far."""
        unit = "" if self.metric == "mase" else self.problem.unit(self.problem.targets[0])
        return Sweep(self.recipes, self.seeds, self.done.values(), self.metric, unit, self.baselines)


def sweep(
    problem: Problem,
    recipes: Sequence[Recipe],
    seeds: int = 5,
    jobs: int | None = None,
    metric: str | None = None,
    folder: str | Path | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Train every setting with several seeds, many at a time, and compare their errors on the validation rows.

    A training that fails is told of and stops no other. The errors do not depend on how many are trained at a time.

    Parameters
    ----------
    problem : Problem
        With validation rows.
    recipes : sequence of Recipe
        They may differ in cell, units, window, learning_rate and dropout; see `recipe_grid` and `random_recipes`.
    seeds : int, default 5
        Networks of each setting, with the seeds from the first recipe's on.
    jobs : int, optional
        Trainings at a time, a thread each; as many as threads are in use if not given.
    metric : {"rmse", "mae", "mase"}, optional
        Of all steps ahead. "rmse" if not given, and with several targets, which may differ in unit, "mase".
    folder : str or Path, optional
        Where a row is written for every training that ends; those that are there already are not trained again.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers train instead of threads.
    progress : callable, optional
        Called with each trial that has ended, how many have, and how many were asked for.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        If there are no validation rows, a setting does not fit the rows, the folder holds another sweep, or the
        scheduler does not answer.
    OSError
        If the folder cannot be written.
    KeyboardInterrupt
        On Ctrl-C; what has ended stands in the folder.
    """
    work = SweepRun(problem, recipes, seeds, metric, folder)
    work.run(jobs, scheduler, progress)
    return work.result()


def _alike(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return settings, each once; ValueError if they differ in what a sweep does not vary."""
    if not len(recipes):
        raise ValueError("a sweep needs at least one recipe.")
    found = list(dict.fromkeys(plain(recipe) for recipe in recipes))
    common = [name for name in found[0].to_dict() if name not in SWEPT]
    for recipe in found:
        for name in common:
            if getattr(recipe, name) != getattr(found[0], name):
                raise ValueError(
                    f"the recipes of a sweep may differ in {', '.join(SWEPT)}, but here {name} is "
                    f"{getattr(found[0], name)} and {getattr(recipe, name)}."
                )
    return found


def _metric(problem: Problem, metric: str | None) -> str:
    many = len(problem.targets) > 1
    if metric is None:
        return "mase" if many else "rmse"
    if one_of("metric", metric, ERRORS) != "mase" and many:
        raise ValueError(f"metric {metric} of several targets would add up units; choose mase, or one target.")
    return metric


def _prepared(problem: Problem, recipes: Sequence[Recipe], metric: str) -> tuple[Judge, dict[str, float]]:
    """Check every setting against the rows; return the judge, and the baselines' errors."""
    if VALIDATION not in problem.parts:
        raise ValueError(
            f"a sweep compares errors on validation rows, but the split made {' and '.join(problem.parts)} rows only; "
            "give three shares, such as --split 0.7/0.15/0.15."
        )
    for recipe in recipes:
        problem.check(recipe)
    references: dict[int, Backtest] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for window in sorted({recipe.window for recipe in recipes}):
        small = min((r for r in recipes if r.window == window), key=lambda r: sum(r.units))
        forecaster = problem.forecaster(replace(small, units=(1,)))
        found = problem.backtest(forecaster, VALIDATION)
        references[forecaster.past] = replace(found, predicted={})
        figures = {name: score(found, metric, name) for name in found.predicted if name != NETWORK}
        for name, error in figures.items():
            kind = name.partition("(")[0] if AUTOREGRESSION in name else name  # one for each window: the best is shown
            if math.isfinite(error) and error < strongest.get(kind, (math.inf, ""))[0]:
                strongest[kind] = error, name
    baselines = {name: error for error, name in strongest.values()}
    if metric == "mase" and not all((found.scale > 0).all() for found in references.values()):
        raise ValueError("MASE has no scale here: the naive forecast makes no error on the training rows; choose rmse.")
    return Judge(problem, metric, references), baselines


def _compile(problem: Problem, recipes: Sequence[Recipe]) -> None:
    """Make the machine code that the settings need, by an epoch on few rows: many threads would each make it."""
    kinds: dict[Any, list[Recipe]] = {}
    for recipe in recipes:
        kinds.setdefault((recipe.cell, len(recipe.units), recipe.dropout > 0), []).append(recipe)
    for alike in kinds.values():
        for choose in (min, max):
            recipe = choose(alike, key=lambda r: (sum(r.units), -r.window))
            rows = min(recipe.window + 1 + recipe.horizon + 2 * recipe.batch_size, problem.parts[TRAINING].stop)
            stop = rows + recipe.horizon
            parts = {TRAINING: slice(0, rows), VALIDATION: slice(rows, stop)}
            table = problem.table[:stop]
            if recipe.missing == "mask":  # what masked steps need is made too
                values = table.values.copy()
                values[0] = np.nan
                table = replace(table, values=values)
            few = replace(problem, table=table, parts=parts, season=None)
            with suppress(ValueError):  # such as numbers that are not finite: the training itself will tell
                few.fit(replace(recipe, epochs=1), verbose=0)
