"""`nbrnn gradcheck`: is the backward pass of a saved or a random model the derivative of its forward pass?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .common import UserError, one_sentence, refuse_given
from .saved import file_of

if TYPE_CHECKING:
    from ..model import Model

RANDOM = ("cell", "layers", "units", "features", "activation", "reset_before")  # what a saved model decides itself
MOST = 1_000_000  # numbers of a check: hours, even where a forward pass takes some milliseconds
WRONG = 1  # exit code


@click.command(
    epilog="""\b
Examples:
  nbrnn gradcheck --cell lstm
  nbrnn gradcheck --cell gru --reset-before --activation relu --layers 1
  nbrnn gradcheck nbrnn-out/sunspots/model.safetensors
  nbrnn gradcheck --module min_gru.py --cell min_gru
"""
)
@click.argument("model", required=False, metavar="[MODEL]")
@click.option(
    "--cell", help="simple_rnn, lstm, gru, or one of --module.  [default: --module's only one, or simple_rnn]"
)
@click.option("--module", metavar="FILE", help="A file of Python that is run first: it defines custom cells.")
@click.option("--layers", default=2, show_default=True, help="Recurrent layers, under a Dense layer of one unit.")
@click.option("--units", default=4, show_default=True, help="Units of each recurrent layer.")
@click.option("--steps", type=int, help="Time steps.  [default: 5, or as many as MODEL was built for]")
@click.option("--features", default=2, show_default=True, help="Features of a time step.")
@click.option("--samples", default=3, show_default=True, help="Random sequences that the gradients are taken at.")
@click.option("--activation", metavar="NAME", help="Activation of the recurrent layers.  [default: tanh]")
@click.option("--reset-before", is_flag=True, help="The GRU whose reset gate acts before the product.")
@click.option(
    "--method",
    type=click.Choice(["complex", "central"]),
    default="complex",
    show_default=True,
    help="The complex step, or central differences.",
)
@click.option("--tolerance", type=float, help="Relative error that passes.  [default: 1e-10, or 1e-6 with central]")
@click.option("--seed", default=0, show_default=True, help="Decides all that is random.")
@click.pass_context
def gradcheck(
    ctx: click.Context,
    model: str | None,
    samples: int,
    steps: int | None,
    method: str,
    tolerance: float | None,
    seed: int,
    module: str | None,
    **options: Any,
) -> None:
    """Compare backpropagation with numeric gradients.

    MODEL is a file that `nbrnn train` or model.save() wrote, or its folder; without it, a random model of a cell is
    checked. Every weight, input and first state is varied, in float64. The exit code is 0 if all gradients are right, 1
    if one is wrong.
    """
    from .. import usermodule
    from ..catalogue import WIDTH
    from ..checks import real_number, whole_number
    from ..progress import duration
    from ..targets import compiling
    from ..testing import gradients

    compiling.announce = click.echo
    with one_sentence():
        whole_number("seed", seed, 0), whole_number("samples", samples)
        if tolerance is not None:
            real_number("tolerance", tolerance, open_low=True)
        own = {} if module is None else usermodule.cells_of(module)
        network = _random(options, own, steps, seed) if model is None else _saved(ctx, model)
        shape = gradients.sample_shape(network, steps)
        numbers = gradients.check_size(network, samples, shape)
        smaller = _smaller(model)
        if numbers > MOST:
            raise UserError(f"{numbers:,} numbers are too many to vary one by one (at most {MOST:,}); {smaller}.")
        click.echo(_described(network, (samples, *shape)))
        x = gradients.random_inputs(network, samples, steps, seed)
        seconds = gradients.check_seconds(network, x, method)
        if seconds > 1:
            click.echo(f"varying {numbers:,} numbers, each at the price of a forward pass: about {duration(seconds)}")
        if seconds > 60:
            click.echo(click.wrap_text(f"For a shorter check {smaller}; Ctrl-C stops this one.", WIDTH), err=True)
        try:
            reports = gradients.gradient_reports(network, x, method=method, tolerance=tolerance, seed=seed)
        except ArithmeticError as error:
            click.echo(error, err=True)
            ctx.exit(WRONG)
    for line in ["", *gradients.reports_text(reports).splitlines()]:
        click.echo(line if len(line) <= WIDTH else click.wrap_text(line.strip(), WIDTH, "  ", "  "))
    if not gradients.passed(reports):
        ctx.exit(WRONG)


def _saved(ctx: click.Context, path: str) -> Model:
    """Read a model file; what it decides itself is refused."""
    from ..saving import read_model

    refuse_given(ctx, RANDOM, f"the model in {path}")
    return read_model(file_of(path))


def _random(options: dict[str, Any], custom: dict[str, Any], steps: int | None, seed: int) -> Model:
    """Make a model with random weights, unless it is too large to check."""
    from ..checks import one_of, whole_number
    from ..layers import Dense
    from ..saving import MOST_LAYERS
    from ..testing.randoms import random_model
    from ..testing.strategies import CELLS

    layers, units, features = (whole_number(name, options[name]) for name in ("layers", "units", "features"))
    cells, own = CELLS | custom, {}
    if options["cell"] is None and len(custom) > 1:
        raise UserError(f"--module defines {len(custom)} cells; choose one: --cell {' or --cell '.join(custom)}.")
    kind = options["cell"] or next(iter(custom), "simple_rnn")
    cell = cells[one_of("--cell", kind, cells)]
    if options["activation"] is not None:
        if kind in custom:
            raise UserError(f"--activation is for nbrnn's own cells, not {kind}.")
        own["activation"] = options["activation"]
    if options["reset_before"]:
        if kind != "gru":
            raise UserError(f"--reset-before is for --cell gru, not {kind}.")
        own["reset_after"] = False
    weights = cell.gates * units * (features + units + (layers - 1) * 2 * units)
    if weights > MOST:  # before memory is asked for
        raise UserError(f"a model of about {weights:,} weights is too large (at most {MOST:,}); {_smaller(None)}.")
    if layers > MOST_LAYERS:  # few weights, but passes that take long
        raise UserError(f"{layers:,} layers are too many (at most {MOST_LAYERS}); take fewer --layers.")
    stack = [cell(units, return_sequences=k < layers - 1, **own) for k in range(layers)]
    shape = (None if steps is None else whole_number("steps", steps), features)
    return random_model([*stack, Dense(1)], shape, seed=seed)


def _smaller(path: str | None) -> str:
    """Return what makes a check shorter."""
    if path is None:
        return "take fewer --units, --layers, --features, --steps or --samples"
    return "take fewer --samples, or check the same cell with --cell and fewer --units"


def _described(model: Model, shape: tuple[int, ...]) -> str:
    """Return what is checked, in a few lines."""
    from ..catalogue import WIDTH

    layers = " -> ".join(f"{layer.name} ({type(layer).__name__})" for layer in model.layers)
    names = ("sample", "time step", "feature") if len(shape) == 3 else ("sample", "feature")
    sizes = ", ".join(f"{n} {name}{'s' * (n > 1)}" for n, name in zip(shape, names, strict=True))
    return click.wrap_text(f"{layers}; {model.count_params():,} weights", WIDTH) + f"\nat {sizes}, random"
