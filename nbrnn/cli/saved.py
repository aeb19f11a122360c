"""What the commands that take a saved forecaster share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import UserError, one_sentence

if TYPE_CHECKING:
    from ..forecasting import Forecaster
    from ..problems import Problem

MODEL = "model.safetensors"
Decorated = Callable[..., Any]


def saved_options(command: Decorated) -> Decorated:
    """Add the arguments that name a saved forecaster and a series, and where results go."""
    for add in reversed(
        (
            click.argument("model", metavar="MODEL"),
            click.argument("series", metavar="[FILE]", required=False),
            click.option(
                "--missing",
                metavar="HOW",
                help="Missing values, as for nbrnn train.  [default: as in training]",
            ),
            click.option("--out", metavar="DIR", help="Folder to write into.  [default: the model's]"),
            click.option("--no-plots", is_flag=True, help="Draw no pictures."),
        )
    ):
        command = add(command)
    return command


def open_saved(model: str, series: str | None, missing: str | None) -> tuple[Problem, Forecaster, dict[str, Any]]:
    """Return the problem, the forecaster and the notes of a model; UserError if something does not fit."""
    from ..forecastfile import load_forecaster
    from ..reopening import reopen_problem
    from ..targets import compiling

    compiling.announce = click.echo
    file = file_of(model)
    if file.parent == Path(model) and not file.exists():
        raise UserError(f"the folder {model} holds no {MODEL}; `nbrnn train --out {model}` writes one.")
    with one_sentence():
        forecaster, notes = load_forecaster(file)
        return reopen_problem(forecaster, notes, series, missing), forecaster, notes


def folder_of(model: str, out: str | None, below: str = "") -> Path:
    """Return the folder that results of a model are written into: --out, or one beside or below the model."""
    return Path(out) if out else file_of(model).parent / below


def file_of(model: str) -> Path:
    """Return the file of a model that is named by its file or by its folder."""
    return Path(model) / MODEL if Path(model).is_dir() else Path(model)


def say(text: str) -> None:
    """Print a paragraph, wrapped."""
    from ..catalogue import WIDTH

    click.echo(click.wrap_text(text, WIDTH))
