"""A change of plan billed at once: its fees and credits on an invoice of its own, charged once (R20, R33)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from itertools import product

import pytest
from django.db.models import Sum

from billing.models import BillingPeriod, CreditNote, Invoice, Payment, PeriodCharge
from billing.services import issuing, life
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.models import Customer, Subscription
from tests import factories as make
from tests.billing.months import close, left, lines, use
from tests.billing.test_changing_plan import at, change, issue, priced
from tests.billing.test_recasting import audited

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


@pytest.fixture
def small(calls: ValueMetric) -> PlanVersion:
    return priced(calls, "100", 300, "1")


@pytest.fixture
def large(calls: ValueMetric) -> PlanVersion:
    return priced(calls, "200", 900, "0.5")


@pytest.fixture
def ada(small: PlanVersion) -> Subscription:
    """From 1 April, its first fee billed."""
    one = make.subscription(make.customer("ada"), small, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


def change_now(
    one: Subscription, version: PlanVersion, moment: datetime, when: life.When | date | None = None
) -> Invoice | None:
    """Change and bill; return the draft over the change."""
    life.change_plan(
        subscription_id=one.pk, version=version, when=when, at=moment, actor=SYSTEM, bill_now=True
    )
    return Invoice.objects.filter(status="draft").order_by("-pk").first()


AFTERWARDS = [("Base", "200.00"), ("Calls", "0.00"), ("Calls", "0.00")]


def test_credit_and_charge_at_once_and_not_again(ada: Subscription, large: PlanVersion) -> None:
    drawn = change_now(ada, large, at(4, 15))
    assert drawn is not None
    assert lines(drawn) == [("Base", "106.67"), ("Base", "-53.33")]
    assert drawn.auto_issue_at == at(4, 15)
    charge = PeriodCharge.objects.get(invoice=drawn)
    phase = ada.phases.all()[1]
    assert (charge.purpose, charge.cause) == ("change", f"{phase.pk}:{large.pk}")
    issue(at(4, 15))
    assert lines(close(at(5, 1, 1))[-1]) == AFTERWARDS
    audited()


def test_not_again_while_it_is_a_draft(ada: Subscription, large: PlanVersion) -> None:
    Customer.objects.update(manual_approval=True)
    drawn = change_now(ada, large, at(4, 15))
    last = close(at(5, 1, 1))[-1]
    assert lines(last) == AFTERWARDS
    issuing.recalculate_invoices(
        invoice_ids=[one.pk for one in (drawn, last) if one], at=at(5, 2), actor=SYSTEM
    )
    assert [lines(one) for one in Invoice.objects.order_by("pk")[1:]] == [
        [("Base", "106.67"), ("Base", "-53.33")],
        AFTERWARDS,
    ]


@pytest.mark.parametrize(
    ("reopen", "charged"),
    [
        pytest.param(True, [("Base", "106.67")], id="billed anew, at the period's end"),
        pytest.param(False, [], id="waived, never"),
    ],
)
def test_discarded(
    ada: Subscription, large: PlanVersion, reopen: bool, charged: list[tuple[str, str]]
) -> None:
    drawn = change_now(ada, large, at(4, 15))
    assert drawn is not None
    issuing.discard_invoice(
        invoice_id=drawn.pk, reason="no", reopen=reopen, at=at(4, 16), actor=SYSTEM
    )
    last = lines(close(at(5, 1, 1))[-1])
    assert last == [AFTERWARDS[0], *charged, *AFTERWARDS[1:], ("Base", "-53.33")]


def test_changed_again_its_draft_is_redrawn(
    ada: Subscription, large: PlanVersion, calls: ValueMetric
) -> None:
    drawn = change_now(ada, large, at(4, 11))
    change(ada, priced(calls, "300", 3000, "0.1"), at(4, 21))
    assert drawn is not None
    assert lines(Invoice.objects.get(pk=drawn.pk)) == [("Base", "66.67"), ("Base", "-66.67")]
    assert lines(close(at(5, 1, 1))[-1])[:2] == [("Base", "300.00"), ("Base", "100.00")]


def test_on_the_first_day_of_a_period_that_was_billed(
    ada: Subscription, large: PlanVersion
) -> None:
    close(at(5, 1, 1))
    issue(at(5, 1, 2))
    drawn = change_now(ada, large, at(5, 1))
    assert drawn is not None
    assert lines(drawn) == [("Base", "200.00"), ("Base", "-100.00")]
    issue(at(5, 1, 13))
    assert lines(close(at(6, 1, 1))[-1]) == [("Base", "200.00"), ("Calls", "0.00")]


def test_from_a_day_that_is_billed_with_the_difference_of_usage(
    ada: Subscription, large: PlanVersion
) -> None:
    use(ada, at(4, 10), calls=340)
    close(at(5, 1, 1))
    issue(at(5, 1, 2))
    drawn = change_now(ada, large, at(5, 10), date(2026, 4, 15))
    assert drawn is not None
    assert [(line.kind, f"{line.net:.2f}") for line in drawn.lines.all()] == [
        ("fee", "106.67"),  # 15 to 30 April
        ("fee", "200.00"),  # May
        ("late", "160.00"),  # of 340 only 140 were included: 200 less the 40 that were billed
        ("credit", "-53.33"),
        ("credit", "-100.00"),
    ]
    issue(at(5, 10))
    assert lines(close(at(6, 1, 1))[-1]) == [("Base", "200.00"), ("Calls", "0.00")]
    audited()


def test_where_the_period_ends_with_the_change_its_close_bills_it(
    ada: Subscription, calls: ValueMetric
) -> None:
    yearly = priced(calls, "1000", 9000, "1", interval="year")
    assert change_now(ada, yearly, at(4, 15), life.When.IMMEDIATE) is None
    assert lines(close(at(4, 15, 13))[-1])[0] == ("Base", "1000.00")


def test_what_is_still_to_come_is_not_billed(ada: Subscription, large: PlanVersion) -> None:
    with pytest.raises(Invalid, match="begins on 2026-05-01"):
        change_now(ada, large, at(4, 15), life.When.AT_PERIOD_END)
    assert ada.phases.count() == 1


def test_no_day_before_one_that_is_billed_at_once(
    ada: Subscription, large: PlanVersion, small: PlanVersion
) -> None:
    change_now(ada, large, at(4, 15))
    with pytest.raises(life.PeriodBilled, match="2026-04-15"):
        change(ada, large, at(4, 20), date(2026, 4, 10))
    assert BillingPeriod.objects.count() == 2


class TestBackToAPlanThatWasBilledThatDay:
    """On 15 April: to another plan, to a third, and back to the other; each billed at once or not."""

    @pytest.fixture
    def third(self, calls: ValueMetric) -> PlanVersion:
        return priced(calls, "300", 3000, "0.1")

    def test_its_fee_is_charged_anew(
        self, ada: Subscription, large: PlanVersion, third: PlanVersion
    ) -> None:
        billed = []
        for version in (large, third, large):
            drawn = change_now(ada, version, at(4, 15), life.When.IMMEDIATE)
            assert drawn is not None
            billed.append((lines(drawn), left(drawn)))
            issue(at(4, 15))
        assert billed == [
            ([("Base", "106.67"), ("Base", "-53.33")], []),
            ([("Base", "160.00"), ("Base", "-106.67")], []),
            ([("Base", "106.67")], [("Base", "-160.00")]),  # a credit note of the third's (R32a)
        ]
        phase = ada.phases.all()[1]
        third_invoice = Invoice.objects.order_by("pk")[2]
        assert list(
            PeriodCharge.objects.filter(purpose="change")
            .order_by("pk")
            .values_list("cause", flat=True)
        ) == [
            f"{phase.pk}:{large.pk}",
            f"{phase.pk}:{third.pk}",
            f"{phase.pk}:{large.pk}:{third_invoice.pk}",
        ]
        last = close(at(5, 1, 1))[-1]
        assert lines(last) == AFTERWARDS
        audited()

    def test_the_draft_over_what_is_taken_back_is_discarded(
        self, ada: Subscription, large: PlanVersion, third: PlanVersion
    ) -> None:
        change_now(ada, large, at(4, 15))
        issue(at(4, 15))
        drawn = change_now(ada, third, at(4, 15))
        assert drawn is not None
        assert change_now(ada, large, at(4, 15), life.When.IMMEDIATE) is None
        drawn.refresh_from_db()
        assert drawn.status == "discarded"
        assert "changed back" in drawn.reason
        assert lines(close(at(5, 1, 1))[-1]) == AFTERWARDS
        audited()

    @pytest.mark.parametrize("issued", list(product([True, False], repeat=3)), ids=str)
    @pytest.mark.parametrize("at_once", list(product([True, False], repeat=3)), ids=str)
    def test_in_the_end_all_is_paid_once(
        self,
        ada: Subscription,
        large: PlanVersion,
        third: PlanVersion,
        issued: tuple[bool, ...],
        at_once: tuple[bool, ...],
    ) -> None:
        for version, is_issued, now in zip((large, third, large), issued, at_once, strict=True):
            life.change_plan(
                subscription_id=ada.pk,
                version=version,
                when=life.When.IMMEDIATE,
                at=at(4, 15),
                actor=SYSTEM,
                bill_now=now,
            )
            if is_issued:
                issue(at(4, 15))
        close(at(5, 1, 1))
        issue(at(5, 1, 2))
        close(at(6, 1, 1))
        billed = Invoice.objects.exclude(status="discarded").aggregate(net=Sum("net_total"))["net"]
        credited = CreditNote.objects.aggregate(net=Sum("net_total"))["net"] or 0
        balance = Payment.objects.filter(method="credit").aggregate(sum=Sum("amount"))["sum"] or 0
        # 46.67 and 106.67 for April, then 200 twice
        assert billed - credited - balance == Decimal("553.34")
        audited()
