"""What customers usually use of a metric, for whoever sets its price."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import or_
from statistics import median_high
from typing import Any

from django.db.models import F, Q, QuerySet

from billing.models import UsageSnapshot, time_of
from catalog import money
from catalog.models import Aggregation
from catalog.quotes import Typical, What
from metering.querysets import billable

LATEST = 500
"""So many snapshots of a metric, the newest ones, are looked at."""


def typical_usage(metric_ids: Collection[int]) -> Mapping[int, Typical]:
    """Return the median of what subscriptions last used in a whole closed period, in one query.

    Periods without usage, trials and parts of a period don't count: they are not typical.
    """
    found: dict[tuple[int, int], UsageSnapshot] = {}
    newest_first = _newest(metric_ids).select_related("period", "metric").order_by("-pk")
    for snapshot in newest_first:
        if snapshot.quantity > 0:
            found.setdefault((snapshot.metric_id, snapshot.period.subscription_id), snapshot)
    by_metric: dict[int, list[UsageSnapshot]] = {}
    for (metric_id, _), snapshot in found.items():
        by_metric.setdefault(metric_id, []).append(snapshot)
    return {metric_id: _typical(snapshots) for metric_id, snapshots in by_metric.items()}


def _newest(metric_ids: Collection[int]) -> QuerySet[UsageSnapshot, Any]:
    whole = UsageSnapshot.objects.filter(
        period__is_trial=False,
        period__start_date=F("period__nominal_start_date"),
        period__end_date=F("period__nominal_end_date"),
    )
    newest = (
        Q(pk__in=whole.filter(metric=pk).order_by("-pk").values("pk")[:LATEST]) for pk in metric_ids
    )
    return UsageSnapshot.objects.filter(reduce(or_, newest))


def _typical(snapshots: Collection[UsageSnapshot]) -> Typical:
    quantities = [
        billable(one.metric, one.quantity, nominal=time_of(one.metric, one.period))
        for one in snapshots
    ]
    answers: dict[What, Decimal] = {"quantity": median_high(quantities)}
    events = median_high([one.events for one in snapshots])
    [aggregation] = {one.metric.aggregation for one in snapshots}
    if aggregation == Aggregation.SUM and events:
        sizes = [Fraction(one.quantity) / one.events for one in snapshots if one.events]
        each = money.round_half_up(median_high(sizes), 2)
        answers |= {"events": Decimal(events), "each": each}
    return Typical(answers, len(snapshots))
