"""Rows and rules in English and German, with each locale's numbers."""

import re
from decimal import Decimal as D
from fractions import Fraction as F

import pytest

from catalog.pricing import DayFraction, Step, rate
from catalog.wording import (
    WORDS,
    UnitPrice,
    amount,
    describe,
    label,
    number,
    price_text,
    unit_price,
)
from tests.catalog.notation import price

pytestmark = pytest.mark.once

INCLUDED = " | included 100"
LADDER = "graduated | tiers 1000 @ 1, 2500.5 @ 1, rest @ 1"
VOLUME = "volume | tiers 1000 @ 1, 10000 @ 1, rest @ 1"


def labels(
    text: str,
    quantity: str,
    locale: str,
    *,
    part: str = "1/1",
    names: tuple[str, str] = ("token", "tokens"),
) -> list[str]:
    terms = price(text)
    rated = rate(terms, D(quantity), exponent=2, part=DayFraction.parse(part))
    unit, unit_plural = names
    return [
        label(
            step,
            unit=unit,
            unit_plural=unit_plural,
            locale=locale,
            over=terms.included > 0,
            exponent=2,
        )
        for step in rated.steps
    ]


@pytest.mark.parametrize(
    ("text", "quantity", "english", "german"),
    [
        pytest.param(
            LADDER + INCLUDED,
            "9999",
            [
                "included in your plan",
                "first 1,000 tokens over",
                "from 1,000 to 2,500.5 tokens over",
                "above 2,500.5 tokens over",
            ],
            [
                "im Tarif enthalten",
                "die ersten 1.000 tokens über der Inklusivmenge",
                "von 1.000 bis 2.500,5 tokens über der Inklusivmenge",
                "mehr als 2.500,5 tokens über der Inklusivmenge",
            ],
            id="a ladder after an allowance",
        ),
        pytest.param(
            LADDER,
            "9999",
            ["first 1,000 tokens", "from 1,000 to 2,500.5 tokens", "above 2,500.5 tokens"],
            [
                "die ersten 1.000 tokens",
                "von 1.000 bis 2.500,5 tokens",
                "mehr als 2.500,5 tokens",
            ],
            id="a ladder of its own: nothing is over",
        ),
        pytest.param(
            "graduated | tiers 1 @ 1, rest @ 1",
            "3",
            ["first 1 token", "above 1 token"],
            ["die ersten 1 token", "mehr als 1 token"],
            id="one token",
        ),
        pytest.param(
            "graduated | tiers rest @ 1", "5", ["per token"], ["je token"], id="one open tier"
        ),
        pytest.param(
            "graduated | tiers rest @ 1" + INCLUDED,
            "105",
            ["included in your plan", "over the allowance"],
            ["im Tarif enthalten", "über die Inklusivmenge hinaus"],
            id="one open tier after an allowance",
        ),
        pytest.param(
            "per_unit | at 1" + INCLUDED,
            "105",
            ["included in your plan", "over the allowance"],
            ["im Tarif enthalten", "über die Inklusivmenge hinaus"],
            id="per unit after an allowance",
        ),
        pytest.param("per_unit | at 1", "5", ["per token"], ["je token"], id="per unit"),
        pytest.param(
            VOLUME,
            "500",
            ["all units at the price for up to 1,000 tokens"],
            ["alle Einheiten zum Preis für bis zu 1.000 tokens"],
            id="volume, first tier",
        ),
        pytest.param(
            VOLUME,
            "5000",
            ["all units at the price for more than 1,000 up to 10,000 tokens"],
            ["alle Einheiten zum Preis für mehr als 1.000 bis 10.000 tokens"],
            id="volume, second tier",
        ),
        pytest.param(
            VOLUME + INCLUDED,
            "50000",
            [
                "included in your plan",
                "all units over the allowance at the price for more than 10,000 tokens",
            ],
            [
                "im Tarif enthalten",
                "alles über die Inklusivmenge hinaus zum Preis für mehr als 10.000 tokens",
            ],
            id="volume after an allowance",
        ),
        pytest.param(
            "volume | tiers rest @ 1", "5", ["per token"], ["je token"], id="volume of one tier"
        ),
        pytest.param(
            "package | at 1 | size 1000",
            "2001",
            ["3 packages of 1,000 tokens"],
            ["3 Pakete zu 1.000 tokens"],
            id="packages",
        ),
        pytest.param(
            "package | at 1 | size 1000",
            "1",
            ["1 package of 1,000 tokens"],
            ["1 Paket zu 1.000 tokens"],
            id="one package",
        ),
        pytest.param(
            "per_unit | at 1 | max 500 | off 12.5%",
            "1000",
            ["per token", "limited to at most 500.00", "12.5 % discount"],
            ["je token", "begrenzt auf höchstens 500,00", "12,5 % Rabatt"],
            id="cap and discount",
        ),
        pytest.param("flat | at 1", "1", ["flat fee"], ["Pauschale"], id="a base fee"),
    ],
)
def test_label(text: str, quantity: str, english: list[str], german: list[str]) -> None:
    assert labels(text, quantity, "en-US") == english
    assert labels(text, quantity, "de-DE") == german


