"""The problem of a saved forecaster, made again: from the series that it was trained on, or from another file of its
columns.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .csvfile import Table
from .dates import Calendar, calendar
from .forecasting import Forecaster
from .labels import Times, read
from .missing import fill
from .problems import TEST, TRAINING, VALIDATION, Problem, find_series
from .recipes import Recipe, recipe_from_dict

PARTS = (TRAINING, VALIDATION, TEST)
DAILY = {"day", "business day"}  # a few rows within one week do not tell which


def reopen_problem(
    forecaster: Forecaster, notes: dict[str, Any], source: str | None = None, missing: str | None = None
) -> Problem:
    """Return the problem of a forecaster that `load_forecaster` read.

    Rows belong to the parts that they belonged to when it was trained: by their dates if it has seen dates, else by
    their numbers. Rows after the training and validation rows are the test part, so a file that begins later is all
    test part. The training part may be empty; other parts that would be are absent.

    Parameters
    ----------
    forecaster : Forecaster
        Fitted.
    notes : dict
        As `Problem.notes` made it. Where it does not tell the parts, all rows up to the last one that the forecaster
        was fitted to are the training part.
    source : str, optional
        A packaged series' name or a CSV file's path; the series that it was trained on if not given. Columns are found
        by name.
    missing : {"refuse", "interpolate", "drop", "mask"}, optional
        What is done about missing values; as in training if not given.

    Raises
    ------
    ValueError
        If the notes name no series and none is given; if a column is missing, or the dates are absent, cannot be read,
        are out of order or have another step than those that it was trained on; if the notes contradict themselves.
    FileNotFoundError
        If there is no such series.
    """
    columns, tail = forecaster.columns, forecaster.tail
    if columns is None or tail is None:
        raise ValueError("this Forecaster has not seen a series yet; call fit first.")
    named = source or notes.get("source")
    if not isinstance(named, str) or not named:
        raise ValueError("the model file does not say which series it was trained on; name a data set or a CSV file.")
    how = str(missing or notes.get("missing") or forecaster.missing)
    decimal = str(notes.get("decimal", "."))
    try:
        table, packaged = find_series(named, list(columns), "refuse" if how == "refuse" else "keep", decimal)
    except FileNotFoundError as error:
        if source is not None:
            raise
        raise FileNotFoundError(
            f"there is no file {named}, on which the model was trained; name the file where it is now."
        ) from error
    gaps = np.isnan(table.values).any()
    table, remark = fill(table, how)
    if np.isnan(table.values).any() and forecaster.missing != "mask":
        raise ValueError(f"{table.name} misses values, and the model was not trained to skip them; fill or drop them.")
    try:
        return Problem(
            table,
            forecaster.targets,
            _parts(table, notes, tail),
            tuple(columns[k] for k in forecaster.known_columns),
            notes.get("season", packaged and packaged.season),
            {str(name): str(unit) for name, unit in notes.get("units", packaged.units if packaged else {}).items()},
            f"{table.name}: {len(table)} rows",
            (remark,) if gaps else (),
            named,
            decimal=decimal,
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"the model file's notes on its series cannot be understood ({error!r}).") from error


def saved_recipe(notes: dict[str, Any]) -> Recipe:
    """Return the recipe that a model file's notes hold.

    Raises
    ------
    ValueError
        If there is none that can be understood.
    """
    known = notes.get("recipe")
    if not isinstance(known, dict):
        raise ValueError("the model file holds no recipe that could be trained anew; files of `nbrnn train` do.")
    try:
        return recipe_from_dict(known)
    except TypeError as error:
        raise ValueError(f"the model file's recipe cannot be understood ({error}).") from None


def _parts(table: Table, notes: dict[str, Any], tail: Table) -> dict[str, slice]:
    """Return the rows of each part that has any; the training part in any case."""
    known = notes.get("parts") or {}
    names = [name for name in PARTS if name in known] or [TRAINING, TEST]
    if not {TRAINING, TEST} <= set(names):
        raise ValueError(f"the model file's notes name the parts {', '.join(known)}, but not training and test.")
    firsts = notes.get("first_dates")
    seen = None if tail.dates is None else calendar(tail.dates)
    if known and len(table) == notes["rows"] and _same_dates(table, known, firsts):
        starts = [int(known[name][0]) for name in names[1:]]
    elif seen is None or seen.times is None:
        starts = [int(known[name][0]) for name in names[1:]] if known else [len(table)]
    else:
        times = _times(table, seen)
        starts = [int(np.searchsorted(times, _time((firsts or {})[name], seen))) for name in names[1:-1]]
        starts.append(int(np.searchsorted(times, seen.times[-1], "right")))
    bounds = np.clip([0, *starts, len(table)], 0, len(table)).tolist()
    if bounds != sorted(bounds):
        raise ValueError(f"the model file's notes contradict themselves: parts would begin at the rows {bounds[:-1]}.")
    parts = {name: slice(a, b) for name, (a, b) in zip(names, itertools.pairwise(bounds), strict=True)}
    return {name: at for name, at in parts.items() if name == TRAINING or at.stop > at.start}


def _same_dates(table: Table, known: dict[str, Any], firsts: dict[str, str] | None) -> bool:
    """Return whether a table of as many rows has the dates on which its parts began in training."""
    if table.dates is None or firsts is None:
        return table.dates is None and firsts is None
    return all(table.dates[int(at[0])] == firsts[name] for name, at in known.items())


def _times(table: Table, seen: Calendar) -> Times:
    """Return a table's times; ValueError if they are not in order, in the step of those that were seen."""
    if table.dates is None:
        raise ValueError(
            f"{table.name} has no column of dates, but the model's rows have dates, such as {seen.labels[-1]}."
        )
    here = calendar(table.dates)
    if here.times is None:
        raise ValueError(f"the dates of {table.name} cannot be read: {here.refusal}")
    if not here.in_order:
        raise ValueError(f"the dates of {table.name} are not in order: {here.problems()[0]}")
    steps = {here.step, seen.step}
    if None not in steps and len(steps) > 1 and not (steps == DAILY and min(len(table), len(seen.labels)) < 7):
        raise ValueError(
            f"{table.name} has a row a {here.step}, but the model was trained on a row a {seen.step}; give it rows of "
            "that step."
        )
    return here.times


def _time(label: str, seen: Calendar) -> np.datetime64:
    """Return the time of a label that is written as those that were seen."""
    forms, _ = read([*seen.labels, str(label)])
    for form, times in forms:
        if seen.form is not None and form.template == seen.form.template:
            return times[-1]
    raise ValueError(f"the model file's notes hold the date {label!r}, which is not written as its rows' dates are.")
