"""What a sweep found: a row a setting, with the spread over the seeds, and the simplest setting that is good enough.

The one-standard-error rule: Breiman et al. (1984), Classification and Regression Trees, 3.4.3; Hastie et al. (2009),
The Elements of Statistical Learning, 7.10.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .backtest import TITLES, score_text
from .recipes import Recipe
from .sweepfile import units_text
from .trials import SWEPT, Trial, plain

SHOWN = 20  # settings that are printed
ROOM = 19  # columns for what the settings differ in, so that all figures fit into 80
WORDS = {"learning_rate": "rate", "window": "window", "units": "units", "cell": "cell", "dropout": "dropout"}
ERRORS = ("rmse", "mae", "mase")  # what a sweep compares


@dataclass(frozen=True)
class SweepRow:
    """A setting of a sweep.

    Attributes
    ----------
    recipe : Recipe
    trials : tuple of Trial
        Those that were finished, one a seed.
    """

    recipe: Recipe
    trials: tuple[Trial, ...]

    @property
    def errors(self) -> list[float]:
        """Of the seeds that did not fail."""
        return [trial.error for trial in self.trials if not trial.failure]

    @property
    def failed(self) -> int:
        """How many trainings failed."""
        return len(self.trials) - len(self.errors)

    @property
    def mean(self) -> float:
        """The mean error over the seeds; NaN if there is none."""
        return statistics.fmean(self.errors) if self.errors else math.nan

    @property
    def standard_error(self) -> float:
        """The mean's standard error, s / sqrt(n); NaN with fewer than two seeds."""
        errors = self.errors
        return statistics.stdev(errors) / math.sqrt(len(errors)) if len(errors) > 1 else math.nan

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        return max((trial.parameters for trial in self.trials), default=0)

    @property
    def seconds(self) -> float:
        """Processor time of a training, the median over the seeds."""
        return statistics.median(trial.seconds for trial in self.trials) if self.trials else math.nan

    @property
    def epochs(self) -> float:
        """Epochs of a training, the mean over the seeds."""
        return statistics.fmean(trial.epochs for trial in self.trials) if self.trials else math.nan

    def record(self) -> dict[str, Any]:
        """Return its figures by name."""
        setting = {name: getattr(self.recipe, name) for name in SWEPT} | {"units": units_text(self.recipe.units)}
        errors = self.errors
        return setting | {
            "seeds": len(errors),
            "failed": self.failed,
            "mean": self.mean,
            "standard error": self.standard_error,
            "least": min(errors, default=math.nan),
            "largest": max(errors, default=math.nan),
            "parameters": self.parameters,
            "epochs": self.epochs,
            "seconds": self.seconds,
        }


