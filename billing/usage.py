"""What the close reads of metering: snapshots of many periods, one query per metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from metering.querysets import Span, measure

from billing.models import BillingPeriod, UsageSnapshot
from catalog.models import ValueMetric


class Wanted(NamedTuple):
    """A period, the metrics to read for it, and for which of them it takes unnamed events (R6)."""

    period: BillingPeriod
    metrics: Sequence[ValueMetric]
    unnamed: frozenset[int]


def read_snapshots(
    wanted: Sequence[Wanted], *, at: datetime, revision: int = 1
) -> list[dict[int, UsageSnapshot]]:
    """Measure every period's metrics; return unsaved snapshots by metric, in the order asked.

    One query per metric, however many periods.
    """
    found: list[dict[int, UsageSnapshot]] = [{} for _ in wanted]
    places = defaultdict(list)
    metrics = {}
    for place, (_, asked, _) in enumerate(wanted):
        for metric in asked:
            metrics[metric.pk] = metric
            places[metric.pk].append(place)
    for pk, metric in metrics.items():
        spans = [_span(wanted[place], pk) for place in places[pk]]
        for place, measured in zip(places[pk], measure(metric, spans), strict=True):
            found[place][pk] = UsageSnapshot(
                period=wanted[place].period,
                metric=metric,
                revision=revision,
                quantity=measured.quantity,
                events=measured.events,
                last_received_at=measured.last_received_at,
                taken_at=at,
            )
    return found


def _span(wanted: Wanted, metric_id: int) -> Span:
    period = wanted.period
    return Span(
        customer_id=period.subscription.customer_id,
        subscription_id=period.subscription_id,
        start=period.starts_at,
        end=period.ends_at,
        takes_unnamed=metric_id in wanted.unnamed,
    )
