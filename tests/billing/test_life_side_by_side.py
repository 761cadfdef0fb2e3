"""Changes of plan and late usage while closes run: as if one came after the other, and once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from django.db import connection

from billing.models import BillingPeriod, Invoice, InvoiceLine, PeriodCharge
from billing.services import life
from billing.services.closing import close_subscriptions
from billing.services.lateness import settle_late_usage
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.invariants import audit
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.billing.side_by_side import ROUNDS, at_once
from tests.billing.test_changing_plan import at, issue, priced

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]
DAY = date(2026, 4, 15)
END = at(5, 1, 1)


def begun(key: str) -> tuple[Subscription, PlanVersion]:
    """From 1 April on 100 a month, 340 calls in it; and a plan of 200 a month."""
    calls = make.metric(f"calls-{key}", event_type=f"{key}.call")
    small, large = priced(calls, "100", 300, "1"), priced(calls, "200", 900, "0.5")
    one = make.subscription(make.customer(key), small, key=key, starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    use(one, at(4, 10), type=f"{key}.call", calls=340)
    return one, large


def billed(one: Subscription) -> list[tuple[str, str, str]]:
    """Return what live invoices charge of a subscription, in no order of invoices."""
    lines = InvoiceLine.every.filter(subscription=one).exclude(invoice__status="discarded")
    return sorted((line.kind, str(line.service_start), f"{line.net:.2f}") for line in lines)


def acts(one: Subscription, large: PlanVersion, day: date | None, bill_now: bool) -> list[Any]:
    """Return a close of April, and a change of plan."""

    def change() -> date:
        return life.change_plan(
            subscription_id=one.pk,
            version=large,
            when=day,
            at=END,
            actor=SYSTEM,
            bill_now=bill_now,
        )

    return [lambda: close_subscriptions(subscription_ids=[one.pk], as_of=END), change]


@pytest.mark.parametrize("bill_now", [False, True])
@pytest.mark.parametrize(
    "day", [pytest.param(DAY, id="from a day that is closed"), pytest.param(None, id="today")]
)
def test_a_change_beside_a_close_is_as_if_one_came_after_the_other(
    day: date | None, bill_now: bool
) -> None:
    serial = []
    for key, turn in (("first", 1), ("second", -1)):
        one, large = begun(key)
        for act in acts(one, large, day, bill_now)[::turn]:
            act()
        close(END)
        serial.append(billed(one))
    for attempt in range(ROUNDS):
        one, large = begun(f"race{attempt}")
        answers = at_once(*acts(one, large, day, bill_now)[:: 1 if attempt % 2 else -1])
        assert not any(isinstance(answer, Exception) for answer in answers)
        close(END)
        assert billed(one) in serial
    _audited(END)


def test_late_usage_is_settled_once_by_closes_beside_each_other() -> None:
    one, _ = begun("late")
    close(END)
    issue(at(5, 1, 2))
    use(one, at(4, 20), type="late.call", calls=7, received_at=at(5, 10))
    june = at(6, 1, 1)
    closers: list[Callable[[], Any]] = [
        lambda: close_subscriptions(subscription_ids=[one.pk], as_of=june)
    ] * 3
    at_once(*closers, lambda: settle_late_usage(as_of=june))
    close(june)
    late = InvoiceLine.objects.filter(kind="late")
    assert [(line.quantity, f"{line.net:.2f}") for line in late] == [(7, "7.00")]
    assert PeriodCharge.objects.filter(purpose="late", is_live=True).count() == 1
    assert Invoice.objects.count() == 3
    assert BillingPeriod.objects.filter(status="closed").count() == 2
    _audited(june)


def _audited(moment: datetime) -> None:
    names = ["periods_touch", "periods_are_billed_once", "charges_live_with_their_invoice"]
    assert [one.findings for one in audit(at=moment, names=names) if one.findings] == []
