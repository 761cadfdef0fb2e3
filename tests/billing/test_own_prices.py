"""A customer's own terms on its invoices (R22): from a day, until one, and said on the line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine

from billing.models import Invoice, InvoiceLine
from config.base.audit import SYSTEM
from customers.models import Subscription
from customers.services import agree_price
from tests import factories as make
from tests.billing.months import close, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


NOV, DEC, JAN = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


def agreed(price: str, terms: dict[str, Any], *, since: date, until: date | None = None) -> Any:
    subscription = make.subscription(
        version=make.published(
            make.flat(), make.graduated(make.metric("calls"), "rest @ 0.01", key="calls")
        ),
        starts_on=NOV,
    )
    agree_price(
        subscription_id=subscription.pk,
        price_key=price,
        terms=terms,
        starts_on=since,
        ends_on=until,
        reason="Launch partner",
        at=make.AT,
        actor=SYSTEM,
    )
    return subscription


def charged(subscription: Subscription, price: str) -> list[tuple[str, D, str | None]]:
    lines = InvoiceLine.objects.filter(subscription=subscription, price__key=price)
    return [
        (line.service_start.isoformat(), line.net, line.explanation.get("own_terms_since"))
        for line in lines.order_by("service_start")
    ]


def test_a_fee_is_the_customers_own_for_the_periods_that_begin_under_it() -> None:
    subscription = agreed("base", {"unit_amount": "399"}, since=DEC, until=JAN)
    close(at(1, 2, year=2027))
    assert charged(subscription, "base") == [
        ("2026-11-01", D(499), None),
        ("2026-12-01", D(399), "2026-12-01"),
        ("2027-01-01", D(499), None),
    ]


def test_usage_is_rated_by_the_terms_of_its_period() -> None:
    terms = {"included_quantity": "100", "maximum": "5"}
    subscription = agreed("calls", terms, since=DEC)
    use(subscription, at(11, 30), calls=1000)
    use(subscription, at(12, 31), calls=400)
    close(at(1, 2, year=2027))
    assert charged(subscription, "calls") == [
        ("2026-11-01", D(10), None),
        ("2026-12-01", D(3), "2026-12-01"),
    ]


def test_terms_begun_within_a_period_wait_for_the_next() -> None:
    subscription = agreed("base", {"unit_amount": "399"}, since=date(2026, 11, 15))
    close(at(12, 2))
    assert [net for _, net, _ in charged(subscription, "base")] == [D(499), D(399)]


def test_the_api_and_the_upcoming_invoice_say_it(caller: Caller) -> None:
    subscription = agreed("base", {"unit_amount": "399"}, since=NOV)
    close(at(11, 2))
    client = caller()
    invoice = Invoice.objects.get()
    [line] = client.get(f"/api/v1/invoices/{invoice.uuid}").json()["lines"]
    assert line["explanation"]["own_terms_since"] == "2026-11-01"
    with time_machine.travel(at(11, 20)):
        url = f"/api/v1/subscriptions/{subscription.key}/upcoming-invoice"
        upcoming = client.get(url).json()["lines"]
    assert [line["net"] for line in upcoming if line["kind"] == "fee"] == ["399.00"]
