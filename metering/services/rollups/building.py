"""Rollups for metrics that have none: made, announced, and built from events bit by bit.

Until a rollup is ready its metric is measured from events, so nothing is ever wrong meanwhile.
Each step is a transaction of its own: killed anywhere, the next call goes on from there.
"""

from __future__ import annotations

import time
from datetime import datetime

from django.db import connection, transaction

from catalog.models import ValueMetric
from customers.models import Customer
from metering.definitions import definition_of
from metering.models import PieceBatch, Rollup, UsagePiece
from metering.querysets import MonthArchived, Target
from metering.services.rollups.rebuilding import EVER, lock_rollups, rebuild

_MOST_AT_ONCE = 1000
_SECONDS_PER_STEP = 0.5


def rollup_of(metric: ValueMetric) -> Rollup | None:
    """Return the rollup of a metric as it is measured now, ready or not."""
    return Rollup.objects.filter(metric=metric, digest=definition_of(metric).digest).first()


def build_rollups(*, at: datetime) -> list[Rollup]:
    """Make every metric's rollup ready, as far as possible; return those that must wait.

    One waits as long as a transaction runs that may not know of it yet, or a month is archived
    whose events it needs. Call again later.
    """
    _make_missing(at=at)
    waiting = []
    for rollup in Rollup.objects.filter(ready_at=None).order_by("pk"):
        if not _is_known_to_all(rollup):
            waiting.append(rollup)
            continue
        customers = 10
        try:
            while customers:
                customers = _build_some(rollup.pk, customers=customers, at=at)
        except MonthArchived:
            waiting.append(rollup)
    return waiting


@transaction.atomic
def _make_missing(*, at: datetime) -> None:
    """Make a rollup for each metric without one, also one whose definition changed."""
    lock_rollups()
    made = dict(Rollup.objects.values_list("metric_id", "digest"))
    for metric in ValueMetric.objects.order_by("pk"):
        definition = definition_of(metric)
        if made.get(metric.pk) == definition.digest:
            continue
        UsagePiece.objects.filter(rollup__metric=metric).delete()
        PieceBatch.objects.filter(rollup__metric=metric).delete()
        Rollup.objects.filter(metric=metric).delete()
        Rollup.objects.create(
            metric=metric,
            event_type=definition.event_type,
            definition=definition.text,
            digest=definition.digest,
            created_at=at,
        )


def _is_known_to_all(rollup: Rollup) -> bool:
    """Say whether every transaction that began writing before the rollup was there has ended."""
    if connection.vendor != "postgresql":
        Rollup.objects.filter(pk=rollup.pk, horizon=None).update(horizon=0)
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE metering_rollup "
            "SET horizon = pg_snapshot_xmax(pg_current_snapshot())::text::bigint "
            "WHERE id = %s AND horizon IS NULL",
            (rollup.pk,),
        )
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT 1 FROM metering_rollup r, ("  # those of other databases write no event here
            "SELECT backend_xid AS xid FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() UNION ALL "
            "SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()"
            ") AS running WHERE r.id = %s AND running.xid IS NOT NULL "
            "AND age(running.xid) > age((r.horizon %% 4294967296)::text::xid)",
            (rollup.pk,),
        )
        return cursor.fetchone() is None


@transaction.atomic
def _build_some(rollup_id: int, *, customers: int, at: datetime) -> int:
    """Build so many customers' pieces; return how many to take next, 0 when it is ready."""
    lock_rollups()
    rollup = Rollup.objects.filter(pk=rollup_id, ready_at=None).first()
    if rollup is None:
        return 0
    began = time.monotonic()
    left = Customer.objects.filter(pk__gt=rollup.built_up_to).order_by("pk")
    if not rollup.customers_done:
        rollup.customers_total = left.count()
    chunk = list(left.values_list("pk", "time_zone")[:customers])
    rebuild(rollup, [Target(pk, place, *EVER) for pk, place in chunk])
    if chunk:
        rollup.built_up_to = chunk[-1][0]
        rollup.customers_done += len(chunk)
    if len(chunk) < customers:
        rollup.ready_at = at
        customers = 0
    elif time.monotonic() - began < _SECONDS_PER_STEP / 2:
        customers = min(customers * 2, _MOST_AT_ONCE)
    elif time.monotonic() - began > _SECONDS_PER_STEP:
        customers = max(customers // 2, 1)
    rollup.save()
    return customers
