"""Electronic invoices: valid by EN 16931 whatever is billed, the same as the paper, or told before issue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pypdf import PdfReader
from rest_framework.test import APIClient

from billing import documents
from billing.credit_documents import credit_note_pdf, view_of
from billing.documents import pdf_of
from billing.electronic.carrying import xml_in
from billing.electronic.demands import ElectronicInvoiceIncomplete, has_xml
from billing.models import (
    CreditNote,
    CreditNoteDocument,
    ExchangeRate,
    Invoice,
    InvoiceDocument,
)
from billing.presentation import present
from billing.services import issuing, life
from billing.services.exchange_rates import add_exchange_rate
from billing.services.life import When
from catalog.models import PlanVersion
from catalog.money import exponent, round_half_up
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.electronic import seller_demands
from customers.models import Customer, Issuer, Subscription
from customers.services import change_issuer
from metering.events import event_key
from metering.services import replace_event
from tests import factories as make
from tests.billing import test_worked_example as worked
from tests.billing.crediting import credit
from tests.billing.machine import COMPLETE, ON, Machine
from tests.billing.months import close, contradictions, use
from tests.billing.schematron import broken_rules, stop_engine
from tests.billing.test_worked_example import fernwood  # noqa: F401
from tests.customers import door
from tests.staff import anna, leo, page, said

pytestmark = [pytest.mark.django_db, pytest.mark.once]
D = Decimal
Caller = Callable[..., APIClient]
BUYER = {"line1": "Speicherstraße 1", "city": "Hamburg", "country": "DE", "vat_id": "DE129273398"}


@pytest.fixture(scope="module", autouse=True)
def _one_engine() -> Iterator[None]:
    yield
    stop_engine()


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture(autouse=True)
def _nothing_contradicts_itself() -> Iterator[None]:
    yield
    assert not contradictions(datetime(2027, 3, 1, tzinfo=UTC), but=["periods_close_in_time"])


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def seller(**fields: Any) -> Issuer:
    """Let the issuer make electronic invoices, at 19 % unless told otherwise."""
    terms = {"tax_status": "standard", "standard_tax_rate": D(19), **ON, **fields}
    return change_issuer(issuer_id=Issuer.objects.get().pk, fields=terms, actor=SYSTEM)


def issued(draft: Invoice, moment: datetime) -> Invoice:
    if draft.is_open:
        issuing.issue_invoices(invoice_ids=[draft.pk], as_of=moment, actor=SYSTEM)
    return Invoice.objects.with_lines().get(pk=draft.pk)


def read(found: Invoice) -> Machine:
    """Read an issued invoice as its buyer's machine does, once it is valid and says what the paper says."""
    xml = xml_in(pdf_of(found))
    assert broken_rules(xml) == []
    told, view = Machine(xml), present(found)
    places = len(f"{D(told.total('GrandTotalAmount')):f}".partition(".")[2])
    assert told.total("GrandTotalAmount") == f"{found.total:.{places}f}"
    assert told.total("TaxBasisTotalAmount") == f"{found.net_total:.{places}f}"
    shown = [(line.name, line.net.replace(",", "").replace("−", "-")) for line in view.lines]
    if shown:
        assert [(name, net) for name, _, _, net in told.lines] == shown
    for _, quantity, price, net in told.lines:
        assert round_half_up(D(quantity) * D(price), places) == D(net)
    return told


# The months that are billed


def opening(subscription: Subscription) -> Invoice:
    """The first fee of the worked example."""
    return issued(close(at(11, 1))[0], at(11, 2))


def november(subscription: Subscription) -> Invoice:
    worked.use_november()
    return issued(close(at(12, 1, 1))[-1], at(12, 2))


def promoted(subscription: Subscription) -> Invoice:
    """The worked example with promotion and deposit."""
    promotion = make.coupon("launch", name="Launch promotion", amount=D(50))
    make.applied_coupon(subscription, promotion, starts_on=date(2026, 12, 1))
    make.payment(
        subscription.customer, "800", kind="deposit", max_per_invoice=D(200), at=at(11, 30)
    )
    return november(subscription)


