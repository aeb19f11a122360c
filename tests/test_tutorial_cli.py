"""`nbrnn tutorial` as a person meets it: the list, a lesson step by step, answers, files, mistakes in one sentence."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbrnn.cli import main
from nbrnn.targets import compiling
from nbrnn.tutorial import lessons, running
from nbrnn.tutorial.lessons import find_lessons, load_lesson
from nbrnn.tutorial.state import passed_lessons
from nbrnn.tutorial.writing import exercise_file

NUMBERS = list(find_lessons())
needs_jit = pytest.mark.skipif(not compiling.JIT, reason="takes minutes in plain Python")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Run every command in an empty folder with a state of its own, and keep the announcement out of other tests."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("NBRNN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(compiling, "announce", None)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Let lesson 2 of four cells be the only one."""
    text = """# %% [markdown]
# # Lesson 2: Small
#
# **Question.** How small?

# %%
from nbrnn.tutorial import check

QUICK = False

# %%
print("quick:", QUICK)

# %% [markdown]
# What is twice x?

# %% tags=["exercise"]
def twice(x):
    return ...


# %% tags=["solution"]
def twice(x):
    return 2 * x


# %% tags=["check"]
for x in (0, 3):
    check(f"twice({x})", twice(x), 2 * x, "add x to itself, " * 8)
"""
    folder = tmp_path / "nbrnn" / "_tutorials"
    folder.mkdir(parents=True)
    (folder / "02_small.py").write_text(text)
    monkeypatch.setattr(lessons, "__file__", str(tmp_path / "nbrnn" / "tutorial" / "lessons.py"))


def tutorial(*arguments, **options):
    return CliRunner().invoke(main, ["tutorial", *map(str, arguments)], **options)


def refused(*arguments):
    """Return the one sentence that refuses a command."""
    result = tutorial(*arguments)
    assert result.exit_code == 2 and "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    last = " ".join(result.output.split("Error: ")[-1].split())
    assert result.output.count("Error: ") == 1
    return last


def answered(text, name="answers.py"):
    Path(name).write_text(text)
    return name


# ---------------------------------------------------------------- the list


def test_the_list_shows_each_lesson_with_its_question_and_what_to_type():
    result = tutorial()
    assert result.exit_code == 0 and result.output == tutorial("list").output
    words = " ".join(result.output.split())
    for number in NUMBERS:
        lesson = load_lesson(number)
        assert f"{number} {lesson.title} {lesson.minutes} min {lesson.question}" in words
    assert max(map(len, result.output.splitlines())) <= 80 and "passed" not in result.output
    commands = re.findall(r"^  (nbrnn tutorial .*?)  ", result.output, re.M)
    first = NUMBERS[0]
    assert commands == [
        f"nbrnn tutorial run {first} --step",
        f"nbrnn tutorial exercises {first}",
        f"nbrnn tutorial check {first} answers-{first:02d}.py",
        f"nbrnn tutorial notebook {first}",
    ]
    for command in commands:
        _, _, name, *rest = command.split()
        group = main.commands["tutorial"]
        group.commands[name].make_context(name, rest)  # its options exist


def test_the_list_remembers_what_was_passed(small):
    assert re.search(r"2  Small +5 min$", tutorial("list").output, re.M)
    answered("def twice(x):\n    return x + x\n")
    assert tutorial("check", 2, "answers.py").exit_code == 0
    output = tutorial("list").output
    assert re.search(r"2  Small +5 min   passed$", output, re.M) and "All lessons are passed." in output
    assert json.loads(Path(os.environ["NBRNN_STATE_DIR"], "tutorial.json").read_text()) == {"passed": [2]}


def test_a_state_that_is_not_ours_is_refused(small):
    folder = Path(os.environ["NBRNN_STATE_DIR"])
    folder.mkdir()
    (folder / "tutorial.json").write_text("{}")
    assert "does not hold the numbers of passed lessons" in refused("list")


# ---------------------------------------------------------------- run


