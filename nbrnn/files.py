"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

PARTIAL, NAMED = ".partial", 50  # how a file that is being written ends, and how much of its name it bears


def path_of(name: str, value: Any) -> Path:
    """Return a path; ValueError, with the argument's name, if it is none."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError(f"{name} must name a file, not {value!r}.")
    return Path(value)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file beside its place and rename it: a reader sees the old file or the new one, never a part."""
    whole = Path(path)
    if not whole.name:
        raise ValueError(f"path must name a file, not {str(path)!r}.")
    beside = whole.with_name(f".{whole.name[:NAMED]}.{uuid.uuid4().hex[:12]}{PARTIAL}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, whole)
    except OSError as error:  # it names the file beside, which nobody asked for
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def clear_partial(folder: Path, name: str) -> None:
    """Remove what `write_whole` has left where a process was killed; `name` is a file's, or a pattern of names."""
    for beside in folder.glob(f".{name[:NAMED]}.{'[0-9a-f]' * 12}{PARTIAL}"):
        with contextlib.suppress(OSError):
            beside.unlink()
