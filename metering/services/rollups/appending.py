"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from metering import wire
from metering.definitions import Definition
from metering.pieces import NO_KEY, Occurrence, Piece, pieces
from metering.querysets import sqlite_instant

WORTH_A_BATCH = 20
"""From so many pieces on, PostgreSQL keeps them in one row; see `PieceBatch`."""

_COLUMNS = (
    "rollup_id, customer_id, subscription_id, key, starts_at, ends_at, events, total, highest, "
    "area, last_value, first_time, last_time, last_id, last_received_at, is_folded"
)


def append_pieces(
    events: Mapping[str, Sequence[Occurrence]],
    *,
    rollups: Mapping[str, Sequence[tuple[int, Definition]]],
    received_at: datetime,
) -> None:
    """Add events that were just stored, by their type, to every rollup that counts them.

    Call it in the transaction that stores them, with the rollups it read after its first write: a
    rollup made by somebody else is known to whoever writes later, and waits for whoever wrote
    before.
    """
    few: list[tuple[int, Piece]] = []
    for type_, occurrences in events.items():
        for rollup_id, definition in rollups.get(type_, ()):
            found = pieces(definition, occurrences)
            if connection.vendor == "postgresql" and len(found) >= WORTH_A_BATCH:
                _insert_batch(rollup_id, found, received_at)
            else:
                few += ((rollup_id, piece) for piece in found)
    if few:
        _insert(few, received_at)


def _insert(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> None:
    marks = f"({', '.join(['%s'] * 16)})"
    if connection.vendor == "postgresql":
        with wire.server_cursor() as cursor:
            cursor.execute(
                f"INSERT INTO metering_usagepiece ({_COLUMNS}) "
                f"VALUES {', '.join([marks] * len(rows))}",
                [value for id_, piece in rows for value in (id_, *piece, received_at, False)],
                prepare=len(rows) == 1,
            )
        return
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usagepiece ({_COLUMNS}) VALUES {marks}",
            [(rollup_id, *_on_sqlite(piece), arrived, False) for rollup_id, piece in rows],
        )


def _insert_batch(rollup_id: int, found: Sequence[Piece], received_at: datetime) -> None:
    (
        customers, subscriptions, keys, starts, ends, events, totals, highests, areas, last_values,
        first_times, last_times, last_ids,
    ) = zip(*found, strict=True)  # fmt: skip
    with wire.server_cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_piecebatch (rollup_id, last_received_at, customer_ids, "
            "subscription_ids, keys, starts, ends, events, totals, highests, areas, last_values, "
            "first_times, last_times, last_ids) "
            "VALUES (%s, %s, %s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[], "
            "%s::timestamptz[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], "
            "%s::numeric[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])",
            (
                rollup_id,
                received_at,
                wire.bigints(customers),
                wire.texts(subscriptions),
                None if keys.count(NO_KEY) == len(keys) else list(keys),
                wire.instants(starts),
                wire.instants(ends),
                wire.bigints(events),
                *map(wire.texts, (totals, highests, areas, last_values)),
                wire.instants(first_times),
                wire.instants(last_times),
                wire.bigints(last_ids),
            ),
            prepare=True,
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
