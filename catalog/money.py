"""Exact amounts: rounding, splitting, adding, and the currencies we bill in.

An amount is exact until the invoice line rounds it (R17). It is a Decimal as long as it can be
one and a Fraction where it must (a third of a month); `Exact` is either. Nothing here depends on
the thread's decimal context, whose 28 digits a large quantity times a long price would exceed.
"""

from collections.abc import Iterable, Sequence
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction
from math import ceil, floor

from iso4217 import Currency

_NEVER = (InvalidOperation, DivisionByZero, Overflow)

Exact = Decimal | Fraction

ZERO = Decimal(0)

# A quantity has 30 digits and a price 24: 120 holds their product, a percentage of it and any sum
# of such. A result that would still lose a digit raises `decimal.Inexact`.
EXACT = Context(prec=120, traps=[*_NEVER, Inexact])

# The same room, for the places that are meant to round.
_ROUNDING = Context(prec=120, rounding=ROUND_HALF_UP, traps=[*_NEVER])

ENDLESS_PLACES = 12  # that an endless fraction is kept with


class UnknownCurrency(ValueError):
    """This code is not a currency an invoice can be written in."""


class NothingToSplitBy(ValueError):
    """An amount was to be shared among weights that are all zero."""


# Funds and metals without minor unit, and the two units of account with four, are not money
# anybody pays an invoice with.
_EXPONENTS = {c.code: c.exponent for c in Currency if c.exponent in (0, 2, 3)}

CURRENCIES: dict[str, str] = {code: Currency(code).currency_name for code in sorted(_EXPONENTS)}
"""The accepted ISO 4217 codes with their English names, by code."""


def exponent(currency: str) -> int:
    """Give the number of decimals of a currency: 2 for EUR, 0 for JPY, 3 for KWD (ISO 4217).

    :raises UnknownCurrency: for anything that is not in `CURRENCIES`; codes are upper case.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(
            f"“{currency}” is not a currency we can bill in: "
            "use a code of three capital letters from ISO 4217, such as EUR, USD or JPY."
        ) from None


def plus(a: Exact, b: Exact) -> Exact:
    """Add exactly; a Decimal wherever the sum can be written as one."""
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return EXACT.add(a, b)
    return simplify(Fraction(a) + Fraction(b))


def minus(a: Exact, b: Exact) -> Exact:
    """Subtract exactly; a Decimal wherever the difference can be written as one."""
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return EXACT.subtract(a, b)
    return simplify(Fraction(a) - Fraction(b))


def times(a: Exact, b: Exact) -> Exact:
    """Multiply exactly; a Decimal wherever the product can be written as one."""
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return EXACT.multiply(a, b)
    return simplify(Fraction(a) * Fraction(b))


def exact_sum(amounts: Iterable[Exact]) -> Exact:
    """Add up exactly; 0 for nothing."""
    total: Exact = ZERO
    for amount in amounts:
        total = plus(total, amount)
    return total


def simplify(x: Exact) -> Exact:
    """Turn a Fraction into a Decimal if its decimals end; leave anything else as it is."""
    if isinstance(x, Decimal):
        return x
    rest, twos = _divide_out(x.denominator, 2)
    rest, fives = _divide_out(rest, 5)
    if rest != 1:
        return x
    places = max(twos, fives)
    return _decimal(x.numerator * 10**places // x.denominator, places)


def round_half_up(x: Exact, exponent: int) -> Decimal:
    """Round to `exponent` decimals, a half away from zero (R17). Never gives −0."""
    if isinstance(x, Decimal):
        rounded = x.quantize(_unit(exponent), context=_ROUNDING)
        return rounded or rounded.copy_abs()
    scaled = abs(x) * Fraction(10) ** exponent
    nearest = floor(scaled + Fraction(1, 2))
    return _decimal(nearest if x > 0 else -nearest, exponent)


def round_up(x: Exact, scale: int) -> Decimal:
    """Round to `scale` decimals, towards plus infinity (the allowance and bounds of R15)."""
    return _decimal(ceil(Fraction(x) * Fraction(10) ** scale), scale)


def split(amount: Decimal, weights: Sequence[Exact], exponent: int) -> list[Decimal]:
    """Share a rounded amount in proportion to weights, by largest remainder.

    The parts have `exponent` decimals and sum to the amount; of equal remainders the first wins.
    A negative amount is shared like its opposite. A zero weight gets nothing.

    :raises NothingToSplitBy: if every weight is zero (or there is none) and the amount is not.
    :raises ValueError: for a negative weight, or an amount with more than `exponent` decimals.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("An amount cannot be shared by negative weights.")
    units = Fraction(amount) * 10**exponent
    if units.denominator != 1:
        raise ValueError(f"{amount} has more than {exponent} decimals: round it before sharing it.")
    total = sum((Fraction(weight) for weight in weights), Fraction(0))
    if not total:
        if amount:
            raise NothingToSplitBy(f"{amount} cannot be shared: every part has the weight zero.")
        return [_decimal(0, exponent) for _ in weights]
    shares = [abs(units) * Fraction(weight) / total for weight in weights]
    sign = -1 if units < 0 else 1
    parts = [_decimal(sign * part, exponent) for part in _largest_remainder(shares, abs(units))]
    assert exact_sum(parts) == amount
    return parts


