"""R11 to R18 and R34, number by number."""

from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction as F

import pytest

from catalog.money import exact_sum, plain
from catalog.pricing import (
    WHOLE,
    BadDayFraction,
    DayFraction,
    Flat,
    Graduated,
    Rated,
    Tier,
    explanation,
    rate,
)
from tests.catalog.notation import price, tiers

pytestmark = pytest.mark.once

LADDER = "graduated | tiers 1000 @ 0.010, 10000 @ 0.008, rest @ 0.005"
FEES = "graduated | tiers 1000 @ 0.01 + 1, 10000 @ 0 + 5, rest @ 0.005 + 20"
VOLUME = "volume | tiers 1000 @ 0.010, 10000 @ 0.008 + 5, rest @ 0.005"
PACKAGE = "package | at 2.50 | size 1000"
LIMITED = "per_unit | at 0.10 | min 5 | max 20 | off 10%"


def rated(text: str, quantity: str, *, part: str = "1/1", exponent: int = 2) -> Rated:
    return rate(price(text), D(quantity), exponent=exponent, part=DayFraction.parse(part))


def rows(result: Rated) -> list[str]:
    """Write each step as "kind quantity amount"."""
    return [f"{s['kind']} {s['quantity']} {s['amount']}" for s in explanation(result)["steps"]]


@pytest.mark.parametrize(
    ("text", "quantity", "exact"),
    [
        pytest.param("flat | at 499", "1", "499", id="a base fee"),
        pytest.param("flat | at 499", "0", "0", id="no base fee for none"),
        pytest.param("flat | at 499", "3", "1497", id="three of them"),
        pytest.param("per_unit | at 0.12", "32.5", "3.9", id="fractional units"),
        pytest.param("per_unit | at 0.12", "0", "0", id="no usage, no charge"),
        pytest.param("per_unit | at 0.12 | included 50", "50", "0", id="allowance just used up"),
        pytest.param("per_unit | at 0.12 | included 50", "50.01", "0.0012", id="just over"),
        pytest.param("per_unit | at 0.12 | included 50", "10", "0", id="under the allowance"),
        pytest.param(LADDER, "0", "0", id="graduated, nothing used"),
        pytest.param(LADDER, "0.5", "0.005", id="half a unit"),
        pytest.param(LADDER, "1000", "10", id="exactly fills the first tier"),
        pytest.param(LADDER, "1001", "10.008", id="one unit into the second tier"),
        pytest.param(LADDER, "1000.001", "10.000008", id="a thousandth into the second tier"),
        pytest.param(LADDER, "10000", "82", id="exactly fills the second tier"),
        pytest.param(LADDER, "10001", "82.005", id="one unit into the open tier"),
        pytest.param(FEES, "0", "0", id="no usage, no flat fee"),
        pytest.param(FEES, "0.001", "1.00001", id="first flat fee from the first unit"),
        pytest.param(FEES, "1000", "11", id="second fee not yet at its bound"),
        pytest.param(FEES, "1000.001", "16", id="second fee above its bound"),
        pytest.param(FEES, "10001", "36.005", id="all fees"),
        pytest.param(VOLUME, "1000", "10", id="volume at the first bound"),
        pytest.param(VOLUME, "1001", "13.008", id="volume just above: all units, and the fee"),
        pytest.param(VOLUME, "10000", "85", id="volume at the second bound"),
        pytest.param(VOLUME, "20000", "100", id="volume in the open tier"),
        pytest.param(VOLUME, "0", "0", id="volume, nothing used"),
        pytest.param(PACKAGE, "0", "0", id="no package for nothing"),
        pytest.param(PACKAGE, "0.001", "2.5", id="a package is due when started"),
        pytest.param(PACKAGE, "1000", "2.5", id="a full package"),
        pytest.param(PACKAGE, "1000.001", "5", id="the second package started"),
        pytest.param("package | at 1 | size 0.3", "0.9", "3", id="packages of a fraction"),
        pytest.param(PACKAGE + " | included 500", "1500", "2.5", id="packages after allowance"),
        pytest.param(
            "per_unit | at 999999999999.999999999999",
            "99999999999999999999.9999999999",
            "99999999999999999999999899999900.0000000000000000000001",
            id="the largest numbers, to the last digit",
        ),
    ],
)
def test_exact_amount(text: str, quantity: str, exact: str) -> None:
    result = rated(text, quantity)
    assert result.exact == D(exact)
    assert exact_sum(step.amount for step in result.steps) == D(exact)


