"""A sweep's folder: a row of results.csv for every training, and what says which problem the rows belong to."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .files import write_whole
from .problems import Problem
from .recipes import Recipe
from .trials import SWEPT, Trial

RESULTS, ABOUT = "results.csv", "sweep.json"
MEASURED = ("parameters", "epochs", "seconds", "failure")


def units_text(units: tuple[int, ...]) -> str:
    """Return the units of layers as '16' or '16+8'."""
    return "+".join(map(str, units))


def about(problem: Problem, recipe: Recipe, metric: str) -> dict[str, Any]:
    """Return all that the rows of one folder must have in common, as JSON holds it."""
    table = problem.table
    numbers = hashlib.sha256(np.ascontiguousarray(table.values, np.float64).tobytes()).hexdigest()
    fixed = {name: value for name, value in recipe.to_dict().items() if name not in (*SWEPT, "seed", "seeds")}
    return {
        "data": {"name": table.name, "rows": len(table), "columns": list(table.columns), "sha256": numbers},
        "parts": {name: [at.start, at.stop] for name, at in problem.parts.items()},
        "targets": list(problem.targets),
        "known": list(problem.known),
        "season": problem.season,
        "metric": metric,
        **{name.replace("_", " "): value for name, value in fixed.items()},
    }


class SweepFile:
    """The rows of a folder: those that are there, and those that come.

    Parameters
    ----------
    folder : Path
        It is made if it is not there.
    content : dict
        What `about` returned.
    recipe : Recipe
        Any of the sweep's: what its settings have in common.

    Raises
    ------
    ValueError
        If the folder holds another sweep, or rows that none has written.
    OSError
        If it cannot be written.
    """

    def __init__(self, folder: Path, content: dict[str, Any], recipe: Recipe) -> None:
        self.path, self.recipe, self.metric = folder / RESULTS, recipe, str(content["metric"])
        self.header = [*SWEPT, "seed", self.metric, *MEASURED]
        folder.mkdir(parents=True, exist_ok=True)
        _same(folder, content)
        self.trials: list[Trial] = self._read()
        if not (folder / ABOUT).exists():
            write_whole(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())

    def append(self, trial: Trial) -> None:
        """Write a row, whole."""
        recipe = trial.recipe
        setting = [recipe.cell, units_text(recipe.units), recipe.window, repr(recipe.learning_rate), recipe.dropout]
        error = repr(trial.error) if np.isfinite(trial.error) else ""
        row = [*setting, recipe.seed, error, trial.parameters, trial.epochs, repr(trial.seconds), trial.failure]
        new = not self.path.exists()
        with open(self.path, "ab", buffering=0) as file:
            file.write(_line(self.header) + _line(row) if new else _line(row))
            os.fsync(file.fileno())

    def _read(self) -> list[Trial]:
        """Return the trials that are there; a last row that was cut off is removed."""
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_whole(self.path, whole)
        if not whole:
            self.path.unlink()
            return []
        rows = list(csv.reader(io.StringIO(whole.decode("utf-8", "replace"))))
        if rows[0] != self.header:
            raise ValueError(
                f"{self.path} has the columns {', '.join(rows[0])}, not those of this sweep; name another folder."
            )
        return [self._trial(row, number) for number, row in enumerate(rows[1:], 2)]

    def _trial(self, row: list[str], number: int) -> Trial:
        try:
            cell, units, window, rate, dropout, seed, error, parameters, epochs, seconds, failure = row
            recipe = replace(
                self.recipe,
                cell=cell,
                units=tuple(map(int, units.split("+"))),
                window=int(window),
                learning_rate=float(rate),
                dropout=float(dropout),
                seed=int(seed),
                seeds=1,
            )
            value = float(error) if error else float("nan")
            if not error and not failure:
                raise ValueError("neither an error nor a failure")
            return Trial(recipe, value, int(parameters), int(epochs), float(seconds), failure)
        except ValueError as problem:
            raise ValueError(
                f"{self.path}, line {number}, is no row of a sweep ({problem}); remove it, or name another folder."
            ) from problem


def _line(cells: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _same(folder: Path, content: dict[str, Any]) -> None:
    """Raise ValueError if a folder's rows belong to something else."""
    path = folder / ABOUT
    if not path.exists():
        if (folder / RESULTS).exists():
            raise ValueError(f"{folder} holds a {RESULTS} without its {ABOUT}; name another folder.")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(there, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); name another folder.") from error
    for name in {**content, **there}:
        if there.get(name) != content.get(name):
            raise ValueError(
                f"{folder} holds a sweep of another kind: its {_different(name, there.get(name), content.get(name))}; "
                "name another folder."
            )


def _different(name: str, there: Any, here: Any) -> str:
    """Return in words how two sweeps differ."""
    if name == "data":
        if isinstance(there, dict) and there.get("name") != here["name"]:
            return f"data are {there.get('name')}, not {here['name']}"
        return f"data are another version of {here['name']}"
    plural = name in ("parts", "targets", "known", "epochs")
    return f"{name} {'are' if plural else 'is'} {_text(there)}, not {_text(here)}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " to ".join(map(str, value)) if all(isinstance(each, int) for each in value) else ", ".join(value)
    return str(value)