@pytest.mark.parametrize(
    ("text", "locale", "expected"),
    [
        pytest.param("flat | at 1", "en", ["flat fee, 16 of 30 days"], id="a base fee"),
        pytest.param("flat | at 1", "de", ["Pauschale, 16 von 30 Tagen"], id="eine Pauschale"),
        pytest.param("per_unit | at 1 | seats", "en", ["per token, 16 of 30 days"], id="seats"),
        pytest.param("per_unit | at 1", "en", ["per token"], id="usage counts whole"),
        pytest.param(
            "per_unit | at 9 | max 1",
            "en",
            ["per token", "limited to at most 0.53"],
            id="a scaled cap is rounded for reading",
        ),
    ],
)
def test_label_in_a_partial_period(text: str, locale: str, expected: list[str]) -> None:
    assert labels(text, "1", locale, part="16/30") == expected


def test_a_unit_without_a_name() -> None:
    assert labels("per_unit | at 1", "1", "en", names=("", "")) == ["per unit"]
    assert labels(LADDER, "1", "de", names=("", "")) == ["die ersten 1.000 Einheiten"]


def test_a_unit_with_braces_is_only_a_name() -> None:
    assert labels(LADDER, "1", "en", names=("{0}", "{to}s")) == ["first 1,000 {to}s"]


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        pytest.param("fr-FR", "1\u202f000 premiers tokens", id="French numbers and words"),
        pytest.param("es-ES", "primeros 1.000 tokens", id="Spanish numbers and words"),
        pytest.param("it-IT", "first 1.000 tokens", id="Italian numbers, English words"),
        pytest.param("de_CH", "die ersten 1’000 tokens", id="Swiss numbers, German words"),
        pytest.param("de-ZZZZ", "die ersten 1.000 tokens", id="an unknown country"),
        pytest.param("xx", "first 1,000 tokens", id="an unknown language"),
        pytest.param("", "first 1,000 tokens", id="no locale"),
    ],
)
def test_locales(locale: str, expected: str) -> None:
    assert labels(LADDER, "1", locale) == [expected]


@pytest.mark.parametrize(
    ("value", "locale", "expected"),
    [
        pytest.param("187340.50", "de", "187.340,5", id="trailing zeros cut"),
        pytest.param("1E+9", "en", "1,000,000,000", id="a thousand million"),
        pytest.param("1234567", "en-IN", "12,34,567", id="lakhs"),
        pytest.param(
            "99999999999999999999.1234567891",
            "en",
            "99,999,999,999,999,999,999.1234567891",
            id="thirty digits",
        ),
        pytest.param("0.000000000001", "en", "0.000000000001", id="twelve decimals"),
    ],
)
def test_number(value: str, locale: str, expected: str) -> None:
    assert number(D(value), locale) == expected


@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [
        pytest.param(D("100.000"), 2, "100.00", id="cents"),
        pytest.param(D("56.015"), 2, "56.015", id="an exact amount keeps its digits"),
        pytest.param(D("-50"), 2, "-50.00", id="negative"),
        pytest.param(D("1500"), 0, "1,500", id="yen"),
        pytest.param(D("1.5"), 3, "1.500", id="dinars"),
        pytest.param(F(160, 3), 2, "53.33", id="an endless fraction is rounded"),
    ],
)
def test_amount(value: D | F, exponent: int, expected: str) -> None:
    assert amount(value, exponent, "en") == expected


