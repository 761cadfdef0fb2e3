"""A void or credited invoice and the one that bills it anew name each other (R32)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from billing.accounts import statement_of
from billing.documents import pdf_of, render, store_document
from billing.models import BillWhen, Invoice, OpenItem
from billing.presentation import present
from billing.reissue import links_of, links_to
from billing.services.credit_notes import NotCreditable, NotCreditedWhole
from billing.services.issuing import discard_invoice, issue_invoices, void_invoice
from config.base.audit import SYSTEM
from customers.models import Customer, Subscription
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, contradictions, use
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, page, said

pytestmark = pytest.mark.django_db
DEC_2 = datetime(2026, 12, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(DEC_2, tick=False):
        yield
    assert contradictions(DEC_2, but=["periods_close_in_time"]) == []


@pytest.fixture
def ada() -> Customer:
    return make.customer("ada", locale="en-GB")


@pytest.fixture
def sold(ada: Customer) -> Subscription:
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls")
    version = make.published(make.flat("base", "10"), calls)
    sold = make.subscription(ada, version, starts_on=date(2026, 11, 1))
    use(sold, datetime(2026, 11, 10, tzinfo=UTC), calls=7)
    return sold


def closed(hour: int = 1) -> Invoice:
    """Close and issue what is due; return the last invoice."""
    at = datetime(2026, 12, 2, hour, tzinfo=UTC)
    close(at)
    drafts = Invoice.objects.filter(status__in=["draft", "review"]).order_by("pk")
    issue_invoices(invoice_ids=[one.pk for one in drafts], as_of=at, actor=SYSTEM)
    return Invoice.objects.exclude(status="discarded").latest("pk")


def void(invoice: Invoice, *, reopen: bool = True) -> Invoice:
    return void_invoice(
        invoice_id=invoice.pk, reason="Wrong", reopen=reopen, at=DEC_2, actor=SYSTEM
    )


def linked(invoice: Invoice) -> tuple[list[str | None], list[str | None]]:
    links = links_to(Invoice.objects.get(pk=invoice.pk))
    return [one.number for one in links.replaces], [one.number for one in links.replaced_by]


class TestWhoReplacesWhom:
    def test_billed_anew_they_name_each_other(self, sold: Subscription) -> None:
        first = closed()
        assert linked(first) == ([], [])
        void(first)
        second = closed(2)
        assert (linked(first), linked(second)) == (([], [second.number]), ([first.number], []))

    def test_a_draft_replaces_it_already(self, sold: Subscription) -> None:
        first = closed()
        void(first)
        Customer.objects.update(manual_approval=True)
        close(datetime(2026, 12, 2, 2, tzinfo=UTC))
        assert linked(first) == ([], [None])

    def test_void_twice_each_names_the_next(self, sold: Subscription) -> None:
        one = closed()
        void(one)
        two = closed(2)
        void(two)
        third = closed(3)
        assert linked(one) == ([], [two.number])
        assert linked(two) == ([one.number], [third.number])
        assert linked(third) == ([two.number], [])

    def test_a_draft_that_was_discarded_between_is_not_named(self, sold: Subscription) -> None:
        first = closed()
        void(first)
        Customer.objects.update(manual_approval=True)
        close(datetime(2026, 12, 2, 2, tzinfo=UTC))
        [draft] = Invoice.objects.filter(status="draft")
        discard_invoice(invoice_id=draft.pk, reason="x", reopen=True, at=DEC_2, actor=SYSTEM)
        third = closed(3)
        assert linked(third) == ([first.number], [])
        assert linked(draft) == ([], [])

    def test_waived_nothing_replaces_it(self, sold: Subscription) -> None:
        first = closed()
        void(first, reopen=False)
        assert (linked(first), linked(closed(2))) == (([], []), ([], []))

    def test_a_sale_that_is_billed_anew(self, ada: Customer, sold: Subscription) -> None:
        make.sold_add_on(sold, bill=BillWhen.AT_ONCE)
        close(DEC_2)
        alone = Invoice.objects.get(lines__kind="add_on")
        if alone.is_open:
            issue_invoices(invoice_ids=[alone.pk], as_of=DEC_2, actor=SYSTEM)
        void(Invoice.objects.get(pk=alone.pk))
        close(DEC_2)
        again = Invoice.objects.filter(lines__kind="add_on").latest("pk")
        assert again.pk != alone.pk
        assert [one.pk for one in links_to(again).replaces] == [alone.pk]
        assert [one.pk for one in links_to(Invoice.objects.get(pk=alone.pk)).replaced_by] == [
            again.pk
        ]

    def test_it_is_asked_with_as_many_queries_for_many(
        self, sold: Subscription, django_assert_max_num_queries: Any
    ) -> None:
        void(closed())
        closed(2)
        for _ in range(3):
            make.issued(make.customer(), "10", on=date(2026, 12, 2))
        with django_assert_max_num_queries(7):
            assert len(links_of(list(Invoice.objects.all()))) == 2


class TestCreditedAndBilledAnew:
    def test_it_is_billed_anew_once_and_both_name_each_other(self, sold: Subscription) -> None:
        first = closed()
        note = credit(first, at=DEC_2, bill_anew=True)
        assert Invoice.objects.get(pk=first.pk).status == "credited"
        assert statuses("credited") == [first.number]
        second = closed(2)
        assert (linked(first), linked(second)) == (([], [second.number]), ([first.number], []))
        assert (second.total, note.total) == (first.total, first.total)
        assert closed(3).pk == second.pk
        account = statement_of(sold.customer, "EUR", until=DEC_2.date())
        owed = sum(one.open for one in OpenItem.objects.all())
        assert account.closing == owed

    def test_what_comes_late_then_is_settled_against_the_new_one(self, sold: Subscription) -> None:
        credit(closed(), at=DEC_2, bill_anew=True)
        closed(2)
        use(sold, datetime(2026, 11, 20, tzinfo=UTC), received_at=DEC_2, calls=3)
        late = close(datetime(2027, 1, 1, 1, tzinfo=UTC))[-1].lines.get(kind="late")
        assert late.net == 3

    def test_a_coupon_that_it_used_reduces_the_new_one(self, sold: Subscription) -> None:
        make.applied_coupon(sold, make.coupon(amount=D(2)), starts_on=date(2026, 12, 1))
        first = closed()
        credit(first, at=DEC_2, bill_anew=True)
        assert closed(2).net_total == first.net_total == 15

    def test_what_is_left_of_it_is_in_the_way(self, sold: Subscription) -> None:
        first = closed()
        with pytest.raises(NotCreditedWhole, match="16.00 EUR of .* would be left"):
            credit(first, "base 1", at=DEC_2, bill_anew=True)
        assert not first.credit_notes.exists()
        credit(first, "base 1", at=DEC_2)
        credit(first, at=DEC_2, bill_anew=True)
        with pytest.raises(NotCreditable, match="to be billed anew"):
            credit(first, at=DEC_2)

    def test_its_document_stays_as_it_was(self, sold: Subscription, settings: Any,
                                          tmp_path: Any) -> None:  # fmt: skip
        settings.DATA_DIR = tmp_path
        first = closed()
        store_document(first.pk)
        before = pdf_of(Invoice.objects.get(pk=first.pk))
        credit(first, at=DEC_2, bill_anew=True)
        closed(2)
        assert pdf_of(Invoice.objects.get(pk=first.pk)) == before
        [kept] = (tmp_path / "documents").glob("*/*.pdf")
        kept.unlink()
        assert pdf_of(Invoice.objects.get(pk=first.pk)) == before

    def test_over_the_api_it_is_tried_first(self, caller: Caller, sold: Subscription) -> None:
        first = closed()
        client = caller("billing:read", "billing:write")
        body: dict[str, Any] = {"invoice": str(first.uuid), "reason": "Wrong plan",
                                "bill_anew": True}  # fmt: skip
        part = [{"line": str(first.lines.get(kind="fee").uuid), "net": "1"}]
        for lines, status in ((part, 409), (None, 200)):
            tried = client.post(
                "/api/v1/credit-notes", {**body, "lines": lines, "dry_run": True}, format="json"
            )
            assert tried.status_code == status, tried.json()
        made = client.post("/api/v1/credit-notes", body, format="json")
        assert made.status_code == 201
        read = client.get(f"/api/v1/invoices/{first.uuid}").json()
        assert (read["status"], read["amount_due"], read["payment_status"]) == (
            "credited", "0.00", None,
        )  # fmt: skip

    def test_in_the_admin_it_is_asked_with_all_that_is_left(self, sold: Subscription) -> None:
        first = closed()
        client = leo()
        url = page("billing_creditnote", "of", first.pk)
        body = {"reason": "Wrong plan", "anew": "on", f"n{first.lines.get(kind='fee').pk}": "1"}
        assert "would be left" in said(client.post(url, {**body, "_preview": ""}))
        preview = client.post(url, {**body, "_all": ""})
        assert f"What {first} billed is billed anew by the next run." in said(preview)
        client.post(url, {**dict(preview.context["hidden"]), "_issue": ""})
        shown = said(client.get(page("billing_invoice", "change", first.pk)))
        assert "Credited, and billed anew" in shown
        assert "Credited, to be billed anew 2 Dec 2026" in shown


def statuses(status: str) -> list[str | None]:
    return list(Invoice.objects.filter(status=status).values_list("number", flat=True))


class TestWhereItIsRead:
    @pytest.fixture
    def two(self, sold: Subscription) -> tuple[Invoice, Invoice]:
        first = closed()
        void(first)
        return Invoice.objects.get(pk=first.pk), closed(2)

    def test_on_paper(self, two: tuple[Invoice, Invoice]) -> None:
        first, second = two
        loaded = Invoice.objects.with_lines().get(pk=second.pk)
        view = present(loaded, locale="de-DE", replaces=[str(first.number)])
        assert ("Ersetzt", first.number) in [(f.label, f.value) for f in view.identity]
        assert render(view) == render(view)

    def test_over_the_api(self, caller: Caller, two: tuple[Invoice, Invoice]) -> None:
        first, second = two
        client = caller("billing:read")
        told = {
            one["number"]: (one["replaces"], one["replaced_by"])
            for one in client.get("/api/v1/invoices").json()["results"]
        }
        assert told[first.number] == (
            [], [{"id": str(second.uuid), "number": second.number}],
        )  # fmt: skip
        assert told[second.number] == ([{"id": str(first.uuid), "number": first.number}], [])

    def test_in_the_admin(self, two: tuple[Invoice, Invoice]) -> None:
        first, second = two
        client = anna()
        assert f"Replaced by {second.number}" in said(
            client.get(page("billing_invoice", "change", first.pk))
        )
        assert f"Replaces {first.number}" in said(
            client.get(page("billing_invoice", "change", second.pk))
        )

    def test_in_the_portal(self, ada: Customer, two: tuple[Invoice, Invoice]) -> None:
        first, second = two
        reader = door.signed_in(door.contact(ada))
        for one, told in ((first, f"Replaced by {second.number}"),
                          (second, f"Replaces {first.number}")):  # fmt: skip
            shown = said(reader.get(reverse("portal:invoice", args=(one.uuid,))))
            assert shown.count(told) == 2  # beside its amount, and among its facts


def test_an_invoice_of_many_lines_still_names_each_once(ada: Customer) -> None:
    version = make.published(*[make.flat(f"fee-{n}", "1") for n in range(5)])
    make.subscription(ada, version, starts_on=date(2026, 12, 1))
    first = closed()
    void(first)
    second = closed(2)
    assert linked(second) == ([first.number], [])
    assert second.total == D(5)
