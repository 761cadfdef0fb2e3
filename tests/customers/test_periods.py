"""R1 to R5 and R23, in a notation that puts a case on a line.

    terms("2026-01-31 every 2 months, calendar, trial 14, anchor 2026-01-01, until 2026-09-01")

The calendar it gives is written as boundaries, with what lies between them where that is not a
whole period: "2026-01-15 17/31 2026-02-01 2026-03-01". "trial" marks the trial, and "end" says
that service is over; without it more periods follow.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.periods import (
    TIME_ZONES,
    Alignment,
    AnchorOnCalendar,
    CountOutOfRange,
    DateOutOfRange,
    EndsBeforeItStarts,
    Grid,
    Interval,
    NegativeTrial,
    NoSuchPeriod,
    Period,
    Terms,
    UnknownTimeZone,
    first_instant,
    instants,
    local_date,
    zone,
)

pytestmark = pytest.mark.once

D = date.fromisoformat
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)

SENTENCE = re.compile(
    r"(?P<starts_on>\S+) every (?:(?P<count>-?\d+) )?(?P<interval>[a-z]+?)s?"
    r"(?P<calendar>, calendar)?"
    r"(?:, trial (?P<trial_days>-?\d+))?"
    r"(?:, anchor (?P<anchor_on>\S+))?"
    r"(?:, until (?P<ends_on>\S+))?"
)


def terms(text: str) -> Terms:
    said = SENTENCE.fullmatch(text)
    assert said, text
    return Terms(
        starts_on=D(said["starts_on"]),
        interval=Interval(said["interval"]),
        count=int(said["count"] or 1),
        alignment=Alignment.CALENDAR if said["calendar"] else Alignment.ANNIVERSARY,
        anchor_on=D(said["anchor_on"]) if said["anchor_on"] else None,
        trial_days=int(said["trial_days"] or 0),
        ends_on=D(said["ends_on"]) if said["ends_on"] else None,
    )


def written(periods: list[Period], *, ended: bool) -> str:
    words = [str(periods[0].start)]
    for period in periods:
        if period.trial:
            words.append("trial")
        elif not period.fraction.is_whole:
            words.append(f"{period.fraction.days}/{period.fraction.of}")
        words.append(str(period.end))
    return " ".join(words + ["end"] * ended)


def calendar_of(given: Terms, like: str) -> str:
    """Write as many periods as the expected calendar shows, and "end" if no more follow."""
    shown = len(re.findall(r"\d{4}-\d\d-\d\d", like)) - 1
    periods = list(islice(given.periods(), shown + 1))
    return written(periods[:shown], ended=len(periods) <= shown)


CALENDARS = [
    # R3
    pytest.param(
        "2026-01-31 every month",
        "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31",
        id="anchored on the 31st, February ends on the 28th and the 31st comes back",
    ),
    pytest.param(
        "2028-01-30 every month",
        "2028-01-30 2028-02-29 2028-03-30",
        id="anchored on the 30th, February of a leap year ends on the 29th",
    ),
    pytest.param(
        "2024-02-29 every year",
        "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29",
        id="anchored on 29 February, yearly: the 29th comes back in the next leap year",
    ),
    pytest.param(
        "2096-02-29 every 4 years",
        "2096-02-29 2100-02-28 2104-02-29",
        id="the year 2100 is no leap year",
    ),
    pytest.param(
        "2025-11-30 every quarter",
        "2025-11-30 2026-02-28 2026-05-30 2026-08-30",
        id="quarters are three months, clamped",
    ),
    pytest.param(
        "2025-10-31 every 4 months",
        "2025-10-31 2026-02-28 2026-06-30 2026-10-31",
        id="four months at a time, from the anchor",
    ),
    pytest.param(
        "2026-03-26 every 2 weeks", "2026-03-26 2026-04-09 2026-04-23", id="fortnights, any weekday"
    ),
    pytest.param(
        "2028-02-28 every day", "2028-02-28 2028-02-29 2028-03-01", id="days through a leap day"
    ),
    pytest.param("2026-12-20 every 10 days", "2026-12-20 2026-12-30 2027-01-09", id="ten days"),
    # R4, anniversary
    pytest.param(
        "2026-03-10 every month, anchor 2026-01-15",
        "2026-03-10 5/28 2026-03-15 2026-04-15",
        id="an anchor before the start: partial up to the grid's next boundary",
    ),
    pytest.param(
        "2026-03-10 every month, anchor 2026-08-15",
        "2026-03-10 5/28 2026-03-15 2026-04-15",
        id="an anchor after the start gives the same grid",
    ),
    pytest.param(
        "2026-03-15 every month, anchor 2026-08-15",
        "2026-03-15 2026-04-15",
        id="a start on the grid has no partial period",
    ),
    pytest.param(
        "2026-02-28 every month, anchor 2026-01-31",
        "2026-02-28 2026-03-31 2026-04-30",
        id="a start on a clamped boundary is on the grid",
    ),
    pytest.param(
        "2026-02-27 every month, anchor 2026-03-31",
        "2026-02-27 1/28 2026-02-28 2026-03-31",
        id="backwards from an anchor on the 31st is clamped too",
    ),
    pytest.param(
        "2026-03-15 every year, anchor 2020-01-01",
        "2026-03-15 292/365 2027-01-01 2028-01-01",
        id="yearly from a day in March, anchored in January",
    ),
    pytest.param(
        "2026-03-15 every 3 months, anchor 2026-02-01",
        "2026-03-15 47/89 2026-05-01 2026-08-01",
        id="an anniversary anchor keeps the whole count in a partial period",
    ),
    # R4, calendar
    pytest.param(
        "2026-01-15 every month, calendar",
        "2026-01-15 17/31 2026-02-01 2026-03-01",
        id="calendar months begin on the 1st",
    ),
    pytest.param(
        "2026-02-01 every month, calendar",
        "2026-02-01 2026-03-01",
        id="a start on the 1st has no partial month",
    ),
    pytest.param(
        "2026-05-16 every quarter, calendar",
        "2026-05-16 46/91 2026-07-01 2026-10-01 2027-01-01 2027-04-01",
        id="calendar quarters begin in January, April, July and October",
    ),
    pytest.param(
        "2027-07-02 every year, calendar",
        "2027-07-02 183/365 2028-01-01 2029-01-01",
        id="calendar years begin on 1 January",
    ),
    pytest.param(
        "2026-11-19 every week, calendar",
        "2026-11-19 4/7 2026-11-23 2026-11-30",
        id="calendar weeks begin on Monday",
    ),
    pytest.param(
        "2026-11-23 every week, calendar", "2026-11-23 2026-11-30", id="a start on a Monday"
    ),
    pytest.param(
        "2026-11-19 every day, calendar", "2026-11-19 2026-11-20", id="every date is a boundary"
    ),
    pytest.param(
        "2026-11-19 every 10 days, calendar",
        "2026-11-19 2026-11-29 2026-12-09",
        id="every date is a boundary, so ten days count from the start",
    ),
    pytest.param(
        "2026-02-15 every 3 months, calendar",
        "2026-02-15 14/90 2026-03-01 2026-06-01 2026-09-01",
        id="three calendar months: partial to the next month, the count runs from there",
    ),
    pytest.param(
        "2026-02-01 every 3 months, calendar",
        "2026-02-01 2026-05-01",
        id="three calendar months from a 1st are whole",
    ),
    pytest.param(
        "2026-11-19 every 2 weeks, calendar",
        "2026-11-19 4/14 2026-11-23 2026-12-07",
        id="two calendar weeks: partial to the next Monday, of a fortnight",
    ),
    pytest.param(
        "2026-12-31 every 2 quarters, calendar",
        "2026-12-31 1/184 2027-01-01 2027-07-01",
        id="two calendar quarters: partial to the next quarter",
    ),
    # R23
    pytest.param(
        "2026-01-17 every month, trial 14",
        "2026-01-17 trial 2026-01-31 2026-02-28 2026-03-31",
        id="the trial's end is the anchor",
    ),
    pytest.param(
        "2026-01-17 every month, trial 14, anchor 2026-01-15",
        "2026-01-17 trial 2026-01-31 15/31 2026-02-15 2026-03-15",
        id="unless an anchor is given",
    ),
    pytest.param(
        "2026-01-05 every month, calendar, trial 10",
        "2026-01-05 trial 2026-01-15 17/31 2026-02-01 2026-03-01",
        id="calendar: the rest of the month is prorated",
    ),
    pytest.param(
        "2026-01-05 every 3 months, calendar, trial 41",
        "2026-01-05 trial 2026-02-15 14/90 2026-03-01 2026-06-01",
        id="calendar with a count: the next month counts from the trial's end",
    ),
    pytest.param(
        "2026-01-18 every month, calendar, trial 14",
        "2026-01-18 trial 2026-02-01 2026-03-01",
        id="a trial that ends on the 1st leaves nothing to prorate",
    ),
    pytest.param(
        "2026-01-01 every month, trial 90",
        "2026-01-01 trial 2026-04-01 2026-05-01",
        id="a trial longer than the interval is one period",
    ),
    pytest.param(
        "2026-01-01 every month, trial 14, until 2026-01-08",
        "2026-01-01 trial 2026-01-08 end",
        id="ended in the trial: the trial is all there is",
    ),
    pytest.param(
        "2026-01-01 every month, trial 14, until 2026-01-15",
        "2026-01-01 trial 2026-01-15 end",
        id="ended with the trial: no empty paid period",
    ),
    pytest.param(
        "2026-01-01 every month, trial 14, until 2026-01-16",
        "2026-01-01 trial 2026-01-15 1/31 2026-01-16 end",
        id="ended a day after the trial",
    ),
    # Ends
    pytest.param(
        "2026-03-01 every month, until 2026-04-21",
        "2026-03-01 2026-04-01 20/30 2026-04-21 end",
        id="cancelled on the 20th: the day itself is still service (R5)",
    ),
    pytest.param(
        "2026-03-01 every month, until 2026-05-01",
        "2026-03-01 2026-04-01 2026-05-01 end",
        id="ended on a boundary: whole, and nothing empty after it",
    ),
    pytest.param(
        "2026-03-10 every month, calendar, until 2026-03-11",
        "2026-03-10 1/31 2026-03-11 end",
        id="a single day of service, cut on both sides",
    ),
]


@pytest.mark.parametrize(("sentence", "calendar"), CALENDARS)
def test_calendar(sentence: str, calendar: str) -> None:
    assert calendar_of(terms(sentence), like=calendar) == calendar


def test_the_day_of_a_change_belongs_to_the_new_plan() -> None:
    """R5: 100.00 a month, switched on 15 April to 200.00: credit 53.33, charge 106.67."""
    april = terms("2026-04-01 every month").period(0)
    before, after = april.split([D("2026-04-15")])
    assert (before.end, after.start) == (D("2026-04-15"), D("2026-04-15"))
    assert (before.fraction.days, before.fraction.of) == (14, 30)
    assert (after.fraction.days, after.fraction.of) == (16, 30)
    assert round(100 * after.fraction.value, 2) == Fraction("53.33")
    assert round(200 * after.fraction.value, 2) == Fraction("106.67")


@pytest.mark.parametrize(
    ("cuts", "parts"),
    [
        pytest.param([], "2026-04-01 2026-05-01", id="no cut, one part"),
        pytest.param(["2026-04-01"], "2026-04-01 2026-05-01", id="a cut at its start is none"),
        pytest.param(["2026-05-01"], "2026-04-01 2026-05-01", id="a cut at its end is none"),
        pytest.param(["2026-07-01"], "2026-04-01 2026-05-01", id="a cut elsewhere is none"),
        pytest.param(
            ["2026-04-21", "2026-04-11", "2026-04-21"],
            "2026-04-01 10/30 2026-04-11 10/30 2026-04-21 10/30 2026-05-01",
            id="two cuts, in any order and as often as you like, three parts",
        ),
    ],
)
def test_split(cuts: list[str], parts: str) -> None:
    april = terms("2026-04-01 every month").period(0)
    assert written(april.split(map(D, cuts)), ended=False) == parts


def test_parts_of_a_partial_period_are_parts_of_the_nominal_one() -> None:
    partial = terms("2026-04-11 every month, calendar, until 2026-04-26").period(0)
    assert written(partial.split([D("2026-04-21")]), ended=False) == (
        "2026-04-11 10/30 2026-04-21 5/30 2026-04-26"
    )


def test_a_trial_is_whole_even_when_cut_short() -> None:
    trial = terms("2026-01-01 every month, trial 14, until 2026-01-08").period(0)
    assert trial.trial
    assert trial.fraction.is_whole
    assert trial.fraction.value == 1


@pytest.mark.parametrize(
    "edges",
    [
        pytest.param("2026-04-01 2026-04-01 2026-04-01 2026-05-01", id="empty"),
        pytest.param("2026-04-02 2026-04-01 2026-04-01 2026-05-01", id="backwards"),
        pytest.param("2026-03-31 2026-04-02 2026-04-01 2026-05-01", id="begins before the nominal"),
        pytest.param("2026-04-30 2026-05-02 2026-04-01 2026-05-01", id="ends after the nominal"),
    ],
)
def test_no_period_is_empty_or_outside_its_nominal_one(edges: str) -> None:
    start, end, nominal_start, nominal_end = map(D, edges.split())
    with pytest.raises(AssertionError):
        Period(start, end, nominal_start, nominal_end)


REFUSALS = [
    pytest.param(
        "2026-01-01 every month, until 2026-01-01", EndsBeforeItStarts, id="ends on its first day"
    ),
    pytest.param(
        "2026-01-02 every month, until 2026-01-01", EndsBeforeItStarts, id="ends before it starts"
    ),
    pytest.param(
        "2026-01-01 every month, calendar, anchor 2026-01-01", AnchorOnCalendar, id="two anchors"
    ),
    pytest.param("2026-01-01 every month, trial -1", NegativeTrial, id="a trial of minus one day"),
    pytest.param("2026-01-01 every 0 months", CountOutOfRange, id="every no months"),
    pytest.param("2026-01-01 every -1 month", CountOutOfRange, id="backwards"),
    pytest.param("2026-01-01 every 1001 days", CountOutOfRange, id="every 1001 days"),
    pytest.param(
        "2026-01-01 every month, trial 3000000", DateOutOfRange, id="a trial of 8000 years"
    ),
    pytest.param("2026-01-01 every day, trial 9999999999", DateOutOfRange, id="a trial of aeons"),
    pytest.param("9999-12-31 every month, calendar", DateOutOfRange, id="no next 1st to wait for"),
]


@pytest.mark.parametrize(("sentence", "refusal"), REFUSALS)
def test_impossible_terms_are_refused_by_name(sentence: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal, match=r"^[A-Z].{20,}\.$"):
        terms(sentence)


def test_a_thousand_intervals_are_possible() -> None:
    assert terms("2026-01-01 every 1000 days").period(0).days == 1000


@pytest.mark.parametrize(
    ("sentence", "number", "refusal"),
    [
        pytest.param("2026-01-01 every month", -1, NoSuchPeriod, id="before the first"),
        pytest.param("2026-01-01 every month, trial 14", -1, NoSuchPeriod, id="before the trial"),
        pytest.param(
            "2026-01-01 every month, until 2026-03-01", 2, NoSuchPeriod, id="after the last"
        ),
        pytest.param(
            "2026-01-01 every month, trial 14, until 2026-01-08",
            1,
            NoSuchPeriod,
            id="after a trial",
        ),
        pytest.param("9999-11-15 every month", 1, DateOutOfRange, id="ends in the year 10000"),
        pytest.param("2026-01-01 every year", 10**30, DateOutOfRange, id="the years have run out"),
        pytest.param("2026-01-01 every day", 10**30, DateOutOfRange, id="the days have run out"),
        pytest.param(
            "0001-01-01 every month, anchor 2026-01-15", 0, DateOutOfRange, id="begins in year 0"
        ),
    ],
)
def test_there_is_no_such_period(sentence: str, number: int, refusal: type[Exception]) -> None:
    with pytest.raises(refusal, match=r"^[A-Z].{20,}\.$"):
        terms(sentence).period(number)


@pytest.mark.parametrize(
    ("day", "number"),
    [
        pytest.param("2025-12-31", None, id="the day before service"),
        pytest.param("2026-01-01", 0, id="the first day of the trial"),
        pytest.param("2026-01-14", 0, id="the last day of the trial"),
        pytest.param("2026-01-15", 1, id="the first paid day"),
        pytest.param("2026-02-14", 1, id="the last day of the first paid month"),
        pytest.param("2026-02-15", 2, id="a boundary belongs to the next"),
        pytest.param("2026-02-19", 2, id="the last day of service"),
        pytest.param("2026-02-20", None, id="the first day without service"),
    ],
)
def test_the_period_containing_a_day(day: str, number: int | None) -> None:
    given = terms("2026-01-01 every month, trial 14, until 2026-02-20")
    if number is None:
        with pytest.raises(NoSuchPeriod, match=day):
            given.period_containing(D(day))
    else:
        assert given.number_on(D(day)) == number
        assert given.period_containing(D(day)) == list(given.periods())[number]


@pytest.mark.parametrize(
    ("since", "starts"),
    [
        pytest.param(0, "01-01 02-01 03-01", id="all of them"),
        pytest.param(2, "03-01", id="from a number"),
        pytest.param(3, "", id="from a number after the last: none"),
        pytest.param(D("2020-07-01"), "01-01 02-01 03-01", id="from a day before the start: all"),
        pytest.param(D("2026-02-28"), "02-01 03-01", id="from a day: from the period it is in"),
        pytest.param(D("2026-03-01"), "03-01", id="from a boundary: from the period it begins"),
        pytest.param(D("2026-03-10"), "", id="from the first day without service: none"),
    ],
)
def test_periods_since(since: int | date, starts: str) -> None:
    periods = terms("2026-01-01 every month, until 2026-03-10").periods(since)
    assert " ".join(f"{period.start:%m-%d}" for period in periods) == starts


def test_fifty_years_of_days_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    given = terms("1976-01-01 every day")
    asked = []
    boundary = Grid.boundary

    def counted(grid: Grid, n: int) -> date:
        asked.append(n)
        return boundary(grid, n)

    monkeypatch.setattr(Grid, "boundary", counted)
    today = D("2026-07-01")
    assert given.period_containing(today).start == today
    assert next(given.periods(today)).start == today
    assert 0 < len(asked) < 10


# Properties

days = st.dates(D("1960-01-01"), D("2100-12-31"))
intervals = st.sampled_from(Interval)
grids = st.builds(Grid, days, intervals, st.integers(1, 40))


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    starts_on = draw(days)
    alignment = draw(st.sampled_from(Alignment))
    served = draw(st.none() | st.integers(1, 3000))
    return Terms(
        starts_on=starts_on,
        interval=draw(intervals),
        count=draw(st.integers(1, 4) | st.integers(1, 40)),
        alignment=alignment,
        anchor_on=draw(st.none() | days) if alignment == Alignment.ANNIVERSARY else None,
        trial_days=draw(st.just(0) | st.integers(0, 100)),
        ends_on=None if served is None else starts_on + served * DAY,
    )


def stepped(anchor: date, months: int) -> date:
    """Go there month by month, then back from the anchor's day until the month has it."""
    year, month = anchor.year, anchor.month
    for _ in range(abs(months)):
        month += 1 if months > 0 else -1
        if month in (0, 13):
            year, month = (year - 1, 12) if month == 0 else (year + 1, 1)
    for day in range(anchor.day, 27, -1):
        try:
            return date(year, month, day)
        except ValueError:
            continue
    return date(year, month, anchor.day)


