"""The local day that an instant lies in, as instants [pure]."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from customers.periods import UnknownTimeZone, first_instant, local_date, zone

Day = tuple[datetime, datetime]


def local_day(instant: datetime, zone_name: str) -> Day:
    """Return [start, end) in UTC of the day of this zone that the instant lies in (R2).

    In a zone that is not known any more, of the day in UTC.
    """
    day = _of_quarter(instant.toordinal(), instant.hour, instant.minute // 15, zone_name)
    return day if day[0] <= instant < day[1] else _day(instant, zone_name)


@lru_cache(maxsize=100_000)
def _of_quarter(ordinal: int, hour: int, quarter: int, zone_name: str) -> Day:
    """Return the day of a quarter of an hour in UTC; hardly ever does one begin within it."""
    instant = datetime.fromordinal(ordinal).replace(tzinfo=UTC)
    return _day(instant + timedelta(hours=hour, minutes=15 * quarter), zone_name)


def _day(instant: datetime, zone_name: str) -> Day:
    try:
        place = zone(zone_name)
    except UnknownTimeZone:
        place = zone("UTC")
    today = local_date(instant, place)
    following = today + timedelta(days=1)
    while (end := first_instant(following, place)) <= instant:  # a date that the zone skipped
        following += timedelta(days=1)
    return first_instant(today, place), end
