"""Which closed periods to measure again: told by what arrived, without measuring."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q

from billing.chunk import Chunk
from billing.late_usage.settled import drawn_by, metered
from billing.models import OUTSTANDING, LateUsage, LineKind, PeriodStatus
from billing.models.invoices import UNISSUED
from metering.querysets import Watch, changed

COMMITS_WITHIN = timedelta(hours=1)
"""How long after its arrival, by another computer's clock, usage may become visible: no transaction
that stores some lasts nearly as long, and no two clocks are so far apart."""

Key = tuple[int, int]
"""A period and a metric."""


def candidates(
    chunk: Chunk, *, since: datetime | None, replaced: Iterable[int]
) -> tuple[set[Key], set[Key]]:
    """Return of what something may be late, and of what something waits already.

    Of periods that were closed `since` a time (None: ever), and those of which something waits or
    stood on an invoice that is `replaced`; of those whose plan was changed since, all. Four queries,
    however many subscriptions.
    """
    outstanding = LateUsage.objects.filter(
        period__subscription__in=chunk.subscriptions, status__in=OUTSTANDING
    )
    waiting = set(outstanding.values_list("period_id", "price__metric_id"))
    sought = waiting | set(drawn_by(replaced).values_list("period_id", "price__metric_id"))
    found: set[Key] = set()
    watched: list[Key] = []
    watches: list[Watch] = []
    recast = {period.pk: chunk.offer(period).metrics for period in chunk.recast}
    found |= {(pk, metric.pk) for pk, metrics in recast.items() for metric in metrics}
    for row in _billed(chunk, since=since, sought=sought, replaced=replaced):
        period, metric_id, subscription, version, starts_at, ends_at, read, usage, late, drafts = (
            row
        )
        key = (period, metric_id)
        if usage is None or drafts:
            continue  # nothing is billed, or not for good: it is recalculated
        if (
            key in sought or period in recast or (late is not None and usage > late)
        ):  # it was closed anew since
            found.add(key)
            continue
        metric, looks_back = chunk.reach(version, metric_id)
        customer = chunk.subscriptions[subscription].customer_id
        start = None if looks_back else starts_at
        watched.append(key)
        watches.append(Watch(metric, customer, start, ends_at, read - COMMITS_WITHIN))
    return found | {watched[place] for place in changed(watches)}, waiting


def _billed(
    chunk: Chunk, *, since: datetime | None, sought: Iterable[Key], replaced: Iterable[int]
) -> Any:
    """Return, by period and metric, when what is billed was measured, and in which revisions."""
    lines = metered(replaced).filter(
        period__subscription__in=chunk.subscriptions,
        period__status=PeriodStatus.CLOSED,
        kind__in=[LineKind.USAGE, LineKind.LATE],
    )
    if since is not None:
        periods = {period for period, _ in sought}
        lines = lines.filter(Q(period__closed_at__gte=since) | Q(period__in=periods))
    usage, late = Q(kind=LineKind.USAGE), Q(kind=LineKind.LATE)
    groups: Any = lines.order_by().values_list(
        "period_id",
        "price__metric_id",
        "period__subscription_id",
        "period__phase__plan_version_id",
        "period__starts_at",
        "period__ends_at",
    )
    return groups.annotate(
        read=Max("snapshot__taken_at"),
        usage=Max("snapshot__revision", filter=usage),
        late=Max("snapshot__revision", filter=late),
        drafts=Count("pk", filter=usage & Q(invoice__status__in=UNISSUED)),
    )
