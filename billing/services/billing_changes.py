"""Billing a change of plan at once, on an invoice of its own (R20, R33)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from billing.changed_fees import waiting_fees
from billing.chunk import Chunk
from billing.drafting import due_fees
from billing.late_usage.finding import find_late, policy
from billing.models import BillingPeriod, PeriodStatus
from billing.offers import Served
from billing.services.closing import change_draft, draw_up, parts_and_next
from customers.models import Subscription


def bill_change(*, subscription_id: int, today: date, at: datetime) -> bool:
    """Draft an invoice over what a subscription's change of plan costs until now; say whether there is any.

    The base fees of the parts that have begun, with what is credited for them; of a change from a day
    that was billed, also the difference of usage. Usage of the running period waits for its end. There
    is nothing to draft where the running period ends with the change: then its close bills all.
    """
    subscription = Subscription.objects.with_terms().get(pk=subscription_id)
    chunk = Chunk([subscription])
    fees = [
        *waiting_fees(chunk).get(subscription_id, ()),
        *_running(chunk, subscription, today=today),
    ]
    if not fees:
        return False
    late = find_late(chunk, at=at, terms=policy()).get(subscription_id, ())
    settled = [one for one in late if one.served.period.recast_at]
    return bool(draw_up([change_draft(chunk, fees, settled, at=at)], as_of=at, run_id=None))


def _running(chunk: Chunk, subscription: Subscription, *, today: date) -> Iterator[Served]:
    """Yield the parts of the running period whose base fee no invoice charged, saved."""
    rows = BillingPeriod.objects.filter(subscription=subscription, needs_opening=False)
    saved = {
        period.number: chunk.adopt(period)
        for period in rows.exclude(status__in=[PeriodStatus.CLOSED, PeriodStatus.WAIVED])
        .select_related("phase")
        .order_by("number")
    }
    if not saved:
        return

    def after(period: BillingPeriod) -> BillingPeriod | None:
        return saved.get(period.number + 1) or chunk.following(subscription, period)

    parts, _ = parts_and_next(next(iter(saved.values())), after)
    begun = [part for part in parts if part.start_date <= today]
    BillingPeriod.objects.bulk_create(part for part in begun if not part.pk)
    served = [Served(part, chunk.offer(part)) for part in begun]
    due = due_fees([one._replace(fee_is_due=one.period.fee_is_due) for one in served])
    yield from (one for one in served if one.period.pk in due)
