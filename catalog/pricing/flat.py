"""A fixed amount, whatever was used: a base fee."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from catalog.money import EXACT, ZERO
from catalog.pricing.checks import not_negative
from catalog.pricing.values import DayFraction, Fault, Step


@dataclass(frozen=True, slots=True)
class Flat:
    """Charge the amount once for each one subscribed (R13); the quantity is usually 1."""

    name: ClassVar[str] = "flat"
    unit_amount: Decimal

    def charge(self, units: Decimal) -> list[Step]:
        if not units:
            return []
        amount = EXACT.multiply(units, self.unit_amount)
        return [Step("flat", units, self.unit_amount, ZERO, amount)]

    def in_part(self, part: DayFraction, scale: int) -> Flat:
        return self

    def faults(self) -> Iterator[Fault]:
        return not_negative(("unit_amount",), self.unit_amount, "The amount")
