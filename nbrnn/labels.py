"""Dates as people write them: how a column of labels is read, and how more labels are written in the same form.

A template such as "{d}.{m}.{Y} {H}:{I}" holds fields (the letters of FIELDS) and what stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 8192  # labels that are taken apart at a time
PIVOT = 30  # two-digit years from here on are 19.., those below are 20..: what spreadsheets do
NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
MONTHS = {name[:k].lower(): month for month, name in enumerate(NAMES, 1) for k in (3, len(name))} | {"sept": 9}
FIELDS = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "n": r"\d{2}",  # month and day that nothing separates from the year
    "e": r"\d{2}",
    "u": r"\d{10}",  # seconds since 1970
    "v": r"\d{13}",  # milliseconds
    "d": r"\d{1,2}",
    "b": "|".join(sorted(MONTHS, key=len, reverse=True)),
    "q": r"[1-4]",
    "w": r"\d{1,2}",
    "H": r"\d{1,2}",
    "I": r"\d{2}",
    "S": r"\d{2}",
    "f": r"[.,]\d{1,6}|",  # of a second, with its point
    "p": r"[ap]\.?m\.?",
    "z": r"Z|UTC|GMT|[-+]\d{2}:?\d{2}|[-+]\d{2}",
}
COUNTED, NARROW = frozenset("YymneduvqwHIS"), frozenset("mdwH")  # numbers; those that may be written 1 or 01
BETWEEN = {"-": r"[-/. ] ?", "~": r"[-/., ]*"}  # numbers; a name and a number
SHAPES = (
    "Y", "Yn", "Yne", "Y-m", "Y-m-d", "m-Y", "Y~Qq", "Qq~Y", "Y~Ww", "Y~Mm", "b~Y", "b~y", "Y~b", "d~b~Y", "d~b~y",
    "b~d~Y", "b~d-y", "Y~b~d", "d-m-Y", "m-d-Y", "d-m-y", "m-d-y", "u", "v",
)  # fmt: skip
CLOCKS = (
    r"(?P<day>.*?)(?P<join>[T ,]*)(?P<H>\d{1,2})(?P<colon>:)\d{2}(?P<S>:\d{2}([.,]\d{1,6})?)?"
    r"((?P<half> ?)(?P<p>[apAP]\.?[mM]\.?))?((?P<zone> ?)(?P<z>Z|UTC|GMT|[-+]\d{2}(:?\d{2})?))?",
    r"(?P<day>\d{8})(?P<join>T)(?P<H>\d{2})(?P<colon>)\d{2}(?P<S>\d{2})?(?P<half>)(?P<p>)(?P<zone>)(?P<z>Z)?",
)
SECOND, DAY = 1_000_000, 86_400_000_000  # in microseconds

Times = NDArray[np.datetime64]
Fields = dict[str, Any]  # of a field, the column: int64 of those counted, else texts
Apart = tuple[Fields, set[str], int]


@dataclass(frozen=True)
class Form:
    """How the labels of one column are written.

    Attributes
    ----------
    template : str
    short : frozenset of str
        The fields that are written 1, not 01.
    names : tuple of str
        The twelve months, if they are named.
    fraction : str
        The longest fraction of a second, with its point.
    half, zone : str
        AM or pm, and the time zone, as they stood last.
    offset : int
        Minutes of the zone's clock ahead of the times, where the zone changes within the column; else 0.
    """

    template: str
    short: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    fraction: str = ""
    half: str = ""
    zone: str = ""
    offset: int = 0

    def write(self, time: np.datetime64) -> str:
        """Return a time as a label."""
        time = time + np.timedelta64(self.offset, "m")
        day = time.astype("M8[D]")
        if "{w}" in self.template:
            day += 3 - weekdays(day)  # a week belongs to the year of its Thursday
        year, month = day.astype("M8[Y]"), day.astype("M8[M]")
        y, m, d = int(year.astype(int)) + 1970, int((month - year).astype(int)) + 1, int((day - month).astype(int)) + 1
        micros = int((time - time.astype("M8[D]")).astype("m8[us]").astype(np.int64))
        hour, rest = divmod(micros, 3600 * SECOND)
        two = {"m": m, "d": d, "w": int((day - year).astype(int)) // 7 + 1, "H": hour}
        if self.half:
            two["H"] = (hour + 11) % 12 + 1
        fields = {name: f"{value:0{1 if name in self.short else 2}d}" for name, value in two.items()}
        fields |= {"Y": f"{y:04d}", "y": f"{y % 100:02d}", "n": f"{m:02d}", "e": f"{d:02d}", "q": str((m + 2) // 3)}
        since = int(time.astype("M8[us]").astype(np.int64))
        fields |= {"u": f"{since // SECOND:010d}", "v": f"{since // 1000:013d}"}
        fields |= {"b": self.names[m - 1] if self.names else "", "z": self.zone}
        fields |= {"I": f"{rest // (60 * SECOND):02d}", "S": f"{rest // SECOND % 60:02d}"}
        fields["f"] = (self.fraction[:1] + f"{rest % SECOND:06d}")[: len(self.fraction)]
        if self.half:
            letter = "p" if hour >= 12 else "a"
            fields["p"] = (letter.upper() if self.half[0].isupper() else letter) + self.half[1:]
        return self.template.format(**fields)


def weekdays(days: Any) -> Any:
    """Return the day of the week of datetime64[D], 0 for Monday."""
    return (days.astype("M8[D]").astype(np.int64) + 3) % 7


def last_days(months: Any) -> Any:
    """Return how many days months, datetime64[M], have."""
    return ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)


def read(labels: Sequence[str]) -> tuple[list[tuple[Form, Times]], int]:
    """Return every form that fits all labels, with the times that they are then.

    Beside it, the first row that no form fits; -1 if one does.
    """
    found: list[tuple[Form, Times]] = []
    furthest = 0
    for template in _templates(labels[0].strip()):
        form, times, row = _parse(template, labels)
        if row < 0:
            found.append((form, times))
        furthest = max(furthest, row)
    return found, -1 if found else furthest


def _templates(first: str) -> Iterator[str]:
    """Yield the templates that a label can be written by."""
    yield from (template for shape in SHAPES for template in _day_template(shape, first))
    for clock in CLOCKS:
        found = re.fullmatch(clock, first, re.ASCII)
        if found is None or bool(found["day"]) != bool(found["join"]):
            continue
        tail = found["join"] + "{H}" + found["colon"] + "{I}"
        tail += (found["colon"] + "{S}{f}") if found["S"] else ""
        tail += (found["half"] + "{p}") if found["p"] else ""
        tail += (found["zone"] + "{z}") if found["z"] else ""
        if not found["day"]:
            yield tail
        yield from (template + tail for shape in SHAPES for template in _day_template(shape, found["day"]))


def _day_template(shape: str, day: str) -> list[str]:
    """Return the template by which a shape makes a day's text; nothing if it does not."""
    pattern = "".join(f"({FIELDS.get(part) or BETWEEN.get(part, part)})" for part in shape)
    found = re.fullmatch(pattern, day, re.IGNORECASE | re.ASCII)
    if found is None:
        return []
    return ["".join(f"{{{p}}}" if p in FIELDS else text for p, text in zip(shape, found.groups(), strict=True))]


