"""What the close reads of metering: snapshots of many periods, one query per metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from billing.models import BillingPeriod, UsageSnapshot
from catalog.models import ValueMetric
from catalog.money import exact_sum, plain
from metering.properties import canonical
from metering.querysets import Group, Measured, Span, amounts, measure_by, so_far

Stretch = tuple[datetime, datetime]


class Reading(NamedTuple):
    """A metric to read: by which dimensions, whether event by event, and since when.

    Without a `since`, from the start of the period.
    """

    metric: ValueMetric
    by: tuple[str, ...] = ()
    each: bool = False
    since: datetime | None = None


class Wanted(NamedTuple):
    """A period, what to read for it, and when unnamed events of each metric count elsewhere (R6)."""

    period: BillingPeriod
    readings: Sequence[Reading]
    elsewhere: Mapping[int, tuple[Stretch, ...]]

    @property
    def metrics(self) -> list[ValueMetric]:
        return [reading.metric for reading in self.readings]


def latest_snapshots(
    periods: Iterable[BillingPeriod],
) -> dict[tuple[int, int], UsageSnapshot]:
    """Return the newest revision of these periods' snapshots, by period and metric."""
    saved = [period.pk for period in periods if period.pk]
    snapshots = UsageSnapshot.objects.filter(period__in=saved).order_by("revision")
    return {(snapshot.period_id, snapshot.metric_id): snapshot for snapshot in snapshots}


def read_snapshots(wanted: Sequence[Wanted], *, at: datetime) -> list[dict[int, UsageSnapshot]]:
    """Measure every period's metrics; return unsaved snapshots by metric, in the order asked.

    Each is the next revision of its period and metric. Of a period that still runs, level × time
    counts up to `at`. One query per metric, however many periods.
    """
    latest = latest_snapshots(period for period, _, _ in wanted)
    found: list[dict[int, UsageSnapshot]] = [{} for _ in wanted]
    places: dict[tuple[int, tuple[str, ...], bool], list[int]] = defaultdict(list)
    readings = {}
    for place, (_, asked, _) in enumerate(wanted):
        for reading in asked:
            key = (reading.metric.pk, reading.by, reading.each)
            readings[key] = reading
            places[key].append(place)
    for key, (metric, by, each, _) in readings.items():
        spans = [so_far(metric, span_of(wanted[one], metric.pk), at=at) for one in places[key]]
        moved = amounts(metric, spans, by) if each else [()] * len(spans)
        measured = measure_by(metric, spans, by)
        for place, groups, single in zip(places[key], measured, moved, strict=True):
            period = wanted[place].period
            before = latest.get((period.pk, metric.pk))
            snapshot = _snapshot(by, groups)
            snapshot.period, snapshot.metric, snapshot.taken_at = period, metric, at
            snapshot.revision = before.revision + 1 if before else 1
            snapshot.moved = single
            found[place][metric.pk] = snapshot
    return found


def same_usage(one: UsageSnapshot, other: UsageSnapshot) -> bool:
    """Say whether two readings found the same."""
    figures = [
        (found.quantity, found.events, canonical(found.cells)) for found in (one, other)
    ]  # as text, since to Python true is 1
    return figures[0] == figures[1]


def _snapshot(by: Sequence[str], groups: Mapping[Group, Measured]) -> UsageSnapshot:
    """Return what was measured as a snapshot that does not know yet of what."""
    seen = [found.last_received_at for found in groups.values() if found.last_received_at]
    return UsageSnapshot(
        quantity=exact_sum(found.quantity for found in groups.values()),
        events=sum(found.events for found in groups.values()),
        last_received_at=max(seen, default=None),
        cells=_cells(by, groups) if by else None,
    )


def _cells(by: Sequence[str], groups: Mapping[Group, Measured]) -> list[dict[str, Any]]:
    return [
        {
            "values": dict(zip(by, group, strict=True)),
            "quantity": plain(groups[group].quantity),
            "events": groups[group].events,
        }
        for group in sorted(groups, key=repr)
    ]


def span_of(wanted: Wanted, metric_id: int) -> Span:
    """Return what of a metric counts for a period."""
    period = wanted.period
    since = [one.since for one in wanted.readings if one.metric.pk == metric_id and one.since]
    return Span(
        customer_id=period.subscription.customer_id,
        subscription_id=period.subscription_id,
        start=since[0] if since else period.starts_at,
        end=period.ends_at,
        elsewhere=wanted.elsewhere.get(metric_id, ()),
    )
