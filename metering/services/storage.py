"""Writing events in bulk: the keys that let each count once, and the rows.

PostgreSQL takes the rows by COPY, SQLite by executemany.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from metering import properties, wire
from metering.days import Day, local_day
from metering.events import Event
from metering.models import EventKey
from metering.pieces import Occurrence
from metering.querysets import read_instant, sqlite_instant
from metering.services.memory import Holder, Memory
from metering.services.rollups import append_pieces

IDS_PER_BLOCK = 10_000
"""How many ids one value of the sequence stands for, on PostgreSQL; so many a batch may have."""

ROWS_WORTH_A_COPY = 20

_COLUMNS = (
    "id, key, source, event_id, type, customer_id, subscription_id, time, received_at, data, "
    "extensions"
)


class Claim(NamedTuple):
    """A key that wants to be the first of its kind; `time` is None for one not to be stored yet."""

    key: str
    payload_hash: bytes
    time: datetime | None


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


def claim_keys(claims: Iterable[Claim]) -> dict[str, int | None]:
    """Store the keys that are new, and return them with the ids reserved for their events (R7).

    In the order of `claims`, which becomes that of the ids; None for one without a time. Of two
    transactions that claim the same key, the second waits for the first. Keys are taken in sorted
    order, so that no two wait for each other.
    """
    claims = list(claims)
    assert len(claims) <= IDS_PER_BLOCK
    new = _claim_on_postgresql(claims) if connection.vendor == "postgresql" else _claim(claims)
    return {key: new[key] for key, _, _ in claims if key in new}


def _claim_on_postgresql(claims: Sequence[Claim]) -> dict[str, int | None]:
    keys, hashes, times = zip(*claims, strict=True)
    with wire.server_cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
            "SELECT key, hash, NULLIF(time, '-infinity'), "
            "CASE WHEN time > '-infinity' THEN block.first + place - 1 END "
            "FROM (SELECT nextval('metering_usageevent_id_seq') AS first) block, "
            "unnest(%s::uuid[], %s::bytea[], %s::timestamptz[]) WITH ORDINALITY "
            "AS claim (key, hash, time, place) ORDER BY key "
            "ON CONFLICT DO NOTHING "
            "RETURNING stored_as, CASE WHEN stored_as IS NULL THEN replace(key::text, '-', '') END",
            (wire.uuids(keys), wire.hashes(hashes), wire.instants(times)),
            prepare=True,
        )
        return {
            key
            or keys[(stored_as - 1) % IDS_PER_BLOCK]: stored_as  # blocks begin one after a full one
            for stored_as, key in cursor.fetchall()
        }


def _array(texts: Iterable[str]) -> str:
    """Write an array of texts that need no quotes; quicker than adapting each."""
    return f"{{{','.join(texts)}}}"


def _claim(claims: Sequence[Claim]) -> dict[str, int | None]:
    known = known_keys(
        [claim.key for claim in claims]
    )  # one writer at a time: nobody comes between
    first = reserve_ids(1)[0]
    new = [
        (key, payload_hash, *((None, None) if time is None else (sqlite_instant(time), first + n)))
        for n, (key, payload_hash, time) in enumerate(claims)
        if key not in known
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_eventkey (key, payload_hash, time, stored_as) "
            "VALUES (%s, %s, %s, %s)",
            new,
        )
    return {key: stored_as for key, _, _, stored_as in new}


def known_keys(keys: Iterable[str]) -> dict[str, Known]:
    """Return what is known of each of these keys that has arrived before."""
    wanted = list(keys)
    if not wanted:
        return {}
    if connection.vendor == "postgresql":
        where, param = "key = ANY(%s::uuid[])", _array(wanted)
    else:
        where, param = "key IN (SELECT value FROM json_each(%s))", properties.canonical(wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT key, payload_hash, time FROM metering_eventkey WHERE {where}",
            (param,),
        )
        return {
            key.replace("-", "") if isinstance(key, str) else key.hex: Known(
                bytes(payload_hash), read_instant(time)
            )
            for key, payload_hash, time in cursor.fetchall()
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


def store_events(rows: Sequence[Counted], *, received_at: datetime, memory: Memory) -> None:
    """Append events, whose keys lead to them already: every event that counts passes here.

    `memory` is that of the surroundings they were checked in, in this transaction.
    """
    if not rows:
        return
    if connection.vendor == "postgresql":
        _store_on_postgresql(rows, received_at)
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


def _store_on_postgresql(rows: Sequence[Counted], received_at: datetime) -> None:
    if len(rows) >= ROWS_WORTH_A_COPY:
        copy_rows(rows, received_at=received_at)
        return
    marks = ", ".join([f"({', '.join(['%s'] * 11)})"] * len(rows))
    with wire.server_cursor() as cursor:
        cursor.execute(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) VALUES {marks}",
            [value for row in rows for value in _row(row, received_at)],
            prepare=len(rows) == 1,
        )


def copy_rows(rows: Sequence[Counted], *, received_at: datetime) -> None:
    """Write the rows of events on PostgreSQL, and nothing else; `store_events` is for events."""
    _copy("metering_usageevent", _COLUMNS, _copied(rows, received_at))


def copy_keys(rows: Sequence[Counted]) -> None:
    """Write the keys of events on PostgreSQL, all of them new."""
    text = "".join(
        f"{row.event.key}\t\\x{row.event.payload_hash.hex()}\t{row.id}\t{row.time.isoformat()}\n"
        for row in rows
    )
    _copy("metering_eventkey", "key, payload_hash, stored_as, time", text)


def _copy(table: str, columns: str, text: str) -> None:
    with connection.cursor() as cursor:
        copy: Any = cursor.copy(f"COPY {table} ({columns}) FROM STDIN (NULL '')")
        with copy as sink:
            sink.write(text.replace("\\", "\\\\"))


def _copied(rows: Sequence[Counted], received_at: datetime) -> str:
    """Write rows as COPY reads them. No column holds a raw tab or newline: JSON escapes them,
    and attributes have no controls."""
    arrived = received_at.isoformat()
    return "".join(
        f"{row.id}\t{row.event.key}\t{row.event.source}\t{row.event.id}\t{row.event.type}\t"
        f"{row.holder.customer_id}\t{row.subscription_id or ''}\t{row.time.isoformat()}\t{arrived}\t"
        f"{row.event.data_text}\t"
        f"{'' if row.event.extensions is None else properties.canonical(row.event.extensions)}\n"
        for row in rows
    )


def _store(rows: Sequence[Counted], received_at: datetime) -> None:
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usageevent ({_COLUMNS}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_row(row._replace(time=sqlite_instant(row.time)), arrived) for row in rows],  # type: ignore[arg-type]
        )


def replace_payload(key: str, payload_hash: bytes) -> None:
    """Let a key stand for another payload, while its event is in quarantine (R7)."""
    EventKey.objects.filter(pk=key).update(payload_hash=payload_hash)


def lead_to_event(rows: Sequence[Counted]) -> None:
    """Let keys lead to their events, which leave quarantine in this transaction."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE metering_eventkey k SET stored_as = e.id, time = e.time "
                "FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) e (key, id, time) "
                "WHERE k.key = e.key",
                (
                    _array(row.event.key for row in rows),
                    _array(str(row.id) for row in rows),
                    _array(row.time.isoformat() for row in rows),
                ),
            )
        else:
            cursor.executemany(
                "UPDATE metering_eventkey SET stored_as = %s, time = %s WHERE key = %s",
                [(row.id, sqlite_instant(row.time), row.event.key) for row in rows],
            )


def _row(row: Counted, received_at: Any) -> tuple[Any, ...]:
    event = row.event
    return (
        row.id,
        event.key,
        event.source,
        event.id,
        event.type,
        row.holder.customer_id,
        row.subscription_id,
        row.time,
        received_at,
        event.data_text,
        None if event.extensions is None else properties.canonical(event.extensions),
    )
