"""A plan changed from a day that is billed: settled to the cent on the next invoice (R20, R31)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.models import BillingPeriod, Invoice, InvoiceLine
from billing.services import issuing, life
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, contradictions, lines, use
from tests.billing.test_changing_plan import at, change, issue, priced

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


@pytest.fixture
def small(calls: ValueMetric) -> PlanVersion:
    """100 a month with 300 calls, 1 for each more."""
    return priced(calls, "100", 300, "1")


@pytest.fixture
def large(calls: ValueMetric) -> PlanVersion:
    """200 a month with 900 calls, 0.50 for each more."""
    return priced(calls, "200", 900, "0.5")


def subscribe(key: str, version: PlanVersion) -> Subscription:
    """From 1 April, its first fee billed."""
    one = make.subscription(make.customer(key), version, key=key, starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


@pytest.fixture
def ada(small: PlanVersion) -> Subscription:
    return subscribe("ada", small)


def bill(month: int) -> None:
    """Close and issue the month before this one."""
    close(at(month, 1, 1))
    issue(at(month, 1, 2))


def last_lines(one: Subscription) -> list[tuple[str, str, str]]:
    invoice = Invoice.objects.filter(lines__subscription=one).distinct().latest("pk")
    return [(line.kind, str(line.service_start), f"{line.net:.2f}") for line in invoice.lines.all()]


def audited() -> None:
    assert contradictions(at(12, 2), but=["periods_close_in_time"]) == []


class TestSettled:
    def test_the_difference_of_each_price_and_period_is_on_the_next_invoice(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        use(ada, at(4, 10), calls=340)  # 40 over; in 14 days 140 are included, so 200 over
        use(ada, at(4, 20), calls=500)  # 500 over; of 900 in 16 days 480 are, so 20 at 0.50
        bill(5)  # 540.00
        assert change(ada, large, at(5, 10), date(2026, 4, 15)) == date(2026, 4, 15)
        bill(6)
        assert last_lines(ada) == [
            ("fee", "2026-06-01", "200.00"),
            ("fee", "2026-04-15", "106.67"),
            ("fee", "2026-05-01", "200.00"),
            ("usage", "2026-05-01", "0.00"),
            ("late", "2026-04-15", "10.00"),
            ("late", "2026-04-01", "-340.00"),
            ("credit", "2026-04-15", "-53.33"),
            ("credit", "2026-05-01", "-100.00"),
        ]
        audited()

    def test_each_difference_names_its_period_and_invoice(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        use(ada, at(4, 10), calls=340)
        bill(5)
        april = Invoice.objects.latest("pk")
        change(ada, large, at(5, 10), date(2026, 4, 15))
        bill(6)
        late = InvoiceLine.objects.filter(kind="late").order_by("service_start")
        assert [
            (line.service_start.day, line.price and line.price.version, said["billed"][0])
            for line in late
            for said in [line.explanation]
        ] == [
            (
                1,
                ada.phases.all()[0].plan_version,
                {"invoice": april.number, "quantity": "340", "amount": "40.00"},
            ),
        ]

    def test_once(self, ada: Subscription, large: PlanVersion) -> None:
        use(ada, at(4, 10), calls=340)
        bill(5)
        change(ada, large, at(5, 10), date(2026, 4, 15))
        bill(6)
        bill(7)
        assert last_lines(ada) == [("fee", "2026-07-01", "200.00"), ("usage", "2026-06-01", "0.00")]
        audited()

    def test_periods_touch_and_are_numbered_in_order(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        for month in (5, 6, 7):
            bill(month)
        change(ada, large, at(7, 10), date(2026, 5, 11))
        assert [
            (one.number, str(one.start_date), one.status, one.phase.plan_version == large)
            for one in BillingPeriod.objects.order_by("number")
        ] == [
            (0, "2026-04-01", "closed", False),
            (1, "2026-05-01", "closed", False),
            (2, "2026-05-11", "closed", True),
            (3, "2026-06-01", "closed", True),
            (4, "2026-07-01", "open", True),
        ]
        audited()

    def test_a_look_ahead_is_what_is_billed(self, ada: Subscription, large: PlanVersion) -> None:
        use(ada, at(4, 10), calls=340)
        bill(5)
        moment, day = at(5, 10), date(2026, 4, 15)
        _, found = life.preview(
            lambda: change(ada, large, moment, day), subscription_id=ada.pk, at=moment
        )
        assert BillingPeriod.objects.count() == 2
        assert found.running is not None
        looked = [(line.description, f"{line.net:.2f}") for line in found.running.composed.lines]
        change(ada, large, moment, day)
        assert looked == lines(close(at(6, 1, 1))[-1])


Use = Callable[[Subscription], None]


def some(one: Subscription) -> None:
    for day, count in ((3, 340), (14, 7), (15, 11), (28, 200)):
        for month in (4, 5, 6):
            use(one, at(month, day), calls=count)


def none(one: Subscription) -> None:
    pass


def with_seats(one: Subscription) -> None:
    some(one)
    for day, seats in ((1, 5), (20, 8)):
        life.change_quantity(
            subscription_id=one.pk,
            price_key="base",
            quantity=D(seats),
            starts_on=date(2026, 4, day),
            at=at(4, 1),
            actor=SYSTEM,
        )


@pytest.mark.parametrize(
    ("day", "said_on", "happens", "is_issued", "other"),
    [
        pytest.param(date(2026, 4, 15), at(5, 10), none, True, False, id="a month without usage"),
        pytest.param(date(2026, 4, 15), at(5, 10), some, True, False, id="a month with usage"),
        pytest.param(date(2026, 4, 15), at(7, 10), some, True, False, id="three months"),
        pytest.param(date(2026, 5, 1), at(7, 10), some, True, False, id="where a period begins"),
        pytest.param(date(2026, 6, 30), at(7, 1, 9), some, True, False, id="from the last day"),
        pytest.param(date(2026, 4, 15), at(5, 10), some, False, False, id="while it is a draft"),
        pytest.param(
            date(2026, 5, 11), at(7, 10), some, False, True, id="two issued, the last a draft"
        ),
        pytest.param(date(2026, 5, 1), at(7, 10), with_seats, True, False, id="seats that change"),
        pytest.param(date(2026, 4, 15), at(7, 10), some, True, True, id="of another metric"),
    ],
)
def test_it_costs_what_it_had_cost_if_said_in_time(
    small: PlanVersion,
    large: PlanVersion,
    day: date,
    said_on: datetime,
    happens: Use,
    is_issued: bool,
    other: bool,
) -> None:
    if other:
        metric = make.metric("errors", event_type="api.call", aggregation="count")
        usage = make.graduated(metric, "1 @ 3, rest @ 1", key="calls")
        large = make.published(make.flat("base", "200"), usage)
    timely, late = subscribe("timely", small), subscribe("late", small)
    for one in (timely, late):
        happens(one)
    change(timely, large, at(4, 2), day)
    for month in range(5, said_on.month + 1):
        close(at(month, 1, 1))
        if is_issued or month < said_on.month:
            issue(at(month, 1, 2))
    change(late, large, said_on, day)
    if not is_issued:
        issue(said_on)
    for month in range(8, 13):
        bill(month)
    audited()
    costs = [
        sum((line.net for line in InvoiceLine.every.filter(subscription=one)), D(0))
        for one in (timely, late)
    ]
    assert costs[0] == costs[1]
    assert costs[0] > 600


class TestRefusals:
    def refused(
        self, one: Subscription, version: PlanVersion, why: str, day: date = date(2026, 4, 15)
    ) -> None:
        periods = list(BillingPeriod.objects.values())
        with pytest.raises(life.PeriodBilled, match=why):
            change(one, version, at(5, 10), day)
        assert list(BillingPeriod.objects.values()) == periods

    @pytest.mark.parametrize(
        ("terms", "why"),
        [
            pytest.param({"minimum_commitment": D(600)}, "minimum commitment", id="a commitment"),
            pytest.param({"interval": "year"}, "longer or shorter", id="other periods"),
        ],
    )
    def test_another_kind_of_plan(
        self, ada: Subscription, calls: ValueMetric, terms: dict[str, Any], why: str
    ) -> None:
        bill(5)
        self.refused(ada, priced(calls, "200", 900, "1", **terms), why)

    def test_a_fee_in_arrears(self, ada: Subscription) -> None:
        bill(5)
        self.refused(ada, make.published(make.flat("base", "9", timing="arrears")), "in arrears")

    def test_a_coupon_on_its_invoice(self, ada: Subscription, large: PlanVersion) -> None:
        make.applied_coupon(ada, make.coupon(), starts_on=date(2026, 4, 1))
        bill(5)
        self.refused(ada, large, "coupon")

    def test_terms_that_changed_since(self, ada: Subscription, large: PlanVersion) -> None:
        change(ada, large, at(4, 20))
        bill(5)
        self.refused(ada, large, "changed on 2026-04-20")

    def test_the_first_day(self, ada: Subscription, large: PlanVersion) -> None:
        bill(5)
        with pytest.raises(life.FirstFeeBilled):
            change(ada, large, at(5, 10), date(2026, 4, 1))

    def test_what_it_bills_can_not_be_undone_afterwards(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        bill(5)
        april = Invoice.objects.latest("pk")
        change(ada, large, at(5, 10), date(2026, 4, 15))
        with pytest.raises(issuing.InvoiceRecast):
            issuing.void_invoice(
                invoice_id=april.pk, reason="no", reopen=True, at=at(5, 11), actor=SYSTEM
            )
