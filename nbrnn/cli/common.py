"""What the commands share: a user's mistakes as one sentence, and folders to write into."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

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


def load_module(path: str) -> str:
    """Run a module of the user's, so that its layers are known; return its name."""
    file = Path(path).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"--module must be a file of Python such as cells/min_gru.py, not {path!r}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or file.stem in sys.modules:
        raise UserError(f"--module {path}: there is a module {file.stem} already; give the file another name.")
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as for a script: its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[file.stem]
        raise UserError(f"--module {path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent))
    return file.stem


def cells_of(path: str) -> dict[str, Any]:
    """Return the custom cells of a module of the user's, by kind."""
    from ..cells import Cell
    from ..layers import LAYERS

    name = load_module(path)
    found = {c.kind: c for c in LAYERS.values() if c.__module__ == name and issubclass(c, Cell)}
    if not found:
        raise UserError(f"--module {path} defines no cell, a subclass of nbrnn.Cell.")
    return found


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