def share(amount: Decimal, exact: Sequence[Exact], exponent: int) -> list[Decimal]:
    """Round exact parts, of either sign, to `exponent` decimals, so that they sum to an amount.

    By largest remainder: each part is one of the two amounts next to it, and what is round stays; of
    equal remainders the first is rounded up. The amount is less than one unit from the exact sum.
    """
    scaled = [Fraction(part) * 10**exponent for part in exact]
    units = _largest_remainder(scaled, Fraction(amount) * 10**exponent)
    return [_decimal(unit, exponent) for unit in units]


def plain(x: Decimal) -> str:
    """Write without exponent and without trailing zeros: "0.002", "1000", "0"."""
    text = format(x, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def printable(amounts: Sequence[Exact]) -> list[Decimal]:
    """Give exact amounts finite decimals, so that the printed ones add up (R34).

    Amounts that all end come back unchanged. Otherwise the endless ones are cut to 12 decimals
    (or as many as the longest of the others has) by largest remainder, so that all sum to the
    exact total cut towards zero at that place. Cutting keeps a half a half: rounding the printed
    total half up gives the same cent as rounding the exact one.
    """
    simple = [simplify(amount) for amount in amounts]
    ending = [amount for amount in simple if isinstance(amount, Decimal)]
    if len(ending) == len(simple):
        return ending
    places = max([ENDLESS_PLACES, *map(_decimals, ending)])
    scaled = [Fraction(amount) * 10**places for amount in simple]
    total = int(sum(scaled))  # int() cuts towards zero
    units = _largest_remainder(scaled, total)
    return [
        amount if isinstance(amount, Decimal) else _decimal(unit, places)
        for amount, unit in zip(simple, units, strict=True)
    ]


def _largest_remainder(shares: Sequence[Fraction], total: int | Fraction) -> list[int]:
    """Make shares whole so that they sum to a total that is less than one per share away."""
    parts = [floor(share) for share in shares]
    missing = int(total - sum(parts))
    neediest = sorted(range(len(parts)), key=lambda i: parts[i] - shares[i])
    for i in neediest[:missing]:
        parts[i] += 1
    assert sum(parts) == total
    return parts


def _decimal(units: int, places: int) -> Decimal:
    """Give units × 10^−places, with that many decimals whatever the context's precision."""
    return Decimal(f"{units}E{-places}")


def _unit(exponent: int) -> Decimal:
    return _UNITS[exponent] if 0 <= exponent < len(_UNITS) else _decimal(1, exponent)


_UNITS = [_decimal(1, exponent) for exponent in range(5)]


def _decimals(x: Decimal) -> int:
    """Count the decimals written, trailing zeros included."""
    places = x.as_tuple().exponent
    assert isinstance(places, int), "an amount is finite"
    return max(0, -places)


def _divide_out(n: int, prime: int) -> tuple[int, int]:
    """Divide by a prime as often as it goes: what is left, and how often."""
    count = 0
    while n % prime == 0:
        n //= prime
        count += 1
    return n, count
