"""Issuing, holding or discarding many open invoices: decided once, done a portion at a time (R27, R33)."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Count

from billing.models import (
    BatchAction,
    BatchState,
    BatchStatus,
    InvoiceBatch,
    InvoiceBatchRow,
)
from billing.querysets import InvoiceQuerySet
from billing.services import issuing
from billing.services.portions import take_portion
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.models import ActorKind
from config.base.rows import update_rows

ONE_BY_ONE = 50
"""So many at a time of what is done to each alone, that a transaction stays short."""


class NothingToDecide(Refusal):
    """None of these invoices is open."""

    code = "nothing_to_decide"


@transaction.atomic
def start_batch(
    *, invoices: InvoiceQuerySet, action: BatchAction, reason: str, at: datetime, actor: Actor
) -> InvoiceBatch:
    """Record what is to be done to these invoices; those that can't be are left as they are, and told.

    :raises NothingToDecide: if there are none.
    :raises Invalid: to discard without a reason.
    """
    if action == BatchAction.DISCARD and not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why; it stays in the audit trail.")])
    ids = list(invoices.order_by("pk").values_list("pk", flat=True))
    if not ids:
        raise NothingToDecide("There is no open invoice to do this to.")
    batch = InvoiceBatch.objects.create(
        action=action,
        reason=reason.strip(),
        started_by=actor.name,
        started_by_kind=actor.kind,
        started_at=at,
    )
    rows = [InvoiceBatchRow(batch=batch, invoice_id=pk) for pk in ids]
    InvoiceBatchRow.objects.bulk_create(rows, batch_size=1000)
    audit.record(
        actor=actor,
        action=f"decided: {action.label.lower()}",
        subject=batch,
        changes={"invoices": [None, len(ids)]},
        note=batch.reason,
    )
    return batch


def take_step(*, batch_id: int, now: datetime) -> bool:
    """Do the next portion; return whether more is left to do here.

    :raises OperationalError: if the database fails; the step is taken again.
    """
    batch = InvoiceBatch.objects.get(pk=batch_id)
    if batch.status == BatchStatus.FINISHED:
        return False
    taken = take_portion(
        batch.rows.filter(state=BatchState.WAITING).order_by("pk"),
        work=lambda rows: _decide(batch, rows, now=now),
        refuse=_refuse,
        save=lambda rows: update_rows(rows, ["state", "note"]),
        most=None if batch.action == BatchAction.ISSUE else ONE_BY_ONE,
    )
    if not taken.is_left:
        InvoiceBatch.objects.filter(pk=batch.pk, status=BatchStatus.WORKING).update(
            status=BatchStatus.FINISHED, finished_at=now, last_error=""
        )
    return bool(taken.rows) and taken.is_left


def note_trouble(*, batch_id: int, trouble: Exception) -> None:
    """Keep what stopped a batch for now, without ending it."""
    said = "".join(traceback.format_exception(trouble))
    InvoiceBatch.objects.filter(pk=batch_id).update(last_error=said)


def counted_rows(batch: InvoiceBatch) -> dict[str, int]:
    """Count a batch's invoices by what became of them; one query."""
    return dict(batch.rows.order_by().values_list("state").annotate(Count("pk")))


def _refuse(row: InvoiceBatchRow, why: Exception) -> None:
    row.state, row.note = BatchState.REFUSED, str(why) or type(why).__name__


def _decide(batch: InvoiceBatch, rows: Sequence[InvoiceBatchRow], *, now: datetime) -> None:
    actor = Actor(ActorKind(batch.started_by_kind), batch.started_by)
    ids = [row.invoice_id for row in rows]
    match batch.action:
        case BatchAction.ISSUE:
            issuing.issue_invoices(invoice_ids=ids, as_of=batch.started_at, actor=actor)
        case BatchAction.HOLD:
            for pk in ids:
                issuing.hold_for_review(invoice_id=pk, reason=batch.reason, actor=actor)
        case _:
            for pk in ids:
                issuing.discard_invoice(
                    invoice_id=pk, reason=batch.reason, reopen=True, at=now, actor=actor
                )
    for row in rows:
        row.state = BatchState.DONE
