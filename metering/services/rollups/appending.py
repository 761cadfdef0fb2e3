"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import connection

from metering.days import Day, local_day
from metering.definitions import Definition, definition_from
from metering.models import Rollup
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
    wanted = _rollups(events)
    if not wanted:
        return
    days = _Days(_zones({one.customer_id for each in events.values() for one in each}))
    rows = [
        (rollup_id, piece)
        for rollup_id, definition in wanted
        for piece in pieces(definition, events[definition.event_type], day_of=days.of)
    ]
    _insert(rows, received_at)


def _rollups(types: Iterable[str]) -> list[tuple[int, Definition]]:
    found = Rollup.objects.filter(event_type__in=list(types)).order_by("pk")
    return [(pk, _definition(text)) for pk, text in found.values_list("pk", "definition")]


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


def _zones(customers: set[int]) -> dict[int, str]:
    """Return the zones of customers; UTC for one that went, whose day is as good as any."""
    if connection.vendor == "postgresql":
        where, ids = "id = ANY(%s::bigint[])", f"{{{','.join(map(str, customers))}}}"
    else:
        where = "id IN (SELECT value FROM json_each(%s))"
        ids = f"[{','.join(map(str, customers))}]"
    found: dict[int, str] = defaultdict(lambda: "UTC")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, time_zone FROM customers_customer WHERE {where}", (ids,))
        found.update(cursor.fetchall())
    return found


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
