"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes them column by column, an array each, SQLite row by row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection
from psycopg.errors import UniqueViolation

from metering import properties, wire
from metering.days import Day, local_day
from metering.events import Columns, Event, in_columns
from metering.models import EventKey
from metering.pieces import Occurrence
from metering.querysets import read_instant, sqlite_instant
from metering.services.memory import Memory, Verdict
from metering.services.rollups import append_pieces, sum_up
from metering.statements import Asked, Rows, Statement, Value, run_together

IDS_PER_BLOCK = 10_000
"""How many ids one value of the sequence stands for, on PostgreSQL; so many a batch may have."""

_T = TypeVar("_T")

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


class _Rows(NamedTuple):
    """Events as they are stored, column by column; the id of those that can't be counted is 0."""

    ids: Sequence[int]
    events: Columns
    times: Sequence[datetime]
    customer_ids: Sequence[int]
    zones: Sequence[str]
    subscription_ids: Sequence[int | None]


def _rows(
    ids: Sequence[int], events: Columns, verdicts: Sequence[Verdict], times: Sequence[datetime]
) -> _Rows:
    holders, subscription_ids, codes, _ = zip(*verdicts, strict=True)
    customer_ids, zones, _ = zip(*holders, strict=True)
    if any(codes):
        ids = _unless(codes, ids, 0)
        events = events._replace(  # what is refused may be what no database can read
            data_json=_unless(codes, events.data_json, b"null"),
            extensions=_unless(codes, events.extensions, None),
        )
    return _Rows(ids, events, times, customer_ids, zones, subscription_ids)


def _unless(codes: Sequence[str], column: Sequence[_T], nothing: _T) -> list[_T]:
    return [nothing if code else value for code, value in zip(codes, column, strict=True)]


