"""Lessons run, their solutions pass, and their untouched exercises fail with a sentence; as files and as notebooks."""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nbrnn
from nbrnn.targets import cpu
from nbrnn.tutorial import WrongAnswer, asked_quick, lessons
from nbrnn.tutorial.lessons import find_lessons, load_lesson, parse_cells, read_lesson
from nbrnn.tutorial.running import check_answers, run_lesson
from nbrnn.tutorial.terminal import render
from nbrnn.tutorial.writing import TAGS, exercise_file, notebook, notebook_text

ROOT = Path(__file__).parents[1]
NUMBERS = list(find_lessons())
needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
each_lesson = pytest.mark.parametrize("number", NUMBERS)
TRIPLES = [(n, k) for n in NUMBERS for k in range(len(load_lesson(n).tagged("exercise")))]


def whole_run(number, folder):
    """Run a lesson with its solutions; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run_lesson(load_lesson(number), folder, quick=True, solutions=True)
    return printed.getvalue()


def answers_with(lesson, untouched=()):
    """Return a file of answers: the solutions, but for exercises that are left as they are."""
    parts = [lesson.setup.source]
    for k, (exercise, solution) in enumerate(zip(lesson.tagged("exercise"), lesson.tagged("solution"), strict=True)):
        parts.append((exercise if k in untouched else solution).source)
    return "\n\n".join(parts) + "\n"


def verdicts(lesson, text, path):
    if not cpu.JIT and any(".fit(" in cell.source for cell in lesson.tagged("check")):
        pytest.skip("a check that trains takes minutes in plain Python")
    path.write_text(text)
    said = []
    return check_answers(lesson, path, said.append) == len(lesson.exercises()), said


# ---------------------------------------------------------------- each lesson


@each_lesson
def test_a_lesson_holds_all_its_parts(number):
    lesson = load_lesson(number)
    text = "\n".join(cell.source for cell in lesson.cells if cell.kind == "markdown")
    code = "\n".join(cell.source for cell in lesson.cells if cell.kind == "code")
    headings = " ".join(re.findall(r"^## (.*)", text, re.M)).lower()
    for part in ("intuition", "equation", "by hand", "engine", "picture", "exercise", "gradient check"):
        assert part in headings, f"lesson {number} has no heading with {part!r}"
    assert "what to take away" in headings and "what people get wrong" in headings
    assert "check_gradients" in code and "show(" in code and "QUICK =" in lesson.setup.source
    tags = [cell.tag for cell in lesson.cells if cell.tag]
    assert tags and tags == ["exercise", "solution", "check"] * (len(tags) // 3)
    assert len(lesson.path.read_text(encoding="utf-8").splitlines()) <= 400
    assert max(map(len, code.splitlines())) <= 76, "a gutter stands before the code in a terminal of 80 columns"


@needs_jit
@each_lesson
def test_a_lesson_runs_and_draws_and_every_number_of_its_texts_is_real(number, tmp_path):
    printed = whole_run(number, tmp_path)
    shown = re.findall(r"^picture: (.*)$", printed, re.M)
    assert shown and all(Path(path).read_bytes().startswith(b"\x89PNG") for path in shown)
    assert max(len(line) for line in printed.splitlines() if not line.startswith("picture: ")) <= 80
    assert printed.count("ok     ") >= len(load_lesson(number).tagged("exercise"))
    assert_numbers_are_real(load_lesson(number), printed)


def figures(text):
    """Return the numbers of two digits or more that stand in a text, but for years and lessons."""
    text = re.sub(r"\b(19|20)\d\d\b|\b[Ll]esson\s+\d+", "", text)
    return set(re.findall(r"(?<![\w.])\d[\d.]*\d", text))


def assert_numbers_are_real(lesson, output):
    """Every number that a text states is in the code or in what it prints."""
    code = "\n".join(cell.source for cell in lesson.cells if cell.kind == "code")
    printed = [line for line in output.splitlines() if not line.startswith("  |")]
    texts = {line for cell in lesson.cells if cell.kind == "markdown" for line in render(cell.source).splitlines()}
    output = "\n".join(line for line in printed if line not in texts)
    stated = {f for cell in lesson.cells if cell.kind == "markdown" for f in figures(cell.source)}
    assert stated <= figures(code) | figures(output), f"lesson {lesson.number}"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "False\n"),
        (["--quick"], 0, "True\n"),
        (["--quik"], 2, "Error: 03_sizes.py takes --quick and nothing else, not --quik.\n"),
        (["--quick", "7"], 2, "Error: 03_sizes.py takes --quick and nothing else, not 7.\n"),
    ],
)
def test_a_lesson_that_is_started_as_a_script_takes_quick(arguments, code, said, tmp_path):
    text = (ROOT / "tutorials" / "03_sizes.py").read_text(encoding="utf-8")
    setup = text[: text.index("\nQUICK = ")] + re.search(r"\nQUICK = .*\n", text)[0]
    path = tmp_path / "03_sizes.py"
    path.write_text(f"{setup}print(QUICK)\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, path, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (code, said)


def test_what_reads_a_lessons_cells_sets_quick_in_its_text():
    for number in NUMBERS:
        lesson = load_lesson(number)
        text = lesson.path.read_text(encoding="utf-8")
        assert len(re.findall(r"^QUICK = nbrnn\.tutorial\.asked_quick\(\)  # ", text, re.M)) == 1
        assert len(re.findall(r"^QUICK = False  # ", lesson.setup.source, re.M)) == 1


def test_no_arguments_of_others_are_a_lessons(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "tests" / "kernel.py"), "-f", "x.json"])
    assert not asked_quick()


@each_lesson
def test_the_solutions_pass(number, tmp_path):
    right, said = verdicts(load_lesson(number), answers_with(load_lesson(number)), tmp_path / "answers.py")
    assert right and said and all(line.startswith("ok     ") for line in said)


@pytest.mark.parametrize(("number", "k"), TRIPLES)
def test_an_untouched_exercise_fails_its_own_check_with_a_sentence(number, k, tmp_path):
    lesson = load_lesson(number)
    right, said = verdicts(lesson, answers_with(lesson, untouched=[k]), tmp_path / "answers.py")
    before = sum(cell.source.count("check(") for cell in lesson.tagged("check")[:k])
    assert not right and len(said) > before and said[-1].startswith("WRONG  ")
    assert "cannot use" not in said[-1] and "does not define" not in said[-1]
    assert re.search(r"\.(\n       Hint: .+)?$", said[-1]), said[-1]


@each_lesson
def test_the_file_of_exercises_is_python_and_all_wrong(number, tmp_path):
    lesson = load_lesson(number)
    text = exercise_file(lesson, "mine.py")
    assert f"nbrnn tutorial check {number} mine.py" in text
    assert max(map(len, text.splitlines())) <= 80 and not re.search(r"[ \t]$", text, re.M)
    headings = re.findall(r"^## Exercise.*", "\n".join(cell.source for cell in lesson.cells), re.M)
    assert headings and re.findall(r"^# (## .*)", text, re.M) == headings
    for cell in lesson.cells:
        assert (cell.source in text) == (cell is lesson.setup or cell.tag == "exercise" or not cell.source)
    right, said = verdicts(lesson, text, tmp_path / "mine.py")
    assert not right and len(said) == 1 and said[0].startswith("WRONG  ")
    for exercise, solution in zip(lesson.tagged("exercise"), lesson.tagged("solution"), strict=True):
        text = text.replace(exercise.source, solution.source)
    assert verdicts(lesson, text, tmp_path / "mine.py")[0]


@needs_jit
@each_lesson
def test_the_cells_of_a_notebook_run_in_order(number):
    lesson = load_lesson(number)
    book = notebook(lesson)
    namespace = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in book["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(cell["source"]).replace("QUICK = False", "QUICK = True")
                open_check = "raises-exception" in cell["metadata"].get("tags", ())
                with pytest.raises(WrongAnswer) if open_check else contextlib.nullcontext():
                    exec(compile(code, cell["id"], "exec"), namespace)


@each_lesson
def test_a_notebook_is_nbformat_4_5_without_solutions(number):
    lesson = load_lesson(number)
    text = notebook_text(lesson)
    book = json.loads(text)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5) and set(book) == set(notebook(lesson))
    assert book["metadata"]["kernelspec"].keys() == {"display_name", "language", "name"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", i) for i in ids)
    for cell in book["cells"]:
        keys = {"cell_type", "id", "metadata", "source"}
        assert set(cell) == keys | ({"execution_count", "outputs"} if cell["cell_type"] == "code" else set())
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    kept = [cell for cell in lesson.cells if cell.tag != "solution"]
    assert ["".join(cell["source"]) for cell in book["cells"]] == [cell.source for cell in kept]
    assert [cell["metadata"].get("tags", []) for cell in book["cells"]] == [TAGS.get(c.tag, []) for c in kept]
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert "".join(code[0]["source"]) == lesson.setup.source


def test_the_lessons_of_the_first_days_are_there_in_order():
    assert {1, 3} <= set(NUMBERS) <= set(range(1, 14)) and sorted(NUMBERS) == NUMBERS


def test_the_page_of_the_lessons_lists_each():
    page = (ROOT / "tutorials" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \| (\d+) \|$", page, re.M)
    found = [load_lesson(number) for number in NUMBERS]
    assert rows == [(str(one.number), one.title, one.path.name, str(one.minutes)) for one in found]
    for path in re.findall(r"\]\(([^)]+)\)", page):
        assert (ROOT / "tutorials" / path).is_file(), path


# ---------------------------------------------------------------- where lessons are


def test_an_installation_has_the_lessons_and_finds_its_own(monkeypatch, tmp_path):
    with open(ROOT / "pyproject.toml", "rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["tutorials"] == "nbrnn/_tutorials"
    package = tmp_path / "nbrnn"
    monkeypatch.setattr(lessons, "__file__", str(package / "tutorial" / "lessons.py"))
    with pytest.raises(FileNotFoundError, match="there are no lessons in"):
        find_lessons()
    text = (ROOT / "tutorials" / "03_sizes.py").read_text(encoding="utf-8")
    for folder in (tmp_path / "tutorials", package / "_tutorials"):  # a checkout's, then an installation's
        folder.mkdir(parents=True)
        (folder / "03_sizes.py").write_text(text, encoding="utf-8")
        assert find_lessons() == {3: folder / "03_sizes.py"}


def test_a_lesson_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match=rf"no lesson 99; the lessons are {', '.join(map(str, NUMBERS))}\.$"):
        load_lesson(99)


# ---------------------------------------------------------------- cells

TEXT = """# %% [markdown]
# # Lesson 7: A title
#
# **Question.** Why
# this?
#
# More.

