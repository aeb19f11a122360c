"""The site: what its pages list, what is built, where links lead, and a walk through it with the keyboard alone.

The tests that need a built site take the folder in NBRNN_SITE, or build one where Sphinx is installed.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from browsing import ENTER, TAB

import nbrnn
from nbrnn.tutorial.lessons import find_lessons, load_lesson

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LESSONS = find_lessons()
NEEDED = ("sphinx", "myst_nb", "furo", "ipykernel", "latex2mathml")
SHIFT = "\ue008"
APART = {"index.html", "docs/genindex.html", "genindex.html", "search.html", "py-modindex.html"}  # no page's next one
FOCUS = """
    const node = document.activeElement;
    return [node.tagName === "BODY" ? "" : node.className + "", node.href || ""]
"""
SEEN = """(() => {
    const box = document.activeElement.getBoundingClientRect();
    return box.width > 0 && box.left >= 0 && box.right <= innerWidth;
})()"""  # once a drawer has slid in
BEHIND = """
    const next = document.querySelector('.next-page');
    return [...document.querySelectorAll('a[href], button, input')].filter((node) => node.checkVisibility()
        && next.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING).length
"""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
needs_the_site = pytest.mark.browser


class Page(HTMLParser):
    """What a page links to, loads and names, and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.tags, self.text = [], [], set(), Counter(), []
        self.classes = Counter()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags[tag] += 1
        self.classes.update((found.get("class") or "").split())
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("canonical",) and found.get("href"):
            self.loads.append(found["href"])
        if found.get("src"):
            self.loads.append(found["src"])

    def handle_data(self, data):
        self.text.append(data)


def words(text):
    """Return a text without its blanks, for highlighting and wrapping cut it."""
    return re.sub(r"\s+", "", text)


# ---------------------------------------------------------------- the pages' sources


