"""Which lessons a learner has passed, and which answers were wrong: a small JSON file in the user's state folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def state_file() -> Path:
    """Return the file's path: NBRNN_STATE_DIR if it is set, else where this system keeps such files.

    Raises
    ------
    ValueError
        If there is no home folder and NBRNN_STATE_DIR is not set.
    """
    chosen = os.environ.get("NBRNN_STATE_DIR")
    if chosen:
        return Path(chosen) / "tutorial.json"
    try:
        home = Path.home()
    except RuntimeError:
        raise ValueError("there is no home folder to remember passed lessons in; set NBRNN_STATE_DIR.") from None
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        folder = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return folder / "nbrnn" / "tutorial.json"


def passed_lessons() -> set[int]:
    """Return the numbers of the lessons that were passed.

    Raises
    ------
    ValueError
        If the file is there but was not written by `remember`.
    """
    return set(_read()["passed"])


def wrong_before(number: int) -> set[str]:
    """Return the quantities of a lesson's checks that were wrong since it was passed last.

    Raises
    ------
    ValueError
        As for `passed_lessons`.
    """
    return set(_read()["wrong"].get(str(number), []))


def remember(number: int) -> None:
    """Add a lesson to those that were passed, and forget what was wrong.

    Raises
    ------
    ValueError
        As for `passed_lessons`.
    OSError
        If the file cannot be written.
    """
    known = _read()
    known["passed"] = sorted({*known["passed"], number})
    known["wrong"].pop(str(number), None)
    _write(known)


def remember_wrong(number: int, quantities: set[str]) -> None:
    """Keep the quantities of a lesson's checks that were wrong.

    Raises
    ------
    ValueError
        As for `passed_lessons`.
    OSError
        If the file cannot be written.
    """
    known = _read()
    known["wrong"][str(number)] = sorted(quantities)
    _write(known)


def _read() -> dict[str, Any]:
    """Return what is known: the lessons that were passed, and for others what was wrong."""
    path = state_file()
    try:
        known = {"wrong": {}, **json.loads(path.read_text(encoding="utf-8"))}
        names = [name for listed in known["wrong"].values() for name in listed]
        if not all(type(number) is int for number in known["passed"]) or not all(type(name) is str for name in names):
            raise TypeError
    except (FileNotFoundError, NotADirectoryError):
        return {"passed": [], "wrong": {}}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} does not hold the numbers of passed lessons; remove it to begin anew.") from None
    return known


def _write(known: dict[str, Any]) -> None:
    from ..files import write_whole

    path = state_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not known["wrong"]:
        known.pop("wrong")
    write_whole(path, (json.dumps(known) + "\n").encode())
