"""What was used, as a price model reads it: one quantity, single amounts, or cells of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class Payments:
    """Single amounts of money in the order in which they were moved; a reversal is negative.

    Read once, so a stream serves as well as a list.
    """

    amounts: Iterable[Decimal]


class Cell(NamedTuple):
    """The quantity under one combination of dimension values; a missing value is None."""

    values: Mapping[str, Any]
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Cells:
    """A quantity, broken down by dimension values."""

    cells: Sequence[Cell]


Usage: TypeAlias = Decimal | Payments | Cells
