"""`nbrnn explore`: one HTML file in which a sequence's way through a model, and back, is walked step by step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from .common import UserError, one_sentence, writing
from .trace import mask_of, sample_of


@click.command(
    epilog="""\b
Examples:
  nbrnn explore
  nbrnn explore model.safetensors --sequence rows.csv --target 0.5
  nbrnn explore model.json --sequence "1,.1; 2,.2" --target 1 --layer lstm
  nbrnn explore --sequence 1,2,3 --target 4 --mask 1,1,0
  nbrnn explore big.safetensors --sequence rows.csv --units 1,5 --steps 90-100
"""
)
@click.argument("model", required=False)
@click.option(
    "--sequence",
    multiple=True,
    metavar="CSV|NUMBERS",
    help="A CSV file with a row a step, or 1,2,3 or 1,.1; 2,.2.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="NUMBERS",
    help="What the output should be; without it there is no backward pass.",
)
@click.option("--mask", multiple=True, metavar="1,0,...", help="1 for each step that counts, 0 for one that is masked.")
@click.option("--layer", metavar="NAME", help="The recurrent layer to show; the first if not given.")
@click.option("--units", metavar="1,2,...", help="Show these units only.")
@click.option("--steps", metavar="FIRST-LAST", help="Show these steps only.")
@click.option("--out", metavar="FILE", default="explore.html", show_default=True, help="Where the page is written.")
def explore(model: str | None, out: str, **options: Any) -> None:
    """Write a page to step through a model on a sequence.

    MODEL is a file that nbrnn wrote, or one in JSON: layers, input_shape and weights. Without it the model is the
    tutorial's cell of two units, on 1, 2, 3 with the target 4. The page is one HTML file of at most 1 MB that needs no
    network: forward and back, every number with its formula, weights that can be changed.
    """
    from .. import explore as make
    from ..targets import compiling

    compiling.announce = lambda text: click.echo(text, err=True)
    place = Path(out)
    if place.is_dir():
        raise UserError(f"--out must name a file, but {out} is a folder: try {place / 'explore.html'}.")
    with one_sentence():
        loaded, x, y = sample_of(model, options["sequence"], options["target"])
        units = options["units"] and _numbers("--units", options["units"], r"\d+(\s*,\s*\d+)*", "such as 1,2")
        steps = options["steps"] and _numbers("--steps", options["steps"], r"\d+(\s*-\s*\d+)?", "such as 3-7")
        mask = mask_of(loaded, options["mask"])
        page = make(loaded, x, y, mask=mask, layer=options["layer"], units=units, steps=steps)
        with writing(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(place, page)
    click.echo(f"Written: {out} ({len(page.encode()):,} bytes); open it in a browser.")


def _write(place: Path, page: str) -> None:
    from ..files import write_whole

    write_whole(place, page.encode())


def _numbers(option: str, text: str, form: str, example: str) -> list[int]:
    """Return numbers counted from 1 as places counted from 0."""
    found = [int(number) for number in re.findall(r"\d+", text)]
    if not re.fullmatch(form, text.strip()) or min(found) < 1:
        raise UserError(f"{option} must be whole numbers from 1 on, {example}, not {text!r}.")
    return [number - 1 for number in found]
