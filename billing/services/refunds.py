"""Refunds: what was paid back of a payment, and taking that back."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from billing.models import Payment, Refund
from billing.services.payments import (
    COUNTERS,
    amount_faults,
    book_date,
    check_left,
    check_reason,
    locked_payment,
)
from catalog.money import EXACT, plain
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal


class AlreadyReversed(Refusal):
    """The refund was taken back before."""

    code = "already_reversed"


@transaction.atomic
def refund_payment(
    *,
    payment_id: int,
    amount: Decimal,
    refunded_on: date | None,
    reference: str,
    at: datetime,
    actor: Actor,
) -> Refund:
    """Record that some of what is left of a payment was paid back; None: today.

    :raises Invalid: for an amount its currency can't be paid in, or a day before it came or to come.
    :raises PaymentReversed, NotEnoughLeft: if there is not so much to pay back.
    """
    payment = locked_payment(payment_id)
    today = book_date(payment.customer, at=at)
    day = refunded_on or max(today, payment.received_on)
    faults = [*amount_faults(amount, payment.currency, path=("amount",))]
    if not payment.received_on <= day <= max(today, payment.received_on):
        told = f"Say a day from {payment.received_on} to today."
        faults.append(Fault(("refunded_on",), "out_of_range", told))
    if faults:
        raise Invalid(faults)
    check_left(payment, amount, path=("amount",))
    return pay_back(payment, amount, on=day, reference=reference, at=at, actor=actor)


def pay_back(
    payment: Payment, amount: Decimal, *, on: date, reference: str, at: datetime, actor: Actor
) -> Refund:
    """Record that some of a locked payment, of which so much is left, was paid back."""
    payment.refunded = EXACT.add(payment.refunded, amount)
    payment.save(update_fields=COUNTERS)
    refund = Refund.objects.create(
        payment=payment,
        amount=amount,
        refunded_on=on,
        reference=reference,
        recorded_at=at,
        recorded_by=actor.name,
    )
    changes = {"refunded": [None, plain(amount)]}
    audit.record(actor=actor, action="refunded", subject=payment, changes=changes, note=reference)
    return refund


@transaction.atomic
def reverse_refund(*, refund_id: int, reason: str, at: datetime, actor: Actor) -> Refund:
    """Declare that a refund was none: its amount is left of the payment again.

    :raises Invalid: without a reason.
    :raises AlreadyReversed: if it was taken back before.
    """
    check_reason(reason)
    payment = locked_payment(Refund.objects.get(pk=refund_id).payment_id)
    refund = Refund.objects.get(pk=refund_id)
    if refund.reversed_on:
        raise AlreadyReversed(f"It was taken back on {refund.reversed_on} already.")
    refund.reversed_on = max(book_date(payment.customer, at=at), refund.refunded_on)
    refund.reversed_because = reason
    refund.save(update_fields=["reversed_on", "reversed_because"])
    payment.refunded = EXACT.subtract(payment.refunded, refund.amount)
    payment.save(update_fields=COUNTERS)
    changes = {"refunded": [plain(refund.amount), None]}
    audit.record(
        actor=actor, action="refund taken back", subject=payment, changes=changes, note=reason
    )
    return refund