@pytest.mark.parametrize(
    ("text", "quantity", "expected"),
    [
        pytest.param("per_unit | at 1 | included 5", "0", ["included 0 0"], id="unused allowance"),
        pytest.param("per_unit | at 1 | included 5", "3", ["included 3 0"], id="partly used"),
        pytest.param(
            "per_unit | at 1 | included 5", "7", ["included 5 0", "unit 2 2"], id="allowance, over"
        ),
        pytest.param("per_unit | at 1", "7", ["unit 7 7"], id="no row without allowance"),
        pytest.param("per_unit | at 1", "0", [], id="nothing to show"),
        pytest.param(LADDER, "1500", ["tier 1000 10", "tier 500 4"], id="a row per tier reached"),
        pytest.param(VOLUME, "1500", ["volume 1500 17"], id="one row for all units"),
        pytest.param(PACKAGE, "1500", ["package 1500 5"], id="packages keep their units"),
        pytest.param("flat | at 9", "1", ["flat 1 9"], id="a base fee"),
        pytest.param("flat | at 9", "0", [], id="no base fee for none"),
        pytest.param(
            "per_unit | at 1 | max 5", "7", ["unit 7 7", "cap 0 -2"], id="what exceeds the cap"
        ),
        pytest.param("per_unit | at 1 | max 5", "5", ["unit 5 5"], id="at the cap"),
        pytest.param(
            "per_unit | at 1 | max 5 | off 10%",
            "7",
            ["unit 7 7", "cap 0 -2", "discount 0 -0.5"],
            id="discount on the capped amount",
        ),
        pytest.param("per_unit | at 1 | off 10%", "0", [], id="no discount on nothing"),
        pytest.param(
            "per_unit | at 1 | off 100%", "2", ["unit 2 2", "discount 0 -2"], id="all of it off"
        ),
    ],
)
def test_rows(text: str, quantity: str, expected: list[str]) -> None:
    assert rows(rated(text, quantity)) == expected


@pytest.mark.parametrize(
    ("quantity", "net", "shortfall", "amount"),
    [
        pytest.param("0", "0.00", "5.00", "5.00", id="the floor is due without usage"),
        pytest.param("30", "2.70", "2.00", "4.70", id="the floor compares before the discount"),
        pytest.param("50", "4.50", "0.00", "4.50", id="at the floor"),
        pytest.param("49.96", "4.50", "0.00", "4.50", id="at the floor once both are rounded"),
        pytest.param("100", "9.00", "0.00", "9.00", id="between"),
        pytest.param("500", "18.00", "0.00", "18.00", id="capped, then discounted"),
    ],
)
def test_floor_cap_and_discount(quantity: str, net: str, shortfall: str, amount: str) -> None:
    result = rated(LIMITED, quantity)
    assert (str(result.net), str(result.shortfall), str(result.amount)) == (net, shortfall, amount)


def test_without_discount_line_and_shortfall_make_the_floor() -> None:
    result = rated("per_unit | at 0.333 | min 5", "1.5")
    assert (result.net, result.shortfall, result.amount) == (D("0.50"), D("4.50"), D("5.00"))


@pytest.mark.parametrize(
    ("currency_exponent", "net", "rounding"),
    [
        pytest.param(0, "0", "-0.4995", id="yen"),
        pytest.param(2, "0.50", "0.0005", id="euro"),
        pytest.param(3, "0.500", "0.0005", id="dinar, a half goes up"),
    ],
)
def test_rounds_once_at_the_line(currency_exponent: int, net: str, rounding: str) -> None:
    result = rated("per_unit | at 0.4995", "1", exponent=currency_exponent)
    assert str(result.net) == net
    assert result.rounding == D(rounding)


def test_steps_are_not_rounded_one_by_one() -> None:
    result = rated("graduated | tiers 1 @ 0.004, 2 @ 0.004, rest @ 0.004", "3")
    assert str(result.net) == "0.01"


