"""Add-ons on invoices: sold, billed exactly once, given back, withdrawn (R16, R22a, R32a, R33)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.add_ons import status_of
from billing.models import BillWhen, Invoice, InvoiceLine, SoldAddOn
from billing.services.add_ons import AddOnBilled, AddOnWithdrawn, withdraw_add_on
from billing.services.issuing import (
    discard_invoice,
    issue_invoices,
    recalculate_invoices,
    redrawing,
    void_invoice,
)
from billing.services.upcoming import running_periods
from catalog.add_ons import AddOnArchived, archive_add_on
from config.base.audit import SYSTEM
from config.base.errors import Invalid, KeyTaken
from config.base.invariants import audit
from config.base.models import AuditEntry
from customers.models import Issuer, Subscription
from customers.services import end_subscription
from tests import factories as make
from tests.billing.months import close, lines, use

pytestmark = pytest.mark.django_db

NOV, DEC, JAN = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _what_is_billed_holds() -> Any:
    """After every story, each sale is billed once."""
    yield
    found = list(audit(at=at(1, 1), names=["add_ons_billed_once", "add_ons_charged_as_sold"]))
    assert len(found) == 2
    assert not [row for result in found for row in result.findings]


def subscribed(*, approved: bool = False, **terms: Any) -> Subscription:
    """To a fee of 100 in advance, from November; `approved` by a person."""
    buyer = make.customer(manual_approval=approved)
    version = make.published(make.flat(amount="100"), **terms)
    return make.subscription(buyer, version, starts_on=NOV)


def sell(subscription: Subscription, name: str = "Setup", **terms: Any) -> SoldAddOn:
    return make.sold_add_on(subscription, make.add_on(name=name, unit_amount=D(500)), **terms)


def at_once(subscription: Subscription, name: str = "Setup", **terms: Any) -> SoldAddOn:
    return sell(subscription, name, **{"bill": BillWhen.AT_ONCE, "at": at(11, 10), **terms})


def end(subscription: Subscription, ends_on: date) -> None:
    end_subscription(subscription_id=subscription.pk, ends_on=ends_on, today=NOV, actor=SYSTEM)


def billed() -> list[list[str]]:
    """Give what each live invoice charges, in order of making."""
    live = Invoice.objects.exclude(status__in=["void", "discarded"]).order_by("pk")
    return [[line.description for line in invoice.lines.all()] for invoice in live]


def became(sold: SoldAddOn) -> str:
    return status_of(SoldAddOn.objects.select_related("invoice").get(pk=sold.pk)).value


class TestOnTheNextInvoice:
    def test_the_one_drawn_next_charges_it_and_no_later_one(self) -> None:
        subscription = subscribed()
        close(at(11, 2))
        sold = sell(subscription, quantity=D(2))
        for _ in range(2):
            close(at(12, 1))
        close(at(1, 2, year=2027))
        assert billed() == [["Base"], ["Base", "Setup"], ["Base"]]
        assert became(sold) == "billed"
        line = InvoiceLine.objects.get(kind="add_on")
        assert (line.net, line.quantity, line.explanation["exact"]) == (D(1000), D(2), "1000")
        assert (line.service_start, line.service_end) == (NOV, date(2026, 11, 2))

    def test_before_service_begins_the_first_invoice_charges_it(self) -> None:
        sell(subscribed())
        [opening] = close(at(11, 2))
        assert lines(opening) == [("Base", "100.00"), ("Setup", "500.00")]
        assert opening.total == D(600)

    def test_a_trial_bills_nothing_so_it_waits_for_what_follows(self) -> None:
        sold = sell(subscribed(trial_days=14))
        close(at(11, 14))
        assert (billed(), became(sold)) == ([], "waiting")
        close(at(11, 16))
        assert billed() == [["Base", "Setup"]]

    def test_of_two_drafts_of_one_close_one_charges_it(self) -> None:
        """The opening comes again while the period after it is due."""
        subscription = subscribed()
        [opening] = close(at(11, 3))
        void_invoice(invoice_id=opening.pk, reason="x", reopen=True, at=at(11, 3), actor=SYSTEM)
        sell(subscription)
        close(at(12, 2))
        assert sorted(billed()) == [["Base"], ["Base", "Setup"]]

    def test_without_a_fee_in_advance_the_first_day_of_service_charges_it(self) -> None:
        calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls")
        subscription = make.subscription(version=make.published(calls), starts_on=NOV)
        sell(subscription)
        close(at(12, 2))
        assert billed() == [["Setup"], ["Calls"]]

    def test_the_upcoming_invoice_shows_it_and_claims_nothing(self) -> None:
        subscription = subscribed()
        close(at(11, 2))
        sold = sell(subscription)
        terms = Subscription.objects.with_terms()
        [running] = running_periods(subscriptions=list(terms), at=at(11, 20))
        assert [line.description for line in running.composed.lines] == ["Base", "Setup"]
        assert running.composed.totals.net == D(600)
        assert became(sold) == "waiting"


class TestAtOnce:
    def test_it_is_drafted_now_and_issued_by_the_next_run(self) -> None:
        subscription = subscribed()
        close(at(11, 2))
        sold = at_once(subscription)
        assert (became(sold), billed()) == ("drafted", [["Base"], ["Setup"]])
        invoice = Invoice.objects.get(sold_add_ons=sold)
        assert (invoice.total, invoice.auto_issue_at) == (D(500), at(11, 10))
        close(at(11, 10))
        assert became(sold) == "billed"
        close(at(12, 1))
        assert billed() == [["Base"], ["Setup"], ["Base"]]

    def test_each_has_an_invoice_of_its_own_and_a_person_issues_where_one_must(self) -> None:
        subscription = subscribed(approved=True)
        for name in ("Setup", "Training"):
            at_once(subscription, name)
        assert billed() == [["Setup"], ["Training"]]
        assert {invoice.auto_issue_at for invoice in Invoice.objects.all()} == {None}

    def test_redrawn_it_charges_the_same_and_follows_its_parties(self) -> None:
        sold = at_once(subscribed(approved=True))
        invoice = Invoice.objects.get()
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        [(_, composed)] = redrawing([invoice], at=at(11, 11))
        assert composed.totals.total == D(595)
        for _ in range(2):
            recalculate_invoices(invoice_ids=[invoice.pk], at=at(11, 11), actor=SYSTEM)
        invoice.refresh_from_db()
        assert (invoice.total, billed(), became(sold)) == (D(595), [["Setup"]], "drafted")


class TestAfterTheEnd:
    def test_what_no_period_will_carry_has_an_invoice_of_its_own(self) -> None:
        subscription = subscribed()
        end(subscription, DEC)
        close(at(12, 2))
        sold = [sell(subscription, name, at=at(12, 5)) for name in ("Data export", "Archive")]
        close(at(12, 5))
        assert billed() == [["Base"], ["Data export", "Archive"]]
        assert {became(one) for one in sold} == {"billed"}
        close(at(12, 6))
        assert len(billed()) == 2

    def test_the_last_period_still_carries_it(self) -> None:
        subscription = subscribed()
        end(subscription, DEC)
        close(at(11, 2))
        sell(subscription)
        close(at(11, 20))
        assert billed() == [["Base"]]
        close(at(12, 2))
        assert billed() == [["Base"], ["Setup"]]

    def test_gone_with_its_trial_it_is_billed_all_the_same(self) -> None:
        subscription = subscribed(trial_days=14)
        sell(subscription)
        end(subscription, date(2026, 11, 15))
        for _ in range(2):
            close(at(11, 16))
        assert billed() == [["Setup"]]


class TestUndone:
    def drafted(self, **terms: Any) -> tuple[SoldAddOn, Invoice]:
        subscription = subscribed(approved=True)
        close(at(11, 2))
        sold = sell(subscription, **terms)
        return sold, close(at(12, 1))[-1]

    def test_redrawn_the_draft_keeps_it_and_takes_no_other(self) -> None:
        sold, draft = self.drafted()
        later = sell(sold.subscription, "Training")
        for _ in range(2):
            recalculate_invoices(invoice_ids=[draft.pk], at=at(12, 1), actor=SYSTEM)
        assert billed() == [["Base"], ["Base", "Setup"]]
        close(at(1, 2, year=2027))
        assert billed()[-1] == ["Base", "Training"]
        assert became(later) == "drafted"

    def test_discarded_to_be_billed_anew_it_is_billed_anew_once(self) -> None:
        sold, draft = self.drafted()
        discard_invoice(invoice_id=draft.pk, reason="x", reopen=True, at=at(12, 1), actor=SYSTEM)
        assert became(sold) == "waiting"
        for _ in range(2):
            close(at(12, 1))
        assert billed() == [["Base"], ["Base", "Setup"]]

    def test_waived_it_is_never_billed(self) -> None:
        sold, draft = self.drafted()
        discard_invoice(invoice_id=draft.pk, reason="x", reopen=False, at=at(12, 1), actor=SYSTEM)
        close(at(1, 2, year=2027))
        assert became(sold) == "waived"
        assert billed() == [["Base"], ["Base"]]
        with pytest.raises(AddOnWithdrawn):
            withdraw_add_on(sold_id=sold.pk, reason="x", at=at(1, 2), actor=SYSTEM)

    def test_void_it_is_billed_anew_once(self) -> None:
        sold, draft = self.drafted()
        issue_invoices(invoice_ids=[draft.pk], as_of=at(12, 1), actor=SYSTEM)
        assert became(sold) == "billed"
        void_invoice(invoice_id=draft.pk, reason="x", reopen=True, at=at(12, 2), actor=SYSTEM)
        for _ in range(2):
            close(at(12, 2))
        assert billed() == [["Base"], ["Base", "Setup"]]

    @pytest.mark.parametrize("reopen", [True, False])
    def test_an_invoice_of_its_own_too(self, reopen: bool) -> None:
        sold = at_once(subscribed(approved=True))
        [draft] = Invoice.objects.all()
        discard_invoice(invoice_id=draft.pk, reason="x", reopen=reopen, at=at(11, 10), actor=SYSTEM)
        for _ in range(2):
            close(at(11, 10))
        assert became(sold) == ("drafted" if reopen else "waived")
        assert [one for one in billed() if one != ["Base"]] == [["Setup"]] * reopen


class TestWithdrawn:
    def withdraw(self, sold: SoldAddOn, reason: str = "Sold twice") -> None:
        withdraw_add_on(sold_id=sold.pk, reason=reason, at=at(12, 1), actor=SYSTEM)

    def test_waiting_it_is_never_billed(self) -> None:
        sold = sell(subscribed())
        self.withdraw(sold)
        close(at(11, 2))
        assert (billed(), became(sold)) == ([["Base"]], "withdrawn")
        entry = AuditEntry.objects.get(subject_type="billing.soldaddon", action="changed")
        assert entry.changes["withdrawn_because"] == ["", "Sold twice"]

    def test_its_draft_is_redrawn_without_it(self) -> None:
        subscription = subscribed(approved=True)
        one, other = sell(subscription), sell(subscription, "Training")
        close(at(11, 2))
        self.withdraw(one)
        assert billed() == [["Base", "Training"]]
        assert Invoice.objects.get().total == D(600)
        assert (became(one), became(other)) == ("withdrawn", "drafted")

    def test_a_draft_over_nothing_else_is_discarded(self) -> None:
        sold = at_once(subscribed(approved=True))
        self.withdraw(sold)
        invoice = Invoice.objects.get()
        assert (invoice.status, billed()) == ("discarded", [])
        assert invoice.reason == "“Setup”, all that it charged, was withdrawn."

    def test_an_opening_over_nothing_else_is_not_drawn_again(self) -> None:
        calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls")
        buyer = make.customer(manual_approval=True)
        sold = sell(make.subscription(buyer, make.published(calls), starts_on=NOV))
        [draft] = close(at(11, 2))
        assert billed() == [["Setup"]]
        self.withdraw(sold)
        close(at(11, 3))
        assert billed() == []
        charge = draft.charges.get()
        assert (charge.is_live, charge.period.status, charge.period.needs_opening) == (
            False,
            "open",
            False,
        )

    def test_issued_it_is_refused(self) -> None:
        sold = sell(subscribed())
        close(at(11, 3))
        with pytest.raises(AddOnBilled, match="is billed by INV-2026-000001: void that"):
            self.withdraw(sold)

    def test_twice_or_without_a_reason_it_is_refused(self) -> None:
        sold = sell(subscribed())
        with pytest.raises(Invalid, match="Say why"):
            self.withdraw(sold, reason=" \n")
        self.withdraw(sold)
        with pytest.raises(AddOnWithdrawn):
            self.withdraw(sold)


class TestAmongTheOthers:
    def test_neither_coupons_nor_commitment_look_at_it(self) -> None:
        subscription = subscribed(minimum_commitment=D(150))
        close(at(11, 2))
        sell(subscription)
        make.applied_coupon(subscription, make.coupon(percent=50), starts_on=DEC)
        november = close(at(12, 1))[-1]
        assert lines(november) == [
            ("Base", "100.00"),
            ("Minimum commitment", "50.00"),
            ("Setup", "500.00"),
        ]
        assert (november.allowances.get().amount, november.net_total) == (D(50), D(600))

    def test_the_commitment_is_not_met_by_one_on_the_invoice_before(self) -> None:
        sell(subscribed(minimum_commitment=D(150)))
        [_, november] = close(at(12, 1))
        assert lines(november)[1] == ("Minimum commitment", "50.00")

    def test_alone_it_uses_no_coupon(self) -> None:
        subscription = subscribed()
        make.applied_coupon(subscription, make.coupon(percent=50, duration="forever"))
        at_once(subscription)
        assert Invoice.objects.get().total == D(500)

    def test_it_is_taxed_with_the_rest(self) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        subscription = subscribed()
        make.sold_add_on(subscription, make.add_on(unit_amount=D("33.33")), quantity=D("0.5"))
        [opening] = close(at(11, 2))
        assert (opening.net_total, opening.tax_total) == (D("116.67"), D("22.17"))

    def test_usage_of_the_invoice_is_as_before(self) -> None:
        calls = make.graduated(
            make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(5)
        )
        subscription = make.subscription(version=make.published(calls), starts_on=NOV)
        use(subscription, at(11, 5), calls=8)
        close(at(11, 6))
        sell(subscription)
        [november] = close(at(12, 1))
        assert lines(november) == [("Calls", "3.00"), ("Setup", "500.00")]


class TestSelling:
    def faults(self, subscription: Subscription, **terms: Any) -> set[tuple[str, str]]:
        with pytest.raises(Invalid) as refusal:
            sell(subscription, **terms)
        assert not SoldAddOn.objects.exists()
        return {(str(fault.path[0]), fault.code) for fault in refusal.value.faults}

    @pytest.mark.parametrize(
        ("terms", "expected"),
        [
            pytest.param({"quantity": D(0)}, {("quantity", "out_of_range")}, id="none of it"),
            pytest.param({"quantity": D(-1)}, {("quantity", "out_of_range")}, id="less than none"),
            pytest.param(
                {"quantity": D(10) ** 10}, {("quantity", "out_of_range")}, id="absurdly many"
            ),
            pytest.param(
                {"unit_amount": D("-0.01")}, {("unit_amount", "out_of_range")}, id="a gift"
            ),
            pytest.param(
                {"unit_amount": D("0.001")},
                {("unit_amount", "too_precise")},
                id="a tenth of a cent",
            ),
            pytest.param(
                {"service_start": DEC, "service_end": DEC},
                {("service_end", "out_of_range")},
                id="it ends as it begins",
            ),
        ],
    )
    def test_what_is_at_fault_is_named(
        self, terms: dict[str, Any], expected: set[tuple[str, str]]
    ) -> None:
        assert self.faults(subscribed(), **terms) == expected

    def test_another_currency_is_refused(self) -> None:
        with pytest.raises(Invalid, match="priced in USD, and it is billed in EUR"):
            make.sold_add_on(subscribed(), make.add_on(currency="USD"))

    def test_archived_it_is_sold_to_nobody_and_billed_to_who_has_it(self) -> None:
        subscription, add_on = subscribed(), make.add_on(name="Setup")
        make.sold_add_on(subscription, add_on)
        archive_add_on(add_on_id=add_on.pk, actor=SYSTEM)
        with pytest.raises(AddOnArchived):
            make.sold_add_on(subscription, add_on)
        close(at(11, 2))
        assert billed() == [["Base", "Setup"]]

    def test_under_one_key_it_is_sold_once(self) -> None:
        subscription = subscribed()
        sell(subscription, key="k")
        with pytest.raises(KeyTaken):
            sell(subscription, "Other", key="k")
        close(at(11, 2))
        assert billed() == [["Base", "Setup"]]

    def test_free_is_an_amount_too(self) -> None:
        subscription = subscribed()
        sold = sell(subscription, unit_amount=D(0))
        [opening] = close(at(11, 2))
        assert lines(opening)[1] == ("Setup", "0.00")
        assert became(sold) == "billed"

    def test_the_day_is_the_customers(self) -> None:
        buyer = make.customer(time_zone="Asia/Tokyo")
        subscription = make.subscription(buyer, starts_on=NOV)
        sold = sell(subscription, at=datetime(2026, 11, 9, 20, tzinfo=UTC))
        assert (sold.service_start, sold.service_end) == (date(2026, 11, 10), date(2026, 11, 11))


@pytest.mark.parametrize("count", [1, 5])
def test_a_close_costs_the_same_whatever_was_sold(count: int) -> None:
    def queries(subscriptions: int, sold: int) -> int:
        for _ in range(subscriptions):
            one = subscribed()
            for _ in range(sold):
                sell(one)
        with CaptureQueriesContext(connection) as asked:
            running_periods(subscriptions=list(Subscription.objects.with_terms()), at=at(11, 3))
        return len(asked)

    assert queries(1, 0) == queries(count, count)


@pytest.mark.unaudited
def test_the_audit_finds_what_was_lost_and_what_is_there_twice() -> None:
    subscription = subscribed(approved=True)
    sold = sell(subscription, key="k")
    close(at(11, 2))
    line = InvoiceLine.objects.get(kind="add_on")

    def found(name: str) -> list[tuple[str, str, str]]:
        [result] = audit(at=at(12, 1), names=[name])
        return [(row.id, row.expected, row.actual) for row in result.findings]

    InvoiceLine.objects.filter(pk=line.pk).update(net=D(1))
    assert found("add_ons_charged_as_sold") == [("sale k", "500.00", "1.0000")]
    InvoiceLine.objects.filter(pk=line.pk).delete()
    assert found("add_ons_billed_once") == [("sale k", "one line, on its draft", "none")]
    SoldAddOn.objects.filter(pk=sold.pk).update(invoice=None)
    close(at(12, 1))
    drafted = InvoiceLine.objects.get(kind="add_on")
    SoldAddOn.objects.filter(pk=sold.pk).update(invoice=None)
    assert found("add_ons_billed_once") == [("sale k", "none", "one line")]
    SoldAddOn.objects.filter(pk=sold.pk).update(invoice=drafted.invoice)
    assert found("add_ons_billed_once") == []
