"""Which lessons a learner has passed: a small JSON file in the user's state folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


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
    path = state_file()
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))["passed"]
        if not all(type(number) is int for number in numbers):
            raise TypeError
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(f"{path} does not hold the numbers of passed lessons; remove it to begin anew.") from None
    return set(numbers)


def remember(number: int) -> None:
    """Add a lesson to those that were passed.

    Raises
    ------
    ValueError
        As for `passed_lessons`.
    OSError
        If the file cannot be written.
    """
    from ..files import write_whole

    numbers = sorted(passed_lessons() | {number})
    path = state_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps({"passed": numbers}) + "\n").encode())
