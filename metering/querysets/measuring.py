"""`measure`: the only reader of usage.

One set-based statement per metric and chunk of spans, the same for one span or five hundred. It
adds up pieces, and reads events only where pieces can't tell: in the *edges*, the islands that a
boundary of the span cuts. What it answers is exact at any boundary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice

from django.db import connection

from catalog.metrics import rounded
from catalog.models import Aggregation, TimeUnit, ValueMetric
from catalog.money import Exact
from metering import properties
from metering.definitions import Definition, Kind, definition_of
from metering.querysets import fragments
from metering.querysets.aggregates import aggregate
from metering.querysets.dialects import EFFECTIVE_EVENTS, Dialect, Sql, dialect
from metering.querysets.functions import read_instant
from metering.querysets.values import NOTHING, Group, Measured, MonthArchived, Span

SPANS_PER_QUERY = 1000
_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_EVER = "'1970-01-01 00:00:00'"
_ELEMENTS = "events, last_received_at, total, highest, area, last_value"


def measure(
    metric: ValueMetric, spans: Iterable[Span], *, from_events: bool = False
) -> list[Measured]:
    """Return the usage of each span, in their order; a span without events has quantity 0 (R10).

    A negative total comes back negative. `from_events` reads no rollup, to check them.

    :raises MonthArchived: where only events could tell, and they are archived.
    """
    found = measure_by(metric, spans, (), from_events=from_events)
    return [groups.get(Group(), NOTHING) for groups in found]


def measure_by(
    metric: ValueMetric, spans: Iterable[Span], by: Sequence[str], *, from_events: bool = False
) -> list[dict[Group, Measured]]:
    """Return the usage of each span per combination of these properties; None where one is missing.

    :raises MonthArchived: as `measure` does.
    """
    definition = definition_of(metric)
    from_events = from_events or not set(by) <= set(definition.key_names)
    found: list[dict[Group, Measured]] = []
    remaining = iter(spans)
    while chunk := list(islice(remaining, SPANS_PER_QUERY)):
        statement = _statement(metric, definition, chunk, by, from_events=from_events)
        found += _answers(statement, len(chunk), grouped=bool(by))
    return found


def billable(metric: ValueMetric, aggregate: Exact, *, nominal: timedelta | None = None) -> Decimal:
    """Return an aggregate as the quantity that is priced: divided, then rounded (R11).

    Level × time is divided by an hour, or by the length of the `nominal` period (R10). Negative
    stays negative: that it bills as 0 is for the bill to say.
    """
    return rounded(in_units(metric, aggregate, nominal=nominal), metric)


def in_units(
    metric: ValueMetric, aggregate: Exact, *, nominal: timedelta | None = None
) -> Fraction:
    """Return an aggregate in the metric's unit, exactly: what `billable` rounds."""
    exact = Fraction(aggregate) / Fraction(metric.unit_divisor)
    if metric.aggregation != Aggregation.TIME_WEIGHTED:
        return exact
    per = _HOUR if metric.time_unit == TimeUnit.HOUR else nominal
    assert per is not None, "level × time needs the length of its period"
    return exact / (per // _MICROSECOND)


def so_far(metric: ValueMetric, span: Span, *, at: datetime) -> Span:
    """Return the span up to `at` for level × time, which would else be taken to last; else as it is."""
    if metric.aggregation != Aggregation.TIME_WEIGHTED:
        return span
    return replace(span, end=max(span.start, min(span.end, at)))


def _answers(statement: Sql, spans: int, *, grouped: bool) -> list[dict[Group, Measured]]:
    found: list[dict[Group, Measured]] = [{} for _ in range(spans)]
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        for archived, n, group, quantity, events, last in cursor.fetchall():
            if archived:
                raise MonthArchived(archived)
            if n is None:
                continue
            key = Group(properties.read(group)) if grouped else Group()
            exact = Decimal(0) if quantity is None else Decimal(quantity)
            found[n][key] = Measured(exact, int(events), read_instant(last))
    return found


def _statement(
    metric: ValueMetric,
    definition: Definition,
    spans: Sequence[Span],
    by: Sequence[str],
    *,
    from_events: bool,
) -> Sql:
    """Spans → the pieces in them → the edges → runs: the other pieces, and events in the edges."""
    words = dialect()
    return fragments.joined(
        """
        WITH span (n, customer_id, subscription_id, "start", "end", elsewhere) AS MATERIALIZED (
            {spans}),
        ready AS MATERIALIZED ({ready}),
        piece AS MATERIALIZED ({pieces}),
        extent (owner, starts_at, ends_at, flag) AS ({extents}),
        island (owner, starts_at, ends_at, flag) AS ({islands}),
        edge (n, "start", "end") AS MATERIALIZED ({edges}),
        run AS ({piece_runs} UNION ALL {event_runs})
        SELECT gone.months, answer.* FROM (SELECT {archived} AS months) AS gone
        LEFT JOIN ({aggregate}) AS answer ON TRUE""",
        archived=words.archived(definition.event_type),
        spans=words.spans(spans),
        ready=_ready(metric, definition, from_events=from_events),
        pieces=_pieces(words, {span.customer_id for span in spans}, carry_over=metric.carry_over),
        extents=Sql(_extents(definition, carry_over=metric.carry_over)),
        islands=Sql(fragments.islands("extent")),
        edges=Sql(_edges(words, carry_over=metric.carry_over)),
        piece_runs=Sql(_piece_runs(words, definition, by)),
        event_runs=_event_runs(words, definition, by),
        aggregate=Sql(aggregate(words, definition.kind)),
    )


def _ready(metric: ValueMetric, definition: Definition, *, from_events: bool) -> Sql:
    """The metric's rollup, if it is one of this definition and complete."""
    text = """
        SELECT id, knows_from FROM metering_rollup
        WHERE metric_id = %s AND digest = %s AND ready_at IS NOT NULL AND """
    return Sql(text + ("FALSE" if from_events else "TRUE"), (metric.pk, definition.digest))


def _pieces(words: Dialect, customers: Collection[int], *, carry_over: bool) -> Sql:
    """The customers' pieces that touch the span, and whether they are of what the span counts."""
    touches = 'p.starts_at < s."end"' + ("" if carry_over else ' AND p.ends_at > s."start"')
    lookup = words.each(
        "metering_usagepiece",
        "p",
        f"p.customer_id = s.customer_id AND p.rollup_id = r.id AND {touches}",
    )
    columns = f"""
        SELECT s.n, s."start" AS since, s."end" AS until, {fragments.mine(words, "p", "p.starts_at")} AS mine,
            p.key, p.starts_at, p.ends_at, p.first_time, p.last_time, p.last_id,
            {", ".join(f"p.{name}" for name in _ELEMENTS.split(", "))}"""
    folded = Sql(f"{columns} FROM span s CROSS JOIN ready r {lookup}")
    if connection.vendor != "postgresql":
        return folded
    batches = "ready r JOIN metering_piecebatch b ON b.rollup_id = r.id"
    if len(customers) == 1:
        unfolded = Sql(fragments.unfolded_of_one(batches), tuple(customers))
    else:
        theirs = " WHERE u.customer_id = ANY(%s::bigint[])"
        unfolded = Sql(fragments.unfolded(batches) + theirs, (list(customers),))
    return fragments.joined(
        f"{{folded}} UNION ALL {columns} FROM ({{unfolded}}) p "
        f"JOIN span s ON s.customer_id = p.customer_id AND {touches}",
        folded=folded,
        unfolded=unfolded,
    )


def _extents(definition: Definition, *, carry_over: bool) -> str:
    """The days that pieces cover; flagged where pieces interleave and their order matters.

    And all before the rollup knows of usage, flagged as well, so that it is read from events.
    """
    needed = "" if carry_over else 'AND r.knows_from > s."start"'
    interleaves = "0"
    if definition.kind.is_ordered:
        interleaves = """CASE WHEN first_time <= MAX(last_time) OVER (
                PARTITION BY n, mine, key ORDER BY first_time, last_time
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 1 ELSE 0 END"""
    return f"""
        SELECT n, starts_at, ends_at, MAX(flag) FROM (
            SELECT n, starts_at, ends_at, {interleaves} AS flag FROM piece
        ) AS days GROUP BY n, starts_at, ends_at
        UNION ALL
        SELECT s.n, {_EVER}, r.knows_from, 1 FROM span s CROSS JOIN ready r
        WHERE r.knows_from IS NOT NULL {needed}"""


def _edges(words: Dialect, *, carry_over: bool) -> str:
    """The stretches whose events are read: cut islands, or the whole span without a rollup."""
    since = _EVER if carry_over else 's."start"'
    return f"""
        SELECT s.n, {words.greatest}(i.starts_at, {since}), {words.least}(i.ends_at, s."end")
        FROM span s JOIN island i ON i.owner = s.n
        WHERE i.flag = 1 OR i.ends_at > s."end"
            OR i.starts_at < s."start" AND i.ends_at > s."start"
            OR {words.is_cut("i.starts_at", "i.ends_at")}
        UNION ALL
        SELECT s.n, {since}, s."end" FROM span s WHERE NOT EXISTS (SELECT 1 FROM ready)"""


def _piece_runs(words: Dialect, definition: Definition, by: Sequence[str]) -> str:
    names = definition.key_names

    def part(wanted: Sequence[str]) -> str:
        if not set(wanted) <= set(names):
            return words.no_key  # then there is no piece: all comes from events
        return words.key_part("p.key", [names.index(name) for name in wanted])

    group = part(by) if by else "''"
    series = part(definition.parts) if definition.parts else "''"
    return f"""
        SELECT p.n, p.since, p.until, p.starts_at >= p.since AS inside, {group} AS grp,
            {series} AS series, p.first_time, p.last_time, p.last_id, p.ends_at,
            {", ".join(f"p.{name}" for name in _ELEMENTS.split(", "))}
        FROM piece p LEFT JOIN edge x
            ON x.n = p.n AND p.starts_at < x."end" AND p.ends_at > x."start"
        WHERE p.mine AND x.n IS NULL"""


def _event_runs(words: Dialect, definition: Definition, by: Sequence[str]) -> Sql:
    """The events in the edges, each a run of its own that begins and ends at its time."""
    lookup = words.each(
        EFFECTIVE_EVENTS,
        "e",
        "e.customer_id = s.customer_id AND e.type = %s "
        'AND e.time >= x."start" AND e.time < x."end"',
    )
    number = words.no_number if definition.kind in (Kind.COUNT, Kind.UNIQUE) else "value"
    template = f"""
        SELECT n, since, until, inside, grp, series, time, time, id, time,
            1, received_at, {number}, {number}, {words.zero}, {number}
        FROM (
            SELECT s.n, s."start" AS since, s."end" AS until, e.id, e.time, e.received_at,
                e.time >= s."start" AS inside, {{group}} AS grp, {{series}} AS series,
                {{value}} AS value
            FROM span s JOIN edge x ON x.n = s.n {{lookup}}
            WHERE {fragments.mine(words, "e", "e.time")} AND {{counts}}
        ) AS event WHERE value IS NOT NULL"""
    return fragments.joined(
        template,
        group=words.key(by) if by else Sql("''"),
        series=words.key(definition.parts) if definition.parts else Sql("''"),
        value=fragments.value(words, definition),
        lookup=Sql(lookup, (definition.event_type,)),
        counts=fragments.counts(words, definition),
    )
