"""Billing runs: close what is due as of a moment, and issue what may be issued (R36).

A run's chunks are nudged as tasks; what is left to do is always asked of the periods themselves,
so a lost or doubled task changes nothing.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import OperationalError, connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from billing.models import (
    BillingPeriod,
    BillingRun,
    Invoice,
    InvoiceStatus,
    PeriodCharge,
    RunStatus,
)
from billing.querysets import InvoiceQuerySet
from billing.services.closing import close_subscriptions, retry_all_parked, to_close
from billing.services.issuing import (
    InvoiceNotDraft,
    hold_for_review,
    issue_invoices,
    recalculate_invoices,
)
from billing.services.one_offs import bill_one_offs
from config.base import audit
from config.base.audit import SYSTEM, Actor
from config.base.errors import Fault, Invalid
from customers.models import Customer

AT_ONCE = {"postgresql": 1000, "sqlite": 100}
"""How many subscriptions are closed, or invoices issued, in one transaction.

SQLite has one writer, for whom all others wait: a chunk takes it a second at most.
"""

logger = logging.getLogger(__name__)


def at_once() -> int:
    """Return how many subscriptions make a chunk on this database."""
    return AT_ONCE[connection.vendor]


def start_run(
    *, as_of: datetime, now: datetime, actor: Actor, customer: Customer | None = None
) -> BillingRun:
    """Record that everything due as of a moment is to be closed, and issued where due.

    What earlier runs had to park is tried again.

    :raises Invalid: for a moment that has not come yet.
    """
    if as_of > now:
        message = "A run can't act as of a moment that has not come yet."
        raise Invalid([Fault(("as_of",), "in_the_future", message)])
    customer_id = customer.pk if customer else None
    with transaction.atomic():
        retry_all_parked(as_of=as_of, customer_id=customer_id, actor=actor)
        run = BillingRun.objects.create(
            as_of=as_of,
            customer=customer,
            started_by=actor.name,
            started_at=now,
            subscriptions_total=_left(as_of, customer_id),
        )
        audit.record(
            actor=actor,
            action="started billing run",
            subject=run,
            changes={"as_of": [None, as_of.isoformat()]},
        )
    return run


def chunks(run: BillingRun) -> Iterator[list[int]]:
    """Yield the subscriptions still to close in a run, a chunk at a time."""
    ids = to_close(as_of=run.as_of, customer_id=run.customer_id).values_list("pk", flat=True)
    last = 0
    while chunk := list(ids.filter(pk__gt=last)[: at_once()]):
        yield chunk
        last = chunk[-1]


def close_chunk(*, run_id: int, subscription_ids: list[int], now: datetime) -> BillingRun:
    """Close some of a run's subscriptions and issue what is due of them; with the last, finish.

    So workers that share a run issue beside each other; only the numbers are spent one by one.
    """
    run = BillingRun.objects.get(pk=run_id)
    closed = close_subscriptions(subscription_ids=subscription_ids, as_of=run.as_of, run_id=run.pk)
    theirs = PeriodCharge.objects.filter(subscription__in=subscription_ids, is_live=True)
    mine = Invoice.objects.filter(pk__in=theirs.values("invoice"))
    issued = _issue_all(run, _whole(mine, as_of=run.as_of), closed.drafts)
    return _finish_with_those_beside(run, now=now, issued=issued)


def finish_if_done(*, run_id: int, now: datetime) -> BillingRun:
    """Update a run's progress; once nothing is left to close, issue drafts and finish it.

    Runs beside it, which left its subscriptions to it, are finished with it.
    """
    return _finish_with_those_beside(BillingRun.objects.get(pk=run_id), now=now)


def _finish_with_those_beside(run: BillingRun, *, now: datetime, issued: int = 0) -> BillingRun:
    _finish(run, now=now, issued=issued)
    if run.status == RunStatus.FINISHED:
        for other in BillingRun.objects.filter(status=RunStatus.RUNNING).exclude(pk=run.pk):
            _finish(other, now=now)
    return run


def _finish(run: BillingRun, *, now: datetime, issued: int = 0) -> None:
    left = _left(run.as_of, run.customer_id)
    closed = run.periods.filter(status="closed").order_by().values("run")
    mine = BillingRun.objects.filter(pk=run.pk)
    mine.update(
        subscriptions_done=max(0, run.subscriptions_total - left),
        periods_closed=Coalesce(Subquery(closed.values(count=Count("pk"))), 0),
        invoices_issued=F("invoices_issued") + issued,
    )
    if left == 0 and run.status == RunStatus.RUNNING:
        bill_one_offs(as_of=run.as_of, customer_id=run.customer_id, run_id=run.pk)
        if issued := _issue_all(run, issuable(as_of=run.as_of, customer_id=run.customer_id)):
            mine.update(invoices_issued=F("invoices_issued") + issued)
        _end(run.pk, RunStatus.FINISHED, now=now)
    run.refresh_from_db()


def _issue_all(run: BillingRun, invoices: InvoiceQuerySet, drawn: Sequence[int] = ()) -> int:
    """Issue those of these whose time has come, redrawn once if usage came in since (R26).

    What was `drawn` just now is not looked at again, unless an older draft comes before it, which
    may be redrawn and become another past for it. One that can't be issued is held for review, with
    its reason. Returns how many were issued.
    """
    issued, may_differ = 0, False
    due = invoices.to_issue(at=run.as_of).order_by("pk").values_list("pk", flat=True)
    while ids := list(due[: at_once() + 1]):
        more = len(ids) > at_once()
        ids = ids[: at_once()]
        may_differ = may_differ or not set(ids) <= set(drawn)
        some = _issue(ids, as_of=run.as_of, may_differ=may_differ)
        issued += some
        if some == len(ids) and not more and not may_differ:
            break  # nothing was redrawn, which may make another to issue; so nothing is left
    return issued


def give_up(*, run_id: int, now: datetime) -> None:
    """End a run that came to a halt; what it left is due still, and the next run's."""
    _end(run_id, RunStatus.FAILED, now=now)


