"""Each unit at the price of the tier it falls in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from catalog.money import EXACT, ZERO, plus
from catalog.pricing.tiers import Tier, tier_faults
from catalog.pricing.values import DayFraction, Fault, Step


@dataclass(frozen=True, slots=True)
class Graduated:
    """Climb the tiers, filling each before the next (R12, R13)."""

    name: ClassVar[str] = "graduated"
    tiers: tuple[Tier, ...]

    def charge(self, units: Decimal) -> list[Step]:
        """Give one step per tier reached, in tier order.

        A tier's flat fee is due as soon as the units exceed its lower bound (R14). In a partial
        period rounding may leave a tier no room: then its fee stands alone, with quantity 0.
        """
        steps = []
        lower = ZERO
        for up_to, unit_amount, flat_amount in self.tiers:
            if units <= lower:
                break
            upper = units if up_to is None or units < up_to else up_to
            inside = EXACT.subtract(upper, lower)
            if inside or flat_amount:
                amount = plus(EXACT.multiply(inside, unit_amount), flat_amount)
                steps.append(Step("tier", inside, unit_amount, flat_amount, amount, lower, up_to))
            lower = upper
        return steps

    def in_part(self, part: DayFraction, scale: int) -> Graduated:
        return Graduated(tuple(tier.in_part(part, scale) for tier in self.tiers))

    def faults(self) -> Iterator[Fault]:
        return tier_faults(self.tiers)
