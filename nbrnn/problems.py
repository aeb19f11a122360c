"""What is to be forecast: a series, its targets, and a split by time, checked before anything is trained."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .backtest import Backtest, backtest, score_text
from .catalogue import WIDTH
from .checks import nearest, real_number, whole_number
from .csvfile import Columns, Table, read_csv
from .data import split_slices
from .datasets import DATASETS, Dataset, load_dataset
from .dates import calendar
from .forecasting import Forecaster
from .missing import fill
from .recipes import Recipe

FORECASTS = tuple(name for name, known in DATASETS.items() if known.task == "forecast")
SHARES = (0.7, 0.15, 0.15)
MANY = 0.1  # a share of rows that is worth a word
TRAINING, VALIDATION, TEST = "training", "validation", "test"


@dataclass(frozen=True, eq=False)
class Problem:
    """A series with everything decided that does not depend on the network.

    Attributes
    ----------
    table : Table
        The columns that the network sees, raw.
    targets : tuple of str
        The columns to predict.
    parts : dict of str to slice
        The rows of "training", "validation" (which may be missing) and "test", one after the other.
    known : tuple of str
        Columns whose future is known when a forecast is made.
    season : int or None
        Rows in a season, for the seasonal baselines.
    units : dict of str to str
        Of the columns, where they are known.
    title : str
        One line for people.
    remarks : tuple of str
        Sentences on dates and missing values.
    source : str
        The data set or file that it was read from.
    missing : str
        What was done about missing values.
    decimal : str
        What stands before the decimals in the file.
    """

    table: Table
    targets: tuple[str, ...]
    parts: dict[str, slice]
    known: tuple[str, ...] = ()
    season: int | None = None
    units: dict[str, str] = field(default_factory=dict)
    title: str = ""
    remarks: tuple[str, ...] = ()
    source: str = ""
    missing: str = "refuse"
    decimal: str = "."

    def __post_init__(self) -> None:
        for name in (*self.targets, *self.known):
            self.table.index(name)
        both = [name for name in self.known if name in self.targets]
        if both:
            raise ValueError(f"{both[0]} is to be predicted, so its future cannot be known; take it out of --known.")
        if self.season is not None:
            whole_number("season", self.season)

    @property
    def masked(self) -> bool:
        """Whether rows are missing, so that the network must skip them."""
        return bool(np.isnan(self.table.values).any())

    @property
    def judged(self) -> str:
        """The part on which choices are made: "validation", or "test" where there is none."""
        return VALIDATION if VALIDATION in self.parts else TEST

    def check(self, recipe: Recipe) -> None:
        """Raise ValueError unless every part has rows enough for a recipe's window and horizon."""
        needs = {
            f"window of {recipe.window}" + f" with horizon {recipe.horizon}" * (recipe.horizon > 1): recipe.window
            + recipe.horizon
            + ("difference" in recipe.transform),
            f"season of {self.season}": (self.season or 0) + 1,
        }
        rows = self.parts[TRAINING].stop
        for name, least in needs.items():
            if rows < least:
                raise ValueError(
                    f"{self.table.name} has {rows} training rows ({len(self.table)} in all), but a {name} needs at "
                    f"least {least}; give more rows or a smaller {name.split()[0]}."
                )
        for name, at in self.parts.items():
            if at.stop - at.start < recipe.horizon:
                raise ValueError(
                    f"the {name} part has {at.stop - at.start} rows, but a horizon of {recipe.horizon} needs as many; "
                    "choose a smaller horizon or another split."
                )

    def fit(self, recipe: Recipe, **options: Any) -> Forecaster:
        """Return the forecaster of a recipe, trained; the validation rows decide when to stop.

        Parameters
        ----------
        recipe : Recipe
        **options
            As for `Sequential.fit`, beside what the recipe decides.

        Raises
        ------
        ValueError
            As `check` and `Forecaster.fit`.
        KeyboardInterrupt
            On Ctrl-C, as `Forecaster.fit`.
        """
        forecaster = self.forecaster(recipe)
        self.train(forecaster, recipe, **options)
        return forecaster

    def forecaster(self, recipe: Recipe) -> Forecaster:
        """Return a recipe's forecaster, not trained; raises as `check`."""
        self.check(recipe)
        found = recipe.forecaster(len(self.table.columns), self.targets, self.known)
        found.measure(self.table[self.parts[TRAINING]])
        return found

    def train(self, forecaster: Forecaster, recipe: Recipe, **options: Any) -> None:
        """Train a forecaster as a recipe says; parameters and errors as for `fit`."""
        held = self.parts.get(VALIDATION)
        callbacks = [*(recipe.callbacks() if held else ()), *options.pop("callbacks", ())]
        stop = (held or self.parts[TRAINING]).stop
        count = held.stop - held.start if held else 0
        how = {"epochs": recipe.epochs, "batch_size": recipe.batch_size, "callbacks": callbacks} | options
        forecaster.fit(self.table[:stop], count, **how)

    def backtest(self, forecaster: Forecaster, part: str, steps: int | None = None, stride: int = 1) -> Backtest:
        """Return the forecasts of a part's rows beside the baselines'; parameters and errors as `nbrnn.backtest`."""
        if part not in self.parts:
            raise ValueError(f"there is no {part} part; the split made {', '.join(self.parts)}.")
        training = self.parts[TRAINING]
        return backtest(forecaster, self.table, self.parts[part], training, steps, self.season, stride, part)

    def unit(self, target: str) -> str:
        """Return a column's unit, or its name where none is known."""
        return self.units.get(target) or target

    def notes(self) -> dict[str, Any]:
        """Return what a model file keeps of the problem."""
        dates = self.table.dates
        return {
            "source": self.source,
            "missing": self.missing,
            "decimal": self.decimal,
            "rows": len(self.table),
            "parts": {name: [at.start, at.stop] for name, at in self.parts.items()},
            "first_dates": {name: dates[at.start] for name, at in self.parts.items()} if dates else None,
            "season": self.season,
            "units": {name: unit for name, unit in self.units.items() if name in self.table.columns},
            "title": self.title,
        }

    def describe(self, recipe: Recipe, forecaster: Forecaster) -> str:
        """Return a few lines that say what will be done."""
        table = self.table
        others = [name for name in table.columns if name not in self.targets]
        sees = f", from {'its' if len(self.targets) == 1 else 'their'} own past"
        sees += f" and that of {', '.join(others)}" if others else ""
        named = [name + (f" ({self.units[name]})" if self.units.get(name) else "") for name in self.targets]
        ahead = "the row" if recipe.horizon == 1 else f"the {recipe.horizon} rows"
        lines = {"predicts": ", ".join(named) + sees}
        judged = {
            TRAINING: "",
            VALIDATION: "; they decide when to stop",
            TEST: "; untouched, for nbrnn evaluate" if VALIDATION in self.parts else "; never trained on",
        }
        for name, at in self.parts.items():
            lines[name] = f"{at.stop - at.start} rows, {_span(table[at])}{judged[name]}"
        lines["scaling"] = _scaling(recipe, forecaster)
        lines["windows"] = f"{recipe.window} rows -> {ahead} after them, overlapping"
        unknown = " and ".join(name for name in others if name not in self.known)
        if unknown:
            rows = "1 row" if recipe.horizon == 1 else f"{recipe.horizon} rows"
            lines["forecasts"] = (
                f"{rows} ahead and no further, for {unknown} would have to be known: predict it too (--target), leave "
                "it out (--features), or tell it each time (--known)"
            )
        told = [
            textwrap.fill(text, WIDTH, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)
            for name, text in lines.items()
        ]
        beyond = self._beyond() if recipe.transform in ("none", "log") else []
        remarks = [
            textwrap.fill(text, WIDTH, initial_indent="  note: ", subsequent_indent=" " * 8)
            for text in (*self.remarks, *beyond)
        ]
        return "\n".join([textwrap.fill(self.title, WIDTH), *told, *remarks])

    def _beyond(self) -> list[str]:
        """Return a sentence for each target of which many validation rows lie where no training row does."""
        held, told = self.parts.get(VALIDATION), []
        for name in self.targets if held else ():
            values = self.table.column(name)
            learned = values[self.parts[TRAINING]]
            outside = np.mean((values[held] < np.nanmin(learned)) | (values[held] > np.nanmax(learned)))
            if outside > MANY:
                told.append(
                    f"{100 * outside:.0f} % of the validation rows of {name} lie outside the training rows' range, "
                    "where networks seldom follow; --transform difference or log-difference shows them changes."
                )
        return told


