"""Measuring usage: `measure` is its only reader.

One set-based statement per metric and chunk of spans, the same for one span or five hundred.
PostgreSQL and SQLite run the same statement; what they call differently stands in `_POSTGRESQL`
and `_SQLITE`. SQLite gets its functions from `properties`, so that no number becomes a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from catalog.metrics import rounded
from catalog.models import Aggregation, ValueIs, ValueMetric
from catalog.money import Exact
from metering import properties

SPANS_PER_QUERY = 1000
_ROOM = Context(prec=200)


class CannotMeasure(NotImplementedError):
    """The metric measures in a way that is not built yet."""


@dataclass(frozen=True)
class Span:
    """Whose usage counts, from `start` until just before `end`, both in UTC (R1, R6).

    An event that names a subscription counts for that one only. One that names none counts here
    except in the stretches `elsewhere`, half-open, in which another subscription takes it. Without
    a subscription, all of the customer's events count, whichever they name.
    """

    customer_id: int
    subscription_id: int | None
    start: datetime
    end: datetime
    elsewhere: tuple[tuple[datetime, datetime], ...] = ()


class Measured(NamedTuple):
    """What a span amounts to: the exact aggregate, before divisor and rounding (R10).

    `events` and `last_received_at` are of the events in the span that have a value.
    """

    quantity: Decimal = Decimal(0)
    events: int = 0
    last_received_at: datetime | None = None


NOTHING = Measured()
Group = tuple[Any, ...]


def measure(metric: ValueMetric, spans: Iterable[Span]) -> list[Measured]:
    """Return the usage of each span, in their order; a span without events has quantity 0 (R10).

    A negative total comes back negative.

    :raises CannotMeasure: for `time_weighted`.
    """
    return [groups.get((), NOTHING) for groups in measure_by(metric, spans, ())]


def measure_by(
    metric: ValueMetric, spans: Iterable[Span], by: Sequence[str]
) -> list[dict[Group, Measured]]:
    """Return the usage of each span per combination of these properties; None where one is missing.

    :raises CannotMeasure: for `time_weighted`.
    """
    if metric.aggregation not in _AGGREGATES:
        raise CannotMeasure(
            f"“{metric}”: {metric.get_aggregation_display()} can't be measured yet."
        )
    found: list[dict[Group, Measured]] = []
    remaining = iter(spans)
    while chunk := list(islice(remaining, SPANS_PER_QUERY)):
        found += _measure_chunk(metric, chunk, by)
    return found


def billable(metric: ValueMetric, aggregate: Exact) -> Decimal:
    """Return an aggregate as the quantity that is priced: divided, then rounded (R11).

    Negative stays negative: that it bills as 0 is for the bill to say (R10).
    """
    return rounded(Fraction(aggregate) / Fraction(metric.unit_divisor), metric)


# The statement: spans → the events in them → the aggregate per span and group.


EFFECTIVE_EVENTS = """(
            SELECT e.id, e.type, e.customer_id, e.subscription_id, e.time, e.received_at,
                COALESCE(a.data, e.data) AS data
            FROM metering_usageevent e LEFT JOIN metering_eventadjustment a
                ON a.event_key = e.key AND a.is_effective
            WHERE a.kind IS DISTINCT FROM 'void')"""
"""The events that count, each with the data that counts (R9)."""


class _Sql(NamedTuple):
    """A piece of SQL with its parameters."""

    text: str
    params: tuple[Any, ...] = ()


def _measure_chunk(
    metric: ValueMetric, spans: Sequence[Span], by: Sequence[str]
) -> list[dict[Group, Measured]]:
    statement = _statement(metric, spans, by)
    found: list[dict[Group, Measured]] = [{} for _ in spans]
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        for n, group, quantity, events, last in cursor.fetchall():
            key = tuple(properties.read(group)) if by else ()
            found[n][key] = Measured(_exact(quantity), int(events), _instant(last))
    return found


def _statement(metric: ValueMetric, spans: Sequence[Span], by: Sequence[str]) -> _Sql:
    dialect = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    parts = [
        dialect.spans(spans),
        dialect.key(by) if by else _Sql("''"),
        dialect.key(metric.series) if metric.series else _Sql("''"),
        _value(dialect, metric),
        _Sql("e.type = %s", (metric.event_type,)),
        *(dialect.filter(condition) for condition in metric.filters),
    ]
    span, group, series, value, *conditions = (part.text for part in parts)
    if not metric.carry_over:
        conditions.append('e.time >= s."start"')
    valued = "" if metric.aggregation == Aggregation.COUNT else "WHERE value IS NOT NULL"
    text = f"""
        WITH span (n, customer_id, subscription_id, "start", "end", elsewhere) AS ({span}),
        event AS (
            SELECT s.n, s."start", e.id, e.time, e.received_at, e.time >= s."start" AS inside,
                {group} AS grp, {series} AS series, {value} AS value
            FROM span s CROSS JOIN {EFFECTIVE_EVENTS} e
            WHERE e.customer_id = s.customer_id AND e.time < s."end"
                AND CASE WHEN e.subscription_id IS NULL
                    THEN s.elsewhere IS NULL OR NOT {dialect.is_elsewhere}
                    ELSE e.subscription_id = COALESCE(s.subscription_id, e.subscription_id) END
                AND {" AND ".join(conditions)}
        ),
        used AS (SELECT * FROM event {valued})
        {_AGGREGATES[metric.aggregation](dialect, metric)}"""
    return _Sql(text, tuple(param for part in parts for param in part.params))


def _value(dialect: _Dialect, metric: ValueMetric) -> _Sql:
    if metric.aggregation == Aggregation.COUNT:
        return _Sql("1")
    if metric.aggregation == Aggregation.UNIQUE_COUNT:
        return dialect.identity(metric.value_property)
    return dialect.quantity(metric.value_property)


_SEEN = "COUNT(*) FILTER (WHERE inside), MAX(received_at) FILTER (WHERE inside)"


def _count(dialect: _Dialect, metric: ValueMetric) -> str:
    return f"SELECT n, grp, COUNT(*), {_SEEN} FROM used GROUP BY n, grp"


def _unique_count(dialect: _Dialect, metric: ValueMetric) -> str:
    return f"SELECT n, grp, COUNT(DISTINCT value), {_SEEN} FROM used GROUP BY n, grp"


def _sum(dialect: _Dialect, metric: ValueMetric) -> str:
    return f"SELECT n, grp, {dialect.sum}(value), {_SEEN} FROM used GROUP BY n, grp"


def _latest(dialect: _Dialect, metric: ValueMetric) -> str:
    """Add up each series' last level; where events change it, that is all that they added."""
    if metric.value_is == ValueIs.CHANGE:
        return _sum(dialect, metric)
    return f"""
        SELECT n, grp, {dialect.sum}(value) FILTER (WHERE newest = 1), {_SEEN} FROM (
            SELECT used.*, ROW_NUMBER() OVER (
                PARTITION BY n, grp, series ORDER BY time DESC, id DESC) AS newest FROM used
        ) AS ranked GROUP BY n, grp"""


