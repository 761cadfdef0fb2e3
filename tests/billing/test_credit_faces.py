"""Credit notes over the API, in the admin, in the portal, and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pypdf import PdfReader
from rest_framework.test import APIClient

from billing.accounts import statement_of
from billing.credit_documents import credit_note_pdf, store_credit_note, view_of
from billing.documents import document_path
from billing.models import CreditNote, CreditNoteDocument, Invoice, InvoiceLine
from billing.presentation.statement import present_statement
from config.base.models import Outbox
from config.base.services import outbox
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, contradictions, use
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, page, queries, said

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 12, 10, 9, tzinfo=UTC)
NOTES = "/api/v1/credit-notes"


@pytest.fixture(autouse=True)
def _today(settings: LazySettings, tmp_path: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(
        name="Northlight", email="billing@northlight.example", tax_status="standard",
        standard_tax_rate=19,
    )  # fmt: skip
    with time_machine.travel(NOW, tick=False):
        yield
    assert contradictions(NOW, but=["periods_close_in_time"]) == []


@pytest.fixture
def ada() -> Customer:
    return make.customer("ada", name="Fernwood Analytics", locale="en-GB")


@pytest.fixture
def invoice(ada: Customer) -> Invoice:
    """499.00 for December, 187,340 calls in November at 156.01, 50.00 off by a coupon."""
    calls = make.graduated(
        make.metric("api_calls"),
        "50000 @ 0.002, rest @ 0.0015",
        key="calls",
        name="API calls",
        included_quantity=D(100_000),
    )
    version = make.published(make.flat("base", "499.00", name="Platform base fee"), calls)
    sold = make.subscription(ada, version, starts_on=date(2026, 11, 1))
    promotion = make.coupon("launch", name="Launch promotion", amount=D(50))
    make.applied_coupon(sold, promotion, starts_on=date(2026, 12, 1))
    use(sold, datetime(2026, 11, 10, tzinfo=UTC), calls=187_340)
    close(datetime(2026, 11, 1, 1, tzinfo=UTC))
    close(datetime(2026, 12, 2, 2, tzinfo=UTC))
    return Invoice.objects.latest("pk")


def line(invoice: Invoice, kind: str) -> InvoiceLine:
    return invoice.lines.get(kind=kind)


class TestApi:
    @pytest.fixture
    def finance(self, caller: Caller) -> APIClient:
        return caller("billing:read", "billing:write")

    def post(self, client: APIClient, invoice: Invoice, lines: Any = None, **fields: Any) -> Any:
        body = {"invoice": str(invoice.uuid), "reason": "Downtime", **fields}
        if lines is not None:
            body["lines"] = lines
        return client.post(NOTES, body, format="json")

    def test_without_lines_all_of_it_is_credited(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        before = finance.get(f"/api/v1/invoices/{invoice.uuid}").json()
        assert (before["creditable"], before["credit_notes"]) == ("719.96", [])
        assert [one["creditable"] for one in before["lines"]] == ["460.91", "144.10"]
        made = self.post(finance, invoice)
        assert made.status_code == 201, made.json()
        told = made.json()
        assert (told["number"], told["issue_date"]) == ("CN-2026-000001", "2026-12-10")
        assert (told["net_total"], told["tax_total"], told["total"]) == (
            f"{invoice.net_total:.2f}", f"{invoice.tax_total:.2f}", f"{invoice.total:.2f}",
        )  # fmt: skip
        assert told["uses"] == {
            "off_open": told["total"], "off_written_off": "0.00", "to_deposits": "0.00",
            "to_balance": "0.00", "refunded": "0.00",
        }  # fmt: skip
        after = finance.get(f"/api/v1/invoices/{invoice.uuid}").json()
        assert (after["amount_due"], after["creditable"]) == ("0.00", "0.00")
        assert {one["creditable"] for one in after["lines"]} == {"0.00"}
        assert after["credit_notes"] == [
            {"id": told["id"], "number": told["number"], "total": told["total"]}
        ]
        assert finance.get(f"{NOTES}/{told['id']}").json() == told

    def test_parts_by_net_and_by_quantity(self, finance: APIClient, invoice: Invoice) -> None:
        fee, calls = line(invoice, "fee"), line(invoice, "usage")
        told = self.post(
            finance,
            invoice,
            [
                {"line": str(fee.uuid), "net": "10.00"},
                {"line": str(calls.uuid), "quantity": "93670"},
            ],
        ).json()
        assert [(one["net"], one["quantity"]) for one in told["lines"]] == [
            ("10.00", None),
            ("72.05", "93670"),
        ]
        assert [(t["category"], t["base"], t["amount"]) for t in told["taxes"]] == [
            ("S", "82.05", "15.59")
        ]

    def test_tried_it_says_the_same_and_changes_nothing(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        tried = self.post(finance, invoice, dry_run=True)
        assert (tried.status_code, tried.json()["number"]) == (200, None)
        assert not CreditNote.objects.exists()
        made = self.post(finance, invoice).json()
        differing = {"id", "number", "issued_by"}
        assert {k: v for k, v in made.items() if k not in differing} == {
            k: v for k, v in tried.json().items() if k not in differing
        }

    def test_sent_again_under_its_key_it_credits_once(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        body = {
            "invoice": str(invoice.uuid),
            "reason": "Downtime",
            "lines": [{"line": str(line(invoice, "fee").uuid), "net": "1.00"}],
        }
        answers = [
            finance.post(NOTES, body, format="json", headers={"Idempotency-Key": "k"}).json()
            for _ in range(2)
        ]
        assert answers[0] == answers[1]
        assert CreditNote.objects.count() == 1

    def test_every_fault_is_named(self, finance: APIClient, invoice: Invoice) -> None:
        answer = self.post(
            finance, invoice,
            [{"line": "x", "net": "1e3"}, {"quantity": "-1"}, {"line": str(uuid4())}],
            reason="", refund="yes", paid=1,
        )  # fmt: skip
        assert answer.status_code == 400
        assert {error["pointer"] for error in answer.json()["errors"]} == {
            "/lines/0/line", "/lines/0/net", "/lines/1/line", "/lines/1/quantity", "/reason",
            "/refund", "/paid",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("part", "pointer", "code"),
        [
            ({"line": str(uuid4()), "net": "1"}, "/lines/0/line", "unknown_line"),
            ({"net": "0"}, "/lines/0/net", "not_positive"),
            ({"net": "1.001"}, "/lines/0/net", "too_fine"),
            ({}, "/lines/0", "net_or_quantity"),
            ({"net": "1", "quantity": "1"}, "/lines/0", "net_or_quantity"),
        ],
    )
    def test_what_is_wrong_with_a_part_is_named(
        self, finance: APIClient, invoice: Invoice, part: Any, pointer: str, code: str
    ) -> None:
        fee = {"line": str(line(invoice, "fee").uuid)}
        answer = self.post(finance, invoice, [fee | part])
        assert answer.status_code == 400, answer.json()
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == (pointer, code)

    def test_no_lines_at_all_is_not_all_of_them(self, finance: APIClient, invoice: Invoice) -> None:
        assert self.post(finance, invoice, []).status_code == 400

    def test_more_than_is_left_is_refused_and_says_how_much_is(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        part = {"line": str(line(invoice, "fee").uuid), "net": "460.92"}
        answer = self.post(finance, invoice, [part])
        assert (answer.status_code, answer.json()["code"]) == (409, "more_than_creditable")
        assert "460.91 EUR is left to credit" in answer.json()["detail"]

    def test_an_unknown_or_a_draft_invoice_is_refused(
        self, finance: APIClient, ada: Customer
    ) -> None:
        Customer.objects.update(manual_approval=True)
        make.subscription(ada, make.published(make.flat()), starts_on=date(2026, 12, 1))
        [draft] = close(datetime(2026, 12, 1, 1, tzinfo=UTC))
        answer = self.post(finance, draft)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_creditable")
        body = {"invoice": str(uuid4()), "reason": "x"}
        [error] = finance.post(NOTES, body, format="json").json()["errors"]
        assert (error["pointer"], error["code"]) == ("/invoice", "unknown_invoice")
        read = finance.get(f"/api/v1/invoices/{draft.uuid}").json()
        assert (read["creditable"], read["lines"][0]["creditable"]) == (None, None)

    def test_reading_does_not_allow_crediting(self, caller: Caller, invoice: Invoice) -> None:
        assert self.post(caller("billing:read"), invoice).status_code == 403
        assert caller("customers:read").get(NOTES).status_code == 403

    def test_notes_are_listed_and_filtered_with_as_many_queries_for_many(
        self, finance: APIClient, ada: Customer
    ) -> None:
        counted = []
        finance.get(NOTES)  # notes when its key was last used
        for _ in range(2):
            for _ in range(3):
                credit(make.issued(ada, "100"), "base 10", at=NOW)
            with CaptureQueriesContext(connection) as captured:
                assert len(finance.get(f"{NOTES}?customer=ada").json()["results"]) % 3 == 0
                assert finance.get("/api/v1/invoices").status_code == 200
            counted.append(len(captured))
        assert counted[0] == counted[1]
        first = CreditNote.objects.earliest("pk")
        for query, count in {
            f"invoice={first.invoice.uuid}": 1,
            f"number={first.number}": 1,
            "customer=bob": 0,
            "issued_after=2026-12-10": 0,
            "issued_after=2026-12-09": 6,
        }.items():
            assert len(finance.get(f"{NOTES}?{query}").json()["results"]) == count, query

    def test_its_pdf_is_the_same_for_ever(self, finance: APIClient, invoice: Invoice) -> None:
        told = self.post(finance, invoice).json()
        first = finance.get(f"{NOTES}/{told['id']}/pdf")
        assert first.content.startswith(b"%PDF-")
        assert first.headers["Content-Disposition"] == 'inline; filename="CN-2026-000001.pdf"'
        again = finance.get(f"{NOTES}/{told['id']}/pdf", headers={"If-None-Match": first["ETag"]})
        assert again.status_code == 304


class TestAdmin:
    def url(self, invoice: Invoice) -> str:
        return page("billing_creditnote", "of", invoice.pk)

    def test_a_lead_looks_at_it_first_and_then_credits(self, invoice: Invoice) -> None:
        client = leo()
        told = said(client.get(page("billing_invoice", "change", invoice.pk)))
        assert "Credit…" in told
        assert "Can be credited 719.96 EUR" in told
        form = said(client.get(self.url(invoice)))
        assert "719.96 EUR can be credited, tax included." in form
        assert "Platform base fee 1–31 Dec 2026 460.91 — 460.91" in form
        name = f"n{line(invoice, 'fee').pk}"
        entered = {name: "10.00", "reason": "Two hours down", "then": "balance"}
        preview = client.post(self.url(invoice), {**entered, "_preview": ""})
        assert not CreditNote.objects.exists()
        assert "Taken off what was open of" in said(preview)
        assert "Credit total €11.90" in said(preview)
        hidden = dict(preview.context["hidden"])
        done = client.post(self.url(invoice), {**hidden, "_issue": ""}, follow=True)
        note = CreditNote.objects.get()
        assert f"{note} credits 11.90 EUR of {invoice}." in said(done)
        assert (note.total, note.reason, note.issued_by) == (D("11.90"), "Two hours down", "leo")
        again = client.post(self.url(invoice), {**hidden, "_issue": ""})
        assert "was credited after you looked" in said(again)
        assert CreditNote.objects.count() == 1

    def test_all_that_is_left_and_paid_back(self, ada: Customer, invoice: Invoice) -> None:
        make.payment(ada, "719.96", portions={invoice: "719.96"}, at=NOW)
        client = leo()
        body = {"reason": "Never used", "then": "refund", "_all": ""}
        preview = client.post(self.url(invoice), body)
        assert "Paid, and recorded as paid back: 719.96 EUR." in said(preview)
        hidden = dict(preview.context["hidden"])
        client.post(self.url(invoice), {**hidden, "_issue": ""})
        assert CreditNote.objects.get().refunded == D("719.96")
        told = said(client.get(self.url(invoice)))
        assert "Nothing is left of it to credit." in told
        assert "Credit…" not in said(client.get(page("billing_invoice", "change", invoice.pk)))

    @pytest.mark.parametrize(
        ("entered", "complaint"),
        [
            ({"reason": "x"}, "Enter what to credit of a line, or choose all that is left."),
            ({"reason": "", "n": "1"}, "This field is required."),
            ({"reason": "x", "n": "1e2"}, "Enter a number."),
            ({"reason": "x", "n": "0"}, "Enter more than 0."),
            ({"reason": "x", "n": "461"}, "460.91 EUR is left to credit"),
            ({"reason": "x", "n": "1", "q": "1"}, "enter either an amount or a quantity"),
            ({"reason": "x", "q": "2"}, "1 can still be credited by quantity"),
        ],
    )
    def test_what_can_not_be_credited_is_said_and_shown_again(
        self, invoice: Invoice, entered: dict[str, str], complaint: str
    ) -> None:
        pk = line(invoice, "fee").pk
        body = {f"{key}{pk}" if key in "nq" else key: text for key, text in entered.items()}
        answer = leo().post(self.url(invoice), {**body, "_preview": ""})
        assert complaint in said(answer)
        rows = {row["amount_name"]: row["amount_value"] for row in answer.context["rows"]}
        assert rows[f"n{pk}"] == entered.get("n", "")

    def test_finance_reads_them_and_issues_none(self, invoice: Invoice) -> None:
        note = credit(invoice, "platform base fee 10", at=NOW)
        client = anna()
        assert client.get(self.url(invoice)).status_code == 403
        shown = said(client.get(page("billing_creditnote", "change", note.pk)))
        assert f"Corrects {invoice}" in shown
        assert "Reason: Goodwill" in shown
        listed = said(client.get(page("billing_creditnote", "changelist")))
        assert "CN-2026-000001 Fernwood Analytics" in listed
        pdf = client.get(page("billing_creditnote", "pdf", note.pk))
        assert pdf.content.startswith(b"%PDF-")

    def test_the_search_finds_it_by_its_number(self, invoice: Invoice) -> None:
        note = credit(invoice, at=NOW)
        client = anna()
        found = client.get("/admin/find/", {"q": "cn-2026-1", "part": "1"}).context["groups"]
        assert [(group.title, group.hits[0].name) for group in found] == [
            ("Credit notes", "CN-2026-000001")
        ]
        opened = client.get("/admin/find/", {"q": "CN-2026-000001"})
        assert opened.headers["Location"] == page("billing_creditnote", "change", note.pk)

    def test_a_draft_leads_back_and_says_why(self, ada: Customer) -> None:
        Customer.objects.update(manual_approval=True)
        make.subscription(ada, make.published(make.flat()), starts_on=date(2026, 12, 1))
        [draft] = close(datetime(2026, 12, 1, 1, tzinfo=UTC))
        answer = leo().get(self.url(draft), follow=True)
        assert "It is not issued yet" in said(answer)

    def test_pages_cost_as_many_queries_for_many(self, ada: Customer, invoice: Invoice) -> None:
        client = leo()
        note = credit(invoice, "platform base fee 1", at=NOW)
        urls = [
            page("billing_creditnote", "changelist"),
            page("billing_creditnote", "change", note.pk),
            self.url(invoice),
            page("billing_invoice", "change", invoice.pk),
        ]
        for url in urls:
            client.get(url)
        before = {url: queries(lambda url=url: client.get(url)) for url in urls}  # type: ignore[misc]
        for _ in range(4):
            credit(make.issued(make.customer(), "10"), at=NOW)
            credit(invoice, "platform base fee 1", at=NOW)
        assert {url: queries(lambda url=url: client.get(url)) for url in urls} == before  # type: ignore[misc]


class TestPortal:
    @pytest.fixture
    def reader(self, ada: Customer) -> Client:
        return door.signed_in(door.contact(ada))

    def test_it_stands_with_its_invoice_and_says_what_became_of_it(
        self, reader: Client, ada: Customer, invoice: Invoice
    ) -> None:
        make.payment(ada, "719.96", portions={invoice: "719.96"}, at=NOW)
        note = credit(invoice, "platform base fee 100", at=NOW)
        assert "CN-2026-000001" in said(reader.get("/portal/invoices/"))
        told = said(reader.get(reverse("portal:invoice", args=(invoice.uuid,))))
        assert "Credit notes CN-2026-000001 10 Dec 2026 €119.00" in told
        shown = reader.get(reverse("portal:credit_note", args=(note.uuid,)))
        assert "Credited to you €119.00 Reason: Goodwill" in said(shown)
        assert "Paid already: your balance now 119.00" in said(shown)
        assert "Billed on the invoice, after coupons: 460.91." in said(shown)
        pdf = reader.get(reverse("portal:credit_note_pdf", args=(note.uuid,)))
        assert pdf.headers["Content-Disposition"] == 'attachment; filename="CN-2026-000001.pdf"'
        credit(invoice, at=NOW)
        assert "credited in full" in said(reader.get("/portal/invoices/"))

    def test_it_is_nobody_elses_business(self, invoice: Invoice) -> None:
        note = credit(invoice, at=NOW)
        bob = door.signed_in(door.contact(make.customer("bob")))
        for name in ("credit_note", "credit_note_pdf"):
            assert bob.get(reverse(f"portal:{name}", args=(note.uuid,))).status_code == 404

    def test_the_list_costs_as_many_queries_for_many(
        self, reader: Client, ada: Customer, invoice: Invoice
    ) -> None:
        credit(invoice, "platform base fee 1", at=NOW)
        before = queries(lambda: reader.get("/portal/invoices/"))
        for _ in range(3):
            credit(make.issued(ada, "10"), at=NOW)
        assert queries(lambda: reader.get("/portal/invoices/")) == before

    def test_the_statement_calls_it_what_the_document_does(
        self, ada: Customer, invoice: Invoice
    ) -> None:
        note = credit(invoice, at=NOW)
        told = statement_of(ada, "EUR", until=NOW.date())
        for locale, what in (
            ("en-GB", "Credit note"),
            ("de-DE", "Rechnungskorrektur"),
            ("fr-FR", "Avoir"),
            ("es-ES", "Factura rectificativa"),
        ):
            assert view_of(note, locale=locale).heading == what
            view = present_statement(
                told, None, customer=ada, issuer=None, currency="EUR", until=NOW.date(),
                locale=locale,
            )  # fmt: skip
            assert (view.rows[-1].what, view.rows[-1].reference) == (what, "CN-2026-000001")


class TestPaper:
    def test_its_text_gives_each_figure(self, ada: Customer, invoice: Invoice) -> None:
        make.payment(ada, "700", portions={invoice: "700"}, at=NOW)
        credit(invoice, "platform base fee 60.91", at=NOW)
        calls = line(invoice, "usage")
        note = credit(invoice, f"platform base fee 100, {calls.description} ×93670", at=NOW)
        paper = " ".join(
            one.extract_text() for one in PdfReader(BytesIO(credit_note_pdf(note))).pages
        )
        text = " ".join(paper.replace("\u00a0", " ").split())
        for figure in (
            "Credit note number CN-2026-000002",
            f"{invoice.number} of 2 Dec 2026",
            "Credited to you €204.74",
            "Reason: Goodwill",
            "Platform base fee",
            "Billed on the invoice, after coupons: 460.91.",
            "Credited before: 60.91.",
            "93,670 calls",
            "72.05",
            "Net total 172.05",
            "VAT 19 % on 172.05 32.69",
            "Credit total €204.74",
            "Paid already: your balance now 204.74",
        ):
            assert figure in text, (figure, text)

    @pytest.mark.parametrize(
        ("locale", "heading", "total"),
        [
            ("en-GB", "Credit note", "€719.96"),
            ("de-DE", "Rechnungskorrektur", "719,96\u00a0€"),
            ("fr-FR", "Avoir", "719,96\u00a0€"),
            ("es-ES", "Factura rectificativa", "719,96\u00a0€"),
        ],
    )
    def test_it_is_worded_in_the_buyers_language(
        self, ada: Customer, invoice: Invoice, locale: str, heading: str, total: str
    ) -> None:
        Customer.objects.update(locale=locale)
        view = view_of(credit(invoice, at=NOW))
        assert (view.heading, view.payment.amount) == (heading, total)
        assert view.words["charges"] != view.words["account"] != view.words["questions"]

    def test_the_outbox_makes_it_once_and_its_bytes_stay(
        self, ada: Customer, invoice: Invoice
    ) -> None:
        note = credit(invoice, at=NOW)
        outbox.deliver_due(at=NOW, kind="credit_note.render")
        document = CreditNoteDocument.objects.get(note=note)
        assert store_credit_note(note.pk) == document
        kept = document_path(document.sha256)
        content = kept.read_bytes()
        Customer.objects.update(name="Renamed", legal_name="Renamed")
        Issuer.objects.update(legal_name="Renamed")
        kept.unlink()
        assert credit_note_pdf(note) == content == kept.read_bytes()
        assert Outbox.objects.get(kind="credit_note.render").status == "done"

    def test_on_a_shared_invoice_lines_say_whose_they_are(self) -> None:
        bob = make.customer("bob", consolidation="one_invoice", locale="en-GB")
        for key, plan in (("bob-a", "a"), ("bob-b", "b")):
            version = make.published(make.flat("base", "10"), plan=make.plan(plan, name=plan))
            make.subscription(bob, version, key=key, starts_on=date(2026, 12, 1))
        close(datetime(2026, 12, 1, 1, tzinfo=UTC))
        close(datetime(2026, 12, 3, 1, tzinfo=UTC))
        shared = Invoice.objects.latest("pk")
        assert [one.name for one in view_of(credit(shared, at=NOW)).lines] == [
            "Base (a · bob-a)",
            "Base (b · bob-b)",
        ]
