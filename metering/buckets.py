"""Cutting a stretch of time into the hours, days or months of a time zone (R1, R2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from customers.periods import first_instant, local_date, month_after

_HOUR = timedelta(hours=1)


class Granularity(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def buckets(
    start: datetime, end: datetime, granularity: Granularity, zone: ZoneInfo
) -> Iterator[tuple[datetime, datetime]]:
    """Yield half-open stretches in UTC that cover [start, end), cut where a local hour, day or
    month begins; the first and the last may be parts. Lazy."""
    following = _FOLLOWING[granularity]
    while start < end:
        cut = min(following(start, zone), end)
        yield start, cut
        start = cut


def _next_hour(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the next start of an hour; where clocks change by half an hour, of half of one."""
    later = (instant + _HOUR).astimezone(zone)
    into = timedelta(minutes=later.minute, seconds=later.second, microseconds=later.microsecond)
    return later.astimezone(UTC) - into


def _next_day(instant: datetime, zone: ZoneInfo) -> datetime:
    return _after(instant, zone, lambda day: day + timedelta(days=1))


def _next_month(instant: datetime, zone: ZoneInfo) -> datetime:
    return _after(instant, zone, lambda day: month_after(day.replace(day=1), 1))


def _after(instant: datetime, zone: ZoneInfo, step: Callable[[date], date]) -> datetime:
    """Return the first instant after this one at which such a date begins.

    A date that the zone skipped whole begins when the next one does, so it gives no bucket.
    """
    day = step(local_date(instant, zone))
    while (begins := first_instant(day, zone)) <= instant:
        day = step(day)
    return begins


_FOLLOWING = {
    Granularity.HOUR: _next_hour,
    Granularity.DAY: _next_day,
    Granularity.MONTH: _next_month,
}