def _max(dialect: _Dialect, metric: ValueMetric) -> str:
    """Add up each series' highest level; the level carried over counts as long as it held."""
    if metric.value_is == ValueIs.CHANGE:
        return _max_of_changes(dialect)
    return f"""
        SELECT n, grp, {dialect.sum}(highest), SUM(events), MAX(last) FROM (
            SELECT n, grp, series, COUNT(*) FILTER (WHERE inside) AS events,
                MAX(received_at) FILTER (WHERE inside) AS last,
                {dialect.max}(value) FILTER (WHERE inside OR (newest = 1 AND replaced = 0))
                    AS highest
            FROM (
                SELECT used.*, ROW_NUMBER() OVER (
                        PARTITION BY n, grp, series, inside ORDER BY time DESC, id DESC) AS newest,
                    MAX(CASE WHEN time = "start" THEN 1 ELSE 0 END) OVER (
                        PARTITION BY n, grp, series) AS replaced
                FROM used
            ) AS ranked GROUP BY n, grp, series
        ) AS per_series GROUP BY n, grp"""


def _max_of_changes(dialect: _Dialect) -> str:
    """Add up, per instant, what changed, and take the highest running total.

    What came before the span is its level at the start, which is 0 without carry-over.
    """
    return f"""
        SELECT n, grp, {dialect.sum}(highest), SUM(events), MAX(last) FROM (
            SELECT n, grp, series, {dialect.max}(level) AS highest, SUM(events) AS events,
                MAX(last) AS last
            FROM (
                SELECT n, grp, series, events, last, {dialect.sum}(change) OVER (
                    PARTITION BY n, grp, series ORDER BY instant) AS level
                FROM (
                    SELECT n, grp, series, instant, {dialect.sum}(change) AS change,
                        SUM(counted) AS events, MAX(last) AS last
                    FROM (
                        SELECT n, grp, series, CASE WHEN inside THEN time ELSE "start" END
                                AS instant, value AS change, CASE WHEN inside THEN 1 ELSE 0 END
                                AS counted, CASE WHEN inside THEN received_at END AS last
                        FROM used
                        UNION ALL
                        SELECT DISTINCT n, grp, series, "start", {dialect.zero}, 0,
                            {dialect.no_instant}
                        FROM used
                    ) AS changes GROUP BY n, grp, series, instant
                ) AS instants
            ) AS levels GROUP BY n, grp, series
        ) AS per_series GROUP BY n, grp"""


