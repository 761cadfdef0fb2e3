"""Closing periods: what is billed when, once, whatever happens in between (R21, R26, R30, R33, R36)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import BillingPeriod, BillingRun, Invoice, PeriodCharge, UsageSnapshot
from billing.services import closing, issuing, runs
from billing.services.upcoming import NothingUpcoming, upcoming_invoice
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry, Outbox
from config.base.rows import FEW
from customers.models import Customer, Issuer, Subscription, SubscriptionQuantity
from tests import factories as make
from tests.billing.months import close, lines, use

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
    """From 1 November, in UTC."""
    return make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 11, 1))


class TestWhatIsBilledWhen:
    def test_nothing_before_the_first_day(self, ada: Subscription) -> None:
        assert close(at(10, 31, 23)) == []

    def test_the_first_fee_on_the_first_day(self, ada: Subscription) -> None:
        [opening] = close(at(11, 1))
        assert lines(opening) == [("Base", "10.00")]
        assert opening.charges.get().purpose == "opening"

    def test_nothing_more_until_an_hour_after_the_period(self, ada: Subscription) -> None:
        close(at(11, 1))
        assert len(close(at(12, 1, 0))) == 1
        assert len(close(at(12, 1, 1))) == 2

    def test_usage_that_ended_and_the_fee_that_starts(self, ada: Subscription) -> None:
        use(ada, at(11, 30, 23), calls=142)
        _, november = close(at(12, 1, 1))
        assert lines(november) == [("Base", "10.00"), ("Calls", "42.00")]
        fee, usage = november.lines.all()
        assert (fee.service_start, fee.service_end) == (date(2026, 12, 1), date(2027, 1, 1))
        assert (usage.service_start, usage.service_end) == (date(2026, 11, 1), date(2026, 12, 1))

    def test_an_event_at_the_end_belongs_to_the_next_period(self, ada: Subscription) -> None:
        use(ada, at(12, 1), calls=142)
        _, november, december = close(at(1, 1, 1, year=2027))
        assert lines(november) == [("Base", "10.00"), ("Calls", "0.00")]
        assert lines(december) == [("Base", "10.00"), ("Calls", "42.00")]

    def test_an_invoice_with_usage_lines_is_issued_even_at_zero(self) -> None:
        free = make.published(make.graduated(make.metric(), "rest @ 1"))
        make.subscription(make.customer("zoe"), free)
        [statement] = close(at(12, 2, 1))
        assert (statement.status, statement.total) == ("issued", D(0))

    def test_no_line_is_no_invoice(self) -> None:
        yearly = make.published(make.flat("base", "10", timing="arrears"), interval="year")
        make.subscription(make.customer("yve"), yearly)
        assert close(at(12, 2)) == []

    def test_the_last_invoice_has_usage_only(self, ada: Subscription) -> None:
        ada.phases.update(ends_on=date(2026, 12, 1))
        Subscription.objects.filter(pk=ada.pk).update(ends_on=date(2026, 12, 1))
        use(ada, at(11, 5), calls=101)
        _, last = close(at(2, 1, year=2027))
        assert lines(last) == [("Calls", "1.00")]
        assert last.charges.get().purpose == "final"

    def test_a_trial_bills_nothing_and_is_followed_by_the_first_fee(self) -> None:
        trial = make.published(
            make.flat("base", "10"), make.graduated(make.metric("calls"), "rest @ 1"), trial_days=14
        )
        ben = make.subscription(make.customer("ben"), trial)
        use(ben, at(11, 3), calls=5)
        assert close(at(11, 15)) == []
        [opening] = close(at(11, 15, 1))
        assert lines(opening) == [("Base", "10.00")]
        assert opening.lines.get().service_end == date(2026, 12, 15)
        assert UsageSnapshot.objects.get().quantity == D(5)

    def test_a_late_start_of_a_calendar_month_is_prorated(self, plan: PlanVersion) -> None:
        cleo = make.subscription(
            make.customer("cleo"), plan, starts_on=date(2026, 11, 15), alignment="calendar"
        )
        use(cleo, at(11, 20), calls=64)
        opening, rest = close(at(12, 1, 1))
        assert lines(opening) == [("Base", "5.33")]  # 10 × 16/30
        assert lines(rest) == [("Base", "10.00"), ("Calls", "10.00")]  # 64 − ceil(100 × 16/30)
        assert rest.lines.get(kind="usage").explanation["period_fraction"] == "16/30"

    def test_minimum_is_a_line_of_its_own(self) -> None:
        floor = make.published(
            make.graduated(make.metric("calls"), "rest @ 1", key="calls", minimum=D(25))
        )
        make.subscription(make.customer("mia"), floor)
        [invoice] = close(at(12, 1, 1))
        assert lines(invoice) == [("Calls", "0.00"), ("Calls", "25.00")]
        assert [line.kind for line in invoice.lines.all()] == ["usage", "minimum"]


class TestSeats:
    @pytest.fixture
    def seats(self) -> PlanVersion:
        price = Price(
            key="seats",
            name="Seats",
            model="per_unit",
            timing="advance",
            unit="seat",
            unit_plural="seats",
            unit_amount=D(30),
        )
        return make.published(PriceDraft(price))

    def test_default_is_one(self, seats: PlanVersion) -> None:
        make.subscription(make.customer("eve"), seats)
        assert lines(close(at(11, 1))[0]) == [("Seats", "30.00")]

    def test_a_line_says_what_they_are_called(self, seats: PlanVersion) -> None:
        make.subscription(make.customer("eve"), seats, quantities={"seats": D(2)})
        [line] = close(at(11, 1))[0].lines.all()
        assert (line.unit, line.unit_plural) == ("seat", "seats")

    def test_an_increase_is_charged_from_its_day(self, seats: PlanVersion) -> None:
        eve = make.subscription(make.customer("eve"), seats, quantities={"seats": D(2)})
        SubscriptionQuantity.objects.create(
            subscription=eve, price_key="seats", starts_on=date(2026, 11, 16), quantity=4
        )
        opening, november = close(at(12, 1, 1))
        assert lines(opening) == [("Seats", "60.00")]
        assert lines(november) == [("Seats", "120.00"), ("Seats", "30.00")]  # 2 × 30 × 15/30
        added = november.lines.get(net=30)
        assert (added.service_start, added.quantity) == (date(2026, 11, 16), D(2))

    def test_a_decrease_takes_effect_at_the_next_boundary(self, seats: PlanVersion) -> None:
        eve = make.subscription(make.customer("eve"), seats, quantities={"seats": D(4)})
        SubscriptionQuantity.objects.create(
            subscription=eve, price_key="seats", starts_on=date(2026, 11, 16), quantity=1
        )
        _, november = close(at(12, 1, 1))
        assert lines(november) == [("Seats", "30.00")]


class TestTwoSubscriptions:
    """Usage that names none counts for the earliest made of those active at that instant (R6)."""

    def test_what_comes_before_the_elder_starts_is_the_youngers(self, plan: PlanVersion) -> None:
        tom = make.customer("tom")
        elder = make.subscription(tom, plan, key="elder", starts_on=date(2026, 11, 20))
        use(elder, at(11, 25), calls=103)
        younger = make.subscription(tom, plan, key="younger", starts_on=date(2026, 11, 1))
        use(younger, at(11, 5), calls=107)
        bills = {i.charges.get().subscription.key: i for i in close(at(12, 20, 1))}
        assert lines(bills["younger"])[1] == ("Calls", "7.00")
        assert lines(bills["elder"])[1] == ("Calls", "3.00")


class TestOnce:
    def test_a_second_run_changes_nothing(self, ada: Subscription) -> None:
        use(ada, at(11, 5), calls=101)
        first = [(i.pk, i.status, i.number) for i in close(at(12, 3))]
        assert [(i.pk, i.status, i.number) for i in close(at(12, 3))] == first

    def test_one_run_for_three_months_is_three_monthly_ones(self, ada: Subscription) -> None:
        for month in (11, 12):
            use(ada, at(month, 5), calls=110)
        invoices = close(at(2, 2, 2, year=2027))
        assert [lines(i) for i in invoices] == [
            [("Base", "10.00")],
            [("Base", "10.00"), ("Calls", "10.00")],
            [("Base", "10.00"), ("Calls", "10.00")],
            [("Base", "10.00"), ("Calls", "0.00")],
        ]

    def test_a_run_beside_another_is_finished_with_it(self, ada: Subscription) -> None:
        beside = runs.start_run(as_of=at(11, 1), now=at(11, 1), actor=SYSTEM)
        close(at(11, 1))
        beside.refresh_from_db()
        assert beside.status == "finished"

    def test_the_future_is_refused(self) -> None:
        with pytest.raises(Invalid, match="not come yet"):
            runs.start_run(as_of=at(12, 2), now=at(12, 1), actor=SYSTEM)

    def test_one_customer_that_fails_is_parked_and_the_others_are_billed(
        self, ada: Subscription, plan: PlanVersion
    ) -> None:
        Issuer.objects.create(name="A second one")  # now somebody must say who sells
        sold_by = Issuer.objects.first()
        bob = make.subscription(make.customer("bob", issuer=sold_by), plan)
        [only] = close(at(11, 1))
        assert only.customer == bob.customer
        parked = BillingPeriod.objects.get(status="parked")
        assert (parked.subscription, "several issuers" in parked.trouble) == (ada, True)

        Customer.objects.filter(key="ada").update(issuer=sold_by)
        closing.retry_parked(period_id=parked.pk, actor=SYSTEM)
        assert len(close(at(11, 1))) == 2

    def test_a_later_run_tries_again_what_is_parked(
        self, ada: Subscription, plan: PlanVersion
    ) -> None:
        second = Issuer.objects.create(name="A second one")
        bob = make.subscription(make.customer("bob"), plan)
        assert close(at(11, 1)) == []
        Customer.objects.filter(key="ada").update(issuer=second)
        [only] = close(at(11, 1, 1))
        assert only.customer == ada.customer
        again = BillingPeriod.objects.get(status="parked")
        assert (again.subscription, again.run) == (bob, BillingRun.objects.latest("pk"))
        assert AuditEntry.objects.filter(action="unparked").count() == 2

    def test_a_run_leaves_parked_what_was_not_due_by_then(self, ada: Subscription) -> None:
        Issuer.objects.create(name="A second one")
        close(at(11, 1))
        runs.start_run(as_of=at(10, 31), now=at(11, 2), actor=SYSTEM)
        bob = make.customer("bob")
        runs.start_run(as_of=at(11, 2), now=at(11, 2), actor=SYSTEM, customer=bob)
        assert BillingPeriod.objects.get().status == "parked"

    def test_trying_again_costs_the_same_queries_however_many_are_parked(
        self, ada: Subscription, plan: PlanVersion
    ) -> None:
        Issuer.objects.create(name="A second one")
        close(at(11, 1))
        few = self.queries_of_a_start()
        for key in ("bob", "eve", "joe"):
            make.subscription(make.customer(key), plan)
        close(at(11, 1))
        assert BillingPeriod.objects.filter(status="parked").count() == 4
        assert self.queries_of_a_start() == few

    @staticmethod
    def queries_of_a_start() -> int:
        with CaptureQueriesContext(connection) as asked:
            runs.start_run(as_of=at(11, 1), now=at(11, 1), actor=SYSTEM)
        BillingPeriod.objects.update(status="parked", trouble="x")
        return len(asked)


@pytest.mark.parametrize("hour", [0, 1, 2])
@pytest.mark.parametrize("needs_opening", [False, True])
@pytest.mark.parametrize("status", ["open", "closed", "parked", "waived"])
def test_a_period_knows_as_the_database_does_whether_it_is_due(
    ada: Subscription, status: str, needs_opening: bool, hour: int
) -> None:
    close(at(11, 1))
    BillingPeriod.objects.update(
        status=status,
        needs_opening=needs_opening,
        closed_at=at(12, 1) if status in ("closed", "waived") else None,
        trouble="It failed." if status == "parked" else "",
    )
    period, moment = BillingPeriod.objects.get(), at(12, 1, hour)
    assert period.is_due(at=moment) == BillingPeriod.objects.due(at=moment).exists()


class TestLateUsageOfADraft:
    def test_a_draft_stays_until_it_is_recalculated(self, ada: Subscription) -> None:
        _, draft = close(at(12, 1, 1))
        use(ada, at(11, 30), calls=150)
        draft.refresh_from_db()
        assert draft.net_total == D(10)
        assert [s.quantity for s in issuing.usage_since(draft, at=at(12, 1, 2))] == [150]
        issuing.recalculate_invoices(invoice_ids=[draft.pk], at=at(12, 1, 2), actor=SYSTEM)
        draft.refresh_from_db()
        assert draft.net_total == D(60)
        assert [s.revision for s in UsageSnapshot.objects.order_by("revision")] == [1, 2]

    def test_auto_issue_takes_what_came_in_since(self, ada: Subscription) -> None:
        close(at(12, 1, 1))
        use(ada, at(11, 30), calls=150)
        november = close(at(12, 2, 1))[-1]
        assert (november.status, november.net_total) == ("issued", D(60))

    def test_what_was_closed_with_it_follows_an_older_draft_that_is_redrawn(
        self, ada: Subscription
    ) -> None:
        close(at(12, 1, 1))
        use(ada, at(11, 30), calls=150)
        *_, november, december = close(at(1, 2, 1, year=2027))
        assert (november.status, november.net_total) == ("issued", D(60))
        usage = december.lines.get(kind="usage")
        assert usage.explanation["trend"][0]["used"] == "150"

    def test_what_comes_after_issue_changes_nothing(self, ada: Subscription) -> None:
        november = close(at(12, 2, 1))[-1]
        use(ada, at(11, 30), calls=150)
        assert close(at(12, 3))[-1].net_total == november.net_total
        with pytest.raises(issuing.InvoiceNotDraft):
            issuing.recalculate_invoices(invoice_ids=[november.pk], at=at(12, 3), actor=SYSTEM)


class TestIssue:
    def test_numbers_are_gapless_and_rise_with_their_dates(self, ada: Subscription) -> None:
        invoices = close(at(2, 2, 2, year=2027))
        assert [i.number for i in invoices] == [f"INV-2027-{n:06}" for n in range(1, 5)]
        assert {i.issue_date for i in invoices} == {date(2027, 2, 2)}

    def test_each_year_counts_from_one(self, ada: Subscription) -> None:
        close(at(12, 2, 1))
        numbers = [i.number for i in close(at(1, 2, 1, year=2027))]
        assert numbers == ["INV-2026-000001", "INV-2026-000002", "INV-2027-000001"]

    def test_an_earlier_as_of_does_not_date_back(self, ada: Subscription) -> None:
        close(at(12, 10))
        [_, november] = close(at(12, 10))
        draft = make.subscription(make.customer("late"), ada.phases.get().plan_version)
        invoices = close(at(11, 2, 1), now=at(12, 10))
        late = next(i for i in invoices if i.customer == draft.customer)
        assert (late.status, late.issue_date) == ("issued", november.issue_date)
        assert late.number == "INV-2026-000003"

    def test_manual_approval_waits_for_a_person(self, plan: PlanVersion) -> None:
        make.subscription(make.customer("pat", manual_approval=True), plan)
        [opening] = close(at(11, 20))
        assert opening.status == "draft"
        issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 20), actor=SYSTEM)
        opening.refresh_from_db()
        assert (opening.number, opening.due_date) == ("INV-2026-000001", date(2026, 12, 20))

    def test_a_held_draft_is_not_issued_by_itself(self, ada: Subscription) -> None:
        [opening] = close(at(11, 1))
        issuing.hold_for_review(invoice_id=opening.pk, actor=SYSTEM)
        assert close(at(11, 5))[0].status == "review"
        issuing.return_to_draft(invoice_id=opening.pk, actor=SYSTEM)
        assert close(at(11, 5))[0].status == "issued"

    def test_issuing_twice_is_refused_and_numbers_none(self, ada: Subscription) -> None:
        [opening] = close(at(11, 3))
        with pytest.raises(issuing.InvoiceNotDraft, match="issued already"):
            issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 3), actor=SYSTEM)

    def test_every_issued_invoice_has_its_document_ordered(self, ada: Subscription) -> None:
        close(at(11, 3))
        assert Outbox.objects.filter(kind="invoice.render").count() == 1

    def test_parties_are_those_of_the_issue_not_of_the_draft(self, ada: Subscription) -> None:
        close(at(11, 1))
        Customer.objects.filter(key="ada").update(legal_name="Ada Ltd")
        close(at(11, 3))
        Customer.objects.filter(key="ada").update(legal_name="Ada GmbH")
        assert Invoice.objects.get().buyer["legal_name"] == "Ada Ltd"


class TestTaxOfADraft:
    """What is printed of the buyer and how it is taxed belong together (R21, R28)."""

    @pytest.fixture(autouse=True)
    def seller(self) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))

    def test_a_draft_of_another_tax_is_refused_until_recalculated(self, ada: Subscription) -> None:
        [opening] = close(at(11, 1))
        Customer.objects.filter(key="ada").update(tax_status="reverse_charge")
        with pytest.raises(issuing.DraftOutdated, match="recalculate it first"):
            issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 1), actor=SYSTEM)
        issuing.recalculate_invoices(invoice_ids=[opening.pk], at=at(11, 1), actor=SYSTEM)
        with pytest.raises(issuing.VatIdMissing, match="a valid VAT ID of Ada: enter it"):
            issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 1), actor=SYSTEM)
        Customer.objects.filter(key="ada").update(vat_id="FR40303265045")
        with pytest.raises(issuing.VatIdMissing, match="VAT ID of Your company: enter it"):
            issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 1), actor=SYSTEM)
        Issuer.objects.update(vat_id="DE136695976")
        [issued] = issuing.issue_invoices(invoice_ids=[opening.pk], as_of=at(11, 1), actor=SYSTEM)
        assert (issued.tax_total, issued.taxes.get().category) == (D(0), "AE")

    def test_auto_issue_redraws_it(self, ada: Subscription) -> None:
        close(at(11, 1))
        Customer.objects.filter(key="ada").update(tax_status="exempt")
        [opening] = close(at(11, 2, 1))
        assert (opening.status, opening.total) == ("issued", D(10))


class TestUndo:
    def test_a_discarded_draft_is_billed_anew(self, ada: Subscription) -> None:
        [opening] = close(at(11, 1))
        issuing.discard_invoice(
            invoice_id=opening.pk, reason="wrong price", reopen=True, at=at(11, 1), actor=SYSTEM
        )
        discarded, again = close(at(11, 1))
        assert (discarded.status, again.status) == ("discarded", "draft")
        assert lines(again) == [("Base", "10.00")]

    def test_a_waived_period_is_not_billed_again(self, ada: Subscription) -> None:
        _, november = close(at(12, 1, 1))
        issuing.discard_invoice(
            invoice_id=november.pk, reason="goodwill", reopen=False, at=at(12, 1, 2), actor=SYSTEM
        )
        assert len(close(at(12, 20))) == 2
        assert BillingPeriod.objects.filter(status="waived").count() == 1
        entry = AuditEntry.objects.get(action="discarded and waived")
        assert (entry.note, entry.changes["total"][0]) == ("goodwill", "10.0000")

    def test_a_void_invoice_keeps_its_number_and_is_billed_anew(self, ada: Subscription) -> None:
        _, november = close(at(12, 2, 1))
        issuing.void_invoice(
            invoice_id=november.pk, reason="wrong buyer", reopen=True, at=at(12, 3), actor=SYSTEM
        )
        _, void, again = close(at(12, 4))
        assert (void.status, void.number) == ("void", "INV-2026-000002")
        assert (again.status, again.number) == ("issued", "INV-2026-000003")
        assert PeriodCharge.objects.filter(is_live=True).count() == 2

    def test_the_first_fee_is_billed_anew_also_when_its_period_is_closed(self) -> None:
        weekly = make.published(make.flat("base", "10"), interval="week")
        make.subscription(make.customer("wim"), weekly)
        opening = close(at(11, 10))[0]
        issuing.void_invoice(
            invoice_id=opening.pk, reason="wrong buyer", reopen=True, at=at(11, 10), actor=SYSTEM
        )
        again = close(at(11, 10, 1))[-1]
        assert again.charges.get().purpose == "opening"
        assert again.lines.get().service_start == date(2026, 11, 1)

    def test_a_reason_is_needed(self, ada: Subscription) -> None:
        [opening] = close(at(11, 1))
        with pytest.raises(Invalid, match="Say why"):
            issuing.discard_invoice(
                invoice_id=opening.pk, reason=" ", reopen=True, at=at(11, 1), actor=SYSTEM
            )

    def test_after_the_month_only_a_credit_note_corrects(self, ada: Subscription) -> None:
        [opening] = close(at(11, 3))
        with pytest.raises(issuing.TaxPeriodOver, match="credit note"):
            issuing.void_invoice(
                invoice_id=opening.pk, reason="x", reopen=True, at=at(12, 1), actor=SYSTEM
            )

    def test_an_issued_invoice_is_not_discarded(self, ada: Subscription) -> None:
        [opening] = close(at(11, 3))
        with pytest.raises(issuing.InvoiceNotDraft):
            issuing.discard_invoice(
                invoice_id=opening.pk, reason="x", reopen=True, at=at(11, 3), actor=SYSTEM
            )


class TestUpcoming:
    def test_it_is_what_the_close_will_write(self, ada: Subscription) -> None:
        close(at(11, 1))
        use(ada, at(11, 5), calls=142)
        ada = Subscription.objects.with_terms().get(pk=ada.pk)
        invoice, composed = upcoming_invoice(subscription=ada, at=at(11, 20))
        assert [(line.description, line.net) for line in composed.lines] == [
            ("Base", D(10)),
            ("Calls", D(42)),
        ]
        assert Invoice.objects.count() == 1
        november = close(at(12, 1, 1))[-1]
        assert (november.net_total, november.total) == (invoice.net_total, invoice.total)

    def test_there_is_none_before_the_start(self, ada: Subscription) -> None:
        ada = Subscription.objects.with_terms().get(pk=ada.pk)
        with pytest.raises(NothingUpcoming):
            upcoming_invoice(subscription=ada, at=at(10, 20))


@pytest.mark.parametrize("customers", [3, 30])
def test_a_chunk_costs_the_same_queries_whatever_its_size(
    customers: int, plan: PlanVersion, django_assert_max_num_queries: object
) -> None:
    for number in range(customers):
        make.subscription(make.customer(f"c{number}"), plan)
    close(at(11, 1))
    ids = list(Subscription.objects.values_list("pk", flat=True))
    with django_assert_max_num_queries(45):  # type: ignore[operator]
        closing.close_subscriptions(subscription_ids=ids, as_of=at(12, 1, 1))
    assert Invoice.objects.count() == 2 * customers


@pytest.mark.parametrize("customers", [3, FEW + 10])
def test_closing_and_issuing_a_chunk_at_once_costs_the_same_queries_whatever_its_size(
    customers: int, plan: PlanVersion, django_assert_max_num_queries: Any
) -> None:
    for number in range(customers):
        make.subscription(make.customer(f"c{number}"), plan)
    close(at(11, 2, 1))
    ids = list(Subscription.objects.values_list("pk", flat=True))
    moment = at(12, 2, 1)
    run = runs.start_run(as_of=moment, now=moment, actor=SYSTEM)
    with django_assert_max_num_queries(72):
        runs.close_chunk(run_id=run.pk, subscription_ids=ids, now=moment)
    issued = Invoice.objects.filter(status="issued")
    assert [*issued.values_list("open_item__open", flat=True)] == [D(10)] * 2 * customers


def test_of_a_chunk_with_one_that_fails_the_others_are_closed_by_halves(
    ada: Subscription, plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold_by = Issuer.objects.get()
    others = [make.customer(f"c{number}", issuer=sold_by) for number in range(7)]
    ids = [
        ada.pk,
        *(make.subscription(one, plan, starts_on=date(2026, 11, 1)).pk for one in others),
    ]
    Issuer.objects.create(name="A second one")  # now somebody must say who sells to ada
    sizes, advance = [], closing._advance

    def told(subscription_ids: Sequence[int], **rest: Any) -> closing.Closed | None:
        step = advance(subscription_ids, **rest)
        sizes.append(len(subscription_ids))
        return step

    monkeypatch.setattr(closing, "_advance", told)
    closing.close_subscriptions(subscription_ids=ids, as_of=at(11, 1))
    assert Invoice.objects.count() == 7
    assert sorted({*sizes}) == [1, 2, 4]
    assert BillingPeriod.objects.get(status="parked").subscription == ada


def test_a_chunk_issues_what_is_due_of_it_and_leaves_the_rest_to_others(
    ada: Subscription, plan: PlanVersion
) -> None:
    bob = make.subscription(make.customer("bob"), plan, key="bob", starts_on=date(2026, 11, 1))
    moment = at(12, 2, 1)
    run = runs.start_run(as_of=moment, now=moment, actor=SYSTEM)
    run = runs.close_chunk(run_id=run.pk, subscription_ids=[ada.pk], now=moment)
    assert (run.status, run.invoices_issued) == ("running", 2)
    numbers = Invoice.objects.order_by("sequence").values_list("number", "customer__key")
    assert list(numbers.all()) == [("INV-2026-000001", "ada"), ("INV-2026-000002", "ada")]
    run = runs.close_chunk(run_id=run.pk, subscription_ids=[bob.pk], now=moment)
    assert (run.status, run.invoices_issued) == ("finished", 4)
    assert list(numbers.all())[2:] == [("INV-2026-000003", "bob"), ("INV-2026-000004", "bob")]