@given(anchor=days, months=st.integers(-400, 400))
def test_months_are_counted_from_the_anchor(anchor: date, months: int) -> None:
    assert Grid(anchor, Interval.MONTH).boundary(months) == stepped(anchor, months)


@given(anchor=days, n=st.integers(-30, 30), count=st.integers(1, 10))
def test_intervals_are_made_of_one_another(anchor: date, n: int, count: int) -> None:
    """So that a price's own boundaries fall on the plan's (R4)."""
    months, fine_days = Grid(anchor, Interval.MONTH), Grid(anchor, Interval.DAY)
    assert Grid(anchor, Interval.QUARTER, count).boundary(n) == months.boundary(3 * count * n)
    assert Grid(anchor, Interval.YEAR, count).boundary(n) == months.boundary(12 * count * n)
    assert Grid(anchor, Interval.WEEK, count).boundary(n) == fine_days.boundary(7 * count * n)
    assert fine_days.boundary(n) == anchor + n * DAY


@given(grid=grids, n=st.integers(-40, 40))
def test_index_undoes_boundary(grid: Grid, n: int) -> None:
    assert grid.index(grid.boundary(n)) == n
    assert grid.index(grid.boundary(n + 1) - DAY) == n


@given(grid=grids, day=days)
def test_a_day_lies_between_its_boundaries(grid: Grid, day: date) -> None:
    n = grid.index(day)
    assert grid.boundary(n) <= day < grid.boundary(n + 1)


