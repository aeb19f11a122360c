"""Where the lessons are, and how a file becomes cells.

A lesson is a Python file in the percent format, which Jupytext and VS Code open too: a line `# %%` begins a cell of
code, `# %% [markdown]` one of text in comments, and `# %% tags=["exercise"]` names what a cell is for. The first cell
of code sets the lesson up (imports, QUICK) and is all that exercises, solutions and checks may rely on.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

TAGS = ("exercise", "solution", "check")
FILE = re.compile(r"(\d\d)_\w+\.py")
TITLE = re.compile(r"# Lesson (\d+): (.+)")
SCRIPT = re.compile(r"^QUICK = nbrnn\.tutorial\.asked_quick\(\)", re.M)
WORDS, CODE, EXERCISE = 200, 1, 5  # words that are read in a minute; minutes for a cell of code, for an exercise
QUESTION = re.compile(r"^\*\*Question\.\*\*\s+(.+?)(?=\n\n|\Z)", re.S | re.M)


@dataclass(frozen=True)
class Cell:
    """A cell of a lesson.

    Attributes
    ----------
    kind : {"markdown", "code"}
    tag : str
        One of TAGS, or empty.
    source : str
        Without the comment signs of a text cell.
    line : int
        The line of the file, from 1, where the source begins.
    """

    kind: str
    tag: str
    source: str
    line: int

    @property
    def text(self) -> str:
        """The source after as many blank lines as stand before it in the file, so that errors name the file's line."""
        return "\n" * (self.line - 1) + self.source


@dataclass(frozen=True)
class Lesson:
    """A lesson: its number, its title, the question that it answers, and its cells."""

    number: int
    title: str
    question: str
    path: Path
    cells: list[Cell] = field(repr=False)

    @property
    def setup(self) -> Cell:
        """The first cell of code."""
        return next(cell for cell in self.cells if cell.kind == "code")

    @property
    def minutes(self) -> int:
        """About how long it takes to read it and to do its exercises, in steps of 5."""
        words = sum(len(cell.source.split()) for cell in self.cells if cell.kind == "markdown")
        code = sum(cell.kind == "code" and not cell.tag for cell in self.cells)
        return 5 * round((words / WORDS + CODE * code + EXERCISE * len(self.tagged("exercise"))) / 5)

    def tagged(self, tag: str) -> list[Cell]:
        """Return the cells with a tag."""
        return [cell for cell in self.cells if cell.tag == tag]

    def to_run(self, solutions: bool) -> list[Cell]:
        """Return the cells of a run, with solutions and checks or without them; texts are cut at their headings."""
        taken = []
        for cell in self.cells:
            if cell.kind == "markdown":
                parts = re.split(r"^(?=## )", cell.source, flags=re.M)
                taken += [replace(cell, source=part.rstrip()) for part in parts if part.strip()]
            elif solutions or cell.tag not in ("solution", "check"):
                taken.append(cell)
        return taken

    def exercises(self) -> list[Cell]:
        """Return the exercises.

        Raises
        ------
        ValueError
            If there is none.
        """
        cells = self.tagged("exercise")
        if not cells:
            raise ValueError(f"lesson {self.number} has no exercises.")
        return cells

    def answers(self) -> list[str]:
        """Return the names that the exercises ask for, in their order."""
        names = []
        for cell in self.exercises():
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    names.append(node.name)
                elif isinstance(node, ast.Assign):
                    names += [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        return names


def lessons_folder() -> Path:
    """Return the folder of the lessons: the installed one, or that of a source checkout.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_tutorials", package.parent / "tutorials"):
        if any(FILE.fullmatch(path.name) for path in folder.glob("*.py")):
            return folder
    raise FileNotFoundError(f"there are no lessons in {package / '_tutorials'}: install nbrnn anew.")


def find_lessons() -> dict[int, Path]:
    """Return the lessons' files by number, in order."""
    found = ((FILE.fullmatch(path.name), path) for path in sorted(lessons_folder().glob("*.py")))
    return {int(match[1]): path for match, path in found if match}


def load_lesson(number: int) -> Lesson:
    """Read a lesson.

    Raises
    ------
    ValueError
        If there is none of that number; the sentence lists those that are there.
    """
    paths = find_lessons()
    if number not in paths:
        raise ValueError(f"there is no lesson {number}; the lessons are {', '.join(map(str, paths))}.")
    return read_lesson(paths[number])


def read_lesson(path: Path) -> Lesson:
    """Read a lesson's file.

    Raises
    ------
    ValueError
        If it does not begin with its title and question, the number is not the file name's, or a cell is malformed.
    """
    # Its own options are a script's; what reads its cells sets QUICK in its text.
    cells = parse_cells(SCRIPT.sub("QUICK = False", path.read_text(encoding="utf-8")), path.name)
    head = cells[0].source if cells and cells[0].kind == "markdown" else ""
    title, question = TITLE.match(head), QUESTION.search(head)
    if not title or not question or not path.name.startswith(f"{int(title[1]):02d}_"):
        raise ValueError(
            f"{path.name} must begin with a text cell that holds '# Lesson NUMBER: TITLE', the number of its file "
            "name, and a paragraph '**Question.** ...'."
        )
    if not any(cell.kind == "code" for cell in cells):
        raise ValueError(f"{path.name} holds no cell of code.")
    return Lesson(int(title[1]), title[2].strip(), " ".join(question[1].split()), path, cells)


def parse_cells(text: str, name: str = "the lesson") -> list[Cell]:
    """Cut a text in the percent format into cells.

    Raises
    ------
    ValueError
        If something stands before the first cell, a tag is unknown, or a line of a text cell is no comment; the line
        is named.
    """
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if line == "# %%" or line.startswith("# %% ")]
    if not starts or "".join(lines[: starts[0]]).strip():
        raise ValueError(f"{name} must begin with a line '# %%'.")
    cells = []
    for start, end in itertools.pairwise([*starts, len(lines)]):
        header, first = lines[start], start + 1
        while first < end and not lines[first].strip():
            first += 1
        body = lines[first:end]
        kind = "markdown" if "[markdown]" in header else "code"
        if kind == "markdown":
            body = [_uncomment(line, f"{name}, line {first + k + 1}") for k, line in enumerate(body)]
        cells.append(Cell(kind, _tag(header, f"{name}, line {start + 1}"), "\n".join(body).rstrip(), first + 1))
    return cells


def _tag(header: str, where: str) -> str:
    found = re.search(r"tags=(.*)", header)
    if not found:
        return ""
    try:
        (tag,) = json.loads(found[1])
    except ValueError:
        tag = None
    if tag not in TAGS:
        raise ValueError(f'{where}: a cell is tagged as tags=["exercise"], "solution" or "check", not {found[1]}.')
    return str(tag)


def _uncomment(line: str, where: str) -> str:
    if line.strip() and not re.match(r"#( |$)", line):
        raise ValueError(f"{where}: a text cell holds comment lines only, not {line!r}.")
    return line[2:].rstrip()
