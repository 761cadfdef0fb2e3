"""Billing's tasks, each also a management command; and how an edge nudges them.

A task is only a nudge: what is left to do is asked of the database, so one that is lost, doubled
or late changes nothing. Chunks are bounded, and so is the time until a run that halts is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import current_app, shared_task
from django.db import transaction
from django.utils import timezone

from billing import credit_documents, documents
from billing.deliveries import settle_rendered
from billing.models import (
    BatchStatus,
    BillingRun,
    CloseEstimate,
    CreditNote,
    EstimateStatus,
    Invoice,
    InvoiceBatch,
    MoveStatus,
    PlanMove,
    RunStatus,
)
from billing.services import batches, estimating, lateness, moving, reminders, reviewing, runs
from billing.services.closing import begin_periods
from billing.services.one_offs import bill_one_offs
from billing.services.sending import MAIL
from config.base.audit import SYSTEM
from config.base.tasks import deliver_outbox, nudge

GIVEN_UP_AFTER = timedelta(hours=6)  # the next run takes up what is left, so this loses nothing


def nudge_run(run_id: int) -> None:
    """After the commit, let workers take up a run; without a broker, do all of it here.

    A broker that does not answer within a second is left to the sweep.
    """
    transaction.on_commit(lambda: nudge(advance_run, run_id), robust=True)


def nudge_outbox() -> None:
    """After the commit, let a worker deliver the outbox; without a broker, it waits to be asked."""
    if not current_app.conf.task_always_eager:
        transaction.on_commit(lambda: nudge(deliver_outbox), robust=True)


def nudge_mails() -> None:
    """After the commit, let a worker send the mails that wait; without a broker, send them here."""
    transaction.on_commit(lambda: nudge(deliver_outbox, MAIL), robust=True)


def printed(invoice: Invoice) -> bytes | None:
    """Return an invoice's PDF; where workers make it and it is not made yet, ask one: None.

    :raises PdfEngineMissing: if it has to be rendered here and can't be.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    if current_app.conf.task_always_eager:
        return documents.pdf_of(invoice)
    pdf = documents.made_pdf(invoice)
    if pdf is None:
        nudge(make_pdf, invoice.pk)
    return pdf


def printed_note(note: CreditNote) -> bytes | None:
    """Return a credit note's PDF; where workers make it and it is not made yet, ask one: None.

    :raises PdfEngineMissing: if it has to be rendered here and can't be.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    if current_app.conf.task_always_eager:
        return credit_documents.credit_note_pdf(note)
    pdf = credit_documents.made_credit_note(note)
    if pdf is None:
        nudge(make_note_pdf, note.pk)
    return pdf


@shared_task  # type: ignore[untyped-decorator]
def make_note_pdf(note_id: int) -> None:
    """Make the PDF of a credit note that somebody waits for."""
    credit_documents.store_credit_note(note_id)


@shared_task  # type: ignore[untyped-decorator]
def make_pdf(invoice_id: int) -> None:
    """Make the PDF of an invoice that somebody waits for."""
    documents.make_pdf(invoice_id)


@shared_task  # type: ignore[untyped-decorator]
def close_chunk(run_id: int, subscription_ids: list[int]) -> None:
    """Close some of a run's subscriptions, and finish the run with the last of them."""
    if _is_running(run_id):
        with _trouble_noted(run_id):
            run = runs.close_chunk(
                run_id=run_id, subscription_ids=subscription_ids, now=timezone.now()
            )
            _after(run)


@shared_task  # type: ignore[untyped-decorator]
def advance_run(run_id: int) -> None:
    """Nudge a task per chunk of what a run has left to close; finish it if nothing is left."""
    if not _is_running(run_id):
        return
    nudged = False
    for chunk in runs.chunks(BillingRun.objects.get(pk=run_id)):
        close_chunk.delay(run_id, chunk)
        nudged = True
    if not nudged:
        with _trouble_noted(run_id):
            _after(runs.finish_if_done(run_id=run_id, now=timezone.now()))


def nudge_move(move_id: int) -> None:
    """After the commit, let a worker take up a move to another version; without a broker, do all here."""
    transaction.on_commit(lambda: nudge(advance_move, move_id), robust=True)


@shared_task  # type: ignore[untyped-decorator]
def advance_move(move_id: int) -> None:
    """Preview or move what is left of a move to another version."""
    try:
        while moving.take_step(move_id=move_id, now=timezone.now()):
            pass
    except Exception as trouble:
        moving.note_trouble(move_id=move_id, trouble=trouble)
        raise


