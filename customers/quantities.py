"""How many of a price without a metric, such as seats, count on which day of a period (R13) [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

UNSTATED = Decimal(1)


class Level(NamedTuple):
    """So many from `start` to before `end`."""

    start: date
    end: date
    quantity: Decimal


def quantity_on(day: date, changes: Sequence[tuple[date, Decimal]]) -> Decimal:
    """Return the quantity stated last on or before a day; 1 if none was."""
    stated = [(start, quantity) for start, quantity in changes if start <= day]
    return max(stated)[1] if stated else UNSTATED


def counted_on(day: date, boundary: date, changes: Sequence[tuple[date, Decimal]]) -> Decimal:
    """Return the quantity that counts on a day of the period that began at a boundary before it.

    A decrease since the boundary does not count yet, though the plan changed after it.
    """
    if day == boundary:
        return quantity_on(day, changes)
    return levels(boundary, day + timedelta(days=1), changes)[-1].quantity


def levels(
    start: date,
    end: date,
    changes: Sequence[tuple[date, Decimal]],
    *,
    boundary: date | None = None,
) -> list[Level]:
    """Return the quantities that count from `start` to before `end`, in order, without a gap.

    An increase counts from its day; a decrease waits for the next boundary, so within a period
    quantities only rise. `boundary` is where the period began of which this is a later part; None: at
    `start`.
    """
    quantity = counted_on(start, boundary or start, changes)
    found = [Level(start, end, quantity)]
    for day, changed in sorted(changes):
        if start < day < end and changed > found[-1].quantity:
            found[-1] = found[-1]._replace(end=day)
            found.append(Level(day, end, changed))
    return found
