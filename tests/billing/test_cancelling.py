"""Cancelling: at once or at the end of what is paid for, what is credited, and taking it back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.models import BillingPeriod, Invoice, InvoiceLine
from billing.services import issuing, life
from billing.services.life import When
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from customers.models import Issuer, Subscription
from customers.services import SubscriptionEnded, SubscriptionNotCancelled
from tests import factories as make
from tests.billing.months import close, left, lines, use
from tests.staff import anna, said

pytestmark = pytest.mark.django_db
D = Decimal


def at(month: int, day: int, hour: int = 12, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def plan() -> PlanVersion:
    """100 a month in advance, and 1 a call above 300 included."""
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(300))
    return make.published(make.flat("base", "100"), calls)


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """From 1 April, in UTC."""
    return make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 4, 1))


def cancel(one: Subscription, moment: datetime, when: str = "immediate") -> date:
    return life.cancel(subscription_id=one.pk, when=When(when), at=moment, actor=SYSTEM)


def keep(one: Subscription, moment: datetime) -> None:
    life.keep(subscription_id=one.pk, at=moment, actor=SYSTEM)


def issue(moment: datetime) -> None:
    """Issue every draft, as after a day's wait."""
    open_ = Invoice.objects.filter(status="draft").order_by("pk").values_list("pk", flat=True)
    issuing.issue_invoices(invoice_ids=list(open_), as_of=moment, actor=SYSTEM)


def billed_april(ada: Subscription) -> None:
    close(at(4, 1))
    issue(at(4, 1))


