"""Summing events up anew: for corrections, for new metrics, and where order matters.

One statement whose snapshot both drops the pieces it sees and makes new ones of the events it
sees, so it is exact beside ingestion, which it never waits for. Those who rebuild or fold wait
for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from django.db import connection, transaction
from django.db.models import Max, Min, OuterRef, Subquery

from customers.models import Customer
from metering.days import local_day
from metering.definitions import Definition, definition_from
from metering.models import ArchivedMonth, Rollup, UsageEvent
from metering.querysets import Target, fragments
from metering.querysets.dialects import EFFECTIVE_EVENTS, Dialect, Sql, dialect

_LOCK = 5_021_977  # any number that nothing else locks
EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def lock_rollups() -> None:
    """Wait until nobody else rebuilds or folds, and keep others from it until the commit.

    On SQLite there is one writer anyway.
    """
    assert connection.in_atomic_block
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def try_to_lock_rollups() -> bool:
    """Do as `lock_rollups` if nobody else rebuilds or folds; say whether it is done."""
    assert connection.in_atomic_block
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
        return bool(cursor.fetchone()[0])


def within_reach(targets: Sequence[Target]) -> list[Target]:
    """Return those without a month whose events are archived: their pieces stay as they are."""
    gone = set(ArchivedMonth.objects.values_list("month", flat=True))
    return [target for target in targets if gone.isdisjoint(_months(target))]


def _months(target: Target) -> set[date]:
    """Return the months, in UTC, of a day."""
    return {one.date().replace(day=1) for one in (target.start, target.end - datetime.resolution)}


@transaction.atomic
def rebuild_around(events: Iterable[UsageEvent]) -> None:
    """Sum up anew the days in which these events lie, whose corrections were just written.

    Events with their customer loaded. As many statements as they have types' rollups.
    """
    events = list(events)
    lock_rollups()
    for rollup in Rollup.objects.filter(event_type__in={event.type for event in events}):
        targets = {_day_of(event) for event in events if event.type == rollup.event_type}
        rebuild(rollup, sorted(targets))


def _day_of(event: UsageEvent) -> Target:
    place = event.customer.time_zone
    return Target(event.customer_id, place, *local_day(event.time, place))


@transaction.atomic
def rebuild(rollup: Rollup, targets: Sequence[Target]) -> None:
    """Sum up anew all days of a rollup that these stretches touch; see `lock_rollups`.

    :raises MonthArchived: if events of a month they touch are archived; then the sums stay.
    """
    if not targets:
        return
    stretches = ((target.start, target.end) for target in targets)
    ArchivedMonth.objects.refuse(rollup.event_type, stretches)
    lock_rollups()
    definition = definition_from(rollup.definition)
    words = dialect()
    made = _made(words, rollup, definition, targets)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(made.text, made.params)
            return
        cursor.execute("SELECT COALESCE(MAX(id), 0) FROM metering_usagepiece")
        [newest] = cursor.fetchone()
        cursor.execute(made.text, made.params)
        dropped = _dropped(words, rollup, targets, newest)
        cursor.execute(dropped.text, dropped.params)


def _made(words: Dialect, rollup: Rollup, definition: Definition, targets: Sequence[Target]) -> Sql:
    """Insert pieces of the events in the islands that targets touch; on PostgreSQL, drop the old."""
    start, end = words.day("e.time")
    days = f"""
        SELECT r.owner AS customer_id, e.subscription_id, {{key}} AS key,
            {words.greatest}({start}, r.starts_at) AS starts_at,
            {words.least}({end}, r.ends_at) AS ends_at,
            e.id, e.time, e.received_at, {{value}} AS value
        FROM island r JOIN zone_of o ON o.customer_id = r.owner JOIN zone z ON z.name = o.zone
            {{lookup}}
        WHERE r.flag = 1 AND {{counts}}"""
    lookup = words.each(
        EFFECTIVE_EVENTS,
        "e",
        "e.customer_id = r.owner AND e.type = %s AND e.time >= r.starts_at AND e.time < r.ends_at",
    )
    columns = fragments.PIECE_COLUMNS
    gone = Sql("")
    if connection.vendor == "postgresql":
        gone = Sql(
            f"""gone AS (
            DELETE FROM metering_usagepiece p USING island r WHERE {_IN_ISLAND}),
        kept AS (
            INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
            SELECT %s, FALSE, p.* FROM unfolded p WHERE NOT EXISTS (
                SELECT 1 FROM island r WHERE {_TOUCHED})),""",
            (rollup.pk, rollup.pk),
        )
    return fragments.joined(
        f"""
        WITH {{islands}},
        zone_of AS (SELECT DISTINCT customer_id, zone FROM target),
        zone (name, days) AS MATERIALIZED ({{zones}}),
        {{gone}}
        event AS ({{events}}),
        valued AS (SELECT * FROM event WHERE value IS NOT NULL)
        INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
        SELECT {{rollup}}, TRUE, pieces.* FROM ({{merged}}) AS pieces""",
        islands=_islands(words, rollup, targets),
        zones=words.zones(*_zones(rollup, targets)),
        gone=gone,
        events=fragments.joined(
            days,
            key=words.key(definition.key_names),
            value=fragments.value(words, definition),
            lookup=Sql(lookup, (definition.event_type,)),
            counts=fragments.counts(words, definition),
        ),
        rollup=Sql("%s", (rollup.pk,)),
        merged=Sql(
            fragments.merged(
                words, definition, f"({fragments.event_runs(words, definition, 'valued')})"
            )
        ),
    )


_TOUCHED = (
    "r.flag = 1 AND p.customer_id = r.owner AND p.starts_at < r.ends_at AND p.ends_at > r.starts_at"
)
_IN_ISLAND = f"p.rollup_id = %s AND {_TOUCHED}"


def _dropped(words: Dialect, rollup: Rollup, targets: Sequence[Target], newest: int) -> Sql:
    """Delete what SQLite had before."""
    return fragments.joined(
        """
        WITH {islands}
        DELETE FROM metering_usagepiece WHERE id IN (
            SELECT p.id FROM island r CROSS JOIN metering_usagepiece p WHERE {chosen})""",
        islands=_islands(words, rollup, targets),
        chosen=Sql(f"{_IN_ISLAND} AND p.id <= %s", (rollup.pk, newest)),
    )


def _islands(words: Dialect, rollup: Rollup, targets: Sequence[Target]) -> Sql:
    """The islands of the targets' customers, flagged if a target touches them.

    On PostgreSQL with what was in batches, which the statement takes out of them.
    """
    taken, theirs = Sql(""), ""
    if connection.vendor == "postgresql":
        taken = Sql(
            f"""batch AS (DELETE FROM metering_piecebatch WHERE rollup_id = %s RETURNING *),
        unfolded AS MATERIALIZED ({fragments.unfolded("batch b")}),""",
            (rollup.pk,),
        )
        theirs = """
            UNION ALL
            SELECT customer_id, starts_at, ends_at, 0 FROM unfolded
            WHERE customer_id IN (SELECT customer_id FROM target)"""
    return fragments.joined(
        f"""
        {{taken}}
        target (customer_id, zone, "start", "end") AS MATERIALIZED ({{targets}}),
        extent (owner, starts_at, ends_at, flag) AS (
            SELECT customer_id, "start", "end", 1 FROM target
            UNION ALL
            SELECT p.customer_id, p.starts_at, p.ends_at, 0
            FROM (SELECT DISTINCT customer_id FROM target) t {{pieces}}{theirs}
        ),
        island (owner, starts_at, ends_at, flag) AS MATERIALIZED ({{islands}})""",
        taken=taken,
        targets=words.targets(targets),
        pieces=Sql(
            words.each(
                "metering_usagepiece", "p", "p.customer_id = t.customer_id AND p.rollup_id = %s"
            ),
            (rollup.pk,),
        ),
        islands=Sql(fragments.islands("extent")),
    )


def _zones(rollup: Rollup, targets: Sequence[Target]) -> tuple[list[str], datetime, datetime]:
    """Return the targets' zones, and between when their days are needed."""
    mine = UsageEvent.objects.filter(customer=OuterRef("pk"), type=rollup.event_type)
    times = mine.values("time")
    seen = (
        Customer.objects.filter(pk__in={target.customer_id for target in targets})
        .order_by()
        .annotate(
            first=Subquery(times.order_by("time")[:1]), last=Subquery(times.order_by("-time")[:1])
        )
        .aggregate(earliest=Min("first"), latest=Max("last"))
    )
    start = min(target.start for target in targets)
    end = max(target.end for target in targets)
    names = sorted({target.time_zone for target in targets})
    return names, max(start, seen["earliest"] or start), min(end, seen["latest"] or start)
