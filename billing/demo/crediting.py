"""What the demo company takes back: some of a fee, for a day on which its service was down."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from fractions import Fraction

from billing.crediting import Asked
from billing.models import Invoice, InvoiceLine, LineKind
from billing.services.credit_notes import issue_credit_note
from catalog.money import exponent, round_half_up
from config.base.audit import Actor

CUSTOMER = "harborline"
REASON = "One day without service, as agreed on the phone"
DAYS = 8
"""How long after its issue the invoice is credited."""
MONTH = (80, 50)
"""How many days before the end of the story the invoice was issued: more than, and less than."""


def credit(day: date, *, at: datetime, last: date, issuer_id: int, actor: Actor) -> None:
    """Credit a thirtieth of a customer's fee on one day of the story; once, however often it is told."""
    issued_on = day - timedelta(days=DAYS)
    earliest, latest = (last - timedelta(days=days) for days in MONTH)
    if not earliest < issued_on <= latest:
        return
    invoices = Invoice.objects.filter(
        customer__key=CUSTOMER,
        issuer=issuer_id,
        status="issued",
        issue_date=issued_on,
        credit_notes=None,
    )
    fees = InvoiceLine.objects.filter(invoice__in=invoices, kind=LineKind.FEE, net__gt=0)
    fee = fees.select_related("invoice").order_by("pk").first()
    if fee is None:
        return
    part = round_half_up(Fraction(fee.net) / 30, exponent(fee.invoice.currency))
    issue_credit_note(
        invoice_id=fee.invoice_id,
        asked=[Asked(fee.pk, part)],
        reason=REASON,
        at=at,
        actor=actor,
    )
