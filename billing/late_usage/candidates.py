"""Which closed periods to measure again: told by what arrived, without measuring."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Max, Q

from billing.late_usage.settled import drawn_by, metered
from billing.models import OUTSTANDING, LateUsage, LineKind, PeriodStatus
from billing.models.invoices import UNISSUED
from billing.offers import Offer, offers_of
from metering.querysets import Watch, changed

COMMITS_WITHIN = timedelta(hours=1)
"""How long after its arrival, by another computer's clock, usage may become visible: no transaction
that stores some lasts nearly as long, and no two clocks are so far apart."""

Key = tuple[int, int]
"""A period and a metric."""


def candidates(
    subscriptions: Collection[int],
    *,
    since: datetime | None,
    offers: Mapping[int, Offer] | None = None,
    replaced: Iterable[int] = (),
    recast: Mapping[int, Collection[int]],
) -> tuple[set[Key], set[Key]]:
    """Return of what something may be late, and of what something waits already.

    Of periods that were closed `since` a time (None: ever), and those of which something waits or
    stood on an invoice that is `replaced`; of those that are `recast`, because their plan was changed
    since, the metrics that are priced now and all that were billed. Three queries, however many
    subscriptions, and four for the `offers` of their plan versions, where they are not given.
    """
    outstanding = LateUsage.objects.filter(
        period__subscription__in=subscriptions, status__in=OUTSTANDING
    )
    waiting = set(outstanding.values_list("period_id", "price__metric_id"))
    sought = waiting | set(drawn_by(replaced).values_list("period_id", "price__metric_id"))
    found: set[Key] = set()
    watched: list[Key] = []
    watches: list[Watch] = []
    found |= {(pk, metric_id) for pk, metrics in recast.items() for metric_id in metrics}
    rows = list(_billed(subscriptions, since=since, sought=sought, replaced=replaced))
    if offers is None:
        offers = offers_of({row.version_id for row in rows})
    for row in rows:
        key = (row.period_id, row.metric_id)
        if row.usage is None or row.drafts:
            continue  # nothing is billed, or not for good: it is recalculated
        is_anew = row.late is not None and row.usage > row.late  # it was closed once more since
        if key in sought or row.period_id in recast or is_anew:
            found.add(key)
            continue
        metric, looks_back = offers[row.version_id].reach(row.metric_id)
        start = None if looks_back else row.starts_at
        watched.append(key)
        since_read = row.read - COMMITS_WITHIN
        watches.append(Watch(metric, row.customer_id, start, row.ends_at, since_read))
    return found | {watched[place] for place in changed(watches)}, waiting


class _Billed(NamedTuple):
    """When what is billed of a period and metric was measured, and in which revisions.

    `usage` is that of its close, `late` that of what was settled after; `drafts` counts the lines
    of the close that are not issued.
    """

    period_id: int
    metric_id: int
    customer_id: int
    version_id: int
    starts_at: datetime
    ends_at: datetime
    read: datetime
    usage: int | None
    late: int | None
    drafts: int


def _billed(
    subscriptions: Collection[int],
    *,
    since: datetime | None,
    sought: Iterable[Key],
    replaced: Iterable[int],
) -> Iterator[_Billed]:
    lines = metered(replaced).filter(
        period__subscription__in=subscriptions,
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
        "period__subscription__customer_id",
        "period__phase__plan_version_id",
        "period__starts_at",
        "period__ends_at",
    )
    found = groups.annotate(
        read=Max("snapshot__taken_at"),
        usage=Max("snapshot__revision", filter=usage),
        late=Max("snapshot__revision", filter=late),
        drafts=Count("pk", filter=usage & Q(invoice__status__in=UNISSUED)),
    )
    return (_Billed(*row) for row in found)
