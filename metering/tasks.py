"""Metering's periodic tasks, each also a management command."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import shared_task
from django.db import DatabaseError, transaction
from django.utils import timezone

from config.base.tasks import nudge
from metering.services import months, rollups

FOLDED_AFTER = 5.0
"""For how many seconds a process lets events pile up unfolded."""

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
    rollups.fold_pieces()


_nudged_at = time.monotonic()


def nudge_folding() -> None:
    """Have what this process appended folded now and then, so that reading stays short.

    Events that were taken in are answered so, whatever becomes of it: the beat asks again.
    """
    global _nudged_at  # noqa: PLW0603
    now = time.monotonic()
    if now - _nudged_at < FOLDED_AFTER:
        return
    _nudged_at = now
    try:
        nudge(fold_pieces)
    except DatabaseError:
        logger.warning("what arrived could not be folded yet", exc_info=True)


def nudge_rollups(**kwargs: Any) -> None:
    """Receive that a metric was saved."""
    transaction.on_commit(lambda: nudge(build_rollups), robust=True)
