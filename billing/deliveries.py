"""What billing's messages in the outbox ask for; registered when the app is ready."""

from __future__ import annotations

from datetime import datetime

from django.db.models import BigIntegerField, Exists, OuterRef
from django.db.models.functions import Cast

from billing.documents import DocumentNotIssued, store_document
from billing.models import InvoiceDocument
from billing.services.issuing import RENDER
from config.base.models import Outbox, OutboxStatus
from config.base.services import outbox


@outbox.handles(RENDER)
def render_invoice(message: Outbox, at: datetime) -> None:
    """Make and keep the document of an invoice that was issued."""
    try:
        store_document(message.payload["id"])
    except DocumentNotIssued:
        return  # voided since: it is rendered with its mark whenever asked for, and not kept


def settle_rendered(*, at: datetime) -> None:
    """Mark as done what waits to be rendered though its document exists.

    Whoever downloads an invoice first makes its document; the message of a worker that was killed
    would wait for the end of its claim. One statement.
    """
    made = InvoiceDocument.objects.filter(invoice=Cast(OuterRef("payload__id"), BigIntegerField()))
    waiting = Outbox.objects.filter(kind=RENDER, status=OutboxStatus.PENDING)
    waiting.filter(Exists(made)).update(status=OutboxStatus.DONE, done_at=at)
