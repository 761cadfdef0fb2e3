"""The ladder of tiers that `graduated` and `volume` climb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from catalog.money import ZERO, Exact, round_up, times
from catalog.pricing.checks import not_negative, positive
from catalog.pricing.values import DayFraction, Fault


class Tier(NamedTuple):
    """Units above the previous tier's bound, up to and including `up_to` (R12).

    The last tier is open: its `up_to` is None.
    """

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Exact = ZERO

    def in_part(self, part: DayFraction, scale: int) -> Tier:
        """Scale the bound, rounded up, and the flat fee, but not the unit price (R15)."""
        up_to = None if self.up_to is None else round_up(times(self.up_to, part.value), scale)
        return Tier(up_to, self.unit_amount, times(self.flat_amount, part.value))


def tier_faults(tiers: Sequence[Tier]) -> Iterator[Fault]:
    """Find everything that keeps tiers from being a ladder: rising, with one open end."""
    if not tiers:
        yield Fault(("tiers",), "no_tiers", "Add at least one tier.")
    for i, tier in enumerate(tiers):
        yield from not_negative(("tiers", i, "unit_amount"), tier.unit_amount, "The unit price")
        yield from not_negative(("tiers", i, "flat_amount"), tier.flat_amount, "The flat fee")
    yield from _bound_faults([tier.up_to for tier in tiers])


def _bound_faults(bounds: Sequence[Decimal | None]) -> Iterator[Fault]:
    previous = ZERO
    for i, bound in enumerate(bounds):
        path = ("tiers", i, "up_to")
        is_last = i == len(bounds) - 1
        if bound is None:
            if not is_last:
                yield Fault(path, "open_tier_not_last", "Only the last tier can be without an end.")
            continue
        wrong = list(positive(path, bound, "The end of a tier"))
        yield from wrong
        if not wrong and bound <= previous:
            yield Fault(path, "not_rising", "A tier must end above the one before it.")
        if not wrong:
            previous = max(previous, bound)
        if is_last:
            yield Fault(
                path,
                "last_tier_closed",
                "Leave the end of the last tier empty: it holds all further units.",
            )
