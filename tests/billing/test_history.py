"""The past that a usage line tells: what was billed in the periods before, frozen with it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.documents import document_path, pdf_of
from billing.history import BEFORE
from billing.models import Invoice
from billing.services import closing, issuing
from billing.services.upcoming import upcoming_invoice, upcoming_invoices
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db

Told = list[tuple[str, str | None, str | None]]


def at(month: int, day: int, hour: int = 0) -> datetime:
    """A moment from January 2026 on; month 13 is January 2027."""
    return datetime(2026 + (month - 1) // 12, (month - 1) % 12 + 1, day, hour, tzinfo=UTC)


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


@pytest.fixture
def plan(calls: ValueMetric) -> PlanVersion:
    """1 a call above 100 included."""
    return make.published(make.graduated(calls, "rest @ 1", included_quantity=D(100)))


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    return make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 1, 1))


def use_monthly(subscription: Subscription, *calls: int, since: int = 1) -> None:
    for month, count in enumerate(calls, start=since):
        use(subscription, at(month, 20), calls=count)


def told(invoice: Invoice) -> Told:
    """Return the trend on an invoice's only usage line: (month of start, used, included)."""
    [line] = [line for line in invoice.lines.all() if line.kind == "usage"]
    return shortened(line.explanation)


def shortened(said: dict[str, Any]) -> Told:
    return [(one["start"][5:7], one["used"], one["included"]) for one in said.get("trend", [])]


def newest(invoices: list[Invoice]) -> Invoice:
    return invoices[-1]


