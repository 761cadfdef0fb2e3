"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes the rows by COPY, SQLite by executemany.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from struct import Struct
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
from metering.services.memory import Holder, Memory
from metering.services.rollups import append_pieces
from metering.statements import Statement, copy_in

IDS_PER_BLOCK = 10_000
"""How many ids one value of the sequence stands for, on PostgreSQL; so many a batch may have."""

_COLUMNS = (
    "id, key, source, event_id, type, customer_id, time, received_at, data, subscription_id, "
    "extensions"
)


class Counted(NamedTuple):
    """An event to be stored: its id, whose it is, and when it happened."""

    id: int
    event: Event
    holder: Holder
    subscription_id: int | None
    time: datetime


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
        return {
            key: Known(hash_, None if time is None else wire.read_instant(time))
            for key, hash_, time in _ask_for_keys.run(wire.uuids(wanted))
        }
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


_ask_for_keys = Statement("SELECT key, payload_hash, time FROM metering_known_keys($1::uuid[])")


def store_keys(
    keys: Sequence[bytes], hashes: Sequence[bytes], times: Sequence[datetime | None]
) -> list[int | None]:
    """Store keys that are new, all different, and return the id reserved for each one's event (R7).

    In the order of `keys`, which is that of the ids too: None for a key without a time, whose event
    is not to be stored yet. Of two transactions that store the same key, the second waits for the
    first. Keys are stored in sorted order, so that no two wait for each other.

    :raises Overtaken: if one of them is not new any more; nothing else can be done in the
        transaction then.
    """
    assert len(keys) <= IDS_PER_BLOCK
    if not keys:
        return []
    if connection.vendor == "postgresql":
        first = _store_keys_on_postgresql(keys, hashes, times)
        return [None if time is None else first + n for n, time in enumerate(times)]
    first = reserve_ids(1)[0]  # one writer at a time: nobody comes between
    ids = [None if time is None else first + n for n, time in enumerate(times)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
            "VALUES (%s, %s, %s, %s)",
            [
                (key.hex(), hash_, time and sqlite_instant(time), id_)
                for key, hash_, time, id_ in zip(keys, hashes, times, ids, strict=True)
            ],
        )
    return ids


def _store_keys_on_postgresql(
    keys: Sequence[bytes], hashes: Sequence[bytes], times: Sequence[datetime | None]
) -> int:
    try:
        [[first]] = _insert_keys.run(wire.uuids(keys), wire.hashes(hashes), wire.instants(times))
    except IntegrityError as refused:
        if isinstance(refused.__cause__, UniqueViolation):
            raise Overtaken("Others are storing the same events.") from refused
        raise
    return wire.read_bigint(first)


# Whether a key is new was asked before. To leave that to ON CONFLICT takes twice as long per key.
_insert_keys = Statement(
    "WITH block AS (SELECT nextval('metering_usageevent_id_seq') AS first), stored AS ("
    "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
    "SELECT key, hash, NULLIF(time, '-infinity'), "
    "CASE WHEN time > '-infinity' THEN first + place - 1 END "
    "FROM block, unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) WITH ORDINALITY "
    "AS claim (key, hash, time, place) ORDER BY key) SELECT first FROM block"
)


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


def store_events(rows: Sequence[Counted], *, received_at: datetime, memory: Memory) -> None:
    """Append events, whose keys lead to them already: every event that counts passes here.

    `memory` is that of the surroundings they were checked in, in this transaction.
    """
    if not rows:
        return
    if connection.vendor == "postgresql":
        copy_rows(rows, received_at=received_at)
    else:
        _store(rows, received_at)
    days: dict[str, dict[datetime, Day]] = defaultdict(dict)
    occurrences: dict[str, list[Occurrence]] = defaultdict(list)
    for id_, event, (customer_id, zone, _), subscription_id, time in rows:
        known = days[zone]
        day = known.get(time)
        if day is None:
            day = known[time] = local_day(time, zone)
        occurrences[event.type].append((id_, time, customer_id, subscription_id, event.data, day))
    append_pieces(occurrences, rollups=memory.rollups, received_at=received_at)


def copy_rows(rows: Sequence[Counted], *, received_at: datetime) -> None:
    """Write the rows of events on PostgreSQL, and nothing else; `store_events` is for events."""
    copy_in("metering_usageevent", _COLUMNS, _copied(rows, wire.microseconds(received_at)))


def copy_keys(rows: Iterable[Counted]) -> None:
    """Write the keys of events on PostgreSQL, all of them new."""
    copy_in(
        "metering_eventkey",
        "key, payload_hash, stored_as, time",
        (
            _KEY(4, 16, event.key, 16, event.payload_hash, 8, id_, 8, wire.microseconds(time))
            for id_, event, _, _, time in rows
        ),
    )


_KEY = Struct(">hi16si16siqiq").pack


def _copied(rows: Iterable[Counted], arrived: int) -> Iterator[bytes]:
    """Write rows as COPY reads them, the same as `_row`: each field behind its length."""
    for id_, event, (customer_id, _, _), subscription_id, time in rows:
        source, event_id, type_ = event.source.encode(), event.id.encode(), event.type.encode()
        data = event.data_json
        sizes = len(source), len(event_id), len(type_), len(data)
        row = _packed(*sizes)(
            11, 8, id_, 16, event.key, sizes[0], source, sizes[1], event_id, sizes[2], type_,
            8, customer_id, 8, wire.microseconds(time), 8, arrived, sizes[3] + 1, 1, data,
        )  # fmt: skip
        if subscription_id is None and event.extensions is None:  # as nearly all are
            yield row + _NEITHER
        else:
            yield row
            yield _field(None if subscription_id is None else wire.bigint(subscription_id))
            extensions = event.extensions
            yield _field(
                None if extensions is None else wire.jsonb(properties.canonical_bytes(extensions))
            )


@lru_cache(maxsize=2000)
def _packed(source: int, event_id: int, type_: int, data: int) -> Callable[..., bytes]:
    return Struct(f">hiqi16si{source}si{event_id}si{type_}siqiqiqib{data}s").pack


def _field(binary: bytes | None) -> bytes:
    return wire.NULL if binary is None else wire.field(binary)


_NEITHER = wire.NULL * 2


def _store(rows: Sequence[Counted], received_at: datetime) -> None:
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_row(row._replace(time=sqlite_instant(row.time)), arrived) for row in rows],  # type: ignore[arg-type]
        )


def replace_payload(key: bytes, payload_hash: bytes) -> None:
    """Let a key stand for another payload, while its event is in quarantine (R7)."""
    EventKey.objects.filter(pk=UUID(bytes=key)).update(payload_hash=payload_hash)


def lead_to_event(rows: Sequence[Counted]) -> None:
    """Let keys lead to their events, which leave quarantine in this transaction."""
    if not rows:
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE metering_eventkey k SET stored_as = e.id, time = e.time "
                "FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) e (key, id, time) "
                "WHERE k.key = e.key",
                (
                    [UUID(bytes=row.event.key) for row in rows],
                    [row.id for row in rows],
                    [row.time for row in rows],
                ),
            )
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE metering_eventkey SET stored_as = %s, time = %s WHERE key = %s",
            [(row.id, sqlite_instant(row.time), row.event.key.hex()) for row in rows],
        )


def _row(row: Counted, received_at: Any) -> tuple[Any, ...]:
    event = row.event
    return (
        row.id,
        event.key.hex(),
        event.source,
        event.id,
        event.type,
        row.holder.customer_id,
        row.time,
        received_at,
        event.data_json.decode(),
        row.subscription_id,
        None if event.extensions is None else properties.canonical(event.extensions),
    )
