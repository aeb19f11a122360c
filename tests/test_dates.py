"""Dates as people write them: read, told what is wrong with them, and continued in the same form."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrnn import labels
from nbrnn.datasets import load_dataset
from nbrnn.dates import calendar, parse_dates, period_end


@pytest.mark.parametrize(
    ("labels", "first"),
    [
        (["2020", "2021"], "2020-01-01"),
        (["2020-03", "2020-04"], "2020-03-01"),
        (["2020/03"], "2020-03-01"),
        (["3/2020"], "2020-03-01"),
        (["202003"], "2020-03-01"),
        (["20200331"], "2020-03-31"),
        (["2020-01-31"], "2020-01-31"),
        (["31.1.2020"], "2020-01-31"),
        (["2.1.2020", "3.1.2020"], "2020-01-02"),
        (["31. 1. 20"], "2020-01-31"),
        (["1/31/20"], "2020-01-31"),
        (["1/2/65", "1/31/65"], "1965-01-02"),
        (["1/2/65", "31/1/65"], "1965-02-01"),
        (["1/1/29", "13/1/29"], "2029-01-01"),
        (["1/1/30", "13/1/30"], "1930-01-01"),
        (["2020-W05"], "2020-01-27"),
        (["2020W53"], "2020-12-28"),
        (["2020-Q4"], "2020-10-01"),
        (["Q4 2020"], "2020-10-01"),
        (["1749M01"], "1749-01-01"),
        (["Jan 2020"], "2020-01-01"),
        (["Sept 2020"], "2020-09-01"),
        (["DEC-49"], "1949-12-01"),
        (["January2020"], "2020-01-01"),
        (["31-Jan-20"], "2020-01-31"),
        (["31 January 2020"], "2020-01-31"),
        (["Jan 31, 2020"], "2020-01-31"),
        (["2020-Jan-31"], "2020-01-31"),
        ([" 2020-01-31 12:30 "], "2020-01-31 12:30"),
        (["2020-01-31T12:30:05.25Z"], "2020-01-31 12:30:05.250"),
        (["2020-01-31 12:30:05 UTC"], "2020-01-31 12:30:05"),
        (["20200131T1230"], "2020-01-31 12:30"),
        (["1/31/2020 12:05 AM"], "2020-01-31 00:05"),
        (["1/31/2020 12:05 p.m."], "2020-01-31 12:05"),
        (["2020-12-31 24:00"], "2021-01-01"),
        (["2020-01-31 01:00+02:00", "2020-01-31 02:00+02:00"], "2020-01-31 01:00"),
        (["2020-03-29 01:00+0100", "2020-03-29 03:00+0200"], "2020-03-29 00:00"),
        (["7:05"], "1970-01-01 07:05"),
        (["1577836800"], "2020-01-01"),
        (["1577836800250"], "2020-01-01 00:00:00.250"),
        (np.array(["2020-01-31"], "M8[ns]"), "2020-01-31"),
        ([datetime.date(2020, 1, 31)], "2020-01-31"),
    ],
)
def test_the_first_of_a_column(labels, first):
    times = parse_dates(labels)
    assert times.dtype == "M8[us]" and times.shape == (len(labels),)
    assert times[0] == np.datetime64(first)


def test_months_in_american_dates_are_found_by_their_even_spacing():
    labels = [f"{month}/1/{year}" for year in range(49, 61) for month in range(1, 13)]
    assert (parse_dates(labels) == np.arange("1949-01", "1961-01", dtype="M8[M]")).all()
    days = [f"{day:02d}/03/1949" for day in range(1, 10)]
    with pytest.raises(ValueError, match=r"'01/03/1949' as 1949-03-01 or 1949-01-03.*nothing in the column decides"):
        parse_dates(days)  # nine days of March, or the third of nine months
    assert (parse_dates([f"{k}/{k}/1949" for k in (1, 2, 5)])[2]) == np.datetime64("1949-05-05")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "dates must hold at least one label"),
        (["x", "2020"], r"dates row 0 \(counted from 0\) holds 'x'; a date such as 1965-01-31"),
        (["2020-01", "2020-13"], "row 1 .* holds '2020-13'; a date written as the first row's '2020-01' is wanted"),
        (["2020-01-01", "2020-1"], "row 1 .* '2020-1'"),
        (["2019-02-29"], "dates holds '2019-02-29'; a date such as"),
        (["30.2.2020"], "'30.2.2020'"),
        (["2019-W53"], "'2019-W53'"),
        (["2020-W00"], "'2020-W00'"),
        (["2020-01-01 25:00"], "25:00"),
        (["2020-01-01 12:60"], "12:60"),
        (["2020-01-01 13:00 PM"], "13:00 PM"),
        (["1-01", "1-02"], "'1-01'"),
        (["Mai 2020"], "'Mai 2020'"),
        (["13/13/2020"], "13/13/2020"),
        ([""], "holds ''"),
        (np.array(["2020-01-01", "NaT"], "M8[D]"), "row 1 .* 'NaT'"),
        (["2020-01"] * 9000 + ["2020"], "row 9000"),
    ],
)
def test_labels_that_are_refused(labels, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_dates(labels)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


FORMS = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%Y%m%d", "%d %B %Y", "%b %d, %Y", "%d-%b-%y", "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%MZ",
)  # fmt: skip


@given(
    form=st.sampled_from(FORMS),
    start=st.datetimes(datetime.datetime(1931, 1, 1), datetime.datetime(2027, 1, 1)),
    rows=st.integers(40, 60),
    more=st.integers(1, 40),
)
def test_every_form_is_continued_as_strftime_writes_it(form, start, rows, more):
    start = start.replace(second=0, microsecond=0)
    if "H" not in form and "I" not in form:
        start = start.replace(hour=0, minute=0)
    labels = [(start + datetime.timedelta(days=k)).strftime(form) for k in range(rows + more)]
    found = calendar(labels[:rows])
    assert found.problems() == [] and found.step == "day" and found.in_order
    assert (found.times == np.datetime64(start) + np.arange(rows) * np.timedelta64(1, "D")).all()
    assert found.after(more) == tuple(labels[rows:])


@given(
    form=st.sampled_from(FORMS),
    starts=st.lists(st.datetimes(datetime.datetime(1931, 1, 1), datetime.datetime(2027, 1, 1)), min_size=1, max_size=5),
    odd=st.sampled_from([None, "13/13/2020", "2020-02-30", "2020-1-30", "", "2020-01-01T00:0\uff11"]),
)
def test_numbers_that_stand_in_the_same_place_are_read_as_all_others(form, starts, odd):
    texts = [start.strftime(form) for start in starts] + [odd] * (odd is not None)
    quick = labels.read(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "_fixed_columns", lambda *_: None)
        slow = labels.read(texts)
    assert quick[1] == slow[1] and [form for form, _ in quick[0]] == [form for form, _ in slow[0]]
    for (_, times), (_, wanted) in zip(quick[0], slow[0], strict=True):
        np.testing.assert_array_equal(times, wanted)


@pytest.mark.parametrize(
    ("label", "end"),
    [
        ("1965", "1966-01-01"),
        ("Dec 1965", "1966-01-01"),
        ("1965-Q2", "1965-07-01"),
        ("1965-W01", "1965-01-11"),
        ("31.1.1965", "1965-02-01"),
        ("19650131", "1965-02-01"),
        ("1965-01-31 23:59", "1965-02-01"),
        ("1577836800", "2020-01-01 00:00:01"),
        ("1965-01-31 23:59:30", "1965-01-31 23:59:31"),
    ],
)
def test_when_what_a_label_names_is_over(label, end):
    assert period_end(label) == np.datetime64(end)
    form = calendar(["1/31/65", "2/28/65"]).form
    assert period_end("2/1/65", form) == np.datetime64("1965-02-02")
    with pytest.raises(ValueError, match=r"the date can be read with the day first .* \('2/1/65' as"):
        period_end("2/1/65")


MONTHLY = {"month": 1, "quarter": 3, "2 months": 2, "6 months": 6, "year": 12, "5 years": 60}


@given(
    step=st.sampled_from(sorted(MONTHLY)),
    year=st.integers(1700, 2050),
    day=st.integers(1, 31),
    rows=st.integers(13, 30),
    form=st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%B %d, %Y", "%Y-%m"]),
)
def test_months_and_years_are_steps_of_the_calendar(step, year, day, rows, form):
    def label(k):
        month = year * 12 + k * MONTHLY[step]
        first = datetime.date(month // 12, month % 12 + 1, 1)
        after = datetime.date((month + 1) // 12, (month + 1) % 12 + 1, 1)
        return first.replace(day=min(day, (after - first).days)).strftime(form)

    labels = [label(k) for k in range(rows + 5)]
    found = calendar(labels[:rows])
    assert found.step == step and found.problems() == []
    if MONTHLY[step] == 1 or day < 28 or day == 31:  # else the last days may all be the months' last ones
        assert found.after(5) == tuple(labels[rows:])


@pytest.mark.parametrize(
    ("labels", "step", "after"),
    [
        (["1/31/65", "2/28/65"], "month", ("3/31/65", "4/30/65")),
        (["Nov 2020", "Dec 2020"], "month", ("Jan 2021", "Feb 2021")),
        (["NOVEMBER/20", "DECEMBER/20"], "month", ("JANUARY/21", "FEBRUARY/21")),
        (["Sept 2020", "Oct 2020"], "month", ("Nov 2020", "Dec 2020")),
        (["2020-W52", "2020-W53"], "week", ("2021-W01", "2021-W02")),
        (["2020Q3", "2020Q4"], "quarter", ("2021Q1", "2021Q2")),
        (["9:45", "9:50"], "5 minutes", ("9:55", "10:00")),
        (["23:00", "23:30", "00:00"], "30 minutes", ("00:30", "01:00")),
        (["11:00 AM", "11:30 AM"], "30 minutes", ("12:00 PM", "12:30 PM")),
        (["10:00:00", "10:00:00.5", "10:00:01"], "500 milliseconds", ("10:00:01.5", "10:00:02.0")),
        (["2020-01-01", "2020-01-08"], "week", ("2020-01-15", "2020-01-22")),
        (["2020-02-27", "2020-02-28"], "day", ("2020-02-29", "2020-03-01")),
        (["2020-10-25 01:00+02:00", "2020-10-25 02:00+02:00", "2020-10-25 02:00+01:00"], "hour",
         ("2020-10-25 03:00+01:00", "2020-10-25 04:00+01:00")),
        (["1577836800", "1577840400"], "hour", ("1577844000", "1577847600")),
        (["1577836800000", "1577836800250"], "250 milliseconds", ("1577836800500", "1577836800750")),
        (["2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30", "2020-05-29"], "month", ("2020-06-30", "2020-07-31")),
        (["2020-01-10", "2020-02-11", "2020-03-10", "2020-04-09"], "month", ("2020-05-09", "2020-06-09")),
        (["1577836800"], None, ("+1", "+2")),
        (["2020-01"], "month", ("2020-02", "2020-03")),
        (["2020"], "year", ("2021", "2022")),
        (["2020-Q4"], "quarter", ("2021-Q1", "2021-Q2")),
        (["2020-W53"], "week", ("2021-W01", "2021-W02")),
        (["2020-01-31"], None, ("+1", "+2")),
        (["a", "b"], None, ("+1", "+2")),
        (["2020-01-01", "2020-01-05", "2020-01-17", "2020-03-11"], None, ("+1", "+2")),
    ],
)  # fmt: skip
def test_what_comes_after(labels, step, after):
    found = calendar(labels)
    assert (found.step, found.after(2)) == (step, after)
    assert labels[0] in repr(found)


def test_business_days():
    days = np.busday_offset(np.datetime64("2020-01-01"), np.arange(30))
    found = calendar(np.delete(days, 7))
    assert found.step == "business day" and found.after(3) == ("2020-02-12", "2020-02-13", "2020-02-14")
    assert found.problems() == [
        "1 gap, where 1 business day is absent: 1 between 2020-01-09 and 2020-01-13 (row 7)."
    ]  # the tenth, a Friday
    assert calendar(days[:13]).after(3) == ("2020-01-20", "2020-01-21", "2020-01-22")  # over a weekend


def test_what_is_wrong_is_said():
    temperatures = calendar(load_dataset("temperatures").dates)
    assert temperatures.in_order and temperatures.after(1) == ("1991-01-01",)
    assert temperatures.problems() == [
        "2 gaps, where 2 days are absent: 1 between 1984-12-30 and 1985-01-01 (row 1460); 1 between 1988-12-30 and "
        "1989-01-01 (row 2920)."
    ]
    labels = ["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-04", "2020-01-03", "2020-01-09"]
    assert not calendar(labels).in_order
    assert calendar(labels).problems() == [
        "1 row is out of order: row 4 (2020-01-03) comes after 2020-01-04.",
        "1 date stands twice: 2020-01-02 in rows 1 and 2.",
        "1 gap, where 4 days are absent: 4 between 2020-01-04 and 2020-01-09 (row 5).",
    ]
    assert calendar(["12:00", "12:15", "12:31", "12:46"]).problems() == [
        "1 row is not a whole number of steps (15 minutes) after the row before: between 12:15 and 12:31 (row 2)."
    ]
    assert calendar(["2020-03", "2020-02", "2020-01"]).problems() == [
        "the rows run from the latest date, 2020-03, to the earliest; turn them round."
    ]
    assert "no common step" in calendar(["2020-01-01", "2020-01-05", "2020-01-17", "2020-03-11"]).problems()[0]
    assert calendar(["a", "b"]).problems()[0].startswith("dates row 0 (counted from 0) holds 'a'")
    assert not calendar(["a", "b"]).in_order
    assert calendar(["2020-01-31"]).problems() == []
    gaps = [f"2020-{month:02d}-{day:02d}" for month in range(1, 8) for day in range(1, 21)]
    assert calendar(gaps).problems()[0].endswith("; and 3 more.")


@given(st.lists(st.integers(0, 30), min_size=2, max_size=40))
def test_problems_count_what_is_absent_and_what_stands_twice(days):
    days = [0, 1, 2, 3, 4, 5, 6, 7, *days]
    labels = [str(np.datetime64("2021-05-01") + day) for day in sorted(days)]
    found = calendar(labels)
    absent, twice = max(days) + 1 - len(set(days)), len(days) - len(set(days))
    told = " ".join(found.problems())
    if found.step == "day":
        assert (f"{absent} days are absent" in told or f"{absent} day is absent" in told) == (absent > 0)
    assert (f"{twice} date" in told) == (twice > 0)
    assert "out of order" not in told


@given(
    st.lists(
        st.text("0123456789-/.: TZQWMapm,+", max_size=24)
        | st.from_regex(r"\d{1,4}[-/.]\d{1,4}([-/.]\d{1,4})?( \d\d?:\d\d)?", fullmatch=True)
        | st.sampled_from(["Jan 2020", "2020-W05", "12:30", "\u0661\u0662", ""])
        | st.text(max_size=9),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=200)
def test_any_labels_make_a_calendar_or_are_refused(labels):
    found = calendar(labels)
    assert len(found.after(2)) == 2 and all(problem.endswith(".") for problem in found.problems())
    if found.times is None:
        with pytest.raises(ValueError, match="dates"):
            parse_dates(labels)
    elif "{H}" not in found.form.template:  # 24:00 is written as 00:00 of the day after
        again = [found.form.write(time) for time in found.times]
        np.testing.assert_array_equal(parse_dates([*labels, *again])[len(labels) :], found.times)


def test_calendars_refuse():
    with pytest.raises(ValueError, match="at least one label"):
        calendar([])
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, not 0"):
        calendar(["2020"]).after(0)
