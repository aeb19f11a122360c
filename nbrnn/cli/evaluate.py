"""`nbrnn evaluate`: rolling-origin scores of a saved model, and what the order of time is worth to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Trained, UserError, one_sentence, refuse_given, writable, writing
from .results import Results
from .saved import folder_of, open_saved, saved_options, say
from .train import predictions

if TYPE_CHECKING:
    from ..problems import Problem

ROLLING = ("part", "steps", "stride", "seeds")
SCRAMBLED = ("in order", "permuted at test time", "trained permuted")


@click.command(
    epilog="""\b
Examples:
  nbrnn evaluate nbrnn-out/sunspots
  nbrnn evaluate run1 --steps 12 --stride 3
  nbrnn evaluate run1 newer.csv
  nbrnn evaluate nbrnn-out/sunspots --shuffle-time
"""
)
@saved_options
@click.option("--part", default="test", show_default=True, help="Rows that are judged: test, validation or training.")
@click.option("--steps", type=int, help="Steps ahead.  [default: as many as the model gives at a time]")
@click.option("--stride", default=1, show_default=True, help="Rows from one forecast's origin to the next.")
@click.option("--seeds", is_flag=True, help="Score each seed's network alone too.")
@click.option("--shuffle-time", is_flag=True, help="Say what the order of a window's steps is worth, and no more.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    model: str,
    series: str | None,
    missing: str | None,
    out: str | None,
    no_plots: bool,
    part: str,
    steps: int | None,
    stride: int,
    seeds: bool,
    shuffle_time: bool,
) -> None:
    """Score a saved model on rows that it was not trained on.

    MODEL is a file that `nbrnn train` wrote, or its folder. FILE is a CSV file, or a packaged series, with the columns
    that the model was trained on; the series of the training if not given. Forecasts begin at every row of the part
    (see --stride) and are scored by how far they look ahead, beside baselines. Choose settings by the validation rows,
    and look at the test rows once.

    --shuffle-time leaves the test rows alone: it trains the recipe anew on windows whose steps are permuted, and a
    perceptron beside it, and scores them on the validation rows.
    """
    if shuffle_time:
        refuse_given(ctx, ROLLING, "--shuffle-time")
    problem, forecaster, notes = open_saved(model, series, missing)
    if shuffle_time:
        _scramble(problem, notes, folder_of(model, out), no_plots)
        return
    if seeds and len(forecaster.models) == 1:
        raise UserError(
            "the model holds the network of one seed, so --seeds has none to compare; train with --seeds 5."
        )
    with one_sentence():
        scores = problem.backtest(forecaster, part, steps, stride)
    folder = writable(folder_of(model, out, part))
    click.echo(f"{scores}\n")
    for k in range(len(problem.targets)):
        say(scores.verdict(k))
    for remark in problem.remarks:
        say(remark)
    if not any(name.startswith("least-squares") for name in scores.predicted):
        rows = problem.parts["training"]
        say(
            f"{problem.table.name} holds {rows.stop - rows.start} of the training rows: too few for the baselines "
            "that learn from them, and perhaps for the MASE."
        )
    if problem.season is None:
        say("No season is known, so there are no seasonal baselines.")
    results = Results(folder, not no_plots)
    by_seed = _seeds(problem, forecaster, scores) if seeds else []
    with writing(folder):
        records = list(scores.records())
        header = list(records[0])
        results.table("metrics.csv", header, [list(record.values()) for record in records], "all scores")
        results.figures("metrics.json", records, "the same as JSON")
        lines = predictions(problem, [scores])
        count = 2 * len(problem.targets)
        errors = [
            line + [a - p for a, p in zip(line[-count::2], line[1 - count :: 2], strict=True)] for line in lines[1]
        ]
        header = lines[0] + [f"{name} error" for name in problem.targets]
        results.table("errors.csv", header, errors, "actual - predicted, row by row")
        if seeds:
            results.table("seeds.csv", ["target", "seed", "rmse"], by_seed, "the RMSE of each seed's network")
        if results.plots:
            from ..plots import plot_errors_by_horizon

            for k, name in enumerate(problem.targets):
                called = "errors" if len(problem.targets) == 1 else f"errors-{k + 1}"
                picture = plot_errors_by_horizon(scores, problem.unit(name), k)
                results.picture(called, picture, f"the errors of {name} by steps ahead")
    results.tell()


def _seeds(problem: Problem, forecaster: Any, scores: Any) -> list[list[Any]]:
    """Print the RMSE of each seed's network, and return it: target, seed, RMSE."""
    from ..backtest import score_text
    from ..outlook import scores_by_seed

    rows = []
    for k, name in enumerate(problem.targets):
        found = scores_by_seed(forecaster, problem.table, scores, k)
        values = sorted(found.values())
        median = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        rows += [[name, seed, value] for seed, value in found.items()]
        each = ", ".join(f"{seed}: {score_text(value)}" for seed, value in found.items())
        middle, least, most = map(score_text, (median, values[0], values[-1]))
        say(
            f"RMSE of each seed's network alone, {name}: {each}. Median {middle}, from {least} to {most}; that of "
            f"their mean forecast is {score_text(scores.score('rmse', target=k))}."
        )
    return rows


def _scramble(problem: Problem, notes: dict[str, Any], folder: Path, no_plots: bool) -> None:
    """Train on permuted windows, and print, write and draw what that does; each network is written when it is done."""
    from ..backtest import score_text
    from ..reopening import saved_recipe
    from ..scrambling import DRAWS, scramble_time

    with one_sentence():
        recipe = saved_recipe(notes)
        problem.check(recipe)
    results = Results(writable(folder), not no_plots)
    click.echo("Training the network and Flatten -> Dense, in order and on permuted steps.")
    found, rows, line = [], [], Trained()
    try:
        with one_sentence():
            for one in scramble_time(problem, recipe, progress=line.show):
                found.append(one)
                rows += [[one.name, k + 1, *draw] for k, draw in enumerate(one.draws)]
                with writing(folder):
                    results.table("scrambled.csv", ["network", "draw", *SCRAMBLED], rows, "RMSEs with permuted steps")
    finally:
        line.end()
    name = " and ".join(problem.targets)
    click.echo(f"\nRMSE of {name}, {problem.judged} rows, by the order of a window's {recipe.window} steps")
    click.echo(f"(medians of {DRAWS} draws, each with other first weights and another permutation)")
    click.echo(f"{'':<17}" + "".join(f"{what:>{len(what) + 3}}" for what in SCRAMBLED))
    for one in found:
        cells = zip(SCRAMBLED, (one.ordered, one.tested, one.trained), strict=True)
        click.echo(f"{one.name:<17}" + "".join(f"{score_text(value):>{len(what) + 3}}" for what, value in cells))
    click.echo()
    for one in found:
        say(one.verdict())
    if results.plots:
        from ..plots import plot_scrambled

        unit = problem.unit(problem.targets[0]) if len(problem.targets) == 1 else ""
        with writing(folder):
            results.picture("scrambled", plot_scrambled(found, unit), "the same as bars")
    results.tell()
