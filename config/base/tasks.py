"""The floor's tasks; each is also a management command."""

from celery import shared_task
from django.utils import timezone

from config.base.services import idempotency, outbox


@shared_task  # type: ignore[untyped-decorator]
def deliver_outbox() -> None:
    """Beat, every minute, and after commits: deliver the messages that are due."""
    outbox.deliver_due(at=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def prune() -> None:
    """Beat, every hour: delete idempotency keys older than 24 hours."""
    idempotency.prune(at=timezone.now())