def nudge_estimate(estimate_id: int) -> None:
    """After the commit, let a worker take up an estimate; without a broker, do all of it here."""
    transaction.on_commit(lambda: nudge(advance_estimate, estimate_id), robust=True)


@shared_task  # type: ignore[untyped-decorator]
def advance_estimate(estimate_id: int) -> None:
    """Work out what is left of an estimate of a close."""
    try:
        while estimating.take_step(estimate_id=estimate_id, now=timezone.now()):
            pass
    except Exception as trouble:
        estimating.note_trouble(estimate_id=estimate_id, trouble=trouble)
        raise


def nudge_batch(batch_id: int) -> None:
    """After the commit, let a worker take up a decision over many invoices; without a broker, do all here."""
    transaction.on_commit(lambda: nudge(advance_batch, batch_id), robust=True)


@shared_task  # type: ignore[untyped-decorator]
def advance_batch(batch_id: int) -> None:
    """Do what is left of a decision over many invoices."""
    try:
        while batches.take_step(batch_id=batch_id, now=timezone.now()):
            pass
    except Exception as trouble:
        batches.note_trouble(batch_id=batch_id, trouble=trouble)
        raise
    nudge_outbox()


@shared_task  # type: ignore[untyped-decorator]
def review_drafts() -> None:
    """Beat, every five minutes, and after a run: compare new and redrawn drafts with the past."""
    while reviewing.look_over(at=timezone.now()):
        pass


@shared_task  # type: ignore[untyped-decorator]
def estimate_close() -> None:
    """Beat, every day: work out what the next close comes to, for everybody."""
    now = timezone.now()
    month = estimating.month_to_close(at=now)
    estimate = estimating.start_estimate(month=month, customer=None, at=now, actor=SYSTEM)
    advance_estimate.delay(estimate.pk)


@shared_task  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Beat, every five minutes: take up what halted, and start a run if anything is due.

    Subscriptions that only begin get no run, nor do add-ons before they are drafted, and invoices
    whose document exists no second try.
    """
    now = timezone.now()
    settle_rendered(at=now)
    unfinished = PlanMove.objects.filter(status__in=[MoveStatus.PREVIEWING, MoveStatus.MOVING])
    for move_id in unfinished.values_list("pk", flat=True):
        advance_move.delay(move_id)
    working = CloseEstimate.objects.filter(status=EstimateStatus.WORKING)
    for estimate_id in working.values_list("pk", flat=True):
        advance_estimate.delay(estimate_id)
    going_on = InvoiceBatch.objects.filter(status=BatchStatus.WORKING)
    for batch_id in going_on.values_list("pk", flat=True):
        advance_batch.delay(batch_id)
    for run in BillingRun.objects.filter(status=RunStatus.RUNNING):
        if run.started_at < now - GIVEN_UP_AFTER:
            runs.give_up(run_id=run.pk, now=now)
        else:
            advance_run.delay(run.pk)
    for_everybody = BillingRun.objects.filter(status=RunStatus.RUNNING, customer=None)
    if for_everybody.exists():
        return
    begin_periods(as_of=now)
    bill_one_offs(as_of=now)
    if runs.anything_due(as_of=now):
        run = runs.start_run(as_of=now, now=now, actor=SYSTEM)
        advance_run.delay(run.pk)


@shared_task  # type: ignore[untyped-decorator]
def settle_late_usage() -> None:
    """Beat, every day: note what came in after its period was closed, and bill what no close will."""
    lateness.settle_late_usage(as_of=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def remind_customers() -> None:
    """Beat, every hour: remind customers of what is overdue; a day begins at another hour elsewhere."""
    if reminders.remind(at=timezone.now(), actor=SYSTEM):
        nudge_mails()


def _is_running(run_id: int) -> bool:
    """Say whether a message still has a purpose: what is due after a run's end is the next one's."""
    return BillingRun.objects.filter(pk=run_id, status=RunStatus.RUNNING).exists()


def _after(run: BillingRun) -> None:
    if run.status == RunStatus.FINISHED:
        review_drafts.delay()
        if run.invoices_issued:
            nudge_outbox()


@contextmanager
def _trouble_noted(run_id: int) -> Iterator[None]:
    """Keep on the run what stopped it, for whoever looks; the sweep tries again."""
    try:
        yield
    except Exception as trouble:
        runs.note_trouble(run_id=run_id, trouble=trouble)
        raise
