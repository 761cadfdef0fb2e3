"""Metering's periodic tasks, each also a management command."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.db import DatabaseError, transaction
from django.utils import timezone

from config.base.tasks import nudge
from metering.services import months, rollups

FOLDED_AFTER = 10_000
"""How many calls of events a process lets pile up unfolded; one of a thousand events counts as fifty,
for that is how much longer it takes to find a customer among its pieces."""
_EVENTS_LIKE_A_CALL = 20

logger = logging.getLogger(__name__)


@shared_task  # type: ignore[untyped-decorator]
def make_months() -> None:
    """Beat, every day: make the partitions of the coming months, and those that strays need."""
    months.make_months(at=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def build_rollups() -> None:
    """Beat, every minute, and after a metric changed: sum up what new metrics measure."""
    rollups.build_rollups(at=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def fold_pieces() -> None:
    """Beat, every minute, and while events arrive: merge what ingestion appended."""
    rollups.fold_pieces(patient=False)


_unfolded = 0


def nudge_folding(*, accepted: int) -> None:
    """Have what this process appended folded now and then, so that reading stays short.

    Call it once for every call of events, with how many of them counted. They are answered as
    taken in, whatever becomes of it: the beat asks again. By amount and not by the clock, since
    folding a day of all customers costs the same however many events there were of it.
    """
    global _unfolded  # noqa: PLW0603
    _unfolded += min(accepted, max(1, accepted // _EVENTS_LIKE_A_CALL))
    if _unfolded < FOLDED_AFTER:
        return
    _unfolded = 0
    try:
        nudge(fold_pieces)
    except DatabaseError:
        logger.warning("what arrived could not be folded yet", exc_info=True)


def nudge_rollups(**kwargs: Any) -> None:
    """Receive that a metric was saved."""
    transaction.on_commit(lambda: nudge(build_rollups), robust=True)