@given(given_terms=any_terms())
def test_periods_touch(given_terms: Terms) -> None:
    """R1: no gap, no overlap, none empty, none beyond the end."""
    periods = list(islice(given_terms.periods(), 40))
    assert periods[0].start == given_terms.starts_on
    assert all(period.days > 0 for period in periods)
    assert all(before.end == after.start for before, after in pairwise(periods))
    if len(periods) < 40:
        assert periods[-1].end == given_terms.ends_on
    else:
        assert given_terms.ends_on is None or periods[-1].end <= given_terms.ends_on


@given(given_terms=any_terms())
def test_only_the_edges_of_service_are_partial(given_terms: Terms) -> None:
    periods = list(islice(given_terms.periods(), 20))
    assert [period.trial for period in periods] == [
        bool(given_terms.trial_days) and n == 0 for n in range(len(periods))
    ]
    for period in periods:
        assert period.fraction.is_whole == (
            (period.start, period.end) == (period.nominal_start, period.nominal_end)
        )
        if not period.fraction.is_whole:
            assert given_terms.paid_from == period.start or given_terms.ends_on == period.end


@given(given_terms=any_terms(), after=st.integers(0, 1500))
def test_every_day_of_service_is_in_exactly_one_period(given_terms: Terms, after: int) -> None:
    day = given_terms.starts_on + after * DAY
    if given_terms.ends_on is not None and day >= given_terms.ends_on:
        with pytest.raises(NoSuchPeriod):
            given_terms.period_containing(day)
        return
    walked = []
    for period in given_terms.periods():
        if period.start > day:
            break
        walked.append(period)
    assert [period for period in walked if day in period] == [given_terms.period_containing(day)]
    assert given_terms.number_on(day) == len(walked) - 1


