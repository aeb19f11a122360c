"""`nbrnn tutorial`: lessons to run cell by cell, with exercises that are checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import click

from .common import one_sentence, writable, writing

WRONG = 1  # exit code


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  nbrnn tutorial
  nbrnn tutorial run 1 --step
  nbrnn tutorial exercises 1
  nbrnn tutorial check 1 answers-01.py
  nbrnn tutorial notebook 1
""",
)
@click.pass_context
def tutorial(ctx: click.Context) -> None:
    """Learn with lessons and exercises.

    Without a command: the list of lessons.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_lessons)


@tutorial.command("list", epilog="Example:  nbrnn tutorial list")
def list_lessons() -> None:
    """List the lessons, and what to type next."""
    from ..catalogue import WIDTH
    from ..tutorial.lessons import find_lessons, read_lesson
    from ..tutorial.state import passed_lessons

    with one_sentence():
        lessons = [read_lesson(path) for path in find_lessons().values()]
        passed = passed_lessons()
    for lesson in lessons:
        done = "passed" if lesson.number in passed else ""
        click.echo(f"{lesson.number:4}  {lesson.title:<{WIDTH - 23}}{lesson.minutes:>3} min   {done}".rstrip())
        click.echo(click.wrap_text(lesson.question, WIDTH, "      ", "      "))
    first = next((lesson.number for lesson in lessons if lesson.number not in passed), None)
    if first is None:
        click.echo("\nAll lessons are passed. Next:  nbrnn train sunspots")
        return
    click.echo("\nMinutes are about what it takes to read a lesson and to do its exercises.")
    click.echo("Each can be read alone; if recurrent networks are new to you, begin with 1 to 5.")
    click.echo("Next:")
    click.echo(_listed(first, "run", "exercises", "check", "notebook"))


@tutorial.command("run", epilog="Example:  nbrnn tutorial run 1 --step")
@click.argument("number", type=int)
@click.option("--step", is_flag=True, help="Stop after each cell.")
@click.option("--quick", is_flag=True, help="Shorten what takes long: the lesson's QUICK is True.")
@click.option("--solutions", is_flag=True, help="Run the exercises' solutions and checks too.")
@click.option("--from", "first", type=int, default=1, metavar="CELL", help="Run the cells before CELL without a word.")
@click.option("--out", metavar="DIR", help="Folder of the pictures.  [default: nbrnn-out/tutorial-NN]")
def run(number: int, step: bool, quick: bool, solutions: bool, first: int, out: str | None) -> None:
    """Run a lesson's cells in order.

    Text, code and output are printed; pictures are written as PNG files.
    """
    from ..targets import compiling
    from ..tutorial.lessons import load_lesson
    from ..tutorial.running import run_lesson

    compiling.announce = click.echo
    with one_sentence():
        lesson = load_lesson(number)
        cells = len(lesson.to_run(solutions))
        if not 1 <= first <= cells:
            raise ValueError(f"--from must be a cell of lesson {number}, from 1 to {cells}, not {first}.")
    seen = first

    def wait(done: int, of: int) -> bool:
        nonlocal seen
        seen = done + 1
        return _pause(done, of) if step else True

    folder = writable(Path(out or Path("nbrnn-out") / f"tutorial-{number:02d}"))
    with writing(folder):
        whole = run_lesson(lesson, folder, click.echo, quick, solutions, wait, first)
    if not whole:
        chosen = {"--quick": quick, "--solutions": solutions, f"--out {shlex.quote(out or '')}": out}
        options = " ".join(["--step", *(name for name, given in chosen.items() if given)])
        click.echo(f"You left the lesson. Go on with:  nbrnn tutorial run {number} {options} --from {seen}")
    elif lesson.tagged("exercise"):
        click.echo("Your turn:")
        click.echo(_listed(number, "exercises", "check"))
        click.echo("To change a number and see what comes of it:")
        click.echo(_listed(number, "notebook"))


def _listed(number: int, *names: str) -> str:
    """Return what to type for a lesson, a command a line with what it is for."""
    what = {
        "run": (f"run {number} --step", "read it, cell by cell"),
        "exercises": (f"exercises {number}", f"write {answers_name(number)}, to fill in"),
        "check": (f"check {number} {answers_name(number)}", "are your answers right?"),
        "notebook": (f"notebook {number}", f"write lesson-{number:02d}.ipynb, for Jupyter"),
    }
    return "\n".join(f"  nbrnn tutorial {what[name][0]:<28}{what[name][1]}" for name in names)


def _pause(done: int, of: int) -> bool:
    """Wait for Enter; q or the end of the input ends the run."""
    click.echo(f"-- cell {done} of {of}: Enter goes on, q leaves -- ", nl=False)
    line = sys.stdin.readline()
    click.echo()
    return bool(line) and line.strip().lower() not in ("q", "quit")


@tutorial.command("check", epilog="Example:  nbrnn tutorial check 1 answers-01.py")
@click.argument("number", type=int)
@click.argument("answers")
@click.option("--show", is_flag=True, help="Tell our answer with the first wrong one.")
@click.pass_context
def check(ctx: click.Context, number: int, answers: str, show: bool) -> None:
    """Check your answers to a lesson's exercises.

    ANSWERS is your Python file; it is executed. The first quantity that is wrong is named: yours, whether it is too
    large or too small, and a hint. If it is wrong once more, or with --show, also ours and the difference. The exit
    code is 0 if all are right, 1 if one is wrong.
    """
    from ..targets import compiling
    from ..tutorial.lessons import find_lessons, load_lesson
    from ..tutorial.running import check_answers
    from ..tutorial.state import passed_lessons, remember, remember_wrong, state_file, wrong_before

    compiling.announce = click.echo
    with one_sentence():
        lesson = load_lesson(number)
        before = wrong_before(number)
        wrong, of = {*before}, len(lesson.exercises())
        passed = check_answers(lesson, Path(answers), _wrapped, show, wrong)
        right = passed == of
        click.echo(f"All answers of lesson {number} are right." if right else f"Exercises passed: {passed} of {of}")
        with writing(state_file().parent):
            if right:
                remember(number)
            elif wrong != before:
                remember_wrong(number, wrong)
        if not right:
            ctx.exit(WRONG)
        left = [other for other in find_lessons() if other not in passed_lessons()]
    if left:
        click.echo(f"Next:  nbrnn tutorial run {left[0]} --step")


def _wrapped(text: str) -> None:
    """Print a verdict, its longer lines broken; its text stands behind the first 7 columns."""
    from ..catalogue import WIDTH

    for line in text.splitlines():
        click.echo(line if len(line) <= WIDTH else click.wrap_text(line[7:], WIDTH, line[:7], " " * 7))


@tutorial.command("exercises", epilog="Example:  nbrnn tutorial exercises 1")
@click.argument("number", type=int)
@click.option("--out", metavar="FILE", help="File to write.  [default: answers-NN.py]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def exercises(number: int, out: str | None, force: bool) -> None:
    """Write a lesson's exercises, to fill in."""
    from ..tutorial.writing import exercise_file

    path = _write(number, out or answers_name(number), force, exercise_file)
    click.echo(f"Written: {path}")
    click.echo(f"Fill it in, then type:  nbrnn tutorial check {number} {path}")


@tutorial.command("notebook", epilog="Example:  nbrnn tutorial notebook 1")
@click.argument("number", type=int)
@click.option("--out", metavar="FILE", help="File to write.  [default: lesson-NN.ipynb]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def notebook(number: int, out: str | None, force: bool) -> None:
    """Write a lesson as a Jupyter notebook."""
    from ..tutorial.writing import notebook_text

    path = _write(number, out or f"lesson-{number:02d}.ipynb", force, lambda lesson, name: notebook_text(lesson))
    click.echo(f"Written: {path}")
    click.echo(f"Open it in VS Code, or type:  jupyter lab {path}")


def _write(number: int, out: str, force: bool, text: Callable) -> Path:
    from ..tutorial.lessons import load_lesson
    from ..tutorial.writing import write_new

    path = Path(out)
    with one_sentence():
        lesson = load_lesson(number)
        with writing(path.parent):
            write_new(path, text(lesson, path.name), force)
    return path


def answers_name(number: int) -> str:
    """Return the name of a lesson's file of answers."""
    return f"answers-{number:02d}.py"
