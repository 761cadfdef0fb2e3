"""The invoice as it would be now: the same composition as the close, never stored (R18)."""

from __future__ import annotations

from datetime import datetime

from billing.chunk import Chunk
from billing.composition import Composed
from billing.models import BillingPeriod, Invoice, PeriodStatus, Purpose
from billing.services.closing import draft_of
from billing.usage import read_snapshots
from config.base.errors import Refusal
from customers.models import Subscription


class NothingUpcoming(Refusal):
    """The subscription has ended, or has not begun, so no invoice is on its way."""

    code = "nothing_upcoming"


def upcoming_invoice(*, subscription: Subscription, at: datetime) -> tuple[Invoice, Composed]:
    """Return, unsaved, the invoice over the period that runs now, with usage up to now.

    It includes the fee of the next period, as the real one will. Load `with_terms`.

    :raises NothingUpcoming: if no period is running.
    """
    chunk = Chunk([subscription])
    period = _running(chunk, subscription, at=at)
    following = chunk.following(subscription, period)
    [snapshots] = read_snapshots([chunk.wanted(period)], at=at)
    if period.is_trial and following:
        draft = draft_of(chunk, Purpose.OPENING, None, following, {})
    else:
        purpose = Purpose.REGULAR if following else Purpose.FINAL
        draft = draft_of(chunk, purpose, period, following, snapshots)
    composed = draft.compose()
    return draft.invoice(composed, run_id=None), composed


def _running(chunk: Chunk, subscription: Subscription, *, at: datetime) -> BillingPeriod:
    """Return the oldest period that is not billed yet, saved or not."""
    saved = subscription.billing_periods.select_related("phase")
    period = saved.exclude(status__in=[PeriodStatus.CLOSED, PeriodStatus.WAIVED]).first()
    if period is None and not saved.exists():
        period = chunk.following(subscription, None)
    if period is None or period.starts_at > at:
        raise NothingUpcoming(f"{subscription} has no period that is running and not billed yet.")
    period.subscription = subscription
    return period