@given(given_terms=any_terms(), number=st.integers(0, 60), into=st.floats(0, 1, exclude_max=True))
def test_slicing_from_any_point_equals_walking(
    given_terms: Terms, number: int, into: float
) -> None:
    walked = list(islice(given_terms.periods(), number, number + 3))
    assert list(islice(given_terms.periods(number), 3)) == walked
    if walked:
        assert given_terms.period(number) == walked[0]
        day = walked[0].start + int(walked[0].days * into) * DAY
        assert list(islice(given_terms.periods(day), 3)) == walked
    else:
        with pytest.raises(NoSuchPeriod):
            given_terms.period(number)


@given(given_terms=any_terms(), cuts=st.lists(st.integers(-10, 800)))
def test_fractions_of_the_parts_of_a_period_sum_to_its_own(
    given_terms: Terms, cuts: list[int]
) -> None:
    for period in islice(given_terms.periods(), 3):
        parts = period.split(period.start + cut * DAY for cut in cuts)
        assert (parts[0].start, parts[-1].end) == (period.start, period.end)
        assert all(before.end == after.start for before, after in pairwise(parts))
        assert sum(part.fraction.value for part in parts) == period.fraction.value
        if period.fraction.is_whole:
            assert sum(part.fraction.value for part in parts) == 1