def _parse(template: str, labels: Sequence[str]) -> tuple[Form, Times, int]:
    """Return form and times of a column written by a template, and the first row that is not, or else -1."""
    pieces = re.split(r"\{(\w)\}", template)
    fields = pieces[1::2]
    pieces[1::2] = [f"({FIELDS[field]})" for field in fields]
    pieces[::2] = map(re.escape, pieces[::2])
    pattern = re.compile("".join(pieces), re.IGNORECASE | re.ASCII)
    clocks, offsets = np.empty(len(labels), np.int64), np.zeros(len(labels), np.int64)
    short: set[str] = set()
    seen: dict[int, str] = {}
    last: dict[str, str] = {}
    fraction = ""
    for start in range(0, len(labels), CHUNK):
        texts = [label.strip() for label in labels[start : start + CHUNK]]
        columns, narrow, wrong = _fixed_columns(pattern, fields, texts) or _columns(pattern, fields, texts)
        if wrong < 0:
            chunk = slice(start, start + len(texts))
            clocks[chunk], offsets[chunk], valid = _times(columns, len(texts))
            wrong = -1 if valid.all() else int(valid.argmin())
        if wrong >= 0:
            return Form(template), clocks.view("M8[us]"), start + wrong
        short |= narrow
        seen |= {MONTHS[name.lower()]: name for name in columns.get("b", ())}
        fraction = max([fraction, *columns.get("f", ())], key=len)
        last = {field: columns[field][-1] for field in fields if field in "pz"}
    if short & set("md"):
        short |= set("md")
    shifting = bool((offsets != offsets[0]).any())
    times = (clocks - 60 * SECOND * offsets * shifting).view("M8[us]")
    if fields[0] == "H":  # the time of day alone: where it falls back, the next day begins
        times = times + np.concatenate([[0], np.cumsum(np.diff(times) < np.timedelta64(0))]) * np.timedelta64(1, "D")
    half, zone, offset = last.get("p", ""), last.get("z", ""), int(offsets[-1]) if shifting else 0
    return Form(template, frozenset(short), _names(seen), fraction, half, zone, offset), times, -1


