"""What PostgreSQL and SQLite call differently in the statements over usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from customers.periods import UnknownTimeZone, first_instant, local_date, zone
from metering import properties
from metering.querysets.functions import sqlite_instant
from metering.querysets.values import Span, Target


class Sql(NamedTuple):
    """A piece of SQL with its parameters."""

    text: str
    params: tuple[Any, ...] = ()


EFFECTIVE_EVENTS = """(
            SELECT e.id, e.type, e.customer_id, e.subscription_id, e.time, e.received_at,
                COALESCE(a.data, e.data) AS data
            FROM metering_usageevent e LEFT JOIN metering_eventadjustment a
                ON a.event_key = e.key AND a.is_effective
            WHERE a.kind IS DISTINCT FROM 'void')"""
"""The events that count, each with the data that counts (R9)."""


class Dialect:
    """The statements' words; `e` is an event, `s` a span, and quantities are exact."""

    sum: str
    max: str
    zero: str
    greatest: str
    least: str
    no_instant: str
    no_number: str
    no_key: str

    def archived(self, type_: str) -> Sql:
        """Return which archived months have events of this type that an edge needs; NULL for none."""
        raise NotImplementedError

    def spans(self, spans: Sequence[Span]) -> Sql:
        """Return a query for the spans, numbered from 0."""
        raise NotImplementedError

    def targets(self, targets: Sequence[Target]) -> Sql:
        """Return a query for stretches of customers."""
        raise NotImplementedError

    def watches(self, rows: Sequence[tuple[Any, ...]]) -> Sql:
        """Return a query for what is watched; see `arrivals`."""
        raise NotImplementedError

    def each(self, rows: str, name: str, condition: str) -> str:
        """Return a join that looks `rows` up by `condition` once for every row on its left.

        So the index is used, whatever the planner believes about what is on the left.
        """
        raise NotImplementedError

    def is_elsewhere(self, instant: str) -> str:
        """Return whether an instant lies in a stretch of the span's `elsewhere`."""
        raise NotImplementedError

    def is_cut(self, start: str, end: str) -> str:
        """Return whether a stretch of the span's `elsewhere` begins or ends within another."""
        raise NotImplementedError

    def quantity(self, name: str) -> Sql:
        """Return the quantity in a property, NULL if it holds none; see `properties.quantity`."""
        raise NotImplementedError

    def identity(self, name: str) -> Sql:
        """Return what distinguishes values of a property; see `properties.identity`."""
        raise NotImplementedError

    def key(self, names: Sequence[str]) -> Sql:
        """Return what distinguishes combinations of properties, which reads as a JSON array."""
        raise NotImplementedError

    def key_part(self, key: str, places: Sequence[int]) -> str:
        """Return the key of some of the properties that a key is made of, by their places."""
        raise NotImplementedError

    def filter(self, condition: Mapping[str, Any]) -> Sql:
        """Return whether an event meets a filter; see `properties.meets`."""
        raise NotImplementedError

    def plus(self, one: str, other: str) -> str:
        raise NotImplementedError

    def minus(self, one: str, other: str) -> str:
        raise NotImplementedError

    def times(self, quantity: str, whole: str) -> str:
        raise NotImplementedError

    def elapsed(self, start: str, end: str) -> str:
        """Return the microseconds between two instants."""
        raise NotImplementedError

    def zones(self, names: Sequence[str], first: datetime, last: datetime) -> Sql:
        """Return a query for when the days of these zones begin."""
        raise NotImplementedError

    def day(self, instant: str) -> tuple[str, str]:
        """Return start and end of the day that an instant lies in, by the row `z` of `zones`."""
        raise NotImplementedError


