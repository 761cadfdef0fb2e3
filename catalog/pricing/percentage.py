"""A share of every amount moved: card fees, revenue share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from catalog.money import EXACT, ZERO, round_up, times
from catalog.pricing.checks import not_negative
from catalog.pricing.values import DayFraction, Fault, Step, StepKind

_ONE_PERCENT = Decimal("0.01")
_ORDER: tuple[StepKind, ...] = ("free", "percentage", "raised", "cut", "reversal")


@dataclass(slots=True)
class _Row:
    """Events that are charged alike: how many, what they moved, what they cost."""

    events: int = 0
    moved: Decimal = ZERO
    charge: Decimal = ZERO

    def add(self, moved: Decimal, charge: Decimal) -> None:
        self.events += 1
        self.moved = EXACT.add(self.moved, moved)
        self.charge = EXACT.add(self.charge, charge)


@dataclass(frozen=True, slots=True)
class Percentage:
    """Charge each event a rate of its amount plus a fixed fee, within bounds (R13).

    Rate × amount + fixed fee is raised to `minimum`, then cut to `maximum`, which both cover the
    fee. The first `free_events` of a period pay nothing, whatever they moved. A negative amount,
    a reversal, pays rate × amount alone, which gives money back.
    """

    name: ClassVar[str] = "percentage"
    percent_rate: Decimal
    fixed_amount: Decimal = ZERO
    free_events: int = 0
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def charge_each(self, amounts: Iterable[Decimal]) -> list[Step]:
        """Give one step per way of charging that occurred: its events, what they moved and cost."""
        rows: dict[StepKind, _Row] = {}
        for place, amount in enumerate(amounts):
            kind, charge = self._charge(place, amount)
            rows.setdefault(kind, _Row()).add(amount, charge)
        return [self._step(kind, rows[kind]) for kind in _ORDER if kind in rows]

    def in_part(self, part: DayFraction, scale: int) -> Percentage:
        """Scale the free events, rounded up to whole ones; a rate never scales (R15)."""
        return replace(
            self, free_events=int(round_up(times(Decimal(self.free_events), part.value), 0))
        )

    def faults(self) -> Iterator[Fault]:
        yield from not_negative(("percent_rate",), self.percent_rate, "The rate")
        if self.percent_rate.is_finite() and self.percent_rate > 100:
            yield Fault(("percent_rate",), "above_100", "The rate is at most 100 percent.")
        yield from not_negative(("fixed_amount",), self.fixed_amount, "The fixed fee")
        yield from not_negative(("free_events",), Decimal(self.free_events), "The free events")
        found: list[Fault] = []
        if self.minimum is not None:
            found += not_negative(("per_event_minimum",), self.minimum, "The least per event")
        if self.maximum is not None:
            found += not_negative(("per_event_maximum",), self.maximum, "The most per event")
        yield from found
        if found or self.minimum is None or self.maximum is None:
            return
        if self.minimum > self.maximum:
            yield Fault(
                ("per_event_minimum",),
                "minimum_above_maximum",
                "The least per event must not be above the most per event.",
            )

    def _charge(self, place: int, amount: Decimal) -> tuple[StepKind, Decimal]:
        if place < self.free_events:
            return "free", ZERO
        share = EXACT.multiply(amount, self._rate)
        if amount < 0:
            return "reversal", share
        charge = EXACT.add(share, self.fixed_amount)
        kind: StepKind = "percentage"
        if self.minimum is not None and charge < self.minimum:
            kind, charge = "raised", self.minimum
        if self.maximum is not None and charge > self.maximum:
            kind, charge = "cut", self.maximum
        return kind, charge

    @property
    def _rate(self) -> Decimal:
        return EXACT.multiply(self.percent_rate, _ONE_PERCENT)

    def _step(self, kind: StepKind, row: _Row) -> Step:
        """Print what multiplies: rate × moved + fees, or the bound once per event."""
        fees = ZERO
        unit_amount = self._rate if kind in ("percentage", "reversal") else ZERO
        if kind != "free":
            fees = EXACT.subtract(row.charge, EXACT.multiply(row.moved, unit_amount))
        return Step(
            kind,
            row.moved,
            unit_amount,
            fees,
            row.charge,
            events=row.events,
            percent=self.percent_rate if unit_amount or kind == "percentage" else None,
            each=self._each(kind),
        )

    def _each(self, kind: StepKind) -> Decimal | None:
        """What every event of a row pays besides its share."""
        fees = {"percentage": self.fixed_amount, "raised": self.minimum, "cut": self.maximum}
        return fees.get(kind)
