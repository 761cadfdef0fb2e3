"""Tax in the currency of the books: by which rate, rounded once, and refused without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing.exchange import ExchangeRateMissing, converted, rate_on
from billing.models import ExchangeRate, Invoice
from billing.presentation import present
from billing.services import exchange_rates, issuing
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.models import Issuer
from tests import factories as make
from tests.billing.months import close
from tests.customers.test_api import faults
from tests.staff import anna, page, said

pytestmark = pytest.mark.django_db
Caller = Callable[..., APIClient]
RATES = "/api/v1/exchange-rates"
OPENED, ISSUED = datetime(2026, 11, 1, 9, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)


def unsaved(text: str) -> ExchangeRate:
    """Read "EUR USD 1.25 2026-11-01"."""
    base, quote, rate, day = text.split()
    return ExchangeRate(
        base=base, quote=quote, rate=D(rate), date=date.fromisoformat(day), source="A bank"
    )


def rate(text: str) -> ExchangeRate:
    return exchange_rates.add_exchange_rate(rate=unsaved(text), actor=SYSTEM)


@pytest.mark.parametrize(
    ("rates", "found"),
    [
        pytest.param(["EUR USD 1.25 2026-11-01"], "1.25", id="of the day itself"),
        pytest.param(["EUR USD 1.25 2026-10-30"], "1.25", id="the last before a weekend"),
        pytest.param(
            ["EUR USD 1.25 2026-10-29", "EUR USD 1.5 2026-10-30"], "1.5", id="the latest of two"
        ),
        pytest.param(
            ["EUR USD 1.25 2026-10-29", "EUR USD 1.5 2026-11-02"], "1.25", id="not a later one"
        ),
        pytest.param(["USD EUR 0.8 2026-11-01"], "0.8", id="the other way round"),
        pytest.param(
            ["USD EUR 0.8 2026-11-01", "EUR USD 1.5 2026-10-30"], "0.8", id="the later way round"
        ),
        pytest.param(["EUR USD 1.5 2026-11-02"], None, id="only a later one"),
        pytest.param(["EUR GBP 0.85 2026-11-01"], None, id="only of another currency"),
        pytest.param([], None, id="none at all"),
    ],
)
def test_the_last_rate_on_or_before_the_day(rates: list[str], found: str | None) -> None:
    for text in rates:
        rate(text)
    if found is None:
        with pytest.raises(ExchangeRateMissing, match="between USD and EUR is known on or before"):
            rate_on("USD", "EUR", date(2026, 11, 1))
    else:
        assert rate_on("USD", "EUR", date(2026, 11, 1)).rate == D(found)


@pytest.mark.parametrize(
    ("tax", "pair", "books", "amount"),
    [
        pytest.param("94.81", "EUR USD 1.25", "EUR", "75.85", id="divided"),
        pytest.param("94.81", "USD EUR 0.8", "EUR", "75.85", id="multiplied"),
        pytest.param("0.01", "EUR USD 2", "EUR", "0.01", id="half a cent goes up"),
        pytest.param("100.00", "EUR JPY 161.35", "JPY", "16135", id="into yen, without decimals"),
        pytest.param("16135", "EUR JPY 161.35", "EUR", "100.00", id="out of yen"),
        pytest.param("10.000", "KWD EUR 3.0123", "EUR", "30.12", id="out of dinars"),
        pytest.param("10.00", "KWD EUR 3", "KWD", "3.333", id="into dinars, three decimals"),
    ],
)
def test_tax_is_converted_and_rounded_once(tax: str, pair: str, books: str, amount: str) -> None:
    base, quote, value = pair.split()
    terms = {"currency": books, "base": base, "quote": quote, "rate": value}
    assert f"{converted(D(tax), terms):f}" == amount


class TestIssue:
    @pytest.fixture(autouse=True)
    def opening(self) -> Invoice:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
        buyer = make.customer("ada", currency="USD")
        make.subscription(buyer, make.published(make.flat(), currency="USD"))
        [opening] = close(OPENED)
        return opening

    def issue(self, invoice: Invoice) -> Invoice:
        issuing.issue_invoices(invoice_ids=[invoice.pk], as_of=OPENED, actor=SYSTEM)
        return Invoice.objects.with_lines().get(pk=invoice.pk)

    def test_states_the_tax_in_the_currency_of_the_books(self, opening: Invoice) -> None:
        rate("EUR USD 1.25 2026-10-30")
        issued = self.issue(opening)
        assert issued.tax_in_books == {
            "currency": "EUR",
            "amount": "75.85",
            "base": "EUR",
            "quote": "USD",
            "rate": "1.25",
            "date": "2026-10-30",
            "source": "A bank",
        }
        [note] = present(issued, locale="en").tax_notes
        assert note == "VAT in EUR: €75.85, at 1 EUR = 1.25 USD (A bank, Oct 30, 2026)."
        shown = said(anna().get(page("billing_invoice", "change", issued.pk)))
        assert "VAT in EUR: " in shown
        assert "at 1 EUR = 1.25 USD (A bank, " in shown

    def test_is_refused_without_a_rate(self, opening: Invoice) -> None:
        with pytest.raises(ExchangeRateMissing, match="enter it under “Exchange rates”"):
            self.issue(opening)
        opening.refresh_from_db()
        assert (opening.status, opening.number) == ("draft", None)

    def test_a_run_holds_it_for_review_and_says_why(self, opening: Invoice) -> None:
        [held] = close(ISSUED)
        assert held.status == "review"
        assert "No exchange rate between USD and EUR is known" in held.reason

    def test_what_is_issued_keeps_its_rate(self, opening: Invoice) -> None:
        one = rate("EUR USD 1.25 2026-10-30")
        self.issue(opening)
        exchange_rates.change_exchange_rate(rate_id=one.pk, fields={"rate": D(2)}, actor=SYSTEM)
        opening.refresh_from_db()
        assert opening.tax_in_books["amount"] == "75.85"

    def test_without_tax_no_rate_is_needed(self, opening: Invoice) -> None:
        Issuer.objects.update(tax_status="out_of_scope")
        issuing.recalculate_invoices(invoice_ids=[opening.pk], at=OPENED, actor=SYSTEM)
        assert self.issue(opening).tax_in_books == {}

    def test_nor_in_the_currency_of_the_books(self, opening: Invoice) -> None:
        Issuer.objects.update(currency="USD")
        assert self.issue(opening).tax_in_books == {}


class TestImport:
    HEAD = "base,quote,rate,date,source\n"

    def test_new_changed_and_unchanged_rows(self) -> None:
        rate("EUR USD 1.25 2026-10-29")
        rate("EUR USD 1.5 2026-10-30")
        text = self.HEAD + (
            "EUR,USD,1.25,2026-10-29,A bank\n"
            "EUR,USD,1.6,2026-10-30,A bank\n"
            "EUR,JPY,161.35,2026-10-30,A bank\n"
        )
        done = exchange_rates.import_exchange_rates(text=text, actor=SYSTEM)
        assert [row.outcome for row in done] == ["unchanged", "changed", "new"]
        again = exchange_rates.preview_exchange_rates(text)
        assert {row.outcome for row in again} == {"unchanged"}

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("EUR,USD,0,2026-10-30,A bank", "above 0"),
            ("EUR,USD,-1,2026-10-30,A bank", "is no rate"),
            ('EUR,USD,"1,25",2026-10-30,A bank', "is no rate"),
            ("EUR,USD,NaN,2026-10-30,A bank", "is no rate"),
            ("EUR,EUR,1,2026-10-30,A bank", "two currencies"),
            ("EUR,XXX,1,2026-10-30,A bank", "ISO 4217"),
            ("EUR,USD,1,30.10.2026,A bank", "is no day"),
            ("EUR,USD,1,2026-10-30,", "who published it"),
        ],
    )
    def test_a_row_is_refused_with_its_reason(self, row: str, words: str) -> None:
        [found] = exchange_rates.preview_exchange_rates(self.HEAD + row)
        assert (found.outcome, words in found.message) == ("refused", True)
        with pytest.raises(Invalid, match="Line 2: "):
            exchange_rates.import_exchange_rates(text=self.HEAD + row, actor=SYSTEM)

    def test_anna_imports_after_a_preview(self) -> None:
        client, address = anna(), "/admin/billing/exchangerate/import/"
        text = self.HEAD + "EUR,USD,1.25,2026-10-29,A bank"
        assert "1 EUR = 1.25 USD, 29 Oct 2026" in said(client.post(address, {"table": text}))
        client.post(address, {"table": text, "confirmed": "1"})
        assert ExchangeRate.objects.get().rate == D("1.25")


class TestApi:
    BODY = {"base": "EUR", "quote": "USD", "rate": "1.25", "date": "2026-10-30", "source": "Bank"}

    def test_enter_read_and_mend(self, caller: Caller) -> None:
        made = caller().post(RATES, self.BODY)
        one = f"{RATES}/{made.json()['id']}"
        assert (made.status_code, caller().get(one).json()) == (201, made.json())
        assert caller().patch(one, {"rate": "1.5"}).json()["rate"] == "1.5"
        taken = caller().post(RATES, self.BODY)
        assert (taken.status_code, taken.json()["code"]) == (409, "exchange_rate_taken")

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"base": "EU"}, "/base", "unknown_currency"),
            ({"quote": "EUR"}, "/quote", "same_currency"),
            ({"rate": "0"}, "/rate", "out_of_range"),
            ({"source": ""}, "/source", "blank"),
            ({"date": "yesterday"}, "/date", "invalid"),
        ],
    )
    def test_faults_are_named(
        self, caller: Caller, fields: dict[str, Any], pointer: str, code: str
    ) -> None:
        assert faults(caller().post(RATES, {**self.BODY, **fields})) == {(pointer, code)}

    def test_a_stranger_sees_nothing(self, caller: Caller) -> None:
        assert caller("catalog:read").get(RATES).status_code == 403
        assert caller("billing:read").post(RATES, self.BODY).status_code == 403
