"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes the rows by COPY, SQLite by executemany.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import lru_cache
from itertools import compress
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
from metering.services.memory import Memory, Verdict
from metering.services.rollups import append_pieces, sum_up
from metering.statements import Asked, Rows, Statement, copying

IDS_PER_BLOCK = 10_000
"""How many ids one value of the sequence stands for, on PostgreSQL; so many a batch may have."""

_COLUMNS = (
    "id, key, customer_id, time, event_id, data, source, type, received_at, subscription_id, "
    "extensions"
)


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
) -> None:
    """Store events that are new, all different, with their keys (R7); only the keys of those refused.

    The columns are equally long: the ids reserved for them, the events, whose they are or why they
    can't be counted, and when they happened. `memory` is that of the surroundings they were checked
    in, in this transaction. Of two transactions that store the same key, the second waits for the
    first. Keys are stored in sorted order, so that no two wait for each other.

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
            also=[(_insert_keys, _keys(ids, events, verdicts, times))],
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


def _keys(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
) -> tuple[bytes, ...]:
    """Return the columns of keys to store, in their order: 0 is the id of those without an event."""
    keys = [event.key for event in events]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return (
        wire.uuids([keys[n] for n in order]),
        wire.hashes([events[n].payload_hash for n in order]),
        wire.bigints([0 if verdicts[n].code else ids[n] for n in order]),
        wire.instants([times[n] for n in order]),
    )


# Whether a key is new was asked before. To leave that to ON CONFLICT takes twice as long per key.
_insert_keys = Statement(
    "INSERT INTO metering_eventkey (key, payload_hash, stored_as, time) "
    "SELECT key, hash, NULLIF(id, 0), CASE WHEN id <> 0 THEN time END "
    "FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::timestamptz[]) "
    "AS claim (key, hash, id, time)"
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
) -> None:
    """Append events and add them to rollups: every event that counts passes here.

    On PostgreSQL `also` runs in the same round trip as what is added to rollups.
    """
    with _storing(ids, events, verdicts, times, received_at) if events else nullcontext():
        summed_up = sum_up(
            _occurrences(ids, events, verdicts, times),
            rollups=memory.rollups,
            received_at=received_at,
        )
    append_pieces(summed_up, also=also)


def _storing(*columns: Any) -> AbstractContextManager[None]:
    """Write the rows of events; PostgreSQL does so while something else is done."""
    if connection.vendor == "postgresql":
        return copying("metering_usageevent", _COLUMNS, _event_rows(*columns))
    _store(*columns)
    return nullcontext()


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


def copy_apart(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    *,
    received_at: datetime,
) -> None:
    """Write events on PostgreSQL that are all new, with their keys, but sum nothing up."""
    _insert_keys.run(*_keys(ids, events, verdicts, times))
    with _storing(ids, events, verdicts, times, received_at):
        pass


def _event_rows(
    ids: Sequence[int],
    events: Sequence[Event],
    verdicts: Sequence[Verdict],
    times: Sequence[datetime],
    received_at: datetime,
) -> Iterator[bytes]:
    """Yield rows as COPY reads them: each field behind its length, those last that are often alike."""
    alike: dict[tuple[str, str, int | None], bytes] = {}
    for id_, event, ((customer_id, _, _), subscription_id, _, _), time in zip(
        ids, events, verdicts, times, strict=True
    ):
        whence = event.source, event.type, subscription_id
        rest = alike.get(whence)
        if rest is None:
            rest = alike[whence] = b"".join(
                (
                    wire.field(event.source.encode()),
                    wire.field(event.type.encode()),
                    wire.field(wire.instant(received_at)),
                    wire.NULL
                    if subscription_id is None
                    else wire.field(wire.bigint(subscription_id)),
                    wire.NULL,
                )
            )
        if event.extensions is not None:
            written = wire.jsonb(properties.canonical_bytes(event.extensions))
            rest = rest.removesuffix(wire.NULL) + wire.field(written)
        name, data = event.id.encode(), event.data_json
        yield _packed(len(name), len(data))(
            11, 8, id_, 16, event.key, 8, customer_id, 8, wire.microseconds(time),
            len(name), name, len(data) + 1, 1, data,
        ) + rest  # fmt: skip


@lru_cache(maxsize=2000)
def _packed(name: int, data: int) -> Callable[..., bytes]:
    return Struct(f">hiqi16siqiqi{name}sib{data}s").pack


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
