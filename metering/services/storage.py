"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes them column by column, an array each, SQLite row by row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection
from psycopg.errors import UniqueViolation

from metering import properties, wire
from metering.days import Day, local_day
from metering.events import Event
from metering.models import EventKey
from metering.pieces import Occurrence
from metering.querysets import read_instant, sqlite_instant
from metering.services.memory import Memory, Verdict
from metering.services.rollups import append_pieces, sum_up
from metering.statements import Asked, Rows, Statement, run_together

IDS_PER_BLOCK = 10_000
"""How many ids one value of the sequence stands for, on PostgreSQL; so many a batch may have."""

_COLUMNS = (
    "id, key, customer_id, time, event_id, data, source, type, received_at, subscription_id, "
    "extensions"
)  # on SQLite


class Known(NamedTuple):
    """What is known of a key that has arrived before; `time` is that of its event, if it is stored."""

    payload_hash: bytes
    time: datetime | None


class Overtaken(OperationalError):
    """Somebody else has stored one of the keys since they were asked for: ask again."""


def known_keys(keys: Iterable[bytes]) -> dict[bytes, Known]:
    """Return what is known of each of these keys that has arrived before."""
    wanted = list(keys)
    if not wanted:
        return {}
    if connection.vendor == "postgresql":
        return read_keys(ask_for_keys.run(wire.uuids(wanted)))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key, payload_hash, time FROM metering_eventkey "
            "WHERE key IN (SELECT value FROM json_each(%s))",
            (properties.canonical([key.hex() for key in wanted]),),
        )
        return {
            bytes.fromhex(key): Known(bytes(hash_), read_instant(time))
            for key, hash_, time in cursor.fetchall()
        }


ask_for_keys = Statement("SELECT key, payload_hash, time FROM metering_known_keys($1::uuid[])")


def read_keys(rows: Rows) -> dict[bytes, Known]:
    """Return what the rows of `ask_for_keys` say."""
    return {
        key: Known(hash_, None if time is None else wire.read_instant(time))
        for key, hash_, time in rows
    }


def reserve_ids(count: int) -> range:
    """Return so many ids that no other event has or gets, above all that were stored before.

    On PostgreSQL a value of the sequence stands for a block, so one call hands out many ids and
    nobody waits; on SQLite the one writer counts on.
    """
    assert count <= IDS_PER_BLOCK
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval('metering_usageevent_id_seq')"
            if connection.vendor == "postgresql"
            else "SELECT COALESCE(MAX(id), 0) + 1 FROM metering_usageevent"
        )
        [first] = cursor.fetchone()
    return range(first, first + count)


def store_new(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    *,
    received_at: datetime,
    memory: Memory,
    commit: bool = False,
) -> None:
    """Store events that are new, all different, with their keys (R7); only the keys of those refused.

    The columns are equally long: the ids reserved for them, the events, whose they are or why they
    can't be counted, and when they happened. `memory` is that of the surroundings they were checked
    in, in this transaction. Of two transactions that store the same key, the second waits for the
    first. Keys are stored in sorted order, so that no two wait for each other.

    On PostgreSQL all is done in one round trip; with `commit`, which is for what is the last thing
    in a transaction, that ends it too.

    :raises Overtaken: if one of them is not new any more; nothing else can be done in the
        transaction then.
    """
    counted = [not verdict.code for verdict in verdicts]
    rows: list[Any] = [list(compress(column, counted)) for column in (ids, events, verdicts, times)]
    if connection.vendor != "postgresql":
        _store_keys(ids, events, verdicts, times)
        _store_events(*rows, received_at=received_at, memory=memory)
        return
    try:
        _store_events(
            *rows,
            received_at=received_at,
            memory=memory,
            also=[_claim(ids, events, verdicts, times)],
            commit=commit,
        )
    except IntegrityError as refused:
        if isinstance(refused.__cause__, UniqueViolation):
            raise Overtaken("Others are storing the same events.") from refused
        raise