def test_less_than_nothing_bills_as_zero_and_says_so() -> None:
    result = rated("per_unit | at 1 | included 5", "-3")
    assert result.used == result.overage == result.amount == 0
    assert result.negative
    assert not rated("per_unit | at 1", "0").negative


@pytest.mark.parametrize(
    ("text", "quantity", "part", "exact"),
    [
        pytest.param("flat | at 100", "1", "16/30", F(160, 3), id="the old base fee's part"),
        pytest.param("flat | at 200", "1", "16/30", F(320, 3), id="the new base fee's part"),
        pytest.param("flat | at 100", "1", "30/30", 100, id="all days are the whole"),
        pytest.param("per_unit | at 10 | seats", "5", "15/30", 25, id="seats for half a month"),
        pytest.param(
            "per_unit | at 10 | seats | included 3",
            "5",
            "15/30",
            10,
            id="included seats stay whole",
        ),
        pytest.param("per_unit | at 10", "5", "15/30", 50, id="a unit used is a unit used"),
        pytest.param(
            "per_unit | at 1 | included 100", "60", "16/30", 6, id="allowance 53.33, so 54"
        ),
        pytest.param(
            "per_unit | at 1 | included 100 | scale 2",
            "60",
            "16/30",
            D("6.66"),
            id="allowance 53.333, so 53.34 at two decimals",
        ),
        pytest.param(
            "graduated | tiers 10 @ 1, 20 @ 0.5, rest @ 0",
            "100",
            "1/3",
            D("5.5"),
            id="bounds 3.33 and 6.67, so 4 and 7",
        ),
        pytest.param(
            "volume | tiers 10 @ 1, rest @ 0.5", "4", "1/3", 4, id="volume in the part's first tier"
        ),
        pytest.param(
            "volume | tiers 10 @ 1, rest @ 0.5", "5", "1/3", D("2.5"), id="volume in its second"
        ),
        pytest.param(
            "graduated | tiers 10 @ 1 + 9, rest @ 0 + 5", "6", "1/3", F(26, 3), id="fees scale"
        ),
        pytest.param("package | at 2 | size 10", "11", "1/3", 4, id="packages never scale"),
        pytest.param("per_unit | at 1 | max 10", "8", "1/3", F(10, 3), id="the cap scales"),
        pytest.param(
            "per_unit | at 9 | seats | max 10", "8", "1/3", F(10, 3), id="the cap of seats scales"
        ),
        pytest.param(
            "graduated | tiers 1 @ 1, 2 @ 1 + 3, 3 @ 1 + 6, rest @ 1",
            "1",
            "1/3",
            1,
            id="bounds 1, 1, 1: at the bound no further fee",
        ),
        pytest.param(
            "graduated | tiers 1 @ 1, 2 @ 1 + 3, 3 @ 1 + 6, rest @ 1",
            "2",
            "1/3",
            5,
            id="bounds 1, 1, 1: above it both fees",
        ),
    ],
)
def test_partial_period(text: str, quantity: str, part: str, exact: D | F | int) -> None:
    assert rated(text, quantity, part=part).exact == exact


def test_r5s_example() -> None:
    assert rated("flat | at 100", "1", part="16/30").net == D("53.33")
    assert rated("flat | at 200", "1", part="16/30").net == D("106.67")


def test_a_tier_without_room_still_charges_its_fee() -> None:
    result = rated("graduated | tiers 3 @ 1, 4 @ 1 + 6, rest @ 2", "3", part="1/3")
    assert rows(result) == ["tier 1 1", "tier 1 3", "tier 1 2"]
    collapsed = rated("graduated | tiers 2 @ 1, 3 @ 1 + 6, rest @ 2", "3", part="1/3")
    assert rows(collapsed) == ["tier 1 1", "tier 0 2", "tier 2 4"]
    without_fee = rated("graduated | tiers 2 @ 1, 3 @ 1, rest @ 2", "3", part="1/3")
    assert rows(without_fee) == ["tier 1 1", "tier 2 4"]


def test_the_floor_scales_with_the_part() -> None:
    assert rated("per_unit | at 1 | min 100", "0", part="16/30").shortfall == D("53.33")
    assert rated("flat | at 9 | min 100", "0", part="16/30").shortfall == D("53.33")