class PostgreSQL(Dialect):
    sum, max, zero, greatest, least = "SUM", "MAX", "0::numeric", "GREATEST", "LEAST"
    no_instant, no_number, no_key = "NULL::timestamptz", "NULL::numeric", "NULL::jsonb"

    def archived(self, type_: str) -> Sql:
        return Sql(
            "(SELECT array_agg(DISTINCT to_char(m.month, 'YYYY-MM')"
            " ORDER BY to_char(m.month, 'YYYY-MM'))"
            " FROM metering_archivedmonth m JOIN edge e"
            " ON e.\"end\" > m.month::timestamp AT TIME ZONE 'UTC'"
            " AND e.\"start\" < (m.month + interval '1 month') AT TIME ZONE 'UTC'"
            " WHERE m.archived_at IS NOT NULL AND m.types @> to_jsonb(%s::text))",
            (type_,),
        )

    def spans(self, spans: Sequence[Span]) -> Sql:
        columns: list[list[Any]] = [
            list(range(len(spans))),
            [span.customer_id for span in spans],
            [span.subscription_id for span in spans],
            [span.start for span in spans],
            [span.end for span in spans],
            [_multirange(span.elsewhere) for span in spans],
        ]
        return _unnested(
            columns, ("int", "bigint", "bigint", "timestamptz", "timestamptz", "tstzmultirange")
        )

    def targets(self, targets: Sequence[Target]) -> Sql:
        columns = [list(column) for column in zip(*targets, strict=True)]
        return _unnested(columns, ("bigint", "text", "timestamptz", "timestamptz"))

    def watches(self, rows: Sequence[tuple[Any, ...]]) -> Sql:
        columns = [list(column) for column in zip(*rows, strict=True)]
        ids, instants = ("int", "bigint", "text", "text", "bigint"), ("timestamptz",) * 4
        return _unnested(columns, (*ids, *instants))

    def each(self, rows: str, name: str, condition: str) -> str:
        return f"CROSS JOIN LATERAL (SELECT * FROM {rows} {name} WHERE {condition} OFFSET 0) {name}"

    def is_elsewhere(self, instant: str) -> str:
        return f"{instant} <@ s.elsewhere"

    def is_cut(self, start: str, end: str) -> str:
        return (
            f"s.elsewhere && tstzrange({start}, {end}) "
            f"AND NOT s.elsewhere @> tstzrange({start}, {end})"
        )

    def quantity(self, name: str) -> Sql:
        held = "(e.data -> %s)::numeric"
        return Sql(
            "CASE jsonb_typeof(e.data -> %s) "
            f"WHEN 'number' THEN CASE WHEN abs({held}) < 1e20 AND min_scale({held}) <= 10 "
            f"THEN {held} END "
            "WHEN 'string' THEN CASE WHEN e.data ->> %s ~ %s THEN (e.data ->> %s)::numeric END END",
            (name, name, name, name, name, f"^{properties.VALUE_PATTERN}$", name),
        )

    def identity(self, name: str) -> Sql:
        return Sql(
            "CASE WHEN jsonb_typeof(e.data -> %s) IN ('number', 'string', 'boolean') "
            "THEN e.data -> %s END",
            (name, name),
        )

    def key(self, names: Sequence[str]) -> Sql:
        return Sql(
            f"jsonb_build_array({', '.join('e.data -> %s::text' for _ in names)})", tuple(names)
        )

    def key_part(self, key: str, places: Sequence[int]) -> str:
        return f"jsonb_build_array({', '.join(f'{key} -> {place}' for place in places)})"

    def filter(self, condition: Mapping[str, Any]) -> Sql:
        name, operator = condition["property"], condition["operator"]
        values = condition.get("values", ())
        present = "COALESCE(jsonb_typeof(e.data -> %s), 'null') <> 'null'"
        equal = "e.data -> %s = ANY(%s::jsonb[])"
        match operator:
            case "exists":
                return Sql(present, (name,))
            case "eq" | "in":
                texts = sorted(properties.equals(values))
                return Sql(f"{present} AND {equal}", (name, name, texts))
            case "not_in":
                texts = sorted(properties.equals(values))
                return Sql(f"NOT ({present} AND {equal})", (name, name, texts))
            case "gt" | "lt":
                held = self.quantity(name)
                sign = ">" if operator == "gt" else "<"
                [bound] = values
                return Sql(
                    f"{held.text} {sign} %s::numeric", (*held.params, properties.quantity(bound))
                )
            case _:
                raise properties.UnknownOperator(operator)

    def plus(self, one: str, other: str) -> str:
        return f"({one} + {other})"

    def minus(self, one: str, other: str) -> str:
        return f"({one} - {other})"

    def times(self, quantity: str, whole: str) -> str:
        return f"({quantity} * {whole})"

    def elapsed(self, start: str, end: str) -> str:
        return f"(EXTRACT(EPOCH FROM ({end} - {start})) * 1000000)::bigint"

    def zones(self, names: Sequence[str], first: datetime, last: datetime) -> Sql:
        rows = ", ".join("(%s, %s::timestamptz[])" for _ in names)
        days = [(name, _day_starts(name, first, last)) for name in names]
        return Sql(f"VALUES {rows}", tuple(value for row in days for value in row))

    def day(self, instant: str) -> tuple[str, str]:
        place = f"width_bucket({instant}, z.days)"
        midnight = f"date_trunc('day', {instant}, 'UTC')"  # of a day beyond those listed
        listed = f"{place} BETWEEN 1 AND array_length(z.days, 1) - 1"
        return (
            f"CASE WHEN {listed} THEN z.days[{place}] ELSE {midnight} END",
            f"CASE WHEN {listed} THEN z.days[{place} + 1] "
            f"ELSE {midnight} + interval '24 hours' END",
        )


