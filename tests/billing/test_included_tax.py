"""Prices that include tax (R29): tax taken out once per rate, nets split off to the cent."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calculation import (
    Coupon,
    Priced,
    Tax,
    Taxed,
    TaxKey,
    Totals,
    WithoutTax,
    add_up,
    creditable,
    included_tax,
    reduce,
    totals,
    without_tax,
)

pytestmark = pytest.mark.once

CATEGORIES: dict[str, TaxKey] = {
    "S19": ("S", D(19)),
    "S7": ("S", D(7)),
    "S20": ("S", D(20)),
    "S8.1": ("S", D("8.1")),
    "AE": ("AE", D(0)),
    "O": ("O", D(0)),
}
UNITS = {0: D(1), 2: D("0.01"), 3: D("0.001")}


@pytest.mark.parametrize(
    ("gross", "rate", "exponent", "tax"),
    [
        pytest.param("119.00", "19", 2, "19.00", id="a round net"),
        pytest.param("19.99", "19", 2, "3.19", id="3.1916…"),
        pytest.param("9.99", "7", 2, "0.65", id="0.6535…"),
        pytest.param("1.05", "5", 2, "0.05", id="exactly"),
        pytest.param("0.03", "100", 2, "0.02", id="half a cent goes up"),
        pytest.param("-0.03", "100", 2, "-0.02", id="and away from zero"),
        pytest.param("1100", "10", 0, "100", id="JPY"),
        pytest.param("980", "10", 0, "89", id="JPY, 89.09…"),
        pytest.param("10.500", "5", 3, "0.500", id="KWD"),
        pytest.param("50.00", "0", 2, "0.00", id="none is due: the price stays"),
        pytest.param("0.00", "19", 2, "0.00", id="nothing"),
    ],
)
def test_included_tax(gross: str, rate: str, exponent: int, tax: str) -> None:
    found = included_tax(D(gross), D(rate), exponent=exponent)
    assert (found, -found.as_tuple().exponent) == (D(tax), exponent)  # type: ignore[operator]


def split(
    lines: list[tuple[str, str]], *coupons: Coupon, exponent: int = 2
) -> tuple[Totals, list[WithoutTax], list[Priced]]:
    """Tax lines of a gross and a category, after coupons, and split their nets off."""
    grosses = [D(gross) for gross, _ in lines]
    taken = reduce(grosses, coupons, exponent=exponent)
    priced = [
        Priced(gross, CATEGORIES[name], tuple(one.shares[number] for one in taken))
        for number, (gross, (_, name)) in enumerate(zip(grosses, lines, strict=True))
    ]
    taxed = [
        Taxed(amount, Tax(*line.tax))
        for line in priced
        for amount in (line.gross, *(-share for share in line.shares))
    ]
    added = totals(taxed, exponent=exponent, include_tax=True)
    bases = {(one.tax.category, one.tax.rate): one.base for one in added.subtotals}
    return added, without_tax(priced, bases, exponent=exponent), priced


@pytest.mark.parametrize(
    ("lines", "exponent", "nets", "tax", "total"),
    [
        pytest.param([("19.99", "S19")], 2, ["16.80"], "3.19", "19.99", id="one price"),
        pytest.param(
            [("9.99", "S19")] * 3,
            2,
            ["8.40", "8.39", "8.39"],
            "4.79",
            "29.97",
            id="once for all: the leftover cent goes to the first of equals",
        ),
        pytest.param(
            [("19.99", "S19"), ("9.99", "S7")],
            2,
            ["16.80", "9.34"],
            "3.84",
            "29.98",
            id="each rate for itself",
        ),
        pytest.param(
            [("19.99", "S19"), ("-5.00", "S19")],
            2,
            ["16.80", "-4.20"],
            "2.39",
            "14.99",
            id="a credit is split like a price",
        ),
        pytest.param(
            [("20.00", "AE"), ("1.00", "O")], 2, ["20.00", "1.00"], "0", "21.00", id="no tax"
        ),
        pytest.param([("980", "S19"), ("500", "S19")], 0, ["824", "420"], "236", "1480", id="JPY"),
        pytest.param([("1.005", "S19")], 3, ["0.845"], "0.160", "1.005", id="KWD"),
        pytest.param([], 2, [], "0", "0", id="nothing"),
    ],
)
def test_nets_are_split_off(
    lines: list[tuple[str, str]], exponent: int, nets: list[str], tax: str, total: str
) -> None:
    added, found, _ = split(lines, exponent=exponent)
    assert [one.net for one in found] == [D(net) for net in nets]
    assert (added.tax, added.total) == (D(tax), D(total))


@pytest.mark.parametrize(
    ("coupons", "left", "shares"),
    [
        pytest.param(
            [Coupon(amount=D(5))], ["14.00", "6.99"], [["2.80"], ["1.40"]], id="an amount"
        ),
        pytest.param(
            [Coupon(percent=D(100))], ["0.00", "0.00"], [["16.80"], ["8.39"]], id="all of it"
        ),
        pytest.param(
            [Coupon(amount=D("0.02")), Coupon(percent=D(50))],
            ["8.40", "4.19"],
            [["0.01", "8.40"], ["0.01", "4.19"]],
            id="one after the other",
        ),
    ],
)
def test_coupons_take_off_prices(
    coupons: list[Coupon], left: list[str], shares: list[list[str]]
) -> None:
    """Two lines of 19.99 and 9.99 at 19 %: what is left of each before tax, and what is taken off."""
    added, found, priced = split([("19.99", "S19"), ("9.99", "S19")], *coupons)
    assert [[str(one) for one in line.shares] for line in found] == shares
    assert [f"{line.net - add_up(line.shares):f}" for line in found] == left
    assert added.total == add_up(one.gross - add_up(one.shares) for one in priced)


units = st.integers(-(10**9), 10**9)
exponents = st.sampled_from([0, 2, 3])
coupons = st.lists(
    st.one_of(
        st.integers(1, 10**6).map(lambda n: Coupon(amount=D(n))),
        st.sampled_from(["1", "12.5", "33.3333", "100"]).map(lambda p: Coupon(percent=D(p))),
    ),
    max_size=3,
)


@given(st.lists(st.tuples(units, st.sampled_from(sorted(CATEGORIES)))), exponents, coupons)
def test_split(lines: list[tuple[int, str]], exponent: int, taken: list[Coupon]) -> None:
    """Nets and tax are the price, to the unit; every net is next to its exact one."""
    told = [(str(D(amount) * UNITS[exponent]), name) for amount, name in lines]
    added, found, priced = split(told, *taken, exponent=exponent)
    assert added.net + added.tax == added.total
    assert added.total == add_up(one.gross - add_up(one.shares) for one in priced)
    assert added.net == add_up(one.net - add_up(one.shares) for one in found)
    for subtotal in added.subtotals:
        key = subtotal.tax.category, subtotal.tax.rate
        mine = [(p, n) for p, n in zip(priced, found, strict=True) if p.tax == key]
        gross = add_up(p.gross - add_up(p.shares) for p, _ in mine)
        assert subtotal.base == add_up(n.net - add_up(n.shares) for _, n in mine)
        assert subtotal.amount == included_tax(gross, key[1], exponent=exponent)
        # BR-CO-17, as far as two amounts rounded to the unit can: less than one of it apart
        on_base = Fraction(subtotal.base) * Fraction(key[1]) / 100
        assert abs(on_base - Fraction(subtotal.amount)) < Fraction(UNITS[exponent])
    for line, one in zip(priced, found, strict=True):
        left = line.gross - add_up(line.shares)
        exact = Fraction(left) * 100 / (100 + Fraction(line.tax[1]))
        net = one.net - add_up(one.shares)
        assert abs(Fraction(net) - exact) < Fraction(UNITS[exponent])
        assert min(D(0), line.gross) <= one.net <= max(D(0), line.gross)
        assert all(0 <= net <= gross for net, gross in zip(one.shares, line.shares, strict=True))


@given(
    st.lists(st.tuples(st.integers(-9999, 9999), st.sampled_from(["S19", "S7", "AE"])), max_size=5)
)
def test_the_order_of_lines_changes_nothing_but_ties(lines: list[tuple[int, str]]) -> None:
    """Totals are the same in any order, and so are the nets of lines of one price, as a set."""
    told = [(str(D(amount) / 100), name) for amount, name in lines]
    added, found, _ = split(told)
    usual = sorted((line, one.net) for line, one in zip(told, found, strict=True))
    for order in list(permutations(told))[:24]:
        again, other, _ = split(list(order))
        assert (again.net, again.tax, again.total) == (added.net, added.tax, added.total)
        assert sorted((line, one.net) for line, one in zip(order, other, strict=True)) == usual or (
            _has_ties(told)
        )


def _has_ties(lines: list[tuple[str, str]]) -> bool:
    """Whether lines of different prices have the same remainder, so that the first wins."""
    remainders = [
        (name, Fraction(gross) * 10000 / (100 + Fraction(CATEGORIES[name][1])) % 1)
        for gross, name in set(lines)
    ]
    return len(set(remainders)) < len(remainders)


@given(st.lists(st.integers(0, 10**6), max_size=4), st.integers(1, 10**6))
def test_a_credit_takes_all_that_there_is_and_no_more(charged: list[int], credit: int) -> None:
    tax = Tax("S", D(19))
    lines = [Taxed(D(one) / 100, tax) for one in charged]
    given_ = creditable(lines, D(credit) / 100, tax, exponent=2, include_tax=True)
    assert given_ == min(D(credit) / 100, D(sum(charged)) / 100)


@given(
    st.lists(
        st.lists(st.tuples(units, st.sampled_from(sorted(CATEGORIES))), max_size=4), max_size=5
    ),
    exponents,
)
def test_who_joins_later_changes_no_net_and_all_add_up(
    parts: list[list[tuple[int, str]]], exponent: int
) -> None:
    """Of each part, what the whole comes to with it less what it came to before is split (R37)."""
    unit = UNITS[exponent]
    taxed: list[Taxed] = []
    before: dict[TaxKey, D] = {}
    nets: list[D] = []
    for part in parts:
        priced = [Priced(D(amount) * unit, CATEGORIES[name]) for amount, name in part]
        taxed += [Taxed(one.gross, Tax(*one.tax)) for one in priced]
        added = totals(taxed, exponent=exponent, include_tax=True)
        now = {(one.tax.category, one.tax.rate): one.base for one in added.subtotals}
        bases = {key: base - before.get(key, D(0)) for key, base in now.items()}
        for line, one in zip(priced, without_tax(priced, bases, exponent=exponent), strict=True):
            exact = Fraction(line.gross) * 100 / (100 + Fraction(line.tax[1]))
            assert abs(Fraction(one.net) - exact) < Fraction(unit)
            nets.append(one.net)
        before = now
    whole = totals(taxed, exponent=exponent, include_tax=True)
    assert add_up(nets) == whole.net
    assert whole.total == add_up(one.amount for one in taxed)


@given(st.lists(st.tuples(units, st.sampled_from(sorted(CATEGORIES)))), exponents)
def test_tax_on_top_is_rounded_once_per_rate_whatever_the_order(
    lines: list[tuple[int, str]], exponent: int
) -> None:
    """R29 before tax: each tax is next to its exact one, and no order of lines changes a total."""
    unit = UNITS[exponent]
    taxed = [Taxed(D(amount) * unit, Tax(*CATEGORIES[name])) for amount, name in lines]
    added = totals(taxed, exponent=exponent)
    assert added.net == add_up(one.amount for one in taxed)
    assert added.total == added.net + added.tax
    for one in added.subtotals:
        exact = Fraction(one.base) * Fraction(one.tax.rate) / 100
        assert abs(Fraction(one.amount) - exact) <= Fraction(unit) / 2
        assert one.tax.rate or not one.amount
    again = totals(taxed[::-1], exponent=exponent)
    assert (again.net, again.tax, again.total) == (added.net, added.tax, added.total)
    assert sorted(again.subtotals) == sorted(added.subtotals)
