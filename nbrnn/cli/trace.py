"""`nbrnn trace`: every number of one sequence's way through a model and back, as formulas, JSON or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .common import UserError, one_sentence, writable, writing
from .saved import file_of

EXAMPLE = ("1,2,3", "4")  # the packaged model's sequence and target


@click.command(
    epilog="""\b
Examples:
  nbrnn trace
  nbrnn trace --sequence 1,2,3,4 --steps 4
  nbrnn trace model.json --sequence "1,.1; 2,.2; 3,.3" --out run1
  nbrnn trace model.safetensors --sequence rows.csv --steps 1,2
  nbrnn trace --sequence 1,2,3 --mask 1,0,1
"""
)
@click.argument("model", required=False)
@click.option(
    "--sequence",
    multiple=True,
    metavar="NUMBERS|FILE",
    help="1,2,3, with more features 1,.1; 2,.2; or a CSV file. Once for each input of the model.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="NUMBERS",
    help="What the output should be, once for each; without it there is no backward pass.",
)
@click.option("--mask", multiple=True, metavar="1,0,...", help="1 for each step that counts, 0 for one that is masked.")
@click.option("--steps", metavar="1,2,...", help="Print these steps only.")
@click.option("--layers", metavar="NAME,...", help="Print these layers only.")
@click.option("--digits", default=6, show_default=True, help="Significant digits.")
@click.option("--check", is_flag=True, help="Check the gradients by the complex step too.")
@click.option("--out", metavar="DIR", help="Write trace.json and trace.csv here and print no formulas.")
def trace(model: str | None, out: str | None, check: bool, **options: Any) -> None:
    """Show every number of every step, forward and back.

    MODEL is a file that nbrnn wrote, or one in JSON: layers, input_shape and weights. Without it the model is the
    tutorial's cell of two units, on 1, 2, 3 with the target 4. Numbers are in float64 and in the model's own (scaled)
    units.
    """
    from ..targets import compiling
    from ..tracing import trace as run

    compiling.announce = lambda text: click.echo(text, err=True)
    with one_sentence():
        loaded, x, y = sample_of(model, options["sequence"], options["target"])
        mask = mask_of(loaded, options["mask"])
        steps = options["steps"] and [k - 1 for k in _whole("--steps", options["steps"])]
        layers = options["layers"] and [name.strip() for name in options["layers"].split(",")]
        found = run(loaded, x, y, mask=mask, numeric=check)
        most = max(len(layer.steps) for layer in found.layers)
        if steps and max(steps) >= most:
            raise UserError(f"--steps must be from 1 to {most}, not {max(steps) + 1}.")
        if out is None:
            click.echo(found.text(steps, layers, options["digits"]))
            return
    folder = writable(Path(out))
    with writing(folder):
        found.to_json(folder / "trace.json")
        found.to_csv(folder / "trace.csv")
    click.echo(f"Written: trace.json (lists from 0) and trace.csv (counted from 1) into the folder {folder}")


def sample_of(model: str | None, sequences: Sequence[str], targets: Sequence[str]) -> tuple[Any, Any, Any]:
    """Return a model, its input and its target or None, as typed; the packaged ones where no model is named."""
    from ..saving import read_model

    if model is None:
        loaded = read_model(Path(__file__).parents[1] / "tracing" / "mlm.json")
        if not sequences:
            sequences, targets = EXAMPLE[:1], targets or EXAMPLE[1:]
    else:
        loaded = read_model(file_of(model))
    if not sequences:
        raise UserError("give the model its input: --sequence 1,2,3, or a CSV file with a row a step.")
    rows = [_sequence(text) for text in sequences]
    if model is None and len(rows[0]) != 3:
        loaded = _any_length(loaded)
    ends = {head.name: loaded.graph.shapes[v] for head, v in zip(loaded.heads, loaded.graph.outputs, strict=True)}
    if loaded.loss is not None:
        ends = {head.name: ends[head.name] for head in loaded.heads if head.figures}
    x = _each("--sequence", rows, _inputs(loaded))
    return loaded, x, _each("--target", [_rows("--target", text) for text in targets], ends) if targets else None


def mask_of(model: Any, texts: Sequence[str]) -> Any:
    """Return the mask of each sequence, as typed; None where there is none."""
    masks = [_numbers(_rows("--mask", text)) for text in texts]
    timed = {name: (1, 1) for name, shape in _inputs(model).items() if len(shape) == 2}
    return _each("--mask", masks, timed, len(_inputs(model)) > 1) if masks else None


def _inputs(model: Any) -> dict[str, Any]:
    """Return the shape of every input by name."""
    return dict(zip(model.graph.inputs, model.graph.shapes, strict=False))


def _each(option: str, given: list[Any], shapes: dict[str, Any], named: bool = False) -> Any:
    """Return what was given for each input or output, by name where there are several; for a vector one row."""
    if len(given) != len(shapes):
        listed = f"for each of {', '.join(shapes)}" if len(shapes) > 1 else "once"
        raise UserError(f"{option} must be given {listed}, not {len(given)} times.")
    pairs = zip(shapes.items(), given, strict=True)
    found = {name: _numbers(rows) if len(shape) == 1 else rows for (name, shape), rows in pairs}
    return found if named or len(found) > 1 else next(iter(found.values()))


def _numbers(rows: Any) -> list[float]:
    """Return the numbers of all rows."""
    return [number for row in rows for number in row]


def _any_length(model: Any) -> Any:
    """Return the model for sequences of any length."""
    weights, features = model.get_weights(), model.input_shape[-1]
    model.build((None, features))
    model.set_weights(weights)
    return model


def _sequence(text: str) -> Any:
    """Return the steps: of a CSV file, or as they were typed."""
    from ..csvfile import read_csv

    try:
        return read_csv(text).values if Path(text).is_file() else _rows("--sequence", text)
    except OSError:  # numbers may be too long for a file's name
        return _rows("--sequence", text)


def _rows(option: str, text: str) -> list[list[float]]:
    """Return numbers as rows; without ';' every number is a row."""
    rows = [part.split(",") for part in text.strip(" ;").split(";")] if ";" in text else [[n] for n in text.split(",")]
    try:
        return [[float(number) for number in row] for row in rows]
    except ValueError:
        hint = " and there is no such file" if option == "--sequence" else ""
        raise UserError(f"{option} must be numbers such as 1,2,3{hint}, not {text!r}.") from None


def _whole(option: str, text: str) -> list[int]:
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise UserError(f"{option} must be whole numbers from 1 on, such as 1,2, not {text!r}.")
    return numbers
