"""A customer's month on each of the ten examples, worked out by hand: events, close, invoice.

Each preset is imported and published as it is, in EUR, and sold with 19 % tax. November 2026 has 30 days, or 720 hours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any, NamedTuple

import pytest

from billing.models import Invoice, InvoiceLine
from catalog import services as catalog
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers import services as customers
from customers.models import Issuer, Subscription
from customers.periods import Alignment
from tests import factories as make
from tests.billing.months import close, lines, use

pytestmark = [pytest.mark.django_db, pytest.mark.once]
CALENDAR = {"alignment": Alignment.CALENDAR}


@pytest.fixture(autouse=True)
def _tax() -> None:
    """19 % tax, rounded half up on the net total."""
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))


class Row(NamedTuple):
    """A row under a line: what it is, how many, at which price, and what that comes to."""

    kind: str
    quantity: str
    unit_amount: str
    amount: str


def at(month: int, day: int, hour: int = 9) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def on_sale(key: str) -> PlanVersion:
    draft = catalog.import_preset(key=key, currency="EUR", actor=SYSTEM)
    return catalog.publish_version(version_id=draft.pk, at=make.AT, actor=SYSTEM)


def ada(version: PlanVersion, starts_on: date = date(2026, 11, 1), **terms: Any) -> Subscription:
    return make.subscription(make.customer("ada"), version, starts_on=starts_on, **terms)


def november() -> Invoice:
    """Close November and return the invoice that bills its usage."""
    return close(at(12, 1))[-1]


def totals(invoice: Invoice) -> tuple[str, str, str]:
    """Return net, tax and what is to be paid."""
    net, tax, total = (f"{x:.2f}" for x in (invoice.net_total, invoice.tax_total, invoice.total))
    return net, tax, total


def rows(line: InvoiceLine) -> list[Row]:
    return [
        Row(step["kind"], step["quantity"], step["unit_amount"], step["amount"])
        for step in line.explanation["steps"]
    ]


def test_per_million_tokens() -> None:
    buyer = ada(on_sale("llm-tokens"))
    for day, sent, received in ((3, 1_250_000, 310_500), (9, 40, 7), (30, 999_960, 50_000)):
        use(buyer, at(11, day), type="llm.completion", input_tokens=sent, output_tokens=received)
    invoice = november()
    # In:  1,250,000 + 40 + 999,960 = 2,250,000, or 2.25 million × 3.00 = 6.75
    # Out: 310,500 + 7 + 50,000 = 360,507, or 0.360507 million × 15.00 = 5.407605, rounded to 5.41
    assert lines(invoice) == [("Input tokens", "6.75"), ("Output tokens", "5.41")]
    sent_line, received_line = invoice.lines.all()
    assert rows(sent_line) == [("unit", "2.25", "3", "6.75")]
    assert rows(received_line) == [("unit", "0.360507", "15", "5.407605")]
    assert received_line.explanation["rounding"] == "0.002395"
    assert totals(invoice) == ("12.16", "2.31", "14.47")


def test_per_resolved_ticket() -> None:
    buyer = ada(on_sale("resolved-tickets"))
    for day in range(2, 9):  # seven are resolved
        use(buyer, at(11, day), type="ticket.resolution", resolved=1)
    for day in (10, 11):  # two of them are opened again
        use(buyer, at(11, day), type="ticket.resolution", resolved=-1)
    use(buyer, at(11, 20), type="ticket.resolution", resolved=1)  # and one is resolved after all
    invoice = november()
    # 7 − 2 + 1 = 6 × 0.99 = 5.94
    assert lines(invoice) == [("Resolved tickets", "5.94")]
    [line] = invoice.lines.all()
    assert rows(line) == [("unit", "6", "0.99", "5.94")]
    assert totals(invoice) == ("5.94", "1.13", "7.07")


def test_per_resolved_ticket_when_more_were_reopened_than_resolved() -> None:
    buyer = ada(on_sale("resolved-tickets"))
    use(buyer, at(11, 10), type="ticket.resolution", resolved=-1)
    invoice = november()
    # −1 bills as 0, and says so
    assert lines(invoice) == [("Resolved tickets", "0.00")]
    assert totals(invoice) == ("0.00", "0.00", "0.00")


def test_per_stored_contact() -> None:
    buyer = ada(on_sale("stored-contacts"), date(2026, 10, 1))
    use(buyer, at(10, 10), type="contacts.counted", list="customers", contacts=1200)
    use(buyer, at(11, 3), type="contacts.counted", list="newsletter", contacts=4000)
    use(buyer, at(11, 20), type="contacts.counted", list="newsletter", contacts=3000)
    october, invoice = close(at(12, 1))
    # October: 1,200 − 500 free = 700 × 0.02 = 14.00
    assert lines(october) == [("Stored contacts", "14.00")]
    # November: 1,200 kept since October + 3,000 last of the newsletter = 4,200
    #   500 free, then 2,000 × 0.02 = 40.00, and 1,700 × 0.015 = 25.50; together 65.50
    assert lines(invoice) == [("Stored contacts", "65.50")]
    [line] = invoice.lines.all()
    assert rows(line) == [
        ("included", "500", "0", "0"),
        ("tier", "2000", "0.02", "40"),
        ("tier", "1700", "0.015", "25.5"),
    ]
    assert totals(invoice) == ("65.50", "12.45", "77.95")


def test_per_seat() -> None:
    buyer = ada(on_sale("seats"), quantities={"members": D(4)})
    customers.change_quantity(
        subscription_id=buyer.pk,
        price_key="members",
        quantity=D(6),
        starts_on=date(2026, 11, 16),
        today=date(2026, 11, 16),
        actor=SYSTEM,
    )
    for day, guests in ((3, 6), (10, 3), (20, -5)):  # 6, then 9, then 4
        use(buyer, at(11, day), type="guest.changed", guests=guests)
    opening, invoice = close(at(12, 1))
    # In advance: 4 × 12.00 = 48.00
    assert lines(opening) == [("Members", "48.00")]
    # December in advance: 6 × 12.00 = 72.00
    # Two joined on the 16th: 2 × 12.00 × 15/30 = 12.00
    # Guests: 9 at the peak, 5 included, 4 × 3.00 = 12.00
    assert lines(invoice) == [
        ("Members", "72.00"),
        ("Members", "12.00"),
        ("Guests at the peak", "12.00"),
    ]
    assert rows(invoice.lines.all()[2]) == [("included", "5", "0", "0"), ("unit", "4", "3", "12")]
    assert totals(invoice) == ("96.00", "18.24", "114.24")


def test_per_seat_for_who_joins_in_the_middle_of_the_month() -> None:
    buyer = ada(on_sale("seats"), date(2026, 11, 16), quantities={"members": D(4)}, **CALENDAR)
    use(buyer, at(11, 20), type="guest.changed", guests=10)
    opening, invoice = close(at(12, 1))
    # 15 of 30 days: 4 × 12.00 × 15/30 = 24.00
    assert lines(opening) == [("Members", "24.00")]
    # Guests: 10 × 15/30 = 5; included 5 × 15/30 = 2.5, rounded up to 3; 2 × 3.00 = 6.00
    assert lines(invoice) == [("Members", "48.00"), ("Guests at the peak", "6.00")]
    assert totals(invoice) == ("54.00", "10.26", "64.26")


@pytest.mark.parametrize(
    ("sent", "price", "expected"),
    [
        pytest.param(
            150_000, "0.0079", ("1185.00", "225.15", "1410.15"), id="150,000 × 0.0079 = 1,185.00"
        ),
        pytest.param(
            150_001,
            "0.0077",
            ("1155.01", "219.45", "1374.46"),
            id="150,001 × 0.0077 = 1,155.0077: one more is cheaper",
        ),
    ],
)
def test_per_message_by_volume(sent: int, price: str, expected: tuple[str, str, str]) -> None:
    buyer = ada(on_sale("messages"))
    use(buyer, at(11, 2), type="message.sent", segments=sent - 2)
    use(buyer, at(11, 3), type="message.sent", segments=2)
    invoice = november()
    assert lines(invoice) == [("Messages", expected[0])]
    [line] = invoice.lines.all()
    assert [(row.kind, row.quantity, row.unit_amount) for row in rows(line)] == [
        ("volume", str(sent), price)
    ]
    assert totals(invoice) == expected


def test_storage_by_the_hour_and_requests() -> None:
    buyer = ada(on_sale("storage"))
    use(buyer, at(11, 1, 0), type="storage.level", bucket="a", gigabytes=100)
    use(buyer, at(11, 16, 0), type="storage.level", bucket="a", gigabytes=200)
    use(buyer, at(11, 21, 12), type="storage.level", bucket="b", gigabytes=50)
    use(buyer, at(11, 5), type="storage.requests", requests=2_500_000)
    use(buyer, at(11, 6), type="storage.requests", requests=250_001)
    invoice = november()
    # Bucket a: 100 GB × 15 days × 24 h = 36,000; 200 GB × 15 × 24 = 72,000
    # Bucket b: 50 GB × 228 h (9.5 days) = 11,400; together 119,400 GB-hours
    # 119,400 × 0.00003 = 3.582, rounded to 3.58
    # 2,750,001 requests × 4.00 per million = 11.000004, rounded to 11.00
    assert lines(invoice) == [("Storage", "3.58"), ("Requests", "11.00")]
    stored, requests = invoice.lines.all()
    assert rows(stored) == [("unit", "119400", "0.00003", "3.582")]
    assert rows(requests) == [("unit", "2750001", "0.000004", "11.000004")]
    assert totals(invoice) == ("14.58", "2.77", "17.35")


def test_a_share_and_a_fee_of_every_payment() -> None:
    buyer = ada(on_sale("card-payments"))
    for day, moved in ((2, "120.00"), (3, "49.90"), (9, "980.00"), (20, "15.00"), (21, "-49.90")):
        use(buyer, at(11, day), type="payment.settled", amount=moved)
    invoice = november()
    # 120.00 + 49.90 + 980.00 + 15.00 = 1,164.90 × 2.9 % = 33.7821, and 4 × 0.30 = 1.20: 34.9821
    # The refund: −49.90 × 2.9 % = −1.4471, and no fee
    # 34.9821 − 1.4471 = 33.535, rounded half up to 33.54
    assert lines(invoice) == [("Payments", "33.54")]
    [line] = invoice.lines.all()
    assert [(row.kind, row.quantity, row.amount) for row in rows(line)] == [
        ("percentage", "1164.9", "34.9821"),
        ("reversal", "-49.9", "-1.4471"),
    ]
    assert line.quantity == D("1115.00")
    assert totals(invoice) == ("33.54", "6.37", "39.91")


def test_flat_fee_only() -> None:
    ada(on_sale("flat-fee"), date(2026, 11, 16), **CALENDAR)
    opening, invoice = close(at(12, 1))
    # From the 16th: 99.00 × 15/30 = 49.50; then a month in advance
    assert lines(opening) == [("Subscription", "49.50")]
    assert lines(invoice) == [("Subscription", "99.00")]
    assert totals(invoice) == ("99.00", "18.81", "117.81")


def test_revenue_share_with_a_monthly_minimum() -> None:
    buyer = ada(on_sale("revenue-share"))
    for day, sold in ((2, "640.00"), (3, "385.50"), (9, "512.25"), (21, "-85.50")):
        use(buyer, at(11, day), type="sale.recorded", net_amount=sold)
    use(buyer, at(12, 5), type="sale.recorded", net_amount="3000.00")
    invoice, december = close(datetime(2027, 1, 1, 9, tzinfo=UTC))
    # 640.00 + 385.50 + 512.25 = 1,537.75 × 12 % = 184.53; −85.50 × 12 % = −10.26; 174.27
    # Up to the minimum of 250.00: 75.73
    assert [net for _, net in lines(invoice)] == ["174.27", "75.73"]
    assert totals(invoice) == ("250.00", "47.50", "297.50")
    # December: 3,000.00 × 12 % = 360.00, above the minimum
    assert lines(december) == [("Revenue share", "360.00")]


def test_a_prepaid_package_with_overage() -> None:
    buyer = ada(on_sale("prepaid-credits"))
    for day, used in ((2, 700), (15, 300), (28, 240)):
        use(buyer, at(11, day), type="credit.used", credits=used)
    opening, invoice = close(at(12, 1))
    # 1,000 credits in advance: 80.00; 1,240 used, 240 beyond them × 0.10 = 24.00
    assert lines(opening) == [("Package of 1,000 credits", "80.00")]
    assert lines(invoice) == [("Package of 1,000 credits", "80.00"), ("Credits", "24.00")]
    assert rows(invoice.lines.all()[1]) == [
        ("included", "1000", "0", "0"),
        ("unit", "240", "0.1", "24"),
    ]
    assert totals(invoice) == ("104.00", "19.76", "123.76")


def test_what_was_paid_for_and_not_used_costs_nothing_more() -> None:
    buyer = ada(on_sale("prepaid-credits"))
    use(buyer, at(11, 2), type="credit.used", credits=1000)
    _, invoice = close(at(12, 1))
    assert lines(invoice) == [("Package of 1,000 credits", "80.00"), ("Credits", "0.00")]
