"""`nbrnn train`: a network for a series, its scores beside baselines, pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import STOPPED, UserError, one_sentence, refuse_given, writable, writing
from .options import numbers, problem_from, problem_options, training_options
from .results import Results

if TYPE_CHECKING:
    from ..backtest import Backtest
    from ..forecasting import Forecaster
    from ..problems import Problem

RECIPE = (
    "window",
    "horizon",
    "cell",
    "units",
    "dropout",
    "loss",
    "optimizer",
    "learning_rate",
    "epochs",
    "batch_size",
    "patience",
    "scale",
    "transform",
    "seeds",
)
PROBLEM = ("target", "features", "known", "split", "train_until", "validate_until", "season", "missing", "decimal")


@click.command(
    epilog="""\b
Examples:
  nbrnn train sunspots
  nbrnn train sunspots --cell gru --train-until 1965 --validate-until 1975
  nbrnn train beijing --features pm25,temp,wind --horizon 7
  nbrnn train sales.csv --target Sales --window 12 --season 12 --out run1
  nbrnn train sunspots --lesson
"""
)
@click.argument("series", metavar="DATASET|FILE")
@problem_options
@click.option("--window", default=24, show_default=True, help="Rows that the network sees before each forecast.")
@click.option("--cell", default="rnn", show_default=True, help="rnn, gru or lstm.")
@click.option("--units", default="32", show_default=True, metavar="N,M,...", help="Units of each recurrent layer.")
@click.option("--dropout", default=0.0, show_default=True, help="Rate of the variational dropout on the states.")
@click.option("--learning-rate", type=float, help="Step size.  [default: the optimizer's]")
@training_options
@click.option("--seed", default=0, show_default=True, help="Decides the first weights and the order of the windows.")
@click.option("--seeds", default=1, show_default=True, help="Networks to train, of as many seeds; forecasts are means.")
@click.option("--out", metavar="DIR", help="Folder to write into.  [default: nbrnn-out/NAME]")
@click.option("--no-plots", is_flag=True, help="Draw no pictures.")
@click.option("--lesson", is_flag=True, help="The lesson on sunspots that this grew from, and what is wrong with it.")
@click.pass_context
def train(ctx: click.Context, series: str, out: str | None, no_plots: bool, lesson: bool, **options: Any) -> None:
    """Train a network on a series and score it beside baselines.

    DATASET is a packaged series (see `nbrnn data`); FILE is a CSV file with a row a time step. The first rows are
    trained on, the next ones decide when to stop and give the scores, the last are kept for `nbrnn evaluate`. Ctrl-C
    stops the training and keeps what was learned.
    """
    from ..targets import compiling

    compiling.announce = click.echo
    if lesson:
        _lesson(ctx, series, out, no_plots, options["seed"])
        return
    from ..catalogue import WIDTH
    from ..recipes import Recipe

    with one_sentence():
        problem = problem_from(series, options)
        options["units"] = numbers("units", options["units"], int, ",")
        recipe = Recipe(**options, missing="mask" if problem.masked else "refuse")
        forecaster = problem.forecaster(recipe)
        description = problem.describe(recipe, forecaster)
    folder = writable(Path(out or Path("nbrnn-out") / problem.table.name))
    click.echo(description + "\n")
    forecaster.model.summary(print_fn=click.echo)
    click.echo()
    stopped = False
    try:
        with one_sentence():
            problem.train(forecaster, recipe, verbose=1)
    except KeyboardInterrupt:
        stopped = True
        if not forecaster.model.steps:
            raise
        forecaster.models = [model for model in forecaster.models if model.steps]
        done = len(forecaster.models[-1].history.epoch)
        click.echo(f"Stopped in epoch {done + 1} of {recipe.epochs}; going on with what was learned.")
    parts = [problem.backtest(forecaster, name) for name in ("training", problem.judged)]
    click.echo(f"\n{parts[1]}\n")
    for k in range(len(problem.targets)):
        click.echo(click.wrap_text(parts[1].verdict(k), WIDTH))
    if problem.season is None:
        click.echo("No --season was given, so there are no seasonal baselines.")
    results = Results(folder, not no_plots)
    with writing(folder):
        forecaster.save(folder / "model.safetensors", **problem.notes(), recipe=recipe.to_dict(), stopped=stopped)
        results.written["model.safetensors"] = "the model, with its scaler, columns and split"
        _write(problem, forecaster, parts, results)
    results.tell()
    named = shlex.quote(str(folder))
    if "validation" in problem.parts:
        click.echo(f"For the test rows:  nbrnn evaluate {named}")
    click.echo(f"For what comes:     nbrnn forecast {named}")
    if stopped:
        ctx.exit(STOPPED)


def _write(problem: Problem, forecaster: Forecaster, parts: list[Backtest], results: Results) -> None:
    """Write what a training gives beside its model."""
    histories = [(model.seed, model.history) for model in forecaster.models]
    shown = list(histories[0][1].history)
    rows = [
        [seed, epoch + 1, *(history.history[name][k] for name in shown)]
        for seed, history in histories
        for k, epoch in enumerate(history.epoch)
    ]
    results.table("history.csv", ["seed", "epoch", *shown], rows, "the losses of every epoch")
    header, lines = predictions(problem, parts)
    results.table("predictions.csv", header, lines, "actual and predicted values, row by row")
    results.figures("metrics.json", [record for part in parts for record in part.records()], "all scores")
    if results.plots:
        from ..plots import plot_backtest, plot_history, plot_series

        name = problem.targets[0]
        seed, history = histories[0]
        title = f"{problem.table.name}: losses" + (f" of seed {seed}" if len(histories) > 1 else "")
        results.picture("history", plot_history(history, title), "the losses, epoch by epoch")
        results.picture(
            "series", plot_series(problem.table, problem.parts, name, problem.unit(name)), "the series and its split"
        )
        results.picture(
            "predictions", plot_backtest(parts, problem.table, problem.unit(name)), "actual, predicted, errors"
        )


def predictions(problem: Problem, parts: list[Backtest]) -> tuple[list[str], list[list[Any]]]:
    """Return the header and the rows of predictions.csv: a row for each origin and step."""
    from ..backtest import NETWORK

    dates = problem.table.dates
    header = ["part", "row", *(["date"] if dates else []), "step"]
    header += [f"{name} {kind}" for name in problem.targets for kind in ("actual", "predicted")]
    lines = []
    for part in parts:
        for n, first in enumerate(part.rows.tolist()):
            for s in range(part.steps):
                pairs = zip(part.actual[n, s], part.predicted[NETWORK][n, s], strict=True)
                dated = [dates[first + s]] if dates else []
                lines.append([part.part, first + s, *dated, s + 1, *(value for pair in pairs for value in pair)])
    return header, lines


def _lesson(ctx: click.Context, series: str, out: str | None, no_plots: bool, seed: int) -> None:
    """Run the lesson on sunspots as it stands, and say what is wrong with it."""
    from ..datasets import load_dataset
    from ..lesson import lesson_forecaster, lesson_model, lesson_parts, lesson_remarks, lesson_scores, lesson_text

    if series != "sunspots":
        raise UserError(f"--lesson is about sunspots: nbrnn train sunspots --lesson, not {series}.")
    refuse_given(ctx, (*PROBLEM, *RECIPE), "--lesson")
    folder = writable(Path(out or Path("nbrnn-out") / "sunspots-lesson"))
    click.echo(lesson_text() + "\n")
    lesson_model(seed).summary(print_fn=click.echo)
    click.echo()
    forecaster = lesson_forecaster(seed, verbose=1)
    parts = lesson_parts(forecaster)
    click.echo("\n" + "\n\n".join(map(str, parts)) + "\n")
    click.echo(lesson_remarks(forecaster, parts, lesson_scores(range(20))))
    results = Results(folder, not no_plots)
    with writing(folder):
        forecaster.save(folder / "model.safetensors", source="sunspots", lesson=True)
        results.written["model.safetensors"] = "the model with its scaler and window"
        if results.plots:
            from ..plots import plot_backtest

            picture = plot_backtest(list(parts), load_dataset("sunspots"), "sunspots")
            results.picture("predictions", picture, "actual, predicted, errors")
    results.tell()