@pytest.mark.parametrize(
    ("unit_amount", "exponent", "expected"),
    [
        pytest.param("0.12", 2, "0.12", id="cents"),
        pytest.param("0.01", 2, "0.01", id="one cent"),
        pytest.param("0.015", 2, "0.015", id="above a cent, with all digits"),
        pytest.param("0.002", 2, "2.00 per 1,000", id="below a cent"),
        pytest.param("0.00999", 2, "9.99 per 1,000", id="just below a cent"),
        pytest.param("0.0015", 2, "1.50 per 1,000", id="trailing zeros filled"),
        pytest.param("0.0000011", 2, "1.10 per 1,000,000", id="below a thousandth of a cent"),
        pytest.param("0.000000000001", 2, "0.000001 per 1,000,000", id="never 0.00"),
        pytest.param("0", 2, "0.00", id="free"),
        pytest.param("0.5", 0, "500 per 1,000", id="half a yen"),
        pytest.param("0.0015", 3, "0.0015", id="above a fils"),
    ],
)
def test_unit_price(unit_amount: str, exponent: int, expected: str) -> None:
    assert price_text(unit_price(D(unit_amount), exponent, "en"), "en") == expected


def test_unit_price_gives_text_and_number() -> None:
    assert unit_price(D("0.002"), 2, "de") == UnitPrice("2,00", 1000)
    assert price_text(UnitPrice("2,00", 1000), "de") == "2,00 je 1.000"


@pytest.mark.parametrize(
    ("text", "english", "german"),
    [
        pytest.param(
            "graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015",
            "100,000 calls included, then 2.00 per 1,000 for the first 50,000, 1.50 per 1,000 above.",
            "100.000 calls enthalten, danach 2,00 je 1.000 für die ersten 50.000,"
            " 1,50 je 1.000 darüber.",
            id="graduated after an allowance",
        ),
        pytest.param(
            "graduated | tiers 10 @ 1 + 5, 20 @ 0.5, rest @ 0",
            "1.00 plus 5.00 for the first 10, 0.50 up to 20, 0.00 above.",
            "1,00 zuzüglich 5,00 für die ersten 10, 0,50 bis 20, 0,00 darüber.",
            id="flat fees",
        ),
        pytest.param(
            "volume | tiers 1000 @ 0.1, rest @ 0.08",
            "All calls at one price, by their number: 0.10 up to 1,000, 0.08 above.",
            "Alle calls zu einem Preis nach ihrer Anzahl: 0,10 bis 1.000, 0,08 darüber.",
            id="volume",
        ),
        pytest.param(
            "flat | at 499 | off 10%",
            "A flat fee of 499.00. 10 % discount.",
            "Pauschal 499,00. 10 % Rabatt.",
            id="flat",
        ),
        pytest.param(
            "per_unit | at 0.12 | included 1 | min 5 | max 500",
            "1 call included, then 0.12 per call. At least 5.00, at most 500.00.",
            "1 call enthalten, danach 0,12 je call. Mindestens 5,00, höchstens 500,00.",
            id="per unit with both limits",
        ),
        pytest.param(
            "per_unit | at 0.002 | min 5",
            "2.00 per 1,000 calls. At least 5.00.",
            "2,00 je 1.000 calls. Mindestens 5,00.",
            id="below a cent, with a floor",
        ),
        pytest.param(
            "package | at 2.5 | size 1000 | max 50",
            "2.50 per started package of 1,000 calls. At most 50.00.",
            "2,50 je angefangenes Paket zu 1.000 calls. Höchstens 50,00.",
            id="packages with a cap",
        ),
        pytest.param(
            "volume | tiers rest @ 1",
            "All calls at one price, by their number: 1.00 per call.",
            "Alle calls zu einem Preis nach ihrer Anzahl: 1,00 je call.",
            id="a ladder of one",
        ),
    ],
)
def test_describe(text: str, english: str, german: str) -> None:
    terms = price(text)
    for locale, expected in (("en", english), ("de", german)):
        said = describe(terms, unit="call", unit_plural="calls", exponent=2, locale=locale)
        assert said == expected


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_every_language_says_everything_with_the_same_gaps(language: str) -> None:
    assert WORDS[language].keys() == WORDS["en"].keys()
    for key, text in WORDS["en"].items():
        gaps = re.findall(r"{\w+}", text)
        assert sorted(re.findall(r"{\w+}", WORDS[language][key])) == sorted(gaps), key


def test_labels_do_not_depend_on_what_was_asked_before() -> None:
    bound = Step("tier", D(1), D(1), D(0), D(1), D(0), D(1000))
    words = {"unit": "token", "unit_plural": "tokens", "locale": "en"}
    assert label(bound, over=True, exponent=2, **words) == "first 1,000 tokens over"
    assert label(bound, over=False, exponent=2, **words) == "first 1,000 tokens"