@pytest.fixture
def buyer(fernwood: Subscription) -> Subscription:  # noqa: F811
    """Fernwood's subscription to Scale, from a seller of electronic invoices."""
    seller()
    for name, value in BUYER.items():
        setattr(fernwood.customer, name, value)
    fernwood.customer.purchase_order = "PO-4471"
    fernwood.customer.save()
    return fernwood


def test_the_worked_example_with_promotion_and_deposit(buyer: Subscription) -> None:
    told = read(promoted(buyer))
    assert told.lines == [
        ("Platform base fee", "1", "499", "499.00"),
        ("API calls", "1", "156.01", "156.01"),
        ("Storage", "1", "3.90", "3.90"),
    ]
    assert "First 50,000 calls over: 50,000 × 2.00 per 1,000 = 100.00" in told.notes[0]
    assert told.all("SpecifiedTradeAllowanceCharge/ActualAmount") == ["50.00"]
    assert told["SpecifiedTradeAllowanceCharge/Reason"] == "Launch promotion"
    totals = {
        "LineTotalAmount": "658.91",
        "AllowanceTotalAmount": "50.00",
        "TaxBasisTotalAmount": "608.91",
        "TaxTotalAmount": "115.69",
        "GrandTotalAmount": "724.60",
        # The opening has taken 200.00 of the deposit before.
        "TotalPrepaidAmount": "200.00",
        "DuePayableAmount": "524.60",
    }
    assert {name: told.total(name) for name in totals} == totals
    assert told["BuyerOrderReferencedDocument/IssuerAssignedID"] == "PO-4471"
    assert told["PayeePartyCreditorFinancialAccount/IBANID"] == "DE89370400440532013000"
    assert told["SpecifiedTradeSettlementPaymentMeans/TypeCode"] == "58"
    assert told["SpecifiedTradePaymentTerms/DueDateDateTime"] == "20270101"
    assert told.all("SpecifiedTaxRegistration/ID") == ["DE136695976", "DE129273398"]


def exempt(**fields: Any) -> Invoice:
    seller(tax_status="exempt", tax_reason="Section 19 UStG", **fields)
    return issued(make_november(make.customer(**BUYER)), at(12, 2))


def make_november(customer: Any, **terms: Any) -> Invoice:
    """A draft over a fee of 499 and 12.5 units at 0.3, for a customer of ours."""
    units = make.metric(rounding_scale=1)
    price = make.graduated(units, "rest @ 0.3", key="units")
    version = make.published(make.flat(), price, currency=customer.currency)
    subscription = make.subscription(customer, version, **terms)
    use(subscription, at(11, 5), calls="12.5")
    return close(at(12, 1, 1))[-1]


def abroad(**fields: Any) -> Invoice:
    seller()
    return issued(make_november(make.customer(**{**BUYER, **fields})), at(12, 2))


def in_dollars() -> Invoice:
    """Taxed in Germany, and told in euros, too."""
    rate = ExchangeRate(
        base="EUR", quote="USD", rate=D("1.25"), date=date(2026, 11, 1), source="ECB"
    )
    add_exchange_rate(rate=rate, actor=SYSTEM)
    seller()
    return issued(make_november(make.customer(currency="USD", **BUYER)), at(12, 2))


def nothing_due() -> Invoice:
    seller()
    version = make.published(make.graduated(make.metric(), "rest @ 1", included_quantity=D(100)))
    subscription = make.subscription(make.customer(**BUYER), version)
    use(subscription, at(11, 5), calls=40)
    return issued(close(at(12, 1, 1))[-1], at(12, 2))


def plan() -> PlanVersion:
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100))
    return make.published(make.flat("base", "10"), calls)


def less_than_billed() -> Invoice:
    """Ten calls were taken back after September was billed."""
    seller()
    ada = make.subscription(make.customer("ada", **BUYER), plan(), starts_on=date(2026, 9, 1))
    use(ada, at(9, 10), calls=110, id="first")
    close(at(10, 2))
    key = UUID(bytes=event_key("test", "first"))
    replace_event(key=key, data={"calls": 104}, reason="Wrong.", at=at(10, 5), actor=SYSTEM)
    return issued(close(at(11, 2))[-1], at(11, 3))


