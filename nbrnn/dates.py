"""The dates of a series: labels to times, the step from row to row, what is wrong with them, and the labels to come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .checks import whole_number
from .labels import DAY, SECOND, Form, Times, last_days, read, weekdays
from .series import first_few

UNITS = {
    "week": 7 * DAY, "day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND,
    "millisecond": 1000, "microsecond": 1,
}  # fmt: skip
CALENDAR = {"year": 12, "quarter": 3, "month": 1}  # in months
# Fields, and how long what they name lasts.
FINEST = {"v": 1000, "u": SECOND, "S": SECOND, "I": 60 * SECOND, "e": DAY, "d": DAY}
KNOWN = "1965-01-31, 31.1.1965, Jan 1965, 1965-Q1 or 1965-01-31 12:30"


@dataclass(frozen=True)
class Stride:
    """From one row to the next: `count` microseconds, business days or months.

    Attributes
    ----------
    count : int
    unit : "us", "B" or "M"
    day : int
        Of the month, for months: 31 is the last one.
    """

    count: int
    unit: Literal["us", "B", "M"]
    day: int = 1

    def __str__(self) -> str:
        if self.unit == "B":
            return "business day"
        sizes = CALENDAR if self.unit == "M" else UNITS
        name, size = next((name, size) for name, size in sizes.items() if self.count % size == 0)
        if name == "quarter" and self.count > size:
            name, size = "month", 1
        times = self.count // size
        return name if times == 1 else f"{times} {name}s"

    def after(self, time: np.datetime64, steps: int) -> Times:
        """Return the times that follow a time."""
        ahead = np.arange(1, steps + 1)
        day = time.astype("M8[D]")
        if self.unit == "us":
            return time + self.count * ahead
        if self.unit == "B":
            return np.busday_offset(day, ahead, roll="backward").astype("M8[us]") + (time - day)
        months = time.astype("M8[M]") + self.count * ahead
        return months.astype("M8[D]") + (np.minimum(self.day, last_days(months)) - 1) + (time - day)

    def between(self, times: Times) -> NDArray[np.int64]:
        """Return how many steps lie between each row and the next, rounded down."""
        if self.unit == "us":
            return np.diff(times).astype(np.int64) // self.count
        if self.unit == "B":
            days = times.astype("M8[D]")
            return np.busday_count(days[:-1], days[1:])
        return np.diff(times.astype("M8[M]")).astype(np.int64) // self.count

    def even(self, times: Times) -> NDArray[np.bool_]:
        """Return which rows stand a whole number of steps after the row before."""
        if self.unit == "us":
            return np.diff(times).astype(np.int64) % self.count == 0
        if self.unit == "B":
            return np.ones(max(len(times) - 1, 0), bool)
        return np.diff(times.astype("M8[M]")).astype(np.int64) % self.count == 0


@dataclass(frozen=True, eq=False, repr=False)
class Calendar:
    """The dates of a series' rows. `calendar` makes one of labels.

    Attributes
    ----------
    labels : tuple of str
        One for each row.
    times : datetime64[us] array (rows,), or None
        None if the labels are no dates; `refusal` says why.
    stride : Stride or None
        From row to row; None if no step is that of half of the rows.
    form : Form or None
        How the labels are written.
    refusal : str
        One sentence, or nothing.
    """

    labels: tuple[str, ...]
    times: Times | None
    stride: Stride | None
    form: Form | None
    refusal: str = ""

    def __repr__(self) -> str:
        return f"<Calendar: {len(self.labels)} rows, {self.labels[0]} to {self.labels[-1]}, step {self.step}>"

    @property
    def step(self) -> str | None:
        """The step in words: "month", "day", "15 minutes", "business day" and so on; None if there is none."""
        return None if self.stride is None else str(self.stride)

    @property
    def in_order(self) -> bool:
        """Whether every row is later than the row before it; False if the labels are no dates."""
        return self.times is not None and bool((np.diff(self.times) > np.timedelta64(0)).all())

    @property
    def disordered(self) -> bool:
        """Whether a row lies more than an hour before the row before it; a clock put back in autumn is no disorder."""
        return self.times is not None and bool((np.diff(self.times) < np.timedelta64(-1, "h")).any())

    def problems(self) -> list[str]:
        """Return what is wrong with the dates, a sentence each: unknown, out of order, twice, uneven, absent.

        A sentence names the first few rows, counted from 0, and says how many there are in all. A series with gaps can
        be used as it is; whoever uses it takes each row for one step.
        """
        times, stride = self.times, self.stride
        if times is None:
            return [self.refusal]
        found = []
        change = np.diff(times)
        back = np.flatnonzero(change < np.timedelta64(0)) + 1
        if len(back) and len(back) == len(times) - 1:
            found.append(f"the rows run from the latest date, {self.labels[0]}, to the earliest; turn them round.")
        elif len(back):
            rows = first_few(lambda r: f"row {r} ({self.labels[r]}) comes after {self.labels[r - 1]}", back)
            found.append(_told(len(back), "row is out of order", "rows are out of order", rows))
        order = np.argsort(times, kind="stable")
        same = np.flatnonzero(np.diff(times[order]) == np.timedelta64(0))
        if len(same):
            pairs = sorted((int(order[k + 1]), int(order[k])) for k in same)
            rows = first_few(lambda rows: f"{self.labels[rows[0]]} in rows {rows[1]} and {rows[0]}", pairs)
            found.append(_told(len(same), "date stands twice", "dates stand twice", rows))
        if stride is None:
            if len(times) > 1:
                found.append("the rows have no common step: no distance between two dates is that of half of them.")
            return found
        ordered = times[order]
        even, steps = stride.even(ordered), stride.between(ordered)

        def pair(k: int) -> str:
            return f"{self.labels[order[k - 1]]} and {self.labels[order[k]]} (row {order[k]})"

        uneven = np.flatnonzero(~even) + 1
        if len(uneven):
            ending = f"not a whole number of steps ({stride}) after the row before"
            rows = first_few(lambda k: f"between {pair(k)}", uneven)
            found.append(_told(len(uneven), f"row is {ending}", f"rows are {ending}", rows))
        gaps = np.flatnonzero(even & (steps > 1)) + 1
        if len(gaps):
            absent = _count(int((steps[gaps - 1] - 1).sum()), stride)
            rows = first_few(lambda k: f"{steps[k - 1] - 1} between {pair(k)}", gaps)
            found.append(_told(len(gaps), f"gap, where {absent} absent", f"gaps, where {absent} absent", rows))
        return found

    def after(self, steps: int) -> tuple[str, ...]:
        """Return the labels that follow the last row's, written as these are.

        Parameters
        ----------
        steps : int
            How many.

        Returns
        -------
        tuple of str
            "+1", "+2" and so on, counted from the last row, if the labels are no dates or have no common step.

        Raises
        ------
        ValueError
            If steps is not a whole number of at least 1.

        Examples
        --------
        >>> calendar(["30 Nov 2023", "31 Dec 2023"]).after(3)
        ('31 Jan 2024', '29 Feb 2024', '31 Mar 2024')
        >>> calendar(["a", "b"]).after(2)
        ('+1', '+2')
        """
        steps = whole_number("steps", steps)
        if self.times is None or self.stride is None or self.form is None:
            return tuple(f"+{k}" for k in range(1, steps + 1))
        return tuple(self.form.write(time) for time in self.stride.after(self.times[-1], steps))


def parse_dates(labels: Sequence[str] | NDArray[Any], where: str = "dates") -> Times:
    """Return a column of dates as times.

    All labels of a column are written alike: as the first. Whether 1/2/65 is the first of February or the second of
    January is decided by the whole column: by a number above 12, or else because only one order makes evenly spaced
    rows; between points the day comes first. Years of two digits are 1930 to 2029. Months have English names. A time
    zone that does not change is left out of account; times whose zone changes become UTC. Times without a date begin on
    1970-01-01, and where they fall back the next day begins.

    Parameters
    ----------
    labels : sequence of str, or datetime64 array
        1965, 1965-01, 1965-01-31, 31.1.1965, 1/31/65, 19650131, Jan 1965, 31 January 1965, Jan 31, 1965, 1965-Q1,
        1965-W05, 1965M01; with a time of day such as 12:30, 12:30:15.5, 2:30 PM, 12:30Z, 12:30+02:00; a time
        alone; seconds (10 digits) or milliseconds (13) since 1970.
    where : str, default "dates"
        What the labels are called in the sentence that refuses them.

    Returns
    -------
    datetime64[us] array (rows,)

    Raises
    ------
    ValueError
        If there are no labels, a label is no date or is written otherwise than the first (row, from 0, and text are
        named), or the order of day and month cannot be decided.

    Examples
    --------
    >>> parse_dates(["12/31/65", "1/31/66"]).astype("M8[D]")
    array(['1965-12-31', '1966-01-31'], dtype='datetime64[D]')
    """
    return _read(labels, where)[1]


def calendar(labels: Sequence[str] | NDArray[Any]) -> Calendar:
    """Return the calendar of a series' labels, whatever they are.

    The step is the commonest distance between neighbouring dates, if at least half of them have it; months and years
    are steps of the calendar, and days without any weekend are business days. Rows of different months, on days that
    differ, are months apart. A single row has the step that its label names: 1965-01 a month.

    Parameters
    ----------
    labels : sequence of str, or datetime64 array
        As for `parse_dates`; labels that it refuses make a calendar without times, whose problem is the refusal.

    Returns
    -------
    Calendar

    Raises
    ------
    ValueError
        If there are no labels.

    Examples
    --------
    >>> months = calendar(["Nov 1965", "Dec 1965", "Feb 1966"])
    >>> months.step, months.after(2)
    ('month', ('Mar 1966', 'Apr 1966'))
    >>> months.problems()
    ['1 gap, where 1 month is absent: 1 between Dec 1965 and Feb 1966 (row 2).']
    """
    texts = tuple(date_labels(labels))
    if not texts:
        raise ValueError("a calendar needs at least one label.")
    try:
        form, times = _read(texts, "dates")
    except ValueError as refusal:
        return Calendar(texts, None, None, None, str(refusal))
    return Calendar(texts, times, _stride(times, form), form)


def period_end(label: str, form: Form | None = None, where: str = "the date") -> np.datetime64:
    """Return when what a label names is over: 1965 with the year, 1965-01 with the month, 12:30 with the minute.

    A form, the column's, decides where the label could be read in several ways. ValueError as `parse_dates`.
    """
    found, _ = read([label])
    written = "" if form is None else form.template
    alike = [choice for choice in found if written.startswith(choice[0].template)]
    own, times = alike[0] if alike else _read([label], where)
    step = _named_step(own) or Stride(
        next(size for field, size in FINEST.items() if f"{{{field}}}" in own.template), "us"
    )
    return step.after(times[0], 1)[0]


def date_labels(labels: Sequence[str] | NDArray[Any]) -> list[str]:
    """Return labels as texts; those of datetime64 are as fine as they have to be."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "M":
        known = labels[~np.isnat(labels)]
        coarse = next((unit for unit in ("D", "m", "s") if (known.astype(f"M8[{unit}]") == known).all()), "us")
        return [
            re.sub(r"(?<=\d)T", " ", text) for text in np.datetime_as_string(labels.astype(f"M8[{coarse}]")).tolist()
        ]
    return [str(label) for label in labels]


