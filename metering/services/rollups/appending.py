"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection

from metering import wire
from metering.definitions import Definition
from metering.pieces import NO_KEY, Occurrence, Pieces, pieces
from metering.querysets import sqlite_instant
from metering.statements import Asked, Statement, Value, run_together

WORTH_A_BATCH = 20
"""From so many pieces on, PostgreSQL keeps them in one row; see `PieceBatch`."""

_COLUMNS = (
    "rollup_id, customer_id, subscription_id, key, starts_at, ends_at, events, total, highest, "
    "area, last_value, first_time, last_time, last_id, last_received_at, is_folded"
)


class SummedUp(NamedTuple):
    """The pieces that events gave: one by one, and those of a rollup as the parameters of a row."""

    one_by_one: list[tuple[Any, ...]]
    in_a_row: list[Value]
    received_at: datetime


def sum_up(
    events: Mapping[str, Sequence[Occurrence]],
    *,
    rollups: Mapping[str, Sequence[tuple[int, Definition]]],
    received_at: datetime,
) -> SummedUp:
    """Return what events add, by their type, to every rollup that counts them."""
    few: list[tuple[Any, ...]] = []
    many: list[Value] = []
    for type_, occurrences in events.items():
        counting = rollups.get(type_, ())
        arrays: _Arrays = {}
        found = pieces([definition for _, definition in counting], occurrences)
        for (rollup_id, _), columns in zip(counting, found, strict=True):
            if connection.vendor == "postgresql" and len(columns.events) >= WORTH_A_BATCH:
                many += (wire.bigint(rollup_id), wire.instant(received_at))
                many += _as_arrays(columns, arrays)
            else:
                few += ((rollup_id, *piece) for piece in zip(*columns, strict=True))
    return SummedUp(few, many, received_at)


def append_pieces(found: SummedUp, *, also: Sequence[Asked] = (), commit: bool = False) -> None:
    """Add what was summed up to the rollups; on PostgreSQL after what is `also` to be done.

    With `commit`, which is for PostgreSQL, that ends the transaction.

    Call it in the transaction that stores the events, with the rollups it read after its first
    write: a rollup made by somebody else is known to whoever writes later, and waits for whoever
    wrote before.
    """
    few, many, received_at = found
    if connection.vendor != "postgresql":
        _insert(few, received_at)
        return
    asked = list(also)
    if few:
        rollup_ids, *columns = zip(*few, strict=True)
        arrays = _as_arrays(Pieces(*columns), {})
        asked.append((_insert_few, (wire.instant(received_at), wire.bigints(rollup_ids), *arrays)))
    if many:
        asked.append((_insert_batches(len(many) // _PER_BATCH), many))
    if asked:
        run_together(*asked, commit=commit)


_Arrays = dict[int, tuple[Sequence[Any], Value]]
"""Columns and their arrays, by the identity of the column, which several rollups may share."""


def _insert(rows: Sequence[tuple[Any, ...]], received_at: datetime) -> None:
    marks = f"({', '.join(['%s'] * 16)})"
    arrived = sqlite_instant(received_at)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO metering_usagepiece ({_COLUMNS}) VALUES {marks}",
            [(*_on_sqlite(row), arrived, False) for row in rows],
        )


def _as_arrays(found: Pieces, arrays: _Arrays) -> list[Value]:
    values = []
    for column, made in zip(found, _MADE, strict=True):
        known = arrays.get(id(column))
        if known is None:
            known = arrays[id(column)] = column, made(column)
        values.append(known[1])
    return values


@lru_cache
def _insert_batches(count: int) -> Statement:
    """Return the statement that inserts so many rows, of _PER_BATCH parameters each."""
    rows = (
        ", ".join(f"${row * _PER_BATCH + n}::{type_}" for n, type_ in enumerate(_BATCH, 1))
        for row in range(count)
    )
    return Statement(
        "INSERT INTO metering_piecebatch (rollup_id, last_received_at, customer_ids, "
        "subscription_ids, keys, starts, ends, events, totals, highests, areas, last_values, "
        f"first_times, last_times, last_ids) VALUES ({'), ('.join(rows)})"
    )


_ARRAYS = (
    *("bigint[]", "bigint[]", "jsonb[]", "timestamptz[]", "timestamptz[]", "bigint[]"),
    *("numeric[]", "numeric[]", "numeric[]", "numeric[]"),
    *("timestamptz[]", "timestamptz[]", "bigint[]"),
)
_BATCH = ("bigint", "timestamptz", *_ARRAYS)
_PER_BATCH = len(_BATCH)
_insert_few = Statement(
    f"INSERT INTO metering_usagepiece ({_COLUMNS}) SELECT rollup_id, customer_id, "
    f"subscription_id, COALESCE(key, '{NO_KEY}'), starts_at, ends_at, events, total, highest, "
    "area, last_value, first_time, last_time, last_id, $1::timestamptz, FALSE FROM unnest("
    f"$2::bigint[], {', '.join(f'${n}::{type_}' for n, type_ in enumerate(_ARRAYS, 3))}) AS piece "
    f"({_COLUMNS.removesuffix(', last_received_at, is_folded')})"
)


def _keys(column: Sequence[str]) -> bytes | None:
    if column.count(NO_KEY) == len(column):
        return None
    return wire.jsonbs([key.encode() for key in column])


_MADE: Sequence[Callable[[Sequence[Any]], Value]] = (
    *(wire.bigints, wire.texts, _keys, wire.instants, wire.instants, wire.bigints),
    *(wire.texts, wire.texts, wire.texts, wire.texts),
    *(wire.instants, wire.instants, wire.bigints),
)
"""How each column becomes an array, or None for NULL."""


def _on_sqlite(piece: Sequence[Any]) -> list[Any]:
    """Return a piece as SQLite's columns hold it: instants and exact numbers as texts."""
    return [
        f"{held:f}"
        if isinstance(held, Decimal)
        else sqlite_instant(held)
        if isinstance(held, datetime)
        else held
        for held in piece
    ]
