"""Crediting invoices whose prices include tax (R29, R32, R32a): what is said is what is given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from billing.beside import beside
from billing.crediting import MoreThanCreditable
from billing.electronic.writing import electronic_credit_note
from billing.models import CreditNote, CreditNoteLine, Invoice, Payment
from billing.presentation.credit_note import present_credit_note
from billing.services import life
from billing.services.changing import When
from billing.tax_listing import summed, tax_entries
from config.base.audit import SYSTEM
from customers.models import Issuer
from customers.services import change_issuer
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.machine import ON, Machine
from tests.billing.months import close, contradictions, use
from tests.billing.schematron import broken_rules, stop_engine
from tests.billing.test_beside import voids
from tests.billing.test_gross_prices import at, consumer, issue, subscribed, used, version
from tests.billing.test_gross_prices import seller as seller  # noqa: PLC0414 - a fixture
from tests.customers.test_api import faults
from tests.staff import leo, page, said

pytestmark = pytest.mark.django_db
Caller = Callable[..., APIClient]
LATER = at(12, 3)


@pytest.fixture(scope="module", autouse=True)
def _one_engine() -> Iterator[None]:
    yield
    stop_engine()


@pytest.fixture(autouse=True)
def nothing_contradicts(settings: LazySettings, tmp_path: Any) -> Any:
    settings.DATA_DIR = tmp_path
    yield
    assert contradictions(at(12, 5), but=["periods_close_in_time"]) == []  # no worker runs here


@pytest.fixture
def invoice() -> Invoice:
    """19.99 for December and 9.35 for calls of November, with 19 % tax; not paid yet."""
    used(subscribed(consumer(key="mila", name="Mila", line1="Kai 1", city="Kiel")), 287)
    return issue(close(at(12, 1))[-1], at(12, 1))


def amounts(note: CreditNote) -> str:
    rows = [f"{line.gross:.2f} {line.net:.2f}" for line in note.lines.all()]
    return "; ".join([*rows, f"{note.net_total:.2f} {note.tax_total:.2f} {note.total:.2f}"])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param("", "19.99 16.80; 9.35 7.86; 24.66 4.68 29.34", id="all of it"),
        pytest.param("base 5.00", "5.00 4.20; 4.20 0.80 5.00", id="five are five"),
        pytest.param("base 4.99", "4.99 4.19; 4.19 0.80 4.99", id="whatever the cents"),
        pytest.param(
            "base 1.00, calls 1.00", "1.00 0.84; 1.00 0.84; 1.68 0.32 2.00", id="two lines"
        ),
        pytest.param("calls ×100", "3.26 2.74; 2.74 0.52 3.26", id="units of 287 in all"),
    ],
)
def test_what_is_credited(invoice: Invoice, parts: str, expected: str) -> None:
    assert amounts(credit(invoice, parts, at=LATER)) == expected


def test_in_parts_it_is_the_invoice_and_the_listing_is_empty(invoice: Invoice) -> None:
    for amount in ("0.01", "3.33", "6.66"):
        credit(invoice, f"base {amount}", at=LATER)
    last = credit(invoice, at=LATER)
    notes = CreditNote.objects.filter(invoice=invoice)
    sums = [
        sum(getattr(one, name) for one in notes) for name in ("net_total", "tax_total", "total")
    ]
    assert sums == [invoice.net_total, invoice.tax_total, invoice.total]
    assert f"{last.total:.2f}" == "19.34"
    december = summed(tax_entries(since=date(2026, 12, 1), until=date(2026, 12, 31)))
    assert [one.net + one.tax for one in december] == [0]


def test_what_was_credited_by_hand_is_not_credited_again_as_unused() -> None:
    """Of 19.99 for November ten are given back; ended on 15 November, 10.00 are unused: nothing more."""
    subscription = subscribed()
    opening = Invoice.objects.get()
    credit(opening, "base 10.00", at=at(11, 3))
    life.cancel(subscription_id=subscription.pk, when=When.IMMEDIATE, at=at(11, 15), actor=SYSTEM)
    last = close(at(11, 16))[-1]
    assert [line.kind for line in last.lines.all() if line.kind == "credit"] == []


def test_what_leaves_an_invoice_is_credited_with_tax() -> None:
    """19.99 × 20/30 are unused and nothing is charged besides: 13.33 with tax, by a credit note."""
    subscription = subscribed()
    life.cancel(subscription_id=subscription.pk, when=When.IMMEDIATE, at=at(11, 10), actor=SYSTEM)
    last = close(at(11, 11))[-1]
    [told] = beside(last).notes
    assert f"{told.total:.2f}" == "13.33"
    close(at(11, 13))
    [note] = CreditNote.objects.all()
    assert amounts(note) == "13.33 11.20; 11.20 2.13 13.33"


def test_what_can_not_be_credited_is_balance_with_tax() -> None:
    """January’s fee of 100 carried 90 of November’s usage back: of it, 10 can be credited."""
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(300))
    sold = subscribed(None, make.flat(amount="100"), calls)
    use(sold, at(11, 10), calls=390, id="first")
    close(at(12, 1))
    close(at(12, 3))
    voids("first", at(12, 5))
    close(at(1, 1, year=2027))
    january = close(at(1, 3, year=2027))[-1]
    assert (january.prices_include_tax, january.total) == (True, 10)
    life.cancel(subscription_id=sold.pk, when=When.IMMEDIATE, at=at(1, 15, year=2027), actor=SYSTEM)
    close(at(1, 16, year=2027))
    close(at(1, 18, year=2027))
    [note], [kept] = CreditNote.objects.all(), Payment.objects.all()
    assert (amounts(note), kept.amount) == ("10.00 8.40; 8.40 1.60 10.00", D("41.61"))
    assert contradictions(at(1, 18, year=2027)) == []


def test_what_is_left_to_credit_counts_what_a_draft_credits() -> None:
    subscription = subscribed()
    life.cancel(subscription_id=subscription.pk, when=When.IMMEDIATE, at=at(11, 10), actor=SYSTEM)
    close(at(11, 11))
    with pytest.raises(MoreThanCreditable, match="6.66 EUR is left to credit, with tax"):
        credit(Invoice.objects.earliest("pk"), "base 10.00", at=at(11, 12))


class TestFaces:
    def test_the_paper_is_with_tax(self, invoice: Invoice) -> None:
        note = CreditNote.objects.with_lines().get(pk=credit(invoice, "base 5.00", at=LATER).pk)
        view = present_credit_note(note, list(note.lines.all()), list(note.taxes.all()))
        assert view.net_heading == "With VAT, EUR"
        [line] = view.lines
        assert (line.net, line.notes) == ("5.00", ("Billed on the invoice: 19.99.",))
        rows = [(one.label.replace("\N{NO-BREAK SPACE}", " "), one.value) for one in view.totals]
        assert rows == [("Credit total", "€5.00"), ("of which VAT 19 % on 4.20 net", "0.80")]
        assert "All prices include VAT." in view.tax_notes
        assert view.questions[0].startswith("VAT is what all that was credited")

    def test_its_xml_is_valid_and_net(self, invoice: Invoice) -> None:
        change_issuer(issuer_id=Issuer.objects.get().pk, fields=dict(ON), actor=SYSTEM)
        note = CreditNote.objects.with_lines().get(pk=credit(invoice, at=LATER).pk)
        xml = electronic_credit_note(note)
        assert broken_rules(xml) == []
        told = Machine(xml)
        assert [net for *_, net in told.lines] == ["16.80", "7.86"]
        assert told.total("GrandTotalAmount") == "29.34"

    def test_the_api_asks_for_gross(self, invoice: Invoice, caller: Caller) -> None:
        fee = invoice.lines.get(kind="fee")
        body = {"invoice": str(invoice.uuid), "reason": "A test"}
        with time_machine.travel(LATER, tick=False):
            client = caller()
            refused = client.post(
                "/api/v1/credit-notes", {**body, "lines": [{"line": str(fee.uuid), "net": "5"}]}
            )
            assert faults(refused) == {("/lines/0/net", "priced_otherwise")}
            made = client.post(
                "/api/v1/credit-notes", {**body, "lines": [{"line": str(fee.uuid), "gross": "5"}]}
            ).json()
            left = client.get(f"/api/v1/invoices/{invoice.uuid}").json()
        assert [(one["gross"], one["net"]) for one in made["lines"]] == [("5.00", "4.20")]
        assert made["total"] == "5.00"
        assert [one["creditable"] for one in left["lines"]] == ["14.99", "9.35"]
        assert left["creditable"] == "24.34"

    def test_one_before_tax_asks_for_net(self, caller: Caller) -> None:
        before = make.issued(amount="100", on=date(2026, 11, 1))
        body = {
            "invoice": str(before.uuid),
            "reason": "A test",
            "lines": [{"line": str(before.lines.get().uuid), "gross": "5"}],
        }
        assert faults(caller().post("/api/v1/credit-notes", body)) == {
            ("/lines/0/gross", "priced_otherwise")
        }

    def test_admin_asks_with_tax(self, invoice: Invoice) -> None:
        with time_machine.travel(LATER, tick=False):
            text = said(leo().get(page("billing_creditnote", "of", invoice.pk)))
        assert "Credit, with tax" in text
        assert "Amounts are with tax and after coupons." in text


def test_the_database_keeps_gross_within_its_line(invoice: Invoice) -> None:
    note = credit(invoice, "base 5.00", at=LATER)
    row = note.lines.get()
    wrong: dict[str, Any] = {
        "credit_line_never_beyond_its_line": {"gross": D("15.00")},
        "credit_line_is_one_of_its_notes_invoice": {"gross": None, "net": D("1")},
    }
    for rule, fields in wrong.items():
        terms = {"credited_before": D(5), "creditable": D("19.99"), **fields}
        with pytest.raises(IntegrityError, match=rule), transaction.atomic():
            CreditNoteLine.objects.create(
                note=note, position=1, line=row.line, **{"net": D("4.20"), **terms}
            )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 1999), min_size=1, max_size=5))
def test_any_amounts_in_any_order(steps: list[int]) -> None:
    """Whatever is said is given back, to the cent, until nothing is left."""
    with transaction.atomic():
        make.subscription(
            consumer(), version(make.flat(amount="19.99")), starts_on=date(2026, 11, 1)
        )
        [draft] = [one for one in close(at(11, 1)) if one.is_open]
        invoice = issue(draft, at(11, 1))
        left = 1999
        for step in steps:
            if step > left:
                continue
            note = credit(invoice, f"base {D(step) / 100}", at=at(11, 3))
            assert note.total == D(step) / 100
            left -= step
        if left:
            assert credit(invoice, at=at(11, 3)).total == D(left) / 100
        notes = CreditNote.objects.filter(invoice=invoice)
        assert sum(one.tax_total for one in notes) == invoice.tax_total
        transaction.set_rollback(True)
