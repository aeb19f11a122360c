"""What the commands share: a user's mistakes as one sentence, and folders to write into."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

STOPPED = 130  # what a shell reports for a program that Ctrl-C ended
OFTEN, SELDOM = 0.1, 5.0  # seconds between two lines of progress, in a terminal and in a log file
ENOUGH = 10  # trainings from which the rest can be told


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


def live_line(text: str) -> str:
    """Return a text cut and filled up to what a live line may have."""
    from ..progress import live_width

    width = live_width(79)
    return f"{text[:width]:<{width}}"


class Trained:
    """How many of many trainings are done: one live line in a terminal, a line now and then in a log file."""

    def __init__(self, before: int = 0) -> None:
        self.begun, self.before = time.monotonic(), before
        self.live, self.last, self.drawn = sys.stdout.isatty(), self.begun, False

    def show(self, done: int, total: int, beside: str = "") -> None:
        """Say that a training has ended."""
        from ..progress import duration

        now = time.monotonic()
        if done < total and now - self.last < (OFTEN if self.live else SELDOM):
            return
        self.last, fresh = now, done - self.before
        left = duration((now - self.begun) / fresh * (total - done)) if fresh >= ENOUGH else "..."
        text = f"{done} of {total} trained{beside}"
        text += f", {left} left" if done < total else f", {duration(now - self.begun)}"
        self.drawn = self.live
        click.echo(f"\r{live_line(text)}" if self.live else text, nl=not self.live)

    def end(self) -> None:
        """Leave the live line."""
        if self.drawn:
            click.echo()
