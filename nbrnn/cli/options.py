"""Options that several commands share: what is to be forecast, and with which network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .common import UserError

Decorated = Callable[..., Any]


def names(text: str | None) -> list[str] | None:
    """Return 'a, b' as names; None for nothing."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def numbers(option: str, text: str, kind: type, between: str) -> tuple[Any, ...]:
    """Return '0.7/0.15/0.15' or '32,16' as numbers.

    Raises
    ------
    UserError
        If one of them is no number of that kind.
    """
    try:
        return tuple(kind(part) for part in text.split(between))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UserError(f"--{option} takes {what} with {between!r} between them, not {text!r}.") from None


def problem_options(command: Decorated) -> Decorated:
    """Add the options that decide what is forecast."""
    for add in reversed(
        (
            click.option("--target", metavar="A,B,...", help="Columns to predict, or all.  [default: the data set's]"),
            click.option("--features", metavar="A,B,...", help="Columns that the network sees, targets among them."),
            click.option("--known", metavar="A,B,...", help="Columns whose future is known when a forecast is made."),
            click.option(
                "--split",
                metavar="SHARES",
                help="Training/validation/test.  [default: 0.7/0.15/0.15; 0.8: no validation]",
            ),
            click.option("--train-until", metavar="DATE", help="Last date of the training rows, in place of shares."),
            click.option("--validate-until", metavar="DATE", help="Last date of the validation rows."),
            click.option("--season", type=int, help="Rows in a season, for baselines.  [default: the data set's]"),
            click.option(
                "--missing",
                default="refuse",
                show_default=True,
                metavar="HOW",
                help="Missing values: refuse, interpolate, drop (rows) or mask (steps are skipped).",
            ),
            click.option(
                "--decimal",
                default=".",
                show_default=True,
                metavar="MARK",
                help="Before decimals in the file: a point or a comma.",
            ),
        )
    ):
        command = add(command)
    return command


def training_options(command: Decorated) -> Decorated:
    """Add the options on how a network is trained."""
    for add in reversed(
        (
            click.option("--horizon", default=1, show_default=True, help="Rows ahead that it predicts at a time."),
            click.option("--loss", default="mse", show_default=True, help="mse, mae or huber."),
            click.option("--optimizer", default="adam", show_default=True, help="sgd, rmsprop, adam or adamw."),
            click.option("--epochs", default=100, show_default=True, help="Passes over the training windows, at most."),
            click.option("--batch-size", default=16, show_default=True, help="Windows in a step of the optimizer."),
            click.option(
                "--patience",
                default=10,
                show_default=True,
                help="Epochs without a better validation loss to stop after.",
            ),
            click.option("--scale", default="minmax", show_default=True, help="minmax, standard, max or none."),
            click.option(
                "--transform", default="none", show_default=True, help="none, log, difference or log-difference."
            ),
        )
    ):
        command = add(command)
    return command


def problem_from(series: str, options: dict[str, Any]) -> Any:
    """Take a problem's options out of a command's and return the Problem; raises as `make_problem`."""
    from ..problems import make_problem

    target, split = options.pop("target"), options.pop("split")
    shares = None if split is None else numbers("split", split, float, "/")
    return make_problem(
        series,
        target="all" if target == "all" else names(target),
        features=names(options.pop("features")),
        split=shares[0] if shares is not None and len(shares) == 1 else shares,
        train_until=options.pop("train_until"),
        validate_until=options.pop("validate_until"),
        season=options.pop("season"),
        known=names(options.pop("known")) or (),
        missing=options.pop("missing"),
        decimal=options.pop("decimal"),
    )