_AGGREGATES = {
    Aggregation.COUNT.value: _count,
    Aggregation.SUM.value: _sum,
    Aggregation.MAX.value: _max,
    Aggregation.LATEST.value: _latest,
    Aggregation.UNIQUE_COUNT.value: _unique_count,
}


class _Dialect:
    """What the two databases call differently."""

    sum: str
    max: str
    zero: str
    no_instant: str
    is_elsewhere: str
    """Whether the event lies in a stretch of the span's `elsewhere`."""

    def spans(self, spans: Sequence[Span]) -> _Sql:
        """Return a query for the spans, numbered from 0."""
        raise NotImplementedError

    def quantity(self, name: str) -> _Sql:
        """Return the quantity in a property, NULL if it holds none; see `properties.quantity`."""
        raise NotImplementedError

    def identity(self, name: str) -> _Sql:
        """Return what distinguishes values of a property; see `properties.identity`."""
        raise NotImplementedError

    def key(self, names: Sequence[str]) -> _Sql:
        """Return what distinguishes combinations of properties, which reads as a JSON array."""
        raise NotImplementedError

    def filter(self, condition: Mapping[str, Any]) -> _Sql:
        """Return whether an event meets a filter; see `properties.meets`."""
        raise NotImplementedError


class _PostgreSQL(_Dialect):
    is_elsewhere = "e.time <@ s.elsewhere"
    sum, max, zero, no_instant = "SUM", "MAX", "0::numeric", "NULL::timestamptz"

    def spans(self, spans: Sequence[Span]) -> _Sql:
        columns: list[list[Any]] = [
            list(range(len(spans))),
            [span.customer_id for span in spans],
            [span.subscription_id for span in spans],
            [span.start for span in spans],
            [span.end for span in spans],
            [_multirange(span.elsewhere) for span in spans],
        ]
        types = ("int", "bigint", "bigint", "timestamptz", "timestamptz", "tstzmultirange")
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        return _Sql(f"SELECT * FROM unnest({arrays})", tuple(columns))

    def quantity(self, name: str) -> _Sql:
        held = "(e.data -> %s)::numeric"
        return _Sql(
            "CASE jsonb_typeof(e.data -> %s) "
            f"WHEN 'number' THEN CASE WHEN abs({held}) < 1e20 AND min_scale({held}) <= 10 "
            f"THEN {held} END "
            "WHEN 'string' THEN CASE WHEN e.data ->> %s ~ %s THEN (e.data ->> %s)::numeric END END",
            (name, name, name, name, name, f"^{properties.VALUE_PATTERN}$", name),
        )

    def identity(self, name: str) -> _Sql:
        return _Sql(
            "CASE WHEN jsonb_typeof(e.data -> %s) IN ('number', 'string', 'boolean') "
            "THEN e.data -> %s END",
            (name, name),
        )

    def key(self, names: Sequence[str]) -> _Sql:
        return _Sql(
            f"jsonb_build_array({', '.join('e.data -> %s::text' for _ in names)})", tuple(names)
        )

    def filter(self, condition: Mapping[str, Any]) -> _Sql:
        name, operator = condition["property"], condition["operator"]
        values = condition.get("values", ())
        present = "COALESCE(jsonb_typeof(e.data -> %s), 'null') <> 'null'"
        equal = "e.data -> %s = ANY(%s::jsonb[])"
        match operator:
            case "exists":
                return _Sql(present, (name,))
            case "eq" | "in":
                texts = sorted(properties.equals(values))
                return _Sql(f"{present} AND {equal}", (name, name, texts))
            case "not_in":
                texts = sorted(properties.equals(values))
                return _Sql(f"NOT ({present} AND {equal})", (name, name, texts))
            case "gt" | "lt":
                held = self.quantity(name)
                sign = ">" if operator == "gt" else "<"
                [bound] = values
                return _Sql(
                    f"{held.text} {sign} %s::numeric", (*held.params, properties.quantity(bound))
                )
            case _:
                raise properties.UnknownOperator(operator)


