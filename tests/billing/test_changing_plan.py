"""Changing the plan: parts of a period under their own versions, billed once; whole months by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import BillingPeriod, Invoice, PeriodCharge
from billing.services import closing, issuing, life
from billing.services.life import When
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.models import Subscription
from customers.services import (
    PlanUnchanged,
    SubscriptionPaused,
    VersionNotOffered,
    end_subscription,
)
from tests import factories as make
from tests.billing.months import close, left, lines, use

pytestmark = pytest.mark.django_db
D = Decimal


def at(month: int, day: int, hour: int = 12, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


def priced(metric: ValueMetric, base: str, included: int, each: str, **terms: Any) -> PlanVersion:
    usage = make.graduated(metric, f"rest @ {each}", key="calls", included_quantity=D(included))
    return make.published(make.flat("base", base), usage, **terms)


@pytest.fixture
def small(calls: ValueMetric) -> PlanVersion:
    """100 a month with 300 calls, 1 for each more."""
    return priced(calls, "100", 300, "1")


@pytest.fixture
def large(calls: ValueMetric) -> PlanVersion:
    """200 a month with 900 calls, 0.50 for each more."""
    return priced(calls, "200", 900, "0.5")


@pytest.fixture
def ada(small: PlanVersion) -> Subscription:
    """From 1 April, its first fee billed."""
    one = make.subscription(make.customer("ada"), small, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


def issue(moment: datetime) -> None:
    open_ = Invoice.objects.filter(status="draft").order_by("pk").values_list("pk", flat=True)
    issuing.issue_invoices(invoice_ids=list(open_), as_of=moment, actor=SYSTEM)


def change(
    one: Subscription, version: PlanVersion, moment: datetime, when: str | date | None = None
) -> date:
    return life.change_plan(
        subscription_id=one.pk,
        version=version,
        when=When(when) if isinstance(when, str) else when,
        at=moment,
        actor=SYSTEM,
    )


def invoiced(moment: datetime) -> list[tuple[str, str]]:
    return lines(close(moment)[-1])


class TestAtOnceWithPeriodsOfTheSameLength:
    def test_the_worked_example(self, ada: Subscription, large: PlanVersion) -> None:
        """100 a month, switched on 15 April to 200: credit 53.33, charge 106.67 (R5)."""
        assert change(ada, large, at(4, 15)) == date(2026, 4, 15)
        assert invoiced(at(5, 1, 1)) == [
            ("Base", "200.00"),  # May
            ("Base", "106.67"),  # 200 × 16/30
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Base", "-53.33"),  # 100 × 16/30
        ]

    def test_nothing_is_billed_before_the_period_ends(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15))
        assert len(close(at(4, 30, 23))) == 1

    def test_usage_is_split_at_the_change(self, ada: Subscription, large: PlanVersion) -> None:
        use(ada, at(4, 14, 23), calls=150)  # 140 of 300 are included in 14 days
        change(ada, large, at(4, 15))
        use(ada, at(4, 15, 0), calls=500)  # 480 of 900 in 16 days
        last = close(at(5, 1, 1))[-1]
        used = last.lines.filter(kind="usage")
        assert [(line.quantity, f"{line.net:.2f}") for line in used] == [
            (150, "10.00"),
            (500, "10.00"),
        ]
        assert [line.explanation["period_fraction"] for line in used] == ["14/30", "16/30"]
        assert [line.service_start.day for line in used] == [1, 15]

    def test_both_parts_close_at_once_and_touch(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15))
        last = close(at(5, 1, 1))[-1]
        periods = BillingPeriod.objects.order_by("number")
        assert [(one.start_date.day, one.end_date.day, one.status) for one in periods] == [
            (1, 15, "closed"),
            (15, 1, "closed"),
            (1, 1, "open"),
        ]
        charges = PeriodCharge.objects.filter(invoice=last).order_by("pk")
        assert [(one.period.number, one.purpose) for one in charges] == [
            (0, "regular"),
            (1, "regular"),
        ]

    def test_the_next_month_is_as_if_it_had_always_been_so(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15))
        close(at(5, 1, 1))
        issue(at(5, 1, 2))
        assert invoiced(at(6, 1, 1)) == [("Base", "200.00"), ("Calls", "0.00")]

    def test_twice_in_a_month(
        self, ada: Subscription, large: PlanVersion, calls: ValueMetric
    ) -> None:
        huge = priced(calls, "300", 3000, "0.1")
        change(ada, large, at(4, 11))
        change(ada, huge, at(4, 21))
        assert invoiced(at(5, 1, 1)) == [
            ("Base", "300.00"),
            ("Base", "66.67"),  # 200 × 10/30
            ("Base", "100.00"),  # 300 × 10/30
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Base", "-66.67"),  # 100 × 20/30
        ]

    def test_there_and_back_on_one_day_is_no_change(
        self, ada: Subscription, small: PlanVersion, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15, 9))
        change(ada, small, at(4, 15, 17), "immediate")
        assert ada.phases.count() == 1
        assert invoiced(at(5, 1, 1)) == [("Base", "100.00"), ("Calls", "0.00")]

    def test_on_the_first_day_of_a_period_that_was_billed(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        close(at(5, 1, 1))
        issue(at(5, 1, 2))
        change(ada, large, at(5, 1))
        assert invoiced(at(6, 1, 1)) == [
            ("Base", "200.00"),  # June
            ("Base", "200.00"),  # May, since 100 were billed for it under the plan before
            ("Calls", "0.00"),
            ("Base", "-100.00"),
        ]

    def test_on_the_first_day_of_a_period_whose_draft_is_open(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        close(at(5, 1, 1))
        change(ada, large, at(5, 1))
        april = Invoice.objects.latest("pk")
        assert lines(april) == [("Base", "200.00"), ("Calls", "0.00")]
        assert invoiced(at(6, 1, 1)) == [("Base", "200.00"), ("Calls", "0.00")]

    def test_on_the_first_day_of_service(self, small: PlanVersion, large: PlanVersion) -> None:
        eve = make.subscription(make.customer("eve"), small, starts_on=date(2026, 4, 1))
        change(eve, large, at(4, 1, 0))
        assert invoiced(at(4, 1)) == [("Base", "200.00")]

    def test_drawn_again_it_is_the_same(self, ada: Subscription, large: PlanVersion) -> None:
        use(ada, at(4, 10), calls=200)
        change(ada, large, at(4, 15))
        last = close(at(5, 1, 1))[-1]
        before = lines(last)
        same = issuing.recalculate_invoices(
            invoice_ids=[last.pk], at=at(5, 1, 2), actor=SYSTEM, only_if_changed=True
        )
        assert same == []
        issuing.recalculate_invoices(invoice_ids=[last.pk], at=at(5, 1, 2), actor=SYSTEM)
        assert lines(Invoice.objects.get(pk=last.pk)) == before

    def test_discarded_and_billed_anew_it_is_the_same(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15))
        last = close(at(5, 1, 1))[-1]
        before = lines(last)
        issuing.discard_invoice(
            invoice_id=last.pk, reason="again", reopen=True, at=at(5, 1, 2), actor=SYSTEM
        )
        assert invoiced(at(5, 1, 3)) == before
        assert BillingPeriod.objects.filter(status="closed").count() == 2

    def test_the_calendar_s_grid_stays(self, small: PlanVersion, large: PlanVersion) -> None:
        cleo = make.subscription(
            make.customer("cleo"), small, starts_on=date(2026, 4, 11), alignment="calendar"
        )
        close(at(4, 11))
        issue(at(4, 11))
        change(cleo, large, at(4, 21))
        assert invoiced(at(5, 1, 1))[1:] == [
            ("Base", "66.67"),  # 200 × 10/30
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Base", "-33.34"),  # half of 66.67
        ]

    def test_a_minimum_commitment_is_each_part_s_own(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        committed = priced(calls, "200", 900, "1", minimum_commitment=D(600))
        change(ada, committed, at(4, 15))
        last = close(at(5, 1, 1))[-1]
        [lacking] = last.lines.filter(kind="commitment")
        assert f"{lacking.net:.2f}" == "213.33"  # 600 × 16/30 = 320.00 − 106.67


class TestAtOnceWithOtherPeriods:
    def test_the_running_period_ends_and_the_day_is_the_new_anchor(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        yearly = priced(calls, "1000", 9000, "1", interval="year")
        use(ada, at(4, 5), calls=340)  # 140 are included in 14 days
        change(ada, yearly, at(4, 15), "immediate")
        assert invoiced(at(4, 15, 13)) == [
            ("Base", "1000.00"),
            ("Calls", "200.00"),
            ("Base", "-53.33"),
        ]
        running = BillingPeriod.objects.get(status="open")
        assert (running.start_date, running.end_date) == (date(2026, 4, 15), date(2027, 4, 15))

    def test_what_the_new_plan_can_not_carry_leaves_its_invoice(self, calls: ValueMetric) -> None:
        yearly = priced(calls, "1200", 9000, "1", interval="year")
        monthly = priced(calls, "100", 300, "1")
        yan = make.subscription(make.customer("yan"), yearly, starts_on=date(2026, 1, 1))
        close(at(1, 1))
        issue(at(1, 1))
        change(yan, monthly, at(7, 2), "immediate")  # 183 of 365 days are left: 601.64
        last = close(at(7, 2, 13))[-1]
        assert (last.total, left(last)) == (100, [("Base", "-601.64")])
        issue(at(7, 2, 14))
        assert left(close(at(8, 2, 13))[-1]) == []


class TestAtPeriodEnd:
    def test_a_lower_base_fee_waits(
        self, small: PlanVersion, large: PlanVersion, ada: Subscription
    ) -> None:
        change(ada, large, at(4, 2))
        assert change(ada, small, at(4, 15)) == date(2026, 5, 1)

    def test_the_period_that_starts_is_under_the_new_plan(
        self, ada: Subscription, large: PlanVersion
    ) -> None:
        assert change(ada, large, at(4, 15), "at_period_end") == date(2026, 5, 1)
        assert invoiced(at(5, 1, 1)) == [("Base", "200.00"), ("Calls", "0.00")]

    def test_said_again_the_last_holds(
        self, ada: Subscription, small: PlanVersion, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 15), "at_period_end")
        change(ada, small, at(4, 16), "at_period_end")
        assert ada.phases.get().ends_on is None
        assert invoiced(at(5, 1, 1)) == [("Base", "100.00"), ("Calls", "0.00")]

    def test_a_trial_runs_to_its_end(self, calls: ValueMetric, large: PlanVersion) -> None:
        trial = priced(calls, "100", 300, "1", trial_days=14)
        ben = make.subscription(make.customer("ben"), trial, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        assert change(ben, large, at(4, 5), "immediate") == date(2026, 4, 15)
        assert invoiced(at(4, 15, 1)) == [("Base", "200.00")]

    def test_a_price_that_is_never_prorated_waits(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        whole = make.published(make.flat("base", "500", proration="none"))
        with pytest.raises(life.NotProrated):
            change(ada, whole, at(4, 15), "immediate")
        assert change(ada, whole, at(4, 15)) == date(2026, 5, 1)


class TestOnAChosenDay:
    @pytest.mark.parametrize(
        "said_on",
        [
            pytest.param(2, id="still to come"),
            pytest.param(15, id="today"),
            pytest.param(28, id="over"),
        ],
    )
    def test_it_is_billed_as_if_said_that_day(
        self, ada: Subscription, large: PlanVersion, said_on: int
    ) -> None:
        use(ada, at(4, 14, 23), calls=150)
        use(ada, at(4, 15, 0), calls=500)
        assert change(ada, large, at(4, said_on), date(2026, 4, 15)) == date(2026, 4, 15)
        assert invoiced(at(5, 1, 1)) == [
            ("Base", "200.00"),
            ("Base", "106.67"),
            ("Calls", "10.00"),
            ("Calls", "10.00"),
            ("Base", "-53.33"),
        ]

    def test_in_a_period_that_has_not_begun(self, ada: Subscription, large: PlanVersion) -> None:
        change(ada, large, at(4, 15), date(2026, 5, 11))
        assert invoiced(at(5, 1, 1)) == [("Base", "32.26"), ("Calls", "0.00")]  # 100 × 10/31
        issue(at(5, 1, 2))
        assert invoiced(at(6, 1, 1)) == [
            ("Base", "200.00"),
            ("Base", "135.48"),  # 200 × 21/31
            ("Calls", "0.00"),
            ("Calls", "0.00"),
        ]

    def test_instead_of_what_was_to_change_later(
        self, ada: Subscription, small: PlanVersion, large: PlanVersion
    ) -> None:
        change(ada, large, at(4, 20))
        change(ada, large, at(4, 21), date(2026, 4, 15))
        assert [phase.starts_on.day for phase in ada.phases.all()] == [1, 15]
        assert invoiced(at(5, 1, 1))[1] == ("Base", "106.67")

    def test_with_other_periods_it_is_the_new_anchor(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        yearly = priced(calls, "1000", 9000, "1", interval="year")
        change(ada, yearly, at(4, 2), date(2026, 4, 15))
        assert invoiced(at(4, 15, 13)) == [
            ("Base", "1000.00"),
            ("Calls", "0.00"),
            ("Base", "-53.33"),
        ]

    def test_where_a_period_begins_even_a_price_that_is_never_prorated(
        self, ada: Subscription
    ) -> None:
        whole = make.published(make.flat("base", "500", proration="none"))
        with pytest.raises(life.NotProrated, match="2026-05-01"):
            change(ada, whole, at(4, 15), date(2026, 4, 20))
        assert change(ada, whole, at(4, 15), date(2026, 6, 1)) == date(2026, 6, 1)

    def test_not_within_a_trial(self, calls: ValueMetric, large: PlanVersion) -> None:
        trial = priced(calls, "100", 300, "1", trial_days=14)
        ben = make.subscription(make.customer("ben"), trial, starts_on=date(2026, 4, 1))
        with pytest.raises(Invalid, match="2026-04-15"):
            change(ben, large, at(4, 2), date(2026, 4, 10))
        assert change(ben, large, at(4, 2), date(2026, 4, 15)) == date(2026, 4, 15)

    @pytest.mark.parametrize(
        "day",
        [
            pytest.param(date(2026, 3, 31), id="before service"),
            pytest.param(date(2026, 9, 1), id="after its end"),
        ],
    )
    def test_not_without_service(self, ada: Subscription, large: PlanVersion, day: date) -> None:
        end_subscription(
            subscription_id=ada.pk, ends_on=date(2026, 9, 1), today=date(2026, 4, 2), actor=SYSTEM
        )
        with pytest.raises(Invalid, match="no service"):
            change(ada, large, at(4, 15), day)

    def test_not_across_a_pause(self, ada: Subscription, large: PlanVersion) -> None:
        life.pause(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 10), actor=SYSTEM)
        life.resume(subscription_id=ada.pk, at=at(4, 20), actor=SYSTEM)
        with pytest.raises(SubscriptionPaused, match="paused from 2026-04-11"):
            change(ada, large, at(4, 21), date(2026, 4, 5))


class TestRefusals:
    def test_the_same_plan(self, ada: Subscription, small: PlanVersion) -> None:
        with pytest.raises(PlanUnchanged):
            change(ada, small, at(4, 15))

    def test_a_draft(self, ada: Subscription) -> None:
        with pytest.raises(VersionNotOffered):
            change(ada, make.draft(), at(4, 15))

    def test_another_currency(self, ada: Subscription) -> None:
        with pytest.raises(Invalid, match="pays in EUR"):
            change(ada, make.published(currency="USD"), at(4, 15))

    def test_after_a_cancellation(self, ada: Subscription, large: PlanVersion) -> None:
        life.cancel(subscription_id=ada.pk, when=When.AT_PERIOD_END, at=at(4, 10), actor=SYSTEM)
        with pytest.raises(Invalid, match="no service"):
            change(ada, large, at(4, 15), "at_period_end")
        change(ada, large, at(4, 15), "immediate")
        assert invoiced(at(5, 1, 1)) == [
            ("Base", "106.67"),
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Base", "-53.33"),
        ]


def test_a_look_ahead_is_what_is_billed(ada: Subscription, large: PlanVersion) -> None:
    use(ada, at(4, 10), calls=200)
    day, found = life.preview(
        lambda: change(ada, large, at(4, 15)), subscription_id=ada.pk, at=at(4, 15)
    )
    assert ada.phases.count() == 1
    assert found.running is not None
    drawn = [(line.description, f"{line.net:.2f}") for line in found.running.composed.lines]
    change(ada, large, at(4, 15))
    assert (day, drawn) == (date(2026, 4, 15), invoiced(at(5, 1, 1)))


@pytest.mark.parametrize(
    "days",
    [
        pytest.param([2], id="the second day"),
        pytest.param([30], id="the last day"),
        pytest.param([2, 3, 4], id="three days running"),
        pytest.param([5, 17, 18, 29], id="four changes"),
    ],
)
def test_parts_touch_and_sum_to_the_whole_period(
    ada: Subscription, small: PlanVersion, large: PlanVersion, days: list[int]
) -> None:
    for number, day in enumerate(days):
        change(ada, small if number % 2 else large, at(4, day), "immediate")
    close(at(5, 1, 1))
    parts = list(BillingPeriod.objects.filter(status="closed").order_by("number"))
    assert sum((part.end_date - part.start_date).days for part in parts) == 30
    assert [part.start_date.day for part in parts] == [1, *days]
    assert all(after.starts_at == part.ends_at for part, after in pairwise(parts))
    last = Invoice.objects.with_lines().latest("pk")
    fees = [line.net for line in last.lines.all() if line.kind in ("fee", "credit")]
    whole = [100 if number % 2 else 200 for number, _ in enumerate(days)]
    ends = [*days[1:], 31]
    own = [D(fee) * (end - day) / 30 for fee, day, end in zip(whole, days, ends, strict=True)]
    credit = D(100) * (31 - days[0]) / 30
    next_fee = 100 if len(days) % 2 == 0 else 200
    assert abs(sum(fees) - (next_fee + sum(own) - credit)) <= D("0.03")


def test_a_close_costs_the_same_queries_however_many_changed(
    small: PlanVersion, large: PlanVersion
) -> None:
    def begun(count: int, year: int) -> list[int]:
        ids = []
        for _ in range(count):
            one = make.subscription(version=small, starts_on=date(year, 4, 1))
            closing.close_subscriptions(subscription_ids=[one.pk], as_of=at(4, 1, year=year))
            issue(at(4, 1, year=year))
            change(one, large, at(4, 15, year=year))
            ids.append(one.pk)
        return ids

    counts = []
    for count, year in ((2, 2025), (6, 2026)):
        ids = begun(count, year)
        with CaptureQueriesContext(connection) as captured:
            closed = closing.close_subscriptions(subscription_ids=ids, as_of=at(5, 1, 1, year=year))
        assert closed.periods == count * 2
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_invoice_whose_fee_is_credited_is_not_voided(
    ada: Subscription, large: PlanVersion
) -> None:
    change(ada, large, at(4, 15))
    opening = Invoice.objects.get()
    close(at(5, 1, 1))
    with pytest.raises(issuing.InvoiceCredited, match="undo that one first"):
        issuing.void_invoice(
            invoice_id=opening.pk, reason="x", reopen=True, at=at(4, 30), actor=SYSTEM
        )


def test_a_year_s_fee_is_changed_on_the_first_day_of_a_month(calls: ValueMetric) -> None:
    def yearly(base: str) -> PlanVersion:
        usage = make.graduated(calls, "rest @ 1", key="calls", interval="month")
        return make.published(make.flat("base", base), usage, interval="year")

    yan = make.subscription(make.customer("yan"), yearly("365"), starts_on=date(2026, 1, 1))
    for month in (1, 2, 3):
        close(at(month, 1, 1))
        issue(at(month, 1, 2))
    change(yan, yearly("730"), at(3, 1), "immediate")
    assert invoiced(at(4, 1, 1)) == [
        ("Base", "612.00"),  # 730 × 306/365
        ("Calls", "0.00"),
        ("Base", "-306.00"),
    ]


def test_a_first_day_that_is_billed_is_undone_first(
    small: PlanVersion, large: PlanVersion, calls: ValueMetric
) -> None:
    trial = priced(calls, "200", 900, "1", trial_days=14)
    eve = make.subscription(make.customer("eve"), small, starts_on=date(2026, 4, 1))
    [opening] = close(at(4, 1, 0))
    with pytest.raises(life.FirstFeeBilled):
        change(eve, trial, at(4, 1), "immediate")
    change(eve, large, at(4, 1), "immediate")
    assert lines(Invoice.objects.get()) == [("Base", "200.00")]
    issue(at(4, 1))
    with pytest.raises(life.FirstFeeBilled):
        change(eve, small, at(4, 1), "immediate")
    issuing.void_invoice(
        invoice_id=opening.pk, reason="another plan", reopen=True, at=at(4, 1), actor=SYSTEM
    )
    change(eve, trial, at(4, 1), "immediate")
    assert len(close(at(4, 2))) == 1
    assert invoiced(at(4, 15, 1)) == [("Base", "200.00")]