def _read(labels: Sequence[str] | NDArray[Any], where: str) -> tuple[Form, Times]:
    texts = date_labels(labels)
    if not texts:
        raise ValueError(f"{where} must hold at least one label.")
    found, row = read(texts)
    if not found:
        wanted = f"written as the first row's {texts[0][:40]!r}" if row else f"such as {KNOWN}"
        place = f"{where} row {row} (counted from 0)" if len(texts) > 1 else where
        raise ValueError(f"{place} holds {texts[row][:40]!r}; a date {wanted} is wanted.")
    if len(found) > 1 and "." in found[0][0].template:
        found = found[:1]
    if len(found) > 1 and (found[0][1] != found[1][1]).any():
        smooth = [choice for choice in found if _is_smooth(*choice)]
        if len(smooth) != 1:
            days = " or ".join(str(times[0].astype("M8[D]")) for _, times in found)
            raise ValueError(
                f"{where} can be read with the day first and with the month first ({texts[0]!r} as {days}), and "
                "nothing in the column decides; write them as 1965-01-31."
            )
        found = smooth
    return found[0]


def _is_smooth(form: Form, times: Times) -> bool:
    """Return whether times are in order and evenly spaced."""
    stride = _stride(times, form)
    return len(times) > 2 and stride is not None and bool((stride.even(times) & (stride.between(times) == 1)).all())


