"""Billing's tasks; each is also a management command."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.models import BillingRun, RunStatus
from billing.services import runs
from config.base.audit import SYSTEM


@shared_task  # type: ignore[untyped-decorator]
def close_chunk(run_id: int, subscription_ids: list[int]) -> None:
    """Close some of a run's subscriptions, and finish the run with the last of them."""
    runs.close_chunk(run_id=run_id, subscription_ids=subscription_ids, now=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def advance_run(run_id: int) -> None:
    """Nudge a task per chunk of what a run has left to close; finish it if nothing is left."""
    run = BillingRun.objects.get(pk=run_id)
    nudged = False
    for chunk in runs.chunks(run):
        close_chunk.delay(run_id, chunk)
        nudged = True
    if not nudged:
        runs.finish_if_done(run_id=run_id, now=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Beat, every five minutes: take up runs that came to a halt, and start one if anything is due."""
    now = timezone.now()
    unfinished = BillingRun.objects.filter(status=RunStatus.RUNNING)
    for run_id in unfinished.values_list("pk", flat=True):
        advance_run.delay(run_id)
    if not unfinished and runs.anything_due(as_of=now):
        run = runs.start_run(as_of=now, now=now, actor=SYSTEM)
        advance_run.delay(run.pk)
