"""Invoices as rows, for tests of what is printed: named parties, and charges that fit on a line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    PeriodCharge,
    PeriodStatus,
    Recognition,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.presentation import InvoiceView, present
from billing.services.settling import close_item, open_items
from catalog.models import Price
from catalog.money import exponent, round_half_up
from catalog.pricing import WHOLE, DayFraction, Rated, explanation, rate
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from customers.periods import month_after
from tests import factories
from tests.catalog import notation

SELLER: dict[str, Any] = {
    "name": "Northlight Data",
    "legal_name": "Northlight Data GmbH",
    "line1": "Torstraße 1",
    "line2": "",
    "postal_code": "10119",
    "city": "Berlin",
    "region": "",
    "country": "DE",
    "vat_id": "DE000000000",
    "email": "billing@northlight.example",
    "bank_name": "Musterbank",
    "iban": "DE00000000000000000000",
    "bic": "XXXXDEXX",
    "register_entry": "Amtsgericht Berlin HRB 000000",
    "accent_colour": "#0f5c5c",
    "locale": "en-GB",
    "time_zone": "Europe/Berlin",
}
BUYER: dict[str, Any] = {
    "key": "fernwood",
    "name": "Fernwood",
    "legal_name": "Fernwood Analytics GmbH",
    "attention": "Accounts payable",
    "line1": "Speicherstraße 1",
    "line2": "",
    "postal_code": "20457",
    "city": "Hamburg",
    "region": "",
    "country": "DE",
    "vat_id": "DE111111111",
    "email": "ap@fernwood.example",
    "purchase_order": "PO-4471",
    "locale": "en-GB",
    "payment_terms_days": 30,
}
NOVEMBER = (date(2026, 11, 1), date(2026, 12, 1))
DECEMBER = (date(2026, 12, 1), date(2027, 1, 1))
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Charge:
    """A price as `tests.catalog.notation` writes it, and a quantity under it."""

    name: str
    price: str
    quantity: str = "1"
    units: tuple[str, str] = ("", "")
    kind: LineKind = LineKind.USAGE
    days: tuple[date, date] = NOVEMBER
    part: DayFraction = WHOLE
    measured: dict[str, Any] | None = None
    said: dict[str, Any] | None = None


BASE_FEE = Charge("Platform base fee", "flat | at 499", kind=LineKind.FEE, days=DECEMBER)
API_CALLS = Charge(
    "API calls",
    "graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015",
    "187340",
    ("call", "calls"),
)


def trend(*told: str, end: date = NOVEMBER[1]) -> dict[str, Any]:
    """Read months that end with November: "120000/100000", a dash where nothing was billed."""
    months = [date(end.year, end.month - len(told) + number, 1) for number in range(len(told))]
    periods = []
    for start, figures in zip(months, told, strict=True):
        used, _, included = figures.partition("/")
        known = figures != "-"
        periods.append(
            {
                "start": start.isoformat(),
                "end": month_after(start, 1).isoformat(),
                "used": used if known else None,
                "included": (included or "0") if known else None,
            }
        )
    return {"trend": periods}


STORAGE = Charge("Storage", "per_unit | included 50 | at 0.12", "82.5", ("GB-month", "GB-months"))
WORKED_EXAMPLE = (BASE_FEE, API_CALLS, STORAGE)


def _driver(name: str, units: tuple[str, str], *figures: str) -> dict[str, str]:
    before, now, amount = figures
    said = {"kind": "usage", "said_as": "usage", "unit": units[0], "unit_plural": units[1]}
    return {**said, "name": name, "before": before, "now": now, "amount": amount}


CHANGE: dict[str, Any] = {
    "last": ["INV-2026-000101"],
    "last_period": {"start": "2026-10-01", "end": "2026-11-01"},
    "last_net": "601.12",
    "net": "658.91",
    "drivers": [
        _driver("API calls", ("call", "calls"), "149800", "187340", "56.41"),
        _driver("Storage", ("GB-month", "GB-months"), "71", "82.5", "1.38"),
    ],
}


def days(name: str, units: tuple[str, str], used: str, included: str) -> dict[str, Any]:
    """Tell a metric's November day by day: as much on each day, which adds up to what was used."""
    each = str(round_half_up(Decimal(used) / 30, 4))
    return {
        "name": name,
        "unit": units[0],
        "unit_plural": units[1],
        "start": NOVEMBER[0].isoformat(),
        "end": NOVEMBER[1].isoformat(),
        "time_zone": "Europe/Berlin",
        "used": used,
        "included": included,
        "adds_up": True,
        "days": [[f"2026-11-{day:02}", each] for day in range(1, 31)],
        "by": [{"name": "region", "values": [["eu-central", "12.5"]], "other": "7"}],
        "later": "0",
        "events": 18231,
        "as_of": MIDNIGHT.isoformat(),
    }


def two_pages() -> InvoiceView:
    """Return an issued invoice as most are: the worked example with its past and an appendix."""
    calls = trend(
        *("98200/100000", "104300/100000", "118000/100000"),
        *("128000/100000", "149800/100000", "187340/100000"),
    )
    storage = trend("44/50", "52.5/50", "58/50", "64.2/50", "71/50", "82.5/50")
    saved = invoice(
        BASE_FEE,
        replace(API_CALLS, said=calls),
        replace(STORAGE, said=storage),
        seller={"iban": "DE89370400440532013000"},
    )
    details = [
        days("API calls", ("call", "calls"), "187340", "100000"),
        days("Storage", ("GB-month", "GB-months"), "82.5", "50"),
    ]
    return present(saved, change=CHANGE, details=details)


