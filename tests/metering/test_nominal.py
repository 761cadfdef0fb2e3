"""The periods that level × time is per: those it is charged for, and else calendar months."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from metering.services.nominal import nominal_periods
from tests import factories as make

pytestmark = pytest.mark.django_db


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def periods(start: str, end: str) -> list[tuple[str, str, int]]:
    """Return start, end and nominal days of acme's periods of storage."""
    found = nominal_periods(ACME[0], ACME[1], utc(start), utc(end))
    return [(f"{one.start:%m-%d}", f"{one.end:%m-%d}", one.nominal.days) for one in found]


ACME: list[Any] = []


@pytest.fixture(autouse=True)
def acme() -> Any:
    gb = make.metric("gb", aggregation="time_weighted", value_is="level", time_unit="period")
    ACME[:] = [make.customer("acme"), gb]


def subscribed(starts_on: date, *, interval: str = "month", own: str = "", **terms: Any) -> None:
    fields: dict[str, Any] = {"interval": own, "interval_count": 1} if own else {}
    prices = [make.graduated(ACME[1], "rest @ 1", **fields)]
    if own:
        prices.append(make.flat())
    make.subscription(
        ACME[0], make.published(*prices, interval=interval), starts_on=starts_on, **terms
    )


def test_without_a_subscription_they_are_months() -> None:
    assert periods("01-31", "03-01") == [("01-01", "02-01", 31), ("02-01", "03-01", 28)]


def test_they_are_those_of_the_subscription() -> None:
    subscribed(date(2026, 1, 15))
    assert periods("02-01", "03-20") == [
        ("01-15", "02-15", 31), ("02-15", "03-15", 28), ("03-15", "04-15", 31),
    ]  # fmt: skip


def test_before_its_start_they_are_months_up_to_it() -> None:
    subscribed(date(2026, 2, 10), alignment="calendar")
    assert periods("01-20", "03-02") == [
        ("01-01", "02-01", 31), ("02-01", "02-10", 28), ("02-10", "03-01", 28), ("03-01", "04-01", 31),
    ]  # fmt: skip


def test_an_interval_of_the_price_s_own_counts() -> None:
    subscribed(date(2026, 1, 1), interval="year", own="quarter")
    assert periods("02-01", "04-02") == [("01-01", "04-01", 90), ("04-01", "07-01", 91)]


def test_where_two_subscriptions_price_it_they_are_months() -> None:
    subscribed(date(2026, 1, 15))
    subscribed(date(2026, 3, 1), alignment="calendar")
    assert periods("01-20", "04-20") == [
        ("01-15", "02-15", 31), ("02-15", "03-01", 28), ("03-01", "04-01", 31), ("04-01", "05-01", 30),
    ]  # fmt: skip


def test_a_plan_that_does_not_price_it_has_no_say() -> None:
    make.subscription(ACME[0], starts_on=date(2026, 1, 15))
    assert periods("01-20", "01-21") == [("01-01", "02-01", 31)]
