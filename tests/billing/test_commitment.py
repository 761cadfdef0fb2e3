"""The plan's minimum commitment (R16): compared with all that is served in a period, once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import Invoice, InvoiceLine
from billing.services import issuing
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers.models import Subscription
from customers.services import end_subscription
from tests import factories as make
from tests.billing.months import close, lines, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


def committed(least: str, *prices: Any) -> PlanVersion:
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100))
    return make.published(
        *(prices or (make.flat("base", "10"), calls)), minimum_commitment=D(least)
    )


def ada(version: PlanVersion, **terms: Any) -> Subscription:
    return make.subscription(
        make.customer("ada"), version, **{"starts_on": date(2026, 11, 1), **terms}
    )


@pytest.mark.parametrize(
    ("least", "calls", "lacking"),
    [
        pytest.param("50", 0, "40.00", id="the fee billed in advance counts towards it"),
        pytest.param("50", 120, "20.00", id="and so does usage"),
        pytest.param("50", 140, None, id="nothing is lacking at the commitment"),
        pytest.param("50", 500, None, id="or above it"),
        pytest.param("10", 0, None, id="the fee alone may fulfil it"),
    ],
)
def test_what_a_month_lacks(least: str, calls: int, lacking: str | None) -> None:
    subscription = ada(committed(least))
    if calls:
        use(subscription, at(11, 20), calls=calls)
    _, november = close(at(12, 1))
    found = [net for name, net in lines(november) if name == "Minimum commitment"]
    assert found == ([lacking] if lacking else [])


def test_the_first_days_fee_asks_for_nothing_more() -> None:
    ada(committed("50"))
    [opening] = close(at(11, 1))
    assert lines(opening) == [("Base", "10.00")]


def test_the_fee_of_the_next_period_counts_towards_the_next() -> None:
    ada(committed("50"))
    _, november, december = close(at(1, 1, year=2027))
    for invoice in (november, december):
        assert lines(invoice)[-1] == ("Minimum commitment", "40.00")


def test_a_part_of_a_month_is_committed_to_its_share() -> None:
    version = committed("60", make.flat("base", "30"))
    ada(version, starts_on=date(2026, 11, 21), alignment="calendar")
    _, november = close(at(12, 1))
    [line] = november.lines.filter(kind="commitment")
    assert line.net == D("10.00")  # 60 × 10/30 less the fee's 30 × 10/30
    assert (line.explanation["floor"], line.explanation["period_fraction"]) == ("20.00", "10/30")


def test_redrawn_it_is_the_same() -> None:
    subscription = ada(committed("50"))
    _, november = close(at(12, 1))
    use(subscription, at(11, 30), calls=115)
    issuing.recalculate_invoices(invoice_ids=[november.pk], at=at(12, 1), actor=SYSTEM)
    assert InvoiceLine.objects.get(kind="commitment").net == D("25.00")


def test_what_was_billed_anew_counts_once() -> None:
    ada(committed("50"))
    [opening] = close(at(11, 1))
    issuing.discard_invoice(
        invoice_id=opening.pk, reason="wrong", reopen=True, at=at(11, 1), actor=SYSTEM
    )
    _, _, november = close(at(12, 1))
    assert lines(november)[-1] == ("Minimum commitment", "40.00")


def test_the_api_says_floor_and_what_was_charged(caller: Caller) -> None:
    ada(committed("50"))
    _, november = close(at(12, 1))
    *_, line = caller().get(f"/api/v1/invoices/{november.uuid}").json()["lines"]
    assert (line["kind"], line["metric"], line["net"]) == ("commitment", None, "40.00")
    said = line["explanation"]
    assert (said["floor"], said["charged"], said["amount"]) == ("50.00", "10.00", "40.00")


class TestOfAYearBilledByTheMonth:
    """A plan of a year whose usage is charged every month is committed to once a year."""

    def version(self, least: str = "200") -> PlanVersion:
        fee = make.flat("base", "60", timing="advance")
        calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", interval="month")
        return make.published(fee, calls, interval="year", minimum_commitment=D(least))

    def committed(self) -> list[tuple[str, date, date]]:
        found = InvoiceLine.objects.filter(kind="commitment").order_by("pk")
        return [(f"{one.net:.2f}", one.service_start, one.service_end) for one in found]

    def test_what_the_year_lacks_is_charged_once_at_its_end(self) -> None:
        subscription = ada(self.version())
        for month, day in ((11, 20), (12, 20)):
            use(subscription, at(month, day), calls=15)
        use(subscription, at(10, 31, year=2027), calls=30)
        close(at(10, 2, year=2027))
        assert self.committed() == []
        close(at(11, 2, year=2027))  # 200 less 60, 15, 15 and 30
        assert self.committed() == [("80.00", date(2026, 11, 1), date(2027, 11, 1))]
        close(at(11, 2, year=2028))  # and again of the next, which had its fee alone
        assert [net for net, _, _ in self.committed()] == ["80.00", "140.00"]

    def test_redrawn_it_is_the_same_and_what_is_void_does_not_count(self) -> None:
        version = self.version()
        subscription = make.subscription(
            make.customer("ada", manual_approval=True), version, starts_on=date(2026, 11, 1)
        )
        use(subscription, at(12, 20), calls=15)
        *_, last = close(at(11, 2, year=2027))
        assert [net for net, _, _ in self.committed()] == ["125.00"]
        issuing.recalculate_invoices(invoice_ids=[last.pk], at=at(11, 2, year=2027), actor=SYSTEM)
        assert [net for net, _, _ in self.committed()] == ["125.00"]
        drafts = list(Invoice.objects.order_by("pk"))
        foreseen = issuing.redrawing(drafts, at=at(11, 2, year=2027))
        assert [one.totals.net for _, one in foreseen] == [draft.net_total for draft in drafts]
        december = InvoiceLine.objects.get(kind="usage", net=15).invoice
        issuing.discard_invoice(
            invoice_id=december.pk, reason="x", reopen=False, at=at(11, 2, year=2027), actor=SYSTEM
        )
        issuing.recalculate_invoices(invoice_ids=[last.pk], at=at(11, 2, year=2027), actor=SYSTEM)
        assert [net for net, _, _ in self.committed()] == ["140.00"]

    def test_a_year_cut_short_is_committed_to_its_share_of_days(self) -> None:
        subscription = ada(self.version("365"), starts_on=date(2026, 11, 1))
        close(at(11, 2))
        end_subscription(
            subscription_id=subscription.pk,
            ends_on=date(2027, 1, 1),
            today=date(2026, 11, 2),
            actor=SYSTEM,
        )
        *_, last = close(at(1, 2, year=2027))
        line = last.lines.get(kind="commitment")
        assert (line.explanation["floor"], line.explanation["period_fraction"]) == (
            "61.00",
            "61/365",
        )

    def test_ten_customers_cost_no_more_queries_than_one(
        self, django_assert_max_num_queries: Any
    ) -> None:
        version = self.version()
        for _ in range(10):
            make.subscription(make.customer(), version, starts_on=date(2026, 11, 1))
        close(at(10, 2, year=2027))
        with django_assert_max_num_queries(95):
            close(at(11, 1, year=2027))
        assert len(self.committed()) == 10
