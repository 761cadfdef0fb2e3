"""Idempotency keys: the same call, made again, gets the same answer and has no second effect.

A key is claimed in a short transaction of its own; the work and its answer commit together, on the
condition that the claim still stands. So a holder that died leaves a claim that another may take
over, and a holder that was only slow finds its claim gone and undoes its work.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from config.base.errors import Refusal
from config.base.models import ApiKey, IdempotencyKey

KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=2)


class StillRunning(Refusal):
    """The first call under this key has not been answered yet."""

    code = "still_running"
    retry_after = 1


class KeyReused(Refusal):
    """The key was used for another body."""

    status = 422
    code = "idempotency_key_reused"


@dataclass(frozen=True)
class Claim:
    """The right to do the work, while the row still says so."""

    row_id: int
    claimed_at: datetime


@dataclass(frozen=True)
class Stored:
    """What was answered before."""

    status: int
    body: bytes
    content_type: str


def claim(*, api_key: ApiKey, route: str, key: str, body: bytes, at: datetime) -> Claim | Stored:
    """Claim the key or return the answer given before; call it outside any transaction.

    :raises KeyReused: if the key came with another body in the last 24 hours.
    :raises StillRunning: if somebody is at it, or was less than 2 minutes ago.
    """
    body_hash = hashlib.sha256(body).hexdigest()
    row, created = IdempotencyKey.objects.get_or_create(
        api_key=api_key,
        route=route[:1000],
        key=key,
        defaults={"body_hash": body_hash, "claimed_at": at},
    )
    if created:
        return Claim(row.pk, at)
    if row.claimed_at > at - KEPT_FOR:
        if row.body_hash != body_hash:
            raise KeyReused("This Idempotency-Key was used with another body.")
        if row.status is not None and row.body is not None:
            return Stored(row.status, bytes(row.body), row.content_type)
        if row.claimed_at > at - ABANDONED_AFTER:
            raise StillRunning("The first call with this Idempotency-Key is still running.")
    return _take_over(row, body_hash=body_hash, at=at)


def answer(held: Claim, *, status: int, body: bytes, content_type: str) -> None:
    """Store the answer; call it in the transaction of the work, which must not commit without.

    :raises StillRunning: if somebody took the claim over.
    """
    answered = _unanswered(held).update(status=status, body=body, content_type=content_type)
    if not answered:
        raise StillRunning("Another call with this Idempotency-Key took over.")


def release(held: Claim) -> None:
    """Give the key back, so that a corrected call can use it; an answered one stays."""
    _unanswered(held).delete()


def prune(*, at: datetime) -> int:
    """Delete what is older than 24 hours; return how many."""
    return IdempotencyKey.objects.filter(claimed_at__lte=at - KEPT_FOR).delete()[0]


def _take_over(row: IdempotencyKey, *, body_hash: str, at: datetime) -> Claim:
    """Claim a row that is out of date, if nobody else did so since it was read."""
    out_of_date = Q(status=None) | Q(claimed_at__lte=at - KEPT_FOR)
    with transaction.atomic():
        taken = IdempotencyKey.objects.filter(
            out_of_date, pk=row.pk, claimed_at=row.claimed_at
        ).update(claimed_at=at, body_hash=body_hash, status=None, body=None, content_type="")
    if not taken:
        raise StillRunning("Another call with this Idempotency-Key took over.")
    return Claim(row.pk, at)


def _unanswered(held: Claim) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(pk=held.row_id, claimed_at=held.claimed_at, status=None)
