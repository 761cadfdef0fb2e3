"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import connection

from metering import properties
from metering.days import Day, local_day
from metering.definitions import Definition, definition_from
from metering.pieces import Occurrence, Piece, pieces
from metering.querysets import sqlite_instant

COPIED_FROM = 20
_COLUMNS = (
    "rollup_id, customer_id, subscription_id, key, starts_at, ends_at, events, total, highest, "
    "area, last_value, first_time, last_time, last_id, last_received_at, is_folded"
)


def append_pieces(events: Mapping[str, Sequence[Occurrence]], *, received_at: datetime) -> None:
    """Add events that were just stored, by their type, to every rollup that counts them.

    Call it in the transaction that stores them, after its first write: a rollup made by somebody
    else is known to whoever writes later, and waits for whoever wrote before.
    """
    wanted, zones = _rollups_and_zones(
        list(events), {one.customer_id for each in events.values() for one in each}
    )
    days = _Days(zones)
    rows = [
        (rollup_id, piece)
        for rollup_id, definition in wanted
        for piece in pieces(definition, events[definition.event_type], day_of=days.of)
    ]
    _insert(rows, received_at)


def _rollups_and_zones(
    types: list[str], customers: set[int]
) -> tuple[list[tuple[int, Definition]], dict[int, str]]:
    """Return the rollups that count these types, and the zones of these customers.

    UTC for a customer that went, whose day is as good as any.
    """
    rollups = "SELECT id, definition FROM metering_rollup WHERE event_type {} ORDER BY id"
    zones = "SELECT id, time_zone FROM customers_customer WHERE id {}"
    found: dict[int, str] = defaultdict(lambda: "UTC")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # both in one round trip
            ids = f"{{{','.join(map(str, customers))}}}"
            cursor.execute(
                f"{rollups.format('= ANY(%s)')}; {zones.format('= ANY(%s::bigint[])')}",
                (types, ids),
            )
            wanted = cursor.fetchall()
            cursor.nextset()
        else:
            listed = "IN (SELECT value FROM json_each(%s))"
            cursor.execute(rollups.format(listed), (properties.canonical(types),))
            wanted = cursor.fetchall()
            cursor.execute(zones.format(listed), (properties.canonical(sorted(customers)),))
        found.update(cursor.fetchall())
    return [(pk, _definition(text)) for pk, text in wanted], found


@lru_cache(maxsize=10_000)
def _definition(text: str) -> Definition:
    return definition_from(text)


class _Days:
    """The local days of customers, each worked out once for all rollups of a batch."""

    def __init__(self, zones: Mapping[int, str]) -> None:
        self._zones = zones
        self._known: dict[tuple[int, datetime], Day] = {}

    def of(self, customer_id: int, time: datetime) -> Day:
        day = self._known.get((customer_id, time))
        if day is None:
            day = local_day(time, self._zones[customer_id])
            self._known[customer_id, time] = day
        return day


def _insert(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> None:
    if not rows:
        return
    marks = ", ".join(["%s"] * 16)
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            arrived = sqlite_instant(received_at)
            cursor.executemany(
                f"INSERT INTO metering_usagepiece ({_COLUMNS}) VALUES ({marks})",
                [(rollup_id, *_on_sqlite(piece), arrived, False) for rollup_id, piece in rows],
            )
        elif len(rows) < COPIED_FROM:
            cursor.execute(
                f"INSERT INTO metering_usagepiece ({_COLUMNS}) "
                f"VALUES {', '.join([f'({marks})'] * len(rows))}",
                [value for id_, piece in rows for value in (id_, *piece, received_at, False)],
            )
        else:
            copy: Any = cursor.copy(f"COPY metering_usagepiece ({_COLUMNS}) FROM STDIN (NULL '')")
            with copy as sink:
                sink.write(_copied(rows, received_at))


def _copied(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> str:
    """Write pieces as COPY reads them; no column holds a raw tab or newline, as keys are JSON."""
    instant = lru_cache(maxsize=1000)(datetime.isoformat)  # a batch has few days
    arrived = received_at.isoformat()
    text = "".join(
        f"{rollup_id}\t{one.customer_id}\t{one.subscription_id or ''}\t{one.key}\t"
        f"{instant(one.starts_at)}\t{instant(one.ends_at)}\t{one.events}\t{_number(one.total)}\t"
        f"{_number(one.highest)}\t{_number(one.area)}\t{_number(one.last_value)}\t"
        f"{one.first_time.isoformat()}\t{one.last_time.isoformat()}\t{one.last_id}\t"
        f"{arrived}\tf\n"
        for rollup_id, one in rows
    )
    return text.replace("\\", "\\\\")


def _number(value: Decimal | None) -> str:
    return "" if value is None else str(value)


def _on_sqlite(piece: Piece) -> list[Any]:
    """Return a piece as SQLite's columns hold it: instants and exact numbers as texts."""
    return [
        f"{held:f}"
        if isinstance(held, Decimal)
        else sqlite_instant(held)
        if isinstance(held, datetime)
        else held
        for held in piece
    ]
