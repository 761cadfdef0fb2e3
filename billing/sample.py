"""An invoice with sample data, saved nowhere: how an issuer's next invoices will look."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.calculation import Tax, Taxed, totals
from billing.composition import Composed
from billing.models import (
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Recognition,
    TaxSubtotal,
)
from billing.parties import seller_of
from catalog.models import Price, Timing
from catalog.money import ZERO, exponent
from catalog.pricing import Flat, Graduated, explanation, rate
from catalog.pricing import Price as Value
from catalog.pricing.tiers import Tier
from customers.models import Customer, Issuer

USED, INCLUDED = Decimal(187_340), Decimal(100_000)
_FEE = Value(Flat(Decimal(499)), metered=False)
_CALLS = Value(
    Graduated((Tier(Decimal(50_000), Decimal("0.002")), Tier(None, Decimal("0.0015")))),
    included=INCLUDED,
)
_BUYER = {
    "key": "fernwood",
    "name": "Fernwood",
    "legal_name": "Fernwood Analytics",
    "attention": "Accounts payable",
    "line1": "Speicherstraße 1",
    "postal_code": "20457",
    "city": "Hamburg",
    "country": "DE",
    "purchase_order": "PO-4471",
}


class Sample:
    """An issued invoice over a base fee and a month of calls, and what is told beside it."""

    def __init__(self, issuer: Issuer, *, at: datetime) -> None:
        self.today = at.date()
        first = self.today.replace(day=1)
        self._month = ((first - timedelta(days=1)).replace(day=1), first)
        series = f"{issuer.series}-" if issuer.series else ""
        lines = self._lines(exponent(issuer.currency))
        tax = _tax(issuer)
        for position, line in enumerate(lines, start=1):
            line.position, line.tax_category, line.tax_rate = position, tax.category, tax.rate
        self.composed = _composed(lines, tax, issuer.currency)
        self.invoice = Invoice(
            uuid=uuid.UUID(int=0),
            issuer=issuer,
            customer=Customer(**{"currency": issuer.currency, **_BUYER}),
            status=InvoiceStatus.ISSUED,
            number=f"INV-{series}{self.today.year}-000117",
            currency=issuer.currency,
            seller=seller_of(issuer),
            buyer={**_BUYER, "locale": issuer.locale},
            net_total=self.composed.totals.net,
            tax_total=self.composed.totals.tax,
            total=self.composed.totals.total,
            created_at=at,
            issued_at=at,
            issue_date=self.today,
            due_date=self.today + timedelta(days=30),
        )

    def _lines(self, places: int) -> list[InvoiceLine]:
        start, end = self._month
        following = (end + timedelta(days=31)).replace(day=1)
        fee = rate(_FEE, Decimal(1), exponent=places)
        calls = rate(_CALLS, USED, exponent=places)
        measured = {
            "aggregation": "sum",
            "quantity": str(USED),
            "events": 18_231,
            "as_of": datetime(end.year, end.month, end.day, 1, tzinfo=UTC).isoformat(),
        }
        return [
            InvoiceLine(
                kind=LineKind.FEE,
                description="Platform base fee",
                price=Price(timing=Timing.ADVANCE),
                service_start=end,
                service_end=following,
                quantity=Decimal(1),
                net=fee.net,
                recognition=Recognition.OVER_TIME,
                explanation=explanation(fee),
            ),
            InvoiceLine(
                kind=LineKind.USAGE,
                description="API calls",
                unit="call",
                unit_plural="calls",
                price=Price(timing=Timing.ARREARS),
                service_start=start,
                service_end=end,
                quantity=USED,
                net=calls.net,
                recognition=Recognition.AS_USED,
                explanation=explanation(calls) | {"measured": measured},
            ),
        ]

    @property
    def change(self) -> dict[str, Any]:
        """Tell a last invoice on which fewer calls were charged."""
        start, _ = self._month
        before = (start - timedelta(days=1)).replace(day=1)
        places = exponent(self.invoice.currency)
        fewer = rate(_CALLS, Decimal(149_800), exponent=places).net
        more = rate(_CALLS, USED, exponent=places).net - fewer
        return {
            "last": [f"INV-{before.year}-000101"],
            "last_period": {"start": before.isoformat(), "end": start.isoformat()},
            "last_net": f"{self.composed.totals.net - more:f}",
            "net": f"{self.composed.totals.net:f}",
            "drivers": [
                {
                    "kind": "usage",
                    "said_as": LineKind.USAGE.value,
                    "name": "API calls",
                    "unit": "call",
                    "unit_plural": "calls",
                    "before": "149800",
                    "now": str(USED),
                    "amount": f"{more:f}",
                }
            ],
        }

    @property
    def details(self) -> list[dict[str, Any]]:
        """Tell as many calls, fewer at weekends."""
        start, end = self._month
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        weights = [_weight(day) for day in days]
        used = [int(USED) * weight // sum(weights) for weight in weights]
        used[-1] += int(USED) - sum(used)
        return [
            {
                "name": "API calls",
                "unit": "call",
                "unit_plural": "calls",
                "start": start.isoformat(),
                "end": end.isoformat(),
                "time_zone": "UTC",
                "used": str(USED),
                "included": str(INCLUDED),
                "adds_up": True,
                "days": [[d.isoformat(), str(n)] for d, n in zip(days, used, strict=True)],
                "by": [
                    {
                        "name": "region",
                        "values": [["eu-central", "121771"], ["us-east", "52455"]],
                        "other": "13114",
                    }
                ],
                "later": "0",
                "events": 18_231,
                "as_of": datetime(end.year, end.month, end.day, 1, tzinfo=UTC).isoformat(),
            }
        ]


def _tax(issuer: Issuer) -> Tax:
    """Tax as the issuer does at home."""
    match issuer.tax_status:
        case "exempt":
            return Tax("E", ZERO)
        case "out_of_scope":
            return Tax("O", ZERO)
    return Tax("S", issuer.standard_tax_rate)


def _weight(day: date) -> int:
    return 40 if day.weekday() > 4 else 90 + day.day % 7 * 3


def _composed(lines: list[InvoiceLine], tax: Tax, currency: str) -> Composed:
    added = totals([Taxed(line.net, tax) for line in lines], exponent=exponent(currency))
    taxes = [
        TaxSubtotal(category=of.category, rate=of.rate, base=base, amount=amount, reason=of.reason)
        for of, base, amount in added.subtotals
    ]
    return Composed(lines, [], taxes, added, currency)
