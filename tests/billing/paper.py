"""Invoices as rows, for tests of what is printed: named parties, and charges that fit on a line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

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
TWO_PAGES = (
    *WORKED_EXAMPLE,
    *(
        Charge(name, "graduated | included 1000 | tiers 5000 @ 0.02, rest @ 0.015", used, units)
        for name, used, units in (
            ("Exports", "8200", ("export", "exports")),
            ("Webhooks", "640", ("delivery", "deliveries")),
            ("Searches", "12750", ("search", "searches")),
            ("Reports", "1100", ("report", "reports")),
        )
    ),
)


def two_pages() -> Invoice:
    """Save an issued invoice as most are: a fee and six metrics, each with its past, on two pages."""
    past = trend("600/500", "700/500", "710/500", "690/500", "800/500", "900/500")
    charges = (
        replace(charge, said=past) if charge.kind == LineKind.USAGE else charge
        for charge in TWO_PAGES
    )
    return invoice(*charges)


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
