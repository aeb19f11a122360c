"""`nbrnn sweep`: which size, window, cell and learning rate, with error bars."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import STOPPED, Trained, UserError, one_sentence, writable, writing
from .options import problem_from, problem_options, training_options
from .results import Results

if TYPE_CHECKING:
    from ..recipes import Recipe
    from ..sweeping import Sweep, SweepRun
    from ..trials import Trial

FAILED = 1  # exit code
LISTS = {
    "cells": "cell",
    "units": "units",
    "windows": "window",
    "learning_rates": "learning_rate",
    "dropouts": "dropout",
}
WHOLE = ("units", "window")
TOLD = 3  # failures that are printed


@click.command(
    epilog="""\b
Examples:
  nbrnn sweep airline
  nbrnn sweep sunspots --cells rnn,gru --units 4,8,16,16+8 --windows 12,24
  nbrnn sweep airline --cells gru --units 2..64 --learning-rates 0.001..0.03 \\
      --random 30
  nbrnn sweep sales.csv --target Sales --seeds 10 --jobs 4 --out run2
"""
)
@click.argument("series", metavar="DATASET|FILE")
@problem_options
@click.option("--cells", default="rnn,gru,lstm", show_default=True, metavar="A,B,...", help="rnn, gru, lstm.")
@click.option(
    "--units", default="2,4,8,16", show_default=True, metavar="N,M,...", help="Sizes; 16+8 is one of two layers."
)
@click.option("--windows", default="24", show_default=True, metavar="N,M,...", help="Rows seen before each forecast.")
@click.option("--learning-rates", metavar="X,Y,...", help="Step sizes.  [default: the optimizer's]")
@click.option("--dropouts", default="0", show_default=True, metavar="X,Y,...", help="Rates of variational dropout.")
@training_options
@click.option("--random", type=int, metavar="N", help="N settings at random; LOW..HIGH is a range to draw from.")
@click.option("--seeds", default=5, show_default=True, help="Networks of each setting.")
@click.option("--seed", default=0, show_default=True, help="The first of these seeds; decides what is drawn, too.")
@click.option("--metric", help="The error: rmse, mae or mase.  [default: rmse; mase for several targets]")
@click.option("--jobs", type=int, help="Trainings at a time.  [default: the cores]")
@click.option("--scheduler", metavar="ADDRESS", help="Train on the workers of this Dask scheduler instead.")
@click.option("--out", metavar="DIR", help="Folder to write into.  [default: nbrnn-out/NAME-sweep]")
@click.option("--no-plots", is_flag=True, help="Draw no picture.")
@click.pass_context
def sweep(
    ctx: click.Context,
    series: str,
    random: int | None,
    seeds: int,
    metric: str | None,
    jobs: int | None,
    scheduler: str | None,
    out: str | None,
    no_plots: bool,
    **options: Any,
) -> None:
    """Compare sizes, windows, cells and learning rates.

    Every setting is trained with several seeds and scored on the validation rows; the test rows are not touched. Named
    is the simplest setting within one standard error of the best. Each training's row is written as it ends; run the
    command again, and what is there is not trained again. Ctrl-C keeps what has ended.
    """
    from ..catalogue import WIDTH
    from ..sweeping import SweepRun
    from ..targets import compiling

    compiling.announce = click.echo
    if jobs is not None and scheduler is not None:
        raise UserError("--jobs is for this machine and --scheduler for others; give one of them.")
    given = dict(options)
    with one_sentence():
        choices = {name: _values(option, options.pop(option), name) for option, name in LISTS.items()}
        problem = problem_from(series, options)
        recipes = _settings(options, choices, random, "mask" if problem.masked else "refuse")
        folder = writable(Path(out or Path("nbrnn-out") / f"{problem.table.name}-sweep"))
        with writing(folder):
            run = SweepRun(problem, recipes, seeds, metric, folder)
    click.echo(_description(run, len(recipes), seeds))
    stopped = False
    line = _Line(run)
    try:
        with one_sentence(), writing(folder):
            run.run(jobs, scheduler, line.trial)
    except KeyboardInterrupt:
        stopped = True
    finally:
        line.end()
    found = run.result()
    if stopped:
        click.echo(f"Stopped after {len(run.done)} of {len(run.points)} trainings; the same command goes on from here.")
    if not found.trials:
        ctx.exit(STOPPED)
    click.echo(f"\n{found}\n")
    click.echo(click.wrap_text(found.verdict(), WIDTH))
    failures = found.failures()
    for sentence in failures[:TOLD]:
        click.echo(click.wrap_text(sentence, WIDTH, subsequent_indent="  "))
    if len(failures) > TOLD:
        click.echo(f"... and {len(failures) - TOLD} more that failed; results.csv names them all")
    _write(found, Results(folder, not no_plots))
    if found.chosen is not None:
        click.echo(f"\nTrain it:\n  {_command(ctx, series, given, found.recipe())}")
    if stopped:
        ctx.exit(STOPPED)
    if found.chosen is None:
        ctx.exit(FAILED)


def _values(option: str, text: str | None, name: str) -> list[Any]:
    """Return the values of a list such as '4,8,16+8' or '0.001..0.1'."""
    from ..sweeping import Range

    if text is None:
        return [None]
    parts = [part.strip() for part in text.split(",")]
    if name == "cell":
        return parts
    kind: Any = int if name in WHOLE else float
    joints = [".." if ".." in part else "+" if name == "units" else None for part in parts]
    try:
        found = [tuple(map(kind, part.split(by) if by else [part])) for part, by in zip(parts, joints, strict=True)]
        if any(by == ".." and len(numbers) != 2 for by, numbers in zip(joints, found, strict=True)):
            raise ValueError
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        layers = ", and + between the layers of one network, such as 8,16,16+8" if name == "units" else ""
        shown = "--" + option.replace("_", "-")
        raise UserError(f"{shown} takes {what} with commas between them{layers}; not {text!r}.") from None
    ends = zip(joints, found, strict=True)
    return [Range(*many) if by == ".." else many if name == "units" else many[0] for by, many in ends]


def _settings(options: dict[str, Any], choices: dict[str, list[Any]], random: int | None, missing: str) -> list[Recipe]:
    """Return the settings to train: all combinations, or some at random."""
    from ..recipes import Recipe
    from ..sweeping import Range, random_recipes, recipe_grid

    base = Recipe(**options, missing=missing)
    if random is not None:
        return random_recipes(base, random, base.seed, **choices)
    for option, name in LISTS.items():
        for value in choices[name]:
            if isinstance(value, Range):
                raise UserError(
                    f"--{option.replace('_', '-')} {value} is a range to draw from; say how many settings to draw, "
                    "such as --random 20."
                )
    return recipe_grid(base, **choices)


def _description(run: SweepRun, settings: int, seeds: int) -> str:
    """Return what will be done."""
    from ..catalogue import WIDTH

    problem, many = run.problem, f"{settings} setting{'s' * (settings > 1)} x {seeds} seed{'s' * (seeds > 1)}"
    held, rows = problem.parts["validation"], problem.parts["training"]
    there = f", {len(run.done)} of them done already" if run.done else ""
    said = (
        f"{many}: {len(run.points)} trainings on {rows.stop - rows.start} rows, judged on the "
        f"{held.stop - held.start} after them{there}"
    )
    return "\n".join(click.wrap_text(text, WIDTH) for text in (problem.title, said))


class _Line(Trained):
    """The line of progress, with the smallest error so far."""

    def __init__(self, run: SweepRun) -> None:
        super().__init__(len(run.done))
        self.best = min((t.error for t in run.done.values() if not t.failure), default=float("inf"))
        self.failed = sum(bool(t.failure) for t in run.done.values())

    def trial(self, trial: Trial, done: int, total: int) -> None:
        """Say that a training has ended."""
        from ..backtest import score_text

        self.failed += bool(trial.failure)
        self.best = self.best if trial.failure else min(self.best, trial.error)
        failed = f", {self.failed} failed" if self.failed else ""
        self.show(done, total, f", smallest error {score_text(self.best)}{failed}")


def _command(ctx: click.Context, series: str, given: dict[str, Any], recipe: Recipe) -> str:
    """Return the command that trains a setting on the same problem."""
    words = ["nbrnn", "train", series]
    for name, value in given.items():
        source = ctx.get_parameter_source(name)
        if name not in (*LISTS, "seed") and source is not click.core.ParameterSource.DEFAULT:
            words += ["--" + name.replace("_", "-"), str(value)]
    own = {"cell": recipe.cell, "units": ",".join(map(str, recipe.units)), "window": recipe.window}
    own |= {"learning-rate": recipe.learning_rate} if given["learning_rates"] else {}
    own |= {"dropout": recipe.dropout} if recipe.dropout else {}
    own |= {"seed": recipe.seed} if recipe.seed else {}
    for name, value in own.items():
        words += [f"--{name}", str(value)]
    return shlex.join(words)


def _write(found: Sweep, results: Results) -> None:
    """Write the settings and the picture beside the trainings' rows."""
    records = [row.record() for row in found.rows]
    results.written["results.csv"] = "every training, as it ended"
    with writing(results.folder):
        results.table(
            "settings.csv", list(records[0]), [list(r.values()) for r in records], "a row a setting, best first"
        )
        if results.plots and found.chosen is not None:
            from ..plots.sweeps import plot_sweep

            results.picture("sweep", plot_sweep(found), "the errors, their spread and their cost")
    results.tell()