def fee_credited() -> Invoice:
    """Cancelled on the 20th: ten of thirty days of the fee come back beside 142 calls over."""
    seller()
    ada = make.subscription(make.customer("ada", **BUYER), plan(), starts_on=date(2026, 9, 1))
    issued(close(at(9, 1))[-1], at(9, 1))
    use(ada, at(9, 5), calls=209)
    life.cancel(subscription_id=ada.pk, when=When("immediate"), at=at(9, 20), actor=SYSTEM)
    return issued(close(at(9, 21, 1))[-1], at(9, 21))


def sold_once() -> Invoice:
    """An add-on of half a piece beside a fee."""
    seller()
    subscription = make.subscription(make.customer(**BUYER), starts_on=date(2026, 11, 1))
    close(at(11, 1))
    make.sold_add_on(subscription, make.add_on(unit_amount=D("33.33")), quantity=D("0.5"))
    return issued(close(at(12, 1, 1))[-1], at(12, 2))


@pytest.mark.parametrize(
    ("bill", "categories", "total", "line"),
    [
        pytest.param(
            lambda: abroad(), ["S"], "598.27", ("Units", "1", "3.75", "3.75"), id="at home"
        ),
        pytest.param(
            lambda: abroad(country="FR", vat_id="FR40303265045"),
            ["AE"],
            "502.75",
            None,
            id="reverse charge names the buyer's VAT ID and why",
        ),
        pytest.param(
            lambda: abroad(country="US", vat_id=""), ["O"], "502.75", None, id="outside the EU"
        ),
        pytest.param(lambda: exempt(), ["E"], "502.75", None, id="exempt, by the law that says so"),
        pytest.param(
            lambda: abroad(country="XK", vat_id=""), ["O"], "502.75", None, id="Kosovo's own code"
        ),
        pytest.param(lambda: in_dollars(), ["S"], "598.27", None, id="in dollars, taxed in euros"),
        pytest.param(
            lambda: nothing_due(), ["S"], "0.00", ("Usage", "1", "0.00", "0.00"), id="zero"
        ),
        pytest.param(
            lambda: less_than_billed(),
            ["S"],
            "4.76",
            ("Late usage: Calls", "-1", "6.00", "-6.00"),
            id="a late line below zero",
        ),
        pytest.param(
            lambda: fee_credited(),
            ["S"],
            None,
            ("Credit: Base", "-1", "3.33", "-3.33"),
            id="a credit of unused days",
        ),
        pytest.param(
            lambda: sold_once(), ["S"], None, ("Add-on", "0.5", "33.33", "16.67"), id="an add-on"
        ),
    ],
)
def test_every_month_is_valid(
    bill: Callable[[], Invoice],
    categories: list[str],
    total: str | None,
    line: tuple[str, ...] | None,
) -> None:
    told = read(bill())
    assert told.all("ApplicableHeaderTradeSettlement/ApplicableTradeTax/CategoryCode") == categories
    if total:
        assert told.total("GrandTotalAmount") == total
    if line:
        assert line[1:] in [one[1:] for one in told.lines]


def test_the_opening_is_valid(buyer: Subscription) -> None:
    told = read(opening(buyer))
    assert told.lines == [("Platform base fee", "1", "499", "499.00")]


def test_dollars_state_the_tax_in_euros(settings: LazySettings) -> None:
    told = read_all(in_dollars())
    assert told["TaxCurrencyCode"] == "EUR"
    assert told.all("TaxTotalAmount") == ["95.52", "76.42"]
    assert any("at 1 EUR = 1.25 USD (ECB" in note for note in told.all("IncludedNote/Content"))


def read_all(found: Invoice) -> Machine:
    """Read it without the checks that expect one tax total."""
    xml = xml_in(pdf_of(found))
    assert broken_rules(xml) == []
    return Machine(xml)


def test_reverse_charge_says_why(buyer: Subscription) -> None:
    told = read(abroad(country="FR", vat_id="FR40303265045"))
    assert told["ExemptionReasonCode"] == "VATEX-EU-AE"
    assert told["ExemptionReason"].startswith("Reverse charge")
    assert told.all("SpecifiedTaxRegistration/ID")[-1] == "FR40303265045"


def test_out_of_scope_names_nobodys_vat_id() -> None:
    told = read(abroad(country="US", vat_id=""))
    assert told.all("SpecifiedTaxRegistration/ID") == []
    assert told["SpecifiedLegalOrganization/ID"] == "Amtsgericht Berlin HRB 000000"