class TestWhatALineTells:
    def test_a_first_period_has_no_past(self, ada: Subscription) -> None:
        use_monthly(ada, 130)
        [january] = close(at(2, 1, 1))
        assert told(january) == []
        assert "trend" not in january.lines.get().explanation

    def test_a_second_tells_the_first_and_itself(self, ada: Subscription) -> None:
        use_monthly(ada, 130, 0)
        february = newest(close(at(3, 1, 1)))
        assert february.lines.get().explanation["trend"] == [
            {"start": "2026-01-01", "end": "2026-02-01", "used": "130", "included": "100"},
            {"start": "2026-02-01", "end": "2026-03-01", "used": "0", "included": "100"},
        ]

    def test_six_at_most_the_oldest_first(self, ada: Subscription) -> None:
        use_monthly(ada, 1, 2, 3, 4, 5, 6, 7, 8)
        august = newest(close(at(9, 1, 1)))
        assert told(august) == [(f"0{month}", f"{month}", "100") for month in range(3, 9)]
        assert len(told(august)) == BEFORE + 1

    def test_a_first_period_in_part_had_a_part_of_the_allowance(self, plan: PlanVersion) -> None:
        cleo = make.subscription(
            make.customer("cleo"), plan, starts_on=date(2026, 1, 17), alignment="calendar"
        )
        use_monthly(cleo, 60, 130)
        february = newest(close(at(3, 1, 1)))
        assert told(february) == [("01", "60", "49"), ("02", "130", "100")]  # ⌈100 × 15/31⌉

    def test_figures_are_the_ones_billed(self) -> None:
        traffic = make.metric("traffic", unit_divisor=D(1000), rounding_scale=2)
        ben = make.subscription(
            make.customer("ben"),
            make.published(make.graduated(traffic, "rest @ 1")),
            starts_on=date(2026, 1, 1),
        )
        use_monthly(ben, 1_234_567, -5)
        february = newest(close(at(3, 1, 1)))
        assert told(february) == [("01", "1234.57", "0"), ("02", "0", "0")]  # never below nothing

    def test_twelve_digits_stay_exact(self, ada: Subscription) -> None:
        use_monthly(ada, 123_456_789_012, 1_000_000_000)
        february = newest(close(at(3, 1, 1)))
        assert [used for _, used, _ in told(february)] == ["123456789012", "1000000000"]

    def test_a_trial_is_not_told(self, calls: ValueMetric) -> None:
        trial = make.published(make.graduated(calls, "rest @ 1"), trial_days=14)
        eve = make.subscription(make.customer("eve"), trial, starts_on=date(2026, 1, 1))
        use(eve, at(1, 3), calls=5)
        use(eve, at(1, 20), calls=7)
        first, second = close(at(3, 15, 1))
        assert told(first) == []
        assert told(second) == [("01", "7", "0"), ("02", "0", "0")]

    def test_nobody_tells_what_somebody_else_used(
        self, ada: Subscription, plan: PlanVersion
    ) -> None:
        stranger = make.subscription(make.customer("mallory"), plan, starts_on=date(2026, 1, 1))
        use_monthly(ada, 1, 2, 3)
        use_monthly(stranger, 77, 78, 79)
        sibling = make.subscription(ada.customer, plan, key="b", starts_on=date(2026, 2, 1))
        told_by = {i.lines.get().subscription_id: told(i) for i in close(at(4, 1, 1))}
        assert [used for _, used, _ in told_by[ada.pk]] == ["1", "2", "3"]
        assert [used for _, used, _ in told_by[stranger.pk]] == ["77", "78", "79"]
        assert [used for _, used, _ in told_by[sibling.pk]] == ["0", "0"]

    def test_another_plan_goes_on_with_the_metrics_past(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        other = make.published(make.graduated(calls, "rest @ 2", key="other"))
        ada.phases.update(ends_on=date(2026, 2, 1))
        ada.phases.create(plan_version=other, starts_on=date(2026, 2, 1), time_zone="UTC")
        use_monthly(ada, 130, 170)
        assert told(newest(close(at(3, 1, 1)))) == [("01", "130", "100"), ("02", "170", "0")]

    def test_each_metric_tells_its_own(self, calls: ValueMetric) -> None:
        storage = make.metric("storage", event_type="storage")
        both = make.published(
            make.graduated(calls, "rest @ 1", key="calls"),
            make.graduated(storage, "rest @ 1", key="storage"),
        )
        tom = make.subscription(make.customer("tom"), both, starts_on=date(2026, 1, 1))
        use_monthly(tom, 1, 2)
        use(tom, at(2, 5), type="storage", calls=50)
        first, second = newest(close(at(3, 1, 1))).lines.all()
        assert shortened(first.explanation) == [("01", "1", "0"), ("02", "2", "0")]
        assert shortened(second.explanation) == [("01", "0", "0"), ("02", "50", "0")]


class TestGaps:
    @pytest.fixture
    def three(self, ada: Subscription) -> list[Invoice]:
        """January and February issued, March a draft."""
        use_monthly(ada, 1, 2, 3)
        return close(at(4, 1, 1))

    def recalculated(self, invoice: Invoice) -> Told:
        issuing.recalculate_invoices(invoice_ids=[invoice.pk], at=at(4, 1, 2), actor=SYSTEM)
        return told(Invoice.objects.with_lines().get(pk=invoice.pk))

    def test_a_void_period_is_a_gap(self, three: list[Invoice]) -> None:
        january, february, march = three
        issuing.void_invoice(
            invoice_id=february.pk, reason="Twice", reopen=False, at=at(4, 5), actor=SYSTEM
        )
        assert self.recalculated(march) == [
            ("01", "1", "100"),
            ("02", None, None),
            ("03", "3", "100"),
        ]

    def test_a_gap_at_the_beginning_is_no_past(self, ada: Subscription) -> None:
        use_monthly(ada, 1, 2)
        [january] = close(at(2, 1, 1))
        issuing.discard_invoice(
            invoice_id=january.pk, reason="A gift", reopen=False, at=at(2, 1, 2), actor=SYSTEM
        )
        assert told(newest(close(at(3, 1, 1)))) == []

    def test_what_is_billed_anew_counts_once(self, ada: Subscription) -> None:
        use_monthly(ada, 1, 2)
        [january] = close(at(2, 1, 1))
        issuing.discard_invoice(
            invoice_id=january.pk, reason="Wrong", reopen=True, at=at(2, 1, 2), actor=SYSTEM
        )
        assert told(newest(close(at(3, 1, 1)))) == [("01", "1", "100"), ("02", "2", "100")]


class TestFrozen:
    def test_a_draft_is_redrawn_where_its_past_changed(self, plan: PlanVersion) -> None:
        """January waits for a person, who recalculates it after February was drafted."""
        ida = make.customer("ida", manual_approval=True)
        subscription = make.subscription(ida, plan, starts_on=date(2026, 1, 1))
        use_monthly(subscription, 10, 20)
        january, february = close(at(3, 1, 1))
        use(subscription, at(1, 25), calls=5)
        changed = issuing.recalculate_invoices(
            invoice_ids=[january.pk, february.pk],
            at=at(3, 1, 2),
            actor=SYSTEM,
            only_if_changed=True,
        )
        assert [invoice.pk for invoice in changed] == [january.pk, february.pk]
        february = Invoice.objects.with_lines().get(pk=february.pk)
        assert told(february) == [("01", "15", "100"), ("02", "20", "100")]

    def test_a_past_that_changed_on_another_day_is_noticed_too(self, plan: PlanVersion) -> None:
        ida = make.customer("ida", manual_approval=True)
        subscription = make.subscription(ida, plan, starts_on=date(2026, 1, 1))
        use_monthly(subscription, 10, 20)
        january, february = close(at(3, 1, 1))
        use(subscription, at(1, 25), calls=5)
        issuing.recalculate_invoices(invoice_ids=[january.pk], at=at(3, 1, 2), actor=SYSTEM)
        again: dict[str, Any] = {
            "invoice_ids": [february.pk],
            "at": at(3, 1, 3),
            "actor": SYSTEM,
            "only_if_changed": True,
        }
        assert len(issuing.recalculate_invoices(**again)) == 1
        assert issuing.recalculate_invoices(**again) == []

    def test_an_issued_invoice_gives_the_same_bytes_whatever_becomes_of_its_past(
        self, ada: Subscription
    ) -> None:
        use_monthly(ada, 130, 170)
        january, february = close(at(3, 2, 2))
        assert february.status == "issued"
        first = pdf_of(february)
        issuing.void_invoice(
            invoice_id=january.pk, reason="Twice", reopen=False, at=at(3, 5), actor=SYSTEM
        )
        again = Invoice.objects.with_lines().get(pk=february.pk)
        assert told(again) == [("01", "130", "100"), ("02", "170", "100")]
        document_path(again.documents.get().sha256).unlink()  # so that it is made anew
        assert pdf_of(again) == first


class TestApi:
    def test_the_explanation_holds_the_past(self, ada: Subscription, caller: Caller) -> None:
        use_monthly(ada, 130, 170)
        january, february = close(at(3, 1, 1))
        read = caller("billing:read").get(f"/api/v1/invoices/{february.uuid}").json()
        assert read["lines"][0]["explanation"]["trend"] == [
            {"start": "2026-01-01", "end": "2026-02-01", "used": "130", "included": "100"},
            {"start": "2026-02-01", "end": "2026-03-01", "used": "170", "included": "100"},
        ]
        read = caller("billing:read").get(f"/api/v1/invoices/{january.uuid}").json()
        assert "trend" not in read["lines"][0]["explanation"]


class TestUpcoming:
    def test_it_tells_what_the_close_will_write(self, ada: Subscription) -> None:
        use_monthly(ada, 130, 170)
        close(at(2, 1, 1))
        subscription = Subscription.objects.with_terms().get(pk=ada.pk)
        _, composed = upcoming_invoice(subscription=subscription, at=at(2, 28))
        [line] = composed.lines
        assert shortened(line.explanation) == [("01", "130", "100"), ("02", "170", "100")]
        assert shortened(line.explanation) == told(newest(close(at(3, 1, 1))))


@pytest.mark.parametrize("customers", [2, 20])
def test_the_past_costs_two_queries_however_many_close(
    customers: int, plan: PlanVersion, django_assert_max_num_queries: Any
) -> None:
    """Of different ages, and each with more past than is told."""
    for number in range(customers):
        starts_on = date(2026, 1 + number % 4, 1)
        make.subscription(make.customer(f"c{number}"), plan, starts_on=starts_on)
    close(at(9, 1, 1))
    ids = list(Subscription.objects.values_list("pk", flat=True))
    with django_assert_max_num_queries(47):
        closing.close_subscriptions(subscription_ids=ids, as_of=at(10, 1, 1))
    september = Invoice.objects.with_lines().order_by("-pk")[:customers]
    assert {len(told(invoice)) for invoice in september} == {6}
    subscriptions = list(Subscription.objects.with_terms())
    with django_assert_max_num_queries(20):
        upcoming = upcoming_invoices(subscriptions=subscriptions, at=at(10, 15))
    assert {len(shortened(composed.lines[0].explanation)) for _, _, composed in upcoming} == {6}
