"""Which tax is due, and what lines add up to: rounded once per category and rate."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from billing.calculation import Tax, Taxed, tax_for, totals

S19, S7 = Tax("S", D(19)), Tax("S", D(7))
E, AE = Tax("E", D(0), "Exempt from tax"), Tax("AE", D(0), "Reverse charge")


@pytest.mark.parametrize(
    ("seller", "buyer", "rate", "category"),
    [
        ("standard", "standard", "19", "S"),
        ("standard", "standard", "0", "Z"),
        ("standard", "reverse_charge", "19", "AE"),
        ("standard", "exempt", "19", "E"),
        ("standard", "out_of_scope", "19", "O"),
        ("exempt", "standard", "19", "E"),
        ("exempt", "reverse_charge", "19", "E"),
        ("exempt", "exempt", "19", "E"),
        ("exempt", "out_of_scope", "19", "E"),
        ("out_of_scope", "standard", "19", "O"),
        ("out_of_scope", "reverse_charge", "19", "O"),
        ("out_of_scope", "exempt", "19", "O"),
    ],
)
def test_the_seller_decides_first(seller: str, buyer: str, rate: str, category: str) -> None:
    tax = tax_for(seller_status=seller, standard_rate=D(rate), buyer_status=buyer)
    assert tax.category == category
    assert tax.rate == (D(rate) if category == "S" else 0)
    assert bool(tax.reason) is (category != "S")


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
