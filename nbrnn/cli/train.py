"""`nbrnn train`: a network for a series, its scores beside baselines, pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import STOPPED, UserError, one_sentence, refuse_given, writable, writing

if TYPE_CHECKING:
    from ..forecasting import Comparison
    from ..problems import Problem
    from ..training import History

FIXED = ("target", "features", "window", "units", "epochs", "batch_size", "learning_rate", "split", "season")


@click.command(
    epilog="""\b
Examples:
  nbrnn train sunspots
  nbrnn train sunspots --lesson
  nbrnn train beijing --features pm25,temp,wind --epochs 20
  nbrnn train sales.csv --target Sales --window 12 --season 12 --out run1
"""
)
@click.argument("series", metavar="DATASET|FILE")
@click.option("--target", metavar="COLUMN", help="Column to predict.  [default: the data set's; a file's only one]")
@click.option("--features", metavar="A,B,...", help="Columns that the model sees, the target among them.")
@click.option("--window", default=24, show_default=True, help="Rows that the model sees before each prediction.")
@click.option("--units", default=16, show_default=True, help="Units of the SimpleRNN layer.")
@click.option("--epochs", default=50, show_default=True, help="Passes over the training windows.")
@click.option("--batch-size", default=16, show_default=True, help="Windows in a step of the optimizer.")
@click.option("--learning-rate", default=0.001, show_default=True, help="Step size of Adam.")
@click.option("--split", default=0.8, show_default=True, help="Share of the rows, from the start, to train on.")
@click.option("--season", type=int, help="Rows in a season, for the seasonal baseline.  [default: the data set's]")
@click.option("--seed", default=0, show_default=True, help="Decides the first weights and the order of the windows.")
@click.option("--out", metavar="DIR", help="Folder to write into.  [default: nbrnn-out/NAME]")
@click.option("--no-plots", is_flag=True, help="Draw no picture.")
@click.option("--lesson", is_flag=True, help="The lesson on sunspots that this grew from, and what is wrong with it.")
@click.pass_context
def train(ctx: click.Context, series: str, out: str | None, no_plots: bool, lesson: bool, **options: Any) -> None:
    """Train a network on a series and score it beside baselines.

    DATASET is a packaged series (see `nbrnn data`); FILE is a CSV file with a row a time step. The first rows are
    trained on, the last are only predicted, each from the true rows before it. Ctrl-C stops the training and keeps
    what was learned.
    """
    from ..catalogue import WIDTH
    from ..checks import whole_number
    from ..lesson import BATCH_SIZE, EPOCHS, lesson_model, lesson_problem, lesson_remarks, lesson_scores
    from ..problems import make_model, make_problem
    from ..targets import compiling

    compiling.announce = click.echo
    seed = options.pop("seed")
    with one_sentence():
        if lesson:
            _refuse_with_lesson(ctx, series)
            problem, model, epochs, batch_size = lesson_problem(), lesson_model(seed), EPOCHS, BATCH_SIZE
        else:
            columns = options["features"] and [name.strip() for name in options["features"].split(",")]
            epochs = whole_number("epochs", options["epochs"])
            batch_size = whole_number("batch-size", options["batch_size"])
            how = {name: options[name] for name in ("target", "window", "split", "season")}
            problem = make_problem(series, features=columns, **how)
            model = make_model(problem, options["units"], options["learning_rate"], seed)
        description = str(problem)
        forecaster = problem.forecaster(model)
    folder = writable(Path(out or Path("nbrnn-out") / (problem.table.name + "-lesson" * lesson)))

    click.echo(description + "\n")
    model.summary(print_fn=click.echo)
    click.echo()
    stopped = False
    try:
        with one_sentence():
            problem.fit(forecaster, epochs=epochs, batch_size=batch_size, verbose=1)
    except KeyboardInterrupt:
        stopped = True
        if not model.steps:
            raise
        click.echo(f"Stopped in epoch {len(model.history.epoch) + 1} of {epochs}; going on with what was learned.")
    comparison = problem.compare(forecaster)
    click.echo(f"\n{comparison}\n")
    click.echo(click.wrap_text(comparison.verdict(), WIDTH))
    if problem.season is None:
        click.echo("No --season was given, so there is no seasonal baseline.")
    if lesson and not stopped:
        click.echo("\n" + lesson_remarks(problem, forecaster, comparison, lesson_scores(problem, range(20))))
    notes = {**problem.notes(), "lesson": lesson, "stopped": stopped}
    with writing(folder):
        if not no_plots:
            _draw(problem, comparison, folder / "predictions.png")
        forecaster.save(folder / "model.safetensors", **notes)
        _write_history(model.history, folder / "history.csv")
    click.echo("\nWritten:")
    if not no_plots:
        click.echo("  predictions.png    actual and predicted values, the split, the errors")
    click.echo("  model.safetensors  the model with its scaler, columns, window and split")
    click.echo("  history.csv        the loss of every epoch")
    click.echo(f"into the folder {folder}")
    if stopped:
        ctx.exit(STOPPED)


def _refuse_with_lesson(ctx: click.Context, series: str) -> None:
    """Refuse what the lesson decides itself."""
    if series != "sunspots":
        raise UserError(f"--lesson is about sunspots: nbrnn train sunspots --lesson, not {series}.")
    refuse_given(ctx, FIXED, "--lesson")


def _draw(problem: Problem, comparison: Comparison, path: Path) -> None:
    """Draw the picture of both parts' predictions."""
    from ..files import write_whole
    from ..plots import plot_predictions

    rows, actual, predicted = comparison.joined()
    figure = plot_predictions(
        actual,
        predicted,
        problem.split,
        rows=rows,
        dates=problem.table.dates,
        unit=problem.unit or problem.target,
        title=f"{problem.target}: actual and predicted, one step ahead",
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_whole(path, png.getvalue())


def _write_history(history: History, path: Path) -> None:
    """Write a row an epoch, counted from 1."""
    from ..files import write_whole

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["epoch", *history.history])
    rows.writerows(zip((epoch + 1 for epoch in history.epoch), *history.history.values(), strict=True))
    write_whole(path, text.getvalue().encode())
