"""What must always hold of the data, as checks that anybody may run at any time: `manage.py audit`.

Apps append theirs to INVARIANTS in AppConfig.ready. A check asks and changes nothing; it finds the
rows that contradict it. Owns the snapshot they all read; knows no business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django.db import connection, transaction

from config.base.models import IdempotencyKey, Outbox, OutboxStatus

LATE = timedelta(hours=1)
"""How long after it was due a message may wait: workers look every minute."""
CLAIMED = timedelta(days=1)


class Finding(NamedTuple):
    """A row that contradicts an invariant; `difference` is empty where there is none to tell."""

    id: str
    expected: str
    actual: str
    difference: str = ""


class Invariant(NamedTuple):
    """A named check: `holds` says in a sentence what must be true, `find` what contradicts it at
    an instant."""

    name: str
    holds: str
    find: Callable[[datetime], Iterable[Finding]]


class Result(NamedTuple):
    """What an invariant found; `is_cut` if there is more."""

    invariant: Invariant
    findings: list[Finding]
    is_cut: bool


INVARIANTS: list[Invariant] = []


def audit(*, at: datetime, names: Iterable[str] = (), limit: int = 1000) -> Iterator[Result]:
    """Check the invariants of these names, or all, in one snapshot that nobody writes to.

    :raises KeyError: naming the one that there is not.
    """
    known = {invariant.name: invariant for invariant in INVARIANTS}
    chosen = [known[name] for name in names] or INVARIANTS
    with snapshot():
        for invariant in chosen:
            findings = list(islice(invariant.find(at), limit + 1))
            yield Result(invariant, findings[:limit], len(findings) > limit)


@contextmanager
def snapshot() -> Iterator[None]:
    """Let every query in the block see the same instant, and none write."""
    if connection.in_atomic_block:  # of a test, whose snapshot it is
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic():
            _execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        # Django's own transactions on SQLite begin as writers and would keep all others waiting.
        _execute("BEGIN DEFERRED")
        _execute("PRAGMA query_only = ON")
        try:
            yield
        finally:
            _execute("PRAGMA query_only = OFF")
            _execute("ROLLBACK")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _stuck_messages(at: datetime) -> Iterator[Finding]:
    """Find messages that wait too long; one due before it was left waits since it was left."""
    waiting = Outbox.objects.exclude(status=OutboxStatus.DONE)
    rows = waiting.filter(due_at__lt=at - LATE, created_at__lt=at - LATE)
    for message in rows.order_by("pk").iterator():
        actual = f"{message.get_status_display()} after {message.attempts} attempts"
        yield Finding(str(message), "done", actual, f"due {message.due_at.isoformat()}")


def _stuck_claims(at: datetime) -> Iterator[Finding]:
    rows = IdempotencyKey.objects.filter(status=None, claimed_at__lt=at - CLAIMED)
    for claim in rows.order_by("pk").iterator():
        yield Finding(str(claim), "answered or pruned", f"claimed {claim.claimed_at.isoformat()}")


INVARIANTS += [
    Invariant(
        "outbox_moves",
        "What is to be done after a commit is done within an hour of it, or of the time it is due.",
        _stuck_messages,
    ),
    Invariant(
        "idempotency_claims_end",
        "A call that claimed an idempotency key is answered, or its claim pruned, within a day.",
        _stuck_claims,
    ),
]
