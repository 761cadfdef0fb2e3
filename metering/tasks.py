"""Metering's periodic tasks, each also a management command."""

from celery import shared_task
from django.utils import timezone

from metering.services import months


@shared_task  # type: ignore[untyped-decorator]
def make_months() -> None:
    """Beat, every day: make the partitions of the coming months, and those that strays need."""
    months.make_months(at=timezone.now())
