"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import connection

from customers.models import Customer
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
    zones = _zones({one.customer_id for each in events.values() for one in each})

    def day_of(customer_id: int, time: datetime) -> Day:
        return local_day(time, zones[customer_id])

    rows = [
        (rollup_id, piece)
        for rollup_id, definition in wanted
        for piece in pieces(definition, events[definition.event_type], day_of=day_of)
    ]
    _insert(rows, received_at)


def _rollups(types: Iterable[str]) -> list[tuple[int, Definition]]:
    found = Rollup.objects.filter(event_type__in=list(types)).order_by("pk")
    return [(pk, _definition(text)) for pk, text in found.values_list("pk", "definition")]


@lru_cache(maxsize=10_000)
def _definition(text: str) -> Definition:
    return definition_from(text)


def _zones(customers: set[int]) -> dict[int, str]:
    """Return the zones of customers; UTC for one that went, whose day is as good as any."""
    found: dict[int, str] = defaultdict(lambda: "UTC")
    found.update(Customer.objects.filter(pk__in=customers).values_list("pk", "time_zone"))
    return found


def _insert(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> None:
    if not rows:
        return
    marks = ", ".join(["%s"] * 16)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            written = [(rollup_id, *piece, received_at, False) for rollup_id, piece in rows]
            if len(written) < COPIED_FROM:
                cursor.execute(
                    f"INSERT INTO metering_usagepiece ({_COLUMNS}) "
                    f"VALUES {', '.join([f'({marks})'] * len(written))}",
                    [value for row in written for value in row],
                )
                return
            copy: Any = cursor.copy(f"COPY metering_usagepiece ({_COLUMNS}) FROM STDIN")
            with copy as sink:
                for row in written:
                    sink.write_row(row)
            return
        arrived = sqlite_instant(received_at)
        cursor.executemany(
            f"INSERT INTO metering_usagepiece ({_COLUMNS}) VALUES ({marks})",
            [(rollup_id, *_on_sqlite(piece), arrived, False) for rollup_id, piece in rows],
        )


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
