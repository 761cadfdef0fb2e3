"""What crediting some of an invoice comes to: the arithmetic alone (R32)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.calculation import Tax, Taxed, TaxKey, totals
from billing.crediting import (
    Asked,
    Book,
    Credit,
    Creditable,
    MoreThanCreditable,
    NothingToCredit,
    Taken,
)
from catalog.money import exponent
from config.base.errors import Invalid, Refusal

pytestmark = pytest.mark.once

S19, S7, AE = ("S", D(19)), ("S", D(7)), ("AE", D(0))


def line(number: int, worth: str, quantity: str = "1", tax: TaxKey = S19) -> Creditable:
    return Creditable(number, f"line {number}", tax, D(worth), D(0), D(worth), D(quantity))


def book(*lines: Creditable, currency: str = "EUR", include_tax: bool = False) -> Book:
    added = totals(
        [Taxed(one.worth, Tax(*one.tax)) for one in lines],
        exponent=exponent(currency),
        include_tax=include_tax,
    )
    taxes = {
        (one.tax.category, one.tax.rate): Taken(one.base, one.amount) for one in added.subtotals
    }
    return Book(currency, added.total, D(0), lines, taxes, include_tax)


def after(before: Book, credit: Credit) -> Book:
    """Return the book once a note was issued."""
    parts = {part.of.line_id: part for part in credit.parts}
    taxed = {part.tax: part for part in credit.taxes}
    lines = [
        one._replace(
            credited=one.credited + parts[one.line_id].amount,
            left=one.left - parts[one.line_id].amount,
            quantity_credited=one.quantity_credited + (parts[one.line_id].quantity or 0),
        )
        if one.line_id in parts
        else one
        for one in before.lines
    ]
    taxes = {
        key: taken._replace(
            credited_base=taken.credited_base + taxed[key].base,
            credited_amount=taken.credited_amount + taxed[key].amount,
        )
        if key in taxed
        else taken
        for key, taken in before.taxes.items()
    }
    credited = before.credited + credit.total
    return Book(before.currency, before.total, credited, lines, taxes, before.include_tax)


def asked(text: str) -> list[Asked]:
    """Read "1 10.00, 2 ×5": ten of line 1, five units of line 2."""
    found = []
    for part in text.split(","):
        number, amount = part.split()
        if amount.startswith("×"):
            found.append(Asked(int(number), quantity=D(amount[1:])))
        else:
            found.append(Asked(int(number), amount=D(amount)))
    return found


THREE_UNITS = book(line(1, "10.00", "3"))
WITH_TAX = book(line(1, "19.99", "3"), line(2, "9.99", tax=S7), include_tax=True)
MIXED = book(line(1, "100.00"), line(2, "-30.00"), line(3, "50.00", tax=S7))
REFUND_OF_ANOTHER_RATE = book(line(1, "100.00"), line(2, "-10.00", tax=S7))


@pytest.mark.parametrize(
    ("of", "parts", "net", "tax"),
    [
        pytest.param(MIXED, None, "120.00", "16.80", id="all of it, negative lines too"),
        pytest.param(MIXED, "1 10.00", "10.00", "1.90", id="some of a line"),
        pytest.param(MIXED, "1 70.00", "70.00", "13.30", id="all that is taxed alike"),
        pytest.param(MIXED, "1 100, 2 -30", "70.00", "13.30", id="a line with a negative one"),
        pytest.param(MIXED, "1 0.01", "0.01", "0.00", id="so little that no tax falls on it"),
        pytest.param(MIXED, "3 0.10, 1 0.10", "0.20", "0.03", id="tax is rounded per rate"),
        pytest.param(
            REFUND_OF_ANOTHER_RATE, None, "90.00", "18.30", id="a rate that is negative in all"
        ),
        pytest.param(THREE_UNITS, "1 ×1", "3.33", "0.63", id="a unit, rounded once"),
        pytest.param(THREE_UNITS, "1 ×2", "6.67", "1.27", id="two units, rounded once"),
        pytest.param(THREE_UNITS, "1 ×3", "10.00", "1.90", id="all units, all of the line"),
        pytest.param(THREE_UNITS, "1 ×0.5", "1.67", "0.32", id="half a unit"),
        pytest.param(book(line(1, "9", tax=AE)), None, "9", "0", id="reverse charge"),
        pytest.param(WITH_TAX, None, "26.14", "3.84", id="prices with tax, all of them"),
        pytest.param(WITH_TAX, "1 5.00", "4.20", "0.80", id="five with tax are five back"),
        pytest.param(WITH_TAX, "1 ×1", "5.60", "1.06", id="a unit of a price with tax: 6.66"),
        pytest.param(WITH_TAX, "1 1.00, 2 1.00", "1.77", "0.23", id="each rate’s own part"),
        pytest.param(
            book(line(1, "5", tax=AE), include_tax=True), "1 2", "2", "0", id="no tax in it"
        ),
        pytest.param(
            book(line(1, "1001"), currency="JPY"), "1 3", "3", "1", id="yen have no decimals"
        ),
        pytest.param(
            book(line(1, "1.005"), currency="KWD"), "1 0.005", "0.005", "0.001", id="dinar have 3"
        ),
    ],
)
def test_what_it_comes_to(of: Book, parts: str | None, net: str, tax: str) -> None:
    credit = of.credit(asked(parts) if parts else None)
    assert (credit.net, credit.tax) == (D(net), D(tax))


@pytest.mark.parametrize(
    ("of", "parts", "refusal"),
    [
        (MIXED, "1 100.01", MoreThanCreditable),
        (MIXED, "1 70.01", MoreThanCreditable),  # more than the rate has in all
        (MIXED, "2 -30.01", MoreThanCreditable),
        (MIXED, "1 10, 2 -10", NothingToCredit),
        (MIXED, "2 -5", MoreThanCreditable),  # the rate would fall below nothing
        (REFUND_OF_ANOTHER_RATE, "1 100", MoreThanCreditable),  # more than the invoice
        (THREE_UNITS, "1 ×3.01", MoreThanCreditable),
        (WITH_TAX, "1 20.00", MoreThanCreditable),
        (book(line(1, "0.01", "1000")), "1 ×1", NothingToCredit),
        (book(line(1, "0.00")), None, NothingToCredit),
        (book(line(1, "5.00"), line(2, "-5.00")), None, NothingToCredit),
    ],
)
def test_more_than_there_is_is_refused(of: Book, parts: str | None, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        of.credit(asked(parts) if parts else None)


@pytest.mark.parametrize(
    ("parts", "path", "code"),
    [
        ("9 1", ("lines", 0, "line"), "unknown_line"),
        ("1 1, 1 2", ("lines", 1, "line"), "twice"),
        ("1 0", ("lines", 0, "net"), "not_positive"),
        ("1 -1", ("lines", 0, "net"), "not_positive"),
        ("2 1", ("lines", 0, "net"), "wrong_sign"),
        ("1 0.001", ("lines", 0, "net"), "too_fine"),
        ("1 ×0", ("lines", 0, "quantity"), "not_positive"),
    ],
)
def test_faults_name_their_field(parts: str, path: tuple[str | int, ...], code: str) -> None:
    named = [one._replace(path=("lines", n)) for n, one in enumerate(asked(parts))]
    with pytest.raises(Invalid) as refused:
        MIXED.credit(named)
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(path, code)]


def test_with_tax_a_fault_names_the_gross() -> None:
    with pytest.raises(Invalid) as refused:
        WITH_TAX.credit([Asked(1, D("0.001"), path=("lines", 0))])
    assert [fault.path for fault in refused.value.faults] == [("lines", 0, "gross")]


def test_neither_or_both_is_a_fault() -> None:
    for one in (Asked(1), Asked(1, D(1), D(1))):
        with pytest.raises(Invalid):
            MIXED.credit([one])
    with pytest.raises(Invalid):
        MIXED.credit([])


def test_units_add_up_to_the_line_and_a_rest_in_cents_is_on_the_last() -> None:
    of, nets = THREE_UNITS, []
    for _ in range(3):
        credit = of.credit(asked("1 ×1"))
        nets.append(credit.net)
        of = after(of, credit)
    assert nets == [D("3.33"), D("3.33"), D("3.34")]
    assert of.left == 0


def test_tax_in_parts_is_the_tax_of_all() -> None:
    of, taxes = book(line(1, "0.09")), []
    for _ in range(9):
        credit = of.credit(asked("1 0.01"))
        taxes.append(credit.tax)
        of = after(of, credit)
    assert sum(taxes) == D("0.02")
    assert all(tax >= 0 for tax in taxes)


def test_tax_that_was_rounded_otherwise_is_taken_back_as_it_is() -> None:
    gross = Book("EUR", D("100.00"), D(0), [line(1, "84.04")], {S19: Taken(D("84.04"), D("15.96"))})
    assert gross.credit(None).total == D("100.00")
    some = gross.credit(asked("1 84.03"))
    assert some.tax == D("15.96")  # 15.9657 would be 15.97, more than the invoice has
    assert after(gross, some).credit(None).total == D("0.01")


cents = st.integers(-5_000, 20_000).map(lambda n: D(n).scaleb(-2))
lines = st.lists(
    st.tuples(cents, st.integers(1, 7), st.sampled_from([S19, S7, AE])), min_size=1, max_size=6
)
parts = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 100), st.booleans()), max_size=8)


@example(  # net comes to nothing, and its tax, rounded by rate, does not
    [(D("0.03"), 1, ("S", D(19))), (D("-0.03"), 1, ("S", D(7)))], [], False
)
@given(lines, parts, st.booleans())
def test_any_sequence_that_credits_all_is_the_invoice(
    drawn: Sequence[tuple[D, int, TaxKey]], steps: Sequence[tuple[int, int, bool]], include: bool
) -> None:
    rows = [line(n, f"{net}", f"{units}", tax) for n, (net, units, tax) in enumerate(drawn)]
    whole = of = book(*rows, include_tax=include)
    for number, percent, by_units in steps:
        one = of.line(number)
        if one is None:
            continue
        amount = (one.left * percent / 100).quantize(D("0.01"))
        units = one.units_left * percent / 100
        part = Asked(number, quantity=units) if by_units else Asked(number, amount)
        try:
            credit = of.credit([part])
        except (Refusal, Invalid):
            continue
        assert credit.total > 0
        told = sum(one.amount for one in credit.parts)
        assert told == (credit.total if include else credit.net)
        assert all(abs(one.net) <= abs(one.amount) for one in credit.parts)
        of = after(of, credit)
        assert of.credited <= whole.total
    try:
        of = after(of, of.credit(None))
    except NothingToCredit:
        assert of.credited >= whole.total
        return
    assert of.credited == whole.total
    assert all(one.left == 0 for one in of.lines)
    assert {(t.credited_base, t.credited_amount) for t in of.taxes.values()} == {
        (t.base, t.amount) for t in of.taxes.values()
    }
    with pytest.raises(NothingToCredit):
        of.credit(None)
