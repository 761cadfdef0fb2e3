"""Prices with an interval of their own (R4): a fee a year, usage a month, each where it is due."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import Invoice, InvoiceLine
from catalog.models import PlanVersion
from config.base.errors import Invalid
from customers.models import Subscription, SubscriptionQuantity
from tests import factories as make
from tests.billing.months import close, lines, use

pytestmark = pytest.mark.django_db

MONTHLY = {"interval": "month"}


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


def yearly(*more: Any, **fee: Any) -> PlanVersion:
    """1,200 a year, and 1 a call every month above 100 included."""
    calls = make.graduated(
        make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100), **MONTHLY
    )
    return make.published(make.flat("base", "1200", **fee), calls, *more, interval="year")


def ada(version: PlanVersion, **terms: Any) -> Subscription:
    return make.subscription(
        make.customer("ada"), version, **{"starts_on": date(2026, 3, 1), **terms}
    )


def charged(subscription: Subscription, name: str) -> list[tuple[str, str, D]]:
    found = InvoiceLine.objects.filter(subscription=subscription, description=name)
    return [
        (line.service_start.isoformat(), line.service_end.isoformat(), line.net)
        for line in found.order_by("service_start")
    ]


def test_usage_every_month_and_the_fee_once_a_year() -> None:
    subscription = ada(yearly())
    use(subscription, at(2026, 4, 20), calls=150)
    invoices = close(at(2027, 3, 2))
    assert len(invoices) == 13  # the opening, and twelve months
    assert charged(subscription, "Base") == [
        ("2026-03-01", "2027-03-01", D(1200)),
        ("2027-03-01", "2028-03-01", D(1200)),
    ]
    usage = charged(subscription, "Calls")
    assert len(usage) == 12
    assert usage[1] == ("2026-04-01", "2026-05-01", D(50))


def test_a_fee_in_arrears_is_due_when_its_year_ends() -> None:
    subscription = ada(yearly(timing="arrears"))
    close(at(2027, 2, 2))
    assert charged(subscription, "Base") == []
    close(at(2027, 3, 2))
    assert charged(subscription, "Base") == [("2026-03-01", "2027-03-01", D(1200))]


def test_allowance_and_bounds_are_for_the_prices_own_interval() -> None:
    metric = make.metric("calls")
    quarterly = make.graduated(
        metric, "100 @ 2, rest @ 1", key="calls", included_quantity=D(100), interval="quarter"
    )
    seats = make.flat("seat", "10", **MONTHLY)
    subscription = ada(make.published(quarterly, seats, interval="quarter"))
    for month in (3, 4, 5):
        use(subscription, at(2026, month, 10), calls=100)
    close(at(2026, 6, 2))
    assert charged(subscription, "Calls") == [("2026-03-01", "2026-06-01", D(300))]
    assert len(charged(subscription, "Seat")) == 4


def test_calendar_years_begin_with_a_part() -> None:
    subscription = ada(yearly(), starts_on=date(2026, 11, 16), alignment="calendar")
    close(at(2027, 1, 2))
    assert charged(subscription, "Base") == [
        ("2026-11-16", "2027-01-01", D("151.23")),  # 1,200 × 46/365
        ("2027-01-01", "2028-01-01", D(1200)),
    ]
    assert charged(subscription, "Calls")[0][:2] == ("2026-11-16", "2026-12-01")


def test_more_seats_are_charged_once_to_the_years_end() -> None:
    seats = make.flat("seat", "365")
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", **MONTHLY)
    seats.price.model = "per_unit"
    subscription = ada(
        make.published(seats, calls, interval="year"),
        starts_on=date(2026, 1, 1),
        quantities={"seat": D(1)},
    )
    SubscriptionQuantity.objects.create(
        subscription=subscription, price_key="seat", starts_on=date(2026, 7, 2), quantity=D(3)
    )
    close(at(2026, 12, 2))
    assert charged(subscription, "Seat") == [
        ("2026-01-01", "2027-01-01", D(365)),
        ("2026-07-02", "2027-01-01", D(366)),  # two more for 183 of 365 days
    ]


def test_a_billing_period_lasts_as_long_as_the_shortest_interval() -> None:
    version = yearly()
    assert (version.interval, version.billing_interval) == ("year", "month")


@pytest.mark.parametrize(
    ("plan", "own"),
    [("month", "year"), ("month", "week"), ("year", "week"), ("quarter", "year")],
)
def test_an_interval_divides_the_plans(plan: str, own: str) -> None:
    priced = make.graduated(make.metric(), "rest @ 1", interval=own)
    with pytest.raises(Invalid) as refusal:
        make.draft(priced, interval=plan)
    assert [fault.code for fault in refusal.value.faults] == ["does_not_divide"]


def test_one_metric_is_charged_at_one_interval() -> None:
    metric = make.metric("calls", dimensions=["region"])
    only = [{"property": "region", "operator": "eq", "values": ["eu"]}]
    first = make.graduated(metric, "rest @ 1", key="eu", filters=only, **MONTHLY)
    second = make.graduated(metric, "rest @ 1", key="rest")
    with pytest.raises(Invalid) as refusal:
        make.published(first, second, interval="year")
    assert [fault.code for fault in refusal.value.faults] == ["another_interval"]


def test_the_opening_has_the_years_fee() -> None:
    ada(yearly())
    [opening] = close(at(2026, 3, 1))
    assert isinstance(opening, Invoice)
    assert lines(opening) == [("Base", "1200.00")]