@needs_jit
@pytest.mark.parametrize("number", [1, 3])
def test_a_lesson_runs_with_its_pictures(number):
    result = tutorial("run", number, "--quick")
    assert result.exit_code == 0, result.output
    pictures = re.findall(r"^picture: (.*)$", result.output, re.M)
    assert pictures and {Path(p).parent for p in pictures} == {Path("nbrnn-out") / f"tutorial-{number:02d}"}
    assert all(Path(p).read_bytes().startswith(b"\x89PNG") for p in pictures)
    end = result.output[result.output.index("\nYour turn:\n") :]
    assert re.findall(r"^  (nbrnn tutorial .*?)  ", end, re.M) == [
        f"nbrnn tutorial exercises {number}",
        f"nbrnn tutorial check {number} answers-{number:02d}.py",
        f"nbrnn tutorial notebook {number}",
    ]
    assert max(map(len, result.output.splitlines())) <= 80
    for solution in load_lesson(number).tagged("solution"):
        assert solution.source not in result.output.replace("  | ", "").replace("  |", "")


def test_quick_out_and_solutions_reach_the_lesson(small):
    plain = tutorial("run", 2).output
    assert "\nquick: False\n" in plain and "2 * x" not in plain and "ok     " not in plain
    result = tutorial("run", 2, "--quick", "--solutions", "--out", "a/b")
    assert "\nquick: True\n" in result.output and "  |     return 2 * x\n" in result.output
    assert "ok     twice(3) = 6" in result.output and Path("a/b").is_dir()


@pytest.mark.parametrize(
    ("typed", "cells"),
    [("\n\n\n\n", 5), ("\nq\n", 2), ("Q\n", 1), ("\n", 2), ("", 1)],
    ids=["to the end", "q", "Q", "end of the input", "no input"],
)
def test_a_lesson_runs_step_by_step(small, typed, cells):
    result = tutorial("run", 2, "--step", input=typed)
    assert result.exit_code == 0
    asked = re.findall(r"-- cell (\d) of (\d): Enter goes on, q leaves -- ", result.output)
    assert asked == [(str(k), "5") for k in range(1, min(cells, 4) + 1)]
    left = f"You left the lesson. Go on with:  nbrnn tutorial run 2 --step --from {cells + 1}\n"
    assert result.output.endswith(left) == (cells < 5) and ("Your turn:" in result.output) == (cells == 5)
    assert ("quick: False" in result.output) == (cells >= 3)


def test_a_lesson_goes_on_at_a_cell(small):
    result = tutorial("run", 2, "--quick", "--from", 4)
    assert result.exit_code == 0 and result.output.startswith("What is twice x?\n")
    assert "quick: True" not in result.output and "def twice" in result.output
    result = tutorial("run", 2, "--step", "--quick", "--solutions", "--out", "a b", "--from", 4, input="\nq\n")
    assert re.findall(r"-- cell (\d) of", result.output) == ["4", "5"]
    left = "Go on with:  nbrnn tutorial run 2 --step --quick --solutions --out 'a b' --from 6\n"
    assert result.output.endswith(left)
    for cell in (0, 6):
        assert refused("run", 2, "--from", cell) == f"--from must be a cell of lesson 2, from 1 to 5, not {cell}."


def test_a_quick_run_shows_what_it_runs_with(small):
    for option, value in (([], False), (["--quick"], True)):
        assert f"\n  | QUICK = {value}\n" in tutorial("run", 2, *option).output


def test_ctrl_c_ends_a_lesson(small, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "render", stop)
    result = tutorial("run", 2)
    assert result.exit_code == 130 and result.output.splitlines()[-1] == "Stopped."


@pytest.mark.parametrize("command", ["run", "check", "exercises", "notebook"])
def test_a_lesson_that_does_not_exist_is_refused_with_those_that_do(command):
    rest = ["x.py"] if command == "check" else []
    listed = ", ".join(map(str, NUMBERS))
    assert refused(command, 99, *rest) == f"there is no lesson 99; the lessons are {listed}."
    assert "is not a valid integer" in refused(command, "one", *rest)
    assert not os.listdir(".")


def test_a_folder_that_cannot_be_written_is_refused(small):
    Path("file").touch()
    assert "file is a file, so nothing can be written into it" in refused("run", 2, "--out", "file")


# ---------------------------------------------------------------- check


def test_right_answers_pass_and_the_next_lesson_is_named(small):
    answered("def twice(x):\n    return x + x\n")
    result = tutorial("check", 2, "answers.py")
    assert result.exit_code == 0
    lines = ["ok     twice(0) = 0", "ok     twice(3) = 6", "All answers of lesson 2 are right."]
    assert result.output.splitlines() == lines


