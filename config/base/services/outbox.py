"""The outbox: what is to be done after a commit, done at least once.

A message is claimed for longer than any task may run, in a short transaction; then its handler
runs in a transaction that also marks it done. A worker killed in between costs one attempt.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

from config.base.models import Outbox, OutboxStatus

Handler = Callable[[Outbox, datetime], None]


class Handling(NamedTuple):
    """What delivers the messages of a kind; `alone`: in transactions of its own."""

    handler: Handler
    alone: bool


MAX_ATTEMPTS = 10
CLAIMED_FOR = timedelta(minutes=35)  # more than CELERY_TASK_TIME_LIMIT
FIRST_PAUSE = timedelta(minutes=1)  # doubled after every attempt, so about 8 hours in all

_handlers: dict[str, Handling] = {}
logger = logging.getLogger(__name__)


class NoHandler(Exception):
    """A message of a kind that nothing handles."""


class Unreachable(Exception):
    """Whom all messages of a kind go to does not answer: the others need not be tried now."""


def handles(kind: str, *, alone: bool = False) -> Callable[[Handler], Handler]:
    """Register the function that delivers messages of `kind`: it gets the message and the time.

    It may run twice for one message, and says by raising that it has to run again. It runs in the
    transaction that marks the message done; `alone`, before that one, in those it begins itself.
    """

    def register(handler: Handler) -> Handler:
        handling = Handling(handler, alone)
        assert _handlers.setdefault(kind, handling) == handling, f"two handlers of {kind}"
        return handler

    return register


def put(*, kind: str, key: str, payload: Mapping[str, Any], due_at: datetime) -> None:
    """Add a message, in the transaction of its cause; one of this kind and key stays as it is."""
    put_all(kind=kind, payloads={key: payload}, due_at=due_at)


def put_all(*, kind: str, payloads: Mapping[str, Mapping[str, Any]], due_at: datetime) -> None:
    """Add messages as `put` does, their payloads by key."""
    Outbox.objects.bulk_create(
        (
            Outbox(kind=kind, key=key, payload=dict(payload), due_at=due_at)
            for key, payload in payloads.items()
        ),
        ignore_conflicts=True,
    )


def deliver_due(*, at: datetime, limit: int = 1000, kind: str = "") -> tuple[int, int]:
    """Deliver messages that are due, oldest first; return how many succeeded and how many did not.

    Only those of one kind, if given. A failed one is tried again later; after 10 attempts it is
    given up, with its last error. Where one finds its kind unreachable, the others of that kind
    are left for the next time.
    """
    succeeded = failed = 0
    unreachable: list[str] = []
    while succeeded + failed < limit and (
        message := _claim_next(at=at, kind=kind, unreachable=unreachable)
    ):
        if trouble := _trouble_with(message, at=at):
            failed += 1
            if isinstance(trouble, Unreachable):
                unreachable.append(message.kind)
        else:
            succeeded += 1
    return succeeded, failed


@transaction.atomic
def _claim_next(*, at: datetime, kind: str, unreachable: Sequence[str]) -> Outbox | None:
    due = Outbox.objects.filter(status=OutboxStatus.PENDING, due_at__lte=at)
    due = due.filter(kind=kind) if kind else due
    message = _locked(due.exclude(kind__in=unreachable) if unreachable else due).first()
    if message:
        message.attempts += 1
        message.due_at = at + CLAIMED_FOR
        message.save(update_fields=["attempts", "due_at"])
    return message


def _trouble_with(message: Outbox, *, at: datetime) -> Exception | None:
    """Deliver a message; return what went wrong, having put it off, or None."""
    try:
        if message.attempts > MAX_ATTEMPTS:
            raise TimeoutError("The last attempt never came to an end.")
        if message.kind not in _handlers:
            raise NoHandler(f"Nothing handles messages of the kind {message.kind}.")
        handler, alone = _handlers[message.kind]
        if alone:
            handler(message, at)
        with transaction.atomic():
            if not alone:
                handler(message, at)
            message.status, message.done_at = OutboxStatus.DONE, at
            message.save(update_fields=["status", "done_at"])
    except Exception as error:  # one message's crash is one message's
        logger.exception("outbox message %s failed", message.pk)
        _postpone(message, error=error, at=at)
        return error
    return None


def _postpone(message: Outbox, *, error: Exception, at: datetime) -> None:
    given_up = message.attempts >= MAX_ATTEMPTS
    Outbox.objects.filter(pk=message.pk, status=OutboxStatus.PENDING).update(
        status=OutboxStatus.FAILED if given_up else OutboxStatus.PENDING,
        due_at=at + FIRST_PAUSE * 2 ** (message.attempts - 1),
        last_error=f"{type(error).__name__}: {error}"[:2000],
    )


def _locked(messages: QuerySet[Outbox]) -> QuerySet[Outbox]:
    """Skip what another worker is claiming; SQLite has one writer at a time anyway."""
    if connection.features.has_select_for_update_skip_locked:
        return messages.select_for_update(skip_locked=True).order_by("due_at", "id")
    return messages.order_by("due_at", "id")
