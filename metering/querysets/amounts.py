"""The single amounts of a metric's events, for prices that charge every event (R13, percentage)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from django.db import connection

from catalog.models import ValueMetric
from metering import properties
from metering.definitions import definition_of
from metering.querysets import fragments
from metering.querysets.dialects import EFFECTIVE_EVENTS, Sql, dialect
from metering.querysets.measuring import SPANS_PER_QUERY
from metering.querysets.values import Group, MonthArchived, Span


class Amount(NamedTuple):
    """What one event moved, and the values of the dimensions asked for; None for a missing one."""

    group: Group
    amount: Decimal


def amounts(metric: ValueMetric, spans: Iterable[Span], by: Sequence[str]) -> list[list[Amount]]:
    """Return each span's single amounts, adjustments applied, in (time, ingestion order).

    One statement for up to 1,000 spans. Only events that `measure` counts are among them.

    :raises MonthArchived: if events of a span are in an archive.
    """
    found: list[list[Amount]] = []
    remaining = iter(spans)
    while chunk := list(islice(remaining, SPANS_PER_QUERY)):
        statement = _statement(metric, chunk, by)
        place = len(found)
        found += [[] for _ in chunk]
        with connection.cursor() as cursor:
            cursor.execute(statement.text, statement.params)
            for archived, n, group, value in cursor:
                if archived:
                    raise MonthArchived(archived)
                if n is None:
                    continue
                key = Group(properties.read(group)) if by else Group()
                found[place + n].append(Amount(key, Decimal(value)))
    return found


def _statement(metric: ValueMetric, spans: Sequence[Span], by: Sequence[str]) -> Sql:
    words, definition = dialect(), definition_of(metric)
    lookup = words.each(
        EFFECTIVE_EVENTS,
        "e",
        "e.customer_id = s.customer_id AND e.type = %s "
        'AND e.time >= s."start" AND e.time < s."end"',
    )
    return fragments.joined(
        f"""
        WITH span (n, customer_id, subscription_id, "start", "end", elsewhere) AS ({{spans}}),
        edge (n, "start", "end") AS (SELECT n, "start", "end" FROM span)
        SELECT gone.months, n, grp, value FROM (SELECT {{archived}} AS months) AS gone
        LEFT JOIN (
            SELECT s.n, e.time, e.id, {{group}} AS grp, {{value}} AS value
            FROM span s {{lookup}}
            WHERE {fragments.mine(words, "e", "e.time")} AND {{counts}}
        ) AS event ON value IS NOT NULL ORDER BY n, time, id""",
        archived=words.archived(definition.event_type),
        spans=words.spans(spans),
        group=words.key(by) if by else Sql("''"),
        value=fragments.value(words, definition),
        lookup=Sql(lookup, (definition.event_type,)),
        counts=fragments.counts(words, definition),
    )
