"""Working out beforehand what a month's close would come to, a portion of subscriptions at a time.

Nothing that bills is changed. A portion asks a constant number of queries; what is left to do is
asked of the rows, so a lost or doubled task changes nothing.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from billing.history import period_key
from billing.models import (
    BillingPeriod,
    BillState,
    CloseEstimate,
    EstimatedBill,
    EstimatedUsage,
    EstimateStatus,
    InvoiceAllowance,
    InvoiceLine,
    PeriodCharge,
    PeriodStatus,
    Purpose,
)
from billing.querysets import BillingPeriodQuerySet
from billing.services.portions import take_portion
from billing.services.upcoming import Running, running_periods
from billing.trailing import Trails, trails, unusual
from catalog.money import EXACT, ZERO
from config.base.audit import Actor
from config.base.rows import update_rows
from customers.models import Customer, Subscription
from customers.periods import month_after
from metering.senders import silent_sources

_SAVED = (
    "state",
    "plan_version",
    "currency",
    "is_over",
    "before",
    "expected",
    "difference",
    "note",
)  # fmt: skip


def month_to_close(*, at: datetime) -> date:
    """Return the first day of the month in which the oldest period ends that is still to close.

    What ends with a month's last day ends in it. The month of `at` where there is none.
    """
    waiting = BillingPeriod.objects.filter(status=PeriodStatus.OPEN)
    oldest = waiting.order_by("usage_cutoff").values_list("end_date", flat=True).first()
    last_day = oldest - timedelta(days=1) if oldest else at.date()
    return last_day.replace(day=1)


def periods_to_close(*, month: date, customer_id: int | None) -> BillingPeriodQuerySet:
    """Return the open periods that end in a month or before, parked ones excepted."""
    waiting = BillingPeriod.objects.filter(status=PeriodStatus.OPEN)
    return waiting.ending_by(month_after(month, 1)).of_customer(customer_id)


def start_estimate(
    *, month: date, customer: Customer | None, at: datetime, actor: Actor
) -> CloseEstimate:
    """Have a month's close estimated with usage up to `at`, in place of an earlier estimate.

    Who starts one beside another gets the other's.
    """
    mine = CloseEstimate.objects.filter(month=month, customer=customer)
    periods = periods_to_close(month=month, customer_id=customer.pk if customer else None)
    ids = periods.order_by("subscription").values_list("subscription", flat=True).distinct()
    try:
        with transaction.atomic():
            mine.delete()
            estimate = CloseEstimate.objects.create(
                month=month, customer=customer, as_of=at, started_by=actor.name, started_at=at
            )
            bills = (EstimatedBill(estimate=estimate, subscription_id=pk) for pk in ids)
            EstimatedBill.objects.bulk_create(bills, batch_size=1000)
    except IntegrityError:
        return mine.get()
    return estimate


def take_step(*, estimate_id: int, now: datetime) -> bool:
    """Estimate the next 500 subscriptions; return whether more are left to do here.

    :raises OperationalError: if the database fails; the step is taken again.
    """
    estimate = CloseEstimate.objects.filter(pk=estimate_id).first()
    if estimate is None or estimate.status == EstimateStatus.FINISHED:  # another took its place
        return False
    taken = take_portion(
        estimate.bills.filter(state=BillState.WAITING).order_by("pk"),
        work=lambda bills: _work_out(estimate, bills),
        refuse=_fail,
        save=lambda bills: update_rows(bills, _SAVED),
    )
    if not taken.is_left:
        _finish(estimate, now=now)
    return bool(taken.rows) and taken.is_left


def note_trouble(*, estimate_id: int, trouble: Exception) -> None:
    """Keep what stopped an estimate for now, without ending it."""
    said = "".join(traceback.format_exception(trouble))
    CloseEstimate.objects.filter(pk=estimate_id).update(last_error=said)


def _finish(estimate: CloseEstimate, *, now: datetime) -> None:
    """Complete it, once; another worker may have been quicker."""
    silent = [
        {"source": one.source, "last_heard": one.last_heard.isoformat()}
        for one in silent_sources(until=estimate.as_of)
    ]
    CloseEstimate.objects.filter(pk=estimate.pk, status=EstimateStatus.WORKING).update(
        status=EstimateStatus.FINISHED, finished_at=now, silent_sources=silent, last_error=""
    )


def _fail(bill: EstimatedBill, why: Exception) -> None:
    bill.state, bill.note = BillState.FAILED, str(why) or type(why).__name__


def _work_out(estimate: CloseEstimate, bills: Sequence[EstimatedBill]) -> None:
    by_subscription = {bill.subscription_id: bill for bill in bills}
    subscriptions = Subscription.objects.filter(pk__in=by_subscription).with_terms()
    running = running_periods(subscriptions=list(subscriptions), at=estimate.as_of)
    before = billed_last([one.period for one in running])
    past = trails([one.period for one in running])
    for bill in bills:
        bill.state = BillState.NOTHING
    for one in running:
        _fill(by_subscription[one.period.subscription_id], one, before, at=estimate.as_of)
    usage = [
        row
        for one in running
        for row in _usage(by_subscription[one.period.subscription_id], one, past, estimate.as_of)
    ]
    EstimatedUsage.objects.bulk_create(usage)


def _fill(
    bill: EstimatedBill, one: Running, before: Mapping[int, Decimal], *, at: datetime
) -> None:
    bill.state = BillState.ESTIMATED
    bill.plan_version_id = one.period.phase.plan_version_id
    bill.currency = one.composed.currency
    bill.is_over = one.period.ends_at <= at
    bill.expected = one.composed.totals.net
    bill.before = before.get(one.period.subscription_id)
    bill.difference = EXACT.subtract(bill.expected, bill.before or ZERO)


def _usage(bill: EstimatedBill, one: Running, past: Trails, at: datetime) -> list[EstimatedUsage]:
    known = past[period_key(one.period)]
    found = []
    for metric_id, snapshot in one.measured.items():
        snapshot.period = one.period
        trail = known.get(metric_id)
        found.append(
            EstimatedUsage(
                bill=bill,
                metric_id=metric_id,
                quantity=snapshot.told,
                events=snapshot.events,
                usual=trail.usual if trail else None,
                finding=unusual(snapshot, one.period, trail, at=at) or "",
            )
        )
    return found


def billed_last(
    periods: Sequence[BillingPeriod], *, besides: Sequence[int] = ()
) -> dict[int, Decimal]:
    """Return, by subscription, its part of the last invoice that billed a period of it, net.

    `besides` are invoices that don't count. After coupons; of an invoice over several subscriptions, this one's lines. Without those of
    which no period was billed. Three queries, however many.
    """
    charges = PeriodCharge.objects.filter(
        subscription__in={period.subscription_id for period in periods},
        purpose__in=[Purpose.REGULAR, Purpose.FINAL],
        is_live=True,
    ).exclude(invoice__in=besides)
    last = dict(charges.order_by().values_list("subscription").annotate(Max("invoice")))
    taken: dict[tuple[int, int], Decimal] = defaultdict(lambda: ZERO)
    for allowance in InvoiceAllowance.objects.filter(invoice__in=last.values()):
        for share in allowance.shares:
            place = allowance.invoice_id, share["line"]
            taken[place] = EXACT.add(taken[place], Decimal(share["amount"]))
    found: dict[int, Decimal] = {}
    lines = InvoiceLine.objects.filter(invoice__in=last.values(), subscription__in=last)
    rows: Any = lines.values_list("subscription_id", "invoice_id", "position", "net")
    for subscription_id, invoice_id, position, net in rows:
        if last[subscription_id] == invoice_id:
            kept = EXACT.subtract(net, taken[invoice_id, position])
            found[subscription_id] = EXACT.add(found.get(subscription_id, ZERO), kept)
    return found
