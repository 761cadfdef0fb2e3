"""The calculator answers the examples of the billing rules, to the cent, and stores nothing."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from catalog.api.calculator import EXAMPLE
from catalog.models import Price
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
CALCULATE = "/api/v1/prices/calculate"


def price(text: str) -> dict[str, Any]:
    """Read "graduated | included_quantity 10 | tiers 5 @ 2 + 1, rest @ 1" as a body."""
    model, *parts = (part.strip() for part in text.split("|"))
    fields: dict[str, Any] = dict(part.split(maxsplit=1) for part in parts)
    if "tiers" in fields:
        fields["tiers"] = [tier(one) for one in fields["tiers"].split(",")]
    return {"model": model, **fields}


def tier(text: str) -> dict[str, Any]:
    bound, _, amounts = text.partition("@")
    unit_amount, _, flat_amount = amounts.partition("+")
    up_to = None if bound.strip() == "rest" else bound.strip()
    fee = {"flat_amount": flat_amount.strip()} if flat_amount else {}
    return {"up_to": up_to, "unit_amount": unit_amount.strip(), **fee}


def calculate(caller: Caller, text: str, quantity: Any = None, **more: Any) -> dict[str, Any]:
    body = {"currency": "EUR", "price": price(text), **more}
    if quantity is not None:
        body["quantity"] = quantity
    response = caller("catalog:read").post(CALCULATE, body)
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    assert sum(D(step["amount"]) for step in answer["steps"]) == D(answer["exact"])
    assert D(answer["exact"]) + D(answer["rounding"]) == D(answer["net"])
    assert D(answer["net"]) + D(answer["shortfall"]) == D(answer["amount"])
    return answer


def faults(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


def test_the_contracts_example(caller: Caller) -> None:
    client = caller("catalog:read")
    answer = client.post(CALCULATE, EXAMPLE).json()
    assert {name: answer[name] for name in ("currency", "amount", "exact", "shortfall")} == {
        "currency": "EUR",
        "amount": "156.01",
        "exact": "156.01",
        "shortfall": "0.00",
    }
    assert answer["warnings"] == []
    assert (answer["used"], answer["included"], answer["overage"]) == ("187340", "100000", "87340")
    assert answer["steps"] == [
        {
            "kind": "included",
            "label": "included in your plan",
            "quantity": "100000",
            "unit_amount": "0",
            "flat_amount": "0",
            "amount": "0",
        },
        {
            "kind": "tier",
            "label": "first 50,000 units over",
            "from": "0",
            "to": "50000",
            "quantity": "50000",
            "unit_amount": "0.002",
            "flat_amount": "0",
            "amount": "100",
        },
        {
            "kind": "tier",
            "label": "above 50,000 units over",
            "from": "50000",
            "to": None,
            "quantity": "37340",
            "unit_amount": "0.0015",
            "flat_amount": "0",
            "amount": "56.01",
        },
    ]
    assert not AuditEntry.objects.filter(subject_type__startswith="catalog").exists()
    assert not Price.objects.exists()


LADDER = "graduated | tiers 1000 @ 0.010, 10000 @ 0.008, rest @ 0.005"


@pytest.mark.parametrize(
    ("text", "quantity", "part", "amount"),
    [
        pytest.param("flat | unit_amount 499.00", None, None, "499.00", id="base fee"),
        pytest.param("flat | unit_amount 499.00", "2", None, "998.00", id="two of them"),
        pytest.param("flat | unit_amount 100.00", None, "16/30", "53.33", id="R5 credit"),
        pytest.param("flat | unit_amount 200.00", None, "16/30", "106.67", id="R5 charge"),
        pytest.param(LADDER, "1000", None, "10.00", id="R12 up_to is inclusive"),
        pytest.param(LADDER, "1000.001", None, "10.00", id="R12 a thousandth into the second"),
        pytest.param(LADDER, "1500", None, "14.00", id="R12 half into the second"),
        pytest.param(LADDER.replace("graduated", "volume"), "1000", None, "10.00", id="volume 1"),
        pytest.param(LADDER.replace("graduated", "volume"), "1001", None, "8.01", id="volume 2"),
        pytest.param(
            "per_unit | unit_amount 0.12 | included_quantity 50", "82.5", None, "3.90", id="storage"
        ),
        pytest.param("package | unit_amount 5 | package_size 1000", "0", None, "0.00", id="none"),
        pytest.param("package | unit_amount 5 | package_size 1000", "1", None, "5.00", id="one"),
        pytest.param(
            "package | unit_amount 5 | package_size 1000", "1001", None, "10.00", id="two"
        ),
        pytest.param(
            "graduated | tiers 10 @ 1 + 5, rest @ 1 + 7", "0", None, "0.00", id="R14 no usage"
        ),
        pytest.param(
            "graduated | tiers 10 @ 1 + 5, rest @ 1 + 7", "10", None, "15.00", id="R14 at the bound"
        ),
        pytest.param(
            "graduated | tiers 10 @ 1 + 5, rest @ 1 + 7", "11", None, "23.00", id="R14 above it"
        ),
        pytest.param(
            "per_unit | unit_amount 1 | included_quantity 100",
            "60",
            "16/30",
            "6.00",
            id="R15 53.33 included become 54",
        ),
        pytest.param(
            "per_unit | unit_amount 1 | included_quantity 100",
            "60.50",
            "16/30",
            "7.10",
            id="R15 at the finest decimals: 53.4",
        ),
        pytest.param(
            "graduated | tiers 100 @ 1 + 30, rest @ 2",
            "60",
            "15/30",
            "85.00",
            id="R15 bound and fee",
        ),
        pytest.param("per_unit | unit_amount 2", "10", "16/30", "20.00", id="R15 not unit prices"),
        pytest.param(
            "package | unit_amount 5 | package_size 1000",
            "1500",
            "16/30",
            "10.00",
            id="R15 packages",
        ),
        pytest.param(
            "per_unit | unit_amount 1 | minimum 100",
            "10",
            "15/30",
            "50.00",
            id="R15 half the floor",
        ),
        pytest.param(
            "per_unit | unit_amount 1 | maximum 100", "90", "15/30", "50.00", id="R15 half the cap"
        ),
        pytest.param("per_unit | unit_amount 1 | minimum 5", "0", None, "5.00", id="R16 floor"),
        pytest.param("per_unit | unit_amount 1 | maximum 5", "9", None, "5.00", id="R16 cap"),
        pytest.param(
            "per_unit | unit_amount 1 | maximum 100 | discount_percent 10",
            "200",
            None,
            "90.00",
            id="R16 the discount comes after the cap",
        ),
        pytest.param(
            "per_unit | unit_amount 1 | minimum 100 | discount_percent 10",
            "100",
            None,
            "90.00",
            id="R16 the floor looks at the amount before the discount",
        ),
        pytest.param(
            "per_unit | unit_amount 1 | included_quantity 5", "-3", None, "0.00", id="R10"
        ),
    ],
)
def test_the_rules(
    caller: Caller, text: str, quantity: str | None, part: str | None, amount: str
) -> None:
    more = {"period_fraction": part} if part else {}
    assert calculate(caller, text, quantity, **more)["amount"] == amount


def test_a_shortfall_is_a_line_of_its_own(caller: Caller) -> None:
    answer = calculate(caller, "per_unit | unit_amount 0.333 | minimum 10", "10")
    assert (answer["exact"], answer["net"]) == ("3.33", "3.33")
    assert (answer["shortfall"], answer["amount"]) == ("6.67", "10.00")


def test_a_part_of_a_period_is_named(caller: Caller) -> None:
    answer = calculate(caller, "flat | unit_amount 100", period_fraction="16/30")
    assert answer["period_fraction"] == answer["steps"][0]["period_fraction"] == "16/30"
    assert "period_fraction" not in calculate(
        caller, "flat | unit_amount 100", period_fraction="30/30"
    )


def test_a_price_that_opts_out_is_charged_whole(caller: Caller) -> None:
    answer = calculate(caller, "flat | unit_amount 100 | prorate none", period_fraction="1/30")
    assert answer["amount"] == "100.00"
    assert [warning["code"] for warning in answer["warnings"]] == ["not_prorated"]


@pytest.mark.parametrize(("currency", "amount"), [("EUR", "0.13"), ("JPY", "0"), ("KWD", "0.125")])
def test_amounts_have_the_currencys_decimals(caller: Caller, currency: str, amount: str) -> None:
    assert (
        calculate(caller, "per_unit | unit_amount 0.125", "1", currency=currency)["amount"]
        == amount
    )


def test_less_than_nothing_counts_nothing_and_says_so(caller: Caller) -> None:
    answer = calculate(caller, "per_unit | unit_amount 1", "-3")
    assert (answer["used"], answer["amount"]) == ("0", "0.00")
    assert [warning["code"] for warning in answer["warnings"]] == ["negative_quantity"]


def test_labels_are_in_the_readers_language(caller: Caller) -> None:
    answer = caller().post(CALCULATE, EXAMPLE, headers={"Accept-Language": "de"}).json()
    assert answer["steps"][0]["label"] == "im Tarif enthalten"


class TestWithAMetric:
    TEXT = "per_unit | unit_amount 1 | included_quantity 10 | metric m"

    @pytest.mark.parametrize(
        ("mode", "used"), [("half_up", "20.5"), ("up", "20.5"), ("down", "20.4")]
    )
    def test_the_quantity_is_rounded_first_and_says_so(
        self, caller: Caller, mode: str, used: str
    ) -> None:
        make.metric("m", rounding_mode=mode, rounding_scale=1)
        answer = calculate(caller, self.TEXT, "20.45")
        assert answer["used"] == used
        [warning] = answer["warnings"]
        assert warning["code"] == "quantity_rounded"
        assert "20.45 became " + used in warning["detail"]

    def test_bounds_are_rounded_up_at_its_scale(self, caller: Caller) -> None:
        make.metric("m", rounding_scale=2)
        answer = calculate(caller, self.TEXT, "20", period_fraction="1/3")
        assert answer["included"] == "3.34"

    def test_a_level_counts_for_its_days(self, caller: Caller) -> None:
        make.metric("m", aggregation="max", value_is="level", rounding_scale=2)
        answer = calculate(caller, self.TEXT, "30", period_fraction="16/30")
        assert (answer["used"], answer["included"]) == ("16", "5.34")
        assert [warning["code"] for warning in answer["warnings"]] == ["quantity_prorated"]

    def test_its_unit_stands_in_the_labels(self, caller: Caller) -> None:
        make.metric("m", unit="token", unit_plural="tokens")
        text = "graduated | tiers 10 @ 1, rest @ 2 | metric m"
        assert calculate(caller, text, "20")["steps"][0]["label"] == "first 10 tokens"

    def test_that_is_unknown(self, caller: Caller) -> None:
        body = {"currency": "EUR", "price": price(self.TEXT), "quantity": "1"}
        assert faults(caller().post(CALCULATE, body)) == {("/price/metric", "unknown_metric")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": ...}, {("/quantity", "required")}),
        ({"quantity": None}, {("/quantity", "null")}),
        ({"quantity": "NaN"}, {("/quantity", "invalid")}),
        ({"quantity": "1e5"}, {("/quantity", "invalid")}),
        ({"quantity": "9" * 30}, {("/quantity", "too_long")}),
        ({"quantity": []}, {("/quantity", "invalid")}),
        ({"currency": "EURO"}, {("/currency", "unknown_currency")}),
        ({"currency": ...}, {("/currency", "required")}),
        ({"price": ...}, {("/price", "required")}),
        ({"price": []}, {("/price", "invalid")}),
        ({"price": {}}, {("/price/model", "required")}),
        (
            {"price": {"model": "matrix"}},
            {
                ("/price/unit_amount", "required"),
                ("/price/dimensions", "required"),
                ("/price/rows", "required"),
                ("/cells", "required"),
                ("/quantity", "not_for_this_model"),
            },
        ),
        ({"price": {"model": "graduated"}}, {("/price/tiers", "required")}),
        (
            {"price": {"model": "volume", "timing": "advance", "tiers": [{"unit_amount": "1"}]}},
            {("/price/timing", "usage_in_advance")},
        ),
        ({"period_fraction": "16"}, {("/period_fraction", "invalid")}),
        ({"period_fraction": "0/30"}, {("/period_fraction", "invalid")}),
        ({"period_fraction": "31/30"}, {("/period_fraction", "invalid")}),
        ({"period_fraction": "1/0"}, {("/period_fraction", "invalid")}),
        ({"period_fraction": "-1/30"}, {("/period_fraction", "invalid")}),
        ({"period_fraction": 0.5}, {("/period_fraction", "invalid")}),
        ({"period_fraction": "9999999/9999999"}, {("/period_fraction", "invalid")}),
        ({"events": ["10.00"]}, {("/events", "not_for_this_model")}),
        (
            {"quantity": "x", "currency": "x", "period_fraction": "x"},
            {
                ("/quantity", "invalid"),
                ("/currency", "unknown_currency"),
                ("/period_fraction", "invalid"),
            },
        ),
    ],
)
def test_what_can_not_be_calculated_is_refused_by_name(
    caller: Caller, changes: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    body = {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not ...}
    assert faults(caller().post(CALCULATE, body)) == expected


def test_the_largest_numbers_are_exact(caller: Caller) -> None:
    answer = calculate(caller, "per_unit | unit_amount 999999999999", "99999999999999")
    assert answer["amount"] == f"{999999999999 * 99999999999999}.00"


def test_every_digit_counts_on_every_database(caller: Caller) -> None:
    price = {"model": "per_unit", "unit_amount": "123456789012.123456789012"}
    body = {"currency": "EUR", "price": price, "quantity": "12345678901234567890.123456789"}
    answer = caller().post(CALCULATE, body).json()
    assert answer["exact"] == "1524157875321140192207281219466.003964071431672002468"
    assert answer["amount"] == "1524157875321140192207281219466.00"


CARD = {"model": "percentage", "percent_rate": "2.9", "fixed_amount": "0.30"}
SIZES = {
    "model": "matrix",
    "dimensions": ["region", "size"],
    "rows": [
        {"match": {"region": "eu", "size": "large"}, "unit_amount": "0.40"},
        {"match": {"region": "eu"}, "unit_amount": "0.20"},
    ],
    "unit_amount": "0.10",
    "included_quantity": "5",
}


def test_a_percentage_of_payments(caller: Caller) -> None:
    body = {"currency": "EUR", "price": CARD, "events": ["100.00", "50.00", "-20.00"]}
    answer = caller().post(CALCULATE, body).json()
    assert (answer["amount"], answer["used"]) == ("4.37", "130")
    assert [(step["kind"], step["label"], step["amount"]) for step in answer["steps"]] == [
        ("percentage", "2 events", "4.95"),
        ("reversal", "1 reversal", "-0.58"),
    ]
    assert (answer["steps"][0]["percent"], answer["steps"][0]["each"]) == ("2.9", "0.3")


def test_a_price_per_combination_of_values(caller: Caller) -> None:
    cells = [
        {"match": {"region": "us", "size": "small"}, "quantity": "10"},
        {"match": {"region": "eu", "size": "large"}, "quantity": "10"},
        {"match": {"region": "eu", "size": "small"}, "quantity": "10"},
    ]
    body = {"currency": "EUR", "price": SIZES, "cells": cells}
    answer = caller().post(CALCULATE, body).json()
    assert answer["amount"] == "5.00"
    assert [(step["label"], step["quantity"], step["amount"]) for step in answer["steps"]] == [
        ("included in your plan", "5", "0"),
        ("region eu, size large", "5", "2"),
        ("region eu", "10", "2"),
        ("all others", "10", "1"),
    ]
