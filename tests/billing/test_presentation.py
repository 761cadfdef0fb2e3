"""What an invoice says: figures, words and order, in the reader's language."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from billing.models import Invoice, LineKind, TaxSubtotal
from billing.presentation import InvoiceView, LineView, present
from billing.presentation.colours import INK, contrast_with_white, palette
from billing.presentation.reader import Reader, clean
from billing.presentation.words import WORDS
from catalog.pricing import DayFraction, explanation, rate
from catalog.pricing.explanation import step_from_json
from tests.billing.paper import (
    API_CALLS,
    BASE_FEE,
    BUYER,
    DECEMBER,
    MIDNIGHT,
    NOVEMBER,
    Charge,
    invoice,
    loaded,
    trend,
    void,
)
from tests.catalog.notation import price

CALLS = ("call", "calls")


def shown(view: InvoiceView) -> list[tuple[str, ...]]:
    """Flatten the charges to what stands in the columns."""
    rows: list[tuple[str, ...]] = []
    for line in view.lines:
        rows.append((line.name, line.period, line.quantity, line.unit_price, line.net))
        rows += [("", row.label, row.quantity, row.unit_price, row.amount) for row in line.rows]
    return rows


def only_line(charge: Charge, **terms: Any) -> LineView:
    [line] = present(invoice(charge, **terms)).lines
    return line


def facts(view: InvoiceView) -> dict[str, str]:
    return {fact.label: fact.value for fact in view.identity}


@pytest.mark.django_db
def test_the_worked_example_in_english() -> None:
    view = present(invoice())
    assert shown(view) == [
        ("Platform base fee", "1–31 Dec 2026", "1 month", "499.00", "499.00"),
        ("API calls", "1–30 Nov 2026", "187,340 calls", "", "156.01"),
        ("", "Included in your plan", "100,000", "0.00", "0.00"),
        ("", "First 50,000 calls over", "50,000", "2.00 per 1,000", "100.00"),
        ("", "Above 50,000 calls over", "37,340", "1.50 per 1,000", "56.01"),
        ("Storage", "1–30 Nov 2026", "82.5 GB\u2011months", "", "3.90"),
        ("", "Included in your plan", "50", "0.00", "0.00"),
        ("", "Over the allowance", "32.5", "0.12", "3.90"),
    ]
    assert [(total.label, total.value) for total in view.totals] == [
        ("Net total", "658.91"),
        ("VAT 19\u00a0% on 658.91", "125.19"),
        ("Invoice total", "€784.10"),
    ]
    assert [line.tax for line in view.lines] == ["19\u00a0%"] * 3
    assert view.lines[0].caption == "in advance"
    assert view.lines[1].summary == "used 187,340 · included 100,000 · over 87,340"
    [vat] = view.taxes
    assert (vat.base, vat.tax, vat.gross) == ("658.91", "125.19", "784.10")
    assert view.tax_sum is None


@pytest.mark.django_db
def test_the_worked_example_in_german() -> None:
    view = present(invoice(locale="de-DE"))
    assert view.language == "de-DE"
    assert shown(view)[3] == (
        "",
        "Die ersten 50.000 calls über der Inklusivmenge",
        "50.000",
        "2,00 je 1.000",
        "100,00",
    )
    assert [(total.label, total.value) for total in view.totals] == [
        ("Nettobetrag", "658,91"),
        ("USt 19\u00a0% auf 658,91", "125,19"),
        ("Rechnungsbetrag", "784,10\u00a0€"),
    ]
    assert view.payment.label == "Zahlbar bis 31. Dezember 2026"


@pytest.mark.django_db
def test_a_bookkeeper_finds_everything_in_the_head() -> None:
    view = present(invoice())
    assert view.heading == "Invoice"
    assert view.title == "Invoice INV-2026-000117 · Northlight Data"
    assert facts(view) == {
        "Invoice number": "INV-2026-000117",
        "Issue date": "1 Dec 2026",
        "Due date": "31 Dec 2026, 30 days",
        "Usage period": "1–30 Nov 2026",
        "Base fee period": "1–31 Dec 2026",
        "Customer number": "fernwood",
        "Purchase order": "PO-4471",
        "Your VAT ID": "DE111111111",
        "Our VAT ID": "DE000000000",
    }
    assert view.buyer.lines == (
        "Fernwood Analytics GmbH",
        "Accounts payable",
        "Speicherstraße 1",
        "20457 Hamburg",
        "Germany",
    )
    assert view.seller.sender == "Northlight Data GmbH · Torstraße 1 · 10119 Berlin"
    assert view.payment.amount == "€784.10"
    assert [(fact.label, fact.value) for fact in view.payment.facts] == [
        ("IBAN", "DE00 0000 0000 0000 0000 00"),
        ("BIC", "XXXXDEXX · Musterbank"),
        ("Reference", "INV-2026-000117"),
    ]
    assert view.footer[1].startswith("Amtsgericht Berlin HRB 000000 · VAT ID DE000000000")


@pytest.mark.django_db
def test_usage_at_a_glance() -> None:
    calls, storage = present(invoice()).usage
    assert (calls.used, calls.included, calls.over) == ("187,340", "100,000", "87,340")
    assert calls.unit == ""  # "API calls" says it already
    assert storage.unit == "GB-months"
    assert calls.note == "18,231 events, counted until 1 Dec 2026, 01:00"  # Berlin's hour
    assert calls.bar is not None
    assert (calls.bar.within, calls.bar.over) == ("53.38", "46.62")
    assert calls.bar.text == "187,340 used, 100,000 of them included, 87,340 over."


@pytest.mark.django_db
def test_a_glance_at_seven_metrics_shows_six_and_says_so() -> None:
    charges = [Charge(f"Metric {i}", "per_unit | at 1", "5") for i in range(7)]
    view = present(invoice(*charges))
    assert len(view.usage) == 6
    assert view.usage_note == "One more is in the charges below."
    assert view.usage[0].bar is None  # nothing included to measure against


SIX = trend("98200/100000", "104300/100000", "-", "0/100000", "149800/150000", "187340/100000")

TRENDS = {
    "months by their names": (
        "en-GB",
        trend("104300/100000", "187340/100000"),
        "October to November, dashed line: included",
        "October: 104,300 of 100,000 included; November: 187,340 of 100,000 included",
    ),
    "in German": (
        "de-DE",
        trend("104300/100000", "187340/100000"),
        "Oktober bis November, gestrichelt: enthalten",
        "Oktober: 104.300 von 100.000 enthaltenen; November: 187.340 von 100.000 enthaltenen",
    ),
    "nothing included, and a gap": (
        "en-GB",
        trend("123456789012", "-", "1000000000"),
        "September to November",
        "September: 123,456,789,012; October: nothing billed; November: 1,000,000,000",
    ),
    "over the turn of the year, with years": (
        "en-GB",
        {
            "trend": [
                {"start": "2026-12-01", "end": "2027-01-01", "used": "1", "included": "0"},
                {"start": "2027-01-01", "end": "2027-02-01", "used": "2", "included": "0"},
            ]
        },
        "December 2026 to January 2027",
        "December 2026: 1; January 2027: 2",
    ),
    "a first month in part is that month": (
        "en-GB",
        {
            "trend": [
                {"start": "2026-10-17", "end": "2026-11-01", "used": "1", "included": "0"},
                {"start": "2026-11-01", "end": "2026-12-01", "used": "2", "included": "0"},
            ]
        },
        "October to November",
        "October: 1; November: 2",
    ),
    "months from the 15th by their days": (
        "en-GB",
        {
            "trend": [
                {"start": "2026-09-15", "end": "2026-10-15", "used": "1", "included": "5"},
                {"start": "2026-10-15", "end": "2026-11-15", "used": "2", "included": "5"},
            ]
        },
        "15 Sept – 14 Nov 2026, dashed line: included",
        "15 Sept – 14 Oct 2026: 1 of 5 included; 15 Oct – 14 Nov 2026: 2 of 5 included",
    ),
    "two weeks of a month are no months": (
        "en-GB",
        {
            "trend": [
                {"start": "2026-11-02", "end": "2026-11-09", "used": "1", "included": "0"},
                {"start": "2026-11-09", "end": "2026-11-16", "used": "2", "included": "0"},
            ]
        },
        "2–15 Nov 2026",
        "2–8 Nov 2026: 1; 9–15 Nov 2026: 2",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("locale", "told", "caption", "text"), TRENDS.values(), ids=TRENDS)
def test_a_trend_in_words(locale: str, told: dict[str, Any], caption: str, text: str) -> None:
    charge = replace(API_CALLS, said=told)
    [metric] = present(invoice(charge, locale=locale)).usage
    assert metric.trend is not None
    assert (metric.trend.caption, metric.trend.text) == (caption, text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("locale", "told", "notes"),
    [
        pytest.param("en-GB", trend("104300", "187340.25"), "104.3K Oct 187.3K Nov", id="months"),
        pytest.param("de", trend("104300", "187340"), "104.300 Okt 187.340 Nov", id="in German"),
        pytest.param("en-GB", trend("7", "-", "82.5"), "7 Sept – Oct 82.5 Nov", id="a gap"),
        pytest.param("en-GB", trend("0.123456", "0"), "0.1235 Oct 0 Nov", id="many decimals"),
    ],
)
def test_each_bar_of_a_trend_has_its_month_and_figure(
    locale: str, told: dict[str, Any], notes: str
) -> None:
    [metric] = present(invoice(replace(API_CALLS, said=told), locale=locale)).usage
    assert metric.trend is not None
    assert " ".join(note.text for note in metric.trend.notes) == notes


@pytest.mark.django_db
def test_a_trend_leaves_a_gap_where_nothing_was_billed() -> None:
    [metric] = present(invoice(replace(API_CALLS, said=SIX))).usage
    assert metric.trend is not None
    assert [bar.x for bar in metric.trend.bars] == ["2%", "18.67%", "68.67%", "85.33%"]
    assert [bar.opacity for bar in metric.trend.bars] == ["0.4", "0.4", "0.4", "1"]
    levels = [step for step in metric.trend.included if step.y1 == step.y2]
    assert [(step.x1, step.x2) for step in levels] == [
        ("0%", "33.33%"),
        ("50%", "66.67%"),
        ("66.67%", "83.33%"),
        ("83.33%", "100%"),
    ]


@pytest.mark.django_db
def test_a_first_period_has_no_trend() -> None:
    assert [metric.trend for metric in present(invoice()).usage] == [None, None]


ONE_LINE = {
    "a price below a cent is scaled, never 0.00": (
        Charge("Tokens", "per_unit | at 0.0000025", "4000000", ("token", "tokens")),
        [("Tokens", "1–30 Nov 2026", "4,000,000 tokens", "2.50 per 1,000,000", "10.00")],
    ),
    "a residue is a row, so that rows sum to the line": (
        Charge("API calls", "per_unit | at 0.0015", "37341", CALLS),
        [
            ("API calls", "1–30 Nov 2026", "37,341 calls", "", "56.01"),
            ("", "Per call", "37,341", "1.50 per 1,000", "56.0115"),
            ("", "Rounding", "", "", "−0.0015"),
        ],
    ),
    "half a month of a fee": (
        Charge(
            "Base fee",
            "flat | at 100",
            kind=LineKind.FEE,
            days=(date(2026, 11, 15), NOVEMBER[1]),
            part=DayFraction(16, 30),
        ),
        [
            ("Base fee", "15–30 Nov 2026", "16 of 30 days", "", "53.33"),
            ("", "Flat fee, 16 of 30 days", "1", "100.00 × 16/30", "53.3333"),
            ("", "Rounding", "", "", "−0.0033"),
        ],
    ),
    "tiers with flat fees": (
        Charge("Calls", "graduated | tiers 100 @ 0 + 10, rest @ 0.5 + 7", "150", CALLS),
        [
            ("Calls", "1–30 Nov 2026", "150 calls", "", "42.00"),
            ("", "First 100 calls", "100", "10.00 flat", "10.00"),
            ("", "Above 100 calls", "50", "0.50 + 7.00 flat", "32.00"),
        ],
    ),
    "packages, a cap and a discount": (
        Charge("Calls", "package | at 10 | size 1000 | max 25 | off 10%", "2500", CALLS),
        [
            ("Calls", "1–30 Nov 2026", "2,500 calls", "", "22.50"),
            ("", "3 packages of 1,000 calls", "3", "10.00 per package", "30.00"),
            ("", "Limited to at most 25.00", "", "", "−5.00"),
            ("", "10 % discount", "", "", "−2.50"),
        ],
    ),
    "seats": (
        Charge("Seats", "per_unit | seats | at 20", "7", kind=LineKind.FEE, days=DECEMBER),
        [("Seats", "1–31 Dec 2026", "7", "20.00", "140.00")],
    ),
    "one seat, named": (
        Charge(
            "Seats",
            "per_unit | seats | at 20",
            "1",
            ("seat", "seats"),
            kind=LineKind.FEE,
            days=DECEMBER,
        ),
        [("Seats", "1–31 Dec 2026", "1 seat", "20.00", "20.00")],
    ),
    "a year in advance": (
        Charge(
            "Base fee",
            "flat | at 5000",
            kind=LineKind.FEE,
            days=(date(2026, 12, 1), date(2027, 12, 1)),
        ),
        [("Base fee", "1 Dec 2026 – 30 Nov 2027", "1 year", "5,000.00", "5,000.00")],
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("charge", "rows"), ONE_LINE.values(), ids=ONE_LINE)
def test_a_line_and_its_rows(charge: Charge, rows: list[tuple[str, ...]]) -> None:
    assert shown(present(invoice(charge))) == rows


@pytest.mark.django_db
def test_a_minimum_charge_says_the_floor_and_what_it_lacked() -> None:
    view = present(invoice(Charge("Calls", "per_unit | at 0.001 | min 25", "150", CALLS)))
    assert shown(view) == [
        ("Calls", "1–30 Nov 2026", "150 calls", "1.00 per 1,000", "0.15"),
        ("Minimum charge: Calls", "1–30 Nov 2026", "", "", "24.85"),
        ("", "Least amount for the period", "", "", "25.00"),
        ("", "Already charged above", "", "", "−0.15"),
    ]


@pytest.mark.django_db
def test_what_was_measured_is_said_where_it_is_not_what_is_billed() -> None:
    line = only_line(
        Charge("Traffic", "per_unit | at 1", "3", ("GB", "GB"), measured={"divisor": "1000"})
    )
    assert line.notes == ("Measured 3 ÷ 1,000, billed as 3 GB.",)
    line = only_line(
        Charge(
            "Databases",
            "per_unit | at 1",
            "16",
            part=DayFraction(16, 30),
            measured={"aggregation": "max", "quantity": "30"},
        )
    )
    assert line.notes == ("Measured 30 × 16 of 30 days, billed as 16.",)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("price", "locale", "note"),
    [
        (
            "graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015",
            "en",
            "For 14 of 30 days: included 100,000 × 14/30 = 46,667, limit 50,000 × 14/30 = 23,334; "
            "quantities rounded up.",
        ),
        (
            "per_unit | included 100 | at 0.001 | max 250",
            "de",
            "Für 14 von 30 Tagen: enthalten 100 × 14/30 = 47, Höchstbetrag 250,00 × 14/30 = 116,67; "
            "Mengen aufgerundet.",
        ),
        (
            "graduated | tiers rest @ 0.5 + 10",
            "en",
            "For 14 of 30 days: flat fee 10.00 × 14/30 = 4.67.",
        ),
    ],
    ids=["allowance and limits", "a cap, in German", "a tier's fee, which is no quantity"],
)
def test_a_part_of_a_period_shows_what_it_made_of_the_price(
    price: str, locale: str, note: str
) -> None:
    charge = Charge("Calls", price, "60000", CALLS, part=DayFraction(14, 30))
    assert only_line(charge, locale=locale).notes == (note,)


@pytest.mark.django_db
def test_a_price_that_a_part_leaves_alone_needs_no_note() -> None:
    charge = Charge("Calls", "per_unit | at 0.001", "60000", CALLS, part=DayFraction(14, 30))
    assert only_line(charge).notes == ()


@pytest.mark.django_db
def test_lines_without_money_and_usage_are_hidden_but_the_allowance_is_seen() -> None:
    view = present(invoice(Charge("API calls", "per_unit | included 100 | at 1", "0", CALLS)))
    assert view.lines == ()
    assert [metric.used for metric in view.usage] == ["0"]
    assert (view.payment.label, view.payment.facts) == ("Nothing to pay", ())


@pytest.mark.django_db
def test_usage_within_the_allowance_is_shown_at_nothing() -> None:
    view = present(invoice(Charge("API calls", "per_unit | included 100 | at 1", "60", CALLS)))
    assert shown(view)[1] == ("", "Included in your plan", "60", "0.00", "0.00")
    assert view.usage[0].bar is not None
    assert (view.usage[0].bar.within, view.usage[0].bar.over) == ("60", "0")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("category", "name", "note"),
    [
        ("AE", "Reverse charge", "Reverse charge: the recipient is liable for the VAT"),
        ("E", "Exempt", "Exempt from VAT."),
        ("O", "Outside the scope of VAT", "Not subject to VAT."),
        ("Z", "Zero rate", "Taxed at zero percent."),
    ],
)
def test_why_there_is_no_vat(category: str, name: str, note: str) -> None:
    view = present(invoice(tax=(category, "0"), reason="Reverse charge"))
    assert [tax.category for tax in view.taxes] == [name]
    assert view.tax_notes[0].startswith(note)
    assert view.totals[-1].value == "€658.91"


@pytest.mark.django_db
def test_several_rates_have_a_sum() -> None:
    draft = invoice(issued=False)
    TaxSubtotal.objects.create(invoice=draft, category="E", rate=0, base=0, amount=0, reason="§ 4")
    view = present(loaded(draft))
    assert len(view.taxes) == 2
    assert view.tax_sum is not None
    assert (view.tax_sum.base, view.tax_sum.gross) == ("658.91", "784.10")
    assert view.tax_notes == ("Exempt from VAT. § 4",)


@pytest.mark.django_db
def test_a_draft_has_no_number_and_no_date_and_asks_for_no_money() -> None:
    view = present(invoice(issued=False))
    assert (view.heading, view.number, view.mark) == ("Draft invoice", "", "DRAFT")
    assert not {"Invoice number", "Issue date", "Due date"} & set(facts(view))
    assert view.payment.facts == ()
    assert "do not pay" in view.payment.note


@pytest.mark.django_db
def test_a_void_invoice_keeps_its_number_and_asks_for_no_money() -> None:
    voided = invoice()
    void(voided)
    view = present(loaded(voided))
    assert (view.number, view.mark) == ("INV-2026-000117", "VOID")
    assert view.payment.note.startswith("Voided on 1 December 2026.")
    assert view.payment.facts == ()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "net", "total"),
    [
        ("JPY", "156", "JP¥784"),
        ("KWD", "156.010", "KWD\u00a0784.103"),
        ("EUR", "156.01", "€784.10"),
    ],
)
def test_decimals_are_the_currencys(currency: str, net: str, total: str) -> None:
    view = present(invoice(currency=currency))
    assert view.lines[1].net == net
    assert view.totals[-1].value == total


@pytest.mark.parametrize(
    ("locale", "currency", "text"),
    [
        ("en-US", "EUR", "€1,234.50"),
        ("en-US", "KWD", "KWD\u00a01,234.500"),
        ("de-DE", "EUR", "1.234,50\u00a0€"),
        ("de-CH", "CHF", "CHF\u00a01’234.50"),
        ("hu", "HUF", "1\u00a0234,50\u00a0Ft"),
        ("ja-JP", "JPY", "¥1,235"),
    ],
)
def test_money_is_rounded_half_up_and_written_as_the_locale_does(
    locale: str, currency: str, text: str
) -> None:
    assert Reader(locale, currency).money(D("1234.5")) == text


def test_amounts_of_a_column_have_as_many_decimals_each() -> None:
    exact = [D(0), D("8401.5"), D("-0.125")]
    assert Reader("en-GB", "JPY").column(exact) == ["0.000", "8,401.500", "−0.125"]
    assert Reader("de-DE", "EUR").column([D(1), D("0.5")]) == ["1,00", "0,50"]


def test_the_first_of_a_month_is_an_ordinal_in_french() -> None:
    french, english = Reader("fr-FR", "EUR"), Reader("en-GB", "EUR")
    first, other = date(2027, 1, 1), date(2027, 1, 21)
    assert (french.long_date(first), french.long_date(other)) == (
        *("1er janvier 2027", "21 janvier 2027"),
    )
    assert (french.day(first), french.short_day(first)) == ("1er janv. 2027", "1er janv.")
    assert english.long_date(first) == "1 January 2027"


@pytest.mark.parametrize("value", ["0.005", "1.005", "2.675", "1000000.125"])
def test_a_half_cent_goes_up(value: str) -> None:
    up = (D(value) + D("0.005")).quantize(D("0.01"))
    assert Reader("en", "EUR").rounded(D(value)) == f"{up:,}"


def test_an_unknown_language_gets_english_words_with_its_own_numbers() -> None:
    reader = Reader("it-IT", "EUR")
    assert (reader.language, reader.say("net")) == ("en", "Net")
    assert reader.rounded(D("1.5")) == "1,50"


@pytest.mark.parametrize("locale", ["ja-JP", "it-IT", "ar-EG", "he-IL", "fa"])
def test_where_the_words_are_english_dates_and_countries_are_too(locale: str) -> None:
    reader = Reader(locale, "EUR")
    assert reader.country("DE") == "Germany"
    assert reader.day(NOVEMBER[0]) == "1 Nov 2026"
    assert reader.short_day(NOVEMBER[0]) == "1 Nov"
    assert reader.month(NOVEMBER[0], with_year=True) == "November 2026"
    assert reader.duration(*NOVEMBER) == "1 month"
    assert reader.long_date(NOVEMBER[0]) == "1 November 2026"
    assert reader.span(*NOVEMBER) == "1–30 Nov 2026"
    assert reader.moment(MIDNIGHT, "Europe/Berlin") == "1 Dec 2026, 01:00"


def test_every_text_exists_in_every_language_with_the_same_gaps() -> None:
    english = WORDS["en"]
    for words in WORDS.values():
        assert set(words) == set(english)
        for key, text in words.items():
            gaps = {"{amount}", "{days}", "{date}", "{count}", "{email}", "{number}", "{used}"}
            assert {gap for gap in gaps if gap in text} == {
                gap for gap in gaps if gap in english[key]
            }, key


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  two\nlines\t", "two lines"),
        ("abc\u202edcba\u2066x", "abcdcbax"),
        ("bell\x07 nul\x00", "bell nul"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        (None, ""),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_names_are_one_line_of_printable_text(text: object, line: str) -> None:
    assert clean(text) == line


def test_a_name_without_end_is_cut() -> None:
    assert clean("x" * 100_000) == "x" * 299 + "…"


@pytest.mark.parametrize("mark", ["\u0301", "\u0316", "\u0e47", "\u1ab0"])
def test_a_tower_of_marks_does_not_reach_over_other_lines(mark: str) -> None:
    assert clean(f"e{mark * 99}f{mark}") == f"e{mark * 6}f{mark}"


@pytest.mark.parametrize("name", ["בְּרֵאשִׁ֖ית", "Trần Ngọc", "ก็กี๊ก", "हिन्दी", "བསྒྲུབས", "شَرِكَةٌ", "👩🏽‍💻"])
def test_letters_keep_the_marks_they_are_written_with(name: str) -> None:
    decomposed = unicodedata.normalize("NFD", name)
    assert clean(decomposed) == decomposed


@pytest.mark.django_db
def test_presenting_asks_the_database_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    metrics = [Charge(f"Metric {i}", "per_unit | at 1", "5") for i in range(40)]
    few, many = invoice(BASE_FEE, metrics[0]), invoice(BASE_FEE, *metrics)
    with django_assert_num_queries(0):
        present(many, locale="de")
    for each in (few, many):
        with django_assert_num_queries(11):
            present(Invoice.objects.with_lines().get(pk=each.pk))


@pytest.mark.django_db
def test_a_draft_without_frozen_parties_shows_them_as_they_are_now() -> None:
    draft = invoice(issued=False)
    draft.seller = draft.buyer = {}
    draft.save()
    view = present(loaded(draft))
    assert view.seller.name == "Northlight Data"
    assert view.buyer.lines[0] == draft.customer.name


@pytest.mark.parametrize(
    ("accent", "text"), [("#0f5c5c", "#0f5c5c"), ("#FFD400", INK), ("red;} *{", "#0f5c5c")]
)
def test_text_in_the_issuers_colour_can_be_read(accent: str, text: str) -> None:
    colours = palette(accent)
    assert colours.text == text
    assert contrast_with_white(colours.text) >= 4.5


@pytest.mark.unaudited
@pytest.mark.parametrize(
    ("where", "lines"),
    [
        ({"country": "US", "region": "CA"}, ("Hamburg, CA 20457", "United States")),
        ({"country": "GB"}, ("Hamburg", "20457", "United Kingdom")),
        ({"country": "DE", "locale": "de"}, ("20457 Hamburg", "Deutschland")),
    ],
)
@pytest.mark.django_db
def test_an_address_ends_as_its_country_writes_it(
    where: dict[str, str], lines: tuple[str, ...]
) -> None:
    assert present(invoice(**BUYER | where)).buyer.lines[3:] == lines


@pytest.mark.parametrize(
    "text",
    [
        "graduated | included 10 | tiers 50 @ 0.2 + 1, rest @ 0.1 + 2 | max 9 | off 5%",
        "volume | tiers 50 @ 0.2 + 1, rest @ 0.1",
        "package | at 3 | size 7",
        "flat | at 100",
    ],
)
def test_a_stored_step_is_read_as_it_was_written(text: str) -> None:
    rated = rate(price(text), D("120.5"), exponent=2, part=DayFraction(15, 30))
    steps = [step_from_json(step) for step in explanation(rated)["steps"]]
    assert steps == list(rated.steps)


def test_numbers_in_charts_are_never_in_words_that_are_written_from_the_right() -> None:
    assert Reader("ar-KW", "KWD").brief_number(D("2000000000")) == "2B"
    assert Reader("ja-JP", "JPY").brief_number(D("1234567")) == "123.5\u4e07"
    assert Reader("hi-IN", "INR").brief_number(D("1234567")) == "1.2M"  # its letters join