def _scaling(recipe: Recipe, forecaster: Forecaster) -> str:
    """Return in words how the network's numbers come from the series'."""
    turned = {
        "none": "",
        "log": "logarithms of the targets; ",
        "difference": "changes of the targets from row to row; ",
        "log-difference": "changes of the targets' logarithms from row to row; ",
    }[recipe.transform]
    scaler = forecaster.scaler
    if scaler is None:
        return turned + "none"
    low, high = scaler.inverse_transform([0.0, 1.0], columns=forecaster.target_columns[0])
    return f"{turned}{score_text(low)} to {score_text(high)} becomes 0 to 1, measured on the training rows only"


def _span(table: Table) -> str:
    """Return the first and last date, where there are dates."""
    return f"{table.dates[0]} to {table.dates[-1]}" if table.dates else "in the order of the file"


def find_series(
    source: str, features: Columns | None = None, missing: str = "refuse", decimal: str = "."
) -> tuple[Table, Dataset | None]:
    """Return a packaged series by its name, with what is known of it, or the table of a CSV file.

    Parameters
    ----------
    source : str
        A packaged series' name, or a CSV file's path.
    features : names or indices of columns, optional
    missing : {"refuse", "keep"}
    decimal : {".", ","}
        As for `read_csv`.

    Raises
    ------
    ValueError
        If a packaged set is no series in time, or the file cannot be read as a table of numbers.
    FileNotFoundError
        If it is neither a packaged series nor a file; the nearest name is suggested.
    """
    if not isinstance(source, str):
        raise ValueError(
            f"source must be the name of a packaged series or of a CSV file, not a {type(source).__name__}; a "
            "Forecaster takes arrays, Tables and frames."
        )
    if source in DATASETS:
        known = DATASETS[source]
        if known.task != "forecast":
            raise ValueError(
                f"{source} holds labelled sequences, not one series in time; forecasts can be trained on "
                f"{', '.join(FORECASTS)} or a CSV file."
            )
        return load_dataset(source).select(features or known.columns), known
    path = Path(source)
    if not path.exists():
        beside = [str(other) for other in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"there is no file {source}, and no packaged series of that name{nearest(source, [*FORECASTS, *beside])}; "
            f"packaged are {', '.join(FORECASTS)}."
        )
    return read_csv(path, columns=features, missing=missing, decimal=decimal), None


