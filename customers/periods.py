"""The calendar of a subscription: where its periods begin and end, and how much of one was served.

Dates here are local dates. `first_instant` alone turns one into a moment, in a zone that the
caller names. Rules: R1 to R5 and R23.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import count, pairwise
from zoneinfo import ZoneInfo, available_timezones

from catalog.pricing import DayFraction


class Interval(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Alignment(StrEnum):
    ANNIVERSARY = "anniversary"
    CALENDAR = "calendar"


DAYS = {Interval.DAY: 1, Interval.WEEK: 7}
MONTHS = {Interval.MONTH: 1, Interval.QUARTER: 3, Interval.YEAR: 12}
LARGEST_COUNT = 1000

# Day one of the calendar is a Monday and begins a month, a quarter and a year, so that the
# calendar's grid of every interval can be counted from it.
CALENDAR_ANCHOR = date(1, 1, 1)


class UnknownTimeZone(ValueError):
    """The name is not one of `TIME_ZONES`."""


class DateOutOfRange(ValueError):
    """A boundary would fall before year 1 or after year 9999."""


class CountOutOfRange(ValueError):
    """A period is not made of 1 to 1000 intervals."""


class NegativeTrial(ValueError):
    """A trial has fewer than no days."""


class EndsBeforeItStarts(ValueError):
    """The first day without service is not after the first day with it."""


class AnchorOnCalendar(ValueError):
    """Calendar periods were also given an anchor."""


class NoSuchPeriod(LookupError):
    """There is no service on that day, or no period of that number."""


@dataclass(frozen=True)
class Grid:
    """Boundaries in both directions from an anchor, which is boundary 0 (R3)."""

    anchor: date
    interval: Interval
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= LARGEST_COUNT:
            raise CountOutOfRange(
                f"A period of {self.count} × {self.interval} is not possible: "
                f"choose a count from 1 to {LARGEST_COUNT}."
            )

    def boundary(self, n: int) -> date:
        """Return anchor + n × interval, clamped to the month's last day (R3).

        Always counted from the anchor, so that the 31st comes back after February.

        :raises DateOutOfRange: if that is no date between the years 1 and 9999.
        """
        steps = n * self.count
        try:
            if self.interval in DAYS:
                return self.anchor + timedelta(days=steps * DAYS[self.interval])
            return month_after(self.anchor, steps * MONTHS[self.interval])
        except (OverflowError, ValueError):
            raise DateOutOfRange(
                f"A period counted in steps of {self.count} × {self.interval} from {self.anchor} "
                "would leave the calendar: dates run from the year 1 to the year 9999."
            ) from None

    def index(self, day: date) -> int:
        """Return the n for which boundary(n) <= day < boundary(n + 1)."""
        if self.interval in DAYS:
            return (day - self.anchor).days // (self.count * DAYS[self.interval])
        months = (day.year - self.anchor.year) * 12 + day.month - self.anchor.month
        n = months // (self.count * MONTHS[self.interval])
        return n - 1 if self.boundary(n) > day else n

    def first_on_or_after(self, day: date) -> date:
        """Return the first boundary that is not before `day`."""
        n = self.index(day)
        here = self.boundary(n)
        return here if here == day else self.boundary(n + 1)


def month_after(day: date, months: int) -> date:
    """Return the same day so many months later, or the month's last day where there is none."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


@dataclass(frozen=True)
class Period:
    """A stretch of service, [start, end) in local dates, and the whole grid period it is part of."""

    start: date
    end: date
    nominal_start: date
    nominal_end: date
    trial: bool = False

    def __post_init__(self) -> None:
        assert self.nominal_start <= self.start < self.end <= self.nominal_end

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def fraction(self) -> DayFraction:
        """Return its days over the days of the nominal period (R5); a trial is whole (R23)."""
        return DayFraction(self.days, (self.nominal_end - self.nominal_start).days)

    def is_cut_from(self, other: Period) -> bool:
        """Say whether another is a part of the same whole period, on a side of a change (R20)."""
        mine = (self.nominal_start, self.nominal_end, self.trial)
        return mine == (other.nominal_start, other.nominal_end, other.trial)

    def split(self, cuts: Iterable[date]) -> list[Period]:
        """Return its parts in order, cut at local midnight of each of these days (R5, R20).

        The day of a cut belongs to the later part. Days outside cut nothing; no days, one part.
        """
        inside = {day for day in cuts if self.start < day < self.end}
        edges = [self.start, *sorted(inside), self.end]
        return [replace(self, start=start, end=end) for start, end in pairwise(edges)]


