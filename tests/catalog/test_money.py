"""R17, R34: amounts stay exact, are rounded once, and printed parts sum to the whole."""

from decimal import Decimal as D
from decimal import Inexact, localcontext
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import money

pytestmark = pytest.mark.once

decimals = st.decimals(-(10**9), 10**9, places=6)
fractions = st.fractions(-(10**6), 10**6, max_denominator=400)
exact = decimals | fractions


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [
        pytest.param("EUR", 2, id="cents"),
        pytest.param("JPY", 0, id="no minor unit"),
        pytest.param("KWD", 3, id="a thousand fils"),
    ],
)
def test_exponent(currency: str, exponent: int) -> None:
    assert money.exponent(currency) == exponent
    assert currency in money.CURRENCIES


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("XYZ", id="no such code"),
        pytest.param("eur", id="small letters"),
        pytest.param("", id="nothing"),
        pytest.param("XAU", id="a metal"),
        pytest.param("XDR", id="a fund without minor unit"),
        pytest.param("CLF", id="a unit of account with four decimals"),
    ],
)
def test_refuses_what_is_no_billing_currency(code: str) -> None:
    with pytest.raises(money.UnknownCurrency, match=f"“{code}” is not a currency we can bill in"):
        money.exponent(code)
    assert code not in money.CURRENCIES


def test_currencies_are_sorted_and_named() -> None:
    assert list(money.CURRENCIES) == sorted(money.CURRENCIES)
    assert money.CURRENCIES["EUR"] == "Euro"


@pytest.mark.parametrize(
    ("x", "exponent", "rounded"),
    [
        pytest.param(D("0.005"), 2, "0.01", id="a half goes up"),
        pytest.param(D("-0.005"), 2, "-0.01", id="a negative half goes away from zero"),
        pytest.param(D("0.0049999999999999999999999999999999"), 2, "0.00", id="just below a half"),
        pytest.param(D("2.5"), 0, "3", id="not to the even neighbour"),
        pytest.param(D("1"), 3, "1.000", id="fills up decimals"),
        pytest.param(D("-0.001"), 2, "0.00", id="never minus zero"),
        pytest.param(F(1, 200), 2, "0.01", id="a half as a fraction"),
        pytest.param(F(-1, 200), 2, "-0.01", id="a negative half as a fraction"),
        pytest.param(F(160, 3), 2, "53.33", id="a third"),
        pytest.param(F(320, 3), 2, "106.67", id="two thirds"),
        pytest.param(F(-1, 300), 2, "0.00", id="a small negative fraction is not minus zero"),
        pytest.param(D("9" * 30 + ".995"), 2, "1" + "0" * 30 + ".00", id="beyond 28 digits"),
    ],
)
def test_round_half_up(x: money.Exact, exponent: int, rounded: str) -> None:
    assert str(money.round_half_up(x, exponent)) == rounded


@given(x=exact, exponent=st.sampled_from([0, 2, 3]))
def test_rounding_moves_by_half_a_unit_at_most(x: money.Exact, exponent: int) -> None:
    distance = F(money.round_half_up(x, exponent)) - F(x)
    assert abs(distance) <= F(1, 2 * 10**exponent)
    if abs(distance) == F(1, 2 * 10**exponent):
        assert (distance > 0) == (x > 0)


@pytest.mark.parametrize(
    ("x", "scale", "rounded"),
    [
        pytest.param(F(160, 3), 0, "54", id="up to a whole unit"),
        pytest.param(F(160, 3), 2, "53.34", id="up at two decimals"),
        pytest.param(D("54"), 0, "54", id="whole stays"),
        pytest.param(F(160, 3), -1, "6E+1", id="up to a ten"),
    ],
)
def test_round_up(x: money.Exact, scale: int, rounded: str) -> None:
    assert str(money.round_up(x, scale)) == rounded


def test_the_threads_context_does_not_matter() -> None:
    quantity, price = D("9" * 20 + "." + "9" * 10), D("9" * 12 + "." + "9" * 12)
    with localcontext(prec=3):
        product = money.times(quantity, price)
        doubled = money.plus(product, product)
    assert F(product) == F(quantity) * F(price)
    assert F(doubled) == 2 * F(product)


def test_a_lost_digit_is_an_error() -> None:
    with pytest.raises(Inexact):
        money.plus(D("1E+100"), D("1E-100"))


@given(a=exact, b=exact)
def test_sums_and_products_are_exact(a: money.Exact, b: money.Exact) -> None:
    assert F(money.plus(a, b)) == F(a) + F(b)
    assert F(money.minus(a, b)) == F(a) - F(b)
    assert F(money.times(a, b)) == F(a) * F(b)
    assert F(money.exact_sum([a, b, a])) == 2 * F(a) + F(b)


