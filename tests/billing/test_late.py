"""Late usage: what comes after the close is settled once, to the cent (R31, R32a, R33)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Invoice, InvoiceLine, LateUsage, PeriodCharge, UsageSnapshot
from billing.services import issuing, lateness, life
from billing.services.closing import close_subscriptions
from billing.services.lateness import (
    LateUsageDecided,
    bill_late_usage,
    settle_late_usage,
    write_off_late_usage,
)
from billing.services.life import When
from billing.services.upcoming import upcoming_invoice
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import Issuer, Subscription
from customers.services import end_subscription
from metering.events import event_key
from metering.models import EventAdjustment
from metering.services import replace_event, void_events
from tests import factories as make
from tests.billing.months import close, left, lines, use

pytestmark = pytest.mark.django_db
D = Decimal


def at(month: int, day: int, hour: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def plan() -> PlanVersion:
    """10 a month in advance, and 1 a call above 100 included."""
    return make.published(
        make.flat("base", "10"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100)),
    )


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """From 1 September, in UTC; 110 calls in September, whose invoice is issued."""
    ada = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 9, 1))
    use(ada, at(9, 10), calls=110, id="first")
    close(at(10, 2, 1))
    return ada


def late(subscription: Subscription, calls: int, *, arrived: datetime) -> Subscription:
    """Send an event of mid-September afterwards."""
    use(subscription, at(9, 15), received_at=arrived, calls=calls)
    return subscription


def october(subscription: Subscription) -> list[tuple[str, str]]:
    """Close October and return the late lines of its invoice."""
    return late_lines(close(at(11, 2, 1))[-1])


def late_lines(invoice: Invoice) -> list[tuple[str, str]]:
    return [
        (f"{line.quantity.normalize():f}", f"{line.net:.2f}")
        for line in invoice.lines.all()
        if line.kind == "late"
    ]


def void(subscription: Subscription, moment: datetime) -> None:
    key = UUID(bytes=event_key("test", "first"))
    void_events(keys=[key], reason="Never happened.", at=moment, actor=SYSTEM)


def replace(calls: int, moment: datetime) -> EventAdjustment:
    key = UUID(bytes=event_key("test", "first"))
    return replace_event(key=key, data={"calls": calls}, reason="Wrong.", at=moment, actor=SYSTEM)


class TestSettling:
    @pytest.mark.parametrize(
        ("happens", "charged"),
        [
            pytest.param(lambda ada: None, [], id="nothing late is no line"),
            pytest.param(
                lambda ada: late(ada, 5, arrived=at(10, 5)), [("5", "5.00")], id="all of it is over"
            ),
            pytest.param(
                lambda ada: (late(ada, 5, arrived=at(10, 5)), late(ada, 2, arrived=at(10, 20))),
                [("7", "7.00")],
                id="two arrivals are one line",
            ),
            pytest.param(
                lambda ada: replace(104, at(10, 5)),
                [("-6", "-6.00")],
                id="a replacement is a credit",
            ),
            pytest.param(
                lambda ada: void(ada, at(10, 5)),
                [("-110", "-10.00")],
                id="a void credits what was over, not what was included",
            ),
            pytest.param(
                lambda ada: (late(ada, 5, arrived=at(10, 5)), replace(105, at(10, 6))),
                [],
                id="what evens out is no line",
            ),
        ],
    )
    def test_on_the_next_invoice(
        self,
        ada: Subscription,
        happens: Callable[[Subscription], object],
        charged: list[tuple[str, str]],
    ) -> None:
        happens(ada)
        assert october(ada) == charged

    def test_within_the_allowance_it_is_shown_for_nothing(self, ada: Subscription) -> None:
        replace(50, at(10, 1, 12))  # before the close, so on time
        assert Invoice.objects.count() == 2
        replace(60, at(10, 5))
        replace(70, at(10, 6))
        assert october(ada) == [("-40", "-10.00")]

    def test_it_names_the_period_and_the_invoice(self, ada: Subscription) -> None:
        late(ada, 5, arrived=at(10, 5))
        invoice = close(at(11, 2, 1))[-1]
        [line] = invoice.lines.filter(kind="late")
        assert (line.service_start, line.service_end) == (date(2026, 9, 1), date(2026, 10, 1))
        said = line.explanation
        assert (said["used"], said["whole"], said["amount"]) == ("115", "15.00", "5.00")
        assert said["billed"] == [
            {"invoice": "INV-2026-000002", "quantity": "110", "amount": "10.00"}
        ]
        assert line.snapshot is not None
        assert (line.snapshot.revision, line.snapshot.quantity) == (2, D(115))
        charge = invoice.charges.get(purpose="late")
        assert (charge.period, charge.cause) == (line.period, f"{line.snapshot.metric_id}:2")

    def test_once(self, ada: Subscription) -> None:
        late(ada, 5, arrived=at(10, 5))
        assert october(ada) == [("5", "5.00")]
        assert late_lines(close(at(12, 2, 1))[-1]) == []

    def test_what_comes_later_still_is_the_next_difference(self, ada: Subscription) -> None:
        late(ada, 5, arrived=at(10, 5))
        close(at(11, 2, 1))
        late(ada, 3, arrived=at(11, 5))
        assert late_lines(close(at(12, 2, 1))[-1]) == [("3", "3.00")]

    def test_what_came_while_it_was_a_draft_is_recalculated_rather_than_late(
        self, plan: PlanVersion
    ) -> None:
        bob = make.subscription(make.customer("bob"), plan, starts_on=date(2026, 9, 1))
        bob.customer.manual_approval = True
        bob.customer.save()
        use(bob, at(9, 10), calls=110)
        _, september = close(at(10, 2, 1))
        late(bob, 5, arrived=at(10, 5))
        assert late_lines(close(at(11, 2, 1))[-1]) == []
        [redrawn] = issuing.recalculate_invoices(
            invoice_ids=[september.pk], at=at(11, 3), actor=SYSTEM
        )
        assert ("Calls", "15.00") in lines(redrawn)

    def test_the_upcoming_invoice_has_it(self, ada: Subscription) -> None:
        late(ada, 5, arrived=at(10, 5))
        loaded = Subscription.objects.with_terms().get(pk=ada.pk)
        _, composed = upcoming_invoice(subscription=loaded, at=at(10, 6))
        assert [(line.kind, line.net) for line in composed.lines][-1] == ("late", D("5.00"))
        assert not LateUsage.objects.exists()
        assert UsageSnapshot.objects.count() == 1

    def test_tax_is_that_of_the_original_line(self, plan: PlanVersion) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        eve = make.subscription(make.customer("eve"), plan, starts_on=date(2026, 9, 1))
        use(eve, at(9, 10), calls=110)
        close(at(10, 2, 1))
        Issuer.objects.update(standard_tax_rate=D(20))
        late(eve, 5, arrived=at(10, 5))
        invoice = close(at(11, 2, 1))[-1]
        rates = {line.kind: line.tax_rate for line in invoice.lines.all()}
        assert (rates["late"], rates["usage"]) == (D(19), D(20))
        assert invoice.status == "issued"
        taxes = {tax.rate: (tax.base, tax.amount) for tax in invoice.taxes.all()}
        assert taxes == {D(19): (D(5), D("0.95")), D(20): (D(10), D(2))}


class TestUndoing:
    @pytest.fixture
    def drawn(self, ada: Subscription) -> Invoice:
        """The draft over October, with 5 late calls of September."""
        ada.customer.manual_approval = True
        ada.customer.save()
        late(ada, 5, arrived=at(10, 5))
        return close(at(11, 2, 1))[-1]

    def test_a_discarded_draft_gives_it_free(self, ada: Subscription, drawn: Invoice) -> None:
        issuing.discard_invoice(
            invoice_id=drawn.pk, reason="A test.", reopen=True, at=at(11, 3), actor=SYSTEM
        )
        assert late_lines(close(at(11, 4))[-1]) == [("5", "5.00")]
        live = PeriodCharge.objects.filter(purpose="late", is_live=True)
        assert live.count() == 1

    def test_a_void_invoice_gives_it_free(self, ada: Subscription, drawn: Invoice) -> None:
        issuing.issue_invoices(invoice_ids=[drawn.pk], as_of=at(11, 3), actor=SYSTEM)
        issuing.void_invoice(
            invoice_id=drawn.pk, reason="A test.", reopen=True, at=at(11, 3), actor=SYSTEM
        )
        assert late_lines(close(at(11, 4))[-1]) == [("5", "5.00")]

    def test_waived_it_is_written_off(self, ada: Subscription, drawn: Invoice) -> None:
        issuing.discard_invoice(
            invoice_id=drawn.pk, reason="A gift.", reopen=False, at=at(11, 3), actor=SYSTEM
        )
        row = LateUsage.objects.get()
        assert (row.status, row.amount, row.reason) == ("written_off", D(5), "A gift.")
        late(ada, 2, arrived=at(11, 5))
        assert late_lines(close(at(12, 2, 1))[-1]) == [("2", "2.00")]

    def test_recalculating_draws_it_anew(self, ada: Subscription, drawn: Invoice) -> None:
        late(ada, 2, arrived=at(11, 3))
        [redrawn] = issuing.recalculate_invoices(
            invoice_ids=[drawn.pk], at=at(11, 4), actor=SYSTEM, only_if_changed=True
        )
        assert late_lines(redrawn) == [("7", "7.00")]
        assert redrawn.charges.filter(purpose="late").count() == 1
        again = issuing.recalculate_invoices(
            invoice_ids=[drawn.pk], at=at(11, 5), actor=SYSTEM, only_if_changed=True
        )
        assert again == []

    def test_of_two_drafts_the_older_carries_it(self, ada: Subscription, drawn: Invoice) -> None:
        late(ada, 2, arrived=at(11, 10))
        newer = close(at(12, 2, 1))[-1]
        assert late_lines(newer) == [("2", "2.00")]
        issuing.recalculate_invoices(invoice_ids=[drawn.pk, newer.pk], at=at(12, 3), actor=SYSTEM)
        both = [Invoice.objects.get(pk=one.pk) for one in (drawn, newer)]
        assert [late_lines(one) for one in both] == [[("7", "7.00")], []]

    def test_what_is_closed_anew_takes_back_what_was_late(
        self, ada: Subscription, drawn: Invoice
    ) -> None:
        issuing.issue_invoices(invoice_ids=[drawn.pk], as_of=at(11, 3), actor=SYSTEM)
        september = Invoice.objects.get(number="INV-2026-000002")
        issuing.void_invoice(
            invoice_id=september.pk, reason="A test.", reopen=True, at=at(10, 30), actor=SYSTEM
        )
        again = close(at(11, 4))[-1]
        assert ("Calls", "15.00") in lines(again)
        issuing.issue_invoices(invoice_ids=[again.pk], as_of=at(11, 4), actor=SYSTEM)
        assert late_lines(close(at(12, 2, 1))[-1]) == [("-5", "-5.00")]


class TestCredits:
    def test_no_invoice_becomes_negative_and_a_credit_note_gives_it(
        self, plan: PlanVersion
    ) -> None:
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 9, 1))
        use(ida, at(9, 10), calls=125, id="first")
        close(at(10, 2, 1))
        void(ida, at(10, 5))
        invoice = close(at(11, 2, 1))[-1]
        assert (late_lines(invoice), invoice.total) == ([], D(10))
        assert left(invoice) == [("Calls", "-25.00")]
        assert not LateUsage.objects.exists()
        assert left(close(at(12, 2, 1))[-1]) == []

    def test_a_charge_makes_room_for_a_credit(self, ada: Subscription, plan: PlanVersion) -> None:
        use(ada, at(10, 10), calls=100)
        void(ada, at(10, 5))
        use(ada, at(10, 12), calls=5)
        assert close(at(11, 2, 1))[-1].total == D(5)  # fee 10, October 5, September -10

    def test_what_comes_back_after_a_credit_note_is_charged_anew(self, plan: PlanVersion) -> None:
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 9, 1))
        use(ida, at(9, 10), calls=125, id="first")
        close(at(10, 2, 1))
        void(ida, at(10, 5))
        close(at(11, 2, 1))
        replace(115, at(11, 5))
        assert late_lines(close(at(12, 2, 1))[-1]) == [("115", "15.00")]


class TestHolding:
    def test_long_after_the_close_a_person_decides(self, ada: Subscription) -> None:
        for month, year in ((11, 2026), (12, 2026), (1, 2027)):
            close(at(month, 2, 1, year=year))
        late(ada, 5, arrived=at(1, 5, year=2027))
        assert late_lines(close(at(2, 2, 1, year=2027))[-1]) == []
        settle_late_usage(as_of=at(2, 3, year=2027))
        row = LateUsage.objects.get()
        assert (row.status, row.held_for, row.amount) == ("held", "age", D(5))
        assert (row.billed_quantity, row.quantity) == (D(110), D(115))
        settle_late_usage(as_of=at(2, 4, year=2027))
        assert UsageSnapshot.objects.filter(period=row.period).count() == 2
        bill_late_usage(late_id=row.pk, at=at(2, 5, year=2027), actor=SYSTEM)
        assert late_lines(close(at(3, 2, 1, year=2027))[-1]) == [("5", "5.00")]
        row.refresh_from_db()
        assert row.status == "billed"
        with pytest.raises(LateUsageDecided):
            bill_late_usage(late_id=row.pk, at=at(3, 5, year=2027), actor=SYSTEM)

    @pytest.mark.parametrize(
        ("calls", "charged"),
        [
            pytest.param(2, [], id="below the threshold"),
            pytest.param(3, [("3", "3.00")], id="at the threshold"),
        ],
    )
    def test_little_is_held(
        self, ada: Subscription, settings: Any, calls: int, charged: list[tuple[str, str]]
    ) -> None:
        settings.LATE_USAGE_THRESHOLDS = {"EUR": D(3)}
        late(ada, calls, arrived=at(10, 5))
        assert october(ada) == charged
        assert [row.held_for for row in LateUsage.objects.all()] == ([] if charged else ["small"])

    def test_little_by_little_it_is_enough(self, ada: Subscription, settings: Any) -> None:
        settings.LATE_USAGE_THRESHOLDS = {"EUR": D(3)}
        late(ada, 2, arrived=at(10, 5))
        assert october(ada) == []
        late(ada, 2, arrived=at(11, 5))
        assert late_lines(close(at(12, 2, 1))[-1]) == [("4", "4.00")]
        assert LateUsage.objects.get().status == "billed"

    def test_written_off_it_never_comes_back(self, ada: Subscription, settings: Any) -> None:
        settings.LATE_USAGE_THRESHOLDS = {"EUR": D(3)}
        late(ada, 2, arrived=at(10, 5))
        close(at(11, 2, 1))
        row = LateUsage.objects.get()
        with pytest.raises(Invalid):
            write_off_late_usage(late_id=row.pk, reason=" ", at=at(11, 3), actor=SYSTEM)
        write_off_late_usage(late_id=row.pk, reason="Too little.", at=at(11, 3), actor=SYSTEM)
        assert AuditEntry.objects.filter(action="written off", note="Too little.").exists()
        late(ada, 4, arrived=at(11, 5))
        assert late_lines(close(at(12, 2, 1))[-1]) == [("4", "4.00")]


class TestWithoutAFurtherClose:
    @pytest.fixture
    def gone(self, plan: PlanVersion) -> Subscription:
        """Cancelled; its last period is September, and is issued."""
        gone = make.subscription(make.customer("gus"), plan, starts_on=date(2026, 9, 1))
        end_subscription(
            subscription_id=gone.pk, ends_on=date(2026, 10, 1), today=date(2026, 9, 1), actor=SYSTEM
        )
        use(gone, at(9, 10), calls=110, id="first")
        close(at(10, 2, 1))
        return gone

    def test_it_gets_a_document_of_its_own(self, gone: Subscription) -> None:
        late(gone, 5, arrived=at(10, 5))
        [drafted] = settle_late_usage(as_of=at(10, 6))
        assert late_lines(drafted) == [("5", "5.00")]
        assert [charge.purpose for charge in drafted.charges.all()] == ["late"]
        assert settle_late_usage(as_of=at(10, 6)) == []
        assert close(at(10, 8))[-1].status == "issued"

    def test_until_issue_it_is_drawn_anew(self, gone: Subscription) -> None:
        late(gone, 5, arrived=at(10, 5))
        settle_late_usage(as_of=at(10, 6))
        late(gone, 1, arrived=at(10, 6, 12))
        issued = close(at(10, 8))[-1]
        assert (issued.status, late_lines(issued)) == ("issued", [("6", "6.00")])

    def test_a_fee_is_credited_once_beside_its_last_invoice(self, ada: Subscription) -> None:
        close(at(10, 3, 1))  # issues September's, with October's fee
        life.cancel(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(10, 6), actor=SYSTEM)
        assert left(close(at(10, 8, 2))[-1]) == [("Base", "-8.06")]  # 25 of 31 days
        late(ada, 5, arrived=at(10, 9))
        [drafted] = settle_late_usage(as_of=at(10, 10))
        assert (lines(drafted), left(drafted)) == ([("Calls", "5.00")], [])

    def test_a_credit_has_a_document_of_its_own(self, gone: Subscription) -> None:
        void(gone, at(10, 5))
        [drafted] = settle_late_usage(as_of=at(10, 6))
        assert (lines(drafted), left(drafted)) == ([], [("Calls", "-10.00")])
        assert settle_late_usage(as_of=at(10, 7)) == []

    def test_a_running_subscription_waits_for_its_next_invoice(self, ada: Subscription) -> None:
        late(ada, 5, arrived=at(10, 5))
        assert settle_late_usage(as_of=at(10, 6)) == []
        assert october(ada) == [("5", "5.00")]


def test_the_daily_look_takes_up_only_whom_something_came_in_for(
    plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        make.subscription(make.customer(f"c{n}"), plan, starts_on=date(2026, 9, 1))
        for n in range(8)
    ]
    for one in found:
        use(one, at(9, 10), calls=110)
    close(at(10, 2, 1))
    taken: list[list[int]] = []

    def take(ids: list[int], *, as_of: datetime) -> list[Invoice]:
        taken.append(ids)
        return []

    monkeypatch.setattr(lateness, "_settle", take)
    with CaptureQueriesContext(connection) as queries:
        settle_late_usage(as_of=at(10, 4))
    assert (taken, len(queries)) == ([], 10)
    late(found[3], 5, arrived=at(10, 5))
    settle_late_usage(as_of=at(10, 6))
    assert taken == [[found[3].pk]]


@pytest.mark.unaudited
def test_a_close_costs_the_same_queries_however_much_is_late(plan: PlanVersion) -> None:
    asked = []
    for crowd in (1, 8):
        found = [
            make.subscription(make.customer(f"c{crowd}-{n}"), plan, starts_on=date(2026, 9, 1))
            for n in range(crowd)
        ]
        for one in found:
            use(one, at(9, 10), calls=110)
        close(at(10, 2, 1))
        for one in found:
            late(one, 5, arrived=at(10, 5))
        with CaptureQueriesContext(connection) as queries:
            close_subscriptions(subscription_ids=[one.pk for one in found], as_of=at(11, 1, 1))
        asked.append(len(queries))
        assert InvoiceLine.objects.filter(kind="late").count() == crowd
        InvoiceLine.objects.filter(kind="late").delete()
    assert asked[0] == asked[1] < 60
