"""Run a lesson's cells in order, and a learner's answers in its checks."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import Session, WrongAnswer, open_session
from .lessons import Lesson
from .terminal import render

Say = Callable[[str], Any]


def run_lesson(
    lesson: Lesson,
    folder: Path | None,
    say: Say = print,
    quick: bool = False,
    solutions: bool = False,
    go_on: Callable[[int, int], bool] = lambda done, of: True,
    first: int = 1,
) -> bool:
    """Run a lesson's cells in order; text, code and output are said, pictures written.

    Parameters
    ----------
    lesson : Lesson
    folder : Path or None
        Where pictures go.
    say : callable
        Called with each text.
    quick : bool
        The value of the lesson's QUICK: shorter fits.
    solutions : bool
        Whether solutions and checks run too; otherwise exercises are shown and left open.
    go_on : callable
        Called after each cell with how many are done, and of how many; False ends the run.
    first : int
        The cell, counted from 1, from which on cells are said. Those before it run, without a word.

    Returns
    -------
    bool
        Whether the run came to the end of the lesson.
    """
    cells = lesson.to_run(solutions)
    namespace: dict[str, Any] = {"__name__": "lesson"}
    with open_session(Session(say, folder)) as session:
        for k, cell in enumerate(cells, start=1):
            quiet = k < first
            session.say = _nothing if quiet else say
            if cell.kind == "markdown":
                session.say(render(cell.source))
            else:
                # The lesson says False; a quick run shows what it runs with.
                text = re.sub(r"^QUICK = \w+", f"QUICK = {quick}", cell.text, flags=re.M)
                session.say("\n".join(f"  | {line}".rstrip() for line in text.lstrip("\n").splitlines()))
                with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
                    _execute(text, lesson.path, namespace)
            session.say("")
            if not quiet and k < len(cells) and not go_on(k, len(cells)):
                return False
    return True


def check_answers(
    lesson: Lesson, path: Path, say: Say = print, told: bool = False, wrong: set[str] | None = None
) -> int:
    """Run a learner's file, then the lesson's checks on what it defines; say each verdict up to the first wrong one.

    Parameters
    ----------
    lesson : Lesson
    path : Path
        The learner's Python file, as `exercise_file` begins it.
    say : callable
        Called with each text.
    told : bool
        Whether the right answer is told with the first wrong one.
    wrong : set of str, optional
        The quantities that were wrong before, whose right answers are told too; what is wrong now is added.

    Returns
    -------
    int
        How many exercises passed; the check ends with the first that does not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no text file, or the lesson has no exercises.
    """
    asked, text = lesson.answers(), read_answers(path)
    namespace: dict[str, Any] = {"__name__": "lesson"}
    answers: dict[str, Any] = {"__name__": "answers", "__file__": str(path)}
    passed = 0
    with open_session(Session(say, told=told, wrong=set() if wrong is None else wrong)):
        _execute(lesson.setup.text, lesson.path, namespace)
        try:
            _execute(text, path, answers)
            namespace |= {name: answers[name] for name in asked if name in answers}
            for cell in lesson.tagged("check"):
                _execute(cell.text, lesson.path, namespace)
                passed += 1
        except WrongAnswer as mistake:
            say(str(mistake))
        except (Exception, SystemExit) as error:
            lines = text.splitlines()
            number = _line(error, path)
            left = _dots(text, number, "llipsis" in str(error)) if not isinstance(error, SyntaxError) else None
            if left is not None:
                say(f"WRONG  three dots are still left in {path}, line {left}: {lines[left - 1].strip()}")
            say(_explained(error, number, path, lines, lesson))
    return passed


def read_answers(path: Path) -> str:
    """Return the text of a learner's file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no text file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; `nbrnn tutorial exercises` writes one to begin with.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text file in UTF-8; give the Python file with your answers.") from None


def _nothing(text: str) -> None:
    pass


def _execute(text: str, path: Path, namespace: dict[str, Any]) -> None:
    exec(compile(text, str(path), "exec", dont_inherit=True), namespace)


def _line(error: BaseException, path: Path) -> int | None:
    """Return the line of a learner's file where an error arose, or None if it arose elsewhere."""
    number = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            number = frame.lineno
    return number


def _dots(text: str, number: int | None, anywhere: bool) -> int | None:
    """Return the line of three dots that stand for an answer: in the statement or function of a line if there are any.

    Else those anywhere, if the error speaks of them. Dots in an index, as in `X[..., 0]`, stand for themselves.
    """
    found = []
    for statement in ast.parse(text).body:
        indices = {id(n) for s in ast.walk(statement) if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)}
        here = number is not None and statement.lineno <= number <= (statement.end_lineno or statement.lineno)
        for node in ast.walk(statement) if here or anywhere else ():
            if isinstance(node, ast.Constant) and node.value is ... and id(node) not in indices:
                found.append((not here, node.lineno))
    return min(found)[1] if found else None


def _explained(error: BaseException, number: int | None, path: Path, lines: list[str], lesson: Lesson) -> str:
    """Return what went wrong in a learner's file: type, message, line."""
    said = error.msg if isinstance(error, SyntaxError) and number is not None else str(error)
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if number is not None:
        code = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        return f"ERROR  {message}\n       {path}, line {number}: {code}"
    if isinstance(error, NameError) and error.name in lesson.answers():
        return f"WRONG  {path} does not define {error.name}, which lesson {lesson.number} asks for."
    return f"WRONG  a check cannot use what {path} gives it: {message}"
