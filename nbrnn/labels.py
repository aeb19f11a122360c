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
BETWEEN = {"-": r"[-/. ] ?", "~": r"[-/., ]*"}  # numbers; a name and a number
SHAPES = (
    "Y", "Yn", "Yne", "Y-m", "Y-m-d", "m-Y", "Y~Qq", "Qq~Y", "Y~Ww", "Y~Mm", "b~Y", "b~y", "Y~b", "d~b~Y", "d~b~y",
    "b~d~Y", "b~d-y", "Y~b~d", "d-m-Y", "m-d-Y", "d-m-y", "m-d-y",
)  # fmt: skip
CLOCKS = (
    r"(?P<day>.*?)(?P<join>[T ,]*)(?P<H>\d{1,2})(?P<colon>:)\d{2}(?P<S>:\d{2}([.,]\d{1,6})?)?"
    r"((?P<half> ?)(?P<p>[apAP]\.?[mM]\.?))?((?P<zone> ?)(?P<z>Z|UTC|GMT|[-+]\d{2}(:?\d{2})?))?",
    r"(?P<day>\d{8})(?P<join>T)(?P<H>\d{2})(?P<colon>)\d{2}(?P<S>\d{2})?(?P<half>)(?P<p>)(?P<zone>)(?P<z>Z)?",
)
SECOND, DAY = 1_000_000, 86_400_000_000  # in microseconds

Times = NDArray[np.datetime64]
Fields = dict[str, tuple[str, ...]]


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
        matches = [pattern.fullmatch(label.strip()) for label in labels[start : start + CHUNK]]
        if None in matches:
            return Form(template), clocks.view("M8[us]"), start + matches.index(None)
        texts: Fields = dict(zip(fields, zip(*(m.groups() for m in matches if m), strict=True), strict=True))
        chunk = slice(start, start + len(matches))
        clocks[chunk], offsets[chunk], valid = _times(texts)
        if not valid.all():
            return Form(template), clocks.view("M8[us]"), start + int(valid.argmin())
        short |= {field for field in texts if field in "mdwH" and min(map(len, texts[field])) == 1}
        seen |= {MONTHS[name.lower()]: name for name in texts.get("b", ())}
        fraction = max([fraction, *texts.get("f", ())], key=len)
        last = {field: column[-1] for field, column in texts.items()}
    if short & set("md"):
        short |= set("md")
    shifting = bool((offsets != offsets[0]).any())
    times = (clocks - 60 * SECOND * offsets * shifting).view("M8[us]")
    if fields[0] == "H":  # the time of day alone: where it falls back, the next day begins
        times = times + np.concatenate([[0], np.cumsum(np.diff(times) < np.timedelta64(0))]) * np.timedelta64(1, "D")
    half, zone, offset = last.get("p", ""), last.get("z", ""), int(offsets[-1]) if shifting else 0
    return Form(template, frozenset(short), _names(seen), fraction, half, zone, offset), times, -1


def _times(texts: Fields) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return microseconds since 1970, minutes ahead of UTC, and which are times at all, of columns of fields."""
    count = len(next(iter(texts.values())))

    def numbers(names: str, default: int) -> NDArray[np.int64]:
        name = next((name for name in names if name in texts), None)
        return np.full(count, default) if name is None else np.array(list(map(int, texts[name])))

    years, months, days = numbers("Yy", 1970), numbers("mn", 1), numbers("de", 1)
    if "y" in texts:
        years = years + np.where(years < PIVOT, 2000, 1900)
    if "b" in texts:
        months = np.array([MONTHS[name.lower()] for name in texts["b"]])
    if "q" in texts:
        months = 3 * numbers("q", 1) - 2
    valid = (months >= 1) & (months <= 12) & (days >= 1)
    first = ((years - 1970) * 12 + months - 1).astype("M8[M]")
    valid &= days <= last_days(first)
    date = first.astype("M8[D]") + (days - 1)
    if "w" in texts:
        fourth = date + 3  # of January: it lies in the year's first week
        date = fourth - weekdays(fourth) + 7 * (numbers("w", 1) - 1)
        valid &= ((date + 3).astype("M8[Y]") == fourth.astype("M8[Y]")) & (numbers("w", 1) >= 1)
    hours, minutes, seconds = numbers("H", 0), numbers("I", 0), numbers("S", 0)
    if "p" in texts:
        valid &= (hours >= 1) & (hours <= 12)
        hours = hours % 12 + 12 * np.array([half[0] in "pP" for half in texts["p"]])
    micros = np.array([int(text[1:].ljust(6, "0") or 0) for text in texts["f"]]) if "f" in texts else 0
    within = ((hours * 60 + minutes) * 60 + seconds) * SECOND + micros
    valid &= (minutes < 60) & (seconds < 60) & (within <= DAY)  # 24:00 is the end of a day
    return date.astype(np.int64) * DAY + within, _offsets(texts.get("z"), count), valid


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
