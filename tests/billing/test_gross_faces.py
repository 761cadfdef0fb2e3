"""Prices that include tax on paper, in the portal, by API and for machines (R29, R34)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal as D
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.urls import reverse
from pypdf import PdfReader
from rest_framework.test import APIClient

from billing.annexes import told_change
from billing.documents import pdf_of
from billing.electronic.carrying import xml_in
from billing.electronic.writing import electronic_invoice
from billing.models import Invoice
from billing.presentation import present
from billing.services.upcoming import upcoming_invoice
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from customers.services import change_issuer
from tests import factories as make
from tests.billing.machine import ON, Machine
from tests.billing.months import close, use
from tests.billing.schematron import broken_rules, stop_engine
from tests.billing.test_gross_prices import (
    DEC,
    at,
    consumer,
    december,
    issue,
    subscribed,
    used,
)
from tests.billing.test_gross_prices import seller as seller  # noqa: PLC0414 - a fixture
from tests.customers import door
from tests.staff import leo, page, said

pytestmark = [pytest.mark.django_db, pytest.mark.once]
Caller = Callable[..., APIClient]


@pytest.fixture(scope="module", autouse=True)
def _one_engine() -> Iterator[None]:
    yield
    stop_engine()


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path


def with_coupon() -> Invoice:
    """December's fee and November's usage, less 5.00, for a consumer who paid a deposit of 4.34."""
    subscription = subscribed(consumer(key="mila", name="Mila", line1="Kai 1", city="Kiel"))
    coupon = make.coupon("five", name="Five off", amount=D(5))
    make.applied_coupon(subscription, coupon, starts_on=DEC)
    make.payment(subscription.customer, "4.34", kind="deposit", at=at(11, 30))
    used(subscription, 287)
    return issue(close(at(12, 1))[-1], at(12, 1))


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


class TestPaper:
    def test_lines_and_rows_add_up_to_the_total_by_hand(self) -> None:
        view = present(with_coupon())
        assert view.net_heading == "With VAT, EUR"
        assert [line.net for line in view.lines] == ["19.99", "9.35"]
        rows = [row.amount for line in view.lines for row in line.rows]
        assert rows == ["0.00", "9.35"]
        assert [(_plain(one.label), one.value, one.is_within) for one in view.totals] == [
            ("Sum of lines", "29.34", False),
            ("Five off", "−5.00", False),
            ("Invoice total", "€24.34", False),
            ("of which VAT 19 % on 20.45 net", "3.89", True),
            ("Deposit applied (balance 4.34 → 0.00)", "−4.34", False),
            ("Amount due", "€20.00", False),
        ]
        assert [(one.base, one.tax, one.gross) for one in view.taxes] == [
            ("20.45", "3.89", "24.34")
        ]
        assert view.tax_notes == ("All prices include VAT.",)

    @pytest.mark.parametrize(
        ("locale", "heading", "within", "note"),
        [
            ("de-DE", "Mit USt., EUR", "darin USt 19 % auf 24,66 netto", "Alle Preise enthalten"),
            ("fr-FR", "TTC, EUR", "dont TVA 19 % sur 24,66 HT", "Tous les prix sont TTC."),
            ("es-ES", "Con IVA, EUR", "del cual IVA 19 % sobre 24,66 neto", "incluyen el IVA"),
        ],
    )
    def test_in_every_language(self, locale: str, heading: str, within: str, note: str) -> None:
        view = present(december(), locale=locale)
        assert view.net_heading == heading
        assert within in [_plain(one.label) for one in view.totals]
        assert note in view.tax_notes[0]

    def test_where_no_tax_is_due_it_says_that_the_price_stays(self) -> None:
        view = present(december(make.customer(country="FR", vat_id="FR40303265045")))
        assert [one.label for one in view.totals] == ["Invoice total"]
        assert view.tax_notes[0].endswith("None is due here, so they are charged as they are.")
        assert view.tax_notes[1].startswith("Reverse charge")

    def test_why_it_changed_is_told_with_tax(self) -> None:
        subscription = subscribed()
        used(subscription, 287)
        issue(close(at(12, 1))[-1], at(12, 1))
        use(subscription, at(12, 5), calls=300)
        invoice = issue(close(at(1, 1, year=2027))[-1], at(1, 1, year=2027))
        told = told_change(invoice)
        assert told
        assert (told["last_net"], told["net"], told["include_tax"]) == ("29.34", "29.99", True)
        change = present(invoice, change=told).change
        assert change
        assert change.sentences[0] == "Charges with VAT rose by €0.65 to €29.99."
        assert change.now.label.endswith("with VAT")

    @pytest.mark.parametrize(
        ("locale", "said"),
        [
            ("en-GB", "Charges rose by €0.65 to €29.99."),
            ("de-DE", "Der Betrag ist um 0,65 € auf 29,99 € gestiegen."),
            ("fr-FR", "Le montant a augmenté de 0,65 € et passe à 29,99 €."),
            ("es-ES", "El importe subió 0,65 € hasta 29,99 €."),
        ],
    )
    def test_why_it_changed_names_no_tax_where_none_is_due(self, locale: str, said: str) -> None:
        subscription = subscribed(make.customer(country="FR", vat_id="FR40303265045"))
        used(subscription, 287)
        issue(close(at(12, 1))[-1], at(12, 1))
        use(subscription, at(12, 5), calls=300)
        invoice = issue(close(at(1, 1, year=2027))[-1], at(1, 1, year=2027))
        change = present(invoice, change=told_change(invoice), locale=locale).change
        assert change
        assert _plain(change.sentences[0]) == said
        for label in (change.last.label, change.now.label):
            assert not re.search("VAT|USt|TTC|IVA|net|HT", label)

    def test_the_pdf_says_the_same(self) -> None:
        text = " ".join(
            page.extract_text() for page in PdfReader(BytesIO(pdf_of(with_coupon()))).pages
        )
        for what in ("With VAT, EUR", "of which VAT 19 % on 20.45 net", "All prices include VAT."):
            assert what in " ".join(text.split())


class TestMachines:
    @pytest.mark.parametrize(
        "buyer",
        [
            pytest.param({"country": "DE"}, id="taxed at home"),
            pytest.param({"country": "FR", "vat_id": "FR40303265045"}, id="under reverse charge"),
        ],
    )
    def test_its_xml_is_valid_and_has_the_nets(self, buyer: dict[str, str]) -> None:
        change_issuer(issuer_id=Issuer.objects.get().pk, fields=dict(ON), actor=SYSTEM)
        invoice = december(consumer(**buyer, line1="Kai 1", city="Kiel", name="Mila"))
        invoice = issue(invoice, at(12, 1))
        xml = xml_in(pdf_of(invoice))
        assert broken_rules(xml) == []
        told = Machine(xml)
        nets = [f"{line.net:.2f}" for line in invoice.lines.all()]
        assert [net for *_, net in told.lines] == nets
        assert [price for _, _, price, _ in told.lines] == nets
        assert told.total("LineTotalAmount") == f"{invoice.net_total:.2f}"
        assert told.total("GrandTotalAmount") == "29.34"
        assert "With VAT, EUR: 19.99" in told.notes[0]

    def test_a_coupon_is_an_allowance_before_tax(self) -> None:
        change_issuer(issuer_id=Issuer.objects.get().pk, fields=dict(ON), actor=SYSTEM)
        invoice = with_coupon()
        xml = electronic_invoice(invoice)
        assert broken_rules(xml) == []
        told = Machine(xml)
        assert told.all("SpecifiedTradeAllowanceCharge/ActualAmount") == ["4.20"]
        names = ("LineTotalAmount", "AllowanceTotalAmount", "TaxBasisTotalAmount")
        assert [told.total(name) for name in names] == ["24.65", "4.20", "20.45"]
        assert told.total("DuePayableAmount") == "20.00"


class TestApi:
    def test_an_invoice_has_gross_beside_net(self, caller: Caller) -> None:
        found = caller().get(f"/api/v1/invoices/{with_coupon().uuid}").json()
        assert found["prices_include_tax"] is True
        assert [(one["gross"], one["net"]) for one in found["lines"]] == [
            ("19.99", "16.79"),
            ("9.35", "7.86"),
        ]
        assert [one["explanation"]["amount"] for one in found["lines"]] == ["19.99", "9.35"]
        [allowance] = found["allowances"]
        assert (allowance["gross"], allowance["amount"]) == ("5.00", "4.20")
        assert [(one["gross"], one["amount"]) for one in allowance["shares"]] == [
            ("3.41", "2.86"),
            ("1.59", "1.34"),
        ]
        assert (found["net_total"], found["tax_total"], found["total"]) == (
            "20.45",
            "3.89",
            "24.34",
        )

    def test_one_before_tax_has_none(self, caller: Caller) -> None:
        found = caller().get(f"/api/v1/invoices/{make.issued().uuid}").json()
        assert found["prices_include_tax"] is False
        assert {one["gross"] for one in found["lines"]} == {None}

    def test_a_version_is_drafted_with_it(self, caller: Caller) -> None:
        make.plan("solo")
        body = {"currency": "EUR", "prices_include_tax": True, "prices": []}
        drafted = caller().post("/api/v1/plans/solo/versions", body).json()
        assert drafted["prices_include_tax"] is True

    def test_to_change_to_the_other_kind_is_refused(self, caller: Caller) -> None:
        subscription = subscribed()
        make.published(plan=make.plan("team"))
        body = {"plan": "team", "when": "at_period_end"}
        with time_machine.travel(at(11, 2), tick=False):
            refused = caller().post(f"/api/v1/subscriptions/{subscription.key}/change-plan", body)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "tax_mismatch")


class TestPages:
    def test_the_portal_tells_what_is_included(self) -> None:
        subscription = subscribed(consumer(key="mila", locale="en"))
        used(subscription, 287)
        with time_machine.travel(at(11, 12), tick=False):
            mila = door.signed_in(door.contact(subscription.customer))
            assert "€4.68 VAT included" in said(mila.get(reverse("portal:usage")))
            assert "All prices in EUR, VAT included." in said(mila.get(reverse("portal:plan")))
        invoice = issue(close(at(12, 1))[-1], at(12, 1))
        with time_machine.travel(at(12, 2), tick=False):
            mila = door.signed_in(door.contact(subscription.customer, "m@mila.example"))
            text = said(mila.get(reverse("portal:invoice", args=(invoice.uuid,))))
        assert "of which VAT 19 % on 24.66 net 4.68" in text
        assert "All prices include VAT." in text

    def test_admin_shows_the_paper_and_says_what_publishing_means(self) -> None:
        finance = leo()
        text = said(finance.get(page("billing_invoice", "change", december().pk)))
        assert "24.66 EUR net, 4.68 EUR tax" in text
        assert "of which VAT 19 % on 24.66 net 4.68" in text
        draft = make.draft(prices_include_tax=True)
        words = said(finance.get(reverse("admin:catalog_planversion_publish", args=(draft.pk,))))
        assert "Prices include tax: customers pay them as they are, whatever the rate." in words

    def test_admin_previews_add_up_with_tax(self) -> None:
        subscription = subscribed()
        used(subscription, 287)
        with time_machine.travel(at(11, 12), tick=False):
            client = leo()
            panel = said(client.get(page("customers_subscription", "change", subscription.pk)))
            url = reverse("admin:customers_subscription_cancel", args=(subscription.pk,))
            life = said(client.post(url, {"when": "at_period_end"}))
        assert "With tax, EUR" in panel
        assert "of which tax 4.68 EUR Total 29.34 EUR" in panel
        assert "Total, tax included 9.35 EUR of which net 7.86 EUR" in life

    def test_the_invoice_to_come_is_the_one_that_comes(self) -> None:
        subscription = subscribed()
        used(subscription, 287)
        terms = Subscription.objects.with_terms().get(pk=subscription.pk)
        upcoming, composed = upcoming_invoice(subscription=terms, at=at(11, 30))
        invoice = close(at(12, 1))[-1]
        assert (upcoming.total, upcoming.prices_include_tax) == (invoice.total, True)
        nets = [line.net for line in composed.lines]
        assert nets == [line.net for line in invoice.lines.all()]
