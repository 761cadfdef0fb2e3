"""What a billing run would find, for a look before anybody starts it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from billing.models import BillingPeriod
from billing.services import runs
from billing.services.closing import to_close


class Outlook(NamedTuple):
    """Subscriptions to close, periods that are due, those that are parked and tried again, drafts to issue.

    Periods that come to light as the ones before them close are not counted.
    """

    subscriptions: int
    not_begun: int
    ended: int
    openings: int
    oldest: BillingPeriod | None
    parked: int
    to_issue: int


def outlook(*, as_of: datetime, customer_id: int | None) -> Outlook:
    """Say what a run as of a moment would find, and change nothing."""
    subscriptions = to_close(as_of=as_of, customer_id=customer_id)
    periods = BillingPeriod.objects.of_customer(customer_id)
    ended = periods.due(at=as_of).select_related("subscription")
    return Outlook(
        subscriptions=subscriptions.count(),
        not_begun=subscriptions.filter(billing_periods=None).count(),
        ended=ended.count(),
        openings=periods.to_open(at=as_of).count(),
        oldest=ended.order_by("ends_at", "pk").first(),
        parked=periods.to_retry(at=as_of).count(),
        to_issue=runs.issuable(as_of=as_of, customer_id=customer_id).count(),
    )
