"""Folding: the pieces of one key and day become one, so that reading stays short."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from customers.models import Customer
from metering.definitions import Definition, definition_from
from metering.models import PieceBatch, Rollup, UsagePiece
from metering.querysets import Target, fragments
from metering.querysets.dialects import Sql, dialect
from metering.services.rollups.rebuilding import lock_rollups, rebuild, within_reach

PIECES_PER_STEP = 10_000
BATCHES_PER_STEP = 200


def fold_pieces() -> int:
    """Merge what was appended since the last time; return how many pieces there were to fold.

    What order matters of is summed up from its events; where those are archived, it is left as it
    is. In steps of a transaction each. Right at any moment, beside ingestion and beside itself.
    """
    while _unpack_some():
        pass
    folded = 0
    while step := _fold_some():
        folded += step
    return folded


@transaction.atomic
def _unpack_some() -> bool:
    """Turn batches into pieces of their own, as few as their kind allows; say whether there were any."""
    lock_rollups()
    oldest = PieceBatch.objects.order_by("pk").first()
    if oldest is None:
        return False
    rollup = Rollup.objects.filter(pk=oldest.rollup_id).first()
    if rollup is None:  # of a metric that is measured differently by now
        PieceBatch.objects.filter(rollup=oldest.rollup_id).delete()
        return True
    definition = definition_from(rollup.definition)
    columns = fragments.PIECE_COLUMNS
    pieces = f"({fragments.unfolded('batch b')})"
    if not definition.kind.is_ordered:
        pieces = f"({fragments.merged(dialect(), definition, pieces)})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH batch AS (
                DELETE FROM metering_piecebatch WHERE id IN (
                    SELECT id FROM metering_piecebatch WHERE rollup_id = %s ORDER BY id LIMIT %s)
                RETURNING *)
            INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
            SELECT %s, FALSE, pieces.* FROM {pieces} AS pieces""",
            (rollup.pk, BATCHES_PER_STEP, rollup.pk),
        )
    return True


@transaction.atomic
def _fold_some() -> int:
    lock_rollups()
    fresh = UsagePiece.objects.filter(is_folded=False).order_by("pk")
    chosen = list(
        fresh.values_list("pk", "rollup_id", "customer_id", "starts_at", "ends_at")[
            :PIECES_PER_STEP
        ]
    )
    if not chosen:
        return 0
    rollups = Rollup.objects.in_bulk({row[1] for row in chosen})
    days: dict[int, set[tuple[int, Any, Any]]] = {}
    for _, rollup_id, customer_id, start, end in chosen:
        days.setdefault(rollup_id, set()).add((customer_id, start, end))
    zones = dict(
        Customer.objects.filter(pk__in={row[2] for row in chosen}).values_list("pk", "time_zone")
    )
    for rollup_id, touched in sorted(days.items()):
        rollup = rollups.get(rollup_id)
        if rollup is None:  # of a metric that is measured differently by now
            UsagePiece.objects.filter(rollup=rollup_id).delete()
            continue
        targets = [Target(pk, zones[pk], start, end) for pk, start, end in sorted(touched)]
        definition = definition_from(rollup.definition)
        if definition.kind.is_ordered:
            rebuild(rollup, within_reach(targets))
            _leave([row[0] for row in chosen if row[1] == rollup_id])
        else:
            _merge(rollup, definition, targets)
    return len(chosen)


def _leave(pieces: list[int]) -> None:
    UsagePiece.objects.filter(pk__in=pieces).update(is_folded=True)


def _merge(rollup: Rollup, definition: Definition, days: list[Target]) -> None:
    """Replace the pieces of each of these days by one per key."""
    words = dialect()
    columns = fragments.PIECE_COLUMNS
    of_day = (
        "p.customer_id = d.customer_id AND p.rollup_id = %s "
        'AND p.ends_at = d."end" AND p.starts_at = d."start"'
    )
    day = 'day (customer_id, zone, "start", "end") AS MATERIALIZED ({days})'
    lookup = words.each("metering_usagepiece", "p", of_day)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            statement = fragments.joined(
                f"""
                WITH {day},
                gone AS (DELETE FROM metering_usagepiece p USING day d WHERE {{of_day}}
                    RETURNING {", ".join(f"p.{name}" for name in columns.split(", "))})
                INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
                SELECT {{rollup}}, TRUE, pieces.* FROM ({{merged}}) AS pieces""",
                days=words.targets(days),
                of_day=Sql(of_day, (rollup.pk,)),
                rollup=Sql("%s", (rollup.pk,)),
                merged=Sql(fragments.merged(words, definition, "gone")),
            )
            cursor.execute(statement.text, statement.params)
            return
        cursor.execute("SELECT MAX(id) FROM metering_usagepiece")
        [newest] = cursor.fetchone()
        made = fragments.joined(
            f"""
            WITH {day}, held AS (SELECT p.* FROM day d {{lookup}})
            INSERT INTO metering_usagepiece (rollup_id, is_folded, {columns})
            SELECT {{rollup}}, TRUE, pieces.* FROM ({{merged}}) AS pieces""",
            days=words.targets(days),
            lookup=Sql(lookup, (rollup.pk,)),
            rollup=Sql("%s", (rollup.pk,)),
            merged=Sql(fragments.merged(words, definition, "held")),
        )
        cursor.execute(made.text, made.params)
        dropped = fragments.joined(
            f"""
            WITH {day}
            DELETE FROM metering_usagepiece WHERE id IN (
                SELECT p.id FROM day d {{lookup}} WHERE p.id <= {{newest}})""",
            days=words.targets(days),
            lookup=Sql(lookup, (rollup.pk,)),
            newest=Sql("%s", (newest,)),
        )
        cursor.execute(dropped.text, dropped.params)
