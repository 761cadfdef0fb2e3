"""One event in a call of its own, as most senders send them: taken in by one round trip."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from metering import properties, wire
from metering.days import local_day
from metering.events import Event, in_columns
from metering.pieces import pieces
from metering.services.checking import Surroundings
from metering.services.memory import Memory, Verdict, recall
from metering.statements import Statement

_take_new = Statement(
    "SELECT * FROM metering_take_new_event($1::text, $2::uuid, $3::bytea, $4::text, $5::text, $6::text, "
    "$7::bigint, $8::bigint, $9::timestamptz, $10::timestamptz, $11::jsonb, $12::jsonb, "
    "$13::timestamptz, $14::timestamptz, $15::bigint[], $16::jsonb[], $17::numeric[], "
    "$18::numeric[], $19::numeric[], $20::numeric[])"
)
_YES = b"\x01"


class Taken(NamedTuple):
    """That an event counts, whether it was new, and when it counts."""

    is_new: bool
    time: datetime


def take_alone(event: Event, *, received_at: datetime) -> Taken | None:
    """Store an event that is new and can be counted by what is remembered, or know it again.

    It is durable then. None if nothing was done: whatever is not usual takes `ingest`'s longer way,
    and so does every event on SQLite and within a transaction.
    """
    memory = recall()
    if memory is None or connection.vendor != "postgresql" or connection.in_atomic_block:
        return None
    time = event.time or received_at
    surroundings = Surroundings([event], memory=memory)
    [verdict] = surroundings.check_all(in_columns([event]), [time], received_at)
    return None if verdict.code else _take(event, verdict, memory, time, received_at)


def _take(
    event: Event, verdict: Verdict, memory: Memory, time: datetime, received_at: datetime
) -> Taken | None:
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
    [[is_new, known_hash, known_time]] = _take_new.run(
        memory.stamp, event.key, event.payload_hash, event.source, event.id, event.type,
        wire.bigint(customer_id), None if subscription_id is None else wire.bigint(subscription_id),
        wire.instant(time), wire.instant(received_at), wire.jsonb(event.data_json),
        None if extensions is None else wire.jsonb(properties.canonical_bytes(extensions)),
        wire.instant(start), wire.instant(end), wire.bigints(rollups),
        wire.jsonbs([key.encode() for key in keys]),
        *map(wire.texts, amounts),
    )  # fmt: skip
    if is_new == _YES:
        return Taken(is_new=True, time=time)
    if known_time is not None and known_hash == event.payload_hash:
        return Taken(is_new=False, time=wire.read_instant(known_time))
    return None
