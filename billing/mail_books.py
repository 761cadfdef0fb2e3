"""What must always hold of the mails to customers; `manage.py audit` looks for what contradicts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, F, Max, OuterRef

from billing.models import (
    CreditNote,
    Delivery,
    DeliveryStatus,
    Dispute,
    Invoice,
    Reminder,
    ReminderRow,
)
from billing.models.invoices import NUMBERED
from billing.services.sending import MAIL
from catalog.money import EXACT
from config.base.invariants import Finding, Invariant
from config.base.models import Outbox, OutboxStatus


def _invoices_left_unsent(at: datetime) -> Iterator[Finding]:
    """Find invoices whose issuer sent invoices then, and of which no mail says what became of it."""
    left = Delivery.objects.filter(invoice=OuterRef("pk"), at_issue=True)
    sending = Invoice.objects.filter(status__in=NUMBERED, seller__sends_invoices=True)
    for number in sending.exclude(Exists(left)).order_by("pk").values_list("number", flat=True):
        yield Finding(f"invoice {number}", "a mail, or why there is none", "neither")


def _credit_notes_left_unsent(at: datetime) -> Iterator[Finding]:
    """Find credit notes whose issuer sent them then, and of which no mail says what became of it."""
    left = Delivery.objects.filter(note=OuterRef("pk"), at_issue=True)
    sending = CreditNote.objects.filter(seller__sends_credit_notes=True)
    for number in sending.exclude(Exists(left)).order_by("pk").values_list("number", flat=True):
        yield Finding(f"credit note {number}", "a mail, or why there is none", "neither")


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


def _reminders_unlike_their_rows(at: datetime) -> Iterator[Finding]:
    """Find letters that are firmer than what they are about, or that nobody was to get."""
    found = Reminder.objects.annotate(highest=Max("rows__level"))
    for one in found.exclude(level=F("highest")).order_by("pk").iterator():
        yield Finding(f"reminder {one.uuid}", f"level {one.highest}", f"level {one.level}")
    for uuid in found.filter(deliveries=None).order_by("pk").values_list("uuid", flat=True):
        yield Finding(f"reminder {uuid}", "a mail", "none")


def _reminders_beyond_what_was_owed(at: datetime) -> Iterator[Finding]:
    """Find reminders that ask for more of an invoice than it was about, or for what is disputed."""
    rows = ReminderRow.objects.select_related("item__invoice").order_by("pk")
    for row in rows.iterator():
        claimed = EXACT.add(row.asked, row.disputed)
        if claimed > row.item.total:
            who = f"invoice {row.item.invoice.number}, level {row.level}"
            yield Finding(who, f"up to {row.item.total:f}", f"{claimed:f}")


def _disputes_beyond_what_was_owed(at: datetime) -> Iterator[Finding]:
    beyond = Dispute.objects.filter(amount__gt=F("item__total")).select_related("item__invoice")
    for one in beyond.order_by("pk").iterator():
        who = f"dispute {one.uuid} of invoice {one.item.invoice.number}"
        yield Finding(who, f"up to {one.item.total:f}", f"{one.amount:f}")


MAIL_BOOKS = [
    Invariant(
        "reminders_are_as_firm_as_their_invoices",
        "A reminder is as firm as the firmest level that one of its invoices reached, and has a mail.",
        _reminders_unlike_their_rows,
    ),
    Invariant(
        "reminders_ask_for_what_is_owed",
        "A reminder never asks for more than the invoice, less what is in dispute.",
        _reminders_beyond_what_was_owed,
    ),
    Invariant(
        "disputes_are_of_what_is_owed",
        "No more is disputed of an invoice than its total.",
        _disputes_beyond_what_was_owed,
    ),
    Invariant(
        "invoices_are_sent_or_say_why",
        "Each invoice of an issuer who sends invoices has a mail, or a reason why it has none.",
        _invoices_left_unsent,
    ),
    Invariant(
        "credit_notes_are_sent_or_say_why",
        "Each credit note of an issuer who sends them has a mail, or a reason why it has none.",
        _credit_notes_left_unsent,
    ),
    Invariant(
        "mails_that_wait_are_sent",
        "A mail that waits has a message in the outbox that sends it.",
        _mails_that_nobody_sends,
    ),
]