def store_new(
    ids: Sequence[int],
    events: Columns,
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
    rows = _rows(ids, events, verdicts, times)
    try:
        _store_events(rows, received_at=received_at, memory=memory, are_new=True, commit=commit)
    except IntegrityError as refused:
        if isinstance(refused.__cause__, UniqueViolation):
            raise Overtaken("Others are storing the same events.") from refused
        raise


def _store_events(
    rows: _Rows, *, received_at: datetime, memory: Memory, are_new: bool, commit: bool = False
) -> None:
    """Append events and add them to rollups: every event that counts passes here.

    Those that `are_new` with their keys.
    """
    also = []
    if connection.vendor == "postgresql":
        also = [_insert(rows, received_at, are_new=are_new)]
    else:
        if are_new:
            _store_keys(rows)
        _store(rows, received_at)
    summed_up = sum_up(_occurrences(rows), rollups=memory.rollups, received_at=received_at)
    append_pieces(summed_up, also=also, commit=commit)


def _occurrences(rows: _Rows) -> dict[str, list[Occurrence]]:
    """Return the events that count, by type."""
    latest: dict[str, Day] = {}
    days = []
    for time, zone in zip(rows.times, rows.zones, strict=True):
        day = latest.get(zone)
        if day is None or not day[0] <= time < day[1]:
            day = latest[zone] = local_day(time, zone)
        days.append(day)
    columns = rows.ids, rows.times, rows.customer_ids, rows.subscription_ids, rows.events.data, days
    occurrences: list[Occurrence] = list(zip(*columns, strict=True))
    types = set(rows.events.types)
    if len(types) == 1 and 0 not in rows.ids:
        return {types.pop(): occurrences}
    found: dict[str, list[Occurrence]] = defaultdict(list)
    for type_, occurrence in zip(rows.events.types, occurrences, strict=True):
        if occurrence[0]:
            found[type_].append(occurrence)
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
    rows = _rows(ids, in_columns(events), verdicts, times)
    run_together(_insert(rows, received_at, are_new=True))


def _insert(rows: _Rows, received_at: datetime, *, are_new: bool) -> Asked:
    """Return what stores events, and their keys if they `are_new`; source and type once where all
    have the same."""
    events = rows.events
    sources, types, extensions = events.sources, events.types, events.extensions
    alike = len(set(sources)) == len(set(types)) == 1
    values: list[Value] = [
        wire.bigints(rows.ids),
        wire.uuids(events.keys),
        wire.bigints(rows.customer_ids),
        wire.instants(rows.times),
        wire.words(events.ids),
        wire.jsonbs(events.data_json),
        wire.texts(rows.subscription_ids),
        wire.words_or_nulls(
            [None if one is None else properties.canonical(one) for one in extensions]
        ),
        wire.instant(received_at),
        sources[0] if alike else wire.words(sources),
        types[0] if alike else wire.words(types),
    ]
    if are_new:
        values.append(wire.hashes(events.payload_hashes))
    return _inserting(alike=alike, are_new=are_new), values


@lru_cache
def _inserting(*, alike: bool, are_new: bool) -> Statement:
    """Return the statement that stores events, with a source and type for each unless `alike`.

    Arrays are taken apart where they are selected: as a row source, they would be written down
    first. Keys are what the statement itself stores, and so before the events of its WITH: a batch
    that is overtaken has written none. Whether a key is new was asked before: to leave that to ON
    CONFLICT takes twice as long per key.
    """
    shared = "$10::text AS source, $11::text AS type"
    if not alike:
        shared = "unnest($10::text[]) AS source, unnest($11::text[]) AS type"
    columns = (
        "id, key, customer_id, time, event_id, data, subscription_id, extensions, received_at, "
        "source, type"
    )
    events = (
        f"INSERT INTO metering_usageevent ({columns}) SELECT {columns} FROM ("
        "SELECT unnest($1::bigint[]) AS id, unnest($2::uuid[]) AS key, "
        "unnest($3::bigint[]) AS customer_id, unnest($4::timestamptz[]) AS time, "
        "unnest($5::text[]) AS event_id, unnest($6::jsonb[]) AS data, "
        "unnest($7::bigint[]) AS subscription_id, unnest($8::text[])::jsonb AS extensions, "
        f"$9::timestamptz AS received_at, {shared}) AS event WHERE id <> 0"
    )
    if not are_new:
        return Statement(events)
    return Statement(
        f"WITH event AS ({events}) INSERT INTO metering_eventkey (key, payload_hash, stored_as, time) "
        "SELECT key, hash, NULLIF(id, 0), CASE WHEN id <> 0 THEN time END FROM ("
        "SELECT unnest($1::bigint[]) AS id, unnest($2::uuid[]) AS key, "
        "unnest($4::timestamptz[]) AS time, unnest($12::bytea[]) AS hash) AS claim ORDER BY key"
    )


def _store_keys(rows: _Rows) -> None:
    """Store keys on SQLite, where one writes at a time: nobody comes between."""
    events = rows.events
    columns = zip(events.keys, events.payload_hashes, rows.times, rows.ids, strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
            "VALUES (%s, %s, %s, %s)",
            [
                (key.hex(), hash_, sqlite_instant(time) if id_ else None, id_ or None)
                for key, hash_, time, id_ in columns
            ],
        )


def _store(rows: _Rows, received_at: datetime) -> None:
    events = rows.events
    columns = (
        rows.ids,
        [key.hex() for key in events.keys],
        rows.customer_ids,
        map(sqlite_instant, rows.times),
        events.ids,
        [content.decode() for content in events.data_json],
        events.sources,
        events.types,
        repeat(sqlite_instant(received_at), len(rows.ids)),
        rows.subscription_ids,
        [None if one is None else properties.canonical(one) for one in events.extensions],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [row for row in zip(*columns, strict=True) if row[0]],
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
    stored = _rows(ids, in_columns(events), verdicts, times)
    _store_events(stored, received_at=received_at, memory=memory, are_new=False)


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