class _SQLite(_Dialect):
    is_elsewhere = (
        "EXISTS (SELECT 1 FROM json_each(s.elsewhere) other "
        "WHERE e.time >= json_extract(other.value, '$[0]') "
        "AND e.time < json_extract(other.value, '$[1]'))"
    )
    sum, max, zero, no_instant = "exact_total", "exact_max", "'0'", "NULL"

    def spans(self, spans: Sequence[Span]) -> _Sql:
        rows = [
            [
                n,
                span.customer_id,
                span.subscription_id,
                sqlite_instant(span.start),
                sqlite_instant(span.end),
                [[sqlite_instant(one) for one in stretch] for stretch in span.elsewhere] or None,
            ]
            for n, span in enumerate(spans)
        ]
        columns = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(6))
        return _Sql(f"SELECT {columns} FROM json_each(%s)", (properties.canonical(rows),))

    def quantity(self, name: str) -> _Sql:
        return _Sql("event_quantity(e.data, %s)", (name,))

    def identity(self, name: str) -> _Sql:
        return _Sql("event_identity(e.data, %s)", (name,))

    def key(self, names: Sequence[str]) -> _Sql:
        return _Sql("event_key(e.data, %s)", (properties.canonical(list(names)),))

    def filter(self, condition: Mapping[str, Any]) -> _Sql:
        return _Sql("event_meets(e.data, %s)", (_json(condition),))


_POSTGRESQL = _PostgreSQL()
_SQLITE = _SQLite()


# SQLite's functions. Quantities travel as text.


def _properties(data: str) -> dict[str, Any]:
    """Return an event's properties: none if something else than an object slipped in."""
    values = properties.read(data)
    return values if isinstance(values, dict) else {}


def _event_quantity(data: str, name: str) -> str | None:
    value = properties.quantity(_properties(data).get(name))
    return None if value is None else f"{value:f}"


def _event_identity(data: str, name: str) -> str | None:
    return properties.identity(_properties(data).get(name))


def _event_key(data: str, names: str) -> str:
    values = _properties(data)
    return properties.canonical([values.get(name) for name in properties.read(names)])


def _event_meets(data: str, condition: str) -> bool:
    return properties.meets([properties.read(condition)], _properties(data))


class _ExactTotal:
    """Sum quantities exactly, also in a window that only grows."""

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self.total = _ROOM.add(self.total or Decimal(0), Decimal(value))

    def inverse(self, value: str | None) -> None:
        if value is not None:
            self.total = _ROOM.subtract(self.total or Decimal(0), Decimal(value))

    def value(self) -> str | None:
        return None if self.total is None else f"{self.total:f}"

    finalize = value


class _ExactMax:
    """Find the highest quantity."""

    def __init__(self) -> None:
        self.highest: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None and (self.highest is None or Decimal(value) > self.highest):
            self.highest = Decimal(value)

    def finalize(self) -> str | None:
        return None if self.highest is None else f"{self.highest:f}"


def _register(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.vendor != "sqlite":
        return
    database = connection.connection
    database.create_function("event_quantity", 2, _event_quantity, deterministic=True)
    database.create_function("event_identity", 2, _event_identity, deterministic=True)
    database.create_function("event_key", 2, _event_key, deterministic=True)
    database.create_function("event_meets", 2, _event_meets, deterministic=True)
    database.create_window_function("exact_total", 1, _ExactTotal)
    database.create_aggregate("exact_max", 1, _ExactMax)


connection_created.connect(_register, dispatch_uid="metering_functions")


def _multirange(stretches: Sequence[tuple[datetime, datetime]]) -> str | None:
    """Write stretches as PostgreSQL does; None for none."""
    if not stretches:
        return None
    ranges = (f"[{start.isoformat()},{end.isoformat()})" for start, end in stretches)
    return f"{{{','.join(ranges)}}}"


def sqlite_instant(instant: datetime) -> str:
    """Return an instant as SQLite's columns hold it, so that texts compare like instants."""
    return str(instant.astimezone(UTC).replace(tzinfo=None))


def _json(condition: Mapping[str, Any]) -> str:
    """Write a filter so that a float in it keeps its digits."""
    values = [
        properties.number(repr(value)) if isinstance(value, float) else value
        for value in condition.get("values", ())
    ]
    return properties.canonical({**condition, "values": values})


def _exact(quantity: Any) -> Decimal:
    return Decimal(0) if quantity is None else Decimal(quantity)


def _instant(value: Any) -> datetime | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value  # type: ignore[no-any-return]
