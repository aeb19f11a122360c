"""What lessons are made of: text in a terminal, verdicts on answers, pictures, and what was passed."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from nbrnn import tutorial
from nbrnn.plots import plot_history
from nbrnn.tutorial import Session, WrongAnswer, check, open_session, show, state
from nbrnn.tutorial.terminal import plain, render

# ---------------------------------------------------------------- text in a terminal


def test_markdown_becomes_lines_of_a_terminal():
    words = "word " * 30
    text = (
        f"# Title\n\n{words}**bold** and `code`\n\n- one {words}\n- two *of* 2*3*4\n  goes on\n\n1. first\n2. second\n"
    )
    text += "## Next\n```text\n  a   b\n\n# c\n```\n| a | b |\n| - | - |\nafter [it](there.md)"
    lines = render(text, 60).splitlines()
    assert lines[:2] == ["Title", "====="] and max(map(len, lines)) <= 60
    assert lines[lines.index("- two of 2*3*4 goes on") - 1].startswith("  word")
    assert lines[lines.index("1. first") + 1] == "2. second"
    assert lines[lines.index("Next") : lines.index("Next") + 7] == [
        "Next",
        "----",
        "",
        "      a   b",
        "",
        "    # c",
        "",
    ]
    assert lines[-4:] == ["| a | b |", "| - | - |", "", "after it (there.md)"]
    assert "bold and `code`" in " ".join(lines)
    assert plain("`f(*a)` and x*y*z, *so* **it** is") == "`f(*a)` and x*y*z, so it is"
    assert plain("h ** 2 and 2**3*4**k, a **b** c, ***d***") == "h ** 2 and 2**3*4**k, a b c, ***d***"
    assert plain("**is** `1 - h ** 2`, *not `**k`*, [`a ** b`](c)") == "is `1 - h ** 2`, not `**k`, `a ** b` (c)"


# ---------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("yours", "ours", "said"),
    [
        (3, 3, "ok     q = 3"),
        (np.float32(3), 3, "ok     q = 3"),
        ([3.0], 3, "ok     q = 3"),
        (1e9 + 0.5, 1e9, "ok     q = 1000000000"),
        ([1, 2.0], np.array([1, 2]), "ok     q = [1, 2]"),
        (np.zeros((3, 4)), np.zeros((3, 4)), "ok     q = an array of the shape (3, 4)"),
        (True, True, "ok     q = True"),
        (" YES ", "yes", "ok     q = yes"),
        ([], [], "ok     q = []"),
    ],
)
def test_a_right_answer_passes(yours, ours, said, capsys):
    check("q", yours, ours)
    assert capsys.readouterr().out == said + "\n"


@pytest.fixture
def fresh(monkeypatch):
    """Let no answer of another test have been wrong before."""
    monkeypatch.setattr(tutorial, "_wrong", set())


@pytest.mark.parametrize(
    ("yours", "ours", "words", "right"),
    [
        (4, 3, "q: yours is 4, which is too large.", "Ours is 3, the difference is 1."),
        (2, 3, "q: yours is 2, which is too small.", "Ours is 3, the difference is -1."),
        (-3, 3, "q: yours is -3, which has the wrong sign.", "Ours is 3, the difference is -6."),
        (-2, 3, "q: yours is -2, which has the wrong sign and the wrong size.", "Ours is 3, the difference is -5."),
        (-3.2, -3, "q: yours is -3.2, which is too large in size.", "Ours is -3,"),
        (-2.99, -3, "q: yours is -2.99, which is too small in size, by less than 1 %.", "Ours is -3,"),
        (0, -3, "q: yours is 0, which is too large.", "Ours is -3,"),
        (-3, 0, "q: yours is -3, which is too small.", "Ours is 0,"),
        (0.30000001, 0.3, "which is too large, by less than 1 %.", "the difference is 1e-08."),
        ([1, 2, 5], [1, 2, 3], "q at [2]: yours is 5, which is too large.", "Ours is 3, the difference is 2."),
        ([[1, 2], [7, 9]], [[1, 2], [3, 4]], "q at [1, 0]: yours is 7, which is too large.", "Ours is 3,"),
        (np.uint8(1), 2, "which is too small.", "the difference is -1."),
        (np.uint64(2**63), 3, "which is too large.", "Ours is 3,"),
        ([1, np.nan], [1, 2], "q at [1]: yours is nan, which is wrong.", "Ours is 2, the difference is nan."),
        (np.inf, 2, "q: yours is inf, which is too large.", "Ours is 2,"),
        (2j, 2, "which is wrong.", "Ours is 2,"),
        ([1, 2], 3, "q: yours is (1, 2), but it must be a single number.", "Ours is 3."),
        ((4, 1), (3, 4, 1), "q: yours is (4, 1), but it must be 3 numbers.", "Ours is (3, 4, 1)."),
        ("no", "maybe", "q: yours is 'no', which is wrong.", "Ours is 'maybe'."),
        (3, "maybe", "q: yours is 3, which is wrong.", "Ours is 'maybe'."),
    ],
)
def test_the_right_answer_is_told_at_the_second_wrong_one(yours, ours, words, right, fresh, capsys):
    said = []
    for _ in range(2):
        with pytest.raises(WrongAnswer) as caught:
            check("q", yours, ours, "look again.")
        said.append(caught.value._render_traceback_())
        assert str(caught.value).splitlines() == said[-1]
    first, second = said
    assert first[0].startswith("WRONG  q") and words in first[0] and "urs is" not in first[0].replace("yours is", "")
    assert first[1:] == ["       Hint: look again.", "       Ours is told if this is wrong again."]
    assert second[0] == first[0] and right in second[1] and second[2:] == ["       Hint: look again."]
    check("q", ours, ours)
    assert capsys.readouterr().out.startswith("ok     q = ")
    with pytest.raises(WrongAnswer) as caught:
        check("another", yours, ours)
    assert right not in str(caught.value)


@pytest.mark.parametrize(
    ("yours", "ours", "words"),
    [
        (range(7), (1, 2), "q: yours has the shape (7,), ours has (2,)."),
        ([[1, 2]], [1, 2], "q: yours has the shape (1, 2), ours has (2,)."),
        ([[1], [1, 2]], [[1, 2], [3, 4]], "q: yours has rows of different lengths; it must have the shape (2, 2)."),
        ("three", 3, "q: yours is 'three', but it must be a number."),
        ({"a": 1}, [1, 2], "it must be an array of numbers of the shape (2,)."),
        (..., 3, "q is not answered yet: replace the three dots by your answer."),
        (None, 3, "q is None: does your function return what it computed?"),
        (False, True, "q: yours is False, ours is True."),
        ("no", "yes", "q: yours is 'no', ours is 'yes'."),
    ],
)
def test_what_holds_nothing_back_is_told_at_once(yours, ours, words, fresh, capsys):
    for _ in range(2):
        with pytest.raises(WrongAnswer) as caught:
            check("q", yours, ours, "look again.")
        first, second = caught.value._render_traceback_()
        assert first.startswith("WRONG  q") and words in first and second == "       Hint: look again."
    assert not capsys.readouterr().out


def test_a_session_tells_at_once_where_it_is_asked_to_and_remembers():
    before = {"r"}
    for told, name in ((True, "q"), (False, "r")):
        with open_session(Session(print, told=told, wrong=before)), pytest.raises(WrongAnswer, match="Ours is 3"):
            check(name, 4, 3)
    with (
        open_session(Session(print, wrong=before)),
        pytest.raises(WrongAnswer, match="with --show, or if this is wrong"),
    ):
        check("q", 4, 3)
    assert before == {"q", "r"}


def test_the_tolerance_is_relative_to_the_largest_number():
    for yours, tolerance, right in ((101, 0.011, True), (101, 0.009, False), (99.91, 1e-3, True), (99.8, 1e-3, False)):
        with contextlib.nullcontext() if right else pytest.raises(WrongAnswer):
            check("q", [0, yours], [0, 100], tolerance=tolerance)
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        check("q", 1, 1, tolerance=-1)


# ---------------------------------------------------------------- show


def test_a_picture_is_displayed_by_notebooks_and_written_by_runs(tmp_path):
    figure = plot_history({"loss": [2.0, 1.0]})
    assert show(figure, "loss")._repr_png_().startswith(b"\x89PNG") and not list(tmp_path.iterdir())
    said = []
    with open_session(Session(said.append, tmp_path)):
        show(figure, "loss")
        with pytest.raises(ValueError, match="two pictures of this run have the name 'loss'"):
            show(figure, "loss")
    assert said == [f"picture: {tmp_path / 'loss.png'}"]
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"letters, digits, - and _ only, not '\.\./loss'"):
        show(figure, "../loss")


# ---------------------------------------------------------------- what was passed


def test_passed_lessons_are_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("NBRNN_STATE_DIR", str(tmp_path / "new" / "folder"))
    assert state.passed_lessons() == set()
    for number in (3, 1, 3):
        state.remember(number)
    assert state.passed_lessons() == {1, 3}
    assert json.loads((tmp_path / "new" / "folder" / "tutorial.json").read_text()) == {"passed": [1, 3]}


def test_what_was_wrong_is_remembered_until_the_lesson_is_passed(monkeypatch, tmp_path):
    monkeypatch.setenv("NBRNN_STATE_DIR", str(tmp_path))
    assert state.wrong_before(2) == set()
    state.remember_wrong(2, {"h2", "h1"})
    state.remember_wrong(3, {"n"})
    assert (state.wrong_before(2), state.wrong_before(3), state.passed_lessons()) == ({"h1", "h2"}, {"n"}, set())
    state.remember(2)
    assert (state.wrong_before(2), state.wrong_before(3), state.passed_lessons()) == (set(), {"n"}, {2})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"passed": ["1"]}',
        '{"passed": 3}',
        "{}",
        '{"passed": [true]}',
        '{"passed": [], "wrong": []}',
        '{"passed": [], "wrong": {"2": [3]}}',
    ],
)
def test_a_file_that_is_not_ours_is_refused(text, monkeypatch, tmp_path):
    monkeypatch.setenv("NBRNN_STATE_DIR", str(tmp_path))
    (tmp_path / "tutorial.json").write_text(text)
    for ask in (state.passed_lessons, lambda: state.remember(1), lambda: state.remember_wrong(1, {"a"})):
        with pytest.raises(ValueError, match="does not hold the numbers of passed lessons; remove it"):
            ask()
    assert (tmp_path / "tutorial.json").read_text() == text


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {}, ".local/state/nbrnn/tutorial.json"),
        ("linux", {"XDG_STATE_HOME": "/x"}, "/x/nbrnn/tutorial.json"),
        ("darwin", {}, "Library/Application Support/nbrnn/tutorial.json"),
        ("win32", {}, "AppData/Local/nbrnn/tutorial.json"),
        ("win32", {"LOCALAPPDATA": "/y"}, "/y/nbrnn/tutorial.json"),
    ],
)
def test_the_file_stands_where_the_system_keeps_such_files(platform, variables, place, monkeypatch, tmp_path):
    for name in ("NBRNN_STATE_DIR", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(state.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert state.state_file() == tmp_path / place
