"""Invoices over the API: read, explained, printed, issued, voided, discarded."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing import documents, typesetting
from billing.models import BillingRun, Invoice, InvoiceDocument
from billing.services import issuing
from config.base.audit import SYSTEM
from config.base.models import AuditEntry, Outbox
from config.base.services import outbox
from customers.models import Customer, Issuer, Subscription
from tests import factories as make
from tests.billing import paper
from tests.billing.months import close, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
D = Decimal
INVOICES = "/api/v1/invoices"
NOBODY = "00000000-0000-0000-0000-000000000000"
PARTY = {"reason": "wrong buyer"}


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to("2026-12-01T12:00:00Z", tick=False)


@pytest.fixture
def fernwood() -> Subscription:
    """The worked month of Scale, in Berlin, with 19 % VAT: 187,340 calls in November."""
    Issuer.objects.update(
        tax_status="standard", standard_tax_rate=D(19), time_zone="Europe/Berlin", locale="en"
    )
    version = make.published(
        make.flat("base", "499.00", name="Platform base fee"),
        make.graduated(
            make.metric("api_calls"),
            "50000 @ 0.002, rest @ 0.0015",
            key="calls",
            name="API calls",
            included_quantity=D(100_000),
        ),
    )
    buyer = make.customer(
        "fernwood", legal_name="Fernwood GmbH", time_zone="Europe/Berlin", locale="de-DE"
    )
    subscription = make.subscription(buyer, version, key="fernwood-scale")
    use(subscription, at(11, 5), calls=187_340)
    return subscription


@pytest.fixture
def november(fernwood: Subscription) -> Invoice:
    """The draft over November, after the first fee was issued and printed."""
    draft = close(at(12, 1, 1))[-1]
    Outbox.objects.update(status="done", done_at=at(12, 1, 1))
    return draft


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    return caller("billing:read", "billing:write", name="finance")


def url(invoice: Invoice, path: str = "") -> str:
    return f"{INVOICES}/{invoice.uuid}{path}"


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    errors = response.json()["errors"]
    return {error.get("pointer", error.get("parameter")): error["code"] for error in errors}


class TestRead:
    def test_a_draft_is_what_the_contract_says(self, finance: APIClient, november: Invoice) -> None:
        read = finance.get(url(november), headers={"Accept-Language": "en"}).json()
        fee, usage = read.pop("lines")
        run = BillingRun.objects.get()
        assert read == {
            "id": str(november.uuid),
            "number": None,
            "status": "draft",
            "payment_status": None,
            "purpose": "regular",
            "customer": "fernwood",
            "currency": "EUR",
            "issue_date": None,
            "due_date": None,
            "subscriptions": [
                {"subscription": "fernwood-scale", "customer": "fernwood", "net": "655.01"}
            ],
            "allowances": [],
            "prices_include_tax": False,
            "net_total": "655.01",
            "tax_total": "124.45",
            "total": "779.46",
            "amount_due": "779.46",
            "creditable": None,
            "credit_notes": [],
            "beside": None,
            "replaces": [],
            "replaced_by": [],
            "taxes": [
                {
                    "category": "S",
                    "rate": "19",
                    "base": "655.01",
                    "amount": "124.45",
                    "reason": "",
                    "rate_category": "standard",
                    "country": "",
                    "basis": "No country is known of Your company, so the sale counts as one at "
                    "the seller’s. The standard rate of the issuer applies.",
                }
            ],
            "tax_in_books": None,
            "has_xml": False,
            "seller": None,
            "buyer": None,
            "run": str(run.uuid),
            "created_at": "2026-12-01T12:00:00Z",
            "auto_issue_at": "2026-12-02T00:00:00Z",
            "issued_at": None,
            "voided_at": None,
            "discarded_at": None,
            "reason": "",
            "deliveries": [],
            "dispute": None,
            "reminders": [],
            "later_usage": [],
        }
        lines = list(november.lines.all())
        assert fee == {
            "id": str(lines[0].uuid),
            "description": "Platform base fee",
            "kind": "fee",
            "metric": None,
            "subscription": "fernwood-scale",
            "period": {"start": "2026-12-01T00:00:00+01:00", "end": "2027-01-01T00:00:00+01:00"},
            "quantity": "1",
            "included": None,
            "overage": None,
            "net": "499.00",
            "gross": None,
            "tax_category": "S",
            "tax_rate": "19",
            "rate_category": "standard",
            "creditable": None,
            "explanation": {
                "model": "flat",
                "used": "1",
                "included": "0",
                "overage": "1",
                "steps": [
                    {
                        "kind": "flat",
                        "quantity": "1",
                        "unit_amount": "499",
                        "flat_amount": "0",
                        "amount": "499",
                        "label": "flat fee",
                    }
                ],
                "exact": "499",
                "rounding": "0",
                "amount": "499.00",
            },
        }
        explanation = usage.pop("explanation")
        assert usage == {
            "id": str(lines[1].uuid),
            "description": "API calls",
            "kind": "usage",
            "metric": "api_calls",
            "subscription": "fernwood-scale",
            "period": {"start": "2026-11-01T00:00:00+01:00", "end": "2026-12-01T00:00:00+01:00"},
            "quantity": "187340",
            "included": "100000",
            "overage": "87340",
            "net": "156.01",
            "gross": None,
            "tax_category": "S",
            "tax_rate": "19",
            "rate_category": "standard",
            "creditable": None,
        }
        steps = explanation.pop("steps")
        assert explanation == {
            "model": "graduated",
            "measured": {
                "aggregation": "sum",
                "quantity": "187340",
                "events": 1,
                "as_of": "2026-12-01T01:00:00+00:00",
            },
            "used": "187340",
            "included": "100000",
            "overage": "87340",
            "exact": "156.01",
            "rounding": "0",
            "amount": "156.01",
        }
        assert steps[1] == {
            "kind": "tier",
            "label": "first 50,000 calls over",
            "from": "0",
            "to": "50000",
            "quantity": "50000",
            "unit_amount": "0.002",
            "flat_amount": "0",
            "amount": "100",
        }
        assert [step["label"] for step in steps] == [
            "included in your plan",
            "first 50,000 calls over",
            "above 50,000 calls over",
        ]
        assert sum(D(step["amount"]) for step in steps) == D("156.01")

    @pytest.mark.parametrize(
        ("asked", "label"),
        [
            pytest.param(
                None,
                "mehr als 50.000 calls über der Inklusivmenge",
                id="the buyer's language",
            ),
            pytest.param("en", "above 50,000 calls over", id="the reader's"),
            pytest.param("fr", "plus de 50\u202f000 calls au-delà", id="French"),
            pytest.param("it-IT, en;q=0.5", "above 50,000 calls over", id="the best there is"),
            pytest.param(
                "it", "mehr als 50.000 calls über der Inklusivmenge", id="one without words"
            ),
            pytest.param("*", "mehr als 50.000 calls über der Inklusivmenge", id="whichever"),
            pytest.param("de-AT", "mehr als 50.000 calls über der Inklusivmenge", id="a country"),
            pytest.param(
                "\u202e, x" * 500,
                "mehr als 50.000 calls über der Inklusivmenge",
                id="nonsense",
            ),
        ],
    )
    def test_steps_are_worded_for_the_reader(
        self, finance: APIClient, november: Invoice, asked: str | None, label: str
    ) -> None:
        headers = {} if asked is None else {"Accept-Language": asked}
        usage = finance.get(url(november), headers=headers).json()["lines"][1]
        assert usage["explanation"]["steps"][2]["label"] == label

    @pytest.mark.parametrize("locale", ["da-DK", "it-IT", "ja-JP", "en-GB"])
    def test_figures_are_in_the_language_of_the_words(
        self, finance: APIClient, fernwood: Subscription, locale: str
    ) -> None:
        """Danish has no words here: "above 50.000 calls over" would be neither."""
        Customer.objects.filter(pk=fernwood.customer_id).update(locale=locale)
        draft = close(at(12, 1, 1))[-1]
        usage = finance.get(url(draft)).json()["lines"][1]
        assert usage["explanation"]["steps"][2]["label"] == "above 50,000 calls over"
        read = finance.get(url(draft, "/explanation")).json()
        assert read["language"].startswith("en")
        said = read["lines"][1]["sentences"]
        assert said[0] == "used 187,340 · included 100,000 · over 87,340"
        assert said[-1] == "Above 50,000 calls over: 37,340 × 1.50 per 1,000 = 56.01"

    def test_issued_it_has_its_number_its_dates_and_its_parties(
        self, finance: APIClient, november: Invoice
    ) -> None:
        issued = finance.post(url(november, "/issue")).json()
        assert (issued["number"], issued["status"]) == ("INV-2026-000002", "issued")
        assert (issued["issue_date"], issued["due_date"]) == ("2026-12-01", "2026-12-31")
        assert (issued["payment_status"], issued["amount_due"]) == ("unpaid", "779.46")
        assert issued["buyer"]["legal_name"] == "Fernwood GmbH"
        assert issued["buyer"]["key"] == "fernwood"
        assert issued["seller"]["name"] == Issuer.objects.get().name
        assert set(issued["seller"]["address"]) == set(issued["buyer"]["address"])
        assert (issued["later_usage"], issued["auto_issue_at"]) == (None, None)

    def test_one_over_nothing_is_paid(self, finance: APIClient) -> None:
        free = make.published(make.graduated(make.metric(), "rest @ 1"))
        make.subscription(make.customer("zoe"), free)
        [statement] = close(at(12, 1, 1))
        read = finance.post(url(statement, "/issue")).json()
        assert (read["total"], read["payment_status"], read["amount_due"]) == (
            "0.00",
            "paid",
            "0.00",
        )

    @pytest.mark.unaudited
    @pytest.mark.parametrize(
        ("currency", "net"), [("EUR", "156.01"), ("JPY", "156"), ("KWD", "156.010")]
    )
    def test_amounts_have_the_decimals_of_their_currency(
        self, finance: APIClient, currency: str, net: str
    ) -> None:
        invoice = paper.invoice(paper.API_CALLS, currency=currency)
        read = finance.get(url(invoice)).json()
        assert (read["net_total"], read["lines"][0]["net"]) == (net, net)
        assert read["taxes"][0]["base"] == net

    @pytest.mark.unaudited
    def test_why_no_tax_is_charged(self, finance: APIClient) -> None:
        invoice = paper.invoice(tax=("AE", "0"), reason="Reverse charge")
        [tax] = finance.get(url(invoice)).json()["taxes"]
        assert (tax["category"], tax["rate"], tax["amount"]) == ("AE", "0", "0.00")
        assert tax["reason"] == "Reverse charge"

    def test_a_minimum_charge_says_floor_and_charged(self, finance: APIClient) -> None:
        version = make.published(
            make.graduated(make.metric(), "rest @ 1", minimum=D(25), included_quantity=D(5))
        )
        make.subscription(make.customer("mia"), version)
        invoice = close(at(12, 1, 1))[-1]
        usage, minimum = finance.get(url(invoice)).json()["lines"]
        assert (usage["net"], usage["included"], usage["overage"]) == ("0.00", "5", "0")
        assert (minimum["kind"], minimum["net"]) == ("minimum", "25.00")
        assert (minimum["included"], minimum["overage"]) == (None, None)
        said = minimum["explanation"]
        assert (said["model"], said["steps"]) == ("minimum", [])
        assert D(said["floor"]) - D(said["charged"]) == D(said["amount"]) == D(25)

    def test_a_part_of_a_period_keeps_to_its_days(self, finance: APIClient) -> None:
        version = make.published(make.flat("base", "10"))
        buyer = make.customer("cleo", time_zone="Europe/Berlin")
        make.subscription(buyer, version, starts_on=date(2026, 10, 20), alignment="calendar")
        opening = close(at(11, 1))[0]
        [fee] = finance.get(url(opening)).json()["lines"]
        assert fee["period"] == {  # the clocks went back on the 25th
            "start": "2026-10-20T00:00:00+02:00",
            "end": "2026-11-01T00:00:00+01:00",
        }
        assert fee["explanation"]["period_fraction"] == "12/31"


class TestLaterUsage:
    def test_an_open_one_says_what_came_in_since(
        self, finance: APIClient, fernwood: Subscription, november: Invoice
    ) -> None:
        use(fernwood, at(11, 30), calls=10)
        read = finance.get(url(november)).json()
        assert read["later_usage"] == [
            {
                "metric": "api_calls",
                "subscription": "fernwood-scale",
                "drawn": "187340",
                "now": "187350",
            }
        ]
        assert read["lines"][1]["quantity"] == "187340"
        redrawn = finance.post(url(november, "/recalculate")).json()
        assert redrawn["later_usage"] == []
        assert redrawn["lines"][1]["quantity"] == "187350"

    def test_lists_do_not_measure(self, finance: APIClient, november: Invoice) -> None:
        [draft, *_] = finance.get(INVOICES).json()["results"]
        assert "later_usage" not in draft

    def test_one_that_nobody_could_redraw_can_be_read(
        self, finance: APIClient, november: Invoice
    ) -> None:
        Issuer.objects.create(name="A second one")
        read = finance.get(url(november))
        assert (read.status_code, read.json()["later_usage"]) == (200, None)


class TestLists:
    @pytest.fixture
    def three(self, fernwood: Subscription) -> list[Invoice]:
        """An issued opening of 1 November, a draft of December, and somebody else's draft."""
        close(at(11, 2))
        make.subscription(make.customer("zoe"), make.published(), starts_on=date(2026, 12, 1))
        return close(at(12, 1, 1))

    @pytest.mark.parametrize(
        ("query", "places"),
        [
            pytest.param({}, [2, 1, 0], id="the newest first"),
            pytest.param({"customer": "zoe"}, [1], id="one buyer's"),
            pytest.param({"customer": "nobody"}, [], id="nobody's"),
            pytest.param({"status": "draft"}, [2, 1], id="drafts"),
            pytest.param({"status": "issued", "customer": "zoe"}, [], id="two filters"),
            pytest.param({"payment_status": "unpaid"}, [0], id="unpaid"),
            pytest.param({"payment_status": "paid"}, [], id="paid"),
            pytest.param({"payment_status": "overpaid"}, [], id="overpaid"),
            pytest.param({"issued_after": "2026-11-01"}, [0], id="after a day"),
            pytest.param({"issued_after": "2026-11-02"}, [], id="not on the day"),
            pytest.param({"issued_after": "2026-11-01T23:59:59Z"}, [0], id="after a time"),
            pytest.param({"issued_after": "2026-11-02T01:00:00+01:00"}, [], id="not at the time"),
            pytest.param({"run": NOBODY}, [], id="a run that was not"),
            pytest.param({"limit": "2"}, [2, 1], id="a page"),
        ],
    )
    def test_they_are_filtered(
        self, finance: APIClient, three: list[Invoice], query: dict[str, str], places: list[int]
    ) -> None:
        found = finance.get(INVOICES, query).json()["results"]
        assert [one["id"] for one in found] == [str(three[place].uuid) for place in places]

    def test_by_run(self, finance: APIClient, three: list[Invoice]) -> None:
        first = BillingRun.objects.order_by("pk")[0]
        [opening] = finance.get(INVOICES, {"run": str(first.uuid)}).json()["results"]
        assert (opening["id"], opening["run"]) == (str(three[0].uuid), str(first.uuid))

    def test_pages_are_followed(self, finance: APIClient, three: list[Invoice]) -> None:
        seen, page = [], finance.get(INVOICES, {"limit": "1"}).json()
        while True:
            seen += [one["id"] for one in page["results"]]
            if not page["next"]:
                break
            page = finance.get(page["next"]).json()
        assert seen == [str(invoice.uuid) for invoice in reversed(three)]

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ("payment_status=due", "payment_status"),
            ("status=done", "status"),
            ("issued_after=yesterday", "issued_after"),
            ("issued_after=2026-13-01", "issued_after"),
            ("issued_after=2026-11-01T00:00:00", "issued_after"),
            ("run=1", "run"),
            ("run=" + "9" * 500, "run"),
            ("custoner=fernwood", "custoner"),
            ("customer=%00", "customer"),
            ("limit=0", "limit"),
            ("cursor=x", "cursor"),
            ("ordering=total", "ordering"),
            ("page=2", "page"),
        ],
    )
    def test_a_bad_filter_is_named(self, finance: APIClient, query: str, parameter: str) -> None:
        assert list(faults(finance.get(f"{INVOICES}?{query}"))) == [parameter]

    @pytest.mark.parametrize("count", [3, 30])
    def test_the_number_of_queries_stays(
        self,
        finance: APIClient,
        fernwood: Subscription,
        count: int,
        django_assert_num_queries: Any,
    ) -> None:
        version = fernwood.phases.get().plan_version
        for number in range(count - 1):
            make.subscription(make.customer(f"c{number}"), version)
        close(at(12, 1, 1))
        finance.get(INVOICES)  # stamps the key's use
        with django_assert_num_queries(19):
            assert len(finance.get(INVOICES, {"limit": "100"}).json()["results"]) == 2 * count

    @pytest.mark.parametrize("count", [3, 30])
    def test_an_invoice_costs_the_same_queries_however_long(
        self, finance: APIClient, count: int, django_assert_num_queries: Any
    ) -> None:
        prices = [
            make.graduated(make.metric(), "rest @ 1", key=f"p{number}") for number in range(count)
        ]
        make.subscription(make.customer("ada"), make.published(*prices))
        [draft] = close(at(12, 1, 1))
        issuing.issue_invoices(invoice_ids=[draft.pk], as_of=at(12, 1, 1), actor=SYSTEM)
        finance.get(INVOICES)
        with django_assert_num_queries(22):
            assert len(finance.get(url(draft)).json()["lines"]) == count
        with django_assert_num_queries(15):
            finance.get(url(draft, "/explanation"))


