"""What lines add up to: tax rounded once per category and rate."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calculation import Coupon, Tax, Taxed, reduce, totals

pytestmark = pytest.mark.once

S19, S7 = Tax("S", D(19)), Tax("S", D(7))
E, AE = Tax("E", D(0), "Exempt from tax"), Tax("AE", D(0), "Reverse charge")


@pytest.mark.parametrize(
    ("lines", "exponent", "amounts", "net", "tax"),
    [
        pytest.param([], 2, [], "0", "0", id="nothing"),
        pytest.param(
            [("0.03", S19)] * 3, 2, ["0.02"], "0.09", "0.02", id="once, not 0.01 per line"
        ),
        pytest.param(
            [("499.00", S19), ("159.91", S19)], 2, ["125.19"], "658.91", "125.19", id="R29"
        ),
        pytest.param([("0.50", S19)], 2, ["0.10"], "0.50", "0.10", id="half a cent goes up"),
        pytest.param([("150", S19), ("1", S19)], 0, ["29"], "151", "29", id="JPY"),
        pytest.param([("1.505", S19), ("0.100", S19)], 3, ["0.305"], "1.605", "0.305", id="KWD"),
        pytest.param(
            [("1.00", S7), ("0.03", S19), ("0.03", S7), ("5.00", E), ("2.00", AE)],
            2,
            ["0.07", "0.01", "0.00", "0.00"],
            "8.06",
            "0.08",
            id="each category and rate for itself",
        ),
        pytest.param([("10.00", S19), ("-10.00", S19)], 2, ["0.00"], "0.00", "0.00", id="undone"),
    ],
)
def test_totals(
    lines: list[tuple[str, Tax]], exponent: int, amounts: list[str], net: str, tax: str
) -> None:
    found = totals([Taxed(D(amount), tax) for amount, tax in lines], exponent=exponent)
    assert [subtotal.amount for subtotal in found.subtotals] == [D(each) for each in amounts]
    assert (found.net, found.tax, found.total) == (D(net), D(tax), D(net) + D(tax))
    assert -found.total.as_tuple().exponent == exponent  # type: ignore[operator]


def off(nets: str, *coupons: Coupon, exponent: int = 2) -> list[tuple[str, ...]]:
    """Give each coupon's total and its share of each line."""
    found = reduce([D(net) for net in nets.split()], coupons, exponent=exponent)
    return [(str(total), *map(str, shares)) for total, shares in found]


FIFTY, TENTH = Coupon(amount=D(50)), Coupon(percent=D(10))


@pytest.mark.parametrize(
    ("nets", "coupons", "expected"),
    [
        pytest.param("100.00", [FIFTY], [("50.00", "50.00")], id="an amount off one line"),
        pytest.param("30.00", [FIFTY], [("30.00", "30.00")], id="never below zero"),
        pytest.param("0.00", [FIFTY], [("0.00", "0.00")], id="nothing to reduce"),
        pytest.param("", [FIFTY], [("0.00",)], id="no line to reduce"),
        pytest.param(
            "-9.00 9.00", [TENTH], [("0.90", "0.00", "0.90")], id="a credit is left alone"
        ),
        pytest.param(
            "499.00 156.01 3.90",
            [FIFTY],
            [("50.00", "37.86", "11.84", "0.30")],
            id="the launch promotion, shared by largest remainder",
        ),
        pytest.param("100.05", [TENTH], [("10.01", "10.01")], id="a percentage, half up"),
        pytest.param(
            "100.00",
            [FIFTY, TENTH],
            [("50.00", "50.00"), ("5.00", "5.00")],
            id="each finds what those before it left",
        ),
        pytest.param(
            "0.01 0.01 0.01",
            [Coupon(amount=D("0.01"))],
            [("0.01", "0.01", "0.00", "0.00")],
            id="one cent",
        ),
        pytest.param(
            "10.00",
            [Coupon(percent=D(100)), FIFTY],
            [("10.00", "10.00"), ("0.00", "0.00")],
            id="all of it",
        ),
    ],
)
def test_coupons(nets: str, coupons: list[Coupon], expected: list[tuple[str, ...]]) -> None:
    assert off(nets, *coupons) == expected


def test_a_currency_without_cents() -> None:
    assert off("999 1", TENTH, exponent=0) == [("100", "100", "0")]


@given(
    nets=st.lists(st.decimals(-100, 1000, places=2), max_size=8),
    coupons=st.lists(
        st.builds(Coupon, st.decimals(0, 500, places=2), st.none())
        | st.builds(Coupon, st.none(), st.decimals(0, 100, places=2)),
        max_size=4,
    ),
)
def test_no_line_falls_below_zero_and_shares_add_up(nets: list[D], coupons: list[Coupon]) -> None:
    found = reduce(nets, coupons, exponent=2)
    for reduction in found:
        assert sum(reduction.shares, D(0)) == reduction.total
    for place, net in enumerate(nets):
        taken = sum((reduction.shares[place] for reduction in found), D(0))
        assert 0 <= taken <= max(net, D(0))