def _columns(pattern: re.Pattern[str], fields: Sequence[str], texts: list[str]) -> Apart:
    """Return each field's column, which fields may be narrow, and the first text that does not match, or -1."""
    matches = [pattern.fullmatch(text) for text in texts]
    if None in matches:
        return {}, set(), matches.index(None)
    columns: Fields = dict(zip(fields, zip(*(m.groups() for m in matches if m), strict=True), strict=True))
    short = {field for field in fields if field in NARROW and min(map(len, columns[field])) == 1}
    return {f: np.array(list(map(int, c))) if f in COUNTED else c for f, c in columns.items()}, short, -1


def _fixed_columns(pattern: re.Pattern[str], fields: Sequence[str], texts: list[str]) -> Apart | None:
    """Return the same, some ten times as fast, if all numbers stand where they stand in the first text, else None."""
    first, width = pattern.fullmatch(texts[0]), len(texts[0])
    codes = np.array(texts)
    if first is None or codes.dtype.itemsize != 4 * width:
        return None
    codes = codes.view(np.uint32).reshape(-1, width).astype(np.int64)
    spans = {field: first.span(k) for k, field in enumerate(fields, start=1)}
    digits = np.zeros(width, bool)
    for field in COUNTED.intersection(fields):
        digits[slice(*spans[field])] = True
    numbers = codes - ord("0")
    same = (codes[:, ~digits] == codes[0, ~digits]).all()
    if not same or ((numbers[:, digits] < 0) | (numbers[:, digits] > 9)).any():
        return None
    columns: Fields = {}
    for k, field in enumerate(fields, start=1):
        a, b = spans[field]
        columns[field] = (
            numbers[:, a:b] @ 10 ** np.arange(b - a)[::-1] if field in COUNTED else (first[k],) * len(texts)
        )
    return columns, {field for field in NARROW.intersection(fields) if spans[field][1] - spans[field][0] == 1}, -1


def _times(columns: Fields, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return microseconds since 1970, minutes ahead of UTC, and which rows are times at all."""

    def numbers(names: str, default: int) -> NDArray[np.int64]:
        return next((columns[name] for name in names if name in columns), np.full(count, default))

    years, months, days = numbers("Yy", 1970), numbers("mn", 1), numbers("de", 1)
    if "y" in columns:
        years = years + np.where(years < PIVOT, 2000, 1900)
    if "b" in columns:
        months = np.array([MONTHS[name.lower()] for name in columns["b"]])
    if "q" in columns:
        months = 3 * numbers("q", 1) - 2
    valid = (months >= 1) & (months <= 12) & (days >= 1)  # so the quarters are 1 to 4
    first = ((years - 1970) * 12 + months - 1).astype("M8[M]")
    valid &= days <= last_days(first)
    date = first.astype("M8[D]") + (days - 1)
    if "w" in columns:
        fourth = date + 3  # of January: it lies in the year's first week
        date = fourth - weekdays(fourth) + 7 * (numbers("w", 1) - 1)
        valid &= ((date + 3).astype("M8[Y]") == fourth.astype("M8[Y]")) & (numbers("w", 1) >= 1)
    hours, minutes, seconds = numbers("H", 0), numbers("I", 0), numbers("S", 0)
    if "p" in columns:
        valid &= (hours >= 1) & (hours <= 12)
        hours = hours % 12 + 12 * np.array([half[0] in "pP" for half in columns["p"]])
    micros = np.array([int(text[1:].ljust(6, "0") or 0) for text in columns["f"]]) if "f" in columns else 0
    within = ((hours * 60 + minutes) * 60 + seconds) * SECOND + micros
    valid &= (minutes < 60) & (seconds < 60) & (within <= DAY)  # 24:00 is the end of a day
    within = within + numbers("u", 0) * SECOND + numbers("v", 0) * 1000
    return date.astype(np.int64) * DAY + within, _offsets(columns.get("z"), count), valid


def _offsets(zones: tuple[str, ...] | None, count: int) -> NDArray[np.int64]:
    minutes = dict.fromkeys(zones or (), 0)
    for zone in minutes:
        if zone[0] in "+-":
            hours, rest = int(zone[1:3]), int(zone[3:].strip(":") or 0)
            minutes[zone] = (60 * hours + rest) * (-1 if zone[0] == "-" else 1)
    return np.array([minutes[zone] for zone in zones]) if zones else np.zeros(count, np.int64)


def _names(seen: dict[int, str]) -> tuple[str, ...]:
    """Return the twelve months as a column writes them; those that it does not hold as the others."""
    if not seen:
        return ()
    some = next(iter(seen.values()))
    full = any(len(name) > 3 and name.lower() != "sept" for name in seen.values())
    style = str.upper if some.isupper() else str.lower if some.islower() else str.title
    return tuple(seen.get(month, style(name if full else name[:3])) for month, name in enumerate(NAMES, 1))