@given(start=days, interval=intervals)
def test_calendar_boundaries_are_on_the_calendar(start: date, interval: Interval) -> None:
    periods = islice(Terms(start, interval, alignment=Alignment.CALENDAR).periods(), 1, 8)
    for day in (period.start for period in periods):
        match interval:
            case Interval.WEEK:
                assert day.isoweekday() == 1
            case Interval.MONTH:
                assert day.day == 1
            case Interval.QUARTER:
                assert (day.day, day.month) in {(1, 1), (1, 4), (1, 7), (1, 10)}
            case Interval.YEAR:
                assert (day.day, day.month) == (1, 1)


FINER = {
    Interval.WEEK: Interval.DAY,
    Interval.MONTH: Interval.DAY,
    Interval.QUARTER: Interval.MONTH,
    Interval.YEAR: Interval.QUARTER,
}


@given(given_terms=any_terms())
def test_finer_periods_on_the_same_anchor_fit_into_the_coarser(given_terms: Terms) -> None:
    """R4: a price with an interval of its own, counted from the plan's own boundary 0."""
    finer = replace(
        given_terms,
        interval=FINER.get(given_terms.interval, Interval.DAY),
        count=1,
        alignment=Alignment.ANNIVERSARY,
        anchor_on=given_terms.grid.anchor,
    )
    for period in islice(given_terms.periods(), 3):
        assert finer.period_containing(period.start).start == period.start
        assert finer.period_containing(period.end - DAY).end == period.end


