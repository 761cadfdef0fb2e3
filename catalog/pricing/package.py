"""Started packages of so many units each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import ClassVar

from catalog.money import EXACT, ZERO
from catalog.pricing.checks import not_negative, positive
from catalog.pricing.values import DayFraction, Fault, Step


@dataclass(frozen=True, slots=True)
class Package:
    """Charge each started package; no units, no package (R13). Packages never scale (R15)."""

    name: ClassVar[str] = "package"
    unit_amount: Decimal
    size: Decimal

    def charge(self, units: Decimal) -> list[Step]:
        if not units:
            return []
        full, rest = EXACT.divmod(units, self.size)
        packages = int(full) + (1 if rest else 0)
        amount = EXACT.multiply(packages, self.unit_amount)
        return [
            Step(
                "package",
                units,
                self.unit_amount,
                ZERO,
                amount,
                packages=packages,
                package_size=self.size,
            )
        ]

    def in_part(self, part: DayFraction, scale: int) -> Package:
        return self

    def faults(self) -> Iterator[Fault]:
        return chain(
            not_negative(("unit_amount",), self.unit_amount, "The price of a package"),
            positive(("package_size",), self.size, "The size of a package"),
        )
