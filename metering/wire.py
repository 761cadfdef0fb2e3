"""Values, arrays and rows in binary, as PostgreSQL keeps them; for the path of many events.

There, reading values from texts cost the database as much as storing the rows.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct, pack
from typing import Any

_BYTEA, _BIGINT, _TEXT, _TIMESTAMPTZ, _UUID, _JSONB = 17, 20, 25, 1184, 2950, 3802
"""The types' numbers, in every server."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # from which the server counts
_MICROSECOND = timedelta(microseconds=1)
NULL = b"\xff\xff\xff\xff"
_INTEGER = Struct(">q")


def bigint(number: int) -> bytes:
    return _INTEGER.pack(number)


def read_bigint(binary: bytes) -> int:
    [number] = _INTEGER.unpack(binary)
    return int(number)


def instant(time: datetime) -> bytes:
    return _INTEGER.pack(microseconds(time))


def read_instant(binary: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=read_bigint(binary))


def jsonb(text: bytes) -> bytes:
    """Return JSON that is written in UTF-8."""
    return b"\x01" + text


def uuids(keys: Sequence[bytes]) -> bytes:
    """Return keys of 16 bytes as uuid[]."""
    return _array(_UUID, len(keys), _sized(16, b"".join(keys)))


def hashes(found: Sequence[bytes]) -> bytes:
    """Return texts of 16 bytes as bytea[]."""
    return _array(_BYTEA, len(found), _sized(16, b"".join(found)))


def bigints(numbers: Sequence[int]) -> bytes:
    return _array(_BIGINT, len(numbers), _integers(numbers))


def instants(times: Sequence[datetime]) -> bytes:
    """Return instants as timestamptz[]."""
    return _array(_TIMESTAMPTZ, len(times), _integers(map(microseconds, times)))


def words(found: Sequence[str]) -> bytes:
    """Return texts as text[]."""
    return _array(_TEXT, len(found), b"".join(map(field, (word.encode() for word in found))))


def jsonbs(found: Sequence[str]) -> bytes:
    """Return texts of JSON as jsonb[]."""
    return _array(_JSONB, len(found), b"".join(field(jsonb(text.encode())) for text in found))


@lru_cache(maxsize=5_000)
def microseconds(time: datetime) -> int:
    """Return how a timestamptz counts an instant."""
    return (time - _EPOCH) // _MICROSECOND


def texts(values: Sequence[Any]) -> str | None:
    """Return numbers, or None for NULL, as an array in text; None if all are None."""
    if values.count(None) == len(values):
        return None
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def field(binary: bytes) -> bytes:
    """Return a value behind its length, as it stands in an array or a row."""
    return pack(">i", len(binary)) + binary


def _array(kind: int, count: int, elements: bytes) -> bytes:
    """Return an array of one dimension without NULLs."""
    return pack(">iiIii", 1, 0, kind, count, 1) + elements


def _sized(size: int, elements: bytes) -> bytes:
    """Return elements of so many bytes, each behind its length.

    Byte by byte of an element, of all elements at once: a loop over them would take ten times as long.
    """
    before = pack(">i", size)
    written = bytearray(before + bytes(size)) * (len(elements) // size)
    for place in range(size):
        written[len(before) + place :: len(before) + size] = elements[place::size]
    return bytes(written)


def _integers(numbers: Iterable[int]) -> bytes:
    column = array("q", numbers)
    if sys.byteorder == "little":
        column.byteswap()
    return _sized(8, column.tobytes())