class SQLite(Dialect):
    sum, max, zero, greatest, least = "exact_total", "exact_max", "'0'", "MAX", "MIN"
    no_instant = no_number = no_key = "NULL"

    def archived(self, type_: str) -> Sql:
        return Sql("NULL")  # nothing ever is

    def spans(self, spans: Sequence[Span]) -> Sql:
        return _each_row(
            [
                n,
                span.customer_id,
                span.subscription_id,
                sqlite_instant(span.start),
                sqlite_instant(span.end),
                [[sqlite_instant(one) for one in stretch] for stretch in span.elsewhere] or None,
            ]
            for n, span in enumerate(spans)
        )

    def targets(self, targets: Sequence[Target]) -> Sql:
        return _each_row(
            [customer_id, zone_name, sqlite_instant(start), sqlite_instant(end)]
            for customer_id, zone_name, start, end in targets
        )

    def watches(self, rows: Sequence[tuple[Any, ...]]) -> Sql:
        return _each_row(
            [sqlite_instant(cell) if isinstance(cell, datetime) else cell for cell in row]
            for row in rows
        )

    def each(self, rows: str, name: str, condition: str) -> str:
        return f"CROSS JOIN {rows} {name} ON {condition}"

    def is_elsewhere(self, instant: str) -> str:
        return (
            "EXISTS (SELECT 1 FROM json_each(s.elsewhere) other "
            f"WHERE {instant} >= json_extract(other.value, '$[0]') "
            f"AND {instant} < json_extract(other.value, '$[1]'))"
        )

    def is_cut(self, start: str, end: str) -> str:
        return (
            "EXISTS (SELECT 1 FROM json_each(s.elsewhere) other, json_each(other.value) bound "
            f"WHERE bound.value > {start} AND bound.value < {end})"
        )

    def quantity(self, name: str) -> Sql:
        return Sql("event_quantity(e.data, %s)", (name,))

    def identity(self, name: str) -> Sql:
        return Sql("event_identity(e.data, %s)", (name,))

    def key(self, names: Sequence[str]) -> Sql:
        return Sql("event_key(e.data, %s)", (properties.canonical(list(names)),))

    def key_part(self, key: str, places: Sequence[int]) -> str:
        return f"key_part({key}, '{list(places)}')"

    def filter(self, condition: Mapping[str, Any]) -> Sql:
        return Sql("event_meets(e.data, %s)", (properties.canonical(condition),))

    def plus(self, one: str, other: str) -> str:
        return f"exact_plus({one}, {other})"

    def minus(self, one: str, other: str) -> str:
        return f"exact_minus({one}, {other})"

    def times(self, quantity: str, whole: str) -> str:
        return f"exact_times({quantity}, {whole})"

    def elapsed(self, start: str, end: str) -> str:
        return f"elapsed({start}, {end})"

    def zones(self, names: Sequence[str], first: datetime, last: datetime) -> Sql:
        return Sql("SELECT value, NULL FROM json_each(%s)", (properties.canonical(list(names)),))

    def day(self, instant: str) -> tuple[str, str]:
        return f"local_day_start({instant}, z.name)", f"local_day_end({instant}, z.name)"


_POSTGRESQL = PostgreSQL()
_SQLITE = SQLite()


def dialect() -> Dialect:
    """Return that of the database in use."""
    return _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE


def _unnested(columns: Sequence[list[Any]], types: Sequence[str]) -> Sql:
    arrays = ", ".join(f"%s::{name}[]" for name in types)
    return Sql(f"SELECT * FROM unnest({arrays})", tuple(columns))


def _each_row(rows: Any) -> Sql:
    found = list(rows)
    columns = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(found[0])))
    return Sql(f"SELECT {columns} FROM json_each(%s)", (properties.canonical(found),))


def _multirange(stretches: Sequence[tuple[datetime, datetime]]) -> str | None:
    """Write stretches as PostgreSQL does; None for none."""
    if not stretches:
        return None
    ranges = (f"[{start.isoformat()},{end.isoformat()})" for start, end in stretches)
    return f"{{{','.join(ranges)}}}"


def _day_starts(zone_name: str, first: datetime, last: datetime) -> list[datetime]:
    """Return when the days of a zone begin, from that of `first` until after that of `last`."""
    try:
        place = zone(zone_name)
    except UnknownTimeZone:
        place = zone("UTC")
    day, after = local_date(first, place), local_date(last, place) + timedelta(days=2)
    starts = set()
    while day < after:
        starts.add(first_instant(day, place))  # a date that the zone skipped begins with the next
        day += timedelta(days=1)
    return sorted(starts)
