"""All units at the price of the tier that holds their total."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from catalog.money import EXACT, ZERO, plus
from catalog.pricing.tiers import Tier, tier_faults
from catalog.pricing.values import DayFraction, Fault, Step


@dataclass(frozen=True, slots=True)
class Volume:
    """Let the total choose one tier, for all units (R12, R13)."""

    name: ClassVar[str] = "volume"
    tiers: tuple[Tier, ...]

    def charge(self, units: Decimal) -> list[Step]:
        """Give one step, with the chosen tier's flat fee (R14); none for no units."""
        if not units:
            return []
        lower = ZERO
        for tier in self.tiers:
            if tier.up_to is None or units <= tier.up_to:
                break
            lower = tier.up_to
        up_to, unit_amount, flat_amount = tier
        amount = plus(EXACT.multiply(units, unit_amount), flat_amount)
        return [Step("volume", units, unit_amount, flat_amount, amount, lower, up_to)]

    def in_part(self, part: DayFraction, scale: int) -> Volume:
        return Volume(tuple(tier.in_part(part, scale) for tier in self.tiers))

    def faults(self) -> Iterator[Fault]:
        return tier_faults(self.tiers)
