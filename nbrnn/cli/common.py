"""What the commands share: a user's mistakes as one sentence, and folders to write into."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

STOPPED = 130  # what a shell reports for a program that Ctrl-C ended


class UserError(click.ClickException):
    """Something that the user got wrong: one sentence, exit code 2."""

    exit_code = 2


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turn the errors that name a user's mistake into a UserError."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error


def refuse_given(ctx: click.Context, options: Iterable[str], owner: str) -> None:
    """Refuse options that something else decides."""
    given = [name for name in options if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if given:
        names = " and ".join("--" + name.replace("_", "-") for name in given)
        raise UserError(f"{owner} decides {names} itself; leave that out.")


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"the folder {folder} cannot be written: {error.strerror} ({where}).") from error


def writable(folder: Path) -> Path:
    """Make a folder and try to write into it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, so nothing can be written into it; name a folder with --out.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    return folder
