"""Parts that the statements over usage share.

A *piece* is what is kept of a customer's events of one day (`UsagePiece`), a *run* what a statement
adds up: a piece, or one event as if it were one. An *island* is a stretch of a customer's time
that pieces cover which overlap, because the days of two time zones do.
"""

from __future__ import annotations

from collections.abc import Mapping

from metering.definitions import Definition, Kind
from metering.querysets.dialects import Dialect, Sql

PIECE_COLUMNS = (
    "customer_id, subscription_id, key, starts_at, ends_at, events, last_received_at, total, "
    "highest, area, last_value, first_time, last_time, last_id"
)
_ARRAYS = {
    "customer_id": "customer_ids",
    "subscription_id": "subscription_ids",
    "key": "keys",
    "starts_at": "starts",
    "ends_at": "ends",
    "events": "events",
    "total": "totals",
    "highest": "highests",
    "area": "areas",
    "last_value": "last_values",
    "first_time": "first_times",
    "last_time": "last_times",
    "last_id": "last_ids",
}

_KEEPS_LAST = (Kind.LAST, Kind.HIGHEST, Kind.HELD)
_KEEPS_TOTAL = (Kind.SUM, Kind.PEAK, Kind.FLOW)
_KEEPS_HIGHEST = (Kind.HIGHEST, Kind.PEAK)
_KEEPS_AREA = (Kind.FLOW, Kind.HELD)


def joined(template: str, **parts: Sql) -> Sql:
    """Fill {named} parts into a template, once each, with their parameters in its order."""
    order = sorted(parts, key=lambda name: template.index(f"{{{name}}}"))
    text = template
    for name in order:
        assert text.count(f"{{{name}}}") == 1, name
        text = text.replace(f"{{{name}}}", parts[name].text)
    return Sql(text, tuple(param for name in order for param in parts[name].params))


def unfolded(batches: str) -> str:
    """Return PostgreSQL's query for the pieces in rows `b` of `PieceBatch`; columns: PIECE_COLUMNS.

    Its rows are `u`. Arrays are taken apart side by side where they are selected: as a row source,
    the server would first write each of them down.
    """
    arrays = ", ".join(f"unnest(b.{array}) AS {name}" for name, array in _ARRAYS.items())
    return _unfolded(
        {name: f"u.{name}" for name in _ARRAYS},
        f"(SELECT b.last_received_at, {arrays} FROM {batches}) AS u",
        "u.last_received_at",
    )


def unfolded_of_one(batches: str) -> str:
    """Return `unfolded` for one customer, a parameter, without taking all the arrays apart."""
    return _unfolded(
        {name: f"b.{array}[u.place]" for name, array in _ARRAYS.items()},
        f"{batches} CROSS JOIN LATERAL "
        "unnest(array_positions(b.customer_ids, %s::bigint)) AS u (place)",
        "b.last_received_at",
    )


def _unfolded(columns: Mapping[str, str], rows: str, last_received_at: str) -> str:
    found = {
        **columns,
        "key": f"COALESCE({columns['key']}, '[]'::jsonb)",
        "last_received_at": last_received_at,
    }
    selected = ", ".join(f"{found[name]} AS {name}" for name in PIECE_COLUMNS.split(", "))
    return f"SELECT {selected} FROM {rows}"


def value(dialect: Dialect, definition: Definition) -> Sql:
    """Return what counts of an event, NULL for nothing."""
    if definition.kind == Kind.COUNT:
        return Sql("1")
    if definition.kind == Kind.UNIQUE:
        return dialect.identity(definition.value_property)
    return dialect.quantity(definition.value_property)


def counts(dialect: Dialect, definition: Definition) -> Sql:
    """Return whether an event of the right type meets the filters."""
    parts = [dialect.filter(condition) for condition in definition.filters]
    text = " AND ".join(["TRUE", *(part.text for part in parts)])
    return Sql(text, tuple(param for part in parts for param in part.params))


def mine(words: Dialect, row: str, instant: str) -> str:
    """Return whether an event or piece of the customer counts in the span (R6)."""
    return f"""CASE WHEN {row}.subscription_id IS NULL
                THEN s.elsewhere IS NULL OR NOT {words.is_elsewhere(instant)}
                ELSE {row}.subscription_id = COALESCE(s.subscription_id, {row}.subscription_id)
                END"""


