"""The invoice as it would be now: the same composition as the close, never stored (R18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from billing.beside import NOTHING_BESIDE, Carrier, ToldBeside, told_beside
from billing.changed_fees import waiting_fees
from billing.chunk import Chunk
from billing.composition import Composed, compose
from billing.drafting import Draft, compose_all
from billing.history import period_key
from billing.late_usage.finding import Late, find_late, policy
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
from billing.services.closing import Measured, draft_of, parts_and_next
from billing.usage import Wanted, read_snapshots
from config.base.errors import Refusal
from customers.models import Subscription


class NothingUpcoming(Refusal):
    """The subscription has ended, or has not begun, so no invoice is on its way."""

    code = "nothing_upcoming"


class Running(NamedTuple):
    """A period that runs now: its unsaved invoice, and its usage line by line.

    Of one that is cut by a change of plan, the part that runs, and the invoice over all parts. During
    a trial the invoice is that of the period after it, and usage is rated but not charged.
    """

    wanted: Wanted
    invoice: Invoice
    composed: Composed
    usage: list[InvoiceLine]
    measured: Mapping[int, UsageSnapshot]
    """What the period measures up to now, by metric."""
    beside: ToldBeside = NOTHING_BESIDE
    """What would be issued with the invoice."""

    @property
    def period(self) -> BillingPeriod:
        return self.wanted.period


def upcoming_invoice(*, subscription: Subscription, at: datetime) -> tuple[Invoice, Composed]:
    """Return, unsaved, the invoice over the period that runs now, with usage up to now.

    It includes the fee of the next period, as the real one will. Load `with_terms`.

    :raises NothingUpcoming: if no period is running.
    """
    found = running_invoice(subscription=subscription, at=at)
    return found.invoice, found.composed


def running_invoice(*, subscription: Subscription, at: datetime) -> Running:
    """Return the period that runs now, with the unsaved invoice over it. Load `with_terms`.

    :raises NothingUpcoming: if no period is running.
    """
    found = running_periods(subscriptions=[subscription], at=at)
    if not found:
        raise NothingUpcoming(f"{subscription} has no period that is running and not billed yet.")
    return found[0]


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
    saved = _unbilled(chunk)

    def after(period: BillingPeriod) -> BillingPeriod | None:
        begun = saved.get((period.subscription_id, period.number + 1))
        return begun or chunk.following(period.subscription, period)

    running = [
        (parts, following)
        for period in _running(chunk, saved, at=at)
        for parts, following in [parts_and_next(period, after)]
        if following or not period.is_trial
    ]
    over = [part for parts, _ in running for part in parts]
    read = read_snapshots([chunk.wanted(part) for part in over], at=at)
    measured = {period_key(part): taken for part, taken in zip(over, read, strict=True)}
    late = find_late(chunk, at=at, terms=policy())
    fees = waiting_fees(chunk)
    drafts = [
        _draft(
            chunk,
            parts,
            following,
            measured,
            late.get(parts[0].subscription_id, ()),
            fees.get(parts[0].subscription_id, ()),
        )
        for parts, following in running
    ]
    found = []
    for (parts, _), draft, composed in zip(running, drafts, compose_all(drafts), strict=True):
        period = [part for part in parts if part.starts_at <= at][-1]
        lines = composed.lines if draft.ended else _as_if_charged(chunk, period, measured)
        usage = [line for line in lines if line.kind == LineKind.USAGE and line.period is period]
        invoice = draft.invoice(composed, run_id=None)
        snapshots = measured[period_key(period)]
        found.append(Running(chunk.wanted(period), invoice, composed, usage, snapshots))
    beside = told_beside([Carrier(one.invoice, one.composed.leaving) for one in found])
    return [one._replace(beside=beside[one.invoice.uuid]) for one in found]


def _draft(
    chunk: Chunk,
    parts: Sequence[BillingPeriod],
    following: BillingPeriod | None,
    measured: Measured,
    late: Sequence[Late],
    fees: Sequence[Served],
) -> Draft:
    if parts[0].is_trial:
        return draft_of(chunk, Purpose.OPENING, [], following, {})
    purpose = Purpose.REGULAR if following else Purpose.FINAL
    return draft_of(chunk, purpose, parts, following, measured, late=late, fees=fees)


def _as_if_charged(chunk: Chunk, period: BillingPeriod, measured: Measured) -> list[InvoiceLine]:
    """Rate what a trial used, which its invoice does not charge."""
    return compose(
        subscription=period.subscription,
        ended=[Served(period, chunk.offer(period), measured[period_key(period)])],
        starting=None,
        past={},
        ahead={},
        taxation=chunk.taxation(period.subscription),
        currency=chunk.offer(period).version.currency,
    ).lines


def _unbilled(chunk: Chunk) -> dict[tuple[int, int], BillingPeriod]:
    """Return the periods that billing has begun and not billed yet, in order."""
    rows = BillingPeriod.objects.filter(subscription__in=chunk.subscriptions).exclude(
        status__in=[PeriodStatus.CLOSED, PeriodStatus.WAIVED]
    )
    found = {}
    for period in rows.select_related("phase").order_by("number"):
        period.subscription = chunk.subscriptions[period.subscription_id]
        found[period_key(period)] = period
    return found


def _running(
    chunk: Chunk, saved: Mapping[tuple[int, int], BillingPeriod], *, at: datetime
) -> list[BillingPeriod]:
    """Return the oldest period of each subscription that is not billed yet, saved or not."""
    rows = BillingPeriod.objects.filter(subscription__in=chunk.subscriptions)
    begun = set(rows.values_list("subscription_id", flat=True).distinct())
    running: dict[int, BillingPeriod] = {}
    for period in saved.values():
        running.setdefault(period.subscription_id, period)
    for pk, subscription in chunk.subscriptions.items():
        if pk not in begun and (first := chunk.following(subscription, None)):
            running[pk] = first
    return [period for period in running.values() if period.starts_at <= at]
