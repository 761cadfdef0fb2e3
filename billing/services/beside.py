"""Issuing what leaves an invoice with it: as credit notes, and what is left of that as balance (R32a)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from billing.beside import Carrier, NoteBeside, Rest, credited_with, issued_with
from billing.models import CreditNote, Invoice, Payment, PaymentMethod
from billing.parties import buyer_of
from billing.presentation.beside import reason_of
from billing.presentation.reader import Reader
from billing.services import numbering
from billing.services.noting import KIND, draw_note, write_note
from billing.services.refunds import pay_back
from billing.services.taking_back import take_back
from config.base import audit
from config.base.audit import Actor
from customers.models import Issuer
from customers.periods import local_date, zone


def lock_credited(carriers: Sequence[Carrier]) -> set[Issuer]:
    """Lock what is credited with these open invoices; return who issued that.

    :raises CreditOutdated: if nothing stands any more of what one credits.
    """
    ids = credited_with(carriers)
    rows = Invoice.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
    return {invoice.issuer for invoice in rows.select_related("issuer")}


def issue_beside(carrier: Carrier, *, at: datetime, actor: Actor) -> list[CreditNote]:
    """Give the credits that left an invoice, in the transaction that issues it.

    Each credit note takes off what is open of its invoice first. What comes free of payments, and what
    can't be credited, is the customer's balance from that day on, or is paid back, as the issuer says.
    """
    [found] = issued_with([carrier])
    notes = [_issue(one, carrier.invoice, at=at, actor=actor) for one in found.notes]
    day = local_date(at, zone(carrier.invoice.issuer.time_zone))
    for rest in found.balance:
        _keep(rest, carrier.invoice, on=day, at=at, actor=actor)
    return notes


def _issue(one: NoteBeside, carrier: Invoice, *, at: datetime, actor: Actor) -> CreditNote:
    invoice = one.invoice
    refund = invoice.issuer.refunds_credits
    [number] = numbering.spend_numbers(
        invoice.issuer, kind=KIND, size=1, as_of=at, not_before=invoice.issue_date
    )
    uses = take_back(
        invoice,
        one.credit.total,
        on=number.issue_date,
        refund=refund,
        reference=number.text,
        at=at,
        actor=actor,
    )
    drafted = draw_note(
        invoice,
        one.book,
        one.credit,
        uses,
        refund=refund,
        issued_with=carrier,
        settles=one.settles,
    )
    return write_note(drafted, number, reason=_reason_of(one), at=at, actor=actor)


def _reason_of(one: NoteBeside) -> str:
    """Say why it is credited, in the language of who was billed."""
    invoice = one.invoice
    reader = Reader(str(buyer_of(invoice.customer).get("locale") or "en"), invoice.currency)
    return reason_of(one.causes, reader)


def _keep(rest: Rest, carrier: Invoice, *, on: date, at: datetime, actor: Actor) -> None:
    """Record what can't be credited as the balance of who was billed, or as paid back."""
    payment = Payment.objects.create(
        customer=rest.customer,
        currency=carrier.currency,
        amount=rest.amount,
        received_on=on,
        method=PaymentMethod.CREDIT,
        reference=", ".join(rest.of)[:200],
        left_of=carrier,
        recorded_at=at,
        recorded_by=actor.name,
    )
    audit.record(actor=actor, action="recorded", subject=payment, note=payment.reference)
    if carrier.issuer.refunds_credits:
        reference = payment.reference
        pay_back(payment, rest.amount, on=on, reference=reference, at=at, actor=actor)