class Sweep:
    """What `sweep` found: every training, the settings in order, and the choice among them.

    Parameters
    ----------
    recipes : sequence of Recipe
        The settings.
    seeds : sequence of int
    trials : iterable of Trial
        What was finished; others' are left out.
    metric : {"rmse", "mae", "mase"}
        What the error is.
    unit : str
        Of the error; empty for none.
    baselines : dict of str to float, optional
        The baselines' errors on the same rows.

    Attributes
    ----------
    rows : list of SweepRow
        A setting each, the best mean first; settings without an error last.
    total : int
        Trainings that were asked for.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        trials: Iterable[Trial],
        metric: str = "rmse",
        unit: str = "",
        baselines: dict[str, float] | None = None,
    ) -> None:
        self.metric, self.unit, self.baselines = metric, unit, dict(baselines or {})
        self.seeds, self.total = list(seeds), len(recipes) * len(seeds)
        found: dict[Recipe, dict[int, Trial]] = {_seedless(recipe): {} for recipe in recipes}
        for trial in trials:
            own = found.get(_seedless(trial.recipe))
            if own is not None and trial.recipe.seed in self.seeds:
                own[trial.recipe.seed] = trial
        rows = [SweepRow(recipe, tuple(own[seed] for seed in sorted(own))) for recipe, own in found.items()]
        self.rows = sorted(rows, key=lambda row: (math.isnan(row.mean), row.mean if row.errors else 0.0))

    @property
    def trials(self) -> list[Trial]:
        """The trainings that were finished."""
        return [trial for row in self.rows for trial in row.trials]

    @property
    def judged(self) -> list[SweepRow]:
        """The settings that are compared: no seed failed, and all have as many, or one less if it was stopped."""
        whole = [row for row in self.rows if row.errors and not row.failed]
        most = max((len(row.errors) for row in whole), default=0)
        return [row for row in whole if len(row.errors) >= min(most, max(most - 1, 2))]

    @property
    def best(self) -> SweepRow | None:
        """The setting of the smallest mean error; None if there is none."""
        return next(iter(self.judged), None)

    @property
    def limit(self) -> float:
        """The best mean plus its standard error; the mean alone where one seed tells no error."""
        best = self.best
        if best is None:
            return math.nan
        return best.mean + (0.0 if math.isnan(best.standard_error) else best.standard_error)

    @property
    def chosen(self) -> SweepRow | None:
        """The setting of the fewest parameters whose mean error is within the limit; of equals, the better one."""
        within = [row for row in self.judged if row.mean <= self.limit]
        return min(within, key=lambda row: (row.parameters, row.mean), default=None)

    def recipe(self) -> Recipe:
        """Return the chosen setting's recipe.

        Raises
        ------
        ValueError
            If no setting was finished without a failure.
        """
        if self.chosen is None:
            raise ValueError("no setting was trained without a failure, so there is none to choose.")
        return replace(self.chosen.recipe, seed=self.seeds[0])

    # ------------------------------------------------------------------ for people

    @property
    def varied(self) -> list[str]:
        """What the settings differ in."""
        return [name for name in SWEPT if len({getattr(row.recipe, name) for row in self.rows}) > 1]

    @property
    def title(self) -> str:
        """What the error is, with its unit."""
        return f"validation {TITLES[self.metric]}" + (f" ({self.unit})" if self.unit else "")

    def label(self, row: SweepRow) -> str:
        """Return a setting in a few words: what it differs in."""
        return ", ".join(_setting(name, getattr(row.recipe, name)) for name in self.varied or ("cell", "units"))

    def __str__(self) -> str:
        names, chosen, best = self.varied, self.chosen, self.best
        cells = [[_value(name, getattr(row.recipe, name)) for name in names] for row in self.rows]
        widths = [max(len(WORDS[name]), *(len(each[k]) for each in cells)) + 2 for k, name in enumerate(names)]
        columns: dict[str, Callable[[SweepRow], float]] = {"mean": lambda row: row.mean}
        columns["+- s.e."] = lambda row: row.standard_error
        if sum(widths) <= ROOM:
            columns["least"] = lambda row: min(row.errors, default=math.nan)
            columns["largest"] = lambda row: max(row.errors, default=math.nan)
        columns["seconds"] = lambda row: row.seconds
        head = "".join(f"{WORDS[name]:<{width}}" for name, width in zip(names, widths, strict=True))
        lines = [f"{self.title}, {len(self.seeds)} seed{'s' * (len(self.seeds) > 1)} each"]
        lines.append(f"{head}{'params':>7}" + "".join(f"{name:>9}" for name in columns))
        shown = [*range(len(self.rows))]
        if len(shown) > SHOWN:
            keep = next((k for k in shown if self.rows[k] is chosen), 0)
            shown = shown[:SHOWN] if keep < SHOWN else [*shown[: SHOWN - 1], keep]
        for k in shown:
            row = self.rows[k]
            text = "".join(f"{cell:<{width}}" for cell, width in zip(cells[k], widths, strict=True))
            text += f"{row.parameters:>7}" + "".join(f"{score_text(figure(row)):>9}" for figure in columns.values())
            mark = "chosen" if row is chosen else "best" if row is best else ""
            if row.failed:
                mark = f"{row.failed} failed"
            elif len(row.trials) < len(self.seeds):
                mark = f"{len(row.trials)} of {len(self.seeds)}" + f" {mark}" * bool(mark)
            lines.append(f"{text}  {mark}".rstrip())
        if len(self.rows) > SHOWN:
            lines.append(f"... and {len(self.rows) - SHOWN} more settings")
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return in words which setting was chosen, why, and what it is worth beside the baselines."""
        best, chosen = self.best, self.chosen
        if best is None or chosen is None:
            return "No setting was trained without a failure, so there is none to choose."
        spread = f" +- {score_text(best.standard_error)}" if len(best.errors) > 1 else ""
        told = [f"The best is {self.label(best)}: {score_text(best.mean)}{spread}."]
        if len(best.errors) == 1:
            told.append("One seed tells no standard error, so the best is chosen; more seeds (--seeds 5) would.")
        elif chosen is best:
            told.append(f"No setting with fewer parameters is within one standard error ({score_text(self.limit)}).")
        else:
            told.append(
                f"The simplest within one standard error of it ({score_text(self.limit)}) is {self.label(chosen)}: "
                f"{score_text(chosen.mean)} with {chosen.parameters} parameters, not {best.parameters}."
            )
        better = [name for name, error in self.baselines.items() if chosen.mean < error]
        worse = [name for name, error in self.baselines.items() if chosen.mean >= error]
        beside = [
            f"{word} {', '.join(f'{name} ({score_text(self.baselines[name])})' for name in names)}"
            for word, names in (("beats", better), ("does NOT beat", worse))
            if names
        ]
        if beside:
            told.append(f"On the validation rows it {'; it '.join(beside)}.")
        return " ".join(told)

    def failures(self) -> list[str]:
        """Return a sentence for each training that failed."""
        return [
            f"{self.label(row)}, seed {trial.recipe.seed} failed: {trial.failure}"
            for row in self.rows
            for trial in row.trials
            if trial.failure
        ]


def _seedless(recipe: Recipe) -> Recipe:
    return replace(plain(recipe), seed=0)


def _value(name: str, value: Any) -> str:
    if name == "units":
        return units_text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting(name: str, value: Any) -> str:
    """Return 'gru', '8 units' or 'window 12'."""
    text = _value(name, value)
    if name == "cell":
        return text
    return f"{text} unit{'s' * (text != '1')}" if name == "units" else f"{name.replace('_', ' ')} {text}"
