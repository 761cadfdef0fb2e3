"""Each named rule of the mails, fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from billing.models import (
    CreditNote,
    Delivery,
    Dispute,
    Invoice,
    Reminder,
    ReminderRow,
    ReminderStop,
)
from customers.models import Issuer
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.money_rules import change, delete, insert

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def mail(**fields: Any) -> Delivery:
    invoice = make.issued()
    asked = {"address": "ap@acme.test", "asked_at": AT, "asked_by": "ada", "at_issue": True}
    return Delivery.objects.create(
        **{"customer": invoice.customer, "invoice": invoice, **asked, **fields}
    )


def failed() -> Delivery:
    return mail(status="failed", why="refused", settled_at=AT)


def sent() -> Delivery:
    return mail(status="sent", begun_at=AT, settled_at=AT)


def mail_of_a_draft() -> None:
    draft = Invoice.objects.create(
        issuer=Issuer.objects.get(), customer=make.customer(), currency="EUR",
        net_total=0, tax_total=0, total=0,
    )  # fmt: skip
    mail(invoice=draft, customer=draft.customer)


def dispute(**fields: Any) -> Dispute:
    item = make.issued().open_item
    told = {
        "amount": 10,
        "reason": "x",
        "opened_on": AT.date(),
        "opened_at": AT,
        "opened_by": "ada",
    }
    return Dispute.objects.create(**{"item": item, **told, **fields})


def closed() -> Dispute:
    return dispute(closed_on=AT.date(), closed_because="x", closed_by="ada")


def reminder(invoice: Invoice | None = None, **fields: Any) -> Reminder:
    invoice = invoice or make.issued()
    told = {"currency": "EUR", "level": 1, "made_on": AT.date(), "made_at": AT, "made_by": "ada"}
    whose = {"customer": invoice.customer, "issuer": invoice.issuer}
    return Reminder.objects.create(**{**whose, **told, **fields})


def row(**fields: Any) -> ReminderRow:
    invoice = make.issued()
    told = {"reminder": reminder(invoice), "item": invoice.open_item, "level": 1, "asked": 10}
    return ReminderRow.objects.create(**{**told, **fields})


def twice_at_a_level() -> None:
    made = row()
    ReminderRow.objects.create(reminder=made.reminder, item=made.item, level=1, asked=1)


def stop(**fields: Any) -> ReminderStop:
    told = {"customer": make.customer(), "reason": "x", "made_at": AT, "made_by": "ada"}
    return ReminderStop.objects.create(**{**told, **fields})


def mail_of_a_reminder() -> Delivery:
    made = reminder()
    return Delivery.objects.create(
        kind="reminder", reminder=made, customer=made.customer, address="ap@acme.test",
        asked_at=AT, asked_by="ada", status="failed", why="refused", settled_at=AT,
    )  # fmt: skip


def note() -> CreditNote:
    return CreditNote.objects.first() or credit(make.issued(), "base 1")


def mail_of_a_note(**fields: Any) -> Delivery:
    made = note()
    told = {"customer": made.invoice.customer, "address": "ap@acme.test", "asked_at": AT}
    return Delivery.objects.create(
        **{"kind": "credit_note", "note": made, "asked_by": "ada", **told, **fields}
    )


def stop_again(**whose: Callable[[], Any]) -> Callable[[], Any]:
    def write() -> None:
        of = {"customer": None, **{name: make_one() for name, make_one in whose.items()}}
        stop(**of)
        stop(**of)

    return write


MAIL_RULES: dict[str, Callable[[], Any]] = {
    "delivery_kind_is_known": lambda: mail(kind="x", invoice=None),
    "delivery_status_is_known": lambda: mail(status="x", settled_at=AT),
    "delivery_reason_is_known": lambda: mail(status="failed", why="x", settled_at=AT),
    "delivery_of_an_invoice_names_it": lambda: mail(invoice=None),
    "delivery_waits_exactly_until_it_is_settled": change(mail, settled_at=AT),
    "delivery_not_made_exactly_with_a_reason": change(mail, why="void"),
    "delivery_has_an_address_unless_there_is_none": lambda: mail(address=""),
    "delivery_sent_only_once_begun": change(mail, status="sent", settled_at=AT),
    "delivery_unsent_was_never_begun": change(
        mail, status="unsent", why="void", settled_at=AT, begun_at=AT
    ),
    "delivery_answered_only_if_it_did_not_go": change(mail, answer="x"),
    "delivery_at_issue_once_per_address": insert(failed),
    "delivery_waits_once_per_address": insert(lambda: mail(at_issue=False)),
    "delivery_of_a_reminder_names_it": lambda: mail(reminder=reminder()),
    "delivery_once_per_reminder_and_address": insert(mail_of_a_reminder),
    "delivery_of_a_credit_note_names_it": lambda: mail_of_a_note(note=None),
    "delivery_at_issue_once_per_note_and_address": insert(
        lambda: mail_of_a_note(status="failed", why="refused", settled_at=AT, at_issue=True)
    ),
    "delivery_waits_once_per_note_and_address": insert(mail_of_a_note),
    "delivery_is_to_who_is_credited": lambda: mail_of_a_note(customer=make.customer("other")),
    "dispute_of_something": lambda: dispute(amount=0),
    "dispute_with_a_reason": lambda: dispute(reason=""),
    "dispute_closed_exactly_with_a_reason": change(dispute, closed_on=AT.date()),
    "dispute_closed_not_before_it_was_opened": change(
        dispute, closed_on=date(2026, 10, 31), closed_because="x"
    ),
    "dispute_open_once_per_invoice": insert(dispute),
    "dispute_is_of_what_is_owed": lambda: dispute(amount=101),
    "dispute_changes_only_by_being_closed": change(closed, closed_because="y"),
    "dispute_is_never_deleted": delete(dispute),
    "reminder_level_is_known": lambda: reminder(level=4),
    "reminder_takes_off_what_is_there": lambda: reminder(not_set_off=-1),
    "reminder_leaves_something_to_pay": lambda: reminder(to_pay=0),
    "reminder_never_changes": change(reminder, level=2),
    "reminder_is_never_deleted": delete(reminder),
    "reminder_row_level_is_known": lambda: row(level=0),
    "reminder_asks_for_something": lambda: row(asked=0),
    "reminder_disputed_part_is_positive": lambda: row(disputed=-1),
    "reminder_once_per_invoice_and_level": twice_at_a_level,
    "reminder_row_never_changes": change(row, asked=1),
    "reminder_row_is_never_deleted": delete(row),
    "reminder_row_is_of_its_customer": lambda: row(reminder=reminder()),
    "reminder_stop_of_a_customer_or_an_invoice": lambda: stop(customer=None),
    "reminder_stop_with_a_reason": lambda: stop(reason=""),
    "reminder_stop_once_per_customer": stop_again(customer=make.customer),
    "reminder_stop_once_per_invoice": stop_again(invoice=make.issued),
    "reminder_stop_changes_only_by_being_ended": change(stop, reason="y"),
    "reminder_stop_is_never_deleted": delete(stop),
    "delivery_asks_for_the_same_for_ever": change(mail, address="x@acme.test"),
    "delivery_changes_only_until_it_is_settled": change(failed, said="x"),
    "delivery_is_never_deleted": delete(mail),
    "delivery_is_to_who_owes_an_issued_invoice": mail_of_a_draft,
    "invoice_void_only_if_never_sent": change(
        lambda: sent().customer.invoices.get(), status="void", voided_at=AT, reason="x"
    ),
}
