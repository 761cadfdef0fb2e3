"""Folding: the pieces of one key and day become one, so that reading stays short."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection, transaction
from django.db.models import Max, QuerySet

from metering.definitions import Definition, definition_from
from metering.models import PieceBatch, Rollup, UsagePiece
from metering.querysets import Target, fragments
from metering.querysets.dialects import Dialect, Sql, dialect
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
    pieces = fragments.unfolded("batch b")
    if definition.kind.is_ordered:
        _unpack(rollup, batch, pieces)
        return 0
    words = dialect()
    statement = f"""
        WITH batch AS ({{batch}}),
        fresh ({fragments.PIECE_COLUMNS}) AS MATERIALIZED (
            {fragments.merged(words, definition, f"({pieces})")}),
        {_DAY_OF_FRESH},
        gone AS ({_GONE}),
        made AS ({_made(words, definition, "(SELECT * FROM fresh UNION ALL SELECT * FROM gone)")})
        SELECT COUNT(*) FROM fresh"""
    of_day, pk = Sql(_OF_DAY, (rollup.pk,)), Sql("%s", (rollup.pk,))
    return _number(fragments.joined(statement, batch=batch, of_day=of_day, rollup=pk))


def _unpack(rollup: Rollup, batch: Sql, pieces: str) -> None:
    """Turn batches into pieces of their own, to be folded as such."""
    columns = fragments.PIECE_COLUMNS
    statement = f"""
        WITH batch AS ({{batch}})
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


_DAY_OF_FRESH = """day (customer_id, "start", "end") AS MATERIALIZED (
            SELECT DISTINCT customer_id, starts_at, ends_at FROM fresh)"""
_OF_DAY = (
    "p.customer_id = d.customer_id AND p.rollup_id = %s "
    'AND p.ends_at = d."end" AND p.starts_at = d."start"'
)
_GONE = f"""
            DELETE FROM metering_usagepiece p USING day d WHERE {{of_day}}
            RETURNING {", ".join(f"p.{name}" for name in fragments.PIECE_COLUMNS.split(", "))}"""


def _merge(rollup: Rollup, definition: Definition, newest: int) -> int:
    """Replace all pieces of the days of the next pieces by one per key and day."""
    words = dialect()
    fresh = Sql(
        """
            SELECT customer_id, starts_at, ends_at FROM metering_usagepiece
            WHERE NOT is_folded AND rollup_id = %s AND id <= %s ORDER BY id LIMIT %s""",
        (rollup.pk, newest, PIECES_PER_STEP),
    )
    days = f"fresh AS MATERIALIZED ({{fresh}}), {_DAY_OF_FRESH}"
    of_day, pk = Sql(_OF_DAY, (rollup.pk,)), Sql("%s", (rollup.pk,))
    if connection.vendor == "postgresql":
        statement = f"""
        WITH {days},
        gone AS ({_GONE}),
        made AS ({_made(words, definition, "gone")})
        SELECT COUNT(*) FROM fresh"""
        return _number(fragments.joined(statement, fresh=fresh, of_day=of_day, rollup=pk))
    last = _number(Sql("SELECT MAX(id) FROM metering_usagepiece"))
    count = _number(Sql(f"SELECT COUNT(*) FROM ({fresh.text})", fresh.params))
    held = f"SELECT p.* FROM day d {words.each('metering_usagepiece', 'p', '{of_day}')}"
    made = f"WITH {days}, held AS ({held}) {_made(words, definition, 'held')}"
    _run(fragments.joined(made, fresh=fresh, of_day=of_day, rollup=pk))
    dropped = f"""
        WITH {days}
        DELETE FROM metering_usagepiece WHERE id IN (
            SELECT held.id FROM ({held}) AS held WHERE held.id <= {{last}})"""
    _run(fragments.joined(dropped, fresh=fresh, of_day=of_day, last=Sql("%s", (last,))))
    return count


def _made(words: Dialect, definition: Definition, runs: str) -> str:
    """Insert what these pieces come to."""
    return f"""
            INSERT INTO metering_usagepiece (rollup_id, is_folded, {fragments.PIECE_COLUMNS})
            SELECT {{rollup}}, TRUE, pieces.* FROM (
                {fragments.merged(words, definition, runs)}) AS pieces"""


def _number(statement: Sql) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        [number] = cursor.fetchone()
    return int(number)


def _run(statement: Sql) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
