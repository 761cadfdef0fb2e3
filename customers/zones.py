"""Where a subscription's days begin, and where they do since its time zone changed (R2) [pure].

A new zone holds from a boundary on. The boundary itself is one of the old zone, at which the running
period ends as it would have; the one after is one of the new.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from customers.periods import first_instant, local_date, zone

_DAY = timedelta(days=1)


class ZoneChange(NamedTuple):
    """From which boundary on which zone holds."""

    since: date
    name: str


class Zones(NamedTuple):
    """The zone that a subscription began with, and those that hold from days on, in order."""

    first: str
    changes: tuple[ZoneChange, ...] = ()

    @property
    def last(self) -> str:
        """The zone that holds at last."""
        return self.changes[-1].name if self.changes else self.first

    def on(self, day: date) -> str:
        """Return the name of the zone that holds on a day."""
        return ([self.first] + [name for since, name in self.changes if since <= day])[-1]

    def begins(self, day: date) -> datetime:
        """Return the moment, in UTC, at which a day begins: where the one before it ends (R1, R2).

        In the zone of the day before. A day that a change over the date line leaves out whole begins
        and ends at once, as one that its zone skipped.

        :raises DateOutOfRange: if that moment is not between the years 1 and 9999.
        """
        if not self.changes:
            return first_instant(day, zone(self.first))
        moment = first_instant(day, zone(self.on(day - _DAY)))
        turns = [since for since, _ in self.changes if since < day]
        return max(moment, self.begins(turns[-1])) if turns else moment

    def day_of(self, at: datetime) -> date:
        """Return the day to which an aware instant belongs, the inverse of `begins`.

        :raises DateOutOfRange: if the date is not between the years 1 and 9999.
        """
        begun = [since for since, _ in self.changes if self.begins(since) <= at]
        if not begun:
            return local_date(at, zone(self.first))
        return max(begun[-1], local_date(at, zone(self.on(begun[-1]))))

    def changed(self, since: date, name: str) -> Zones:
        """Return them with another zone from a day on, instead of what was to change then or later."""
        before = Zones(self.first, tuple(one for one in self.changes if one.since < since))
        if before.on(since) == name:
            return before
        return before._replace(changes=(*before.changes, ZoneChange(since, name)))

    def as_json(self) -> dict[str, str]:
        """Return the changes as a row keeps them."""
        return {since.isoformat(): name for since, name in self.changes}


def zones_from(first: str, changes: Mapping[str, str] | None) -> Zones:
    """Return what a row keeps: the zone it began with, and the changes by day."""
    rows = (changes or {}).items()
    return Zones(first, tuple(sorted(ZoneChange(date.fromisoformat(d), name) for d, name in rows)))
