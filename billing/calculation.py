"""From rounded lines to an invoice's totals: charges, coupons, tax, total [pure].

Each line is rounded already (R17); coupons are shared among lines to the cent (R22a); tax is
rounded once per category and rate, on the sum of its lines less their allowances (R29; EN 16931
BR-CO-10, 11, 13, 15, 17). Where prices include tax, lines and coupons are priced with it, and their
nets are split off by largest remainder. Nothing here knows a database, a clock or a setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from catalog.money import EXACT, ZERO, round_half_up, share, split


class Tax(NamedTuple):
    """How a line is taxed: EN 16931 category, rate in percent, and why none is due.

    Then which of a country's rates it is, whose, and why it applies, in words.
    """

    category: str
    rate: Decimal
    reason: str = ""
    rate_category: str = ""
    country: str = ""
    basis: str = ""


class Taxed(NamedTuple):
    """What a line is priced at, rounded to the currency's exponent, and its tax.

    Its net amount; or that and the tax, where prices include it.
    """

    amount: Decimal
    tax: Tax


TaxKey = tuple[str, Decimal]
"""A tax category and its rate."""


class Coupon(NamedTuple):
    """What is taken off before tax: an amount, or a percentage of what is left to reduce."""

    amount: Decimal | None = None
    percent: Decimal | None = None


class Reduction(NamedTuple):
    """What one coupon takes off: in all, and of each line, in their order; the shares add up."""

    total: Decimal
    shares: tuple[Decimal, ...]


class Subtotal(NamedTuple):
    """The tax on all lines of one category and rate (BG-23)."""

    tax: Tax
    base: Decimal
    amount: Decimal


class Totals(NamedTuple):
    """What an invoice adds up to; subtotals in the order their category first occurred."""

    subtotals: tuple[Subtotal, ...]
    net: Decimal
    tax: Decimal
    total: Decimal


def reduce(nets: Sequence[Decimal], coupons: Sequence[Coupon], *, exponent: int) -> list[Reduction]:
    """Take coupons off lines, in the order given; no line, and so no sum, falls below zero (R22a).

    `nets` are the rounded lines that coupons reduce; what is not above zero is left alone. Each
    coupon finds what those before it left. Its share of each line is by largest remainder.
    """
    left = [net if net > 0 else ZERO for net in nets]
    reductions = []
    for amount, percent in coupons:
        reducible = add_up(left)
        if percent is not None:
            wanted = round_half_up(Fraction(reducible) * Fraction(percent) / 100, exponent)
        else:
            assert amount is not None
            wanted = amount
        total = round_half_up(min(wanted, reducible), exponent)
        shares = split(total, left, exponent)
        left = [EXACT.subtract(net, share) for net, share in zip(left, shares, strict=True)]
        reductions.append(Reduction(total, tuple(shares)))
    return reductions


def totals(lines: Sequence[Taxed], *, exponent: int, include_tax: bool = False) -> Totals:
    """Add up lines and tax them per category and rate; all amounts have `exponent` decimals.

    An allowance is given as a negative line of its category and rate. `include_tax` says that lines
    are priced with it: then the total is what they add up to.
    """
    sums: dict[TaxKey, tuple[Tax, Decimal]] = {}
    for amount, tax in lines:
        key = (tax.category, tax.rate)
        first, before = sums.get(key, (tax, ZERO))
        sums[key] = (first, EXACT.add(before, amount))
    subtotals = tuple(
        _subtotal(tax, amount, exponent=exponent, include_tax=include_tax)
        for tax, amount in sums.values()
    )
    net = round_half_up(add_up(subtotal.base for subtotal in subtotals), exponent)
    tax_total = round_half_up(add_up(subtotal.amount for subtotal in subtotals), exponent)
    total = EXACT.add(net, tax_total)
    assert (total if include_tax else net) == add_up(line.amount for line in lines)
    return Totals(subtotals, net, tax_total, total)


def _subtotal(tax: Tax, amount: Decimal, *, exponent: int, include_tax: bool) -> Subtotal:
    if include_tax:
        taxed = included_tax(amount, tax.rate, exponent=exponent)
        return Subtotal(tax, EXACT.subtract(amount, taxed), taxed)
    taxed = round_half_up(Fraction(amount) * Fraction(tax.rate) / 100, exponent)
    return Subtotal(tax, amount, taxed)


def included_tax(gross: Decimal, rate: Decimal, *, exponent: int) -> Decimal:
    """Return the tax that a price with tax includes: gross × r / (100 + r), rounded once (R29)."""
    return round_half_up(Fraction(gross) * Fraction(rate) / (100 + Fraction(rate)), exponent)


class Priced(NamedTuple):
    """A line that is priced with tax, and what each coupon takes off it, with tax as well."""

    gross: Decimal
    tax: TaxKey
    shares: tuple[Decimal, ...] = ()


class WithoutTax(NamedTuple):
    """The nets of a line and of what coupons take off it; the shares in the order given."""

    net: Decimal
    shares: tuple[Decimal, ...]


def without_tax(
    lines: Sequence[Priced], bases: Mapping[TaxKey, Decimal], *, exponent: int
) -> list[WithoutTax]:
    """Split the net of each category and rate among its lines, by largest remainder (R29).

    `bases` is what these lines come to without tax, after coupons. Each line's net after coupons is
    less than one unit from gross × 100 / (100 + r); what a coupon takes off all lines of a rate is
    rounded once, and shared among them like its gross. A line's own net is the two together.
    """
    found: dict[int, WithoutTax] = {}
    for key, base in bases.items():
        mine = [number for number, line in enumerate(lines) if line.tax == key]
        nets = share(base, [_net(_left(lines[number]), key) for number in mine], exponent)
        taken = _coupons_without_tax([lines[number].shares for number in mine], key, exponent)
        for number, net, off in zip(mine, nets, taken, strict=True):
            found[number] = WithoutTax(EXACT.add(net, add_up(off)), off)
    return [found[number] for number in range(len(lines))]


def _left(line: Priced) -> Decimal:
    return EXACT.subtract(line.gross, add_up(line.shares))


def _net(gross: Decimal, tax: TaxKey) -> Fraction:
    return Fraction(gross) * 100 / (100 + Fraction(tax[1]))


def _coupons_without_tax(
    shares: Sequence[tuple[Decimal, ...]], tax: TaxKey, exponent: int
) -> list[tuple[Decimal, ...]]:
    """Return the nets of what coupons take off lines of one rate, line by line."""
    nets = []
    for of_coupon in zip(*shares, strict=True):
        whole = round_half_up(_net(add_up(of_coupon), tax), exponent)
        nets.append(split(whole, of_coupon, exponent))
    return [tuple(of_line) for of_line in zip(*nets, strict=True)] or [()] * len(shares)


def creditable(
    lines: Sequence[Taxed], amount: Decimal, tax: Tax, *, exponent: int, include_tax: bool = False
) -> Decimal:
    """Return how much of an `amount` can be credited of these lines: all, or what keeps the
    total at zero or above (R32)."""

    def total_after(credited: Decimal) -> Decimal:
        credit = Taxed(EXACT.minus(credited), tax)
        return totals([*lines, credit], exponent=exponent, include_tax=include_tax).total

    if total_after(amount) >= 0:
        return amount
    if include_tax:
        return min(amount, max(total_after(ZERO), ZERO))
    unit = Decimal(1).scaleb(-exponent)
    room = Fraction(max(total_after(ZERO), ZERO)) * 100 / (100 + Fraction(tax.rate))
    found = min(amount, round_half_up(room, exponent))
    while found > 0 and total_after(found) < 0:  # tax is rounded on each rate's own sum
        found = EXACT.subtract(found, unit)
    return found


def add_up(amounts: Iterable[Decimal]) -> Decimal:
    """Add exactly; 0 for nothing."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
