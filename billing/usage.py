"""What the close reads of metering: snapshots of many periods, one query per metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from billing.models import BillingPeriod, UsageSnapshot
from catalog.models import ValueMetric
from metering.querysets import Span, measure, so_far

Stretch = tuple[datetime, datetime]


class Wanted(NamedTuple):
    """A period, the metrics to read for it, and when unnamed events of each count elsewhere (R6)."""

    period: BillingPeriod
    metrics: Sequence[ValueMetric]
    elsewhere: Mapping[int, tuple[Stretch, ...]]


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
    places = defaultdict(list)
    metrics = {}
    for place, (_, asked, _) in enumerate(wanted):
        for metric in asked:
            metrics[metric.pk] = metric
            places[metric.pk].append(place)
    for pk, metric in metrics.items():
        spans = [so_far(metric, span_of(wanted[place], pk), at=at) for place in places[pk]]
        for place, measured in zip(places[pk], measure(metric, spans), strict=True):
            period = wanted[place].period
            before = latest.get((period.pk, pk))
            found[place][pk] = UsageSnapshot(
                period=period,
                metric=metric,
                revision=before.revision + 1 if before else 1,
                quantity=measured.quantity,
                events=measured.events,
                last_received_at=measured.last_received_at,
                taken_at=at,
            )
    return found


def span_of(wanted: Wanted, metric_id: int) -> Span:
    """Return what of a metric counts for a period."""
    period = wanted.period
    return Span(
        customer_id=period.subscription.customer_id,
        subscription_id=period.subscription_id,
        start=period.starts_at,
        end=period.ends_at,
        elsewhere=wanted.elsewhere.get(metric_id, ()),
    )
