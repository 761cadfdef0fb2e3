"""Filters as people type them, and the worked examples of a price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.admin.examples import example_quantities, price_words
from catalog.admin.lines import (
    UnreadableLine,
    dimensions_of,
    parse_filters,
    parse_rows,
    parse_words,
    write_filters,
    write_rows,
    write_words,
)
from catalog.drafts import PriceDraft
from catalog.models import Price, PriceTier, ValueMetric
from catalog.pricing import Flat, Graduated, Package, PerUnit, Tier
from catalog.pricing import Price as PriceValue
from catalog.wording import COMPARED, filters_in_words

D = Decimal


@pytest.mark.parametrize(
    ("line", "property_", "operator", "values"),
    [
        ("model in m-large, m-small", "model", "in", ["m-large", "m-small"]),
        ("status eq ok", "status", "eq", ["ok"]),
        ("region exists", "region", "exists", []),
        ("tokens gt 100", "tokens", "gt", ["100"]),
        ('city eq "Berlin, Mitte"', "city", "eq", ["Berlin, Mitte"]),
        ("  plan   not_in  free , trial ", "plan", "not_in", ["free", "trial"]),
    ],
)
def test_a_line_is_a_filter(line: str, property_: str, operator: str, values: list[str]) -> None:
    assert parse_filters(f"\n{line}\n") == [
        {"property": property_, "operator": operator, "values": values}
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("model", "write one of eq, in"),
        ("model equals x", "write one of eq, in"),
        ("model in", "write a value after “in”"),
        ("model eq a, b", "takes one value"),
        ("tokens gt many", "needs a number"),
        ("region exists yes", "takes no value"),
    ],
)
def test_an_unreadable_line_is_named(line: str, why: str) -> None:
    with pytest.raises(UnreadableLine, match=f"Line 2: .*{why}"):
        parse_filters(f"status eq ok\n{line}")


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(words, unique=True))
def test_words_are_read_back(some: list[str]) -> None:
    assert parse_words(write_words(some)) == some


@given(st.lists(words, min_size=1, unique=True), st.sampled_from(["in", "not_in"]))
def test_filters_are_read_back(values: list[str], operator: str) -> None:
    filters: list[dict[str, Any]] = [
        {"property": "model", "operator": operator, "values": values},
        {"property": "region", "operator": "exists", "values": []},
    ]
    assert parse_filters(write_filters(filters)) == filters


def test_filters_are_said_in_words() -> None:
    filters = parse_filters("model in a, b\nregion exists")
    assert filters_in_words(filters) == ["model is one of a, b", "region is there at all"]
    assert set(COMPARED) == {"eq", "in", "not_in", "exists", "gt", "lt"}


LADDER = Graduated((Tier(D(50), D("0.002")), Tier(None, D("0.0015"))))


@pytest.mark.parametrize(
    ("price", "quantities"),
    [
        pytest.param(PriceValue(Flat(D(499))), [], id="a fee has no quantity"),
        pytest.param(PriceValue(PerUnit(D(2))), [0, 1, 1000], id="per unit"),
        pytest.param(PriceValue(PerUnit(D(2)), D(10)), [0, 10, 11, 1010], id="with an allowance"),
        pytest.param(PriceValue(LADDER), [0, 1, 49, 50, 51], id="a ladder"),
        pytest.param(
            PriceValue(LADDER, D(100)),
            [0, 100, 101, 149, 150, 151],
            id="tiers begin at the allowance",
        ),
        pytest.param(PriceValue(Package(D(5), D(1000))), [0, 1, 999, 1000, 1001], id="packages"),
    ],
)
def test_examples_stand_where_a_price_turns(price: PriceValue, quantities: list[int]) -> None:
    assert [quantity for quantity, _ in example_quantities(price)] == quantities


def test_an_example_says_what_rounding_hides() -> None:
    metric = ValueMetric(name="API calls", unit="call", unit_plural="calls", rounding_scale=0)
    price = Price(key="calls", name="API calls", metric=metric, model="graduated", timing="arrears")
    price.included_quantity = D(100_000)
    tiers = [
        PriceTier(up_to=D(50_000), unit_amount=D("0.002")),
        PriceTier(up_to=None, unit_amount=D("0.0015")),
    ]
    said = price_words(PriceDraft(price, tiers), "EUR")
    assert [(one.quantity, one.amount, one.exact) for one in said.examples] == [
        ("0 calls", "0.00", ""),
        ("100,000 calls", "0.00", ""),
        ("100,001 calls", "0.00", "0.002"),
        ("149,999 calls", "100.00", "99.998"),
        ("150,000 calls", "100.00", ""),
        ("150,001 calls", "100.00", "100.0015"),
    ]
    assert said.rule.startswith("100,000 calls included, then 2.00 per 1,000")
    assert [tier.units for tier in said.tiers] == ["up to 50,000", "above 50,000"]


def test_a_line_is_a_row_of_prices() -> None:
    rows = parse_rows('region=eu, size=large: 0.40\n\n"city=Köln, Süd": 1\n at=10:30 : 2.50')
    assert rows == [
        {"match": {"region": "eu", "size": "large"}, "unit_amount": "0.4"},
        {"match": {"city": "Köln, Süd"}, "unit_amount": "1"},
        {"match": {"at": "10:30"}, "unit_amount": "2.5"},
    ]
    assert parse_rows(write_rows(rows)) == rows
    assert dimensions_of(rows) == ["region", "size", "city", "at"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("region=eu", "end it with a colon"),
        ("region=eu: dear", "end it with a colon"),
        ("region=eu: -1", "end it with a colon"),
        ("region=eu: 1e5", "end it with a colon"),
        ("region: 1", "write name=value"),
        ("region=: 1", "write name=value"),
        ("region=eu, region=us: 1", "stands there twice"),
        (": 1", "say which values"),
    ],
)
def test_an_unreadable_row_is_named(line: str, why: str) -> None:
    with pytest.raises(UnreadableLine, match=f"Line 2: .*{why}"):
        parse_rows(f"region=eu: 1\n{line}")


def _shown_examples(price: Price) -> list[tuple[str, str, str]]:
    said = price_words(PriceDraft(price), "EUR")
    return [(one.quantity, one.note, one.amount) for one in said.examples]


def test_a_percentage_is_shown_on_single_payments() -> None:
    price = Price(
        key="card",
        name="Card fees",
        model="percentage",
        timing="arrears",
        percent_rate=D("2.9"),
        fixed_amount=D("0.30"),
        free_events=3,
        metric=ValueMetric(name="Volume", unit="euro", unit_plural="euros"),
    )
    assert _shown_examples(price) == [
        ("one of 1", "", "0.33"),
        ("one of 10", "", "0.59"),
        ("one of 100", "", "3.20"),
        ("one of 1000", "", "29.30"),
    ]
    assert price_words(PriceDraft(price), "EUR").rule == (
        "The first 3 events of a period are free, then 2.9 % of each amount plus 0.30."
    )


def test_a_matrix_is_shown_row_by_row() -> None:
    price = Price(
        key="compute",
        name="Compute",
        model="matrix",
        timing="arrears",
        unit_amount=D("0.10"),
        dimensions=["region"],
        rows=[{"match": {"region": "eu"}, "unit_amount": "0.2"}],
        metric=ValueMetric(name="Hours", unit="hour", unit_plural="hours"),
    )
    assert _shown_examples(price) == [
        ("1,000 hours", "region eu", "200.00"),
        ("1,000 hours", "all others", "100.00"),
    ]
    assert price_words(PriceDraft(price), "EUR").rule == "0.20 for region eu, 0.10 for all others."
