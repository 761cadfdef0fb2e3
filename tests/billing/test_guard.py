"""A draft that looks wrong by its customer's past is held for a person, with the reason (the guard)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Invoice, InvoiceLine
from billing.services import guarding, issuing
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from customers.models import Subscription
from tests import factories as make
from tests import staff
from tests.billing.months import close, use
from tests.staff import said

pytestmark = pytest.mark.django_db


def month(number: int, hour: int = 0) -> datetime:
    """The start of a month, counted from January 2026."""
    return datetime(2026 + (number - 1) // 12, (number - 1) % 12 + 1, 1, hour, tzinfo=UTC)


def by_the_call(*, fee: str = "") -> Subscription:
    """A customer since January who pays 1.00 a call, and a monthly fee where one is given."""
    calls = make.metric("api_calls", name="API calls")
    prices = [make.graduated(calls, "rest @ 1")]
    if fee:
        prices.append(make.flat(name="Base fee", amount=fee))
    customer = make.customer("fernwood", name="Fernwood", currency="EUR")
    return make.subscription(customer, make.published(*prices), starts_on=date(2026, 1, 1))


def bill(subscription: Subscription, *amounts: int) -> list[Invoice]:
    """Use so many calls in January, February, …, and close and issue month by month."""
    for number, amount in enumerate(amounts, 1):
        if amount:
            use(subscription, month(number, 5), calls=amount)
        close(month(number + 1, 2))
        close(month(number + 1).replace(day=3))
    return list(Invoice.objects.order_by("pk"))


@pytest.mark.parametrize(
    ("amounts", "held"),
    [
        ((100, 100, 100, 1000), False),  # ten times is not more than ten times
        ((100, 100, 100, 1001), True),  # a unit more is
        ((100, 100, 5000), False),  # two invoices before are no past
        ((10, 100, 900, 1000), False),  # the median of three, not their mean: 100
        ((10, 100, 900, 1001), True),
        ((10, 100, 200, 900, 1500), False),  # between the two in the middle: 150
        ((10, 100, 200, 900, 1501), True),
        ((0, 0, 0, 1), True),  # of somebody who paid nothing, anything
        ((100, 100, 100, 1), False),  # little is no danger
    ],
)
def test_more_than_ten_times_the_usual_is_held(amounts: tuple[int, ...], held: bool) -> None:
    *before, last = bill(by_the_call(), *amounts)
    assert {one.status for one in before} <= {"issued"}
    assert last.status == ("review" if held else "issued")
    assert bool(last.reason) is held


def test_only_the_latest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last three 90.00 are usual, by all of them 50.00."""
    monkeypatch.setattr(guarding, "LATEST", 3)
    assert bill(by_the_call(), 10, 10, 10, 90, 90, 90, 850)[-1].status == "issued"


def beside(subscription: Subscription, *prices: Any, **terms: Any) -> Subscription:
    """Another subscription of the same customer, to a plan of its own."""
    version = make.published(*prices, **terms)
    return make.subscription(subscription.customer, version, starts_on=date(2026, 1, 1))


def drawn(subscription: Subscription) -> list[Invoice]:
    lines = InvoiceLine.objects.filter(subscription=subscription).values("invoice")
    return list(Invoice.objects.filter(pk__in=lines).order_by("pk"))


class TestLikeIsComparedWithLike:
    def test_a_quarter_beside_weeks(self) -> None:
        """1.00 a week, and 300 a quarter: once there was a quarter, quarters are usual."""
        small = by_the_call()
        weekly = beside(small, make.flat("week", "1", timing="arrears"), interval="week")
        quarterly = beside(small, make.flat("quarter", "300", timing="arrears"), interval="quarter")
        for number in range(2, 15):
            close(month(number, 2))
            close(month(number).replace(day=3))
            if number == 4:
                [first] = drawn(quarterly)
                assert first.status == "review"
                assert first.reason.endswith(
                    "invoices. None of them were for the same subscriptions and as long a time."
                )
                issuing.issue_invoices(invoice_ids=[first.pk], as_of=month(number, 5), actor=SYSTEM)
        assert [one.status for one in drawn(quarterly)] == ["issued"] * 4
        assert {one.status for one in drawn(weekly)[:-2]} == {"issued"}

    def test_what_is_unlike_its_like_is_held_though_others_are_larger(self) -> None:
        """500,000 a month beside: by the customer's median nothing small would ever be held."""
        small = by_the_call()
        for number in range(3):
            beside(small, make.flat(f"large{number}", "500000", timing="arrears"))
        *_, last = [one for one in bill(small, 10, 10, 10, 2000) if one in drawn(small)]
        assert last.status == "review"
        assert last.reason == (
            "2,000.00 EUR net is more than 10 times 10.00 EUR, the median of this customer's last 3 "
            "invoices like it, for the same subscriptions and as long a time."
        )

    def test_the_month_of_a_yearly_fee(self) -> None:
        """12,000 a year in advance, and 10.00 of calls a month: the fee was there at the opening."""
        calls = make.metric("api_calls")
        monthly = make.graduated(calls, "rest @ 1", interval="month")
        yearly = make.published(monthly, make.flat(amount="12000"), interval="year")
        one = make.subscription(make.customer(), yearly, starts_on=date(2026, 1, 1))
        close(month(1, 2))
        close(month(1).replace(day=3))
        invoices = bill(one, *[10] * 13)
        assert [invoice.status for invoice in invoices] == ["issued"] * 14

    def test_of_consolidated_ones_the_whole(self) -> None:
        """Four times 100 on one invoice, then 5,000 for one of them: the sum is compared."""
        customer = make.customer(consolidation="one_invoice")
        calls = [make.metric(f"calls{n}", event_type=f"call.{n}") for n in range(4)]
        for metric in calls:
            version = make.published(make.graduated(metric, "rest @ 1"))
            make.subscription(customer, version, starts_on=date(2026, 1, 1))
        some = Subscription.objects.first()
        assert some
        for number in range(1, 6):
            for place, metric in enumerate(calls):
                amount = 5000 if (number, place) == (5, 2) else 100
                use(some, month(number, 5), type=metric.event_type, calls=amount)
            close(month(number + 1, 2))
            close(month(number + 1).replace(day=3))
        invoices = list(Invoice.objects.order_by("pk"))
        assert [(one.status, one.net_total) for one in invoices] == [
            *[("issued", Decimal(400))] * 4,
            ("review", Decimal(5300)),
        ]