@pytest.mark.parametrize(
    ("x", "simple"),
    [
        pytest.param(F(1, 8), D("0.125"), id="eighths end"),
        pytest.param(F(-3, 40), D("-0.075"), id="negative fortieths end"),
        pytest.param(F(7), D("7"), id="whole"),
        pytest.param(F(1, 3), F(1, 3), id="thirds do not end"),
        pytest.param(F(1, 2**100), D(5**100).scaleb(-100), id="more digits than 28"),
    ],
)
def test_simplify(x: F, simple: money.Exact) -> None:
    with localcontext(prec=200):
        simple = +simple if isinstance(simple, D) else simple
    assert type(money.simplify(x)) is type(simple)
    assert F(money.simplify(x)) == x


@pytest.mark.parametrize(
    ("x", "text"),
    [
        pytest.param(D("100.000"), "100", id="trailing zeros cut"),
        pytest.param(D("1E+3"), "1000", id="no exponent"),
        pytest.param(D("1E-12"), "0.000000000001", id="small without exponent"),
        pytest.param(D("-0.00"), "0", id="no minus zero"),
        pytest.param(D("-0.50"), "-0.5", id="negative"),
        pytest.param(D("100"), "100", id="zeros before the point stay"),
    ],
)
def test_plain(x: D, text: str) -> None:
    assert money.plain(x) == text


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        pytest.param("10.00", [1, 1, 1], ["3.34", "3.33", "3.33"], id="the first of equals wins"),
        pytest.param("-10.00", [1, 1, 1], ["-3.34", "-3.33", "-3.33"], id="like its opposite"),
        pytest.param("0.05", [1, 2, 3], ["0.01", "0.02", "0.02"], id="largest remainder wins"),
        pytest.param("1.00", [0, 1], ["0.00", "1.00"], id="zero weight gets nothing"),
        pytest.param("0.01", [0, 0, 1], ["0.00", "0.00", "0.01"], id="not even the leftover"),
        pytest.param("0.00", [0, 0], ["0.00", "0.00"], id="nothing among nobody"),
        pytest.param("0.00", [], [], id="no parts"),
    ],
)
def test_split(amount: str, weights: list[int], parts: list[str]) -> None:
    assert [str(part) for part in money.split(D(amount), [D(w) for w in weights], 2)] == parts


@pytest.mark.parametrize("weights", [[], [D(0), F(0)]])
def test_split_needs_a_weight(weights: list[money.Exact]) -> None:
    with pytest.raises(money.NothingToSplitBy, match=r"1\.00 cannot be shared"):
        money.split(D("1.00"), weights, 2)


def test_split_refuses_what_is_not_rounded_and_negative_weights() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        money.split(D("0.005"), [D(1)], 2)
    with pytest.raises(ValueError, match="negative weights"):
        money.split(D("1"), [D(2), D(-1)], 2)


@given(
    units=st.integers(-(10**9), 10**9),
    weights=st.lists(st.decimals(0, 1000, places=3), min_size=1).filter(any),
)
def test_split_loses_no_cent(units: int, weights: list[D]) -> None:
    amount = D(units).scaleb(-2)
    parts = money.split(amount, weights, 2)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(F(part) - F(amount) * F(weight) / F(sum(weights))) < F(1, 100)


def test_printable_leaves_decimals_alone() -> None:
    amounts: list[money.Exact] = [D("1.10"), D("-0.0000000000000005"), F(1, 4)]
    assert list(map(str, money.printable(amounts))) == ["1.10", "-5E-16", "0.25"]


@pytest.mark.parametrize(
    ("amounts", "printed"),
    [
        pytest.param([F(1, 3)], ["0.333333333333"], id="cut at 12 decimals"),
        pytest.param([F(-2, 3)], ["-0.666666666666"], id="cut towards zero"),
        pytest.param(
            [F(1, 3), F(1, 3), F(1, 3)],
            ["0.333333333334", "0.333333333333", "0.333333333333"],
            id="thirds make a whole",
        ),
        pytest.param([D("0.5"), F(2, 3)], ["0.5", "0.666666666666"], id="endings stay as they are"),
        pytest.param(
            [D("0.00000000000001"), F(1, 3)],
            ["0.00000000000001", "0.33333333333333"],
            id="as many decimals as the longest ending",
        ),
    ],
)
def test_printable(amounts: list[money.Exact], printed: list[str]) -> None:
    assert [money.plain(amount) for amount in money.printable(amounts)] == printed


@given(amounts=st.lists(exact, min_size=1, max_size=6), exponent=st.sampled_from([0, 2, 3]))
def test_printable_sums_and_rounds_like_the_exact(
    amounts: list[money.Exact], exponent: int
) -> None:
    printed = money.printable(amounts)
    total, shown = money.exact_sum(amounts), money.exact_sum(printed)
    assert abs(F(shown)) <= abs(F(total))
    assert abs(F(shown) - F(total)) < F(1, 10**12)
    assert money.round_half_up(shown, exponent) == money.round_half_up(total, exponent)
    for one, whole in zip(printed, amounts, strict=True):
        assert abs(F(one) - F(whole)) < F(1, 10**12)
        if isinstance(whole, D):
            assert one == whole