def test_the_worked_example_is_explained() -> None:
    calls = price("graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015")
    free = {"unit_amount": "0", "flat_amount": "0", "amount": "0"}
    assert explanation(rate(calls, D("187340"), exponent=2)) == {
        "used": "187340",
        "included": "100000",
        "overage": "87340",
        "steps": [
            {"kind": "included", "quantity": "100000", **free},
            {
                "kind": "tier",
                "from": "0",
                "to": "50000",
                "quantity": "50000",
                "unit_amount": "0.002",
                "flat_amount": "0",
                "amount": "100",
            },
            {
                "kind": "tier",
                "from": "50000",
                "to": None,
                "quantity": "37340",
                "unit_amount": "0.0015",
                "flat_amount": "0",
                "amount": "56.01",
            },
        ],
        "exact": "156.01",
        "rounding": "0",
        "net": "156.01",
        "shortfall": "0.00",
        "amount": "156.01",
    }


def test_the_worked_invoice_sums_to_its_cents() -> None:
    lines = [
        rated("flat | at 499.00", "1"),
        rated("graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015", "187340"),
        rated("per_unit | at 0.12 | included 50", "82.5"),
    ]
    assert [str(line.amount) for line in lines] == ["499.00", "156.01", "3.90"]
    assert sum(line.amount for line in lines) == D("658.91")


def test_explains_a_part_so_that_the_rows_add_up() -> None:
    data = explanation(
        rated("graduated | included 9 | tiers 9 @ 1 + 1, rest @ 1 + 1 | max 30", "20", part="4/9")
    )
    assert data["period_fraction"] == "4/9"
    first, second = data["steps"][1:3]
    assert (first["quantity"], first["flat_amount"], first["amount"]) == (
        "4",
        "0.444444444445",
        "4.444444444445",
    )
    assert (second["from"], second["to"]) == ("4", None)
    assert data["steps"][3]["limit"] == "13.333333333333"
    assert sum(D(step["amount"]) for step in data["steps"]) == D(data["exact"])
    assert D(data["exact"]) + D(data["rounding"]) == D(data["net"])


def test_explains_prorated_seats_with_their_days() -> None:
    [step] = explanation(rated("per_unit | at 10 | seats", "2", part="16/30"))["steps"]
    assert step["period_fraction"] == "16/30"
    assert (step["quantity"], step["unit_amount"], step["amount"]) == ("2", "10", "10.666666666666")


def test_explains_packages_and_discounts() -> None:
    data = explanation(rated("package | at 2.50 | size 1000 | off 12.5%", "1500"))
    package, discount = data["steps"]
    assert (package["packages"], package["package_size"]) == ("2", "1000")
    assert (discount["percent"], discount["amount"]) == ("12.5", "-0.625")
    assert "from" not in package
    assert "period_fraction" not in data


@pytest.mark.parametrize("text", ["", "16", "0/30", "31/30", "-1/30", "16/30 ", "1.5/3", "1/0"])
def test_refuses_what_is_no_part_of_a_period(text: str) -> None:
    with pytest.raises(BadDayFraction):
        DayFraction.parse(text)


def test_a_part_stays_as_it_was_counted() -> None:
    part = DayFraction.parse("16/30")
    assert (str(part), part.days, part.of, part.value) == ("16/30", 16, 30, F(8, 15))
    assert not part.is_whole
    assert WHOLE.is_whole


def test_the_notation_reads_tiers() -> None:
    assert tiers("1000 @ 0.010, rest @ 0.005 + 5") == (
        Tier(D("1000"), D("0.010")),
        Tier(None, D("0.005"), D("5")),
    )


def test_a_price_does_not_change_by_rating() -> None:
    ladder = price(LADDER + " | included 10 | min 3")
    assert isinstance(ladder.model, Graduated)
    before = replace(ladder)
    rate(ladder, D("999"), exponent=2, part=DayFraction(1, 3))
    assert ladder == before


def test_a_flat_price_prorates_even_with_a_metric() -> None:
    fee = replace(price("flat | at 100"), metered=True)
    assert isinstance(fee.model, Flat)
    assert plain(rate(fee, D(1), exponent=2, part=DayFraction(1, 2)).net) == "50"
