"""Whether usage may have changed since it was read: asked of what arrived, without measuring it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection

from catalog.models import ValueMetric
from metering.definitions import Definition, definition_of
from metering.querysets import fragments
from metering.querysets.dialects import Sql, dialect

_LONGEST_DAY = timedelta(hours=26)


class Watch(NamedTuple):
    """A metric of a customer in [start, end), and when it was read; `start` None: since ever."""

    metric: ValueMetric
    customer_id: int
    start: datetime | None
    end: datetime
    since: datetime


def changed(watches: Sequence[Watch]) -> set[int]:
    """Return the places of those for which an event or a correction came in after `since`.

    One statement however many. It may name some whose usage is the same all the same, as one
    event of a day stands for all of that day; it misses none.
    """
    if not watches:
        return set()
    statement = _statement(watches)
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        return {n for (n,) in cursor.fetchall()}


def _statement(watches: Sequence[Watch]) -> Sql:
    """Where there is no rollup that is ready, the events themselves are looked up."""
    words = dialect()
    definitions: dict[int, Definition] = {}
    for watch in watches:
        if watch.metric.pk not in definitions:
            definitions[watch.metric.pk] = definition_of(watch.metric)
    rows = [
        (
            n,
            metric.pk,
            definitions[metric.pk].digest,
            definitions[metric.pk].event_type,
            customer_id,
            start,
            end,
            end + _LONGEST_DAY,
            since,
        )
        for n, (metric, customer_id, start, end, since) in enumerate(watches)
    ]
    since_start = '(w."start" IS NULL OR {} > w."start")'
    piece = words.each(
        "metering_usagepiece",
        "p",
        "p.customer_id = w.customer_id AND p.rollup_id = w.rollup_id AND p.ends_at <= w.day_end "
        f'AND p.starts_at < w."end" AND {since_start.format("p.ends_at")} '
        "AND p.last_received_at > w.since",
    )
    event = words.each(
        "metering_usageevent",
        "e",
        'e.customer_id = w.customer_id AND e.type = w.event_type AND e.time < w."end" '
        'AND (w."start" IS NULL OR e.time >= w."start") AND e.received_at > w.since',
    )
    unfolded = Sql("")
    if connection.vendor == "postgresql":
        unfolded = Sql(
            f"""
        UNION SELECT w.n FROM (
            SELECT b.rollup_id, b.last_received_at, u.* FROM metering_piecebatch b
            CROSS JOIN LATERAL unnest(b.customer_ids, b.starts, b.ends)
                AS u (customer_id, starts_at, ends_at)
            WHERE b.last_received_at > %s AND u.customer_id = ANY(%s::bigint[])) p
        JOIN ready w ON p.customer_id = w.customer_id AND p.rollup_id = w.rollup_id
            AND p.starts_at < w."end" AND {since_start.format("p.ends_at")}
            AND p.last_received_at > w.since""",
            (
                min(watch.since for watch in watches),
                list({watch.customer_id for watch in watches}),
            ),
        )
    return fragments.joined(
        f"""
        WITH watch (n, metric_id, digest, event_type, customer_id, "start", "end", day_end, since)
            AS MATERIALIZED ({{watches}}),
        ready AS MATERIALIZED (
            SELECT w.*, r.id AS rollup_id FROM watch w LEFT JOIN metering_rollup r
                ON r.metric_id = w.metric_id AND r.digest = w.digest AND r.ready_at IS NOT NULL)
        SELECT w.n FROM ready w {piece}
        {{unfolded}}
        UNION SELECT w.n FROM (SELECT * FROM ready WHERE rollup_id IS NULL) w {event}
        UNION SELECT w.n FROM watch w
            JOIN metering_eventadjustment a ON a.made_at > w.since
            JOIN metering_eventkey k ON k.key = a.event_key
            JOIN metering_usageevent e ON e.id = k.stored_as AND e.time = k.time
                AND e.customer_id = w.customer_id AND e.type = w.event_type
                AND e.time < w."end" AND (w."start" IS NULL OR e.time >= w."start")""",
        watches=words.watches(rows),
        unfolded=unfolded,
    )
