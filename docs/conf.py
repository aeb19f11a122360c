"""Sphinx settings of the site: pages, lessons and sources are read where they lie. Built by tools/site.py."""

import json
import os
import re
import sys
from pathlib import Path

import latex2mathml.converter
from docutils.nodes import SkipNode
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # the lessons'

import nbrnn  # noqa: E402
from nbrnn.tutorial.lessons import FILE, find_lessons, read_lesson  # noqa: E402
from nbrnn.tutorial.writing import notebook  # noqa: E402

project, author, copyright = "nbrnn", "the authors of nbrnn", "the authors of nbrnn"
version = release = nbrnn.__version__

LESSONS = {number: f"tutorials/{path.stem}" for number, path in find_lessons().items()}
FIRST = ["docs/index", "docs/which-lesson", "docs/explorer"]
INSIDE = ["docs/design", "docs/kernels", "docs/cuda", "docs/performance", "docs/studies", "docs/sources", "CHANGELOG"]
GUIDES = sorted(f"docs/{path.stem}" for path in ROOT.glob("docs/*.md") if f"docs/{path.stem}" not in {*FIRST, *INSIDE})
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("tutorials/*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/[!_]*/*.md")]
LINK = re.compile(r"\]\(([^)#\s]+\.py)\)")
LINKED = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text(encoding="utf-8"))}
SOURCES = sorted(
    str(path.relative_to(ROOT).with_suffix(""))
    for path in LINKED | set(ROOT.glob("nbrnn/kernels/[!_]*.py"))
    if not FILE.fullmatch(path.name)
)
HOWTO = [
    f"docs/howto/{name}"
    for name in ("own-csv", "own-cell", "own-gradient-check", "gpu", "benchmark", "sweep-on-a-cluster")
]
API = [
    f"docs/api/{name}"
    for name in (
        *("layers", "layers-beside", "losses", "training", "models", "data", "forecasting", "checking", "pictures"),
    )
]
CONTENTS = {  # the entries of a page's tables of contents, which stand in the sidebar and not on the page
    "docs/index": {
        "First": ["README", "docs/which-lesson", "docs/explorer"],
        "Lessons": ["tutorials/README", *LESSONS.values()],
        "How to": HOWTO,
        "Guides": GUIDES,
        "Reference": [*API, "nbrnn/datasets/DATA"],
        "Inside": INSIDE,
    },
    "docs/sources": {"Sources": SOURCES},
}
EXPLORERS = """
<p>The pages of <a href="../explorer/simple_rnn.html">the lessons' cell</a>, of
<a href="../explorer/lstm.html">an LSTM</a> and of <a href="../explorer/gru.html">a GRU</a>; the first stands here where
the window is wide enough.</p>
<iframe class="explorer" src="../explorer/simple_rnn.html" title="The explorer with the lessons' cell"></iframe>
"""

root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/*/*.md", "tutorials/README.md", "nbrnn/datasets/DATA.md"]
include_patterns += [f"{name}.py" for name in [*LESSONS.values(), *SOURCES]]
exclude_patterns = [".*", "**/.*", "docs/_build", "build", "dist", "nbrnn-out", "node_modules"]
source_suffix = {".md": "myst-nb", ".py": "myst-nb"}
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_dmath_allow_digits = False
myst_dmath_allow_space = False
myst_heading_anchors = 3
nb_custom_formats = {".py": ["nbformat.reads", {"as_version": 4}]}  # `as_notebook` has made a notebook of it
nb_execution_in_temp = True
nb_execution_mode = "force"  # what was kept could be older than the package
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

default_role = "py:obj"
smartquotes_action = "D"  # dashes; quotation marks are often those of code
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "nbrnn"
html_extra_path = ["_build/extra"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # a summary is fetched, which browsers refuse to pages that are files
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "tango", "monokai"
html_static_path = ["_static"]
html_css_files = ["site.css"]


def as_notebook(app: Sphinx, page: str, text: list[str]) -> None:
    """Turn a lesson or a source into a notebook, and add to other pages what stands on the site only."""
    if page in LESSONS.values():
        text[0] = lesson_page(ROOT / f"{page}.py")
    elif page in SOURCES:
        text[0] = source_page(f"{page}.py", text[0])
    elif page == "README":
        text[0] = text[0].replace("# nbrnn", "# First steps with nbrnn", 1)  # the front page has the name
    elif page == "docs/explorer":
        title, rest = text[0].split("\n", 1)
        text[0] = f"{title}\n\n{EXPLORERS}\n{rest}"
    elif page == "docs/which-lesson":
        text[0] = re.sub(r"\blesson (\d+)", lesson_link, text[0])
    elif page == "docs/api/pictures":
        drawn = [f".. autofunction:: nbrnn.{name}" for name, home in nbrnn._HOME.items() if home.startswith("plots.")]
        text[0] += "\n".join(["\n```{eval-rst}", *drawn, "```\n"])
    for caption, entries in CONTENTS.get(page, {}).items():
        listed = "\n".join(f"/{entry}" for entry in entries)
        text[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def lesson_link(found: re.Match[str]) -> str:
    """Return a lesson's link, or its number where there is no such lesson yet."""
    page = LESSONS.get(int(found[1]))
    return f"[{found[0]}](../{page}.py)" if page else found[0]


def lesson_page(path: Path) -> str:
    """Return a lesson as a notebook with QUICK set, and with the notebook for the reader beside its title."""
    lesson = read_lesson(path)
    made = notebook(lesson)
    command = f"nbrnn tutorial run {lesson.number} --step"
    note = (
        f":::{{note}}\nThe numbers and pictures on this page were computed when it was built, with `QUICK = True`. "
        f"Work on the lesson in {{download}}`its notebook </docs/_build/notebooks/{path.stem}.ipynb>` or with "
        f"`{command}`. Exercises stand open here; their solutions are in `{path.name}` and shown by "
        f"`nbrnn tutorial run {lesson.number} --solutions`.\n:::\n"
    )
    title, *rest = made["cells"][0]["source"]
    made["cells"][0]["source"] = [title, "\n", *note.splitlines(keepends=True), "\n", *rest]
    for cell in made["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["source"] = source = re.sub(r"^QUICK = False\b", "QUICK = True", source, flags=re.M)
        if "check" in cell["metadata"].get("tags", ()):
            cell["metadata"]["tags"].append("remove-output")  # of exercises that nobody has answered
        picture = re.search(r"""\bshow\(.*["']([\w-]+)["'],?\s*\)""", source, re.S)
        if picture:
            cell["metadata"]["mystnb"] = {"image": {"alt": "picture: " + picture[1].replace("-", " ")}}
    return json.dumps(made)


def source_page(name: str, text: str) -> str:
    """Return a module as a notebook of one text cell, which is a page that shows its code."""
    cell = {
        "cell_type": "markdown",
        "id": "source",
        "metadata": {},
        "source": f"# `{name}`\n\n````python\n{text}````\n",
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def plain_text(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep signs of formulas in docstrings, such as |e|, h_(t-1) and a * b, from being read as markup."""
    example = False
    for k, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"\\|\||\*|_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[k] = "".join(parts)


def visit_math(writer, node) -> None:
    """Write a formula in a line."""
    writer.body.append(latex2mathml.converter.convert(node.astext()))
    raise SkipNode


def visit_math_block(writer, node) -> None:
    """Write a formula on a line of its own; it scrolls where the page is narrow."""
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    writer.body.append(f'<div class="formula" tabindex="0" role="group" aria-label="formula">{formula}</div>')
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Hand Sphinx what this file defines."""
    app.connect("source-read", as_notebook)
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
