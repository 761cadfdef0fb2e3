"""The invoice as it would be now: the same composition as the close, never stored (R18)."""

from __future__ import annotations

from collections.abc import Sequence
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
    found = upcoming_invoices(subscriptions=[subscription], at=at)
    if not found:
        raise NothingUpcoming(f"{subscription} has no period that is running and not billed yet.")
    [(_, invoice, composed)] = found
    return invoice, composed


def upcoming_invoices(
    *, subscriptions: Sequence[Subscription], at: datetime
) -> list[tuple[BillingPeriod, Invoice, Composed]]:
    """Return the running period and the unsaved invoice of each, in a constant number of queries.

    Without those that have no running period. Load `with_terms`.
    """
    chunk = Chunk(subscriptions)
    running = _running(chunk, at=at)
    read = read_snapshots([chunk.wanted(period) for period in running], at=at)
    found = []
    for period, snapshots in zip(running, read, strict=True):
        following = chunk.following(period.subscription, period)
        if period.is_trial and following:
            draft = draft_of(chunk, Purpose.OPENING, None, following, {})
        else:
            purpose = Purpose.REGULAR if following else Purpose.FINAL
            draft = draft_of(chunk, purpose, period, following, snapshots)
        composed = draft.compose()
        found.append((period, draft.invoice(composed, run_id=None), composed))
    return found


def _running(chunk: Chunk, *, at: datetime) -> list[BillingPeriod]:
    """Return the oldest period of each subscription that is not billed yet, saved or not."""
    saved = BillingPeriod.objects.filter(subscription__in=chunk.subscriptions)
    begun = set(saved.values_list("subscription_id", flat=True).distinct())
    unbilled = saved.exclude(status__in=[PeriodStatus.CLOSED, PeriodStatus.WAIVED])
    running: dict[int, BillingPeriod] = {}
    for period in unbilled.select_related("phase").order_by("number"):
        running.setdefault(period.subscription_id, period)
    for pk, subscription in chunk.subscriptions.items():
        if pk not in begun and (first := chunk.following(subscription, None)):
            running[pk] = first
    for period in running.values():
        period.subscription = chunk.subscriptions[period.subscription_id]
    return [period for period in running.values() if period.starts_at <= at]
