"""Whether what is summed up equals the events: for the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from catalog.models import ValueMetric
from metering.definitions import definition_of
from metering.models import ArchivedMonth, Rollup, UsageEvent, UsagePiece
from metering.querysets import SPANS_PER_QUERY, Measured, Span, Target, measure
from metering.services.rollups.rebuilding import EVER, within_reach


class Difference(NamedTuple):
    """A customer's stretch of time that a metric's rollup tells differently from its events.

    Quantities are aggregates; `expected` is that of the events.
    """

    metric: str
    customer_id: int
    start: datetime
    end: datetime
    expected: Measured
    actual: Measured

    @property
    def difference(self) -> Decimal:
        return self.actual.quantity - self.expected.quantity


def differences() -> Iterator[Difference]:
    """Yield where rollups that are ready differ from events: every day, and every customer's whole.

    Run it in one snapshot: events that arrive in between would look like differences. Two
    statements per thousand customer-days; empty when all is right. What needs archived events is
    left out: days of their months and, of a level that carries over, all days after the first.
    """
    for rollup in Rollup.objects.exclude(ready_at=None).select_related("metric").order_by("pk"):
        metric = rollup.metric
        if definition_of(metric).digest != rollup.digest:
            continue  # measured from events until it is built anew
        spans = _spans(rollup)
        while chunk := list(islice(spans, SPANS_PER_QUERY)):
            yield from _compared(metric, chunk)


def _spans(rollup: Rollup) -> Iterator[Span]:
    pieces = UsagePiece.objects.filter(rollup=rollup)
    gone = ArchivedMonth.objects.order_by("month").first()
    if gone and rollup.metric.carry_over:  # whatever comes later begins with what is archived
        pieces = pieces.filter(ends_at__lte=gone.start)
    days = pieces.values_list("customer_id", "starts_at", "ends_at")
    found = days.order_by("customer_id", "starts_at").distinct().iterator()
    while chunk := [Target(pk, "", start, end) for pk, start, end in islice(found, 1000)]:
        for day in within_reach(chunk):
            yield Span(day.customer_id, None, day.start, day.end)
    if gone:
        return  # no customer's whole is in the database any more
    customers = UsageEvent.objects.filter(type=rollup.event_type).order_by("customer_id")
    for customer_id in customers.values_list("customer_id", flat=True).distinct().iterator():
        yield Span(customer_id, None, *EVER)


def _compared(metric: ValueMetric, spans: list[Span]) -> Iterator[Difference]:
    expected = measure(metric, spans, from_events=True)
    actual = measure(metric, spans)
    for span, right, told in zip(spans, expected, actual, strict=True):
        if right != told:
            yield Difference(metric.key, span.customer_id, span.start, span.end, right, told)