@pytest.mark.parametrize("number", [1, 3])
def test_the_solutions_of_a_lesson_pass_as_a_learners_file(number):
    assert tutorial("exercises", number).exit_code == 0
    name = f"answers-{number:02d}.py"
    text, lesson = Path(name).read_text(), load_lesson(number)
    result = tutorial("check", number, name)
    assert result.exit_code == 1 and result.output.startswith("WRONG  ") and "is not answered yet" in result.output
    for exercise, solution in zip(lesson.tagged("exercise"), lesson.tagged("solution"), strict=True):
        text = text.replace(exercise.source, solution.source)
    answered(text, name)
    result = tutorial("check", number, name)
    assert result.exit_code == 0 and f"All answers of lesson {number} are right." in result.output
    following = next(n for n in NUMBERS if n != number)
    assert result.output.splitlines()[-1] == f"Next:  nbrnn tutorial run {following} --step"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def twice(x):\n    return 2 * x if x < 1 else 7\n",
            "ok     twice(0) = 0\nWRONG  twice(3): yours is 7, which is too large.\n       Hint: add",
        ),
        ("def twice(x):\n    return\n", "WRONG  twice(0) is None: does your function return what it computed?"),
        ("x = 3\n", "WRONG  answers.py does not define twice, which lesson 2 asks for."),
        (
            "import math\n\ndef twice(x):\n    return math.sqrt(x - 1)\n",
            "ERROR  ValueError: math domain error\n       answers.py, line 4: return math.sqrt(x - 1)",
        ),
        ("def twice(x)\n    return x\n", "ERROR  SyntaxError: expected ':'\n       answers.py, line 1: def twice(x)"),
        ("a = 1\nassert a == 2\n", "ERROR  AssertionError\n       answers.py, line 2: assert a == 2"),
        ("def twice(x):\n    return y\n", "ERROR  NameError: name 'y' is not defined\n       answers.py, line 2:"),
        ("import sys\nsys.exit(3)\n", "ERROR  SystemExit: 3\n       answers.py, line 2: sys.exit(3)"),
        (
            "def twice(x):\n    return twice(x)\n",
            "ERROR  RecursionError: maximum recursion depth exceeded\n       answers.py, line 2: return twice(x)",
        ),
        (
            "twice = 3\n",
            "WRONG  a check cannot use what answers.py gives it: TypeError: 'int' object is\n       not callable",
        ),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_1(small, text, said):
    result = tutorial("check", 2, answered(text))
    assert result.exit_code == 1 and result.output.startswith(said), result.output
    assert "Traceback" not in result.output and max(map(len, result.output.splitlines())) <= 80
    assert result.output.endswith("\nExercises passed: 0 of 1\n")
    assert not passed_lessons()


def test_ours_is_told_at_the_second_wrong_answer_or_when_asked_for(small):
    answered("def twice(x):\n    return 2 * x if x < 1 else 7\n")
    ours = "       Ours is 6, the difference is 1.\n"
    shown = tutorial("check", 2, "answers.py", "--show")
    assert shown.exit_code == 1 and ours in shown.output and "is told" not in shown.output
    first, second = (tutorial("check", 2, "answers.py").output for _ in range(2))
    assert "Ours is" not in first.replace("Ours is told with --show, or if this is wrong again.\n", "")
    assert second == shown.output
    answered("def twice(x):\n    return 2 * x\n")
    assert tutorial("check", 2, "answers.py").exit_code == 0
    answered("def twice(x):\n    return 7\n")  # anew
    assert "Ours is told with --show" in tutorial("check", 2, "answers.py").output


def test_the_exercises_that_passed_are_counted():
    lesson = load_lesson(3)
    text = exercise_file(lesson, "answers.py")
    for k, (exercise, solution) in enumerate(zip(lesson.tagged("exercise"), lesson.tagged("solution"), strict=True)):
        assert tutorial("check", 3, answered(text)).output.endswith(f"\nExercises passed: {k} of 3\n")
        text = text.replace(exercise.source, solution.source)
    assert "All answers of lesson 3 are right." in tutorial("check", 3, answered(text)).output


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("y = ...\n\ndef twice(x):\n    y = ...\n    return x + y\n", "line 4: y = ..."),
        ("y = ...\n\ndef twice(x):\n    return x + y\n", "line 1: y = ..."),
        ("y = ...\nz = y + 1\n", "line 1: y = ..."),
        ("def twice(x):\n    return x + ...\n", "line 2: return x + ..."),
    ],
)
def test_three_dots_that_are_left_come_before_the_error_they_make(small, text, line):
    said = tutorial("check", 2, answered(text)).output
    assert said.startswith(f"WRONG  three dots are still left in answers.py, {line}\nERROR  TypeError: "), said