@dataclass(frozen=True)
class Terms:
    """What decides the periods of a subscription (R4, R23).

    `ends_on` is the first day without service, or None. `anchor_on` may lie before or after the
    start; None means the first day after the trial. Periods are numbered from 0, the trial first.

    :raises EndsBeforeItStarts, NegativeTrial, AnchorOnCalendar, CountOutOfRange, DateOutOfRange:
        if the terms are impossible.
    """

    starts_on: date
    interval: Interval
    count: int = 1
    alignment: Alignment = Alignment.ANNIVERSARY
    anchor_on: date | None = None
    trial_days: int = 0
    ends_on: date | None = None

    def __post_init__(self) -> None:
        if self.ends_on is not None and self.ends_on <= self.starts_on:
            raise EndsBeforeItStarts(
                f"Service that starts on {self.starts_on} cannot end before {self.ends_on}: "
                "the end is the first day without service, so at least the day after the start."
            )
        if self.trial_days < 0:
            raise NegativeTrial(f"A trial cannot last {self.trial_days} days.")
        if self.alignment == Alignment.CALENDAR and self.anchor_on is not None:
            raise AnchorOnCalendar(
                "Calendar periods follow the calendar and take no anchor date: "
                "remove the anchor or choose anniversary periods."
            )
        _ = self.grid  # refuses a bad count, and a trial or anchor beyond the calendar, at once

    @cached_property
    def paid_from(self) -> date:
        """The first day after the trial; without one, the start."""
        return Grid(self.starts_on, Interval.DAY).boundary(self.trial_days)

    @cached_property
    def grid(self) -> Grid:
        """The boundaries of paid periods (R4)."""
        if self.alignment == Alignment.CALENDAR:
            single_unit = Grid(CALENDAR_ANCHOR, self.interval)
            return Grid(single_unit.first_on_or_after(self.paid_from), self.interval, self.count)
        return Grid(self.anchor_on or self.paid_from, self.interval, self.count)

    def period(self, number: int) -> Period:
        """Return the period of this number, computed without walking there.

        :raises NoSuchPeriod: if the number is negative, or service has ended by then.
        :raises DateOutOfRange: if its grid period does not lie within the years 1 to 9999.
        """
        if number < 0:
            raise NoSuchPeriod(f"Periods are numbered from 0: there is none numbered {number}.")
        if self.trial_days and number == 0:
            end = self._cut(self.paid_from)
            return Period(self.starts_on, end, self.starts_on, end, trial=True)
        n = self._first_index + number - bool(self.trial_days)
        nominal_start = self.grid.boundary(n)
        start = max(nominal_start, self.paid_from)
        if self.ends_on is not None and start >= self.ends_on:
            raise NoSuchPeriod(f"There is no period {number}: service ends on {self.ends_on}.")
        nominal_end = self.grid.boundary(n + 1)
        return Period(start, self._cut(nominal_end), nominal_start, nominal_end)

    def number_on(self, day: date) -> int:
        """Return the number of the period that contains `day`.

        :raises NoSuchPeriod: if there is no service on that day.
        """
        if day < self.starts_on:
            raise NoSuchPeriod(f"There is no service on {day}: it starts on {self.starts_on}.")
        if self.ends_on is not None and day >= self.ends_on:
            raise NoSuchPeriod(f"There is no service on {day}: it ended before {self.ends_on}.")
        if day < self.paid_from:
            return 0
        return self.grid.index(day) - self._first_index + bool(self.trial_days)

    def period_containing(self, day: date) -> Period:
        """Return the one period that contains `day`.

        :raises NoSuchPeriod: if there is no service on that day.
        """
        return self.period(self.number_on(day))

    def periods(self, since: int | date = 0) -> Iterator[Period]:
        """Yield periods in order until service ends, lazily; without an end, for as long as asked.

        Begins at the period of that number, or at the one that contains that day: at the first
        for a day before the start, and nowhere for one on or after the end.

        :raises DateOutOfRange: on reaching the year 9999.
        """
        if isinstance(since, date):
            if self.ends_on is not None and since >= self.ends_on:
                return
            since = self.number_on(max(since, self.starts_on))
        for number in count(since):
            try:
                period = self.period(number)
            except NoSuchPeriod:
                return
            yield period

    @cached_property
    def _first_index(self) -> int:
        return self.grid.index(self.paid_from)

    def _cut(self, end: date) -> date:
        return end if self.ends_on is None else min(end, self.ends_on)


# Not places: what a machine calls its own zone, or has before it is set up.
TIME_ZONES = tuple(sorted(available_timezones() - {"Factory", "localtime", "posixrules"}))
_KNOWN_ZONES = frozenset(TIME_ZONES)


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name.

    :raises UnknownTimeZone: if it is not exactly one of `TIME_ZONES`.
    """
    # Asked before ZoneInfo, which would look for a file of that name.
    if name not in _KNOWN_ZONES:
        raise UnknownTimeZone(f"{name!r} is not a time zone. One that is: 'Europe/Berlin'.")
    return ZoneInfo(name)


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """Return the moment, in UTC, at which this local date begins (R2).

    Where midnight is skipped, the moment of the jump; where it comes twice, the first. A date
    that a zone skipped whole begins and ends at the jump.

    :raises DateOutOfRange: if that moment is not between the years 1 and 9999 in UTC.
    """
    midnight = datetime.combine(day, time(), zone)
    try:
        moment = midnight.astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
            return moment
    except OverflowError:
        raise DateOutOfRange(f"{day} in {zone} does not lie within the years 1 to 9999.") from None
    # Midnight was skipped: fold 0 reads it with the offset before the jump, so too late or just
    # right, and fold 1 with the one after, so before the jump.
    before = midnight.replace(fold=1).astimezone(UTC)
    seconds = range((moment - before) // timedelta(seconds=1))
    jump = bisect_left(
        seconds, day, key=lambda s: (before + timedelta(seconds=s)).astimezone(zone).date()
    )
    return before + timedelta(seconds=jump)


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """Return the local date to which an aware instant belongs, the inverse of `first_instant` (R2).

    What the wall calendar says, save where clocks went back over midnight: a day once begun is
    not left again.

    :raises DateOutOfRange: if the date is not between the years 1 and 9999.
    """
    assert instant.tzinfo is not None
    try:
        local = instant.astimezone(zone)
        if local.fold and first_instant(local.date() + timedelta(days=1), zone) <= instant:
            return local.date() + timedelta(days=1)
    except OverflowError:
        raise DateOutOfRange(f"{instant} does not lie within the years 1 to 9999.") from None
    return local.date()


def instants(period: Period, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the half-open span of the period in UTC (R1, R2), a DST change and all."""
    return first_instant(period.start, zone), first_instant(period.end, zone)
