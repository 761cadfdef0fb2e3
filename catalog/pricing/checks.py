"""Checks on single numbers that several price models share."""

from collections.abc import Iterator
from decimal import Decimal

from catalog.money import Exact
from catalog.pricing.values import Fault

Path = tuple[str | int, ...]


def not_negative(path: Path, number: Exact, name: str) -> Iterator[Fault]:
    """Find fault with a number below 0, or none at all (NaN, infinity)."""
    if not _is_finite(number):
        yield Fault(path, "not_a_number", f"{name} must be a number.")
    elif number < 0:
        yield Fault(path, "negative", f"{name} must not be negative.")


def positive(path: Path, number: Exact, name: str) -> Iterator[Fault]:
    """Find fault with a number that is 0, below, or none at all."""
    if not _is_finite(number):
        yield Fault(path, "not_a_number", f"{name} must be a number.")
    elif number <= 0:
        yield Fault(path, "not_positive", f"{name} must be greater than zero.")


def _is_finite(number: Exact) -> bool:
    return not isinstance(number, Decimal) or number.is_finite()