class TestExplanation:
    def test_every_row_is_a_sum_to_check(self, finance: APIClient, november: Invoice) -> None:
        read = finance.get(url(november, "/explanation"), headers={"Accept-Language": "en"})
        explained = read.json()
        assert (explained["language"], explained["currency"]) == ("en", "EUR")
        fee, usage = explained["lines"]
        assert fee["sentences"] == ["1 month × 499.00 = 499.00"]
        assert usage["sentences"] == [
            "used 187,340 · included 100,000 · over 87,340",
            "Included in your plan: 100,000 × 0.00 = 0.00",
            "First 50,000 calls over: 50,000 × 2.00 per 1,000 = 100.00",
            "Above 50,000 calls over: 37,340 × 1.50 per 1,000 = 56.01",
        ]
        detail = finance.get(url(november), headers={"Accept-Language": "en"}).json()
        assert usage["explanation"] == detail["lines"][1]["explanation"]
        assert usage["net"] == "156.01"

    @pytest.mark.unaudited
    def test_without_use_there_is_no_sum_to_check(self, finance: APIClient) -> None:
        unused = paper.invoice(paper.Charge("API calls", "per_unit | at 1", "0"))
        [line] = finance.get(url(unused, "/explanation")).json()["lines"]
        assert (line["explanation"]["steps"], line["net"]) == ([], "0.00")
        assert not [sentence for sentence in line["sentences"] if "×" in sentence]

    def test_in_the_buyers_language(self, finance: APIClient, november: Invoice) -> None:
        explained = finance.get(url(november, "/explanation")).json()
        assert explained["language"] == "de-DE"
        assert explained["lines"][0]["sentences"] == ["1 Monat × 499,00 = 499,00"]