# Credit notes


def read_note(note: CreditNote) -> Machine:
    """Read a credit note as a machine does, once it is valid and says what the paper says."""
    xml = xml_in(credit_note_pdf(note))
    assert broken_rules(xml) == []
    told = Machine(xml)
    assert told.kind == "381"
    assert told["InvoiceReferencedDocument/IssuerAssignedID"] == str(note.invoice)
    assert told["InvoiceReferencedDocument/FormattedIssueDateTime"] == (
        f"{note.invoice.issue_date:%Y%m%d}"
    )
    places = exponent(note.currency)
    assert told.total("GrandTotalAmount") == f"{note.total:.{places}f}"
    assert told.total("DuePayableAmount") == f"{note.total:.{places}f}"
    shown = [(one.name, one.net.replace(",", "").replace("−", "-")) for one in view_of(note).lines]
    assert [(name, net) for name, _, _, net in told.lines] == shown
    for _, quantity, price, net in told.lines:
        assert D(quantity) * D(price) == D(net)
    return told


@pytest.mark.parametrize(
    ("bill", "part", "total"),
    [
        pytest.param(lambda: abroad(), "", "598.27", id="all, at home"),
        pytest.param(lambda: abroad(), "base 10.00", "11.90", id="some of a line"),
        pytest.param(lambda: abroad(), "units ×2.5", "0.89", id="some units"),
        pytest.param(
            lambda: abroad(country="FR", vat_id="FR40303265045"), "", "502.75", id="reverse charge"
        ),
        pytest.param(lambda: abroad(country="US", vat_id=""), "", "502.75", id="out of scope"),
        pytest.param(lambda: exempt(), "base 1", "1.00", id="exempt"),
        pytest.param(lambda: less_than_billed(), "", "4.76", id="with a negative line"),
        pytest.param(lambda: fee_credited(), "", None, id="with a credit of unused days"),
        pytest.param(lambda: sold_once(), "", None, id="an add-on"),
    ],
)
def test_a_credit_note_is_valid(bill: Callable[[], Invoice], part: str, total: str | None) -> None:
    note = credit(bill(), part, at=at(12, 20))
    told = read_note(note)
    assert total is None or told.total("GrandTotalAmount") == total
    assert f"Reason: {note.reason}" in told.all("IncludedNote/Content")


def test_a_credit_note_in_dollars_states_the_tax_in_euros() -> None:
    note = credit(in_dollars(), at=at(12, 20))
    xml = xml_in(credit_note_pdf(note))
    assert broken_rules(xml) == []
    assert Machine(xml).all("TaxTotalAmount") == ["95.52", "76.42"]


def test_a_credit_note_that_comes_by_itself_is_valid() -> None:
    """Cancelled on the 20th without a call: the fee of ten days is credited of its invoice."""
    seller()
    ada = make.subscription(make.customer("ada", **BUYER), plan(), starts_on=date(2026, 9, 1))
    issued(close(at(9, 1))[-1], at(9, 1))
    life.cancel(subscription_id=ada.pk, when=When("immediate"), at=at(9, 20), actor=SYSTEM)
    last = issued(close(at(9, 21, 1))[-1], at(9, 21))
    told = read_note(CreditNote.objects.get(issued_with=last))
    assert told.total("TaxBasisTotalAmount") == "3.33"


def test_a_credit_note_made_again_has_the_same_bytes() -> None:
    note = credit(abroad(), at=at(12, 20))
    pdf = credit_note_pdf(note)
    documents.document_path(CreditNoteDocument.objects.get().sha256).unlink()
    seller(legal_name="Somebody Else AG", electronic_invoices=False)
    assert credit_note_pdf(note) == pdf


def test_without_electronic_invoices_it_is_a_pdf_alone() -> None:
    found = abroad()
    seller(electronic_invoices=False)
    note = credit(found, at=at(12, 20))
    assert not PdfReader(BytesIO(credit_note_pdf(note))).attachments


