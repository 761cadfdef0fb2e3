"""The single events behind a bar of usage, with what each of them counts: for staff and customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q

from catalog.models import ValueMetric
from customers.models import Customer
from metering import properties
from metering.events import read_time
from metering.models import (
    AdjustmentKind,
    EventAdjustment,
    UsageEvent,
    UsageEventQuerySet,
    UsagePiece,
)
from metering.services.adjustments import effective_adjustments

PER_PAGE = 100
PER_PART = 2000
LATEST = 200


@dataclass(frozen=True)
class Counted:
    """How an event counts: `value` is what the metric takes of it, None if it takes nothing.

    `before` is what it would take without the event's adjustment, and `data` what counts.
    """

    event: UsageEvent
    adjustment: EventAdjustment | None
    data: Any
    value: Any
    before: Any

    @property
    def is_void(self) -> bool:
        return self.adjustment is not None and self.adjustment.kind == AdjustmentKind.VOID


class Page(NamedTuple):
    """Some of the events; `following` is where the next page begins, empty on the last."""

    events: list[Counted]
    following: str


def page_behind(
    *, customer: Customer, metric: ValueMetric, start: datetime, end: datetime, after: str = ""
) -> Page:
    """Return a hundred events that the metric may count in [start, end), in the order they count.

    `after` is where another page said that this one begins; one that nobody said begins at the
    start. Two queries.
    """
    events = _later(_events(customer, metric, start, end), _position(after))
    found = list(events[: PER_PAGE + 1])
    shown = found[:PER_PAGE]
    following = f"{shown[-1].time.isoformat()} {shown[-1].pk}" if len(found) > PER_PAGE else ""
    return Page(_counted(metric, shown), following)


def all_behind(
    *, customer: Customer, metric: ValueMetric, start: datetime, end: datetime
) -> Iterator[Counted]:
    """Yield every event that the metric may count in [start, end), in the order they count."""
    events = _events(customer, metric, start, end)
    part = list(events[:PER_PART])
    while part:
        yield from _counted(metric, part)
        is_last = len(part) < PER_PART
        part = [] if is_last else list(_later(events, (part[-1].time, part[-1].pk))[:PER_PART])


def used_metrics(customer: Customer) -> list[ValueMetric]:
    """Return the metrics that counted something of a customer, by name, retired ones too.

    As usage is summed up; of what isn't yet, as its 200 latest events say. Two queries.
    """
    pieces = UsagePiece.objects.filter(customer=customer, rollup__metric=OuterRef("pk"))
    metrics = ValueMetric.objects.annotate(is_summed_up=Exists(pieces)).order_by("name")
    latest = UsageEvent.objects.filter(customer=customer).order_by("-time")[:LATEST]
    seen = list(latest.values_list("type", "data"))
    return [
        metric
        for metric in metrics
        if metric.is_summed_up
        or any(
            type_ == metric.event_type and counted_value(metric, data) is not None
            for type_, data in seen
        )
    ]


def counted_value(metric: ValueMetric, data: Any) -> Any:
    """Return what a metric takes of an event's data: 1 where it counts events, else its property.

    None where it takes nothing, as of the data of a void event, which has none.
    """
    if not isinstance(data, dict) or not properties.meets(metric.filters, data):
        return None
    return data.get(metric.value_property) if metric.value_property else 1


def _events(
    customer: Customer, metric: ValueMetric, start: datetime, end: datetime
) -> UsageEventQuerySet:
    mine = UsageEvent.objects.filter(customer=customer, type=metric.event_type)
    within = mine.filter(time__gte=start, time__lt=end)
    return within.select_related("subscription").order_by("time", "pk")


def _later(events: UsageEventQuerySet, position: tuple[datetime, int] | None) -> UsageEventQuerySet:
    if position is None:
        return events
    time, pk = position
    return events.filter(Q(time__gt=time) | Q(time=time, pk__gt=pk))


def _position(text: str) -> tuple[datetime, int] | None:
    instant, _, pk = text.rpartition(" ")
    try:
        return read_time(instant.replace(" ", "+")), int(pk)
    except (ValueError, OverflowError):
        return None


def _counted(metric: ValueMetric, events: Sequence[UsageEvent]) -> list[Counted]:
    """Say how each event counts; one query for all."""
    adjustments = effective_adjustments(event.key for event in events)
    counted = []
    for event in events:
        adjustment = adjustments.get(event.key)
        data = event.data if adjustment is None else adjustment.data
        value, before = counted_value(metric, data), counted_value(metric, event.data)
        counted.append(Counted(event, adjustment, data, value, before))
    return counted
