"""Writing off what nobody expects to be paid any more, and taking that back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.models import OpenItem, WriteOff
from billing.services.payments import (
    MoreThanOpen,
    NotPayable,
    amount_faults,
    book_date,
    check_open,
    check_reason,
    locked_items,
)
from catalog.money import EXACT, plain
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Invalid, Refusal


class WriteOffReversed(Refusal):
    """The write-off was taken back before."""

    code = "already_reversed"


@transaction.atomic
def write_off(
    *, invoice_id: int, amount: Decimal | None, reason: str, at: datetime, actor: Actor
) -> WriteOff:
    """Give up some of what is open of an invoice; None: all of it.

    :raises Invalid: without a reason, or for an amount its currency can't be paid in.
    :raises NotPayable: if it is not issued.
    :raises MoreThanOpen: if not so much is open.
    """
    check_reason(reason)
    item = locked_items([invoice_id]).get(invoice_id)
    if item is None or item.voided_on:
        raise NotPayable("Only what is owed of an issued invoice can be written off.")
    given_up = item.open if amount is None else amount
    if amount is None and not item.open:
        raise MoreThanOpen(f"Nothing of {item.invoice} is open.", path=("amount",))
    if faults := list(amount_faults(given_up, item.invoice.currency, path=("amount",))):
        raise Invalid(faults)
    check_open(item, given_up, path=("amount",))
    item.written_off = EXACT.add(item.written_off, given_up)
    item.save(update_fields=["written_off"])
    assert item.invoice.issue_date is not None
    made = WriteOff.objects.create(
        item=item,
        amount=given_up,
        written_off_on=max(book_date(item.invoice.customer, at=at), item.invoice.issue_date),
        reason=reason,
        recorded_at=at,
        recorded_by=actor.name,
    )
    changes = {"written_off": [None, plain(given_up)]}
    audit.record(
        actor=actor, action="written off", subject=item.invoice, changes=changes, note=reason
    )
    return made


@transaction.atomic
def reverse_write_off(*, write_off_id: int, reason: str, at: datetime, actor: Actor) -> WriteOff:
    """Take a write-off back: what it gave up is open again.

    :raises Invalid: without a reason.
    :raises WriteOffReversed: if it was taken back before.
    """
    check_reason(reason)
    item_id = WriteOff.objects.get(pk=write_off_id).item_id
    item: OpenItem = locked_items([item_id])[item_id]
    made = WriteOff.objects.get(pk=write_off_id)
    if made.reversed_on:
        raise WriteOffReversed(f"It was taken back on {made.reversed_on} already.")
    made.reversed_on = max(book_date(item.invoice.customer, at=at), made.written_off_on)
    made.reversed_because = reason
    made.save(update_fields=["reversed_on", "reversed_because"])
    item.written_off = EXACT.subtract(item.written_off, made.amount)
    item.save(update_fields=["written_off"])
    changes = {"written_off": [plain(made.amount), None]}
    audit.record(
        actor=actor,
        action="write-off taken back",
        subject=item.invoice,
        changes=changes,
        note=reason,
    )
    return made