def test_a_credit_note_that_would_be_invalid_is_refused_by_name() -> None:
    found = abroad()
    Customer.objects.update(country="")
    with pytest.raises(ElectronicInvoiceIncomplete, match="names the country of"):
        credit(found, at=at(12, 20))
    assert not CreditNote.objects.exists()


# References and tax numbers


def test_the_buyer_s_reference_and_the_seller_s_tax_number() -> None:
    seller(tax_number="29/015/12345")
    found = issued(
        make_november(make.customer(buyer_reference="04011000-12345-34", **BUYER)), at(12, 2)
    )
    told = read(found)
    assert told["BuyerReference"] == "04011000-12345-34"
    assert told.all("SpecifiedTaxRegistration/ID") == [
        "DE136695976", "29/015/12345", "DE129273398"
    ]  # fmt: skip
    paper = "".join(one.extract_text() for one in PdfReader(BytesIO(pdf_of(found))).pages)
    assert "Your reference 04011000-12345-34" in " ".join(paper.split())
    assert "Tax number 29/015/12345" in " ".join(paper.split())
    assert read_note(credit(found, at=at(12, 20)))["BuyerReference"] == "04011000-12345-34"


def test_a_tax_number_does_for_a_vat_id() -> None:
    seller(vat_id="", tax_number="29/015/12345")
    told = read(issued(make_november(make.customer(**BUYER)), at(12, 2)))
    assert told.all("SpecifiedTaxRegistration/ID") == ["29/015/12345", "DE129273398"]


@pytest.mark.parametrize("number", ["abc", "29_015", "", "///", "1\n2"])
def test_a_tax_number_is_digits_and_capital_letters(number: str) -> None:
    issuer = Issuer.objects.get()
    issuer.tax_number = number
    faults = {}
    try:
        issuer.full_clean()
    except ValidationError as refused:
        faults = refused.message_dict
    assert ("tax_number" in faults) == bool(number)


# The document that is kept


def test_made_again_it_has_the_same_bytes(buyer: Subscription) -> None:
    found = november(buyer)
    pdf = pdf_of(found)
    path = documents.document_path(InvoiceDocument.objects.get(invoice=found).sha256)
    path.unlink()
    seller(legal_name="Somebody Else AG", electronic_invoices=False)
    assert pdf_of(Invoice.objects.with_lines().get(pk=found.pk)) == pdf


def test_the_engine_that_validates_stays_out_of_the_product() -> None:
    script = (
        "import django, os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; "
        "django.setup(); import config.urls, billing.tasks, billing.documents; "
        "print('saxonche' in sys.modules, 'facturx' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


# What is missing is told before


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"country": ""}, ["country"], id="a country"),
        pytest.param({"legal_name": "Your company"}, ["legal_name"], id="the name of a beginner"),
        pytest.param({"line1": "", "city": ""}, ["line1", "city"], id="an address"),
        pytest.param({"vat_id": ""}, ["vat_id"], id="a VAT ID, whatever the register says"),
        pytest.param({"vat_id": "", "tax_number": "29/015/1"}, [], id="but for a tax number"),
        pytest.param(
            {"vat_id": "", "tax_number": "29/015/1", "register_entry": ""},
            ["register_entry"],
            id="which no register entry makes an identity",
        ),
        pytest.param({"country": "US", "vat_id": "1234567"}, ["vat_id"], id="one of no country"),
        pytest.param(
            {"vat_id": "", "tax_status": "out_of_scope"},
            [],
            id="out of scope, the register will do",
        ),
        pytest.param(
            {"vat_id": "", "register_entry": "", "tax_status": "out_of_scope"},
            ["register_entry"],
            id="but something must identify the seller",
        ),
    ],
)
def test_the_switch_says_what_the_seller_lacks(fields: dict[str, str], lacking: list[str]) -> None:
    terms = {"tax_status": "standard", **ON, **fields}
    missing = [demand.field for demand in seller_demands(terms) if not demand.is_met]
    assert missing == lacking
    if lacking:
        with pytest.raises(Invalid) as refused:
            seller(**fields)
        assert [fault.path for fault in refused.value.faults] == [(name,) for name in lacking]
        assert not Issuer.objects.get().electronic_invoices
    else:
        assert seller(**fields).electronic_invoices


def test_what_it_names_is_not_taken_away_while_it_is_on() -> None:
    seller()
    with pytest.raises(Invalid, match="name your country"):
        seller(country="")


