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
from metering.models import ArchivedMonth, PieceBatch, Rollup, UsagePiece
from metering.querysets import MonthArchived, Target
from metering.services.rollups.rebuilding import EVER, lock_rollups, rebuild

_MOST_AT_ONCE = 1000
_SECONDS_PER_STEP = 0.5


def rollup_of(metric: ValueMetric) -> Rollup | None:
    """Return the rollup of a metric as it is measured now, ready or not."""
    return Rollup.objects.filter(metric=metric, digest=definition_of(metric).digest).first()


def forget_archive(month: ArchivedMonth) -> None:
    """Have what could not know the events of a month built anew: they are back."""
    late = Rollup.objects.filter(event_type__in=month.types, knows_from__gt=month.start)
    late.update(ready_at=None, knows_from=None, built_up_to=0, customers_done=0, customers_total=0)


def build_rollups(*, at: datetime) -> list[Rollup]:
    """Make every metric's rollup ready, as far as possible; return those that must wait.

    One waits as long as a transaction runs that may not know of it yet. Call again later. What was
    archived before can't be summed up any more: such a rollup `knows_from` when on.
    """
    waiting = []
    for rollup in _current(at=at):
        if not _is_known_to_all(rollup):
            waiting.append(rollup)
            continue
        customers = 10
        try:
            while customers:
                customers = _build_some(rollup.pk, customers=customers, at=at)
        except MonthArchived:  # just now: the next call takes it into account
            waiting.append(rollup)
    _drop_former()
    return waiting


@transaction.atomic
def _current(*, at: datetime) -> list[Rollup]:
    """Return the rollups to build, first made for each metric that has none of its definition."""
    lock_rollups()
    made = {(rollup.metric_id, rollup.digest): rollup for rollup in Rollup.objects.all()}
    current = []
    for metric in ValueMetric.objects.order_by("pk"):
        definition = definition_of(metric)
        current.append(
            made.get((metric.pk, definition.digest))
            or Rollup.objects.create(
                metric=metric,
                event_type=definition.event_type,
                definition=definition.text,
                digest=definition.digest,
                created_at=at,
            )
        )
    return [rollup for rollup in current if rollup.ready_at is None]


@transaction.atomic
def _drop_former() -> None:
    """Drop what was summed up by definitions that metrics no longer have.

    But none that was ready before the present one knows all: it may know months that are archived,
    and is the metric's again if that is changed back.
    """
    lock_rollups()
    rollups = list(Rollup.objects.select_related("metric"))
    present = {
        one.metric_id: one for one in rollups if one.digest == definition_of(one.metric).digest
    }
    for rollup in rollups:
        now = present.get(rollup.metric_id, rollup)
        knows_all = now.ready_at is not None and now.knows_from is None
        if rollup != now and (knows_all or rollup.ready_at is None):
            UsagePiece.objects.filter(rollup=rollup).delete()
            PieceBatch.objects.filter(rollup=rollup).delete()
            rollup.delete()


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
    for month in ArchivedMonth.objects.lacking(rollup.event_type):
        rollup.knows_from = month.end
    start = rollup.knows_from or EVER[0]
    rebuild(rollup, [Target(pk, place, start, EVER[1]) for pk, place in chunk])
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
