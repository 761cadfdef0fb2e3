"""The invoice as it would be now: the same composition as the close, never stored (R18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from billing.chunk import Chunk
from billing.composition import Composed, compose
from billing.drafting import compose_all
from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceLine,
    LineKind,
    PeriodStatus,
    Purpose,
    UsageSnapshot,
)
from billing.offers import Served
from billing.services.closing import draft_of
from billing.usage import Wanted, read_snapshots
from catalog.money import ZERO
from config.base.errors import Refusal
from customers.models import Subscription


class NothingUpcoming(Refusal):
    """The subscription has ended, or has not begun, so no invoice is on its way."""

    code = "nothing_upcoming"


class Running(NamedTuple):
    """A period that runs now: its unsaved invoice, and its usage line by line.

    During a trial the invoice is that of the period after it, and usage is rated but not charged.
    """

    wanted: Wanted
    invoice: Invoice
    composed: Composed
    usage: list[InvoiceLine]

    @property
    def period(self) -> BillingPeriod:
        return self.wanted.period


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
    return [
        (found.period, found.invoice, found.composed)
        for found in running_periods(subscriptions=subscriptions, at=at)
    ]


def running_periods(*, subscriptions: Sequence[Subscription], at: datetime) -> list[Running]:
    """Return what runs now of each subscription, in a constant number of queries.

    Without those that have no running period, and those that end with their trial. Load `with_terms`.
    """
    chunk = Chunk(subscriptions)
    running = [
        period
        for period in _running(chunk, at=at)
        if not period.is_trial or chunk.following(period.subscription, period)
    ]
    read = read_snapshots([chunk.wanted(period) for period in running], at=at)
    drafts = []
    for period, snapshots in zip(running, read, strict=True):
        following = chunk.following(period.subscription, period)
        if period.is_trial:
            drafts.append(draft_of(chunk, Purpose.OPENING, None, following, {}))
        else:
            purpose = Purpose.REGULAR if following else Purpose.FINAL
            drafts.append(draft_of(chunk, purpose, period, following, snapshots))
    found = []
    for period, snapshots, draft, composed in zip(
        running, read, drafts, compose_all(drafts), strict=True
    ):
        lines = composed.lines if draft.ended else _as_if_charged(chunk, period, snapshots)
        usage = [line for line in lines if line.kind == LineKind.USAGE]
        invoice = draft.invoice(composed, run_id=None)
        found.append(Running(chunk.wanted(period), invoice, composed, usage))
    return found


def _as_if_charged(
    chunk: Chunk, period: BillingPeriod, snapshots: Mapping[int, UsageSnapshot]
) -> list[InvoiceLine]:
    """Rate what a trial used, which its invoice does not charge."""
    return compose(
        subscription=period.subscription,
        ended=Served(period, chunk.offer(period)),
        starting=None,
        snapshots=snapshots,
        past={},
        ahead=ZERO,
        tax=chunk.tax(period.subscription),
    ).lines


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
