"""The months in which events lie on PostgreSQL: each a partition, made ahead of its first event.

Months are in UTC. What no month takes lies in the default partition until `make_months` gives it
one. On SQLite all events lie in one table, and there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from config.base.guards import part_never_emptied
from customers.periods import month_after

MONTHS_AHEAD = 3
MONTHS_BACK = 120
"""How far back stray events get a month of their own; what is older stays in the default one."""

TABLE = "metering_usageevent"
_DEFAULT = f"{TABLE}_default"
_LOCK = 5_021_978  # any number that nothing else locks


def month_of(instant: datetime) -> date:
    """Return the first day of the month, in UTC, in which an instant lies."""
    return instant.astimezone(UTC).date().replace(day=1)


def partition_of(month: date) -> str:
    return f"{TABLE}_{month:%Y_%m}"


def bounds(month: date) -> tuple[datetime, datetime]:
    """Return when a month begins and ends, half-open, in UTC."""
    start, end = (
        datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month, month_after(month, 1))
    )
    return start, end


def existing_months() -> list[date]:
    """Return the months that have a partition, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass",
            (TABLE,),
        )
        names = [name for (name,) in cursor.fetchall() if name != _DEFAULT]
    return sorted(
        date(int(year), int(month), 1)
        for year, month in (name.removeprefix(f"{TABLE}_").split("_") for name in names)
    )


def make_months(*, at: datetime) -> list[date]:
    """Make the partitions of this month, the next three, and those that strays need; return them.

    Can run at any time and beside itself. Events that lie in the default partition move to their
    month, with their ids. A month whose lock is not had within two seconds is left for the next
    time, so that nobody waits behind it for long.
    """
    if connection.vendor != "postgresql":
        return []
    this = month_of(at)
    wanted = {month_after(this, n) for n in range(MONTHS_AHEAD + 1)}
    first = month_after(this, -MONTHS_BACK)
    wanted |= {month for month in _stray_months() if first <= month <= max(wanted)}
    made = []
    for month in sorted(wanted.difference(existing_months())):
        try:
            with transaction.atomic():
                if _make(month):
                    made.append(month)
        except OperationalError as busy:
            if not is_busy(busy):
                raise
    return made


def make_months_after_migrate(using: str, **kwargs: Any) -> None:
    """Receive post_migrate: a new installation has its months from the start."""
    if connections[using].vendor != "postgresql":
        return
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (_DEFAULT,))
        [is_partitioned] = cursor.fetchone()
    if is_partitioned:  # not yet where only the first migrations were asked for
        make_months(at=timezone.now())


def _stray_months() -> set[date]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT date_trunc('month', time AT TIME ZONE 'UTC')::date FROM {_DEFAULT}"
        )
        return {month for (month,) in cursor.fetchall()}


def _make(month: date) -> bool:
    """Make one month and move its strays there; False if somebody else just did."""
    name, (start, end) = partition_of(month), bounds(month)
    with connection.cursor() as cursor:
        hold_months()
        if month in existing_months():
            return False
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        # Whoever stores events chooses their partition before waiting for it, so waits here instead:
        # else it would come to the default one with events that belong there no longer.
        cursor.execute(f"LOCK TABLE ONLY {TABLE} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(f"LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE")
        moved = f"time >= '{start.isoformat()}' AND time < '{end.isoformat()}'"
        with guards_off(_DEFAULT):
            cursor.execute(
                f"WITH stray AS (DELETE FROM {_DEFAULT} WHERE {moved} RETURNING *) "
                f"INSERT INTO {name} SELECT * FROM stray"
            )
        attach(month)
    return True


def attach(month: date) -> None:
    """Let a table of a month's events be its partition."""
    start, end = bounds(month)
    with connection.cursor() as cursor:
        cursor.execute(part_never_emptied(TABLE, partition_of(month)))
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {partition_of(month)} "
            f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
        )


def hold_months() -> None:
    """Wait until nobody else changes partitions, and keep others from it until the commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute("SET LOCAL lock_timeout = '2s'")


def is_busy(failure: OperationalError) -> bool:
    """Say whether a lock was not had in time."""
    return getattr(failure.__cause__, "sqlstate", None) == "55P03"


@contextmanager
def guards_off(table: str) -> Iterator[None]:
    """Let events leave a table in this transaction: they are moved, not lost."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER usage_event_is_never_deleted")
        yield
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER usage_event_is_never_deleted")
