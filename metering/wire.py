"""Arrays and rows as PostgreSQL keeps them, and the cursor that sends them; for the path of many events.

There, reading values from texts cost the database as much as storing the rows. A parameter made
here needs a cast in the statement, such as `%s::uuid[]`, which tells the server what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, repeat
from struct import pack
from typing import Any

import psycopg
from django.db import connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA, _BIGINT, _TIMESTAMPTZ, _UUID = 17, 20, 1184, 2950  # the types' numbers in every server
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # from which the server counts
_MICROSECOND = timedelta(microseconds=1)
_BEFORE_ROWS = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_AFTER_ROWS = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"


class Array:
    """An array of one dimension without NULLs, in binary."""

    __slots__ = ("binary",)

    def __init__(self, kind: int, count: int, elements: bytes) -> None:
        self.binary = pack(">iiIii", 1, 0, kind, count, 1) + elements


def uuids(keys: Sequence[bytes]) -> Array:
    """Return keys of 16 bytes as uuid[]."""
    return Array(_UUID, len(keys), _of_sixteen(keys))


def hashes(found: Sequence[bytes]) -> Array:
    """Return texts of 16 bytes as bytea[]."""
    return Array(_BYTEA, len(found), _of_sixteen(found))


def bigints(numbers: Sequence[int]) -> Array:
    return Array(_BIGINT, len(numbers), _of_eight(numbers))


def instants(times: Sequence[datetime | None]) -> Array:
    """Return instants as timestamptz[], with -infinity for None."""
    return Array(_TIMESTAMPTZ, len(times), _of_eight(list(map(microseconds, times))))


@lru_cache(maxsize=20_000)
def microseconds(time: datetime | None) -> int:
    """Return how a timestamptz counts an instant; None is -infinity."""
    return -(2**63) if time is None else (time - _EPOCH) // _MICROSECOND


def texts(values: Sequence[Any]) -> str | None:
    """Return numbers, or None for NULL, as an array in text; None if all are None."""
    if values.count(None) == len(values):
        return None
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def copied(table: str, columns: str, rows: Iterable[bytes]) -> None:
    """Write rows by COPY, in binary: how many fields it has, then each behind its length."""
    statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
    with server_cursor() as cursor, cursor.copy(statement) as sink:
        sink.write(b"".join(chain((_BEFORE_ROWS,), rows, (_AFTER_ROWS,))))


def jsonb(text: bytes) -> bytes:
    """Return a field of JSON, in UTF-8."""
    return pack(">ib", len(text) + 1, 1) + text


def _of_sixteen(elements: Iterable[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(repeat(b"\x00\x00\x00\x10"), elements)))


def _of_eight(numbers: Sequence[int]) -> bytes:
    return pack(f">{'iq' * len(numbers)}", *chain.from_iterable(zip(repeat(8), numbers)))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.binary


psycopg.adapters.register_dumper(Array, _ArrayDumper)


@contextmanager
def server_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """Give a cursor on PostgreSQL, in the current transaction, that sends parameters apart."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor
