"""Summing up a batch of events: the pieces that ingestion appends [pure].

The same rules in SQL, for many days at once, are `querysets.fragments`; an audit compares both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from metering import properties
from metering.days import Day
from metering.definitions import Definition, Kind

_ROOM = Context(prec=200)
_MICROSECOND = timedelta(microseconds=1)
_ZERO = Decimal(0)


class Occurrence(NamedTuple):
    """An event as it counts."""

    id: int
    time: datetime
    customer_id: int
    subscription_id: int | None
    data: Mapping[str, Any]


class Piece(NamedTuple):
    """What is kept of events of one customer, day and key; see `UsagePiece`."""

    customer_id: int
    subscription_id: int | None
    key: str
    starts_at: datetime
    ends_at: datetime
    events: int
    total: Decimal | None
    highest: Decimal | None
    area: Decimal | None
    last_value: Decimal | None
    first_time: datetime
    last_time: datetime
    last_id: int


_Whose = tuple[int, int | None, str, Day]
_Seen = tuple[datetime, int, Any]


def pieces(
    definition: Definition,
    occurrences: Iterable[Occurrence],
    *,
    day_of: Callable[[int, datetime], Day],
) -> list[Piece]:
    """Return one piece per customer, subscription, key and day of what counts.

    `day_of` gives the local day of a customer that an instant lies in.
    """
    names, kind = definition.key_names, definition.kind
    found: dict[_Whose, list[_Seen]] = defaultdict(list)
    for id, time, customer_id, subscription_id, data in occurrences:
        value = definition.value(data)
        if value is not None:
            key = properties.canonical([data.get(name) for name in names]) if names else "[]"
            whose = (customer_id, subscription_id, key, day_of(customer_id, time))
            found[whose].append((time, id, value))
    of_one = _OF_ONE.get(kind)
    return [
        _single(of_one, *whose, *seen[0])
        if of_one and len(seen) == 1
        else _piece(kind, *whose, sorted(seen))
        for whose, seen in found.items()
    ]


_OF_ONE: dict[Kind, Callable[[Any], Decimal | None]] = {
    Kind.COUNT: lambda value: None,
    Kind.SUM: lambda value: value,
}
"""What a single event adds up to: most pieces of a batch are of one."""


def _single(
    of_one: Callable[[Any], Decimal | None],
    customer_id: int,
    subscription_id: int | None,
    key: str,
    day: Day,
    time: datetime,
    id: int,
    value: Any,
) -> Piece:
    return Piece(
        customer_id, subscription_id, key, *day, 1, of_one(value), None, None, None, time, time, id
    )


def _piece(
    kind: Kind,
    customer_id: int,
    subscription_id: int | None,
    key: str,
    day: Day,
    seen: Sequence[_Seen],
) -> Piece:
    total = highest = area = last_value = None
    match kind:
        case Kind.SUM:
            total = _sum(seen)
        case Kind.LAST:
            last_value = seen[-1][2]
        case Kind.HIGHEST:
            highest, last_value = max(value for _, _, value in seen), seen[-1][2]
        case Kind.PEAK:
            total, highest = _sum(seen), _peak(seen)
        case Kind.FLOW:
            total = _sum(seen)
            area = _added(_weight(value, time, day[1]) for time, _, value in seen)
        case Kind.HELD:
            last_value = seen[-1][2]
            following = [*(time for time, _, _ in seen[1:]), day[1]]
            area = _added(
                _weight(value, time, until)
                for (time, _, value), until in zip(seen, following, strict=True)
            )
    return Piece(
        customer_id,
        subscription_id,
        key,
        *day,
        len(seen),
        total,
        highest,
        area,
        last_value,
        seen[0][0],
        seen[-1][0],
        seen[-1][1],
    )


def _peak(seen: Sequence[_Seen]) -> Decimal:
    """Return the highest running total; changes of one instant count as one."""
    level, highest = _ZERO, None
    for _, changes in groupby(seen, key=itemgetter(0)):
        level = _ROOM.add(level, _sum(list(changes)))
        highest = level if highest is None else max(highest, level)
    assert highest is not None
    return highest


def _sum(seen: Sequence[_Seen]) -> Decimal:
    return _added(value for _, _, value in seen)


def _added(values: Iterable[Decimal]) -> Decimal:
    total = _ZERO
    for value in values:
        total = _ROOM.add(total, value)
    return total


def _weight(value: Decimal, start: datetime, end: datetime) -> Decimal:
    return _ROOM.multiply(value, Decimal((end - start) // _MICROSECOND))