class TestAtOnce:
    def test_today_is_the_last_day(self, ada: Subscription) -> None:
        close(at(4, 1))
        assert cancel(ada, at(4, 20)) == date(2026, 4, 21)
        period = BillingPeriod.objects.get()
        assert (period.end_date, period.nominal_end_date) == (date(2026, 4, 21), date(2026, 5, 1))
        assert period.usage_cutoff == at(4, 21, 1)

    def test_the_last_invoice_has_usage_and_credits_the_unused_days(
        self, ada: Subscription
    ) -> None:
        billed_april(ada)
        use(ada, at(4, 5), calls=242)  # 200 of 300 are included in 20 of 30 days
        cancel(ada, at(4, 20))
        *_, last = close(at(4, 21, 1))
        assert lines(last) == [("Calls", "42.00"), ("Base", "-33.33")]
        credit = last.lines.get(kind="credit")
        assert credit.credited == InvoiceLine.objects.get(kind="fee")
        assert (credit.service_start, credit.service_end) == (date(2026, 4, 21), date(2026, 5, 1))
        assert credit.explanation["period_fraction"] == "10/30"
        assert last.charges.get().purpose == "final"
        assert last.total == D("8.67")

    def test_a_credit_has_the_tax_of_its_fee(self, plan: PlanVersion) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        ada = make.subscription(make.customer("ada"), plan, starts_on=date(2026, 4, 1))
        billed_april(ada)
        Issuer.objects.update(standard_tax_rate=D(16))
        use(ada, at(4, 5), calls=300)
        cancel(ada, at(4, 20))
        *_, last = close(at(4, 21, 1))
        taxed = [(f"{one.rate:.0f}", f"{one.base:.2f}") for one in last.taxes.all()]
        assert taxed == [("19", "-33.33"), ("16", "100.00")]

    def test_what_an_invoice_can_not_carry_leaves_it(self, ada: Subscription) -> None:
        billed_april(ada)
        use(ada, at(4, 5), calls=210)
        cancel(ada, at(4, 20))
        page = said(anna().get(f"/admin/customers/subscription/{ada.pk}/change/"))
        assert "33.33 EUR of Base on INV-2026-000001" in page
        *_, last = close(at(4, 21, 1))
        assert (lines(last), last.total) == ([("Calls", "10.00")], 10)
        assert left(last) == [("Base", "-33.33")]

    def test_nothing_is_credited_where_the_version_says_so(self) -> None:
        version = make.published(make.flat("base", "100"), refund_unused=False)
        eve = make.subscription(version=version, starts_on=date(2026, 4, 1))
        billed_april(eve)
        cancel(eve, at(4, 20))
        assert len(close(at(5, 2))) == 1  # the fee of April, and no last invoice

    def test_a_price_that_is_never_prorated_is_not_credited(self) -> None:
        version = make.published(make.flat("base", "100", proration="none"))
        eve = make.subscription(version=version, starts_on=date(2026, 4, 1))
        billed_april(eve)
        cancel(eve, at(4, 20))
        assert len(close(at(5, 2))) == 1

    def test_a_coupon_s_share_is_not_credited(self, ada: Subscription) -> None:
        make.applied_coupon(ada, make.coupon("ten"), starts_on=date(2026, 4, 1))
        billed_april(ada)
        use(ada, at(4, 5), calls=300)
        cancel(ada, at(4, 20))
        *_, last = close(at(4, 21, 1))
        assert lines(last) == [("Calls", "100.00"), ("Base", "-30.00")]  # 90 × 10/30

    def test_a_draft_of_the_fee_is_redrawn_for_the_days_served(self, ada: Subscription) -> None:
        close(at(4, 1))
        cancel(ada, at(4, 20))
        [opening] = Invoice.objects.all()
        assert lines(opening) == [("Base", "66.67")]
        issue(at(4, 20))
        use(ada, at(4, 20, 13), calls=1)
        *_, last = close(at(4, 21, 1))
        assert lines(last) == [("Calls", "0.00")]

    def test_on_the_last_day_of_a_period_nothing_is_unused(self, ada: Subscription) -> None:
        billed_april(ada)
        cancel(ada, at(4, 30))
        *_, last = close(at(5, 1, 1))
        assert lines(last) == [("Calls", "0.00")]

    def test_in_a_trial_bills_nothing(self) -> None:
        trial = make.published(make.flat("base", "100"), trial_days=14)
        ben = make.subscription(version=trial, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        cancel(ben, at(4, 5))
        assert close(at(5, 2)) == []

    def test_of_a_year_s_fee_the_rest_of_the_year(self) -> None:
        yearly = make.published(
            make.flat("base", "365"),
            make.graduated(make.metric("calls"), "rest @ 1", key="calls", interval="month"),
            interval="year",
        )
        yan = make.subscription(version=yearly, starts_on=date(2026, 1, 1))
        close(at(1, 1))
        issue(at(1, 1))
        use(yan, at(3, 11), calls=500)
        for month in (2, 3):
            close(at(month, 1, 1))
        cancel(yan, at(3, 11))
        *_, last = close(at(3, 12, 1))
        assert lines(last) == [("Calls", "500.00"), ("Base", "-295.00")]  # 365 − 31 − 28 − 11

    def test_before_the_first_day_is_refused(self, ada: Subscription) -> None:
        with pytest.raises(life.NotBegun):
            cancel(ada, at(3, 20))

    def test_while_the_running_period_is_held_back_is_refused(self, ada: Subscription) -> None:
        close(at(4, 1))
        BillingPeriod.objects.update(status="parked", trouble="no issuer")
        with pytest.raises(life.PeriodParked):
            cancel(ada, at(4, 20))
        ada.refresh_from_db()
        assert ada.ends_on is None


class TestAtPeriodEnd:
    def test_what_is_paid_is_served(self, ada: Subscription) -> None:
        billed_april(ada)
        assert cancel(ada, at(4, 20), "at_period_end") == date(2026, 5, 1)
        *_, last = close(at(5, 1, 1))
        assert lines(last) == [("Calls", "0.00")]

    def test_a_year_paid_in_advance_is_served(self) -> None:
        yearly = make.published(
            make.flat("base", "365"),
            make.graduated(make.metric("calls"), "rest @ 1", key="calls", interval="month"),
            interval="year",
        )
        yan = make.subscription(version=yearly, starts_on=date(2026, 1, 1))
        assert cancel(yan, at(3, 11), "at_period_end") == date(2027, 1, 1)

    def test_a_trial_ends_where_it_does(self) -> None:
        trial = make.published(make.flat("base", "100"), trial_days=14)
        ben = make.subscription(version=trial, starts_on=date(2026, 4, 1))
        assert cancel(ben, at(4, 5), "at_period_end") == date(2026, 4, 15)
        assert close(at(5, 2)) == []

    def test_days_are_those_of_the_subscription_s_zone(self, plan: PlanVersion) -> None:
        tui = make.subscription(
            make.customer("tui", time_zone="Pacific/Auckland"), plan, starts_on=date(2026, 4, 1)
        )
        assert cancel(tui, at(4, 29, 13)) == date(2026, 5, 1)  # it is the 30th there


class TestTakingItBack:
    def test_goes_on_as_if_nothing_was_said(self, ada: Subscription) -> None:
        billed_april(ada)
        cancel(ada, at(4, 20, 8))
        keep(ada, at(4, 20, 18))
        *_, april = close(at(5, 1, 1))
        assert lines(april) == [("Base", "100.00"), ("Calls", "0.00")]
        assert BillingPeriod.objects.get(number=0).end_date == date(2026, 5, 1)

    def test_stands_in_the_audit_trail(self, ada: Subscription) -> None:
        cancel(ada, at(4, 20), "at_period_end")
        keep(ada, at(4, 20, 18))
        told: list[Any] = [
            entry.changes
            for entry in AuditEntry.objects.filter(
                action="changed", subject_type="customers.subscription"
            ).order_by("pk")
        ]
        assert told == [{"ends_on": [None, "2026-05-01"]}, {"ends_on": ["2026-05-01", None]}]

    def test_is_refused_once_it_ended(self, ada: Subscription) -> None:
        cancel(ada, at(4, 20))
        with pytest.raises(SubscriptionEnded):
            keep(ada, at(4, 21, 0))

    def test_is_refused_for_what_goes_on(self, ada: Subscription) -> None:
        with pytest.raises(SubscriptionNotCancelled):
            keep(ada, at(4, 20))


class TestLookingFirst:
    def test_says_what_happens_and_changes_nothing(self, ada: Subscription) -> None:
        billed_april(ada)
        use(ada, at(4, 5), calls=242)
        before = list(BillingPeriod.objects.values()), AuditEntry.objects.count()
        ends_on, found = life.preview(
            lambda: cancel(ada, at(4, 20)), subscription_id=ada.pk, at=at(4, 20)
        )
        assert (list(BillingPeriod.objects.values()), AuditEntry.objects.count()) == before
        ada.refresh_from_db()
        assert (ends_on, ada.ends_on) == (date(2026, 4, 21), None)
        assert found.running is not None
        drawn = found.running.composed.lines
        told = [(line.description, f"{line.net:.2f}") for line in drawn]
        cancel(ada, at(4, 20))
        *_, last = close(at(4, 21, 1))
        assert told == lines(last) == [("Calls", "42.00"), ("Base", "-33.33")]
