"""What the admin's first page and sidebar say about the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from config.base.dashboard import Need, Viewer, said, waiting
from config.base.models import Outbox, OutboxStatus


def outbox_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    """Say what was given up after its last attempt."""
    if not user.has_perm("base.view_outbox"):
        return
    if failed := Outbox.objects.filter(status=OutboxStatus.FAILED).count():
        words = said(failed, "message was given up", "messages were given up")
        yield Need(
            15,
            f"{words} after ten attempts: a PDF or a mail is missing.",
            f"{reverse('admin:base_outbox_changelist')}?status__exact=failed",
        )


def outbox_waiting() -> int:
    return waiting(Outbox.objects.filter(status=OutboxStatus.FAILED))
