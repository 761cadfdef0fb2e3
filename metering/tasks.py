"""Metering's periodic tasks, each also a management command."""

from __future__ import annotations

import time
from typing import Any

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from config.base.tasks import nudge
from metering.services import months, rollups

FOLDED_AFTER = 5.0
"""For how many seconds a process lets events pile up unfolded."""


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
    """Have what this process appended folded now and then, so that reading stays short."""
    global _nudged_at  # noqa: PLW0603
    now = time.monotonic()
    if now - _nudged_at >= FOLDED_AFTER:
        _nudged_at = now
        nudge(fold_pieces)


def nudge_rollups(**kwargs: Any) -> None:
    """Receive that a metric was saved."""
    transaction.on_commit(lambda: nudge(build_rollups), robust=True)
