"""Summing up a batch of events: the pieces that ingestion appends [pure].

The same rules in SQL, for many days at once, are `querysets.fragments`; an audit compares both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
NO_KEY = "[]"
"""The key of a rollup that keeps nothing apart."""


Occurrence = tuple[int, datetime, int, int | None, Mapping[str, Any], Day]
"""An event as it counts: id, time, customer, subscription, data, and its customer's local day."""


class Pieces(NamedTuple):
    """What is kept of events, a piece per customer, subscription, key and day, column by column.

    The columns are equally long; see `UsagePiece`.
    """

    customer_ids: Sequence[int]
    subscription_ids: Sequence[int | None]
    keys: Sequence[str]
    starts: Sequence[datetime]
    ends: Sequence[datetime]
    events: Sequence[int]
    totals: Sequence[int | Decimal | None]
    highests: Sequence[Decimal | None]
    areas: Sequence[Decimal | None]
    last_values: Sequence[Decimal | None]
    first_times: Sequence[datetime]
    last_times: Sequence[datetime]
    last_ids: Sequence[int]


_NONE = Pieces(*[()] * 13)
_Piece = tuple[Any, ...]
_Whose = tuple[int, int | None, str, Day]
_Seen = tuple[datetime, int, Any]


def pieces(
    definitions: Sequence[Definition], occurrences: Sequence[Occurrence]
) -> Iterator[Pieces]:
    """Yield, for each definition in turn, the pieces of what counts; those alike share columns."""
    for (adds_up, names), group in groupby(definitions, key=_likeness):
        alike = list(group)
        if not adds_up:
            yield from (_in_order(definition, occurrences) for definition in alike)
        elif (shared := _added_up(alike, names, occurrences)) is not None:
            yield from shared
        else:
            for definition in alike:
                counting = [one for one in occurrences if definition.value(one[4]) is not None]
                yield from _added_up([definition], names, counting) or ()


def _likeness(definition: Definition) -> tuple[bool, tuple[str, ...]]:
    """Return what two definitions share whose pieces can be found in one pass."""
    return definition.kind in (Kind.COUNT, Kind.SUM), definition.key_names


def _in_order(definition: Definition, occurrences: Iterable[Occurrence]) -> Pieces:
    names, kind = definition.key_names, definition.kind
    found: dict[_Whose, list[_Seen]] = defaultdict(list)
    for id, time, customer_id, subscription_id, data, day in occurrences:
        value = definition.value(data)
        if value is not None:
            key = properties.canonical([data.get(name) for name in names]) if names else NO_KEY
            found[customer_id, subscription_id, key, day].append((time, id, value))
    rows = [_piece(kind, *whose, sorted(seen)) for whose, seen in found.items()]
    return Pieces(*zip(*rows, strict=True)) if rows else _NONE


def _added_up(
    definitions: Sequence[Definition], names: Sequence[str], occurrences: Sequence[Occurrence]
) -> list[Pieces] | None:
    """Return the pieces of what only adds up, as nearly all usage does: the order is all one.

    None if something does not count by each of the definitions.
    """
    counted = [_values(definition, occurrences) for definition in definitions]
    if any(values is None for values in counted):
        return None
    places, found = _lying(names, occurrences)
    nothing: Sequence[None] = [None] * len(found.events)
    return [
        found._replace(
            totals=_totals(places, values, len(nothing)) if values else nothing,
            highests=nothing,
            areas=nothing,
            last_values=nothing,
        )
        for values in counted
    ]


def _values(
    definition: Definition, occurrences: Sequence[Occurrence]
) -> Sequence[int | Decimal] | None:
    """Return what each event adds, nothing where events are only counted; None if one does not count."""
    if definition.filters or definition.kind == Kind.COUNT:
        values = [definition.value(one[4]) for one in occurrences] if definition.filters else []
        return None if None in values else [] if definition.kind == Kind.COUNT else values
    name = definition.value_property
    values = [data.get(name) for _, _, _, _, data, _ in occurrences]
    if not properties.are_whole(values):
        values = [definition.value(data) for _, _, _, _, data, _ in occurrences]
    return None if None in values else values


def _lying(names: Sequence[str], occurrences: Sequence[Occurrence]) -> tuple[list[int], Pieces]:
    """Return each event's place among the pieces, and these without what it adds to them."""
    pieces: dict[_Whose, int] = {}
    known: dict[Any, str] = {}
    places: list[int] = []
    events: list[int] = []
    first_times: list[datetime] = []
    last_times: list[datetime] = []
    last_ids: list[int] = []
    key = NO_KEY
    for id, time, customer_id, subscription_id, data, day in occurrences:
        if names:
            key = _key(data, names, known)
        whose = (customer_id, subscription_id, key, day)
        place = pieces.get(whose)
        if place is None:
            place = pieces[whose] = len(events)
            events.append(1)
            first_times.append(time)
            last_times.append(time)
            last_ids.append(id)
        else:
            events[place] += 1
            if time < first_times[place]:
                first_times[place] = time
            if time >= last_times[place] and (time, id) > (last_times[place], last_ids[place]):
                last_times[place], last_ids[place] = time, id
        places.append(place)
    if not pieces:
        return places, _NONE
    customer_ids, subscription_ids, keys, days = zip(*pieces, strict=True)
    starts, ends = zip(*days, strict=True)
    found = Pieces(
        customer_ids, subscription_ids, keys, starts, ends, events, (), (), (), (),
        first_times, last_times, last_ids,
    )  # fmt: skip
    return places, found


def _totals(
    places: Sequence[int], values: Sequence[int | Decimal], count: int
) -> list[int | Decimal]:
    totals: list[int | Decimal] = [0] * count
    if set(map(type, values)) == {int}:
        for place, value in zip(places, values, strict=True):
            totals[place] += value
    else:
        for place, value in zip(places, values, strict=True):
            totals[place] = _ROOM.add(Decimal(totals[place]), Decimal(value))
    return totals


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
) -> _Piece:
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
    return (
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
