"""How the demo's customers pay: most on time, one late, one in parts, one too much, one no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.models import Invoice, Payment, PaymentKind, PaymentMethod
from billing.services.payments import Portion, record_payment
from catalog.money import EXACT, exponent, round_half_up
from config.base.audit import Actor
from customers.models import Customer


class Part(NamedTuple):
    """How many days after its issue how much of what is open of an invoice is paid, in percent."""

    days: int
    percent: int = 100
    up_to_a: int = 0  # rounded up to a multiple of this, and so a little too much; 0: to the cent


USUAL = (Part(21),)
HABITS: dict[str, tuple[Part, ...]] = {
    "brenner": (Part(38),),  # after 14 days of terms
    "harborline": (Part(20, 60), Part(44)),
    "alder-row": (Part(12, up_to_a=50),),
}
NO_MORE = {"lumiere": 95}
"""Who has paid nothing for so many days."""
DEPOSITS = {"kaede": (Decimal(900_000), Decimal(40_000))}
"""Who paid ahead, and how much of it an invoice takes at most."""


def pay(day: date, *, at: datetime, first: date, last: date, issuer_id: int, actor: Actor) -> None:
    """Let customers pay what they pay on a day of the story; once, however often it is told."""
    if day == first:
        for key, (amount, limit) in DEPOSITS.items():
            payer = Customer.objects.get(key=key)
            deposit = Payment(
                customer=payer,
                kind=PaymentKind.DEPOSIT,
                currency=payer.currency,
                amount=amount,
                max_per_invoice=limit,
                received_on=day,
                reference="Deposit",
                bank_key=f"demo-{key}-deposit",
            )
            _record(deposit, [], at=at, actor=actor)
    for payment, portion in list(_due(day, last=last, issuer_id=issuer_id)):
        _record(payment, [portion], at=at, actor=actor)


def _due(day: date, *, last: date, issuer_id: int) -> Iterator[tuple[Payment, Portion]]:
    unpaid = Invoice.objects.filter(issuer=issuer_id, open_item__open__gt=0, status="issued")
    for invoice in unpaid.select_related("customer", "open_item").order_by("pk"):
        key = invoice.customer.key
        if day >= last - timedelta(days=NO_MORE.get(key, 0)) and key in NO_MORE:
            continue
        for number, part in enumerate(HABITS.get(key, USUAL)):
            assert invoice.issue_date is not None
            if invoice.issue_date + timedelta(days=part.days) != day:
                continue
            places = exponent(invoice.currency)
            share = EXACT.multiply(invoice.open_item.open, Decimal(part.percent))
            owed = round_half_up(EXACT.scaleb(share, -2), places)
            yield (
                Payment(
                    customer=invoice.customer,
                    currency=invoice.currency,
                    amount=_rounded_up(owed, part.up_to_a),
                    received_on=day,
                    method=PaymentMethod.BANK_TRANSFER,
                    reference=str(invoice),
                    bank_key=f"demo-{invoice.number}-{number}",
                ),
                Portion(invoice.pk, owed),
            )


def _rounded_up(owed: Decimal, step: int) -> Decimal:
    beyond = owed % step if step else Decimal(0)
    return owed - beyond + step if beyond else owed


def _record(payment: Payment, portions: list[Portion], *, at: datetime, actor: Actor) -> None:
    if not Payment.objects.filter(bank_key=payment.bank_key).exists():
        record_payment(payment=payment, portions=portions, at=at, actor=actor)
