"""Plan terms: every price of every kind is said in sentences, with an example that adds up."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price, ValueMetric
from catalog.plan_terms import Section, plan_terms
from catalog.plan_terms_words import WORDS
from tests import factories as make

pytestmark = pytest.mark.django_db

SEATS: dict[str, Any] = {
    "key": "seats",
    "name": "Seats",
    "model": "per_unit",
    "timing": "advance",
    "unit_amount": D(12),
}
LEVEL = {"aggregation": "time_weighted", "value_is": "level"}


def sections(*prices: PriceDraft, language: str = "en", **terms: Any) -> list[Section]:
    version = make.published(*prices, **terms)
    loaded = PlanVersion.objects.with_prices().get(pk=version.pk)
    return plan_terms(loaded, language=language, contact="ap@acme.test")


def price(metric: ValueMetric, model: str = "per_unit", **fields: Any) -> PriceDraft:
    fields.setdefault("timing", "arrears")
    return PriceDraft(Price(key="p", name="Usage", model=model, metric=metric, **fields))


def of(found: list[Section], title: str) -> str:
    [section] = [one for one in found if one.title == title]
    return " ".join(section.sentences)


def test_it_says_what_happens_on_a_change_a_cancellation_and_a_pause() -> None:
    said = of(sections(make.flat()), "Parts of a period")
    for what in (
        "If you change to another plan",
        "from a day that is billed already",
        "You can cancel at once or to the end",
        "While your subscription is paused",
        "When it goes on",
    ):
        assert what in said
    whole = of(sections(make.flat(proration="none")), "Parts of a period")
    assert "from a day that is billed already" not in whole


def test_languages_have_the_same_sentences() -> None:
    assert {language: said.keys() ^ WORDS["en"].keys() for language, said in WORDS.items()} == {
        language: set() for language in ("en", "de", "fr", "es")
    }


def test_a_hybrid_plan_is_said_with_its_numbers_and_an_example() -> None:
    calls = make.metric("calls", name="API calls")
    usage = make.graduated(
        calls, "50000 @ 0.002, rest @ 0.0015", name="API calls", included_quantity=D(100_000)
    )
    found = sections(make.flat(), usage, trial_days=14)
    assert [section.title for section in found] == [
        "Billing periods",
        "Base",
        "API calls",
        "Parts of a period",
        "How usage is counted",
        "Your invoice",
        "Questions and disputes",
    ]
    assert "A billing period lasts one month." in of(found, "Billing periods")
    assert "Your first 14 days are a trial" in of(found, "Billing periods")
    said = of(found, "API calls")
    assert "We add up “calls” of every event of the type “api.call”" in said
    assert "to the nearest (halves up), to a whole number" in said
    assert "100,000 calls included, then 2.00 per 1,000 for the first 50,000" in said
    [section] = [one for one in found if one.title == "API calls"]
    assert section.example == "Example: 175,000 calls"
    assert [(row.quantity, row.amount) for row in section.rows] == [
        ("100,000", "0.00"),
        ("50,000", "100.00"),
        ("25,000", "37.50"),
    ]
    assert section.total == "137.50 EUR"
    assert "ap@acme.test" in of(found, "Questions and disputes")


def test_seats_are_called_seats() -> None:
    seats = Price(**SEATS, unit="seat", unit_plural="seats")
    [section] = [one for one in sections(PriceDraft(seats)) if one.title == "Seats"]
    assert "12.00 per seat." in " ".join(section.sentences)
    assert section.example == "Example: 5 seats"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"aggregation": "count"}, "We count every event"),
        ({"aggregation": "unique_count"}, "a value that occurs twice in a period counts once"),
        ({"aggregation": "max", "value_is": "level"}, "We take the highest “calls” that events"),
        ({"aggregation": "max", "value_is": "change"}, "adds its “calls” to a level"),
        ({"aggregation": "latest", "value_is": "level"}, "We take the last “calls”"),
        ({"aggregation": "latest", "value_is": "change"}, "the level at the end of the period"),
        ({**LEVEL, "time_unit": "period"}, "half a period at 10 counts 5 calls"),
        ({**LEVEL, "time_unit": "hour"}, "10 for two hours counts 20 calls"),
        ({"series": ["db"], **LEVEL, "time_unit": "hour"}, "for each db on its own"),
        ({"carry_over": True, **LEVEL, "time_unit": "hour"}, "begins with the level"),
        ({"unit_divisor": D(1000)}, "The result is divided by 1,000"),
        (
            {"filters": [{"property": "region", "operator": "eq", "values": ["eu"]}]},
            "Only usage counts for which “region” is eu.",
        ),
        ({"rounding_mode": "up", "rounding_scale": 2}, "rounded once, up, to 2 decimals"),
    ],
)
def test_how_usage_is_counted(metric: dict[str, Any], words: str) -> None:
    found = sections(price(make.metric("calls", **metric), unit_amount=D(1)))
    assert words in of(found, "Usage")


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
@pytest.mark.parametrize(
    ("model", "fields", "total"),
    [
        ("percentage", {"percent_rate": D("2.9"), "fixed_amount": D("0.30")}, "6.40"),
        ("percentage", {"percent_rate": D(10), "free_events": 5}, "20.00"),
        (
            "matrix",
            {
                "unit_amount": D(1),
                "dimensions": ["region"],
                "rows": [{"match": {"region": "eu"}, "unit_amount": "2"}],
            },
            "300.00",
        ),
        ("package", {"unit_amount": D(5), "package_size": D(1000)}, "15.00"),
        ("per_unit", {"unit_amount": D("0.01"), "minimum": D(20)}, "20.00"),
        ("per_unit", {"unit_amount": D("0.01"), "maximum": D(5)}, "5.00"),
    ],
)
def test_every_model_has_an_example_that_adds_up(
    model: str, fields: dict[str, Any], total: str, language: str
) -> None:
    metric = make.metric("calls", dimensions=["region"])
    found = sections(price(metric, model, **fields), language=language)
    [section] = [one for one in found if one.title == "Usage"]
    assert section.total.replace(",", ".") == f"{total} EUR"
    amounts = [D(row.amount.replace(",", ".")) for row in section.rows]
    assert sum(amounts, D(0)) == D(total)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Usage that is charged under “Cards” is not charged here again."),
        ("de", "Nutzung, die unter „Cards“ berechnet wird, wird hier nicht noch einmal berechnet."),
        ("fr", "L’usage facturé sous «\u202fCards\u202f» n’est pas facturé ici une seconde fois."),
        ("es", "El uso que se cobra en «Cards» no se cobra aquí otra vez."),
    ],
)
def test_what_an_earlier_price_takes_is_not_charged_twice(language: str, words: str) -> None:
    metric = make.metric("calls", dimensions=["region"])
    cards = PriceDraft(
        Price(
            key="c", name="Cards", model="per_unit", metric=metric, timing="arrears",
            unit_amount=D(2), filters=[{"property": "region", "operator": "in", "values": ["eu"]}],
        )
    )  # fmt: skip
    found = sections(cards, price(metric, unit_amount=D(1)), language=language)
    assert words in of(found, "Usage")
    assert words not in of(found, "Cards")


def test_a_matrix_says_which_price_fits_what_is_included_and_what_goes_beyond() -> None:
    metric = make.metric("calls", dimensions=["region"])
    rows = [{"match": {"region": "eu"}, "unit_amount": "0.5"}]
    matrix = price(
        metric, "matrix", dimensions=["region"], rows=rows, unit_amount=D(1),
        included_quantity=D(1000),
    )  # fmt: skip
    found = sections(matrix)
    assert "the first of them is its price" in of(found, "Usage")
    assert "What is included covers units in the order of these prices." in of(found, "Usage")
    [section] = [one for one in found if one.title == "Usage"]
    assert section.example == "Example: 600 calls of each kind"
    assert [(row.quantity, row.amount) for row in section.rows] == [
        ("1,000", "0.00"),
        ("200", "200.00"),
    ]


@pytest.mark.parametrize(
    ("language", "with_tax", "before"),
    [
        ("en", "with tax", "before tax"),
        ("de", "mit Steuern", "vor Steuern"),
        ("fr", "taxes comprises", "hors taxes"),
        ("es", "con impuestos", "sin impuestos"),
    ],
)
def test_prices_are_told_with_tax_or_before_it(language: str, with_tax: str, before: str) -> None:
    for include, says, says_not in ((True, with_tax, before), (False, before, with_tax)):
        found = sections(
            make.flat(), language=language, minimum_commitment=D(9), prices_include_tax=include
        )
        said = " ".join(sentence for one in found for sentence in one.sentences)
        assert f"EUR {says}" in said
        assert f"9.00 EUR {says}" in said.replace(",", ".")
        assert says_not not in said
    assert "where none is due from us" in of(
        sections(make.flat(), prices_include_tax=True), "Your invoice"
    )


def test_a_commitment_says_over_which_time_it_is_compared() -> None:
    yearly = make.flat(amount="60")
    monthly = make.graduated(make.metric("calls"), "rest @ 1", interval="month")
    said = of(sections(yearly, monthly, interval="year", minimum_commitment=D(200)), "Your invoice")
    assert "All charges for one year of your plan together come to at least 200.00 EUR" in said
    said = of(sections(make.flat(), minimum_commitment=D(200)), "Your invoice")
    assert "All charges for a period together come to at least 200.00 EUR" in said
    assert "What you buy once, beside this plan, does not count toward it." in said
