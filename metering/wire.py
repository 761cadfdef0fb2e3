"""Values and arrays in binary, as PostgreSQL keeps them; for the path of many events.

There, reading values from texts cost the database as much as storing the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from struct import Struct, pack
from typing import Any

_BYTEA, _BIGINT, _TEXT, _TIMESTAMPTZ, _UUID, _JSONB = 17, 20, 25, 1184, 2950, 3802
"""The types' numbers, in every server."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # from which the server counts
_MICROSECOND = timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"
_SIXTEEN = pack(">i", 16)
_INTEGER = Struct(">q")
_AT_ONCE = 128


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
    return _array(_UUID, len(keys), _all_of_16(keys))


def hashes(found: Sequence[bytes]) -> bytes:
    """Return texts of 16 bytes as bytea[]."""
    return _array(_BYTEA, len(found), _all_of_16(found))


def bigints(numbers: Sequence[int]) -> bytes:
    return _array(_BIGINT, len(numbers), _integers(numbers))


def instants(times: Sequence[datetime]) -> bytes:
    """Return instants as timestamptz[]."""
    return _array(_TIMESTAMPTZ, len(times), _integers(list(map(microseconds, times))))


def words(found: Sequence[str]) -> bytes:
    """Return texts as text[]."""
    return _array(_TEXT, len(found), _lengthy(_length, [word.encode() for word in found]))


def words_or_nulls(found: Sequence[str | None]) -> bytes | None:
    """Return texts as text[], None for NULL; None if all are None."""
    if found.count(None) == len(found):
        return None
    encoded = [None if word is None else word.encode() for word in found]
    elements = [_NULL if word is None else _length(len(word)) + word for word in encoded]
    return pack(">iiIii", 1, 1, _TEXT, len(found), 1) + b"".join(elements)


def jsonbs(found: Sequence[bytes]) -> bytes:
    """Return texts of JSON, in UTF-8, as jsonb[]."""
    return _array(_JSONB, len(found), _lengthy(_length_of_jsonb, found))


@lru_cache(maxsize=5_000)
def microseconds(time: datetime) -> int:
    """Return how a timestamptz counts an instant."""
    return (time - _EPOCH) // _MICROSECOND


def texts(values: Sequence[Any]) -> str | None:
    """Return numbers, or None for NULL, as an array in text; None if all are None."""
    if values.count(None) == len(values):
        return None
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def _lengthy(length: Callable[[int], bytes], elements: Sequence[bytes]) -> bytes:
    """Return elements, each behind its length."""
    lengths = map(length, map(len, elements))
    return b"".join(chain.from_iterable(zip(lengths, elements, strict=True)))


@lru_cache(maxsize=2000)
def _length(size: int) -> bytes:
    return pack(">i", size)


@lru_cache(maxsize=2000)
def _length_of_jsonb(size: int) -> bytes:
    return pack(">i", size + 1) + b"\x01"


def _array(kind: int, count: int, elements: bytes) -> bytes:
    """Return an array of one dimension without NULLs."""
    return pack(">iiIii", 1, 0, kind, count, 1) + elements


def _all_of_16(elements: Sequence[bytes]) -> bytes:
    """Return elements of 16 bytes, each behind its length."""
    return _SIXTEEN + _SIXTEEN.join(elements) if elements else b""


def _integers(numbers: Sequence[int]) -> bytes:
    """Return numbers of eight bytes, each behind its length: many by one call."""
    row = [8] * (2 * len(numbers))
    row[1::2] = numbers
    parts = [row[start : start + 2 * _AT_ONCE] for start in range(0, len(row), 2 * _AT_ONCE)]
    return b"".join([_packer(len(part) // 2)(*part) for part in parts])


@lru_cache(maxsize=_AT_ONCE)
def _packer(count: int) -> Callable[..., bytes]:
    return Struct(">" + "iq" * count).pack
