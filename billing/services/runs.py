"""Billing runs: close what is due as of a moment, and issue what may be issued (R36).

A run's chunks are nudged as tasks; what is left to do is always asked of the periods themselves,
so a lost or doubled task changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from billing.models import BillingPeriod, BillingRun, Invoice, RunStatus
from billing.querysets import InvoiceQuerySet
from billing.services.closing import close_subscriptions, to_close
from billing.services.issuing import InvoiceNotDraft, issue_invoices, recalculate_invoices
from config.base import audit
from config.base.audit import SYSTEM, Actor
from config.base.errors import Fault, Invalid
from customers.models import Customer

CHUNK = 500


def start_run(
    *, as_of: datetime, now: datetime, actor: Actor, customer: Customer | None = None
) -> BillingRun:
    """Record that everything due as of a moment is to be closed, and issued where due.

    :raises Invalid: for a moment that has not come yet.
    """
    if as_of > now:
        message = "A run can't act as of a moment that has not come yet."
        raise Invalid([Fault(("as_of",), "in_the_future", message)])
    with transaction.atomic():
        run = BillingRun.objects.create(
            as_of=as_of,
            customer=customer,
            started_by=actor.name,
            started_at=now,
            subscriptions_total=_left(as_of, customer.pk if customer else None),
        )
        audit.record(
            actor=actor,
            action="started billing run",
            subject=run,
            changes={"as_of": [None, as_of.isoformat()]},
        )
    return run


def chunks(run: BillingRun) -> Iterator[list[int]]:
    """Yield the subscriptions still to close in a run, in chunks of at most 500, streaming."""
    ids = to_close(as_of=run.as_of, customer_id=run.customer_id).values_list("pk", flat=True)
    last = 0
    while chunk := list(ids.filter(pk__gt=last)[:CHUNK]):
        yield chunk
        last = chunk[-1]


def close_chunk(*, run_id: int, subscription_ids: list[int], now: datetime) -> BillingRun:
    """Close some of a run's subscriptions; with the last of them, issue what is due and finish."""
    run = BillingRun.objects.get(pk=run_id)
    close_subscriptions(subscription_ids=subscription_ids, as_of=run.as_of, run_id=run.pk)
    return finish_if_done(run_id=run_id, now=now)


def finish_if_done(*, run_id: int, now: datetime) -> BillingRun:
    """Update a run's progress; once nothing is left to close, issue drafts and finish it."""
    run = BillingRun.objects.get(pk=run_id)
    left = _left(run.as_of, run.customer_id)
    BillingRun.objects.filter(pk=run.pk).update(
        subscriptions_done=max(0, run.subscriptions_total - left),
        periods_closed=run.periods.filter(status="closed").count(),
    )
    if left == 0 and run.status == RunStatus.RUNNING:
        issued = issue_due(as_of=run.as_of, customer_id=run.customer_id)
        BillingRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(
            status=RunStatus.FINISHED,
            finished_at=now,
            invoices_issued=F("invoices_issued") + issued,
        )
    run.refresh_from_db()
    return run


def issue_due(*, as_of: datetime, customer_id: int | None = None) -> int:
    """Issue the drafts whose time has come, redrawn once if usage came in since (R26)."""
    issued = 0
    while ids := list(
        issuable(as_of=as_of, customer_id=customer_id).values_list("pk", flat=True)[:CHUNK]
    ):
        try:
            with transaction.atomic():
                recalculate_invoices(
                    invoice_ids=ids, at=as_of, actor=SYSTEM, only_if_usage_changed=True
                )
                issued += len(issue_invoices(invoice_ids=ids, as_of=as_of, actor=SYSTEM))
        except InvoiceNotDraft:
            continue  # somebody else was quicker with one of them: ask again what is left
    return issued


def anything_due(*, as_of: datetime) -> bool:
    """Say whether a run would find anything to close or to issue."""
    return to_close(as_of=as_of).exists() or issuable(as_of=as_of, customer_id=None).exists()


def parked_in(run: BillingRun) -> list[BillingPeriod]:
    """Return the periods that a run could not close."""
    return list(run.periods.filter(status="parked").select_related("subscription"))


def issuable(*, as_of: datetime, customer_id: int | None) -> InvoiceQuerySet:
    """Return the drafts that a run would issue, in order of their making."""
    found = Invoice.objects.to_issue(at=as_of)
    if customer_id is not None:
        mine = Q(customer=customer_id) | Q(charges__subscription__customer=customer_id)
        found = found.filter(mine).distinct()
    return found.order_by("pk")


def _left(as_of: datetime, customer_id: int | None) -> int:
    return to_close(as_of=as_of, customer_id=customer_id).count()
