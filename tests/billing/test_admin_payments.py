"""Payments, write-offs and what is owed, as finance works with them in the admin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.models import Invoice, Payment, WriteOff
from customers.models import Customer, Issuer
from tests import factories as make
from tests.staff import anna, form_errors, leo, nora, page, queries, said, sam

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 12, 10, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ada() -> Customer:
    return make.customer("ada")


def record(client: Client, payer: Customer, **fields: Any) -> Any:
    body = {
        "customer": payer.pk,
        "amount": "100",
        "currency": "",
        "received_on": "2026-12-09",
        "method": "bank_transfer",
        "kind": "payment",
        **fields,
    }
    return client.post(page("billing_payment", "add"), body, follow=True)


def status(invoice: Invoice) -> str | None:
    return Invoice.objects.with_payment().get(pk=invoice.pk).payment_status


class TestRecording:
    def test_a_payment_is_recorded_and_its_allocation_proposed(self, ada: Customer) -> None:
        one, two = make.issued(ada, "100"), make.issued(ada, "60")
        answer = record(anna(), ada, reference=f"Re {two.number}")
        assert f"“Re {two.number}”" in said(answer)
        assert "Proposed is what is named in the reference" in said(answer)
        rows = {row["invoice"]: row["value"] for row in answer.context["rows"]}
        assert rows == {one.number: "", two.number: "60.00"}

    def test_what_is_entered_is_paid_and_the_rest_is_balance(self, ada: Customer) -> None:
        one, two = make.issued(ada, "100"), make.issued(ada, "60")
        client = anna()
        record(client, ada)
        payment = Payment.objects.get()
        url = page("billing_payment", "allocate", payment.pk)
        answer = client.post(url, {f"i{one.pk}": "30", f"i{two.pk}": "60.00"}, follow=True)
        assert "It pays 2 invoices now." in said(answer)
        assert (status(one), status(two)) == ("part_paid", "overpaid")
        assert "10.00 EUR is left." in said(answer)

    @pytest.mark.parametrize(
        ("entered", "complaint"),
        [
            pytest.param("100.01", "is left of this payment", id="more than came"),
            pytest.param("1e2", "Enter a number", id="no plain number"),
            pytest.param("", "Enter how much of it an invoice gets.", id="nothing"),
            pytest.param("-5", "Enter more than 0.", id="less than nothing"),
        ],
    )
    def test_what_can_not_be_allocated_is_said_and_shown_again(
        self, ada: Customer, entered: str, complaint: str
    ) -> None:
        invoice, payment = make.issued(ada, "500"), make.payment(ada, "100", at=NOW)
        url = page("billing_payment", "allocate", payment.pk)
        answer = anna().post(url, {f"i{invoice.pk}": entered})
        assert complaint in said(answer)
        assert status(invoice) == "unpaid"

    def test_faults_stand_at_their_fields(self, ada: Customer) -> None:
        answer = record(anna(), ada, amount="1.001", received_on="2026-12-11")
        assert form_errors(answer) == {
            "amount": ["EUR has 2 decimals."],
            "received_on": ["Money can't have come after today."],
        }

    def test_a_currency_that_nothing_is_billed_in_is_asked_about(self, ada: Customer) -> None:
        make.issued(ada, "100")
        client = anna()
        answer = record(client, ada, currency="JPY")
        [told] = form_errors(answer)["in_other_currency"]
        assert "Ada is billed in EUR and has no invoice in JPY: nothing would take" in told
        assert "It did come in this currency" in said(answer)
        assert not Payment.objects.exists()
        answer = record(client, ada, currency="JPY", amount="1.5", in_other_currency="on")
        assert "It did come in this currency" in said(answer), "asked until it is recorded"
        record(client, ada, currency="JPY", in_other_currency="on")
        assert Payment.objects.get().currency == "JPY"

    def test_the_currency_is_not_asked_about_where_it_is_the_customers(self, ada: Customer) -> None:
        client = anna()
        shown = client.get(page("billing_payment", "add"))
        assert "It did come in this currency" not in said(shown)
        record(client, ada, currency="EUR")
        assert Payment.objects.get().currency == "EUR"

    def test_another_customers_invoice_is_not_offered(self, ada: Customer) -> None:
        bobs = make.issued(make.customer("bob"), "100")
        payment = make.payment(ada, "100", at=NOW)
        url = page("billing_payment", "allocate", payment.pk)
        client = anna()
        assert str(bobs.number) not in said(client.get(url))
        client.post(url, {f"i{bobs.pk}": "100"})
        assert status(bobs) == "unpaid"


class TestUndoing:
    def test_a_lead_reverses_with_a_reason(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        payment = make.payment(ada, "100", portions={invoice: "100"}, at=NOW)
        url = page("billing_payment", "reverse", payment.pk)
        client = leo()
        assert "This field is required." in said(client.post(url, {"reason": " "}))
        client.post(url, {"reason": "Returned debit"})
        assert status(invoice) == "unpaid"
        assert "Returned debit" in said(client.get(page("billing_payment", "change", payment.pk)))

    def test_an_allocation_is_taken_back_and_the_rest_refunded(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        payment = make.payment(ada, "100", portions={invoice: "100"}, at=NOW)
        client = leo()
        released = page("billing_payment", "release", payment.pk, payment.allocations.get().pk)
        client.post(released)
        client.post(page("billing_payment", "refund", payment.pk), {"amount": "100"})
        payment.refresh_from_db()
        assert (status(invoice), payment.refunded, payment.available) == ("unpaid", 100, 0)
        back = page("billing_payment", "unrefund", payment.pk, payment.refunds.get().pk)
        client.post(back, {"reason": "It came back"})
        payment.refresh_from_db()
        assert payment.available == 100

    def test_a_refund_that_is_refused_comes_back_as_it_was_typed(self, ada: Customer) -> None:
        client = leo()
        record(client, ada)
        payment = Payment.objects.get()
        typed = {"amount": "100.01", "refunded_on": "2026-12-09", "reference": "SEPA 17"}
        answer = client.post(page("billing_payment", "refund", payment.pk), typed)
        form = answer.context["form"]
        assert {name: form[name].value() for name in typed} == typed
        [complaint] = form.errors["amount"]
        assert complaint in said(answer)
        assert not payment.refunds.exists()

    def test_finance_alone_neither_reverses_nor_refunds(self, ada: Customer) -> None:
        payment = make.payment(ada, "100", at=NOW)
        client = anna()
        for what in ("reverse", "refund"):
            assert client.get(page("billing_payment", what, payment.pk)).status_code == 403


class TestWhatIsOwed:
    def test_an_invoice_leads_to_a_payment_of_what_is_open(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        client = anna()
        shown = client.get(page("billing_invoice", "change", invoice.pk))
        [url] = re.findall(r'href="([^"]*/payment/add/[^"]*)"', shown.content.decode())
        initial = client.get(unescape(url)).context["adminform"].form.initial
        assert initial == {
            "customer": str(ada.pk),
            "amount": "100.00",
            "currency": "EUR",
            "reference": str(invoice.number),
            "received_on": NOW.date(),
        }
        assert "Record a payment…" not in said(
            sam().get(page("billing_invoice", "change", invoice.pk))
        )

    @pytest.mark.parametrize(
        ("typed", "field"),
        [
            pytest.param({"amount": "100.01"}, "amount", id="more than is open"),
            pytest.param({"amount": "0"}, "amount", id="nothing"),
            pytest.param({"amount": "0.001"}, "amount", id="less than a cent"),
            pytest.param({"reason": ""}, "reason", id="without a reason"),
        ],
    )
    def test_a_write_off_that_is_refused_comes_back_as_it_was_typed(
        self, ada: Customer, typed: dict[str, str], field: str
    ) -> None:
        invoice = make.issued(ada, "100")
        typed = {"amount": "40", "reason": "Bankrupt since 1 December.", **typed}
        answer = leo().post(page("billing_writeoff", "of", invoice.pk), typed)
        form = answer.context["form"]
        assert {name: form[name].value() for name in typed} == typed
        [complaint] = form.errors[field]
        assert complaint in said(answer)
        assert not WriteOff.objects.exists()

    def test_a_write_off_needs_a_lead_and_a_reason(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        url = page("billing_writeoff", "of", invoice.pk)
        assert anna().get(url).status_code == 403
        client = leo()
        assert "Write off…" in said(client.get(page("billing_invoice", "change", invoice.pk)))
        client.post(url, {"amount": "40", "reason": "Insolvent"})
        found = WriteOff.objects.get()
        assert (found.amount, found.reason) == (40, "Insolvent")
        client.post(page("billing_writeoff", "take_back", found.pk), {"reason": "Paid after all"})
        assert Invoice.objects.with_payment().get(pk=invoice.pk).open_item.open == 100

    def test_the_ageing_is_told_by_customer_and_day(self, ada: Customer) -> None:
        make.issued(ada, "100")
        client = anna()
        url = page("billing_writeoff", "ageing")
        today = said(client.get(url))
        assert "Ada — 100.00 — — — 100.00 — 100.00" in today
        assert "Ada 100.00 — — — — 100.00 — 100.00" in said(client.get(f"{url}?as_of=2026-12-01"))
        assert "Nothing was open by then" in said(client.get(f"{url}?as_of=2026-10-01"))
        rows = b"".join(client.get(f"{url}?csv=").streaming_content).decode().splitlines()  # type: ignore[attr-defined]
        assert rows[1] == "Ada,ada,EUR,0.00,100.00,0.00,0.00,0.00,100.00,0.00,0.00,100.00"

    def test_the_ageing_begins_with_the_day_that_it_is_where_the_issuer_is(self) -> None:
        Issuer.objects.update(time_zone="Pacific/Auckland")
        with time_machine.travel(datetime(2026, 11, 29, 13, tzinfo=UTC), tick=False):
            told = said(anna().get(page("billing_writeoff", "ageing")))
        assert "30 Nov 2026" in told

    def test_the_ageing_shows_who_owes_most_and_what_all_do(
        self, ada: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.admin.accounts.MOST_SHOWN", 1)
        for name in ("Bob", "Cleo"):
            make.issued(make.customer(name.lower(), name=name), "20")
        make.issued(ada, "100")
        told = said(anna().get(page("billing_writeoff", "ageing")))
        assert "Ada — 100.00 — — — 100.00 — 100.00 and 2 customers who owe less" in told
        assert "Bob" not in told
        assert "All — 140.00" in told

    def test_the_statement_and_its_pdf(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        make.payment(ada, "30", portions={invoice: "30"}, at=NOW, reference="Wire")
        client = anna()
        url = page("billing_writeoff", "statement", ada.pk)
        told = said(client.get(url))
        assert "To pay by the end of 10 Dec 2026 €70.00" in told
        assert "Payment Wire" in told
        assert client.get(f"{url}pdf/").content.startswith(b"%PDF-")

    def test_invoices_are_found_by_how_far_they_are_paid(self, ada: Customer) -> None:
        late, paid = make.issued(ada, "100"), make.issued(ada, "60")
        make.payment(ada, "60", portions={paid: "60"}, at=NOW)
        client = anna()
        for asked, number in {
            "overdue": late.number,
            "open": late.number,
            "unpaid": late.number,
            "paid": paid.number,
        }.items():
            answer = client.get(f"{page('billing_invoice', 'changelist')}?paid={asked}")
            found = [invoice.number for invoice in answer.context["cl"].result_list]
            assert found == [number], asked

    def test_the_customers_page_tells_its_account(self, ada: Customer) -> None:
        make.issued(ada, "100")
        told = said(anna().get(page("customers_customer", "change", ada.pk)))
        assert "EUR — 100.00 — — — 100.00 — 100.00" in told


def test_pages_cost_as_many_queries_for_many(ada: Customer) -> None:
    client = nora()
    invoice = make.issued(ada, "1000")
    payment = make.payment(ada, "10", portions={invoice: "1"}, at=NOW)
    urls = [
        page("billing_payment", "changelist"),
        page("billing_payment", "change", payment.pk),
        page("billing_payment", "allocate", payment.pk),
        page("billing_writeoff", "ageing"),
        page("billing_writeoff", "statement", ada.pk),
        page("billing_invoice", "changelist"),
        page("billing_invoice", "change", invoice.pk),
    ]
    for url in urls:
        client.get(url)
    before = {url: queries(lambda url=url: client.get(url)) for url in urls}  # type: ignore[misc]
    for _ in range(4):
        another = make.issued(make.customer(), "10")
        make.payment(another.customer, "1", portions={another: "1"}, at=NOW)
        make.payment(ada, "10", portions={invoice: "1"}, at=NOW)
    assert {url: queries(lambda url=url: client.get(url)) for url in urls} == before  # type: ignore[misc]
