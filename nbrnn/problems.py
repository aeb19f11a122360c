"""What `nbrnn train` is asked: a series, a target, a split by time and a window, checked before anything is trained."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .catalogue import WIDTH
from .checks import nearest, real_number, whole_number
from .csvfile import Columns, Table, read_csv
from .data import sliding_windows, split_slices
from .datasets import DATASETS, Dataset, load_dataset
from .forecasting import Comparison, Forecaster, compare
from .layers import Dense
from .optimizers import Adam
from .scalers import MinMaxScaler, Scaler
from .sequential import Sequential
from .simple import SimpleRNN

FORECASTS = tuple(name for name, known in DATASETS.items() if known.task == "forecast")


@dataclass(frozen=True)
class Problem:
    """A series with everything decided that does not depend on the model.

    Attributes
    ----------
    table : Table
        The columns that the model sees, raw.
    target : str
        The column to predict.
    window : int
        Rows in a window.
    split : int
        The first test row.
    season : int or None
        Rows in a season, for the seasonal baseline.
    unit : str
        Of the target; empty if unknown.
    title : str
        One line for people.
    lesson : bool
        Whether windows do not overlap and do not reach back over the split, and the scaler sees the test rows, as in
        the lesson.
    """

    table: Table
    target: str
    window: int
    split: int
    season: int | None = None
    unit: str = ""
    title: str = ""
    lesson: bool = False

    def __post_init__(self) -> None:
        whole_number("window", self.window)
        if self.season is not None:
            whole_number("season", self.season)
        for name, needs in (("window", self.window), ("season", self.season or 0)):
            if self.split <= needs:
                raise ValueError(
                    f"{self.table.name} has {self.split} training rows ({len(self.table)} in all), but a {name} of "
                    f"{needs} needs at least {needs + 1}; give more rows or a smaller {name}."
                )

    @property
    def column(self) -> int:
        """The target's index."""
        return self.table.index(self.target)

    @property
    def stride(self) -> int:
        """Rows from one window's start to the next."""
        return self.window if self.lesson else 1

    @property
    def parts(self) -> dict[str, slice]:
        """The rows whose windows are judged: every baseline knows a value for each of their targets.

        The windows of the first test rows look back over the split: that past is known when they are predicted.
        """
        if self.lesson:
            return {"train": slice(0, self.split), "test": slice(self.split, len(self.table))}
        first = max(0, (self.season or 0) - self.window)
        return {"train": slice(first, self.split), "test": slice(self.split - self.window, len(self.table))}

    def scaler(self) -> Scaler:
        """Return a scaler fitted on the training rows only; in the lesson, on all rows.

        Raises
        ------
        ValueError
            If a column is constant.
        """
        return MinMaxScaler().fit(self.table if self.lesson else self.table[: self.split])

    def forecaster(self, model: Sequential) -> Forecaster:
        """Return a forecaster of this window, target and scaler around a model."""
        return Forecaster(model, self.window, self.scaler(), self.column, self.stride)

    def fit(self, forecaster: Forecaster, **options: Any) -> None:
        """Train on the training rows; options as for `Sequential.fit`, errors too."""
        forecaster.fit(self.table[: self.split], **options)

    def compare(self, forecaster: Forecaster) -> Comparison:
        """Return the scores of a trained forecaster beside the baselines."""
        return compare(forecaster, self.table, self.parts, self.split, self.season)

    def notes(self) -> dict[str, Any]:
        """Return what a model file keeps of the problem."""
        dates = self.table.dates
        return {
            "series": self.table.name,
            "columns": list(self.table.columns),
            "target_name": self.target,
            "unit": self.unit,
            "split": self.split,
            "split_date": dates[self.split] if dates else None,
            "season": self.season,
        }

    def __str__(self) -> str:
        table, split = self.table, self.split
        scaler, c = self.scaler(), self.column
        low, high = scaler.inverse_transform([0.0, 1.0], columns=c)
        first = sliding_windows(table[:split], self.window, 1, self.stride)[0]
        last = sliding_windows(table[self.parts["test"]], self.window, 1, self.stride)[0]
        others = [name for name in table.columns if name != self.target]
        sees = f", from its own past and that of {', '.join(others)}" if others else ", from its own past"
        overlap = "not overlapping" if self.stride > 1 else "overlapping"
        seen = "ALL rows, the test rows too" if self.lesson else "the training rows only"
        lines = {
            "predicts": self.target + (f" ({self.unit})" if self.unit else "") + sees,
            "training": f"{split} rows, {_span(table[:split])}",
            "test": f"{len(table) - split} rows, {_span(table[split:])}; never trained on",
            "scaling": f"{low:g} to {high:g} becomes 0 to 1, measured on {seen}",
            "windows": f"{self.window} rows -> the row after them; {len(first)} to train on, {len(last)} to test on, "
            f"{overlap}",
        }
        told = [
            textwrap.fill(text, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
            for name, text in lines.items()
        ]
        return "\n".join([textwrap.fill(self.title, WIDTH), *told])


def _span(table: Table) -> str:
    """Return the first and last date, where there are dates."""
    return f"{table.dates[0]} to {table.dates[-1]}" if table.dates else "in the order of the file"


def find_series(source: str, features: Columns | None = None) -> tuple[Table, Dataset | None]:
    """Return a packaged series by its name, with what is known of it, or the table of a CSV file.

    Raises
    ------
    ValueError
        If a packaged set is no series in time, or the file cannot be read as a table of numbers.
    FileNotFoundError
        If it is neither a packaged series nor a file; the nearest name is suggested.
    """
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
    return read_csv(path, columns=features), None


def make_problem(
    source: str,
    target: str | None = None,
    window: int = 24,
    split: float = 0.8,
    season: int | None = None,
    features: Columns | None = None,
) -> Problem:
    """Return the problem of predicting a column of a packaged series or a CSV file.

    Parameters
    ----------
    source : str
        A packaged series' name, or a CSV file's path.
    target : str, optional
        The column to predict; the data set's own, or a file's only one.
    window : int
        Rows in a window.
    split : float
        Share of the rows, from the start, to train on.
    season : int, optional
        Rows in a season; the data set's own if not given.
    features : names or indices of columns, optional
        The columns that the model sees; the target must be one of them. All of a file's if not given.

    Raises
    ------
    ValueError, FileNotFoundError
        In one sentence, if something does not fit.
    """
    table, known = find_series(source, features)
    if target is None and known is not None and known.target in table.columns:
        target = known.target
    if target is None and len(table.columns) > 1:
        columns = ", ".join(table.columns)
        raise ValueError(f"{table.name} has the columns {columns}; say which one is to be predicted (--target).")
    target = table.columns[table.index(target or 0)]
    train, _ = split_slices(len(table), share=real_number("split", split, 0.0, 1.0))
    unit, title = "", f"{table.name}: {len(table)} rows"
    if known is not None:
        season = known.season if season is None else season
        unit, title = known.units.get(target, ""), f"{table.name}: {known.description}"
    return Problem(table, target, window, train.stop, season, unit, title)


def make_model(problem: Problem, units: int, learning_rate: float, seed: int) -> Sequential:
    """Return SimpleRNN(units) -> Dense(1) for a problem, with Adam and the mean squared error.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    shape = (problem.window, len(problem.table.columns))
    model = Sequential([SimpleRNN(units), Dense(1)], input_shape=shape, seed=seed)
    model.compile(Adam(learning_rate=learning_rate), "mse")
    return model
