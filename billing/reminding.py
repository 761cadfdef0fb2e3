"""When an invoice is due for which reminder: counted in days past its due date, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

Days = Sequence[int | None]
"""Days past due of levels 1, 2 and 3; None: that level is off."""


class Next(NamedTuple):
    """The level that comes next, and the first day on which it is due."""

    level: int
    on: date


class Reminded(NamedTuple):
    """The highest level an invoice was reminded at, and when."""

    level: int
    on: date


def next_level(days: Days, *, due_date: date, last: Reminded | None) -> Next | None:
    """Return the level that follows `last`, or the first; None after the last one that is on.

    A level is due so many days after the due date, yet never sooner after the one before than their
    days lie apart: whoever is long overdue when reminders begin is still asked kindly first.
    """
    for level, past in enumerate(days, start=1):
        if past is None or (last and level <= last.level):
            continue
        first = due_date + timedelta(days=past)
        if last:
            before = days[last.level - 1]
            apart = past - before if before is not None else past
            first = max(first, last.on + timedelta(days=max(1, apart)))
        return Next(level, first)
    return None
