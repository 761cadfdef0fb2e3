"""A unit price per combination of dimension values: regions, sizes, models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from catalog.money import EXACT, ZERO, plain
from catalog.pricing.checks import not_negative
from catalog.pricing.usage import Cell
from catalog.pricing.values import DayFraction, Fault, Step


class Row(NamedTuple):
    """The price of units whose dimensions have these values; others may have any."""

    match: Mapping[str, str]
    unit_amount: Decimal

    def covers(self, values: Mapping[str, Any]) -> bool:
        return all(_text(values.get(name)) == value for name, value in self.match.items())


@dataclass(frozen=True, slots=True)
class Matrix:
    """Price each unit by the first row that covers it, else by the default (R13)."""

    name: ClassVar[str] = "matrix"
    dimensions: tuple[str, ...]
    rows: tuple[Row, ...]
    unit_amount: Decimal

    def charge_cells(self, cells: Sequence[Cell], included: Decimal) -> list[Step]:
        """Give one step per row that has units beyond the allowance, in the order of the rows.

        The allowance covers units in that order, too; units of the default come last. A cell with
        less than nothing counts 0.
        """
        steps = []
        left = included
        units = self._units_by_row(cells)
        for place, row in enumerate([*self.rows, Row({}, self.unit_amount)]):
            within = min(left, units[place])
            left = EXACT.subtract(left, within)
            beyond = EXACT.subtract(units[place], within)
            if beyond:
                amount = EXACT.multiply(beyond, row.unit_amount)
                match = tuple(row.match.items())
                steps.append(Step("cell", beyond, row.unit_amount, ZERO, amount, match=match))
        return steps

    def in_part(self, part: DayFraction, scale: int) -> Matrix:
        return self

    def faults(self) -> Iterator[Fault]:
        yield from not_negative(("unit_amount",), self.unit_amount, "The default price")
        if not self.dimensions:
            yield Fault(("dimensions",), "required", "A matrix price needs a dimension.")
        if not self.rows:
            yield Fault(("rows",), "required", "A matrix price needs at least one row.")
        for i, row in enumerate(self.rows):
            yield from not_negative(("rows", i, "unit_amount"), row.unit_amount, "The unit price")
            yield from self._match_faults(i, row)

    def _match_faults(self, i: int, row: Row) -> Iterator[Fault]:
        path = ("rows", i, "match")
        if not row.match:
            message = "Say which values the row is for; the default price takes all others."
            yield Fault(path, "required", message)
        for name in row.match:
            if name not in self.dimensions:
                message = f"“{name}” is not one of the price's dimensions."
                yield Fault((*path, name), "unknown_dimension", message)
        for j, earlier in enumerate(self.rows[:i], start=1):
            if row.match and earlier.match and earlier.covers(row.match):
                message = f"Row {j} takes all that this row is for: put this one above it."
                yield Fault(path, "never_reached", message)
                return

    def _units_by_row(self, cells: Sequence[Cell]) -> list[Decimal]:
        units = [ZERO] * (len(self.rows) + 1)
        for values, quantity in cells:
            if quantity > 0:
                place = self._place(values)
                units[place] = EXACT.add(units[place], quantity)
        return units

    def _place(self, values: Mapping[str, Any]) -> int:
        for place, row in enumerate(self.rows):
            if row.covers(values):
                return place
        return len(self.rows)


def _text(value: Any) -> str | None:
    """Write a value of a dimension as a price names it: 1 and 1.0 are "1", true is "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return plain(Decimal(value))
    return value if isinstance(value, str) else None