# R2: the first instant of a local date

FIRST_INSTANTS = [
    pytest.param("UTC", "2026-03-29", "2026-03-29T00:00", id="UTC has no surprises"),
    pytest.param("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", id="before the clocks change"),
    pytest.param("Europe/Berlin", "2026-03-30", "2026-03-29T22:00", id="and after"),
    pytest.param("Asia/Kathmandu", "2026-07-01", "2026-06-30T18:15", id="5:45 ahead"),
    pytest.param("Pacific/Chatham", "2026-07-01", "2026-06-30T11:15", id="12:45 ahead"),
    pytest.param("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00", id="midnight skipped"),
    pytest.param(
        "America/Sao_Paulo",
        "2018-02-18",
        "2018-02-18T03:00",
        id="midnight turns back to 23:00 and comes only once",
    ),
    pytest.param("Asia/Beirut", "2026-03-29", "2026-03-28T22:00", id="midnight skipped in Beirut"),
    pytest.param("Africa/Cairo", "2026-04-24", "2026-04-23T22:00", id="midnight skipped in Cairo"),
    pytest.param("America/Havana", "2026-03-08", "2026-03-08T05:00", id="midnight skipped in Cuba"),
    pytest.param(
        "America/Havana", "2026-11-01", "2026-11-01T04:00", id="midnight twice: the first"
    ),
    pytest.param(
        "America/St_Johns",
        "2010-11-07",
        "2010-11-07T02:30",
        id="a minute past midnight the clock goes back to yesterday: the first midnight",
    ),
    pytest.param(
        "America/St_Johns",
        "2010-03-14",
        "2010-03-14T03:30",
        id="a minute past midnight the clock jumps: midnight was there",
    ),
    pytest.param(
        "America/Toronto",
        "1919-03-31",
        "1919-03-31T04:30",
        id="23:30 jumps to 00:30: the jump, not half an hour after it",
    ),
    pytest.param(
        "Asia/Kathmandu", "1986-01-01", "1985-12-31T18:30", id="a quarter of an hour skipped"
    ),
    pytest.param(
        "Pacific/Apia", "2011-12-30", "2011-12-30T10:00", id="a date that never was: the jump"
    ),
    pytest.param("Pacific/Apia", "2011-12-31", "2011-12-30T10:00", id="and the date after it"),
    pytest.param("Pacific/Apia", "2011-12-29", "2011-12-29T10:00", id="and the date before it"),
]


