"""What ingestion adds to rollups, in its own transaction and without a lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import connection

from metering.days import Day, local_day
from metering.definitions import Definition
from metering.pieces import Occurrence, Piece, pieces
from metering.querysets import sqlite_instant

COPIED_FROM = 20
_COLUMNS = (
    "rollup_id, customer_id, subscription_id, key, starts_at, ends_at, events, total, highest, "
    "area, last_value, first_time, last_time, last_id, last_received_at, is_folded"
)


def append_pieces(
    events: Mapping[str, Sequence[Occurrence]],
    *,
    rollups: Mapping[str, Sequence[tuple[int, Definition]]],
    zones: Mapping[int, str],
    received_at: datetime,
) -> None:
    """Add events that were just stored, by their type, to every rollup that counts them.

    Call it in the transaction that stores them, with the rollups it read after its first write: a
    rollup made by somebody else is known to whoever writes later, and waits for whoever wrote
    before.
    """
    days = _Days(zones)
    rows = [
        (rollup_id, piece)
        for type_, occurrences in events.items()
        for rollup_id, definition in rollups.get(type_, ())
        for piece in pieces(definition, occurrences, day_of=days.of)
    ]
    _insert(rows, received_at)


class _Days:
    """The local days of customers, each worked out once for all rollups of a batch."""

    def __init__(self, zones: Mapping[int, str]) -> None:
        self._zones = zones
        self._known: dict[tuple[int, datetime], Day] = {}

    def of(self, customer_id: int, time: datetime) -> Day:
        day = self._known.get((customer_id, time))
        if day is None:
            day = local_day(time, self._zones[customer_id])
            self._known[customer_id, time] = day
        return day


def _insert(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> None:
    if not rows:
        return
    marks = ", ".join(["%s"] * 16)
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            arrived = sqlite_instant(received_at)
            cursor.executemany(
                f"INSERT INTO metering_usagepiece ({_COLUMNS}) VALUES ({marks})",
                [(rollup_id, *_on_sqlite(piece), arrived, False) for rollup_id, piece in rows],
            )
        elif len(rows) < COPIED_FROM:
            cursor.execute(
                f"INSERT INTO metering_usagepiece ({_COLUMNS}) "
                f"VALUES {', '.join([f'({marks})'] * len(rows))}",
                [value for id_, piece in rows for value in (id_, *piece, received_at, False)],
            )
        else:
            copy: Any = cursor.copy(f"COPY metering_usagepiece ({_COLUMNS}) FROM STDIN (NULL '')")
            with copy as sink:
                sink.write(_copied(rows, received_at))


def _copied(rows: Sequence[tuple[int, Piece]], received_at: datetime) -> str:
    """Write pieces as COPY reads them; no column holds a raw tab or newline, as keys are JSON."""
    instant = lru_cache(maxsize=10_000)(datetime.isoformat)  # a batch has few days and seconds
    arrived = received_at.isoformat()
    text = "".join(
        [
            f"{rollup_id}\t{customer_id}\t{'' if subscription_id is None else subscription_id}\t{key}\t"
            f"{instant(starts_at)}\t{instant(ends_at)}\t{events}\t{'' if total is None else total}\t"
            f"{'' if highest is None else highest}\t{'' if area is None else area}\t"
            f"{'' if last_value is None else last_value}\t"
            f"{instant(first_time)}\t{instant(last_time)}\t{last_id}\t{arrived}\tf\n"
            for rollup_id, (
                customer_id, subscription_id, key, starts_at, ends_at, events, total, highest, area,
                last_value, first_time, last_time, last_id,
            ) in rows
        ]
    )  # fmt: skip
    return text.replace("\\", "\\\\") if "\\" in text else text


def _on_sqlite(piece: Piece) -> list[Any]:
    """Return a piece as SQLite's columns hold it: instants and exact numbers as texts."""
    return [
        f"{held:f}"
        if isinstance(held, Decimal)
        else sqlite_instant(held)
        if isinstance(held, datetime)
        else held
        for held in piece
    ]