def _stride(times: Times, form: Form) -> Stride | None:
    """Return the commonest step."""
    days = times.astype("M8[D]")
    months = days.astype("M8[M]")
    placed = (days - months.astype("M8[D]")).astype(np.int64) + 1
    at_end = placed == last_days(months)
    day = 31 if at_end.all() else int(placed.max())
    monthly = bool((placed == np.minimum(day, last_days(months))).all() and ((times - days) == (times - days)[0]).all())
    if len(times) == 1:
        return _named_step(form)
    if monthly:
        count = _commonest(np.diff(np.sort(months)).astype(np.int64))
        return None if count is None else Stride(count, "M", day)
    count = _commonest(np.diff(np.sort(times)).astype(np.int64))
    if count == DAY and len(times) > 5 and (weekdays(days) < 5).all() and ((times - days) == (times - days)[0]).all():
        return Stride(1, "B")
    if count is not None:
        return Stride(count, "us")
    apart = np.diff(np.sort(months)).astype(np.int64)
    count = (
        _commonest(apart) if (apart > 0).all() else None
    )  # one row a month, on days that differ: its last trading day
    return None if count is None else Stride(count, "M", 31 if placed.min() >= 25 else int(placed[-1]))


def _commonest(distances: NDArray[np.int64]) -> int | None:
    """Return the distance above 0 that at least half of those have."""
    sizes, counts = np.unique(distances[distances > 0], return_counts=True)
    if not len(sizes) or 2 * counts.max() < counts.sum():
        return None
    return int(sizes[counts.argmax()])


def _named_step(form: Form) -> Stride | None:
    """Return the step that a single label names."""
    template = form.template
    if any(f"{{{field}}}" in template for field in "Hdeuv"):
        return None
    if "{w}" in template:
        return Stride(7 * DAY, "us")
    return Stride(3 if "{q}" in template else 1 if any(f"{{{m}}}" in template for m in "mbn") else 12, "M")


def _told(count: int, one: str, many: str, named: str) -> str:
    return f"{count} {one if count == 1 else many}: {named}."


def _count(absent: int, stride: Stride) -> str:
    name = str(stride)
    if name[0].isdigit():
        name = f"step of {name}" if absent == 1 else f"steps of {name}"
    else:
        name += "s" * (absent > 1)
    return f"{absent} {name} {'is' if absent == 1 else 'are'}"
