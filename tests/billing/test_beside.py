"""No invoice below zero: what leaves it is credited of the invoices that billed it (R32a)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from billing.beside import beside
from billing.credit_documents import view_of
from billing.models import (
    CreditNote,
    CreditNoteLine,
    DocumentSequence,
    Invoice,
    InvoiceLine,
    OpenItem,
    Payment,
)
from billing.services import issuing, life
from billing.services.lateness import settle_late_usage
from billing.services.life import When
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from metering.events import event_key
from metering.services.adjustments import void_events
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, contradictions, left, lines, use
from tests.killing import killed_before
from tests.staff import leo, said

pytestmark = pytest.mark.django_db
D = Decimal


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def plan() -> PlanVersion:
    """100 a month in advance, and 1 a call above 300 included."""
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(300))
    return make.published(make.flat("base", "100"), calls)


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """From 1 April; its first fee is issued."""
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
    one = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


def issue(moment: datetime) -> list[Invoice]:
    open_ = Invoice.objects.filter(status__in=["draft", "review"]).order_by("pk")
    ids = list(open_.values_list("pk", flat=True))
    return issuing.issue_invoices(invoice_ids=ids, as_of=moment, actor=SYSTEM)


def cancelled(ada: Subscription) -> Invoice:
    """Cancel at once on 20 April: ten of thirty days were paid for nothing; return the last draft."""
    life.cancel(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 20), actor=SYSTEM)
    return close(at(4, 21, 1))[-1]


def uses(note: CreditNote) -> tuple[str, str, str]:
    """What is taken off what was open, what becomes balance, and what is paid back."""
    return tuple(f"{part:.2f}" for part in (note.off_open, note.to_balance, note.refunded))  # type: ignore[return-value]


class TestWhatLeaves:
    def test_nothing_while_the_invoice_bears_it(self, ada: Subscription) -> None:
        use(ada, at(4, 5), calls=242)  # 200 of 300 are included in 20 of 30 days
        last = cancelled(ada)
        assert (lines(last), left(last)) == ([("Calls", "42.00"), ("Base", "-33.33")], [])
        assert last.credited_beside == 0

    def test_all_credits_where_it_would_be_below_zero(self, ada: Subscription) -> None:
        use(ada, at(4, 5), calls=233)
        last = cancelled(ada)
        assert (lines(last), left(last)) == ([("Calls", "33.00")], [("Base", "-33.33")])
        assert (last.net_total, last.total, last.credited_beside) == (33, D("39.27"), D("33.33"))

    def test_the_last_cent_of_room_is_room(self, ada: Subscription) -> None:
        use(ada, at(4, 5), calls=233)
        use(ada, at(4, 6), calls=1)
        last = cancelled(ada)
        assert (lines(last), last.total) == ([("Calls", "34.00"), ("Base", "-33.33")], D("0.80"))

    def test_drawn_anew_with_more_usage_they_come_back(self, ada: Subscription) -> None:
        last = cancelled(ada)
        assert left(last) == [("Base", "-33.33")]
        use(ada, at(4, 5), received_at=at(4, 21, 2), calls=300)
        issuing.recalculate_invoices(invoice_ids=[last.pk], at=at(4, 21, 3), actor=SYSTEM)
        last = Invoice.objects.get(pk=last.pk)
        assert (lines(last), left(last)) == ([("Calls", "100.00"), ("Base", "-33.33")], [])
        assert last.credited_beside == 0


class TestAtIssue:
    def test_a_credit_note_takes_off_what_is_open(self, ada: Subscription) -> None:
        use(ada, at(4, 5), calls=210)
        cancelled(ada)
        [last] = issue(at(4, 22))
        [note] = CreditNote.objects.all()
        assert (str(last), str(note)) == ("INV-2026-000002", "CN-2026-000001")
        assert (note.invoice.number, note.issued_with) == ("INV-2026-000001", last)
        assert (note.net_total, note.tax_total) == (D("33.33"), D("6.33"))
        assert uses(note) == ("39.66", "0.00", "0.00")
        assert note.reason == "Fees that were paid in advance for days without service."
        assert note.lines.get().settles == InvoiceLine.every.get(leaves=True)
        assert view_of(note, locale="en-GB").lines[0].notes == (
            "Unused: 100.00 × 10/30, 21–30 Apr 2026.",
            "Billed on the invoice: 100.00.",
        )
        assert (last.total, last.open_item.paid) == (D("11.90"), 0)
        assert contradictions(at(4, 22)) == []

    def test_what_was_paid_pays_the_invoice_it_is_issued_with(self, ada: Subscription) -> None:
        opening = Invoice.objects.get()
        make.payment(ada.customer, "119", portions={opening: "119"}, at=at(4, 2))
        use(ada, at(4, 5), calls=210)
        cancelled(ada)
        [last] = issue(at(4, 22))
        assert uses(CreditNote.objects.get()) == ("0.00", "39.66", "0.00")
        assert (last.open_item.paid, last.open_item.open) == (D("11.90"), 0)
        assert Payment.objects.get().available == D("27.76")
        assert contradictions(at(4, 22)) == []

    def test_or_is_paid_back_where_the_issuer_says_so(self, ada: Subscription) -> None:
        Issuer.objects.update(refunds_credits=True)
        opening = Invoice.objects.get()
        make.payment(ada.customer, "119", portions={opening: "119"}, at=at(4, 2))
        use(ada, at(4, 5), calls=210)
        cancelled(ada)
        [last] = issue(at(4, 22))
        assert uses(CreditNote.objects.get()) == ("0.00", "0.00", "39.66")
        assert (last.open_item.open, Payment.objects.get().available) == (D("11.90"), 0)
        assert contradictions(at(4, 22)) == []

    def test_over_nothing_else_there_is_no_empty_invoice(self) -> None:
        version = make.published(make.flat("base", "100"))
        eve = make.subscription(version=version, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        issue(at(4, 1))
        last = cancelled(eve)
        assert (lines(last), left(last)) == ([], [("Base", "-33.33")])
        [settled] = issue(at(4, 22))
        assert (settled.status, settled.number, settled.issue_date) == ("settled", None, None)
        assert DocumentSequence.objects.get(kind="INV").next_number == 2
        assert CreditNote.objects.get().issued_with == settled
        assert not OpenItem.objects.filter(pk=settled.pk).exists()
        assert close(at(5, 2))[-1] == settled
        assert contradictions(at(5, 2)) == []

    def test_corrected_usage_comes_off_each_invoice_that_billed_it(self, plan: PlanVersion) -> None:
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 4, 1))
        use(ida, at(4, 10), calls=450, id="first")
        close(at(5, 2, 1))
        use(ida, at(4, 11), calls=50, received_at=at(5, 5))
        close(at(6, 2, 1))
        voids("first", at(6, 5))
        last = close(at(7, 2, 1))[-1]
        assert (lines(last)[0], left(last)) == (("Base", "100.00"), [("Calls", "-200.00")])
        told = CreditNote.objects.order_by("pk").values_list("invoice__number", "total")
        assert list(told) == [("INV-2026-000002", D(150)), ("INV-2026-000003", D(50))]
        assert {note.reason for note in CreditNote.objects.all()} == {
            "Usage that was corrected after it was billed."
        }
        assert settle_late_usage(as_of=at(7, 3)) == []
        assert left(close(at(8, 2, 1))[-1]) == []
        assert contradictions(at(8, 2, 1)) == []

    def test_usage_that_comes_back_is_charged_anew(self, plan: PlanVersion) -> None:
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 4, 1))
        use(ida, at(4, 10), calls=450, id="first")
        close(at(5, 2, 1))
        voids("first", at(5, 5))
        close(at(6, 2, 1))
        use(ida, at(4, 10), calls=450, received_at=at(6, 5))
        assert ("Calls", "150.00") in lines(close(at(7, 2, 1))[-1])

    def test_where_prices_include_tax_the_price_is_split(self) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        version = make.published(make.flat("base", "119"), prices_include_tax=True)
        eve = make.subscription(version=version, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        issue(at(4, 1))
        last = cancelled(eve)
        [line] = InvoiceLine.every.filter(leaves=True)
        assert (line.gross, line.net) == (D("-39.67"), D("-33.34"))
        assert last.credited_beside == D("33.34")
        issue(at(4, 22))
        [note] = CreditNote.objects.all()
        assert (note.net_total, note.tax_total, note.total) == (D("33.34"), D("6.33"), D("39.67"))
        assert contradictions(at(4, 22)) == []

    def test_killed_at_any_step_it_is_issued_once(self, ada: Subscription) -> None:
        opening = Invoice.objects.get()
        make.payment(ada.customer, "119", portions={opening: "119"}, at=at(4, 2))
        use(ada, at(4, 5), calls=210)
        cancelled(ada)
        step = 1
        while not issued_until(step, at(4, 22)):
            assert not CreditNote.objects.exists()
            assert Invoice.objects.filter(status="issued").count() == 1
            step += 1
        assert step > 20
        assert (CreditNote.objects.count(), CreditNoteLine.objects.count()) == (1, 1)
        assert contradictions(at(4, 22)) == []


class TestWhatCanNotBeCredited:
    def test_a_fee_that_a_person_credited_is_not_credited_again(self, ada: Subscription) -> None:
        credit(Invoice.objects.get(), "base 90", at=at(4, 10))
        last = cancelled(ada)
        assert left(last) == []

    @pytest.mark.parametrize(
        ("by_hand", "left_of_it"),
        [("0.01", "39.66"), ("0.02", "39.65"), ("11.90", "27.77"), ("39.66", "0.01")],
    )
    def test_where_prices_include_tax_what_a_person_credited_counts_with_it(
        self, by_hand: str, left_of_it: str
    ) -> None:
        """10 of 30 days of 119.00 are unused: 39.67, whose net alone would leave more to credit."""
        Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
        version = make.published(make.flat("base", "119"), prices_include_tax=True)
        eve = make.subscription(version=version, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        [opening] = issue(at(4, 1))
        credit(opening, f"base {by_hand}", at=at(4, 10))
        cancelled(eve)
        assert InvoiceLine.every.get(leaves=True).gross == -D(left_of_it)
        issue(at(4, 22))
        assert sum(note.total for note in CreditNote.objects.all()) == D("39.67")
        assert contradictions(at(4, 22)) == []

    def test_what_a_draft_credits_nobody_credits_beside_it(self, ada: Subscription) -> None:
        cancelled(ada)
        assert credit(Invoice.objects.earliest("pk"), at=at(4, 21)).net_total == D("66.67")
        issue(at(4, 22))
        assert OpenItem.objects.earliest("pk").open == 0
        assert contradictions(at(4, 22)) == []

    def test_what_an_invoice_below_its_lines_has_not_left_is_balance(
        self, plan: PlanVersion
    ) -> None:
        """The invoice with the fee carried a credit of usage: so little of it can be credited."""
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 4, 1))
        use(ida, at(4, 10), calls=390, id="first")
        close(at(5, 2, 1))
        voids("first", at(5, 5))
        may = close(at(6, 2, 1))[-1]  # a fee of 100 for June, and 90 of April's usage back
        assert may.total == 10
        life.cancel(subscription_id=ida.pk, when=When.IMMEDIATE, at=at(6, 15), actor=SYSTEM)
        close(at(6, 16, 1))
        last = issue(at(6, 17))[0]
        assert [f"{note.total:.2f}" for note in CreditNote.objects.all()] == ["10.00"]
        [balance] = Payment.objects.all()
        assert (balance.amount, balance.method, balance.left_of) == (40, "credit", last)
        assert (balance.reference, balance.available) == (may.number or "INV-2026-000003", 40)
        assert contradictions(at(6, 17)) == []

    def test_what_was_undone_since_has_to_be_drawn_anew(self, plan: PlanVersion) -> None:
        ida = make.subscription(make.customer("ida"), plan, starts_on=date(2026, 4, 1))
        use(ida, at(4, 10), calls=450, id="first")
        close(at(5, 2, 1))
        may = Invoice.objects.get(number="INV-2026-000002")
        voids("first", at(5, 5))
        life.cancel(subscription_id=ida.pk, when=When.IMMEDIATE, at=at(5, 20), actor=SYSTEM)
        last = close(at(5, 21, 1))[-1]
        assert left(last) != []
        with pytest.raises(issuing.InvoiceCredited, match="undo that one first"):
            issuing.void_invoice(
                invoice_id=may.pk, reason="x", reopen=True, at=at(5, 22), actor=SYSTEM
            )


class TestBeforeTheIssue:
    def test_the_review_page_and_the_confirmation_say_what_comes(self, ada: Subscription) -> None:
        last = cancelled(ada)
        told = "A credit note of €39.66 on INV-2026-000001 comes with it."
        client = leo()
        assert told in said(client.get("/admin/billing/invoice/review/?reason=every"))
        assert told in said(client.get(f"/admin/billing/invoice/{last.pk}/change/"))
        ids = {"ids": [last.pk], "action": "issue"}
        assert told in said(client.post("/admin/billing/invoice/decide/", ids))

    def test_nothing_is_told_of_what_was_undone(self, ada: Subscription) -> None:
        last = cancelled(ada)
        assert [one.total for one in beside(last).notes] == [D("39.66")]


def test_the_portal_and_the_api_show_both(ada: Subscription, caller: Any) -> None:
    use(ada, at(4, 5), calls=210)
    cancelled(ada)
    [last] = issue(at(4, 22))
    client = caller("billing:read")
    answer = client.get(f"/api/v1/invoices/{last.uuid}").json()
    assert [(one["description"], one["net"]) for one in answer["beside"]["lines"]] == [
        ("Base", "-33.33")
    ]
    [note] = answer["beside"]["credit_notes"]
    assert (note["number"], note["total"]) == ("CN-2026-000001", "39.66")
    assert (note["invoice"]["number"], answer["beside"]["balance"]) == ("INV-2026-000001", "0.00")
    [listed, opening] = client.get("/api/v1/invoices").json()["results"]
    assert (listed["beside"], opening["beside"]) == (answer["beside"], None)


def voids(id: str, moment: datetime) -> None:
    void_events(keys=[UUID(bytes=event_key("test", id))], reason="A test.", at=moment, actor=SYSTEM)


def issued_until(statement: int, moment: datetime) -> bool:
    """Issue all drafts, and be killed before a statement; say whether all was done before."""
    with transaction.atomic():
        is_killed = killed_before(statement, lambda: issue(moment))
        transaction.set_rollback(is_killed)
    return not is_killed
