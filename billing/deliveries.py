"""What billing's messages in the outbox ask for; registered when the app is ready."""

from __future__ import annotations

from datetime import datetime

from django.db.models import BigIntegerField, Exists, OuterRef, Q
from django.db.models.functions import Cast

from billing.credit_documents import store_credit_note
from billing.documents import DocumentDamaged, DocumentNotIssued, store_document
from billing.mails import credit_note_message, invoice_message, reminder_message
from billing.models import CreditNoteDocument, DeliveryKind, InvoiceDocument
from billing.services import noting
from billing.services.issuing import RENDER
from billing.services.mailing import hand_over
from billing.services.sending import MAIL
from billing.typesetting import FetchRefused, PdfEngineMissing
from config.base.models import Outbox, OutboxStatus
from config.base.services import outbox

_UNMADE = (DocumentDamaged, DocumentNotIssued, FetchRefused, PdfEngineMissing)


@outbox.handles(RENDER)
def render_invoice(message: Outbox, at: datetime) -> None:
    """Make and keep the document of an invoice that was issued."""
    try:
        store_document(message.payload["id"])
    except DocumentNotIssued:
        return  # voided since: it is rendered with its mark whenever asked for, and not kept


_COMPOSE = {
    DeliveryKind.INVOICE: invoice_message,
    DeliveryKind.REMINDER: reminder_message,
    DeliveryKind.CREDIT_NOTE: credit_note_message,
}


@outbox.handles(MAIL, alone=True)
def send_mail(message: Outbox, at: datetime) -> None:
    """Send a mail to a customer, with its document, which is made first if it is not there."""
    hand_over(
        delivery_id=message.payload["delivery"],
        compose=lambda delivery: _COMPOSE[DeliveryKind(delivery.kind)](delivery, at=at),
        unmade=_UNMADE,
        at=at,
        is_last=message.attempts >= outbox.MAX_ATTEMPTS,
    )


@outbox.handles(noting.RENDER)
def render_credit_note(message: Outbox, at: datetime) -> None:
    """Make and keep the document of a credit note."""
    store_credit_note(message.payload["id"])


def settle_rendered(*, at: datetime) -> None:
    """Mark as done what waits to be rendered though its document exists.

    Whoever downloads an invoice first makes its document; the message of a worker that was killed
    would wait for the end of its claim. One statement.
    """
    asked = Cast(OuterRef("payload__id"), BigIntegerField())
    invoice = Q(kind=RENDER) & Exists(InvoiceDocument.objects.filter(invoice=asked))
    note = Q(kind=noting.RENDER) & Exists(CreditNoteDocument.objects.filter(note=asked))
    waiting = Outbox.objects.filter(status=OutboxStatus.PENDING)
    waiting.filter(invoice | note).update(status=OutboxStatus.DONE, done_at=at)
