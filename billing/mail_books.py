"""What must always hold of the mails to customers; `manage.py audit` looks for what contradicts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, OuterRef

from billing.models import Delivery, DeliveryStatus, Invoice
from billing.models.invoices import NUMBERED
from billing.services.sending import MAIL
from config.base.invariants import Finding, Invariant
from config.base.models import Outbox, OutboxStatus


def _invoices_left_unsent(at: datetime) -> Iterator[Finding]:
    """Find invoices whose issuer sent invoices then, and of which no mail says what became of it."""
    left = Delivery.objects.filter(invoice=OuterRef("pk"), at_issue=True)
    sending = Invoice.objects.filter(status__in=NUMBERED, seller__sends_invoices=True)
    for number in sending.exclude(Exists(left)).order_by("pk").values_list("number", flat=True):
        yield Finding(f"invoice {number}", "a mail, or why there is none", "neither")


def _mails_that_nobody_sends(at: datetime) -> Iterator[Finding]:
    """Find mails that wait though nothing in the outbox is going to send them."""
    messages = dict(Outbox.objects.filter(kind=MAIL).values_list("key", "status"))
    rows = Delivery.objects.order_by("pk").values_list("uuid", "status", "address")
    for uuid, status, address in rows.iterator():
        message = messages.get(str(uuid))
        if status == DeliveryStatus.WAITING and message not in (
            OutboxStatus.PENDING,
            OutboxStatus.FAILED,
        ):
            yield Finding(f"mail {uuid} to {address}", "a message to send it", message or "none")


MAIL_BOOKS = [
    Invariant(
        "invoices_are_sent_or_say_why",
        "Each invoice of an issuer who sends invoices has a mail, or a reason why it has none.",
        _invoices_left_unsent,
    ),
    Invariant(
        "mails_that_wait_are_sent",
        "A mail that waits has a message in the outbox that sends it.",
        _mails_that_nobody_sends,
    ),
]
