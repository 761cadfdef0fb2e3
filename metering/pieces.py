"""Summing up a batch of events: the pieces that ingestion appends [pure].

The same rules in SQL, for many days at once, are `querysets.fragments`; an audit compares both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from metering import properties
from metering.days import Day
from metering.definitions import Definition, Kind
from metering.properties import LARGEST

_ROOM = Context(prec=200)
_MICROSECOND = timedelta(microseconds=1)
_ZERO = Decimal(0)
NO_KEY = "[]"
"""The key of a rollup that keeps nothing apart."""


Occurrence = tuple[int, datetime, int, int | None, Mapping[str, Any], Day]
"""An event as it counts: id, time, customer, subscription, data, and its customer's local day."""


class Piece(NamedTuple):
    """What is kept of events of one customer, day and key; see `UsagePiece`."""

    customer_id: int
    subscription_id: int | None
    key: str
    starts_at: datetime
    ends_at: datetime
    events: int
    total: int | Decimal | None
    highest: Decimal | None
    area: Decimal | None
    last_value: Decimal | None
    first_time: datetime
    last_time: datetime
    last_id: int


_Whose = tuple[int, int | None, str, Day]
_Seen = tuple[datetime, int, Any]


def pieces(definition: Definition, occurrences: Iterable[Occurrence]) -> list[Piece]:
    """Return one piece per customer, subscription, key and day of what counts."""
    names, kind = definition.key_names, definition.kind
    if kind in (Kind.COUNT, Kind.SUM):
        return _added_up(definition, occurrences)
    found: dict[_Whose, list[_Seen]] = defaultdict(list)
    for id, time, customer_id, subscription_id, data, day in occurrences:
        value = definition.value(data)
        if value is not None:
            key = properties.canonical([data.get(name) for name in names]) if names else NO_KEY
            found[customer_id, subscription_id, key, day].append((time, id, value))
    return [_piece(kind, *whose, sorted(seen)) for whose, seen in found.items()]


def _added_up(definition: Definition, occurrences: Iterable[Occurrence]) -> list[Piece]:
    """Return the pieces of what only adds up, as nearly all usage does: the order is all one."""
    names, sums, value_of = definition.key_names, definition.kind == Kind.SUM, definition.value
    simple = definition.value_property if sums and not definition.filters else ""
    keys: dict[Any, str] = {}
    found: dict[_Whose, list[Any]] = {}
    key = NO_KEY
    for id, time, customer_id, subscription_id, data, day in occurrences:
        value = data.get(simple)
        if type(value) is not int or not -LARGEST < value < LARGEST:
            value = value_of(data)
            if value is None:
                continue
        if names:
            key = _key(data, names, keys)
        whose = (customer_id, subscription_id, key, day)
        seen = found.get(whose)
        if seen is None:
            found[whose] = [1, value, time, time, id]
            continue
        seen[0] += 1
        if sums:
            seen[1] = _plus(seen[1], value)
        if time < seen[2]:
            seen[2] = time
        if (time, id) > (seen[3], seen[4]):
            seen[3], seen[4] = time, id
    return [
        Piece(
            customer_id, subscription_id, key, starts_at, ends_at, events,
            total if sums else None, None, None, None, first_time, last_time, last_id,
        )
        for (customer_id, subscription_id, key, (starts_at, ends_at)), (
            events, total, first_time, last_time, last_id,
        ) in found.items()
    ]  # fmt: skip


def _plus(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    if type(one) is int and type(other) is int:
        return one + other
    return _ROOM.add(Decimal(one), Decimal(other))


def _key(data: Mapping[str, Any], names: Sequence[str], known: dict[Any, str]) -> str:
    """Write the values of the properties that are kept apart; each combination of texts once."""
    values = tuple([data.get(name) for name in names])
    if not all(type(value) is str for value in values):  # 1 and true would share a place
        return properties.canonical(list(values))
    key = known.get(values)
    if key is None:
        key = known[values] = properties.canonical(list(values))
    return key


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
