"""`nbrnn forecast`: what comes after a series' last row."""

from __future__ import annotations

import click

from .common import one_sentence, writable, writing
from .results import Results
from .saved import folder_of, open_saved, saved_options, say


@click.command(
    epilog="""\b
Examples:
  nbrnn forecast nbrnn-out/sunspots --steps 300
  nbrnn forecast run1 newer.csv --steps 12 --out next
  nbrnn forecast run1 --future plans.csv
"""
)
@saved_options
@click.option("--steps", type=int, help="Rows ahead.  [default: a season, else the window]")
@click.option("--future", metavar="FILE", help="CSV file with the known columns in the rows ahead.")
@click.option("--samples", type=int, help="Dropout masks that a fan draws.  [default: 100; 0 without dropout]")
@click.option("--level", default=0.8, show_default=True, help="Share of a fan's paths that its band holds.")
@click.option("--seed", default=0, show_default=True, help="Of the dropout masks.")
def forecast(
    model: str,
    series: str | None,
    missing: str | None,
    out: str | None,
    no_plots: bool,
    steps: int | None,
    future: str | None,
    samples: int | None,
    level: float,
    seed: int,
) -> None:
    """Forecast what comes after the last row of a series.

    MODEL is a file that `nbrnn train` wrote, or its folder. FILE is a CSV file, or a packaged series, with the columns
    that the model was trained on; the series of the training if not given. A model of several seeds or with dropout
    gives a fan of forecasts; how often its band held what came is measured on the validation rows.
    """
    problem, forecaster, _ = open_saved(model, series, missing)
    from ..outlook import coverage_sentence, future_rows, look_ahead, validation_coverage

    with one_sentence():
        known = None if future is None else future_rows(future, problem)
        outlook = look_ahead(problem, forecaster, steps, known, samples, level, seed)
    folder = writable(folder_of(model, out))
    click.echo(f"{outlook}\n")
    for remark in (*problem.remarks, *outlook.remarks()):
        say(remark)
    results = Results(folder, not no_plots)
    header, rows = outlook.records()
    with writing(folder):
        results.table("forecast.csv", header, rows, "the rows ahead: forecasts, band, baselines")
    if outlook.fans_out:
        if "validation" in problem.parts:
            click.echo("counting on the validation rows how often the band held ...")
        with one_sentence():
            held = validation_coverage(problem, forecaster, outlook.steps, outlook.level, samples, seed)
        say(coverage_sentence(held))
    else:
        say("There is one path, so how sure it is cannot be told: train with --seeds 5, or with --dropout 0.1.")
    with writing(folder):
        if results.plots:
            from ..plots import plot_forecast

            for k, name in enumerate(problem.targets):
                called = "forecast" if len(problem.targets) == 1 else f"forecast-{k + 1}"
                results.picture(called, plot_forecast(outlook, k), f"the forecast of {name}, and what came before")
    results.tell()
