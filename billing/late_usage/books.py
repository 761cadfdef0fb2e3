"""What must always hold of late usage; `manage.py audit` looks for what contradicts it (R31)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Exists, Max, OuterRef

from billing.calculation import add_up
from billing.chunk import Chunk
from billing.models import (
    BillingPeriod,
    InvoiceLine,
    InvoiceStatus,
    LateUsage,
    LineKind,
    PeriodStatus,
    UsageSnapshot,
)
from billing.models.invoices import UNDONE
from billing.usage import read_snapshots
from catalog.money import EXACT
from config.base.invariants import Finding, Invariant
from customers.models import Subscription
from metering.models import ArchivedMonth
from metering.querysets import Watch, changed
from metering.services.months import bounds

AT_ONCE = 200  # subscriptions in memory at once
NOTED_WITHIN = timedelta(days=2)
"""How long something may be late before it is noted: it is looked for every day."""


def _lines_unlike_their_rows(at: datetime) -> Iterator[Finding]:
    """Find differences that are not what their printed rows come to."""
    late = InvoiceLine.every.filter(kind=LineKind.LATE).order_by("pk")
    for line in late.iterator():
        said = line.explanation
        on = [said["exact"], said["rounding"], said.get("minimum", "0"), said.get("credited", "0")]
        off = [said.get("coupons", "0")]
        off += [one["amount"] for one in said["billed"]]
        expected = EXACT.subtract(add_up(map(Decimal, on)), add_up(map(Decimal, off)))
        if expected != line.priced:
            difference = f"{EXACT.subtract(line.priced, expected):f}"
            yield Finding(f"line {line.uuid}", f"{expected:f}", f"{line.priced:f}", difference)


def _measured_otherwise(at: datetime) -> Iterator[Finding]:
    """Find settled periods whose usage is not what was billed of it, in all, or noted as late."""
    ids = list(_settled(at).order_by().values_list("subscription", flat=True).distinct())
    for start in range(0, len(ids), AT_ONCE):
        yield from _differing(sorted(ids)[start : start + AT_ONCE], at)


def _settled(at: datetime) -> Any:
    """Return closed periods with issued usage that may be billed for still by itself."""
    issued = InvoiceLine.objects.filter(
        period=OuterRef("pk"), kind=LineKind.USAGE, invoice__status=InvoiceStatus.ISSUED
    )
    recent = at - timedelta(days=settings.LATE_USAGE_DAYS)
    found = BillingPeriod.objects.filter(
        Exists(issued), status=PeriodStatus.CLOSED, closed_at__gte=recent
    )
    if last := ArchivedMonth.objects.aggregate(last=Max("month"))["last"]:
        found = found.filter(starts_at__gte=bounds(last)[1])
    return found


def _differing(subscriptions: Sequence[int], at: datetime) -> Iterator[Finding]:
    chunk = Chunk(list(Subscription.objects.with_terms().filter(pk__in=subscriptions)))
    periods = list(_settled(at).filter(subscription__in=subscriptions).select_related("phase"))
    for period in periods:
        period.subscription = chunk.subscriptions[period.subscription_id]
    read = read_snapshots([chunk.wanted(period) for period in periods], at=at)
    known = _known([period.pk for period in periods])
    astray = [
        (now, before)
        for taken in read
        for now in taken.values()
        if (before := known.get((now.period_id, now.metric_id)))
        and not _waits_since_recast(before)
        and (now.quantity, now.events) != (before.quantity, before.events)
    ]
    watches = [
        Watch(now.metric, now.period.subscription.customer_id, None, now.period.ends_at,
              at - NOTED_WITHIN)
        for now, _ in astray
    ]  # fmt: skip
    fresh = changed(watches)
    for place, (now, before) in enumerate(astray):
        if place not in fresh:
            yield Finding(
                f"{now.metric.key} of period {now.period.uuid}, {now.period}",
                f"{before.quantity:f} of {before.events} events billed",
                f"{now.quantity:f} of {now.events} events measured",
                f"{EXACT.subtract(now.quantity, before.quantity):f}",
            )


def _waits_since_recast(before: UsageSnapshot) -> bool:
    """Whether a plan was changed after what was billed was measured: the next invoice settles it (R20)."""
    recast_at = before.period.recast_at
    return recast_at is not None and before.taken_at < recast_at


def _known(periods: Sequence[int]) -> dict[tuple[int, int], UsageSnapshot]:
    """Return the newest reading that was billed or noted, by period and metric."""
    billed = InvoiceLine.every.filter(snapshot=OuterRef("pk")).exclude(invoice__status__in=UNDONE)
    noted = LateUsage.objects.filter(snapshot=OuterRef("pk"))
    found = UsageSnapshot.objects.filter(Exists(billed) | Exists(noted), period__in=periods)
    return {
        (one.period_id, one.metric_id): one
        for one in found.select_related("period").order_by("revision")
    }


LATE_BOOKS = [
    Invariant(
        "late_usage_is_what_its_rows_come_to",
        "A line of late usage is what all usage of its period costs, less what was billed before.",
        _lines_unlike_their_rows,
    ),
    Invariant(
        "settled_periods_are_billed_as_measured",
        "What is measured for a settled period is what was billed, with what came in late, or is "
        "noted as late.",
        _measured_otherwise,
    ),
]
