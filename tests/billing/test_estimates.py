"""What a month's close is expected to come to, and what is unusual in it, before anything is billed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import tasks
from billing.models import (
    BillingPeriod,
    CloseEstimate,
    EstimatedBill,
    EstimatedUsage,
    Invoice,
    UsageFinding,
    UsageSnapshot,
)
from billing.services import estimating, expectation, issuing, portions
from billing.trailing import Trail, unusual
from catalog.models import PlanVersion
from catalog.money import round_half_up
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from metering.events import make_event
from metering.senders import silent_sources
from metering.services.ingestion import ingest
from tests import factories as make
from tests.billing.months import close, use

pytestmark = pytest.mark.django_db
D = Decimal
NOVEMBER = date(2026, 11, 1)
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


@pytest.fixture
def plan() -> PlanVersion:
    usage = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100))
    return make.published(make.flat("base", "10"), usage, plan=make.plan("scale", name="Scale"))


def subscribe(plan: PlanVersion, name: str, **fields: Any) -> Subscription:
    since = {"starts_on": date(2026, 8, 1), **fields}
    return make.subscription(make.customer(name, name=name.title()), plan, key=name, **since)


def lived(subscription: Subscription, *calls: int) -> None:
    """Use that many calls in August, September and so on, and close each month that is over."""
    for n, count in enumerate(calls):
        at = datetime(2026, 8 + n, 5, tzinfo=UTC)
        if count:
            use(subscription, at, calls=count)


def closed_until_november() -> None:
    for month in (9, 10, 11):
        close(datetime(2026, month, 3, tzinfo=UTC))


def estimate(at: datetime = NOW, customer: Any = None) -> CloseEstimate:
    made = estimating.start_estimate(month=NOVEMBER, customer=customer, at=at, actor=SYSTEM)
    while estimating.take_step(estimate_id=made.pk, now=at):
        pass
    made.refresh_from_db()
    assert made.status == "finished"
    return made


def bill(subscription: Subscription) -> tuple[str, Decimal | None, Decimal | None]:
    row = EstimatedBill.objects.get(subscription=subscription)
    return row.state, row.before, row.expected


class TestFigures:
    def test_expected_is_what_the_close_then_drafts(self, plan: PlanVersion) -> None:
        ada, ben = subscribe(plan, "ada"), subscribe(plan, "ben")
        lived(ada, 120, 130, 140, 175)
        lived(ben, 0, 0, 150, 90)
        closed_until_november()
        made = estimate()
        assert bill(ada) == ("estimated", D(50), D(85))
        assert bill(ben) == ("estimated", D(60), D(10))
        [euros] = expectation.by_currency(made)
        assert euros == ("EUR", "", 2, 0, D(110), D(95), D(-15))
        assert [row.plan for row in expectation.by_plan(made)] == ["Scale"]
        movers = [(row.subscription.key, row.difference) for row in expectation.movers(made)]
        assert movers == [("ben", D(-50)), ("ada", D(35))]
        before = {row.subscription_id: row.expected for row in made.bills.all()}
        close(NOW)
        drafted = Invoice.objects.filter(status="draft")
        assert {one.lines.all()[0].subscription_id: one.net_total for one in drafted} == before

    def test_nothing_is_billed_by_looking(self, plan: PlanVersion) -> None:
        subscribe(plan, "ada")
        closed_until_november()
        counts = (Invoice.objects.count(), UsageSnapshot.objects.count())
        estimate()
        assert (Invoice.objects.count(), UsageSnapshot.objects.count()) == counts
        assert not BillingPeriod.objects.filter(status="closed", closed_at=NOW).exists()

    def test_a_coupon_is_off_both(self, plan: PlanVersion) -> None:
        ada = subscribe(plan, "ada")
        make.applied_coupon(ada, make.coupon(percent=D(50), duration="forever"))
        lived(ada, 0, 0, 140, 100)
        closed_until_november()
        estimate()
        assert bill(ada) == ("estimated", D(25), D(5))

    def test_a_first_period_has_nothing_before(self, plan: PlanVersion) -> None:
        new = subscribe(plan, "new", starts_on=NOVEMBER)
        close(datetime(2026, 11, 3, tzinfo=UTC))
        made = estimate()
        assert bill(new) == ("estimated", None, D(10))
        assert expectation.by_currency(made)[0].fresh == 1

    def test_a_void_invoice_is_no_last_one(self, plan: PlanVersion) -> None:
        ada = subscribe(plan, "ada")
        lived(ada, 0, 120, 140, 100)
        closed_until_november()
        last = Invoice.objects.get(charges__period__start_date=date(2026, 10, 1), total=50)
        at = datetime(2026, 11, 5, tzinfo=UTC)
        issuing.void_invoice(invoice_id=last.pk, reason="x", reopen=False, at=at, actor=SYSTEM)
        estimate()
        assert bill(ada) == ("estimated", D(30), D(10))

    @pytest.mark.parametrize(
        ("starts_on", "is_in"),
        [
            pytest.param(date(2026, 11, 1), True, id="ends with the month"),
            pytest.param(date(2026, 10, 20), True, id="ends within it"),
            pytest.param(date(2026, 11, 2), False, id="ends a day into the next"),
        ],
    )
    def test_what_ends_in_the_month_is_estimated(
        self, starts_on: date, is_in: bool, plan: PlanVersion
    ) -> None:
        subscribe(plan, "ada", starts_on=starts_on)
        close(datetime(2026, 11, 3, tzinfo=UTC))
        estimate()
        assert EstimatedBill.objects.exists() == is_in

    def test_who_would_be_parked_is_named_with_the_reason(self, plan: PlanVersion) -> None:
        ada, ben = subscribe(plan, "ada"), subscribe(plan, "ben")
        closed_until_november()
        second = Issuer.objects.create(name="Second seller", legal_name="Second seller")
        Subscription.objects.filter(pk=ben.pk).update(issuer=second)
        made = estimate()
        assert bill(ben)[0] == "estimated"
        [failing] = expectation.failing(made)
        assert failing.subscription == ada
        assert failing.note.startswith("Say who sells to Ada")

    def test_one_customer_alone(self, plan: PlanVersion) -> None:
        ada, _ = subscribe(plan, "ada"), subscribe(plan, "ben")
        closed_until_november()
        made = estimate(customer=ada.customer)
        assert [row.subscription for row in made.bills.all()] == [ada]


class TestWork:
    def test_the_next_takes_the_place_of_the_last(self, plan: PlanVersion) -> None:
        ada = subscribe(plan, "ada")
        closed_until_november()
        first = estimate()
        other = estimate(customer=ada.customer)
        second = estimate(NOW + timedelta(hours=1))
        assert set(CloseEstimate.objects.all()) == {other, second}
        assert not estimating.take_step(estimate_id=first.pk, now=NOW)

    def test_taken_up_again_it_does_the_rest(
        self, plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(portions, "PORTION", 2)
        for n in range(5):
            subscribe(plan, f"s{n}")
        closed_until_november()
        made = estimating.start_estimate(month=NOVEMBER, customer=None, at=NOW, actor=SYSTEM)
        assert estimating.take_step(estimate_id=made.pk, now=NOW)
        assert expectation.counted_bills(made) == {"estimated": 2, "waiting": 3}
        tasks.advance_estimate(made.pk)
        assert expectation.counted_bills(made) == {"estimated": 5}

    def test_it_asks_as_much_for_3_as_for_30(self, plan: PlanVersion) -> None:
        def asked(count: int) -> int:
            for n in range(count):
                lived(subscribe(plan, f"of{count}-{n}"), 1, 2, 3, 4)
            closed_until_november()
            made = estimating.start_estimate(month=NOVEMBER, customer=None, at=NOW, actor=SYSTEM)
            with CaptureQueriesContext(connection) as captured:
                estimating.take_step(estimate_id=made.pk, now=NOW)
            updates = [one for one in captured if one["sql"].startswith("UPDATE")]
            return len(captured) - len(updates)

        few = asked(3)
        assert asked(27) == few

    def test_what_stops_it_is_kept(
        self, plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = estimating.start_estimate(month=NOVEMBER, customer=None, at=NOW, actor=SYSTEM)
        monkeypatch.setattr(estimating, "silent_sources", lambda until: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tasks.advance_estimate(made.pk)
        made.refresh_from_db()
        assert "ZeroDivisionError" in made.last_error

    def test_the_beat_and_the_command_make_the_next_months(self, plan: PlanVersion) -> None:
        subscribe(plan, "ada")
        closed_until_november()
        with time_machine.travel(NOW, tick=False):
            tasks.estimate_close()
            out = StringIO()
            call_command("estimate_close", stdout=out)
        assert out.getvalue() == (
            "November 2026: 1 invoice, 10.00 EUR net expected, 10.00 EUR last.\n"
        )
        assert CloseEstimate.objects.get().month == NOVEMBER


class TestUnusual:
    @pytest.fixture
    def ada(self, plan: PlanVersion) -> Subscription:
        return subscribe(plan, "ada")

    @pytest.mark.parametrize(
        ("calls", "finding"),
        [
            pytest.param((100, 100, 100, 200), "", id="twice the mean is not more than that"),
            pytest.param((100, 100, 100, 201), "high", id="more than twice"),
            pytest.param((100, 100, 100, 50), "", id="half is not less than half"),
            pytest.param((100, 100, 100, 49), "low", id="less than half"),
            pytest.param((100, 100, 100, 0), "silent", id="none, though there always was"),
            pytest.param((100, 0, 100, 0), "", id="none, as before"),
            pytest.param((0, 0, 0, 9), "", id="nothing before is no mean to compare with"),
        ],
    )
    def test_usage_against_the_mean(
        self, calls: tuple[int, ...], finding: str, ada: Subscription
    ) -> None:
        lived(ada, *calls)
        closed_until_november()
        estimate()
        [row] = EstimatedUsage.objects.all()
        assert (row.finding, row.quantity) == (finding, calls[-1])
        assert row.usual == round_half_up(Fraction(sum(calls[:3]), 3), 10)

    def test_two_periods_are_no_past(self, plan: PlanVersion) -> None:
        ada = subscribe(plan, "ada", starts_on=date(2026, 9, 1))
        lived(ada, 0, 100, 100, 900)
        closed_until_november()
        made = estimate()
        assert EstimatedUsage.objects.get().usual is None
        assert expectation.metric_totals(made) == []

    @pytest.mark.parametrize(
        ("quantity", "finding"),
        [pytest.param(0, None, id="not yet"), pytest.param(201, UsageFinding.HIGH, id="already")],
    )
    def test_before_its_end_only_too_much_is_unusual(
        self, quantity: int, finding: UsageFinding | None, ada: Subscription
    ) -> None:
        closed_until_november()
        period = BillingPeriod.objects.get(status="open")
        snapshot = UsageSnapshot(quantity=D(quantity), events=min(1, quantity), period=period)
        snapshot.metric = make.metric("other")
        trail = Trail(D(100), is_steady=True)
        assert unusual(snapshot, period, trail, at=period.ends_at - timedelta(days=1)) == finding

    def test_all_customers_together(self, plan: PlanVersion, ada: Subscription) -> None:
        lived(ada, 100, 100, 100, 130)
        lived(subscribe(plan, "ben"), 100, 100, 100, 121)
        closed_until_november()
        [total] = expectation.metric_totals(estimate())
        assert (total.quantity, total.usual, total.is_unusual) == (D(251), D(200), True)


@pytest.mark.parametrize(
    ("days", "is_silent"),
    [
        pytest.param(range(22, 30), True, id="every day until the day before yesterday"),
        pytest.param(range(23, 31), False, id="yesterday too"),
        pytest.param([*range(22, 25), *range(26, 30)], False, id="not every day before"),
        pytest.param(range(24, 30), False, id="for six days only"),
    ],
)
def test_a_source_that_fell_silent(days: Any, is_silent: bool, plan: PlanVersion) -> None:
    ada = subscribe(plan, "ada")
    sent = [
        make_event(
            source="gateway",
            id=f"e{day}",
            type="api.call",
            subject=ada.customer.key,
            subscription=None,
            time=datetime(2026, 11, day, 12, tzinfo=UTC),
            data={"calls": 1},
        )
        for day in days
    ]
    ingest(sent, received_at=NOW)
    use(ada, datetime(2026, 11, 30, tzinfo=UTC), calls=1)
    found = silent_sources(until=NOW)
    assert found == ([("gateway", date(2026, 11, 29))] if is_silent else [])


@pytest.mark.parametrize(
    ("at", "month"),
    [
        pytest.param(datetime(2026, 11, 28, tzinfo=UTC), NOVEMBER, id="the running one"),
        pytest.param(NOW, NOVEMBER, id="the one before, while it is open"),
        pytest.param(datetime(2027, 3, 1, tzinfo=UTC), NOVEMBER, id="an old one that was left"),
    ],
)
def test_the_month_to_close(at: datetime, month: date, plan: PlanVersion) -> None:
    subscribe(plan, "ada")
    closed_until_november()
    assert estimating.month_to_close(at=at) == month


def test_without_periods_it_is_this_month() -> None:
    assert estimating.month_to_close(at=NOW) == date(2026, 12, 1)
