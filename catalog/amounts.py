"""What is wrong with an amount in a currency."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from catalog import money
from catalog.money import plain
from config.base.errors import Fault


def amount_errors(name: str, amount: Decimal, currency: str) -> Iterator[Fault]:
    """Find an unknown currency, and more decimals than it has in the amount of this name."""
    if currency not in money.CURRENCIES:
        yield Fault(("currency",), "unknown_currency", "Choose the amount’s currency, such as EUR.")
        return
    places = money.exponent(currency)
    if money.round_half_up(amount, places) != amount:
        message = f"{currency} has {places} decimals; {plain(amount)} has more."
        yield Fault((name,), "too_precise", message)


def amount_in_words(amount: Decimal, currency: str) -> str:
    """Write an amount with its currency's decimals: “1,200.00 EUR”."""
    return f"{money.round_half_up(amount, money.exponent(currency)):,f} {currency}"