def test_the_form_says_it_beside_the_field_and_lists_what_is_there() -> None:
    client, issuer = leo(), Issuer.objects.get()
    url = page("customers_issuer", "change", issuer.pk)
    shown = client.get(url)
    words = said(shown)
    assert "Off. Before they can be switched on, enter your registered name, address" in words
    form = shown.context["adminform"].form
    values = {name: form.initial.get(name) or "" for name in form.fields}
    posted = {k: v for k, v in values.items() if v is not False and k != "logo_file"}
    refused = client.post(url, {**posted, "electronic_invoices": "on", "country": "DE"})
    errors = refused.context["adminform"].form.errors
    assert set(errors) == {"legal_name", "line1", "city", "register_entry"}
    named = {key: COMPLETE[key] for key in ("legal_name", "line1", "city", "country", "vat_id")}
    saved = client.post(url, {**posted, "electronic_invoices": "on", **named}, follow=True)
    assert "was changed successfully" in said(saved)
    words = said(client.get(url))
    assert "On: the PDF of every invoice issued from now on carries it as XML" in words


def nowhere(**fields: Any) -> Invoice:
    """A draft for somebody without a country."""
    seller()
    return make_november(make.customer("ada", **fields))


def mixed() -> Invoice:
    """A credit of a fee that was taxed, beside calls that are out of scope since they moved."""
    seller()
    customer = make.customer("ada", **BUYER)
    ada = make.subscription(customer, plan(), starts_on=date(2026, 9, 1))
    issued(close(at(9, 1))[-1], at(9, 1))
    use(ada, at(9, 5), calls=209)
    customer.country, customer.vat_id = "US", ""
    customer.save()
    life.cancel(subscription_id=ada.pk, when=When("immediate"), at=at(9, 20), actor=SYSTEM)
    return close(at(9, 21, 1))[-1]


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        pytest.param(
            nowhere, "the country of Ada (BR-11): enter it", id="a buyer without a country"
        ),
        pytest.param(mixed, "nothing out of scope of tax beside what is taxed", id="both at once"),
    ],
)
def test_what_would_be_invalid_is_not_issued(
    draw: Callable[[], Invoice], sentence: str, caller: Caller
) -> None:
    draft = draw()
    with pytest.raises(ElectronicInvoiceIncomplete, match="electronic invoice") as refused:
        issued(draft, at(12, 2))
    assert sentence in str(refused.value)
    answer = caller().post(f"/api/v1/invoices/{draft.uuid}/issue", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "electronic_invoice_incomplete")
    client = leo()
    assert sentence in said(client.get(page("billing_invoice", "change", draft.pk)))
    assert sentence in said(client.get(f"/admin/billing/invoice/step/issue/?ids={draft.pk}"))
    Issuer.objects.update(electronic_invoices=False)
    assert not has_xml(issued(draft, at(12, 2)))


def test_before_a_close_it_is_said_whose_country_is_missing(caller: Caller) -> None:
    nowhere()
    asked = caller().get("/api/v1/billing/readiness", {"month": "2026-12-01"})
    assert asked.json()["buyers_without_country"] == 1
    words = said(anna().get("/admin/billing/billingrun/close/", {"month": "2026-12"}))
    assert "1 customer has no country, which electronic invoices name: its invoices" in words
    url = page("customers_issuer", "change", Issuer.objects.get().pk)
    assert "1 customer without a country" in said(leo().get(url))


def test_issuing_asks_the_same_however_many() -> None:
    seller()
    counts = []
    for some in (1, 4):
        drafts = [make_november(make.customer(**BUYER)).pk for _ in range(some)]
        with CaptureQueriesContext(connection) as asked:
            issuing.issue_invoices(invoice_ids=drafts, as_of=at(12, 2), actor=SYSTEM)
        counts.append(len(asked))
    assert counts[0] == counts[1]


# Where it is had


