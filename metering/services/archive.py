"""Months whose events are archived: out of the database into a file, and back.

For PostgreSQL, where a month is a partition. Keys, rollups and snapshots stay, so duplicates are
still known and usage is still measured by whole days. What would need the month's events is
refused or waits, and says so: an event dated in it goes to quarantine, an event in it is neither
voided nor replaced, nothing is summed up anew from it, and a span that rollups can't tell is not
measured (`MonthArchived`).
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import OperationalError, connection, transaction

from config.base import audit
from config.base.audit import Actor
from config.base.errors import Refusal
from metering.models import ArchivedMonth, Rollup
from metering.services import months
from metering.services.rollups import build_rollups, fold_pieces, forget_archive

UNSETTLED: list[Callable[[datetime, datetime], Iterator[str]]] = []
"""Higher apps append what tells why usage from an instant until just before another may still be
billed, each reason a sentence; none if it is settled."""

_COLUMNS = (
    "id, key, source, event_id, type, customer_id, subscription_id, time, received_at, data, "
    "extensions"
)


class MonthNotArchivable(Refusal):
    """The month can't be archived as things stand."""

    code = "month_not_archivable"


class ArchiveDamaged(Refusal):
    """The file of an archived month is missing, or not as it was written."""

    code = "archive_damaged"


def archive_month(*, month: date, at: datetime, actor: Actor) -> ArchivedMonth:
    """Write the events of a month to a file in DATA_DIR/archive, and take them out of the database.

    In three steps, each of which can be repeated: late events are kept out, the file is written
    and durable, the partition goes. Killed in between, it is finished by calling it again.

    :raises MonthNotArchivable: with every reason: it is not over, not settled, not summed up, has no
        partition.
    """
    _require_postgresql()
    unbuilt = build_rollups(at=at)
    _close_month(month, unbuilt, at=at)
    fold_pieces()  # what has not been summed up to its end may need the events
    path = file_of(month)
    events, digest = _write(month, path)
    with transaction.atomic():
        row = _locked(month)
        before = audit.state(row)
        row.events, row.sha256, row.archived_at = events, digest, at
        with connection.cursor() as cursor:
            name = months.partition_of(month)
            cursor.execute(f"SELECT DISTINCT type FROM {name} ORDER BY type")
            row.types = [type_ for (type_,) in cursor.fetchall()]
            row.save()
            with _soon():
                cursor.execute(f"ALTER TABLE {months.TABLE} DETACH PARTITION {name}")
            cursor.execute(f"DROP TABLE {name}")
        changes = audit.changes(before, audit.state(row))
        audit.record(actor=actor, action="archived", subject=row, changes=changes)
    return row


def restore_month(*, month: date, actor: Actor) -> int:
    """Bring the events of an archived month back, and return how many; the file stays.

    :raises ArchiveDamaged: if the file is missing or its hash is another; then nothing changes.
    :raises MonthNotArchivable: if the month is not archived.
    """
    _require_postgresql()
    name, path = months.partition_of(month), file_of(month)
    with transaction.atomic():
        row = _locked(month)
        if row.archived_at is None:
            raise MonthNotArchivable(f"{row} was never archived to its end; archive it again.")
        if not path.exists() or _hashed(path) != row.sha256:
            raise ArchiveDamaged(f"{path} is missing or not as it was written; nothing changed.")
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} (LIKE {months.TABLE} INCLUDING ALL)")
            copy: Any = cursor.copy(f"COPY {name} ({_COLUMNS}) FROM STDIN")
            with copy as sink, gzip.open(path) as lines:
                while part := lines.read(1 << 20):
                    sink.write(part)
            cursor.execute(f"SELECT COUNT(*) FROM {name}")
            [count] = cursor.fetchone()
        if count != row.events:
            raise ArchiveDamaged(f"{path} has {count:,} events instead of {row.events:,}.")
        with _soon():
            months.attach(month)
        audit.record(actor=actor, action="restored", subject=row, changes={})
        forget_archive(row)
        row.delete()
    return int(count)


def file_of(month: date) -> Path:
    return Path(settings.DATA_DIR) / "archive" / f"events-{month:%Y-%m}.copy.gz"


def _require_postgresql() -> None:
    if connection.vendor != "postgresql":
        raise MonthNotArchivable("Only PostgreSQL keeps months apart; SQLite can't archive them.")


@transaction.atomic
def _close_month(month: date, unbuilt: Iterable[Rollup], *, at: datetime) -> None:
    """Keep late events out from now on: those on their way are waited for, others see the row."""
    start, end = months.bounds(month)
    existing = ArchivedMonth.objects.filter(month=month).first()
    if existing and existing.archived_at:
        raise MonthNotArchivable(f"{existing} is archived already.")
    reasons = [] if end <= at else ["it is not over"]
    if month not in months.existing_months():
        reasons.append("it has no partition, so no events either")
    reasons += [f"“{rollup.metric}” is still being summed up" for rollup in unbuilt]
    reasons += [reason for told in UNSETTLED for reason in told(start, end)]
    if reasons:
        raise MonthNotArchivable(f"{month:%Y-%m} can't be archived: {'; '.join(reasons)}.")
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE metering_eventkey IN SHARE MODE")
    ArchivedMonth.objects.get_or_create(month=month)


def _write(month: date, path: Path) -> tuple[int, str]:
    """Write the file and make it durable; return how many events it has, and its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started = path.with_name(f"{path.name}.{os.getpid()}")
    name = months.partition_of(month)
    try:
        with started.open("wb") as file:
            # Without the clock in its head, the same events give the same file.
            with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
                events = _copy_out(f"SELECT {_COLUMNS} FROM {name} ORDER BY id", packed)
            file.flush()
            os.fsync(file.fileno())
        started.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        started.unlink(missing_ok=True)
    return events, _hashed(path)


def _copy_out(query: str, file: IO[bytes] | gzip.GzipFile) -> int:
    with connection.cursor() as cursor:
        copy: Any = cursor.copy(f"COPY ({query}) TO STDOUT")
        with copy as rows:
            for row in rows:
                file.write(row)
        return int(cursor.rowcount)


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locked(month: date) -> ArchivedMonth:
    row = ArchivedMonth.objects.select_for_update().filter(month=month).first()
    if row is None:
        raise MonthNotArchivable(f"{month:%Y-%m} is not archived.")
    return row


@contextmanager
def _soon() -> Iterator[None]:
    """Change partitions, which locks all events, unless that takes long waiting."""
    try:
        months.hold_months()
        yield
    except OperationalError as busy:
        if not months.is_busy(busy):
            raise
        raise MonthNotArchivable("The events are in use. Try again in a moment.") from busy