@pytest.mark.parametrize(("name", "day", "instant"), FIRST_INSTANTS)
def test_first_instant(name: str, day: str, instant: str) -> None:
    first = first_instant(D(day), zone(name))
    assert first == datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert first.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "sentence", "hours"),
    [
        pytest.param("Europe/Berlin", "2026-03-29 every day", 23, id="Berlin springs forward"),
        pytest.param("Europe/Berlin", "2026-10-25 every day", 25, id="Berlin falls back"),
        pytest.param("Europe/Berlin", "2026-03-01 every month", 31 * 24 - 1, id="so does March"),
        pytest.param("America/New_York", "2026-11-01 every day", 25, id="New York falls back"),
        pytest.param("Australia/Lord_Howe", "2026-04-05 every day", 24.5, id="half an hour more"),
        pytest.param("Asia/Beirut", "2026-03-29 every day", 23, id="a day that begins at one"),
        pytest.param("America/Havana", "2026-11-01 every day", 25, id="a day with two midnights"),
        pytest.param("Pacific/Apia", "2011-12-01 every month", 30 * 24, id="a month without a day"),
        pytest.param("Pacific/Apia", "2011-12-30 every day", 0, id="a day that never was"),
        pytest.param(
            "Europe/Berlin",
            "2026-03-11 every month, calendar, until 2026-03-30",
            19 * 24 - 1,
            id="a partial period, cut on both sides",
        ),
    ],
)
def test_a_period_lasts_as_long_as_its_local_days(name: str, sentence: str, hours: float) -> None:
    start, end = instants(terms(sentence).period(0), zone(name))
    assert (end - start) / timedelta(hours=1) == hours


@pytest.mark.parametrize(
    ("name", "instant", "day"),
    [
        pytest.param("Europe/Berlin", "2026-06-30T21:59:59.999999", "2026-06-30", id="the last"),
        pytest.param("Europe/Berlin", "2026-06-30T22:00", "2026-07-01", id="the first"),
        pytest.param("Pacific/Apia", "2011-12-30T10:00", "2011-12-31", id="after the jump"),
        pytest.param("America/Havana", "2026-11-01T04:30", "2026-11-01", id="after one midnight"),
        pytest.param("America/Havana", "2026-11-01T05:30", "2026-11-01", id="after the other"),
        pytest.param("America/St_Johns", "2010-11-07T02:29", "2010-11-06", id="before midnight"),
        pytest.param(
            "America/St_Johns", "2010-11-07T02:45", "2010-11-07", id="a day begun is not left again"
        ),
    ],
)
def test_local_date(name: str, instant: str, day: str) -> None:
    assert local_date(datetime.fromisoformat(instant).replace(tzinfo=UTC), zone(name)) == D(day)


def test_an_instant_without_a_zone_is_nobodys() -> None:
    with pytest.raises(AssertionError):
        local_date(datetime(2026, 1, 1), zone("UTC"))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "day"),
    [
        pytest.param("Europe/Berlin", date.min, id="begins in UTC's year 0"),
        pytest.param("Asia/Tokyo", date.min, id="begins in the year 0 nine hours earlier"),
    ],
)
def test_an_instant_beyond_the_calendar(name: str, day: date) -> None:
    with pytest.raises(DateOutOfRange, match=name):
        first_instant(day, zone(name))


