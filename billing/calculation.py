"""From rounded lines to an invoice's totals: charges, coupons, tax, total [pure].

Each line is rounded already (R17); coupons are shared among lines to the cent (R22a); tax is
rounded once per category and rate, on the sum of its lines less their allowances (R29; EN 16931
BR-CO-10, 11, 13, 15, 17). Nothing here knows a database, a clock or a setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from catalog.money import EXACT, ZERO, round_half_up, split


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
    """A line's net amount, rounded to the currency's exponent, and its tax."""

    net: Decimal
    tax: Tax


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


def totals(lines: Sequence[Taxed], *, exponent: int) -> Totals:
    """Add up lines and tax them per category and rate; all amounts have `exponent` decimals.

    An allowance is given as a negative line of its category and rate.
    """
    bases: dict[tuple[str, Decimal], tuple[Tax, Decimal]] = {}
    for net, tax in lines:
        key = (tax.category, tax.rate)
        first, base = bases.get(key, (tax, ZERO))
        bases[key] = (first, EXACT.add(base, net))
    subtotals = tuple(
        Subtotal(tax, base, round_half_up(Fraction(base) * Fraction(tax.rate) / 100, exponent))
        for tax, base in bases.values()
    )
    net = round_half_up(add_up(line.net for line in lines), exponent)
    tax_total = round_half_up(add_up(subtotal.amount for subtotal in subtotals), exponent)
    assert net == add_up(subtotal.base for subtotal in subtotals)
    return Totals(subtotals, net, tax_total, EXACT.add(net, tax_total))


def creditable(lines: Sequence[Taxed], amount: Decimal, tax: Tax, *, exponent: int) -> Decimal:
    """Return how much of a net `amount` can be credited beside these lines: all, or what keeps the
    total at zero or above (R32a)."""

    def total_after(net: Decimal) -> Decimal:
        return totals([*lines, Taxed(EXACT.minus(net), tax)], exponent=exponent).total

    if total_after(amount) >= 0:
        return amount
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
