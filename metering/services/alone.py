"""One event in a call of its own, as most senders send them: taken in by one round trip."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from metering import properties, wire
from metering.days import local_day
from metering.events import Event
from metering.pieces import pieces
from metering.services.checking import Surroundings, Verdict
from metering.services.memory import Memory, recall

_STATEMENT = (
    "SELECT metering_take_new_event(%s, %s::uuid, %s::bytea, %s, %s, %s, %s::bigint, %s::bigint, "
    "%s::timestamptz, %s::timestamptz, %s::jsonb, %s::jsonb, %s::timestamptz, %s::timestamptz, "
    "%s::bigint[], %s::jsonb[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])"
)


def take_alone(event: Event, *, received_at: datetime) -> bool:
    """Store an event that is new and can be counted by what is remembered; say whether it was.

    If so it is durable. If not, nothing was done: whatever is not usual takes `ingest`'s longer
    way, and so does every event on SQLite and within a transaction.
    """
    memory = recall()
    if memory is None or connection.vendor != "postgresql" or connection.in_atomic_block:
        return False
    time = event.time or received_at
    [verdict] = Surroundings([event], memory=memory).check_all([(0, event, time)], received_at)
    return not verdict.code and _take(event, verdict, memory, time, received_at)


def _take(
    event: Event, verdict: Verdict, memory: Memory, time: datetime, received_at: datetime
) -> bool:
    (customer_id, zone, _), subscription_id, _, _ = verdict
    extensions = event.extensions
    start, end = day = local_day(time, zone)
    counting = memory.rollups.get(event.type, ())
    occurrence = 0, time, customer_id, subscription_id, event.data, day
    kept: list[tuple[Any, ...]] = [
        (rollup_id, *found.keys, *found.totals, *found.highests, *found.areas, *found.last_values)
        for (rollup_id, _), found in zip(
            counting, pieces([one for _, one in counting], [occurrence]), strict=True
        )
        if found.events
    ]
    rollups, keys, *amounts = zip(*kept, strict=True) if kept else [()] * 6
    with wire.server_cursor() as cursor:
        cursor.execute(
            _STATEMENT,
            (
                memory.stamp, UUID(bytes=event.key), event.payload_hash, event.source, event.id, event.type,
                customer_id, subscription_id, time, received_at, event.data_json.decode(),
                None if extensions is None else properties.canonical(extensions),
                start, end, wire.bigints(rollups), list(keys), *map(wire.texts, amounts),
            ),
            prepare=True,
        )  # fmt: skip
        [[taken]] = cursor.fetchall()
    return bool(taken)
