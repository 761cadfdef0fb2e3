"""The tax of a period for the return (R29): what is in it, and that it is the documents' own, to the cent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from billing.admin.tax_listing import last_month
from billing.models import ExchangeRate, Invoice, TaxRate
from billing.services import issuing
from billing.services.credit_notes import issue_credit_note
from billing.services.exchange_rates import add_exchange_rate
from billing.tax_listing import Alike, TaxEntry, TaxSum, in_books, summed, tax_entries
from catalog.money import exponent, plain, round_half_up
from config.base.audit import SYSTEM
from customers.models import Issuer
from tests import factories as make
from tests.staff import anna, leo, page, said, stranger

pytestmark = pytest.mark.django_db
Caller = Callable[..., APIClient]
NOV = (date(2026, 11, 1), date(2026, 11, 30))
LATE = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(autouse=True)
def germany() -> None:
    for country, category, percent in (("DE", "standard", 19), ("DE", "reduced", 7)):
        TaxRate.objects.create(
            country=country, category=category, percent=percent, valid_from=date(2020, 1, 1)
        )
    Issuer.objects.update(name="North", tax_status="standard", country="DE", vat_id="DE136695976")


def billed(
    country: str, amount: str, *, day: int = 1, include: bool = False, **fields: Any
) -> Invoice:
    buyer = make.customer(country=country, **fields)
    version = make.published(
        make.flat(amount=amount), currency=buyer.currency, prices_include_tax=include
    )
    return make.issued(buyer, version=version, on=date(2026, 11, day))


def dollar(rate: str = "1.10", *, day: date = date(2026, 10, 30)) -> None:
    row = ExchangeRate(base="EUR", quote="USD", rate=D(rate), date=day, source="ECB")
    add_exchange_rate(rate=row, actor=SYSTEM)


def sums(since: date = NOV[0], until: date = NOV[1]) -> list[str]:
    return [_said(one) for one in summed(tax_entries(since=since, until=until))]


def _said(one: TaxSum) -> str:
    alike = one.alike

    def amounts(currency: str, *values: D | None) -> str:
        places = exponent(currency)
        return " ".join("?" if v is None else f"{round_half_up(v, places)}" for v in values)

    return (
        f"{alike.country or '-'} {alike.category}{plain(alike.rate)} ×{one.documents} "
        f"{amounts(alike.currency, one.net, one.tax)} {alike.currency} "
        f"{amounts(alike.books_currency, one.net_in_books, one.tax_in_books)}"
    )


class TestWhatIsInIt:
    def test_it_is_summed_by_country_category_rate_and_currency(self) -> None:
        dollar()
        billed("DE", "100")
        billed("DE", "50", day=30)
        billed("DE", "119", include=True)
        billed("FR", "80", vat_id="FR40303265045")
        billed("US", "110", currency="USD")
        billed("DE", "110", currency="USD")
        assert sums() == [
            "- AE0 ×1 80.00 0.00 EUR 80.00 0.00",
            "- O0 ×1 110.00 0.00 USD 100.00 0.00",
            "DE S19 ×3 250.00 47.50 EUR 250.00 47.50",
            "DE S19 ×1 110.00 20.90 USD 100.00 19.00",
        ]

    def test_what_is_issued_another_day_is_another_period_s(self) -> None:
        make.issued(make.customer(country="DE"), "10", on=date(2026, 10, 31))
        billed("DE", "20")
        make.issued(make.customer(country="DE"), "40", on=date(2026, 12, 1))
        assert sums() == ["DE S19 ×1 20.00 3.80 EUR 20.00 3.80"]
        assert sums(date(2026, 12, 1), date(2026, 12, 1)) == ["DE S19 ×1 40.00 7.60 EUR 40.00 7.60"]
        assert sums(date(2026, 1, 1), date(2026, 1, 31)) == []

    def test_a_credit_note_counts_with_a_minus_on_its_own_day(self) -> None:
        invoice = billed("DE", "100")
        issue_credit_note(invoice_id=invoice.pk, reason="A test.", at=LATE, actor=SYSTEM)
        assert sums() == ["DE S19 ×2 0.00 0.00 EUR 0.00 0.00"]
        assert sums(date(2026, 11, 29), date(2026, 11, 29)) == [
            "DE S19 ×1 -100.00 -19.00 EUR -100.00 -19.00"
        ]
        [_, note] = tax_entries(since=NOV[0], until=NOV[1])
        assert (note.number, note.corrects) == ("CN-2026-000001", invoice.number)

    def test_what_is_void_or_a_draft_stands_for_nothing(self) -> None:
        void = billed("DE", "100")
        issuing.void_invoice(
            invoice_id=void.pk, reason="A test.", reopen=False, at=LATE, actor=SYSTEM
        )
        make.subscription(make.customer(country="DE"), make.published())
        assert sums() == []

    def test_without_a_known_rate_it_is_told_that_there_is_none_but_no_tax_is_none(self) -> None:
        billed("US", "110", currency="USD")
        assert sums() == ["- O0 ×1 110.00 0.00 USD ? 0.00"]
        dollar(day=date(2026, 11, 1))
        assert sums() == ["- O0 ×1 110.00 0.00 USD 100.00 0.00"]

    def test_tax_in_books_is_what_the_document_states_whatever_the_rate_is_now(self) -> None:
        dollar()
        invoice = billed("DE", "110", currency="USD")
        dollar("2.00", day=date(2026, 11, 1))
        assert sums() == ["DE S19 ×1 110.00 20.90 USD 100.00 19.00"]
        assert invoice.tax_in_books["amount"] == "19.00"

    def test_however_many_documents_it_asks_the_same(self) -> None:
        dollar()
        billed("US", "10", currency="USD")
        with CaptureQueriesContext(connection) as few:
            sums()
        for number in range(4):
            billed("US", "10", currency="USD", day=number + 2)
        with CaptureQueriesContext(connection) as many:
            sums()
        assert len(few) == len(many) == 3

    @pytest.mark.parametrize(
        ("day", "net"),
        [(1, "100.00"), (9, "100.00"), (10, "55.00"), (11, "55.00")],
        ids=["before", "the day before", "on the day", "after"],
    )
    def test_the_last_rate_until_the_day_of_issue_holds(self, day: int, net: str) -> None:
        dollar()
        dollar("2.00", day=date(2026, 11, 10))
        billed("US", "110", currency="USD", day=day)
        assert sums() == [f"- O0 ×1 110.00 0.00 USD {net} 0.00"]


amounts = st.integers(-(10**6), 10**6).map(lambda n: D(n) / 100)
entries = st.lists(
    st.builds(
        lambda country, rate, net, tax, number: TaxEntry(
            Alike("North", country, "S", D(rate), "EUR", "EUR"),
            str(number), "", NOV[0], "Ada", "", net, tax, net, tax,
        ),
        st.sampled_from(["DE", "FR"]), st.sampled_from([7, 19]), amounts, amounts, st.integers(1, 5),
    ),
    max_size=12,
)  # fmt: skip


@given(entries)
def test_the_sums_are_all_there_is(found: list[TaxEntry]) -> None:
    told = summed(found)
    assert sum(one.net for one in told) == sum(one.net for one in found)
    assert in_books(told) == (sum(one.net for one in found), sum(one.tax for one in found))
    assert len({one.alike for one in told}) == len(told)


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        ("2026-12-01", "2026-11-01", "2026-11-30"),
        ("2026-01-31", "2025-12-01", "2025-12-31"),
        ("2024-03-15", "2024-02-01", "2024-02-29"),
    ],
)
def test_the_month_before(today: str, first: str, last: str) -> None:
    found = last_month(date.fromisoformat(today))
    assert found == (date.fromisoformat(first), date.fromisoformat(last))


class TestPage:
    def test_it_begins_with_the_last_month_and_is_there_as_files(self) -> None:
        billed("DE", "100", vat_id="DE129273398", name="=Ada")
        url = page("billing_taxrate", "listing")
        with time_machine.travel(datetime(2026, 12, 2, tzinfo=UTC), tick=False):
            told = said(leo().get(url))
        assert "issued 1–30 Nov 2026" in told
        assert "Germany Standard rate 19 % 1 100.00 EUR 19.00 EUR 100.00 19.00" in told
        assert "All 100.00 19.00" in told
        client, span = anna(), "since=2026-11-01&until=2026-11-30"
        assert _file(client, f"{url}?{span}&csv=sums") == [
            "issuer,country,category,rate,currency,documents,net,tax,books currency,net in books,tax in books",
            "North,DE,S,19,EUR,1,100.00,19.00,EUR,100.00,19.00",
        ]
        [_, row] = _file(client, f"{url}?{span}&csv=documents")
        assert row == (
            "INV-2026-000001,,2026-11-01,'=Ada,DE129273398,North,DE,S,19,EUR,100.00,19.00,EUR,100.00,19.00"
        )
        assert "No exchange rate" not in told
        assert "Nothing was issued" in said(client.get(f"{url}?since=2026-01-01&until=2026-01-31"))
        assert "before the first" in said(client.get(f"{url}?since=2026-02-01&until=2026-01-31"))

    def test_what_is_not_known_says_what_to_do(self) -> None:
        billed("US", "110", currency="USD")
        told = said(
            leo().get(f"{page('billing_taxrate', 'listing')}?since=2026-11-01&until=2026-11-30")
        )
        assert "no rate known 0.00" in told
        assert "enter it under Exchange rates" in told

    def test_a_stranger_sees_nothing(self) -> None:
        assert stranger().get(page("billing_taxrate", "listing")).status_code in (302, 403)


def _file(client: Any, url: str) -> list[str]:
    return b"".join(client.get(url).streaming_content).decode().splitlines()


class TestApi:
    def test_it_is_summed(self, caller: Caller) -> None:
        billed("DE", "100")
        found = caller().get("/api/v1/tax-listing?since=2026-11-01&until=2026-11-30").json()
        assert found == {
            "since": "2026-11-01",
            "until": "2026-11-30",
            "sums": [
                {
                    "issuer": "North",
                    "country": "DE",
                    "category": "S",
                    "rate": "19",
                    "currency": "EUR",
                    "books_currency": "EUR",
                    "documents": 1,
                    "net": "100.00",
                    "tax": "19.00",
                    "net_in_books": "100.00",
                    "tax_in_books": "19.00",
                }
            ],
        }

    @pytest.mark.parametrize(
        "query", ["", "?since=2026-11-01", "?since=2026-11-02&until=2026-11-01"]
    )
    def test_two_days_in_order_are_needed(self, caller: Caller, query: str) -> None:
        assert caller().get(f"/api/v1/tax-listing{query}").status_code == 400


def test_whom_it_is_of(caller: Caller) -> None:
    """A key for events alone reads nothing."""
    assert caller("events:read").get(
        "/api/v1/tax-listing?since=2026-11-01&until=2026-11-30"
    ).status_code in (401, 403)
