"""Events for tests: named people who use things, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from time import sleep
from typing import Any

from catalog.models import ValueMetric
from customers.models import Customer, Subscription
from metering import properties
from metering.events import Event, read_event
from metering.querysets import Measured, Span, measure
from metering.services import Report, ingest
from metering.services.rollups import build_rollups

NOV = datetime(2026, 11, 1, tzinfo=UTC)
DEC = datetime(2026, 12, 1, tzinfo=UTC)
NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
D = Decimal

_number = count(1)


def body(**attributes: Any) -> dict[str, Any]:
    """A call by acme at noon on 1 November, unless told otherwise; None leaves an attribute out."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"evt-{next(_number)}",
        "source": "gateway",
        "type": "api.call",
        "subject": "acme",
        "time": "2026-11-01T12:00:00Z",
        "data": {"calls": 1},
    }
    event.update(attributes)
    return {name: value for name, value in event.items() if value is not None}


def event(**attributes: Any) -> Event:
    return sent(body(**attributes))


def sent(event: dict[str, Any]) -> Event:
    """Return the event as it arrives when it is sent as JSON."""
    return read_event(properties.read(properties.canonical(event)))


def send(*events: dict[str, Any], at: datetime = NOW) -> Report:
    return ingest([sent(event) for event in events], received_at=at)


def build() -> None:
    """Have every metric's rollup ready; transactions of others may delay it."""
    for _ in range(600):
        if not build_rollups(at=NOW):
            return
        sleep(0.05)
    raise AssertionError("Somebody keeps a transaction open.")


ALWAYS = ((datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)),)


def used(
    metric: ValueMetric,
    customer: Customer,
    *,
    subscription: Subscription | None = None,
    start: datetime = NOV,
    end: datetime = DEC,
    takes_unnamed: bool = True,
) -> Measured:
    elsewhere = () if takes_unnamed else ALWAYS
    span = Span(customer.pk, subscription.pk if subscription else None, start, end, elsewhere)
    return measure(metric, [span])[0]