def make_problem(
    source: str | Path,
    target: str | Sequence[str] | None = None,
    features: Columns | None = None,
    split: float | Sequence[float] | None = None,
    train_until: str | None = None,
    validate_until: str | None = None,
    season: int | None = None,
    known: Sequence[str] = (),
    missing: str = "refuse",
    decimal: str = ".",
) -> Problem:
    """Return the problem of predicting columns of a packaged series or a CSV file.

    Parameters
    ----------
    source : str or Path
        A packaged series' name, or a CSV file's path.
    target : str or sequence of str, optional
        The columns to predict, "all" for all; the data set's own, or a file's only one, if not given.
    features : names or indices of columns, optional
        The columns that the network sees; the targets must be among them. All of a file's if not given.
    split : float or sequence of float, optional
        Shares of the rows: training and test, or training, validation and test; 0.7, 0.15 and 0.15 if not given.
    train_until, validate_until : str, optional
        The last dates of the training and validation rows, in place of shares.
    season : int, optional
        Rows in a season; the data set's own if not given.
    known : sequence of str
        Columns whose future is known when a forecast is made.
    missing : {"refuse", "interpolate", "drop", "mask"}
        What is done about missing values.
    decimal : {".", ","}
        What stands before the decimals in a CSV file.

    Raises
    ------
    ValueError, FileNotFoundError
        In one sentence, if something does not fit: of the file, of the dates, which must be in order, or of the
        arguments.
    """
    source = str(source) if isinstance(source, Path) else source
    table, packaged = find_series(source, features, "refuse" if missing == "refuse" else "keep", decimal)
    gaps = np.isnan(table.values).any()
    table, told = fill(table, missing)
    remarks = [told] if gaps else []
    dated = None if table.dates is None else calendar(table.dates)
    if dated is not None and dated.disordered:
        raise ValueError(f"the dates of {table.name} are not in order: {dated.problems()[0]}")
    remarks += [] if dated is None else dated.problems()
    targets = _targets(table, target, packaged)
    for share in np.atleast_1d([] if split is None else split).tolist():
        real_number("split", share, 0.0, 1.0)
    way: dict[str, Any] = {"share": SHARES if split is None else split}
    if train_until is not None or validate_until is not None:
        if split is not None:
            raise ValueError("a split is given by shares (--split) or by dates (--train-until), not by both.")
        if train_until is None:
            raise ValueError("--validate-until needs --train-until, where the training rows end.")
        way = {"train_until": train_until, "validate_until": validate_until, "dates": table.dates}
    slices = split_slices(len(table), **way)
    names = (TRAINING, TEST) if len(slices) == 2 else (TRAINING, VALIDATION, TEST)
    units, title = {}, f"{table.name}: {len(table)} rows"
    if packaged is not None:
        season = packaged.season if season is None else season
        units, title = dict(packaged.units), f"{table.name}: {packaged.description}"
    parts = dict(zip(names, slices, strict=True))
    return Problem(table, targets, parts, tuple(known), season, units, title, tuple(remarks), source, missing, decimal)


def _targets(table: Table, target: str | Sequence[str] | None, packaged: Dataset | None) -> tuple[str, ...]:
    """Return the names of the columns to predict."""
    if target == "all":
        return table.columns
    if target is None and packaged is not None and packaged.target in table.columns:
        target = packaged.target
    if target is None and len(table.columns) > 1:
        columns = ", ".join(table.columns)
        raise ValueError(f"{table.name} has the columns {columns}; say which one is to be predicted (--target).")
    chosen = [target or 0] if target is None or isinstance(target, str) else list(target)
    return tuple(table.columns[table.index(name)] for name in chosen)
