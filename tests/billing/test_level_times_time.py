"""Level × time, from events to the invoice: GB-months and unit-hours checked by hand (R10, R15)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from billing.days import read_days
from billing.models import BillingPeriod, Invoice
from billing.presentation import present
from billing.services.upcoming import upcoming_invoice
from billing.usage import Reading, Wanted
from catalog.drafts import PriceDraft
from catalog.models import Price, ValueMetric
from customers.models import Subscription
from metering.buckets import Granularity
from metering.services.rollups import fold_pieces
from metering.services.usage import usage
from tests import factories as make
from tests.billing.months import close, lines, use
from tests.customers import door
from tests.metering.usage import build
from tests.staff import said

pytestmark = pytest.mark.django_db


def storage(**fields: Any) -> ValueMetric:
    defaults = {
        "event_type": "storage.size",
        "aggregation": "time_weighted",
        "value_property": "gb",
        "value_is": "level",
        "time_unit": "period",
        "unit": "GB-month",
        "unit_plural": "GB-months",
        "rounding_scale": 2,
        "carry_over": True,
    }
    return make.metric("storage", **{**defaults, **fields})


def billed(metric: ValueMetric, **terms: Any) -> Subscription:
    """A customer in Berlin whose storage costs 0.10, from October, whose clocks go back on the 25th."""
    price = Price(
        key="gb",
        name="Storage",
        model="per_unit",
        timing="arrears",
        metric=metric,
        unit_amount=Decimal("0.10"),
    )
    plan = make.published(PriceDraft(price, []))
    ada = make.customer("ada", time_zone="Europe/Berlin")
    defaults = {"key": "ada", "starts_on": date(2026, 10, 1)}
    return make.subscription(ada, plan, **{**defaults, **terms})


def utc(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def measured(invoice: Invoice) -> dict[str, Any]:
    told: dict[str, Any] = invoice.lines.get().explanation["measured"]
    return told


@pytest.mark.parametrize("kept", [False, True], ids=["from events", "from rollups"])
def test_a_month_of_an_hour_more_weighs_an_hour_more(kept: bool) -> None:
    """100 GB for 360 hours, then 200 GB for 385: 113,000 GB-hours in a month of 745 hours."""
    ada = billed(storage())
    if kept:
        build()
    use(ada, utc(9, 30, 22), type="storage.size", gb=100)
    use(ada, utc(10, 15, 22), type="storage.size", gb=200)
    if kept:
        fold_pieces()
    [invoice] = close(utc(11, 1, 1))
    assert lines(invoice) == [("Storage", "15.17")]  # 151.68 × 0.10 = 15.168
    assert invoice.lines.get().quantity == Decimal("151.68")
    told = measured(invoice)
    assert (told["unit_hours"], told["hours"]) == ("113000", "745")
    assert told["quantity"] == "151.677852349"


def test_the_invoice_says_how_it_was_counted() -> None:
    ada = billed(storage())
    use(ada, utc(9, 30, 22), type="storage.size", gb=100)
    use(ada, utc(10, 15, 22), type="storage.size", gb=200)
    [invoice] = close(utc(11, 1, 1))
    [line] = present(invoice).lines
    said = " ".join(line.notes).replace("\N{NON-BREAKING HYPHEN}", "-")
    said = said.replace("\N{NO-BREAK SPACE}", " ")
    assert said == "Measured 113,000 unit-hours ÷ 745 hours, billed as 151.68 GB-months."


def test_what_was_stored_before_goes_on_being_billed() -> None:
    ada = billed(storage())
    use(ada, utc(9, 30, 22), type="storage.size", gb=100)
    close(utc(11, 1, 1))
    [_, november] = close(utc(12, 1, 1))
    assert lines(november) == [("Storage", "10.00")]
    assert measured(november)["hours"] == "720"


def test_a_part_of_a_month_is_divided_by_the_whole() -> None:
    """From 16 October on: 200 GB for 385 of 745 hours, and no proration on top (R15)."""
    metric = storage(carry_over=False)
    ada = billed(metric, starts_on=date(2026, 10, 16), alignment="calendar")
    use(ada, utc(10, 15, 22), type="storage.size", gb=200)
    [invoice] = close(utc(11, 1, 1))
    assert invoice.lines.get().quantity == Decimal("103.36")  # 77,000 ÷ 745 = 103.3557…
    assert lines(invoice) == [("Storage", "10.34")]


def test_unit_hours() -> None:
    """Machines that start and stop: 2 for an hour, then 1 for 10."""
    metric = storage(time_unit="hour", value_is="change", unit="hour", unit_plural="hours")
    ada = billed(metric)
    for hour, change in [(0, 2), (1, -1), (11, -1)]:
        use(ada, utc(10, 2, hour), type="storage.size", gb=change)
    [invoice] = close(utc(11, 1, 1))
    assert invoice.lines.get().quantity == 12
    assert "hours" not in measured(invoice)


def test_a_preview_counts_what_has_passed() -> None:
    """After 360 hours of 745 with 100 GB: 36,000 GB-hours."""
    ada = billed(storage())
    use(ada, utc(9, 30, 22), type="storage.size", gb=100)
    _, composed = upcoming_invoice(subscription=ada, at=utc(10, 15, 22))
    assert [line.quantity for line in composed.lines] == [Decimal("48.32")]


@pytest.mark.parametrize("carry_over", [False, True])
def test_days_of_a_period_add_up_to_what_its_invoice_counts(carry_over: bool) -> None:
    """A level for 314 hours, its double for 304, of 745; carried over, 70 GB for 127 before."""
    metric = storage(carry_over=carry_over)
    subscription = billed(metric, starts_on=date(2026, 10, 15))
    ada = subscription.customer
    use(subscription, utc(10, 14, 10), type="storage.size", gb=70)
    use(subscription, utc(10, 20, 5), type="storage.size", gb=100)
    use(subscription, utc(11, 2, 7), type="storage.size", gb=200)
    [invoice] = close(utc(11, 15, 1))
    found = usage(
        customer=ada, metric=metric, start=utc(10, 14, 22), end=utc(11, 14, 23),
        granularity=Granularity.DAY, at=utc(11, 20),
    ).all  # fmt: skip
    assert len(found.buckets) == 31
    assert sum(day.quantity for day in found.buckets) == found.total.quantity
    assert found.billable == invoice.lines.get().quantity
    assert str(found.billable) == ("135.69" if carry_over else "123.76")


@pytest.mark.parametrize("carry_over", [False, True])
def test_a_chart_s_days_add_up_to_its_line_and_hold_on_without_events(carry_over: bool) -> None:
    """100 GB from the 20th on, after 70 GB before the period: each day a share of its 745 hours."""
    metric = storage(carry_over=carry_over)
    subscription = billed(metric)
    use(subscription, utc(9, 20), type="storage.size", gb=70)
    use(subscription, utc(10, 19, 22), type="storage.size", gb=100)
    [invoice] = close(utc(11, 1, 1))
    period = BillingPeriod.objects.get(start_date=date(2026, 10, 1))
    [found] = read_days([Wanted(period, [Reading(metric)], {})], until=utc(11, 1))
    days = {day.day.day: day.used for day in found[metric.pk]}
    before = "2.2550335570" if carry_over else "0E-10"  # 70 × 24 / 745
    assert [str(days[day]) for day in (1, 19, 20, 25, 31)] == [
        before, before, "3.2214765101", "3.3557046980", "3.2214765101",
    ]  # fmt: skip
    assert abs(sum(days.values()) - invoice.lines.get().quantity) < Decimal("0.01")


def test_a_level_that_holds_on_is_used_in_the_portal_without_an_event() -> None:
    subscription = billed(storage())
    use(subscription, utc(9, 20), type="storage.size", gb=70)
    reader = door.signed_in(door.contact(subscription.customer, "ada@fernwood.example"))
    where = "/portal/usage/storage/?from=2026-10-01&to=2026-10-31"
    with time_machine.travel(utc(10, 31, 23), tick=False):
        page = said(reader.get(where))
        chart = reader.get(where).context["chart"]
    assert "used in this time: the value from before holds on, without an event." in page
    assert len(chart.columns) == 31
