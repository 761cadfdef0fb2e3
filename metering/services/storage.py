"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes the rows by COPY, SQLite by executemany.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from metering import properties
from metering.events import Event
from metering.models import EventKey
from metering.querysets import sqlite_instant

_COLUMNS = (
    "key, source, event_id, type, customer_id, subscription_id, time, received_at, data, extensions"
)


class Counted(NamedTuple):
    """An event to be stored, with whose it is and when it happened."""

    event: Event
    customer_id: int
    subscription_id: int | None
    time: datetime


def claim_keys(hashes: Mapping[str, bytes]) -> set[str]:
    """Store the keys that are new with their payload hashes, and return them (R7).

    Of two transactions that claim the same key, the second waits for the first. Keys are taken in
    sorted order, so that no two wait for each other.
    """
    keys = sorted(hashes)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO metering_eventkey (key, payload_hash) "
                "SELECT * FROM unnest(%s::uuid[], %s::bytea[]) ON CONFLICT DO NOTHING "
                "RETURNING replace(key::text, '-', '')",
                (keys, [hashes[key] for key in keys]),
            )
            return {key for (key,) in cursor.fetchall()}
    new = hashes.keys() - known_hashes(keys).keys()  # one writer at a time: nobody comes between
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventkey (key, payload_hash) VALUES (%s, %s)",
            [(key, hashes[key]) for key in keys if key in new],
        )
    return set(new)


def known_hashes(keys: Iterable[str]) -> dict[str, bytes]:
    """Return the payload hash under each of these keys that has arrived before."""
    wanted = list(keys)
    if not wanted:
        return {}
    param: Any
    if connection.vendor == "postgresql":
        where, param = "key = ANY(%s::uuid[])", wanted
    else:
        where, param = "key IN (SELECT value FROM json_each(%s))", properties.canonical(wanted)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT key, payload_hash FROM metering_eventkey WHERE {where}", (param,))
        return {
            key.replace("-", "") if isinstance(key, str) else key.hex: bytes(payload_hash)
            for key, payload_hash in cursor.fetchall()
        }


def store_events(rows: Sequence[Counted], *, received_at: datetime) -> None:
    """Append events in this order, which becomes that of their ids."""
    if not rows:
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            if len(rows) == 1:
                marks = ", ".join(["%s"] * 10)
                cursor.execute(
                    f"INSERT INTO metering_usageevent ({_COLUMNS}) VALUES ({marks})",
                    _row(rows[0], received_at),
                )
                return
            copy: Any = cursor.copy(f"COPY metering_usageevent ({_COLUMNS}) FROM STDIN")
            with copy as sink:
                for row in rows:
                    sink.write_row(_row(row, received_at))
        return
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_row(row._replace(time=sqlite_instant(row.time)), arrived) for row in rows],  # type: ignore[arg-type]
        )


def replace_payload(key: str, payload_hash: bytes) -> None:
    """Let a key stand for another payload, while its event is in quarantine (R7)."""
    EventKey.objects.filter(pk=key).update(payload_hash=payload_hash)


def _row(row: Counted, received_at: Any) -> tuple[Any, ...]:
    event = row.event
    return (
        event.key,
        event.source,
        event.id,
        event.type,
        row.customer_id,
        row.subscription_id,
        row.time,
        received_at,
        properties.canonical(event.data),
        None if event.extensions is None else properties.canonical(event.extensions),
    )
