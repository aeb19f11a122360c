"""Text cells for a terminal: paragraphs and lists wrapped, headings underlined, blocks and tables as they stand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

from ..catalogue import WIDTH

CODE = re.compile(r"`[^`]+`")
ITEM = re.compile(r"(\s*)([-*]|\d+\.) ")
PART = re.compile(
    r"^```[^\n]*\n(?P<block>.*?)\n```$"
    r"|^#+ (?P<heading>[^\n]+)"
    r"|^(?P<table>\|[^\n]*(?:\n\|[^\n]*)*)"
    r"|^(?P<text>[^\n]+(?:\n(?!```|#|\|)[^\n]+)*)",
    re.S | re.M,
)


def render(text: str, width: int = WIDTH) -> str:
    """Return Markdown as plain lines of at most `width` columns, but for blocks, tables and long words."""
    done = []
    for part in PART.finditer(text):
        kind, content = part.lastgroup, part[part.lastgroup or 0]
        if kind == "block":
            done.append(textwrap.indent(content, "    "))
        elif kind == "heading":
            done.append(f"{plain(content)}\n{('=' if part[0].startswith('# ') else '-') * len(plain(content))}")
        else:
            done.append(content if kind == "table" else _wrapped(content.splitlines(), width))
    return "\n\n".join(done)


def wrap(text: str, width: int) -> str:
    """Return Markdown with its paragraphs and lists filled to `width` columns; the rest stands as it is."""

    def filled(part: re.Match[str]) -> str:
        return _wrapped(part[0].splitlines(), width, str) if part.lastgroup == "text" else part[0]

    return PART.sub(filled, text)


def plain(text: str) -> str:
    """Return a line without Markdown's signs for bold and emphasis, its links as 'text (address)'; code stays."""
    codes = iter(CODE.findall(text))
    text = CODE.sub("\0", text)  # what stands in code is no sign
    text = re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"\1 (\2)", text)
    for sign in (r"\*\*", r"\*"):  # a power, 2**3 or k ** 50, has a word or a space at its inner side
        text = re.sub(rf"(?<![\w*]){sign}(?!\*)(\S|\S.*?\S){sign}(?![\w*])", r"\1", text)
    return re.sub("\0", lambda _: next(codes), text)


def _wrapped(lines: list[str], width: int, shown: Callable[[str], str] = plain) -> str:
    """Fill a paragraph, or a list item by item, as `shown` makes it."""
    items: list[str] = []
    for line in lines:
        if ITEM.match(line) or not items:
            items.append(line.rstrip())
        else:
            items[-1] += " " + line.strip()
    filled = []
    for item in items:
        match = ITEM.match(item)
        indent = " " * len(match[0]) if match else ""
        options = {"break_long_words": False, "break_on_hyphens": False}
        filled.append(textwrap.fill(shown(item), width, subsequent_indent=indent, **options))  # type: ignore[arg-type]
    return "\n".join(filled)
