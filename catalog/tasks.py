"""The catalog's periodic task, also a management command."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from catalog.reviews import remind_of_reviews


@shared_task  # type: ignore[untyped-decorator]
def remind() -> None:
    """Beat, every hour: ask for a mail for each metric whose review is due."""
    remind_of_reviews(at=timezone.now())
