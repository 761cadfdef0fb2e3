"""Folding: the pieces of one key and day become one, so that reading stays short."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection, transaction
from django.db.models import Max, QuerySet

from metering.definitions import Definition, definition_from
from metering.models import PieceBatch, Rollup, UsagePiece
from metering.querysets import Target, fragments
from metering.querysets.dialects import Sql, dialect
from metering.services.rollups.rebuilding import (
    lock_rollups,
    rebuild,
    try_to_lock_rollups,
    within_reach,
)

PIECES_PER_STEP = 10_000
BATCHES_PER_STEP = 500

_FRESH = UsagePiece.objects.filter(is_folded=False)


def fold_pieces(*, patient: bool = True) -> int:
    """Merge what was appended since the last time; return how many pieces there were to fold.

    What order matters of is summed up from its events; where those are archived, it is left as it
    is. In steps of a transaction each. Right at any moment, beside ingestion and beside itself.
    What arrives meanwhile is left for the next time: it would come as fast as it is folded.
    Unless `patient`, it leaves the rest to whoever else folds or rebuilds, and does not wait.
    """
    folded = 0
    for waiting, fold_some in ((PieceBatch.objects.all(), _fold_batches), (_FRESH, _fold_some)):
        newest = waiting.aggregate(newest=Max("pk"))["newest"] or 0
        while (step := _step(fold_some, newest, patient=patient)) is not None:
            folded += step
    return folded


@transaction.atomic
def _step(fold_some: Callable[[int], int | None], newest: int, *, patient: bool) -> int | None:
    if patient:
        lock_rollups()
    elif not try_to_lock_rollups():
        return None
    return fold_some(newest)


def _fold_batches(newest: int) -> int | None:
    """Take the oldest batches of a rollup in; return how many pieces they came to, None without any.

    Up to the `newest`, included.
    """
    waiting = PieceBatch.objects.filter(pk__lte=newest).order_by("pk")
    oldest = waiting.values_list("rollup_id", flat=True).first()
    if oldest is None:
        return None
    rollup = Rollup.objects.filter(pk=oldest).first()
    if rollup is None:  # of a metric that is measured differently by now
        PieceBatch.objects.filter(rollup=oldest).delete()
        return 0
    definition = definition_from(rollup.definition)
    batch = Sql(
        """
        DELETE FROM metering_piecebatch WHERE id IN (
            SELECT id FROM metering_piecebatch WHERE rollup_id = %s AND id <= %s
            ORDER BY id LIMIT %s)
        RETURNING *""",
        (rollup.pk, newest, BATCHES_PER_STEP),
    )
    pieces = fragments.unfolded("taken b")
    if definition.kind.is_ordered:
        _unpack(rollup, batch, pieces)
        return 0
    return _take_in(rollup, definition, batch, pieces)


def _unpack(rollup: Rollup, batch: Sql, pieces: str) -> None:
    """Turn batches into pieces of their own, to be folded as such."""
    columns = fragments.PIECE_COLUMNS
    statement = f"""
        WITH taken AS ({{batch}})
        INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
        SELECT {{rollup}}, FALSE, pieces.* FROM ({pieces}) AS pieces"""
    _run(fragments.joined(statement, batch=batch, rollup=Sql("%s", (rollup.pk,))))


def _fold_some(newest: int) -> int | None:
    """Fold the oldest pieces of a rollup, up to the `newest`; return how many, None without any."""
    fresh = _FRESH.filter(pk__lte=newest)
    oldest = fresh.order_by("pk").values_list("rollup_id", flat=True).first()
    if oldest is None:
        return None
    rollup = Rollup.objects.filter(pk=oldest).first()
    if rollup is None:  # of a metric that is measured differently by now
        UsagePiece.objects.filter(rollup=oldest).delete()
        return 0
    definition = definition_from(rollup.definition)
    if definition.kind.is_ordered:
        return _sum_up_anew(rollup, fresh)
    return _merge(rollup, definition, newest)


def _sum_up_anew(rollup: Rollup, fresh: QuerySet[UsagePiece]) -> int | None:
    """Sum up from events the days of the next pieces of a rollup of which order matters."""
    rows = fresh.filter(rollup=rollup).order_by("pk")
    chosen = list(
        rows.values_list("pk", "customer_id", "customer__time_zone", "starts_at", "ends_at")[
            :PIECES_PER_STEP
        ]
    )
    days = {Target(customer_id, zone, *day) for _, customer_id, zone, *day in chosen}
    rebuild(rollup, within_reach(sorted(days)))
    UsagePiece.objects.filter(pk__in=[row[0] for row in chosen]).update(is_folded=True)
    return len(chosen) or None


def _merge(rollup: Rollup, definition: Definition, newest: int) -> int:
    """Take the next pieces in."""
    fresh = Sql(
        """
            SELECT {columns} FROM metering_usagepiece
            WHERE NOT is_folded AND rollup_id = %s AND id <= %s ORDER BY id LIMIT %s""",
        (rollup.pk, newest, PIECES_PER_STEP),
    )
    if connection.vendor == "postgresql":
        chosen = fresh.text.format(columns="id")
        taken = f"""
        DELETE FROM metering_usagepiece WHERE id IN ({chosen})
        RETURNING {fragments.PIECE_COLUMNS}"""
        return _take_in(rollup, definition, Sql(taken, fresh.params), "taken")
    return _merge_days(rollup, definition, Sql(fresh.text.format(columns=_DAY), fresh.params))


def _take_in(rollup: Rollup, definition: Definition, taken: Sql, pieces: str) -> int:
    """Add pieces to those that are folded, on PostgreSQL; return how many were taken or, of batches,
    what these came to.

    `taken` removes what `pieces` reads as `taken`. A piece of the same key and day, of which there
    is at most one, is written over: in its place on its page, where half is left free for that.
    """
    words = dialect()
    runs, counted = (pieces, "taken") if pieces == "taken" else (f"({pieces})", "fresh")
    statement = f"""
        WITH taken AS ({{taken}}),
        merged ({fragments.PIECE_COLUMNS}) AS (
            {fragments.merged(words, definition, runs)}),
        fresh AS MATERIALIZED (SELECT ROW_NUMBER() OVER () AS n, merged.* FROM merged),
        grown AS (
            UPDATE metering_usagepiece p SET {fragments.grown(definition)} FROM fresh f
            WHERE p.rollup_id = {{rollup}} AND p.is_folded AND p.customer_id = f.customer_id
                AND p.ends_at = f.ends_at AND p.starts_at = f.starts_at AND p.key = f.key
                AND p.subscription_id IS NOT DISTINCT FROM f.subscription_id
            RETURNING f.n),
        made AS (
            INSERT INTO metering_usagepiece (rollup_id, is_folded, {fragments.PIECE_COLUMNS})
            SELECT {{made_of}}, TRUE, {fragments.PIECE_COLUMNS} FROM fresh
            WHERE n NOT IN (SELECT n FROM grown))
        SELECT COUNT(*) FROM {counted}"""
    pk = Sql("%s", (rollup.pk,))
    return _number(fragments.joined(statement, taken=taken, rollup=pk, made_of=pk))


_DAY = "customer_id, starts_at, ends_at"
_OF_DAY = (
    "p.customer_id = d.customer_id AND p.rollup_id = %s "
    "AND p.ends_at = d.ends_at AND p.starts_at = d.starts_at"
)


def _merge_days(rollup: Rollup, definition: Definition, fresh: Sql) -> int:
    """Replace all pieces of these days by one per key and day, on SQLite; return how many they are."""
    words = dialect()
    days = f"day AS MATERIALIZED (SELECT DISTINCT {_DAY} FROM ({{fresh}}))"
    of_day, pk = Sql(_OF_DAY, (rollup.pk,)), Sql("%s", (rollup.pk,))
    last = _number(Sql("SELECT MAX(id) FROM metering_usagepiece"))
    count = _number(Sql(f"SELECT COUNT(*) FROM ({fresh.text})", fresh.params))
    held = f"SELECT p.* FROM day d {words.each('metering_usagepiece', 'p', '{of_day}')}"
    made = f"""
        WITH {days}, held AS ({held})
        INSERT INTO metering_usagepiece (rollup_id, is_folded, {fragments.PIECE_COLUMNS})
        SELECT {{rollup}}, TRUE, pieces.* FROM (
            {fragments.merged(words, definition, "held")}) AS pieces"""
    _run(fragments.joined(made, fresh=fresh, of_day=of_day, rollup=pk))
    dropped = f"""
        WITH {days}
        DELETE FROM metering_usagepiece WHERE id IN (
            SELECT held.id FROM ({held}) AS held WHERE held.id <= {{last}})"""
    _run(fragments.joined(dropped, fresh=fresh, of_day=of_day, last=Sql("%s", (last,))))
    return count


def _number(statement: Sql) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        [number] = cursor.fetchone()
    return int(number)


def _run(statement: Sql) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
