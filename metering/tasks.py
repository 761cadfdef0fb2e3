"""Metering's periodic tasks, each also a management command."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from config.base.tasks import nudge
from metering.services import months, rollups


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
    """Beat, every minute: merge what ingestion appended."""
    rollups.fold_pieces()


def nudge_rollups(**kwargs: Any) -> None:
    """Receive that a metric was saved."""
    transaction.on_commit(lambda: nudge(build_rollups), robust=True)