def invoice(
    *charges: Charge,
    currency: str = "EUR",
    tax: tuple[str, str] = ("S", "19"),
    reason: str = "",
    issued: bool = True,
    seller: dict[str, Any] | None = None,
    **buyer: Any,
) -> Invoice:
    """Save an invoice with these charges, issued on 1 December 2026 unless told otherwise."""
    on = _Rows(currency)
    draft = Invoice.objects.create(
        issuer=on.issuer,
        customer=on.subscription.customer,
        currency=currency,
        seller=SELLER | (seller or {}),
        buyer=BUYER | buyer,
        net_total=0,
        tax_total=0,
        total=0,
    )
    PeriodCharge.objects.create(
        subscription=on.subscription, period=on.period, purpose="regular", invoice=draft
    )
    net = Decimal(0)
    places = exponent(currency)
    lines = []
    for charge in charges or WORKED_EXAMPLE:
        rated = rate(
            notation.price(charge.price),
            Decimal(charge.quantity),
            exponent=places,
            part=charge.part,
        )
        lines.append(on.line(charge, rated))
        if rated.shortfall:
            lines.append(on.minimum(charge, rated, places))
    for position, line in enumerate(lines, start=1):
        line.invoice, line.position = draft, position
        line.tax_category, line.tax_rate = tax[0], Decimal(tax[1])
        net += line.net
    InvoiceLine.objects.bulk_create(lines)
    owed = round_half_up(net * Decimal(tax[1]) / 100, places)
    TaxSubtotal.objects.create(
        invoice=draft, category=tax[0], rate=tax[1], base=net, amount=owed, reason=reason
    )
    draft.net_total, draft.tax_total, draft.total = net, owed, net + owed
    if issued:
        draft.status, draft.number = InvoiceStatus.ISSUED, "INV-2026-000117"
        draft.year, draft.sequence, draft.template_version = 2026, draft.pk, 1
        draft.issued_at, draft.issue_date = MIDNIGHT, MIDNIGHT.date()
        draft.due_date = MIDNIGHT.date() + timedelta(days=draft.buyer["payment_terms_days"])
    draft.save()
    if issued:
        with transaction.atomic():
            open_items([draft])
    return loaded(draft)


def void(invoice: Invoice) -> None:
    """Void it, on the day it was issued."""
    close_item(invoice, on=MIDNIGHT.date(), actor=SYSTEM)
    invoice.status, invoice.voided_at, invoice.reason = InvoiceStatus.VOID, MIDNIGHT, "Twice"
    invoice.save()


def loaded(invoice: Invoice) -> Invoice:
    return Invoice.objects.with_lines().get(pk=invoice.pk)


class _Rows:
    """What lines refer to: one fee, one metered price, one closed period and its snapshot."""

    def __init__(self, currency: str) -> None:
        metric = factories.metric()
        version = factories.published(
            factories.flat(), factories.graduated(metric, "rest @ 1"), currency=currency
        )
        prices = {price.key: price for price in Price.objects.filter(version=version)}
        self.fee, self.usage = prices["base"], prices["usage"]
        self.issuer, _ = Issuer.objects.get_or_create(name="Northlight Data")
        customer = factories.customer(currency=currency)
        self.subscription: Subscription = factories.subscription(customer, version)
        phase = self.subscription.phases.get()
        self.period = BillingPeriod.objects.create(
            subscription=self.subscription,
            phase=phase,
            number=0,
            start_date=NOVEMBER[0],
            end_date=NOVEMBER[1],
            nominal_start_date=NOVEMBER[0],
            nominal_end_date=NOVEMBER[1],
            starts_at=datetime(2026, 10, 31, 23, tzinfo=UTC),
            ends_at=datetime(2026, 11, 30, 23, tzinfo=UTC),
            time_zone="Europe/Berlin",
            usage_cutoff=MIDNIGHT,
            status=PeriodStatus.CLOSED,
            closed_at=MIDNIGHT,
        )
        self.snapshot = UsageSnapshot.objects.create(
            period=self.period, metric=metric, revision=1, quantity=0, events=0, taken_at=MIDNIGHT
        )

    def line(self, charge: Charge, rated: Rated) -> InvoiceLine:
        said = explanation(rated)
        said["amount"] = said.pop("net")
        del said["shortfall"]
        if charge.kind == LineKind.USAGE:
            said["measured"] = {
                "aggregation": "sum",
                "quantity": charge.quantity,
                "events": 18231,
                "as_of": MIDNIGHT.isoformat(),
            } | (charge.measured or {})
        line = self._line(charge, charge.kind, rated.net, said | (charge.said or {}))
        line.quantity = rated.used
        line.unit, line.unit_plural = charge.units
        if charge.kind == LineKind.USAGE:
            line.snapshot = self.snapshot
        return line

    def minimum(self, charge: Charge, rated: Rated, places: int) -> InvoiceLine:
        charged = round_half_up(rated.exact, places)
        said = {
            "model": "minimum",
            "floor": f"{charged + rated.shortfall:f}",
            "charged": f"{charged:f}",
            "amount": f"{rated.shortfall:f}",
            "steps": [],
        }
        return self._line(charge, LineKind.MINIMUM, rated.shortfall, said)

    def _line(
        self, charge: Charge, kind: LineKind, net: Decimal, said: dict[str, Any]
    ) -> InvoiceLine:
        return InvoiceLine(
            kind=kind,
            description=charge.name,
            subscription=self.subscription,
            period=self.period,
            price=self.usage if charge.kind == LineKind.USAGE else self.fee,
            service_start=charge.days[0],
            service_end=charge.days[1],
            quantity=Decimal(1),
            net=net,
            recognition=Recognition.OVER_TIME,
            explanation=said,
        )
