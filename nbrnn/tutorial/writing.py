"""A lesson as a file of exercises and as a notebook."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..catalogue import WIDTH
from .lessons import Cell, Lesson
from .terminal import wrap

# Jupyter goes on after a cell that is tagged raises-exception: an open exercise does not hide what follows.
TAGS = {"exercise": ["exercise"], "check": ["check", "raises-exception"]}


def exercise_file(lesson: Lesson, name: str) -> str:
    """Return the exercises of a lesson, untouched, as the text of a Python file.

    Parameters
    ----------
    lesson : Lesson
    name : str
        Of the file, for the command in its first lines.

    Raises
    ------
    ValueError
        If the lesson has no exercise.
    """
    exercises = lesson.exercises()
    parts = [
        f"# Exercises of lesson {lesson.number}: {lesson.title}\n"
        "# Put your answers where three dots stand, then type:\n"
        f"#     nbrnn tutorial check {lesson.number} {name}",
        _percent(lesson.setup),
    ]
    texts: list[str] = []  # since the last exercise, or the last heading
    for cell in lesson.cells:
        if cell.kind == "markdown":
            *before, text = re.split(r"^(?=## )", cell.source, flags=re.M)
            texts = [*([] if before else texts), _percent(replace(cell, source=text))]
        elif cell.tag:
            parts += [*texts, _percent(cell)] if cell in exercises else []
            texts = []
    return "\n\n".join(parts) + "\n"


def _percent(cell: Cell) -> str:
    """Return a cell in the percent format."""
    if cell.kind == "markdown":
        lines = wrap(cell.source, WIDTH - 2).splitlines()
        return "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in lines)
    return "# %%" + (f' tags=["{cell.tag}"]' if cell.tag else "") + "\n" + cell.source


def notebook(lesson: Lesson) -> dict[str, Any]:
    """Return a lesson as a notebook (nbformat 4.5): its exercises stand in it, its solutions do not.

    Parameters
    ----------
    lesson : Lesson

    Returns
    -------
    dict
        What JSON holds.
    """
    cells: list[dict[str, Any]] = []
    for k, cell in enumerate(cell for cell in lesson.cells if cell.tag != "solution"):
        made: dict[str, Any] = {
            "cell_type": cell.kind,
            "id": f"lesson-{lesson.number:02d}-{k:03d}",
            "metadata": {"tags": TAGS[cell.tag]} if cell.tag else {},
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.kind == "code":
            made |= {"execution_count": None, "outputs": []}
        cells.append(made)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def notebook_text(lesson: Lesson) -> str:
    """Return a lesson as the text of an .ipynb file."""
    return json.dumps(notebook(lesson), indent=1, ensure_ascii=False) + "\n"


def write_new(path: Path, text: str, overwrite: bool = False) -> None:
    """Write a text file; one that is there stays as it is unless `overwrite`.

    Raises
    ------
    ValueError
        If it is there.
    OSError
        If it cannot be written.
    """
    from ..files import write_whole

    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already; name another file with --out, or add --force to replace it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())