def _store_keys(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
) -> None:
    """Store keys on SQLite, where one writes at a time: nobody comes between."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
            "VALUES (%s, %s, %s, %s)",
            [
                (
                    event.key.hex(),
                    event.payload_hash,
                    None if verdict.code else sqlite_instant(time),
                    None if verdict.code else id_,
                )
                for id_, event, verdict, time in zip(ids, events, verdicts, times, strict=True)
            ],
        )


def _claim(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
) -> Asked:
    """Return what stores keys: 0 is the id of those without an event."""
    return _insert_keys, (
        wire.uuids([event.key for event in events]),
        wire.hashes([event.payload_hash for event in events]),
        wire.bigints(
            [0 if verdict.code else id_ for id_, verdict in zip(ids, verdicts, strict=True)]
        ),
        wire.instants(times),
    )


# Whether a key is new was asked before. To leave that to ON CONFLICT takes twice as long per key.
# Arrays are taken apart where they are selected: as a row source, they would be written down first.
_insert_keys = Statement(
    "INSERT INTO metering_eventkey (key, payload_hash, stored_as, time) "
    "SELECT key, hash, NULLIF(id, 0), CASE WHEN id <> 0 THEN time END "
    "FROM (SELECT unnest($1::uuid[]) AS key, unnest($2::bytea[]) AS hash, "
    "unnest($3::bigint[]) AS id, unnest($4::timestamptz[]) AS time) AS claim ORDER BY key"
)


def _store_events(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    *,
    received_at: datetime,
    memory: Memory,
    also: Sequence[Asked] = (),
    commit: bool = False,
) -> None:
    """Append events and add them to rollups: every event that counts passes here.

    On PostgreSQL what is `also` to be done is done before, in the same round trip.
    """
    summed_up = sum_up(
        _occurrences(ids, events, verdicts, times), rollups=memory.rollups, received_at=received_at
    )
    if connection.vendor == "postgresql":
        if events:
            also = [*also, _rows_of(ids, events, verdicts, times, received_at)]
    else:
        _store(ids, events, verdicts, times, received_at)
    append_pieces(summed_up, also=also, commit=commit)


def _occurrences(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
) -> dict[str, list[Occurrence]]:
    """Return the events as they count, by type."""
    days: dict[str, dict[datetime, Day]] = defaultdict(dict)
    found: dict[str, list[Occurrence]] = defaultdict(list)
    for id_, event, ((customer_id, zone, _), subscription_id, _, _), time in zip(
        ids, events, verdicts, times, strict=True
    ):
        known = days[zone]
        day = known.get(time)
        if day is None:
            day = known[time] = local_day(time, zone)
        found[event.type].append((id_, time, customer_id, subscription_id, event.data, day))
    return found


def store_apart(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    *,
    received_at: datetime,
) -> None:
    """Write events on PostgreSQL that are all new, with their keys, but sum nothing up."""
    columns = ids, events, verdicts, times
    run_together(_claim(*columns), _rows_of(*columns, received_at))


def _rows_of(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    received_at: datetime,
) -> Asked:
    """Return what stores the rows of events; source and type once where all have the same."""
    sources, types = [event.source for event in events], [event.type for event in events]
    alike = sources.count(sources[0]) == len(sources) and types.count(types[0]) == len(types)
    return _insert_events(alike), (
        wire.bigints(ids),
        wire.uuids([event.key for event in events]),
        wire.bigints([holder.customer_id for holder, _, _, _ in verdicts]),
        wire.instants(times),
        wire.words([event.id for event in events]),
        wire.jsonbs([event.data_json for event in events]),
        wire.texts([subscription_id for _, subscription_id, _, _ in verdicts]),
        wire.words_or_nulls(
            [
                None if event.extensions is None else properties.canonical(event.extensions)
                for event in events
            ]
        ),
        wire.instant(received_at),
        sources[0] if alike else wire.words(sources),
        types[0] if alike else wire.words(types),
    )


@lru_cache
def _insert_events(alike: bool) -> Statement:  # noqa: FBT001
    """Return the statement that stores events, with a source and type for each unless `alike`."""
    shared = "$10::text, $11::text" if alike else "unnest($10::text[]), unnest($11::text[])"
    return Statement(
        "INSERT INTO metering_usageevent (id, key, customer_id, time, event_id, data, "
        "subscription_id, extensions, received_at, source, type) "
        "SELECT unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::bigint[]), "
        "unnest($4::timestamptz[]), unnest($5::text[]), unnest($6::jsonb[]), "
        f"unnest($7::bigint[]), unnest($8::text[])::jsonb, $9::timestamptz, {shared}"
    )


def _store(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    received_at: datetime,
) -> None:
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    id_,
                    event.key.hex(),
                    verdict.holder.customer_id,
                    sqlite_instant(time),
                    event.id,
                    event.data_json.decode(),
                    event.source,
                    event.type,
                    arrived,
                    verdict.subscription_id,
                    None if event.extensions is None else properties.canonical(event.extensions),
                )
                for id_, event, verdict, time in zip(ids, events, verdicts, times, strict=True)
            ],
        )


def replace_payload(key: bytes, payload_hash: bytes) -> None:
    """Let a key stand for another payload, while its event is in quarantine (R7)."""
    EventKey.objects.filter(pk=UUID(bytes=key)).update(payload_hash=payload_hash)


def store_replayed(
    counted: Iterable[tuple[int, Event, Verdict, datetime]],
    *,
    received_at: datetime,
    memory: Memory,
) -> None:
    """Store events that leave quarantine in this transaction, and let their keys lead to them."""
    rows = list(counted)
    if not rows:
        return
    ids, events, verdicts, times = zip(*rows, strict=True)
    _lead_to_events(ids, events, times)
    _store_events(ids, events, verdicts, times, received_at=received_at, memory=memory)


def _lead_to_events(ids: Sequence[int], events: Sequence[Event], times: Sequence[datetime]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE metering_eventkey k SET stored_as = e.id, time = e.time "
                "FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) e (key, id, time) "
                "WHERE k.key = e.key",
                ([UUID(bytes=event.key) for event in events], list(ids), list(times)),
            )
            return
        cursor.executemany(
            "UPDATE metering_eventkey SET stored_as = %s, time = %s WHERE key = %s",
            [
                (id_, sqlite_instant(time), event.key.hex())
                for id_, event, time in zip(ids, events, times, strict=True)
            ],
        )