# %%

QUICK = False

# %% A name tags=["exercise"]
a = ...
b, (c, d) = ..., (..., ...)


def f(): ...
"""


def test_a_text_becomes_cells(tmp_path):
    head, code, exercise = parse_cells(TEXT)
    assert (head.kind, head.tag, head.line) == ("markdown", "", 2)
    assert head.source == "# Lesson 7: A title\n\n**Question.** Why\nthis?\n\nMore."
    assert (code.kind, code.tag, code.line, code.source) == ("code", "", 11, "QUICK = False")
    assert (exercise.kind, exercise.tag, exercise.line) == ("code", "exercise", 14)
    assert exercise.text.splitlines()[13] == "a = ..."
    path = tmp_path / "07_a.py"
    path.write_text(TEXT)
    lesson = read_lesson(path)
    assert (lesson.number, lesson.title, lesson.question) == (7, "A title", "Why this?")
    assert lesson.setup == code and lesson.answers() == ["a", "b", "c", "d", "f"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("07_a.py", "import nbrnn\n" + TEXT, "must begin with a line '# %%'"),
        ("07_a.py", "", "must begin with a line '# %%'"),
        ("08_a.py", TEXT, "the number of its file name"),
        ("07_a.py", TEXT.replace("**Question.**", ""), "a paragraph"),
        ("07_a.py", TEXT.replace("# More.", "More."), "07_a.py, line 7: a text cell holds comment lines only"),
        ("07_a.py", TEXT.replace("exercise", "task"), "line 13: a cell is tagged as"),
        ("07_a.py", TEXT.replace('["exercise"]', "exercise"), "line 13: a cell is tagged as"),
        ("07_a.py", TEXT[: TEXT.index("# %%\n")], "no cell of code"),
    ],
)
def test_a_malformed_lesson_is_refused(name, text, words, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)):
        read_lesson(path)


def test_a_lesson_without_exercises_has_nothing_to_check(tmp_path):
    path = tmp_path / "07_a.py"
    path.write_text(TEXT[: TEXT.index("# %% A name")])
    lesson = read_lesson(path)
    for ask in (lambda: exercise_file(lesson, "a.py"), lambda: check_answers(lesson, path)):
        with pytest.raises(ValueError, match=r"lesson 7 has no exercises\."):
            ask()


def test_an_error_in_a_lesson_names_its_line(tmp_path):
    path = tmp_path / "07_a.py"
    path.write_text(TEXT.replace("a = ...", "a = 1 / 0"))
    with pytest.raises(ZeroDivisionError) as caught:
        run_lesson(read_lesson(path), None, lambda text: None)
    last = caught.traceback[-1]
    assert (last.path, last.lineno + 1) == (path, 14)


def test_quick_is_set_after_the_first_cell_and_a_run_may_be_left(tmp_path):
    path = tmp_path / "07_a.py"
    path.write_text(TEXT + "\n# %%\nprint('quick is', QUICK)\n")
    for quick in (False, True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert run_lesson(read_lesson(path), None, quick=quick)
        assert f"\nquick is {quick}\n" in printed.getvalue()
    asked = []
    said = []

    def go_on(done, of):
        asked.append((done, of))
        return done < 2

    assert not run_lesson(read_lesson(path), None, said.append, go_on=go_on)
    assert asked == [(1, 4), (2, 4)] and not any("a = ..." in text for text in said)


def test_a_run_stops_at_the_headings_of_a_text(tmp_path):
    path = tmp_path / "07_a.py"
    path.write_text(TEXT.replace("# More.\n", "# More.\n#\n# ## Why\n#\n# So.\n#\n# ## What\n#\n# That.\n"))
    lesson = read_lesson(path)
    asked, said = [], []
    assert run_lesson(lesson, None, said.append, go_on=lambda *cell: not asked.append(cell))
    assert asked == [(k, 5) for k in range(1, 5)]
    head = render(lesson.cells[0].source).split("\n\nWhy\n")[0]
    assert said[:6] == [head, "", "Why\n---\n\nSo.", "", "What\n----\n\nThat.", ""]


def test_lessons_use_public_names_only():
    for number in NUMBERS:
        for name in re.findall(r"\bnbrnn\.([A-Za-z_]\w*)", "\n".join(c.text for c in load_lesson(number).cells)):
            known = hasattr(nbrnn, name) or importlib.util.find_spec(f"nbrnn.{name}")
            assert known, f"lesson {number} uses nbrnn.{name}"


def test_an_exercise_keeps_its_context(tmp_path):
    words = "word " * 30
    marked = [f"## Exercise 1\n\n- one {words}\n- two", "And this.", "```text\n" + "x" * 90 + "\n```"]
    cells = ["print('never')", "Before.\n\n" + marked[0], "print(1)", *marked[1:]]
    percent = [
        f"# %%\n{c}\n" if c.startswith("print") else "# %% [markdown]\n" + re.sub("^", "# ", c, flags=re.M)
        for c in cells
    ]
    path = tmp_path / "07_a.py"
    path.write_text(TEXT.replace("# %% A name", "\n".join([*percent, "# %% A name"])))
    lesson = read_lesson(path)
    text = exercise_file(lesson, "a.py")
    kept = [cell.source for cell in parse_cells(text[text.index("# %%") :]) if cell.kind == "markdown"]
    assert [" ".join(k.split()) for k in kept] == [" ".join(m.split()) for m in marked]
    assert "print(" not in text and "\n# - two\n" in text
    assert sorted(map(len, text.splitlines()))[-1] == 92 and sorted(map(len, text.splitlines()))[-2] <= 80