def islands(extents: str) -> str:
    """Return a query for the islands that extents form: owner, starts_at, ends_at, flag.

    `extents` has the same columns; an island is flagged if one of its extents is.
    """
    return f"""
        SELECT owner, MIN(starts_at), MAX(ends_at), MAX(flag) FROM (
            SELECT owner, starts_at, ends_at, flag, SUM(begins) OVER (
                PARTITION BY owner ORDER BY starts_at, ends_at) AS island
            FROM (
                SELECT owner, starts_at, ends_at, flag, CASE WHEN starts_at < MAX(ends_at) OVER (
                    PARTITION BY owner ORDER BY starts_at, ends_at
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS begins
                FROM {extents} AS extents
            ) AS marked
        ) AS numbered GROUP BY owner, island"""


def event_runs(dialect: Dialect, definition: Definition, events: str) -> str:
    """Return a query for events as runs that `merged` can add up.

    Of `events`: the columns of a piece up to ends_at, then id, time, received_at, value. A run's
    area reaches to the end of its day, so that areas of runs of one day add up.
    """
    kind = definition.kind
    nothing = dialect.no_number
    series = "PARTITION BY customer_id, subscription_id, key, starts_at, ends_at"
    total = "value" if kind in _KEEPS_TOTAL else nothing
    last = "value" if kind in _KEEPS_LAST else nothing
    highest = area = nothing
    if kind == Kind.HIGHEST:
        highest = "value"
    elif kind == Kind.PEAK:  # peers in the window are the changes of one instant
        highest = f"{dialect.sum}(value) OVER ({series} ORDER BY time)"
    elif kind == Kind.FLOW:
        area = dialect.times("value", dialect.elapsed("time", "ends_at"))
    elif kind == Kind.HELD:
        until = f"LEAD(time, 1, ends_at) OVER ({series} ORDER BY time, id)"
        area = dialect.times("value", dialect.elapsed("time", until))
    return f"""
        SELECT customer_id, subscription_id, key, starts_at, ends_at, 1 AS events,
            received_at AS last_received_at, {total} AS total, {highest} AS highest,
            {area} AS area, {last} AS last_value, time AS first_time, time AS last_time,
            id AS last_id
        FROM {events} AS events"""


def merged(dialect: Dialect, definition: Definition, runs: str) -> str:
    """Return a query for pieces, one for all runs of one key and day; columns: PIECE_COLUMNS."""
    kind = definition.kind
    nothing = dialect.no_number
    total = f"{dialect.sum}(total)" if kind in _KEEPS_TOTAL else nothing
    highest = f"{dialect.max}(highest)" if kind in _KEEPS_HIGHEST else nothing
    area = f"{dialect.sum}(area)" if kind in _KEEPS_AREA else nothing
    last_value, last_id, ranked = nothing, "MAX(last_id)", runs
    if kind in _KEEPS_LAST:
        last_value = f"{dialect.max}(last_value) FILTER (WHERE newest = 1)"
        last_id = "MAX(last_id) FILTER (WHERE newest = 1)"
        ranked = f"""(SELECT runs.*, ROW_NUMBER() OVER (
                PARTITION BY customer_id, subscription_id, key, starts_at, ends_at
                ORDER BY last_time DESC, last_id DESC) AS newest FROM {runs} AS runs)"""
    return f"""
        SELECT customer_id, subscription_id, key, starts_at, ends_at, SUM(events),
            MAX(last_received_at), {total}, {highest}, {area}, {last_value},
            MIN(first_time), MAX(last_time), {last_id}
        FROM {ranked} AS ranked
        GROUP BY customer_id, subscription_id, key, starts_at, ends_at"""


def grown(definition: Definition) -> str:
    """Return how PostgreSQL adds a piece `f` to the `p` of its key and day, as `merged` does."""
    kind = definition.kind
    added = ["events = p.events + f.events"]
    added += ["total = p.total + f.total"] * (kind in _KEEPS_TOTAL)
    added += ["area = p.area + f.area"] * (kind in _KEEPS_AREA)
    greatest = ["last_received_at", "last_time"] + ["highest"] * (kind in _KEEPS_HIGHEST)
    if kind in _KEEPS_LAST:
        is_newer = "(f.last_time, f.last_id) > (p.last_time, p.last_id)"
        added += [
            f"{name} = CASE WHEN {is_newer} THEN f.{name} ELSE p.{name} END"
            for name in ("last_value", "last_id")
        ]
    else:
        greatest.append("last_id")
    added += [f"{name} = GREATEST(p.{name}, f.{name})" for name in greatest]
    return ", ".join([*added, "first_time = LEAST(p.first_time, f.first_time)"])
