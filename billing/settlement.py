"""Whether usage may still be billed: what must be known before its events leave the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from billing.models import (
    OUTSTANDING,
    BillingPeriod,
    Invoice,
    InvoiceStatus,
    LateUsage,
    PeriodStatus,
)
from config.base.dashboard import said
from customers.models import Subscription

_UNFINISHED = (InvoiceStatus.DRAFT, InvoiceStatus.REVIEW)


def unsettled(start: datetime, end: datetime) -> Iterator[str]:
    """Say what keeps usage from `start` until just before `end` from being settled, if anything.

    It is settled once every period that begins before `end` is closed or waived and its invoices
    are issued, void or discarded, and nothing waits that came in late.
    """
    periods = BillingPeriod.objects.filter(starts_at__lt=end)
    if count := periods.exclude(status__in=(PeriodStatus.CLOSED, PeriodStatus.WAIVED)).count():
        one, many = "billing period that begins", "billing periods that begin"
        yield f"{said(count, one, many)} before its end must be closed"
    drafts = Invoice.objects.filter(status__in=_UNFINISHED, lines__period__starts_at__lt=end)
    if count := drafts.distinct().count():
        yield f"{said(count, 'invoice', 'invoices')} for it must be issued"
    late = LateUsage.objects.filter(status__in=OUTSTANDING, period__starts_at__lt=end)
    if count := late.count():
        one, many = "amount of late usage", "amounts of late usage"
        yield f"{said(count, one, many)} must be billed or let go"
    new = Subscription.objects.filter(starts_on__lt=end.date(), billing_periods=None)
    if count := new.count():
        yield f"{said(count, 'subscription', 'subscriptions')} must have a first period"