class TestWhereItIsHad:
    def test_a_credit_note_s(self, caller: Caller) -> None:
        note = credit(abroad(), at=at(12, 20))
        xml = xml_in(credit_note_pdf(note))
        client = caller("billing:read")
        url = f"/api/v1/credit-notes/{note.uuid}"
        assert client.get(url).json()["has_xml"] is True
        answer = client.get(f"{url}/xml")
        assert (answer.status_code, answer.content) == (200, xml)
        admin = anna()
        url = page("billing_creditnote", "xml", note.pk)
        assert url in admin.get(page("billing_creditnote", "change", note.pk)).content.decode()
        handed = admin.get(url)
        assert handed.content == xml
        assert handed["Content-Disposition"] == 'attachment; filename="cn-2026-000001.xml"'
        ada = door.signed_in(door.contact(note.invoice.customer, "ada@fernwood.example"))
        address = f"/portal/credit-notes/{note.uuid}/"
        assert "As XML for your accounting" in said(ada.get(address))
        assert ada.get(f"{address}xml/").content == xml

    def test_a_credit_note_without_one_says_why(self, caller: Caller) -> None:
        note = credit(make.issued(), at=at(12, 20))
        answer = caller("billing:read").get(f"/api/v1/credit-notes/{note.uuid}/xml")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_electronic_invoice")
        url = page("billing_creditnote", "xml", note.pk)
        assert "its issuer had not switched them on" in said(anna().get(url, follow=True))

    def test_over_the_api(self, buyer: Subscription, caller: Caller) -> None:
        found = november(buyer)
        client = caller("billing:read")
        url = f"/api/v1/invoices/{found.uuid}"
        assert client.get(url).json()["has_xml"] is True
        answer = client.get(f"{url}/xml")
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/xml")
        assert answer["Content-Disposition"] == f'inline; filename="{found.number}.xml"'
        assert answer.content == xml_in(pdf_of(found))
        again = client.get(f"{url}/xml", headers={"If-None-Match": answer["ETag"]})
        assert again.status_code == 304

    def test_a_draft_has_none(self, buyer: Subscription, caller: Caller) -> None:
        worked.use_november()
        draft = close(at(12, 1, 1))[-1]
        answer = caller("billing:read").get(f"/api/v1/invoices/{draft.uuid}/xml")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_electronic_invoice")

    def test_dinars_have_none_and_say_why(self, caller: Caller) -> None:
        seller()
        found = issued(make_november(make.customer(currency="KWD", country="KW")), at(12, 2))
        assert xml_free(found)
        answer = caller("billing:read").get(f"/api/v1/invoices/{found.uuid}/xml")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_electronic_invoice")
        assert "KWD has 3 decimals" in answer.json()["detail"]
        client = anna()
        words = said(client.get(page("billing_invoice", "change", found.pk)))
        assert "KWD has 3 decimals, and EN 16931 writes amounts with 2 at most" in words
        url = page("billing_invoice", "xml", found.pk)
        assert "No XML. KWD has 3 decimals" in said(client.get(url, follow=True))

    def test_in_the_admin(self, buyer: Subscription) -> None:
        found = november(buyer)
        client = anna()
        url = page("billing_invoice", "xml", found.pk)
        assert url in client.get(page("billing_invoice", "change", found.pk)).content.decode()
        answer = client.get(url)
        assert answer.content == xml_in(pdf_of(found))
        assert answer["Content-Disposition"] == 'attachment; filename="inv-2026-000002.xml"'

    def test_in_the_portal(self, buyer: Subscription) -> None:
        found = november(buyer)
        ada = door.signed_in(door.contact(buyer.customer, "ada@fernwood.example"))
        address = f"/portal/invoices/{found.uuid}/"
        assert "As XML for your accounting" in said(ada.get(address))
        answer = ada.get(f"{address}xml/")
        assert answer.content == xml_in(pdf_of(found))
        stranger = door.signed_in(door.contact(make.customer("other"), "eve@other.example"))
        assert stranger.get(f"{address}xml/").status_code == 404
        Issuer.objects.update(electronic_invoices=False)
        later = close(at(1, 1).replace(year=2027, hour=1))[-1]
        later = issued(later, at(1, 2).replace(year=2027))
        address = f"/portal/invoices/{later.uuid}/"
        assert "As XML" not in said(ada.get(address))
        assert ada.get(f"{address}xml/").status_code == 404


def xml_free(found: Invoice) -> bool:
    return not PdfReader(BytesIO(pdf_of(found))).attachments
