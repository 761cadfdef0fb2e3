"""From runs to the aggregate of each span and group (R10).

Runs have n, since, until (the span), inside (else before it, carried over), grp, series, then what
a piece has. Every query answers n, grp, quantity, events, last arrival.
"""

from __future__ import annotations

from collections.abc import Callable

from metering.definitions import Kind
from metering.querysets.dialects import Dialect

_SEEN = (
    "SUM(CASE WHEN inside THEN events ELSE 0 END) AS events, "
    "MAX(CASE WHEN inside THEN last_received_at END) AS last_received_at"
)


def aggregate(words: Dialect, kind: Kind) -> str:
    """Return the query over `run` that answers for metrics of this kind."""
    return _AGGREGATES[kind](words)


def _count(words: Dialect) -> str:
    return f"SELECT n, grp, SUM(CASE WHEN inside THEN events ELSE 0 END), {_SEEN} FROM run GROUP BY n, grp"


def _unique(words: Dialect) -> str:
    return f"SELECT n, grp, COUNT(DISTINCT series), {_SEEN} FROM run GROUP BY n, grp"


def _sum(words: Dialect) -> str:
    """Add up; where events change a level, all that came before is its level at the start."""
    return f"SELECT n, grp, {words.sum}(total), {_SEEN} FROM run GROUP BY n, grp"


def _last(words: Dialect) -> str:
    """Add up each series' last level."""
    return f"""
        SELECT n, grp, {words.sum}(last_value) FILTER (WHERE newest = 1), {_SEEN} FROM (
            SELECT run.*, ROW_NUMBER() OVER (
                PARTITION BY n, grp, series ORDER BY last_time DESC, last_id DESC) AS newest
            FROM run
        ) AS ranked GROUP BY n, grp"""


def _highest(words: Dialect) -> str:
    """Add up each series' highest level; the level carried over counts as long as it held."""
    return f"""
        SELECT n, grp, {words.sum}(top), SUM(events), MAX(last_received_at) FROM (
            SELECT n, grp, series, {_SEEN},
                {words.max}(CASE WHEN inside THEN highest
                    WHEN newest = 1 AND replaced = 0 THEN last_value END) AS top
            FROM (
                SELECT run.*, ROW_NUMBER() OVER (
                        PARTITION BY n, grp, series, inside
                        ORDER BY last_time DESC, last_id DESC) AS newest,
                    MAX(CASE WHEN inside AND first_time = since THEN 1 ELSE 0 END) OVER (
                        PARTITION BY n, grp, series) AS replaced
                FROM run
            ) AS ranked GROUP BY n, grp, series
        ) AS per_series GROUP BY n, grp"""


def _peak(words: Dialect) -> str:
    """Add up each series' highest running total; changes of one instant count as one.

    What came before the span is its level at the start, 0 without carry-over, which counts unless
    something changes it at that very instant. Runs that begin at one instant are single events:
    a piece beside them would interleave.
    """
    return f"""
        SELECT n, grp, {words.sum}(top), SUM(events), MAX(last_received_at) FROM (
            SELECT n, grp, series, SUM(events) AS events,
                MAX(last_received_at) AS last_received_at,
                {words.max}(CASE WHEN inside THEN {words.plus(words.minus("level", "total"), "highest")}
                    WHEN replaced = 0 THEN total END) AS top
            FROM (
                SELECT instants.*, {words.sum}(total) OVER (
                        PARTITION BY n, grp, series ORDER BY place, instant) AS level,
                    MAX(CASE WHEN inside AND instant = since THEN 1 ELSE 0 END) OVER (
                        PARTITION BY n, grp, series) AS replaced
                FROM (
                    SELECT n, grp, series, since, inside, CASE WHEN inside THEN 1 ELSE 0 END AS place,
                        CASE WHEN inside THEN first_time END AS instant, {_SEEN},
                        {words.sum}(total) AS total,
                        CASE WHEN COUNT(*) = 1 THEN {words.max}(highest)
                            ELSE {words.sum}(total) END AS highest
                    FROM (
                        SELECT n, grp, series, since, inside, first_time, events,
                            last_received_at, total, highest FROM run
                        UNION ALL
                        SELECT DISTINCT n, grp, series, since, FALSE, {words.no_instant}, 0,
                            {words.no_instant}, {words.zero}, {words.zero} FROM run
                    ) AS changes
                    GROUP BY n, grp, series, since, inside,
                        CASE WHEN inside THEN first_time END
                ) AS instants
            ) AS levels GROUP BY n, grp, series
        ) AS per_series GROUP BY n, grp"""


def _flow(words: Dialect) -> str:
    """Add up what each change weighs from its instant, or the start, until the span's end."""
    held = words.times(
        "total", words.elapsed("CASE WHEN inside THEN ends_at ELSE since END", "until")
    )
    weight = f"CASE WHEN inside THEN {words.plus('area', held)} ELSE {held} END"
    return f"SELECT n, grp, {words.sum}({weight}), {_SEEN} FROM run GROUP BY n, grp"


def _held(words: Dialect) -> str:
    """Add up each series' level × time: within its runs, and from each to the next.

    The last run before the span holds from the start.
    """
    following = words.elapsed("CASE WHEN inside THEN ends_at ELSE since END", "following")
    weight = words.plus(
        f"CASE WHEN inside THEN area ELSE {words.zero} END", words.times("last_value", following)
    )
    return f"""
        SELECT n, grp, {words.sum}({weight}), {_SEEN} FROM (
            SELECT kept.*, LEAD(first_time, 1, until) OVER (
                PARTITION BY n, grp, series ORDER BY place, first_time, last_id) AS following
            FROM (
                SELECT run.*, CASE WHEN inside THEN 1 ELSE 0 END AS place, ROW_NUMBER() OVER (
                    PARTITION BY n, grp, series, inside
                    ORDER BY last_time DESC, last_id DESC) AS newest FROM run
            ) AS kept WHERE inside OR newest = 1
        ) AS followed GROUP BY n, grp"""


_AGGREGATES: dict[Kind, Callable[[Dialect], str]] = {
    Kind.COUNT: _count,
    Kind.SUM: _sum,
    Kind.UNIQUE: _unique,
    Kind.LAST: _last,
    Kind.HIGHEST: _highest,
    Kind.PEAK: _peak,
    Kind.FLOW: _flow,
    Kind.HELD: _held,
}
