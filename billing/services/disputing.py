"""Disputes: what a customer questions of an invoice, noted with its day, and closed with a word (R25)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.models import Dispute
from billing.services.payments import (
    MoreThanOpen,
    NotPayable,
    amount_faults,
    book_date,
    check_reason,
    locked_items,
)
from catalog.money import exponent, plain, round_half_up
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Invalid, Refusal


class DisputedAlready(Refusal):
    """One dispute of an invoice is open at a time."""

    code = "already_disputed"


class NothingOpen(Refusal):
    """What is settled is not disputed: it is corrected."""

    code = "nothing_open"


class NotDisputed(Refusal):
    """No dispute of the invoice is open."""

    code = "not_disputed"


@transaction.atomic
def open_dispute(
    *,
    invoice_id: int,
    amount: Decimal | None,
    reason: str,
    at: datetime,
    actor: Actor,
    by_customer: bool = False,
) -> Dispute:
    """Note that a customer questions some of what is open of an invoice; None: all of it.

    :raises Invalid: without a reason, or for an amount that its currency does not have.
    :raises NotPayable: if it is not issued, or void.
    :raises NothingOpen: if nothing is open of it.
    :raises MoreThanOpen: if not so much is open.
    :raises DisputedAlready: if a dispute of it is open.
    """
    check_reason(reason)
    item = locked_items([invoice_id]).get(invoice_id)
    if item is None or item.voided_on:
        raise NotPayable("Only what is owed of an issued invoice can be disputed.")
    if not item.open:
        raise NothingOpen("Nothing of the invoice is open: what was paid is corrected or refunded.")
    if item.disputes.filter(closed_on=None).exists():
        raise DisputedAlready("A dispute of the invoice is open: close it first.")
    disputed = item.open if amount is None else amount
    if faults := list(amount_faults(disputed, item.invoice.currency, path=("amount",))):
        raise Invalid(faults)
    if disputed > item.open:
        left = f"{round_half_up(item.open, exponent(item.invoice.currency)):f}"
        raise MoreThanOpen(
            f"Of {item.invoice} {left} {item.invoice.currency} is open: dispute no more than that.",
            path=("amount",),
        )
    assert item.invoice.issue_date is not None
    made = Dispute.objects.create(
        item=item,
        amount=disputed,
        reason=reason,
        opened_on=max(book_date(item.invoice.customer, at=at), item.invoice.issue_date),
        opened_at=at,
        opened_by=actor.name,
        by_customer=by_customer,
    )
    audit.record(
        actor=actor,
        action="noted a dispute of",
        subject=item.invoice,
        changes={"disputed": [None, plain(disputed)]},
        note=reason,
    )
    return made


@transaction.atomic
def close_dispute(*, invoice_id: int, reason: str, at: datetime, actor: Actor) -> Dispute:
    """Note how the open dispute of an invoice ended: what is open is asked for again.

    :raises Invalid: without a reason.
    :raises NotDisputed: if none is open.
    """
    check_reason(reason)
    item = locked_items([invoice_id]).get(invoice_id)
    found = item.disputes.filter(closed_on=None).first() if item else None
    if item is None or found is None:
        raise NotDisputed("No dispute of the invoice is open.")
    found.closed_on = max(book_date(item.invoice.customer, at=at), found.opened_on)
    found.closed_because, found.closed_by = reason, actor.name
    found.save(update_fields=["closed_on", "closed_because", "closed_by"])
    audit.record(
        actor=actor,
        action="closed the dispute of",
        subject=item.invoice,
        changes={"disputed": [plain(found.amount), None]},
        note=reason,
    )
    return found