def test_it_says_by_what_and_stays_until_a_person_decides() -> None:
    *_, last = bill(by_the_call(), 100, 110, 120, 2000)
    reason = (
        "2,000.00 EUR net is more than 10 times 110.00 EUR, the median of this customer's last 3 "
        "invoices."
    )
    assert (last.status, last.reason) == ("review", reason)
    entry = AuditEntry.objects.get(action="held by the guard", subject_id=last.pk)
    assert (entry.actor_kind, entry.note) == ("system", reason)
    close(month(6))
    last.refresh_from_db()
    assert last.status == "review"


def test_what_a_person_released_passes() -> None:
    *_, last = bill(by_the_call(), 100, 100, 100, 2000)
    issuing.return_to_draft(invoice_id=last.pk, actor=SYSTEM)
    last.refresh_from_db()
    assert (last.status, last.reason) == ("draft", "")
    close(month(6))
    last.refresh_from_db()
    assert (last.status, last.reason) == ("issued", "")


def test_a_person_issues_it_from_review() -> None:
    *_, last = bill(by_the_call(), 100, 100, 100, 2000)
    [issued] = issuing.issue_invoices(invoice_ids=[last.pk], as_of=month(6), actor=SYSTEM)
    issued.refresh_from_db()
    assert (issued.status, issued.reason) == ("issued", "")


def test_usage_that_comes_in_before_the_issue_is_seen_too() -> None:
    """The draft is harmless; what it is redrawn to when its time comes is not."""
    subscription = by_the_call()
    bill(subscription, 100, 100, 100)
    use(subscription, month(4, 5), calls=100)
    close(month(5, 2))
    draft = Invoice.objects.latest("pk")
    assert draft.status == "draft"
    use(subscription, month(4, 6), calls=100_000)
    close(datetime(2026, 5, 3, tzinfo=UTC))
    draft.refresh_from_db()
    assert (draft.status, draft.net_total) == ("review", Decimal(100_100))
    assert "100,100.00 EUR net is more than 10 times 100.00 EUR" in draft.reason


def test_a_past_closed_in_one_run_counts() -> None:
    """Five months at once: each draft is compared with those drawn before it."""
    subscription = by_the_call()
    for number, amount in enumerate((100, 100, 100, 5000, 100), 1):
        use(subscription, month(number, 5), calls=amount)
    invoices = close(month(6, 2))
    assert [one.status for one in invoices][3] == "review"
    assert [one.status for one in invoices].count("review") == 1


def test_a_fee_for_the_same_service_period_is_held() -> None:
    """However it came to be: here the period forgets that its fee was charged ahead."""
    by_the_call(fee="50.00")
    _, first = close(datetime(2026, 2, 3, tzinfo=UTC))
    assert first.status == "issued"
    again = close(datetime(2026, 3, 1, 2, tzinfo=UTC))[-1]
    fee = again.lines.get(kind="fee")
    fee.service_start, fee.service_end = date(2026, 2, 1), date(2026, 3, 1)
    fee.save()
    assert guarding.hold_unusual([again]) == [again]
    assert again.reason == (
        f"“Base fee” from 2026-02-01 to before 2026-03-01 is charged by {first.number} already."
    )


@pytest.mark.parametrize("drafts", [1, 20])
def test_it_takes_as_many_queries_for_20_drafts_as_for_1(drafts: int) -> None:
    calls = make.metric("api_calls")
    version = make.published(make.graduated(calls, "rest @ 1"), make.flat(name="Base fee"))
    for number in range(drafts):
        make.subscription(make.customer(f"c{number}"), version, starts_on=date(2026, 1, 1))
    close(month(1, 5))
    found = list(Invoice.objects.filter(status="draft"))
    assert len(found) == drafts
    with CaptureQueriesContext(connection) as queries:
        guarding.hold_unusual(found)
    assert len(queries) == 2


def test_finance_reads_why_on_the_invoice_and_before_issuing_it() -> None:
    leo = staff.leo()
    *_, last = bill(by_the_call(), 100, 100, 100, 2000)
    why = "2,000.00 EUR net is more than 10 times 100.00 EUR"
    assert why in said(leo.get(f"/admin/billing/invoice/{last.pk}/change/"))
    asked = leo.get(reverse("admin:billing_invoice_step", args=("issue",)), {"ids": last.pk})
    assert why in said(asked)
