"""Whether what is summed up equals the events: for the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from catalog.models import ValueMetric
from metering.definitions import Definition, definition_from, definition_of
from metering.models import ArchivedMonth, Rollup, UsageEvent, UsagePiece
from metering.querysets import NOTHING, Group, Measured, Span, Target, measure_by
from metering.services.rollups.rebuilding import EVER, within_reach

SPANS_AT_ONCE = 100
"""How many stretches are compared in one statement, each by all that is kept apart in it."""


class Difference(NamedTuple):
    """A stretch of time of a customer that a metric's rollup tells differently from its events.

    What differs is of events that name this subscription, or of all, and of these values of what
    the rollup keeps apart, in the order of the definition's `key_names`. Quantities are aggregates;
    `expected` is that of the events.
    """

    metric: str
    customer_id: int
    subscription_id: int | None
    values: Group
    start: datetime
    end: datetime
    expected: Measured
    actual: Measured

    @property
    def difference(self) -> Decimal:
        return self.actual.quantity - self.expected.quantity


def differences() -> Iterator[Difference]:
    """Yield where rollups that are ready differ from events, subscription by subscription and by
    all that they keep apart: every day, and every customer's whole.

    Run it in one snapshot: events that arrive in between would look like differences. Two
    statements per hundred customer-days; empty when all is right. What needs archived events is
    left out: days of their months and, of a level that carries over, all days after the first.
    """
    for rollup in Rollup.objects.exclude(ready_at=None).select_related("metric").order_by("pk"):
        metric = rollup.metric
        if definition_of(metric).digest != rollup.digest:
            continue  # measured from events until it is built anew
        spans = _spans(rollup)
        while chunk := list(islice(spans, SPANS_AT_ONCE)):
            yield from _compared(metric, chunk)


def changed_definitions() -> Iterator[tuple[Rollup, Definition]]:
    """Yield the rollups that are not summed up as they say, each with the definition it should have.

    That of its metric, if the rollup claims to be of it, or else that which is written in it.
    """
    for rollup in Rollup.objects.select_related("metric").order_by("pk"):
        right = definition_of(rollup.metric)
        if rollup.digest != right.digest:
            right = definition_from(rollup.definition)
        said = (rollup.definition, rollup.digest, rollup.event_type)
        if said != (right.text, right.digest, right.event_type):
            yield rollup, right


def _spans(rollup: Rollup) -> Iterator[Span]:
    months = list(ArchivedMonth.objects.order_by("month"))
    pieces = UsagePiece.objects.filter(rollup=rollup)
    if months and rollup.metric.carry_over:  # whatever comes later begins with what is archived
        pieces = pieces.filter(ends_at__lte=months[0].start)
    days = pieces.values_list("customer_id", "subscription_id", "starts_at", "ends_at")
    found = days.order_by("customer_id", "starts_at", "subscription_id").distinct().iterator()
    while chunk := list(islice(found, 1000)):
        reachable = set(within_reach([Target(pk, "", *day) for pk, _, *day in chunk]))
        for customer_id, subscription_id, start, end in chunk:
            if Target(customer_id, "", start, end) in reachable:
                yield _span(customer_id, subscription_id, start, end)
    stretches = _wholes(months)[: 1 if rollup.metric.carry_over else None]
    events = UsageEvent.objects.filter(type=rollup.event_type).order_by("customer_id")
    whose = events.values_list("customer_id", "subscription_id").distinct()
    seen = None
    for customer_id, subscription_id in whose.iterator():
        if customer_id != seen:
            seen = customer_id
            yield from (_span(customer_id, None, *stretch) for stretch in stretches)
        if subscription_id is not None:
            yield from (_span(customer_id, subscription_id, *stretch) for stretch in stretches)


def _span(customer_id: int, subscription_id: int | None, start: datetime, end: datetime) -> Span:
    """Return what names this subscription, or without one whatever there is."""
    elsewhere = () if subscription_id is None else (EVER,)
    return Span(customer_id, subscription_id, start, end, elsewhere)


def _wholes(archived: list[ArchivedMonth]) -> list[tuple[datetime, datetime]]:
    """Return all of time, in as many stretches as archived months leave of it."""
    begins = [EVER[0], *(month.end for month in archived)]
    ends = [*(month.start for month in archived), EVER[1]]
    return [(start, end) for start, end in zip(begins, ends, strict=True) if start < end]


def _compared(metric: ValueMetric, spans: list[Span]) -> Iterator[Difference]:
    names = definition_of(metric).key_names
    expected = measure_by(metric, spans, names, from_events=True)
    actual = measure_by(metric, spans, names)
    for span, right, told in zip(spans, expected, actual, strict=True):
        for values in dict.fromkeys((*right, *told)):
            one, other = right.get(values, NOTHING), told.get(values, NOTHING)
            if one != other:
                yield Difference(
                    metric.key, span.customer_id, span.subscription_id, values,
                    span.start, span.end, one, other,
                )  # fmt: skip