def test_dots_of_another_exercise_are_no_reason_for_an_error(small):
    said = tutorial("check", 2, answered("def twice(x):\n    return y\n\ndef other():\n    return ...\n")).output
    assert said.startswith("ERROR  NameError: name 'y' is not defined\n       answers.py, line 2:")


def test_dots_in_an_index_are_no_open_answer(small):
    said = tutorial("check", 2, answered("def twice(x):\n    return x[..., 0]\n")).output
    assert said.startswith("ERROR  TypeError: ")


def test_only_what_the_exercises_ask_for_is_taken_from_the_answers(small):
    text = "from __future__ import annotations\n\ndef check(*a):\n    pass\n\ndef twice(x: what):\n    return 1\n"
    result = tutorial("check", 2, answered(text))
    assert result.exit_code == 1 and "twice(0): yours is 1, which is too large" in result.output


def test_a_file_that_cannot_be_read_is_refused(small):
    assert refused("check", 2, "none.py").startswith("there is no file none.py; `nbrnn tutorial exercises` writes one")
    assert refused("check", 2, ".").startswith("there is no file .;")
    Path("answers.py").write_bytes(b"\xff\xfe\x00")
    assert refused("check", 2, "answers.py").startswith("answers.py is no text file in UTF-8")


def test_a_state_that_cannot_be_written_is_told(small):
    Path(os.environ["NBRNN_STATE_DIR"]).write_text("a file, no folder")
    answered("def twice(x):\n    return x + x\n")
    result = tutorial("check", 2, "answers.py")
    assert result.exit_code == 2 and "All answers of lesson 2 are right." in result.output
    assert "Traceback" not in result.output and "Error: " in result.output
    answered("def twice(x):\n    return 7\n")
    result = tutorial("check", 2, "answers.py")
    assert result.exit_code == 2 and "WRONG  twice(0)" in result.output and "Error: " in result.output


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("command", "name", "option"),
    [("exercises", "answers-02.py", "a/mine.py"), ("notebook", "lesson-02.ipynb", "a/mine.ipynb")],
)
def test_files_are_written_and_never_replaced_unasked(small, command, name, option):
    result = tutorial(command, 2)
    assert result.exit_code == 0 and result.output.startswith(f"Written: {name}\n")
    text = Path(name).read_text()
    Path(name).write_text("my work")
    assert f"{name} is there already; name another file with --out, or add --force" in refused(command, 2)
    assert Path(name).read_text() == "my work"
    assert tutorial(command, 2, "--force").exit_code == 0 and Path(name).read_text() == text
    assert tutorial(command, 2, "--out", option).exit_code == 0
    assert Path(option).read_text() == text.replace(name, Path(option).name)
    Path("file").touch()
    assert "cannot be written" in refused(command, 2, "--out", "file/x")


def test_a_file_of_exercises_says_how_to_check_it(small):
    output = tutorial("exercises", 2, "--out", "mine.py").output
    assert output.endswith("Fill it in, then type:  nbrnn tutorial check 2 mine.py\n")
    text = Path("mine.py").read_text()
    assert "# What is twice x?" in text and "return ..." in text and "2 * x" not in text
    assert "print(" not in text and "#     nbrnn tutorial check 2 mine.py\n" in text


def test_a_notebook_holds_the_lesson(small):
    output = tutorial("notebook", 2).output
    assert output.splitlines()[-1] == "Open it in VS Code, or type:  jupyter lab lesson-02.ipynb"
    book = json.loads(Path("lesson-02.ipynb").read_text())
    assert book["nbformat"] == 4 and len(book["cells"]) == 6
    assert "2 * x" in "".join(book["cells"][-1]["source"]) and book["cells"][-2]["metadata"] == {"tags": ["exercise"]}


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", [[], ["list"], ["run"], ["check"], ["exercises"], ["notebook"]], ids=" ".join)
def test_help_has_an_example_and_fits_80_columns(command):
    output = tutorial(*command, "--help", terminal_width=80).output
    assert max(map(len, output.splitlines())) <= 80 and "Example" in output
    assert "nbrnn " + " ".join(["tutorial", *command]) in output.split("Example")[1]
    assert command or "..." not in output.split("Commands:")[1]