def test_a_date_beyond_the_calendar() -> None:
    with pytest.raises(DateOutOfRange):
        local_date(datetime.max.replace(tzinfo=UTC), zone("Asia/Tokyo"))
    with pytest.raises(DateOutOfRange):
        local_date(datetime.min.replace(tzinfo=UTC), zone("America/Havana"))


# Five years in which the zone did what it is here for.
ZONES = {
    "UTC": 2022,
    "Europe/Berlin": 2024,
    "America/New_York": 2024,
    "Africa/Cairo": 2023,  # midnight skipped every April
    "Asia/Beirut": 2022,  # midnight skipped every March
    "America/Havana": 2022,  # midnight skipped in March, twice in November
    "America/Sao_Paulo": 2014,  # midnight skipped every spring until 2018
    "America/St_Johns": 2007,  # a minute past midnight, until 2011
    "Asia/Kathmandu": 1983,  # midnight skipped in 1986
    "Australia/Lord_Howe": 2022,  # half an hour
    "Pacific/Apia": 2009,  # without 30 December 2011
    "Pacific/Chatham": 2022,
}


@pytest.mark.parametrize(("name", "year"), ZONES.items())
def test_five_years_from_any_anchor_have_no_gap_and_no_overlap(name: str, year: int) -> None:
    place = zone(name)
    for day in range(1, 32):
        given = Terms(date(year, 1, day), Interval.MONTH)
        spans = [(period, *instants(period, place)) for period in islice(given.periods(), 60)]
        assert spans[-1][0].end >= date(year + 5, 1, 1)
        for period, start, end in spans:
            assert start < end
            # The wall calendar reads at least the date at the boundary, and less until then.
            assert start.astimezone(place).date() >= period.start
            assert (start - TICK).astimezone(place).date() < period.start
        assert all(before[2] == after[1] for before, after in pairwise(spans))


@pytest.mark.parametrize(("name", "year"), ZONES.items())
def test_every_instant_belongs_to_one_local_date(name: str, year: int) -> None:
    place = zone(name)
    dates = [date(year, 1, 1) + n * DAY for n in range(5 * 366)]
    firsts = [first_instant(day, place) for day in dates]
    assert firsts == sorted(firsts)
    for n, (first, following) in enumerate(pairwise(firsts)):
        moments = [first, following - TICK] if following > first else []
        if following - first != DAY:
            moments += [first + m * timedelta(minutes=5) for m in range(-100, 400)]
        for moment in moments:
            if n > 1:
                assert local_date(moment, place) == dates[bisect_right(firsts, moment) - 1]


@given(
    moment=st.datetimes(datetime(1900, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    name=st.sampled_from(TIME_ZONES),
)
def test_a_local_date_contains_its_instants_everywhere(moment: datetime, name: str) -> None:
    place = zone(name)
    day = local_date(moment, place)
    assert first_instant(day, place) <= moment < first_instant(day + DAY, place)


# Zone names

NOT_ZONES = [
    pytest.param("../../etc/passwd", id="a path upwards"),
    pytest.param("/etc/localtime", id="a path from the root"),
    pytest.param("Europe/../Europe/Berlin", id="a detour"),
    pytest.param("Europe/Berlin\0", id="a null byte"),
    pytest.param("europe/berlin", id="the wrong case"),
    pytest.param("Europe", id="a folder"),
    pytest.param("tzdata.zi", id="a file beside the zones"),
    pytest.param("Mars/Olympus_Mons", id="elsewhere"),
    pytest.param("", id="nothing"),
    pytest.param("Factory", id="a machine not yet set up"),
    pytest.param("localtime", id="whatever this machine uses"),
    pytest.param("posixrules", id="a template for rules"),
]


@pytest.mark.parametrize("name", NOT_ZONES)
def test_unknown_zones_are_refused_unread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(key: str) -> ZoneInfo:
        raise RuntimeError(f"read {key!r}")

    monkeypatch.setattr("customers.periods.ZoneInfo", read)
    with pytest.raises(UnknownTimeZone, match="is not a time zone"):
        zone(name)
    assert name not in TIME_ZONES
    with pytest.raises(RuntimeError):
        zone("Europe/Berlin")


def test_time_zones_are_for_forms() -> None:
    assert set(ZONES) <= set(TIME_ZONES)
    assert list(TIME_ZONES) == sorted(TIME_ZONES)
    assert [zone(name).key for name in TIME_ZONES] == list(TIME_ZONES)
