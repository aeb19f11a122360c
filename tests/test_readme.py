"""README.md and docs: their commands and their Python run, their output is real, their links lead somewhere."""

import contextlib
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.exceptions import Exit, MissingParameter

from nbrnn.cli import main
from nbrnn.targets import cpu

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted(page for part in ("*", "howto/*", "api/*") for page in (ROOT / "docs").glob(f"{part}.md"))]
FIRST = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/nbrnn train sunspots"
SECOND = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest -n 2"
ACTIVATE = ["source", ".venv/bin/activate"]
needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.S | re.M)


def commands(page):
    """Return the commands of a page's shell blocks, each as a list of words without assignments before it."""
    found = []
    for block in blocks(page, "(?:sh|bash|console)"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split(" && "):
                words = shlex.split(part, comments=True)
                while words and re.match(r"\w+=", words[0]):
                    words = words[1:]
                if words:
                    found.append(words)
    return found


def program(words):
    return Path(words[0]).name


IN_ORDER = {"forecasting.md"}  # each command needs what the one before it wrote: tests/test_forecasting_page.py
ELSEWHERE = {"testing.md"}  # its Python runs where its output is compared: tests/test_testing.py
MODULES = {"custom-cells.md": "mingru"}  # what its Python is called, so that other tests' machine code of it fits
APART = [page for page in PAGES if page.name not in IN_ORDER]
OURS = sorted({tuple(words[1:]) for page in APART for words in commands(page) if program(words) == "nbrnn"})


@pytest.fixture
def run(environment, tmp_path):
    """Return what runs this Python in an empty folder and gives back what it prints."""

    def start(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment(COLUMNS=80, PYTHONIOENCODING="utf-8"),
            check=False,
            capture_output=True,
            encoding="utf-8",
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return start


def test_the_two_commands_stand_there_word_for_word():
    lines = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert lines[0] == FIRST and SECOND in lines


def test_the_installed_command_is_the_one_that_is_tested():
    with open(ROOT / "pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["scripts"] == {"nbrnn": "nbrnn.cli:main"}
    for entry in importlib.metadata.entry_points(group="console_scripts", name="nbrnn"):
        assert entry.load() is main


@needs_jit
@pytest.mark.parametrize("arguments", [a for a in OURS if a != ("train", "sunspots")], ids=" ".join)
def test_a_command_runs(run, arguments):
    quick = ("--epochs", "4") if arguments[0] == "sweep" else ()
    assert run("-m", "nbrnn.cli", *arguments, *quick)


@needs_jit
def test_the_first_command_prints_what_is_shown(run):
    shown = next(block for block in blocks(README, "text") if block.startswith("sunspots:")).splitlines()
    printed = [line.rstrip() for line in run("-m", "nbrnn.cli", "train", "sunspots").splitlines()]
    assert printed[-5:] == shown[-5:]
    numbers = []
    for lines in (shown, printed):
        numbers.append([float(word) for word in next(t for t in lines if t.startswith("network")).split()[1:]])
        del lines[next(k for k, t in enumerate(lines) if t.startswith("On the validation rows")) :]
        # Said once a machine; seconds; what the last bits of a processor may change.
        lines[:] = [line for line in lines if not line.startswith(("compiling", "epoch", "network"))]
    assert printed == shown
    assert numbers[1] == pytest.approx(numbers[0], rel=0.1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_commands_name_scripts_that_exist(page):
    for words in commands(page):
        assert program(words) in ("nbrnn", "python", "python3", "pip", "pytest") or words == ACTIVATE, words
        scripts = [word for word in words[1:] if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_the_text_have_options_that_exist(page):
    for inline in re.findall(r"`(nbrnn [^`\n]*)`", text_of(page)):
        _, *words = shlex.split(inline)
        with contextlib.suppress(Exit, MissingParameter):  # of --help, and of a command that is only named
            main.make_context("nbrnn", words[:1])
            command = main.commands[words[0]]
            if words[1:]:  # the name alone speaks of the command and is not typed
                command.make_context(words[0], words[1:])


@needs_jit
@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and p.name not in ELSEWHERE], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs_from_top_to_bottom(run, page, tmp_path):
    (tmp_path / "page.py").write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    name = MODULES.get(page.name, "__main__")
    printed = run("-c", f"import runpy; runpy.run_path('page.py', run_name='{name}')")
    if page == README:
        shown = next(block for block in blocks(README, "text") if block.startswith("backpropagation"))
        assert [line.split()[:2] for line in shown.splitlines()] == [
            line.split()[:2] for line in printed[printed.index("backpropagation") :].splitlines()
        ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", text_of(page)):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_page_on_traces_shows_what_is_printed_and_packaged(run):
    page = ROOT / "docs" / "tracing.md"
    printed = run("-m", "nbrnn.cli", "trace").splitlines()
    for block in blocks(page, "text"):
        lines = block.splitlines()
        first = printed.index(lines[0])
        assert printed[first : first + len(lines)] == lines
    (shown,) = blocks(page, "json")
    assert json.loads(shown) == json.loads((ROOT / "nbrnn" / "tracing" / "mlm.json").read_text(encoding="utf-8"))