def test_every_public_name_stands_on_one_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api/*.md"))
    listed = Counter(re.findall(r"^\.\. auto(?:class|function|exception):: nbrnn\.(\w+)$", text, re.M))
    plots = {name for name, home in nbrnn._HOME.items() if home.startswith("plots.")}  # which conf.py lists
    assert set(nbrnn.__all__) - plots - set(listed) == set(), "a page of docs/api has to list these"
    assert set(listed) == set(nbrnn.__all__) - plots and max(listed.values()) == 1


def test_every_how_to_page_is_named_on_the_front_page():
    front = (DOCS / "index.md").read_text(encoding="utf-8")
    assert {f"howto/{page.name}" for page in DOCS.glob("howto/*.md")} == set(re.findall(r"\((howto/[^)]+)\)", front))


def test_every_lesson_answers_a_question():
    text = (DOCS / "which-lesson.md").read_text(encoding="utf-8")
    assert set(LESSONS) <= set(map(int, re.findall(r"\blesson (\d+)", text)))


# ---------------------------------------------------------------- what is built


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if os.environ.get("NBRNN_SITE"):
        return Path(os.environ["NBRNN_SITE"]).resolve()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "site.py", folder], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Return all pages by their path, read."""
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def local(path, address):
    """Return the file that a page's address means and the part of it, or None where it is outside."""
    address, part = urldefrag(address)
    if urlparse(address).scheme:
        return None
    return (path.parent / unquote(address.split("?")[0])).resolve() if address else path, unquote(part)


@needs_the_site
def test_no_link_is_dead(pages):
    dead = []
    for path, page in pages.items():
        for address in page.links:
            target = local(path, address)
            if target and not (target[0].is_file() and (not target[1] or target[1] in pages[target[0]].ids)):
                dead.append((path.name, address))
    assert not dead and sum(len(page.links) for page in pages.values()) > 1000


@needs_the_site
def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        for address in page.loads:
            target = local(path, address)
            assert address.startswith("data:") or (target and target[0].is_file()), (path.name, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?!data:)\w+:|@import", style.read_text(encoding="utf-8")), style


@needs_the_site
@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_shows_what_it_computes_and_no_solution(site, pages, number):
    lesson = load_lesson(number)
    page = pages[site / "tutorials" / f"{lesson.path.stem}.html"]
    text = words("".join(page.text))
    assert page.classes["cell_output"] > 3 and "Traceback" not in text
    pictures = sum(cell.source.count("show(") for cell in lesson.cells if cell.kind == "code" and not cell.tag)
    assert page.tags["img"] >= pictures > 0, "a picture is shown where show(...) ends its cell"
    assert "QUICK=True" in text and "QUICK=False" not in text
    for cell in lesson.cells:
        if cell.kind == "code" and cell.tag != "solution" and cell is not lesson.setup:
            assert words(cell.source) in text
    for cell in lesson.tagged("solution"):
        assert words(cell.source) not in text
    assert any(link.endswith(f"{lesson.path.stem}.ipynb") for link in page.links)
    asked = pages[site / "docs" / "which-lesson.html"].links
    assert any(link.endswith(f"{lesson.path.stem}.html") for link in asked)


@needs_the_site
def test_equations_are_drawn(site, pages):
    page = pages[site / "docs" / "api" / "layers.html"]
    assert page.tags["math"] > 20 and page.classes["formula"] > 20
    for path, page in pages.items():
        assert not re.search(r"\\(?:odot|delta|qquad|operatorname|arg\w*)\b", "".join(page.text)), path


@needs_the_site
def test_every_equation_of_the_reference_fits_a_phone(site, shared):
    wide = "return [...document.querySelectorAll('.formula')].filter((n) => n.scrollWidth > n.clientWidth + 1).length"
    shared.size(375)
    for path in sorted((site / "docs" / "api").glob("*.html")):
        shared.open(path)
        assert shared.run(wide) == 0, path.name


@needs_the_site
def test_signatures_and_docstrings_come_whole(site, pages):
    page = pages[site / "docs" / "api" / "layers.html"]
    text = words("".join(page.text))
    ids = set().union(*(page.ids for page in pages.values()))
    assert {f"nbrnn.{name}" for name in (*nbrnn.__all__, "cells.affine", "testing.models", "Model.fit")} <= ids
    assert words("c_t = f c_(t-1) + i n, h_t = o act(c_t)") in text
    for path, page in pages.items():
        assert not page.classes["system-message"] and not page.classes["problematic"], path


# ---------------------------------------------------------------- a walk


@pytest.fixture
def walker(shared, site):
    """Return a browser at the front page, and what it is asked at each page that it comes to."""
    seen = []

    def arrive():
        shared.quiet()
        address = urldefrag(shared.driver.current_url)[0]
        assert shared.run(OVERFLOW) <= 0, address
        asked = [url for url in shared.requests() if not url.startswith("data:")]
        assert all(url.startswith(site.as_uri()) for url in asked), asked
        seen.append(str(Path(unquote(urlparse(address).path)).relative_to(site)))

    shared.colours("light")
    shared.driver.get_log("performance")
    shared.driver.get("about:blank")
    return shared, arrive, seen


def back(browser, times=1):
    """Press Shift and Tab."""
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser.driver).key_down(SHIFT).send_keys(TAB * times).key_up(SHIFT).perform()


def focus(browser, wanted, press, most=200):
    """Press keys until what `wanted` accepts (class, address) has the focus; it must be seen."""
    for _ in range(most):
        press()
        if wanted(*browser.run(FOCUS)):
            return browser.wait(SEEN)
    return False


@needs_the_site
@pytest.mark.parametrize("width", [375, 1280])
def test_the_keyboard_walks_through_all_pages(walker, site, pages, width):
    browser, arrive, seen = walker
    browser.size(width)
    browser.driver.get((site / "docs" / "index.html").as_uri())
    arrive()
    while pages[site / seen[-1]].classes["next-page"]:
        before = browser.driver.current_url
        back(browser, max(1, browser.run(BEHIND) - 3))  # most of the way at once
        assert focus(browser, lambda kind, address: "next-page" in kind, partial(back, browser)), seen[-1]
        browser.keys(ENTER)
        browser.wait(f"location.href !== {before!r} && document.readyState === 'complete'")
        arrive()
    every = {str(path.relative_to(site)) for path in pages} - APART
    assert set(seen) == {page for page in every if not page.startswith("explorer/")} and len(seen) == len(set(seen))


@needs_the_site
@pytest.mark.parametrize("width", [375, 1280])
def test_the_keyboard_reaches_a_lesson_by_the_sidebar_and_the_explorer_by_its_page(walker, site, width):
    browser, arrive, seen = walker
    browser.size(width)
    tab = partial(browser.keys, TAB)
    browser.driver.get((site / "docs" / "index.html").as_uri())
    for name in (f"{LESSONS[2].stem}.html", "docs/explorer.html", "explorer/lstm.html"):
        before = browser.driver.current_url
        assert focus(browser, lambda kind, address, name=name: address.endswith(name), tab), name
        browser.keys(ENTER)
        browser.wait(f"location.href !== {before!r} && document.readyState === 'complete'")
        arrive()
    assert seen[-1] == "explorer/lstm.html" and browser.text("#where").startswith("step 1 of 4")


@needs_the_site
def test_the_search_finds_a_name_without_a_network(walker, site):
    browser, arrive, _ = walker
    browser.driver.get((site / "docs" / "index.html").as_uri())
    assert focus(browser, lambda kind, address: "sidebar-search" in kind, partial(browser.keys, TAB))
    browser.keys(*"minGRU", ENTER)
    browser.wait("document.querySelectorAll('#search-results li a').length > 0")
    arrive()
    assert "custom-cells.html" in browser.run("return document.querySelector('#search-results li a').href")