def note_trouble(*, run_id: int, trouble: Exception) -> None:
    """Keep what stopped a run for now, without ending it."""
    said = "".join(traceback.format_exception(trouble))
    BillingRun.objects.filter(pk=run_id).update(last_error=said)


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
        mine = (
            Q(customer=customer_id)
            | Q(charges__subscription__customer=customer_id)
            | Q(sold_add_ons__subscription__customer=customer_id)
        )
        found = found.filter(mine).distinct()
    return _whole(found, as_of=as_of).order_by("pk")


def _whole(invoices: InvoiceQuerySet, *, as_of: datetime) -> InvoiceQuerySet:
    """Leave out what further subscriptions may join, as long as their payer has one to close (R37).

    What is parked holds nobody up.
    """
    payer = OuterRef("customer")
    theirs = Q(payer=payer) | Q(payer=None, customer=payer)
    return invoices.exclude(~Q(group_key="") & Exists(to_close(as_of=as_of).filter(theirs)))


def _issue(ids: Sequence[int], *, as_of: datetime, may_differ: bool) -> int:
    """Issue these, all or, where one of them fails, half by half; return how many."""
    try:
        if may_differ:
            return len(_redraw_and_issue(ids, as_of=as_of))
        return len(issue_invoices(invoice_ids=ids, as_of=as_of, actor=SYSTEM))
    except InvoiceNotDraft:
        return 0  # somebody else was quicker with one of them: ask again what is left
    except OperationalError:
        raise  # the database's trouble is no invoice's
    except Exception as trouble:  # one customer's crash is one customer's
        if len(ids) > 1:
            halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :])
            return sum(_issue(half, as_of=as_of, may_differ=may_differ) for half in halves)
        logger.exception("invoice %s could not be issued", ids[0])
        _hold_back(ids[0], reason=str(trouble) or type(trouble).__name__)
        return 0


@transaction.atomic
def _redraw_and_issue(ids: Sequence[int], *, as_of: datetime) -> list[Invoice]:
    """Redraw those of these that came to differ, and issue all that are drafts still.

    What needs a person's look is held then, and a change of plan that was taken back discarded.
    """
    recalculate_invoices(invoice_ids=ids, at=as_of, actor=SYSTEM, only_if_changed=True)
    drafts = Invoice.objects.filter(pk__in=ids, status=InvoiceStatus.DRAFT).order_by("pk")
    left = list(drafts.values_list("pk", flat=True))
    return issue_invoices(invoice_ids=left, as_of=as_of, actor=SYSTEM)


@transaction.atomic
def _hold_back(invoice_id: int, *, reason: str) -> None:
    held = f"It could not be issued: {reason}"
    hold_for_review(invoice_id=invoice_id, actor=SYSTEM, reason=held)


def _end(run_id: int, status: RunStatus, *, now: datetime) -> None:
    running = BillingRun.objects.filter(pk=run_id, status=RunStatus.RUNNING)
    running.update(status=status, finished_at=now)


def _left(as_of: datetime, customer_id: int | None) -> int:
    return to_close(as_of=as_of, customer_id=customer_id).count()
