"""What is asked about usage, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from config.base.errors import Refusal
from metering.properties import canonical


class MonthArchived(Refusal):
    """What was asked needs the events of a month that is archived."""

    code = "month_archived"

    def __init__(self, months: Sequence[str]) -> None:
        super().__init__(
            f"The events of {', '.join(months)} are archived. Restore them first: "
            f"manage.py restore_events {months[0]}"
        )


@dataclass(frozen=True)
class Span:
    """Whose usage counts, from `start` until just before `end`, both in UTC (R1, R6).

    An event that names a subscription counts for that one only. One that names none counts here
    except in the stretches `elsewhere`, half-open, in which another subscription takes it. Without
    a subscription, all of the customer's events count, whichever they name.
    """

    customer_id: int
    subscription_id: int | None
    start: datetime
    end: datetime
    elsewhere: tuple[tuple[datetime, datetime], ...] = ()


class Measured(NamedTuple):
    """What a span amounts to: the exact aggregate, before divisor and rounding (R10).

    Level × time is in units × microseconds; `billable` divides. `events` and `last_received_at`
    are of the events in the span that have a value.
    """

    quantity: Decimal = Decimal(0)
    events: int = 0
    last_received_at: datetime | None = None


NOTHING = Measured()


class Group(tuple[Any, ...]):
    """The values of the dimensions that usage is told apart by, in their order.

    Equal where they are in JSON: 1 is 1.0, but neither true nor "1". To Python, 1 is true. A
    sender may also have put a list or an object where a single value is meant.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple) or not tuple.__eq__(self, other):
            return False
        return [_told_apart(value) for value in self] == [_told_apart(value) for value in other]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        try:
            return tuple.__hash__(self)
        except TypeError:
            return hash(canonical(list(self)))


def _told_apart(value: object) -> bool | str:
    """Return what differs between values that Python alone takes for equal."""
    if isinstance(value, list | dict):
        return canonical(value)
    return value is True or value is False


class Target(NamedTuple):
    """A stretch [start, end) of a customer whose usage is summed up anew, by days of a zone."""

    customer_id: int
    time_zone: str
    start: datetime
    end: datetime
