"""What billing's messages in the outbox ask for; registered when the app is ready."""

from __future__ import annotations

from datetime import datetime

from billing.documents import DocumentNotIssued, store_document
from billing.services.issuing import RENDER
from config.base.models import Outbox
from config.base.services import outbox


@outbox.handles(RENDER)
def render_invoice(message: Outbox, at: datetime) -> None:
    """Make and keep the document of an invoice that was issued."""
    try:
        store_document(message.payload["id"])
    except DocumentNotIssued:
        return  # voided since: it is rendered with its mark whenever asked for, and not kept
