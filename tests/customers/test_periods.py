"""R1 to R5 and R23, in a notation that puts a case on a line.

    terms("2026-01-31 every 2 months, calendar, trial 14, anchor 2026-01-01, until 2026-09-01")

The calendar it gives is written as boundaries, with what lies between them where that is not a
whole period: "2026-01-15 17/31 2026-02-01 2026-03-01". "trial" marks the trial, and "end" says
that service is over; without it more periods follow.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import islice, pairwise
from time import perf_counter
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
    pytest.param(
        "9999-11-15 every month, until 9999-12-10",
        "9999-11-15 25/30 9999-12-10 end",
        id="the last whole month there is",
        marks=pytest.mark.xfail(raises=DateOutOfRange, strict=True),
    ),
]


@pytest.mark.parametrize(("sentence", "calendar"), CALENDARS)
def test_calendar(sentence: str, calendar: str) -> None:
    assert calendar_of(terms(sentence), like=calendar) == calendar