class TestPdf:
    def test_issued_it_is_the_kept_bytes_for_ever(
        self, finance: APIClient, november: Invoice
    ) -> None:
        issuing.issue_invoices(invoice_ids=[november.pk], as_of=at(12, 1, 12), actor=SYSTEM)
        first = finance.get(url(november, "/pdf"))
        assert (first.status_code, first["Content-Type"]) == (200, "application/pdf")
        assert first.content.startswith(b"%PDF-")
        assert first["Content-Disposition"] == 'inline; filename="INV-2026-000002.pdf"'
        sha256 = hashlib.sha256(first.content).hexdigest()
        assert first["ETag"] == f'"{sha256}"'
        assert InvoiceDocument.objects.get().sha256 == sha256
        again = finance.get(url(november, "/pdf"))
        assert again.content == first.content
        unchanged = finance.get(url(november, "/pdf"), headers={"If-None-Match": first["ETag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    def test_any_accept_header_gets_it(self, finance: APIClient, november: Invoice) -> None:
        for accept in ("application/pdf", "application/json", "*/*"):
            answer = finance.get(url(november, "/pdf"), headers={"Accept": accept})
            assert answer["Content-Type"] == "application/pdf"

    def test_a_draft_is_not_kept(self, finance: APIClient, november: Invoice) -> None:
        answer = finance.get(url(november, "/pdf"))
        assert answer.content.startswith(b"%PDF-")
        assert answer["Content-Disposition"] == f'inline; filename="draft-{november.uuid}.pdf"'
        assert (answer["Cache-Control"], answer.has_header("ETag")) == ("no-store", False)
        assert not InvoiceDocument.objects.exists()

    def test_without_pango_it_names_the_way_out(
        self, finance: APIClient, november: Invoice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> None:
            raise typesetting.PdfEngineMissing("apt-get install libpangoft2-1.0-0")

        monkeypatch.setattr(documents, "engine", missing)
        answer = finance.get(url(november, "/pdf"))
        assert refusal(answer) == (503, "pdf_engine_missing")
        assert answer["Content-Type"] == "application/problem+json"
        assert "apt-get install" in answer.json()["detail"]


class TestDeliveries:
    def test_the_outbox_makes_the_document(self, finance: APIClient, november: Invoice) -> None:
        finance.post(url(november, "/issue"))
        assert not InvoiceDocument.objects.exists()
        assert outbox.deliver_due(at=at(12, 1, 13)) == (1, 0)
        kept = InvoiceDocument.objects.get()
        assert finance.get(url(november, "/pdf"))["ETag"] == f'"{kept.sha256}"'
        assert outbox.deliver_due(at=at(12, 1, 13)) == (0, 0)

    def test_delivered_twice_it_is_the_same_document(
        self, finance: APIClient, november: Invoice
    ) -> None:
        finance.post(url(november, "/issue"))
        for _ in range(2):
            printed = Outbox.objects.filter(key=november.uuid)
            printed.update(status="pending", done_at=None, due_at=at(12, 1))
            assert outbox.deliver_due(at=at(12, 1, 13)) == (1, 0)
        assert InvoiceDocument.objects.count() == 1

    def test_one_voided_before_needs_none(self, finance: APIClient, november: Invoice) -> None:
        finance.post(url(november, "/issue"))
        finance.post(url(november, "/void"), PARTY)
        assert outbox.deliver_due(at=at(12, 1, 13)) == (1, 0)
        assert not InvoiceDocument.objects.exists()


class TestActions:
    def test_voided_it_keeps_its_number_and_is_billed_anew(
        self, finance: APIClient, november: Invoice
    ) -> None:
        finance.post(url(november, "/issue"))
        void = finance.post(url(november, "/void"), PARTY).json()
        assert (void["status"], void["number"]) == ("void", "INV-2026-000002")
        assert (void["payment_status"], void["amount_due"]) == (None, "0.00")
        assert (void["reason"], void["voided_at"]) == ("wrong buyer", "2026-12-01T12:00:00Z")
        assert void["purpose"] == "regular"
        assert close(at(12, 1, 12))[-1].status == "draft"
        assert AuditEntry.objects.filter(actor_name="finance", note="wrong buyer").exists()

    def test_voided_and_waived_it_is_not(self, finance: APIClient, november: Invoice) -> None:
        finance.post(url(november, "/issue"))
        finance.post(url(november, "/void"), PARTY | {"reopen": False})
        assert len(close(at(12, 1, 12))) == 2

    def test_discarded_it_owes_nothing(self, finance: APIClient, november: Invoice) -> None:
        gone = finance.post(url(november, "/discard"), {"reason": "a test", "reopen": False})
        assert (gone.json()["status"], gone.json()["amount_due"]) == ("discarded", "0.00")
        assert (gone.json()["later_usage"], gone.json()["auto_issue_at"]) == (None, None)
        assert finance.get(url(november, "/pdf")).status_code == 200

    def test_held_it_waits_and_released_it_goes_on(
        self, finance: APIClient, november: Invoice
    ) -> None:
        assert finance.post(url(november, "/hold")).json()["status"] == "review"
        assert finance.post(url(november, "/release")).json()["status"] == "draft"

    @pytest.mark.parametrize(
        ("before", "action", "code"),
        [
            ("issue", "issue", "invoice_not_draft"),
            ("issue", "recalculate", "invoice_not_draft"),
            ("issue", "hold", "invoice_not_draft"),
            ("issue", "discard", "invoice_not_draft"),
            ("discard", "issue", "invoice_not_draft"),
            ("discard", "void", "invoice_not_issued"),
            ("hold", "hold", "invoice_not_draft"),
            ("hold", "void", "invoice_not_issued"),
            ("release", "release", "invoice_not_draft"),
        ],
    )
    def test_what_the_state_forbids(
        self, finance: APIClient, november: Invoice, before: str, action: str, code: str
    ) -> None:
        with_reason = {"void", "discard"}
        finance.post(url(november, f"/{before}"), PARTY if before in with_reason else {})
        november.refresh_from_db()
        answer = finance.post(url(november, f"/{action}"), PARTY if action in with_reason else {})
        assert refusal(answer) == (409, code)
        assert Invoice.objects.get(pk=november.pk).status == november.status

    def test_after_the_month_it_is_not_voided(
        self, finance: APIClient, november: Invoice, time_machine: Any
    ) -> None:
        finance.post(url(november, "/issue"))
        time_machine.move_to("2027-01-01T12:00:00Z", tick=False)
        assert refusal(finance.post(url(november, "/void"), PARTY)) == (409, "tax_period_over")

    @pytest.mark.parametrize(
        ("action", "body", "expected"),
        [
            pytest.param("void", {}, {"/reason": "required"}, id="no reason"),
            pytest.param("void", {"reason": " "}, {"/reason": "blank"}, id="a blank one"),
            pytest.param("void", {"reason": 5}, {"/reason": "invalid"}, id="a number"),
            pytest.param(
                "void", {"reason": "a\u202eb"}, {"/reason": "invisible"}, id="a bidi override"
            ),
            pytest.param(
                "discard", {"reason": "x" * 2001}, {"/reason": "max_length"}, id="a long one"
            ),
            pytest.param(
                "discard",
                {"reason": "x", "reopen": "true"},
                {"/reopen": "invalid"},
                id="a text for yes",
            ),
            pytest.param(
                "discard",
                {"reopen": 1, "status": "void", "total": "0"},
                {
                    "/reason": "required",
                    "/reopen": "invalid",
                    "/status": "unknown_field",
                    "/total": "unknown_field",
                },
                id="all at once",
            ),
            pytest.param("issue", {"number": "X-1"}, {"/number": "unknown_field"}, id="a number"),
            pytest.param("recalculate", {"x": 1}, {"/x": "unknown_field"}, id="a field too many"),
            pytest.param("hold", {"reason": "x"}, {"/reason": "unknown_field"}, id="hold"),
            pytest.param("release", {"at": "x"}, {"/at": "unknown_field"}, id="release"),
        ],
    )
    def test_what_is_faulty(
        self,
        finance: APIClient,
        november: Invoice,
        action: str,
        body: dict[str, Any],
        expected: dict[str, str],
    ) -> None:
        assert faults(finance.post(url(november, f"/{action}"), body)) == expected
        assert Invoice.objects.get(pk=november.pk).status == "draft"

    @pytest.mark.django_db(transaction=True)
    def test_issued_twice_under_one_key_it_is_issued_once(
        self, finance: APIClient, november: Invoice
    ) -> None:
        headers = {"Idempotency-Key": "issue-november"}
        first = finance.post(url(november, "/issue"), headers=headers)
        again = finance.post(url(november, "/issue"), headers=headers)
        assert (first.status_code, again.content) == (200, first.content)
        assert refusal(finance.post(url(november, "/issue"))) == (409, "invoice_not_draft")


class TestUpcoming:
    URL = "/api/v1/subscriptions/fernwood-scale/upcoming-invoice"

    def test_it_is_an_invoice_that_is_not_stored(
        self, finance: APIClient, fernwood: Subscription, time_machine: Any
    ) -> None:
        close(at(11, 1))
        time_machine.move_to("2026-11-20T12:00:00Z", tick=False)
        before = rows()
        upcoming = finance.get(self.URL, headers={"Accept-Language": "en"}).json()
        assert rows() == before
        assert (upcoming["status"], upcoming["number"], upcoming["id"]) == ("upcoming", None, None)
        assert (upcoming["net_total"], upcoming["total"]) == ("655.01", "779.46")
        assert [line["id"] for line in upcoming["lines"]] == [None, None]
        time_machine.move_to("2026-12-01T12:00:00Z", tick=False)
        drawn = finance.get(url(close(at(12, 1, 1))[-1])).json()
        assert set(drawn) == {*upcoming, "deliveries", "dispute", "later_usage", "reminders"}
        for before_, after in zip(upcoming["lines"], drawn["lines"], strict=True):
            assert {**before_, "id": 0, "explanation": 0} == {**after, "id": 0, "explanation": 0}

    def test_before_anything_was_begun(
        self, finance: APIClient, fernwood: Subscription, time_machine: Any
    ) -> None:
        time_machine.move_to("2026-11-20T12:00:00Z", tick=False)
        before = rows()
        assert len(finance.get(self.URL).json()["lines"]) == 2
        assert rows() == before

    def test_there_is_none_before_the_start(
        self, finance: APIClient, fernwood: Subscription, time_machine: Any
    ) -> None:
        time_machine.move_to("2026-10-20T12:00:00Z", tick=False)
        assert refusal(finance.get(self.URL)) == (409, "nothing_upcoming")

    @pytest.mark.parametrize("count", [3, 30])
    def test_it_measures_once_per_metric(
        self, finance: APIClient, count: int, django_assert_max_num_queries: Any
    ) -> None:
        prices = [make.flat(f"p{number}", "1") for number in range(count)]
        ada = make.subscription(make.customer("ada"), make.published(*prices))
        path = f"/api/v1/subscriptions/{ada.key}/upcoming-invoice"
        finance.get(path)
        with django_assert_max_num_queries(19):
            assert len(finance.get(path).json()["lines"]) == count

    def test_who_may_see_it(self, caller: Caller, fernwood: Subscription) -> None:
        assert caller("billing:read").get(self.URL).status_code == 200
        assert caller("customers:read", "billing:write").get(self.URL).status_code == 403
        assert APIClient().get(self.URL).status_code == 401
        missing = self.URL.replace("fernwood-scale", "oakwood-scale")
        assert caller("billing:read").get(missing).status_code == 404
        assert caller("billing:read").get(f"{self.URL}?at=now").status_code == 400


def rows() -> dict[str, int]:
    """Count the rows of every table but that of keys, which note their use."""
    from django.apps import apps  # noqa: PLC0415

    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


class TestWhoMay:
    READS = ("", "/pdf", "/explanation")
    WRITES = ("/issue", "/void", "/discard", "/recalculate", "/hold", "/release")

    def test_rita_reads(self, caller: Caller, november: Invoice) -> None:
        rita = caller("billing:read", name="rita")
        for path in self.READS:
            assert rita.get(url(november, path)).status_code == 200
        for path in self.WRITES:
            assert rita.post(url(november, path), PARTY).status_code == 403
        assert Invoice.objects.get(pk=november.pk).status == "draft"

    def test_wim_writes_and_does_not_read(self, caller: Caller, november: Invoice) -> None:
        wim = caller("billing:write", name="wim")
        for path in self.READS:
            assert wim.get(url(november, path)).status_code == 403
        assert wim.get(INVOICES).status_code == 403
        assert wim.post(url(november, "/hold")).status_code == 200

    def test_a_stranger_sees_and_does_nothing(self, caller: Caller, november: Invoice) -> None:
        others = [
            f"{area}:{do}"
            for area in ("events", "catalog", "customers")
            for do in ("read", "write")
        ]
        for client, status in ((caller(*others), 403), (APIClient(), 401)):
            assert client.get(INVOICES).status_code == status
            for path in self.READS:
                assert client.get(url(november, path)).status_code == status
            for path in self.WRITES:
                assert client.post(url(november, path), PARTY).status_code == status
        assert Invoice.objects.get(pk=november.pk).status == "draft"

    def test_what_is_not_there(self, finance: APIClient, november: Invoice) -> None:
        run = BillingRun.objects.get()
        for name in (NOBODY, november.pk, run.uuid, "-" * 36, "INV-2026-000002", "%00", "a" * 36):
            for path in self.READS:
                assert finance.get(f"{INVOICES}/{name}{path}").status_code == 404, (name, path)
            for path in self.WRITES:
                assert finance.post(f"{INVOICES}/{name}{path}", PARTY).status_code == 404

    @pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
    def test_an_invoice_is_never_edited(
        self, finance: APIClient, november: Invoice, method: str
    ) -> None:
        for path in (url(november), url(november, "/issue"), INVOICES):
            assert getattr(finance, method)(path, {"total": "0"}).status_code == 405
        assert finance.post(INVOICES, {}).status_code == 405
        assert finance.get(url(november, "/issue")).status_code == 405
