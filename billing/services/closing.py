"""Closing periods: measure, rate, and write a draft, many subscriptions at a time (R26, R33, R36).

A chunk is one transaction: killed anywhere, it leaves nothing, and running it again does the same
once. A subscription that can't be billed is parked with its reason; the others go on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q

from billing.changed_fees import waiting_fees
from billing.chunk import Chunk
from billing.drafting import Draft, compose_all, write_drafts
from billing.history import period_key
from billing.late_usage.finding import Late, find_late, policy
from billing.models import BillingPeriod, PeriodStatus, Purpose, UsageSnapshot
from billing.offers import Served
from billing.services.consolidating import grouped, lock_payers
from billing.services.guarding import hold_unusual
from billing.services.lateness import Settlement
from billing.usage import read_snapshots
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.models import AuditEntry
from config.base.rows import insert_rows, update_rows
from customers.models import Subscription
from customers.querysets import SubscriptionQuerySet

_BEGUN_AT_ONCE = 500

Measured = Mapping[tuple[int, int], Mapping[int, UsageSnapshot]]
"""What was measured, by `period_key` and by metric."""

logger = logging.getLogger(__name__)


class PeriodNotParked(Refusal):
    """The period is not parked, so there is nothing to try again."""

    code = "period_not_parked"


@dataclass(frozen=True)
class Closed:
    """How many periods were closed, and the invoices that were drafted of them and ahead.

    `goes_on` says whether further periods of the same subscriptions may be due.
    """

    periods: int = 0
    drafts: Sequence[int] = ()
    goes_on: bool = False

    def __add__(self, other: Closed) -> Closed:
        drafts = [*self.drafts, *other.drafts]
        return Closed(self.periods + other.periods, drafts, self.goes_on or other.goes_on)


def to_close(*, as_of: datetime, customer_id: int | None = None) -> SubscriptionQuerySet:
    """Return the subscriptions with a period that is due, or none begun yet, in order of making."""
    begun = BillingPeriod.objects.filter(subscription=OuterRef("pk"))
    due = begun.due(at=as_of) | begun.to_open(at=as_of)
    # A local day begins at most 14 hours before it does in UTC.
    latest_start = (as_of + timedelta(hours=14)).date()
    found = Subscription.objects.filter(
        Exists(due) | (~Exists(begun) & Q(starts_on__lte=latest_start))
    )
    if customer_id is not None:
        found = found.filter(Q(customer=customer_id) | Q(payer=customer_id))
    return found.order_by("pk")


def begin_periods(*, as_of: datetime) -> None:
    """Save the first period of each subscription that begins, without a run: nothing is billed yet.

    What can't be begun is left to a run, which holds it back with its reason.

    :raises OperationalError: if the database fails.
    """
    last = 0
    fresh = to_close(as_of=as_of).filter(billing_periods=None).values_list("pk", flat=True)
    while ids := list(fresh.filter(pk__gt=last)[:_BEGUN_AT_ONCE]):
        last = ids[-1]
        try:
            with transaction.atomic():
                _begin(Chunk(_locked(ids, as_of=as_of)))
        except OperationalError:
            raise
        except Exception:
            logger.warning("some of %s subscriptions could not begin", len(ids), exc_info=True)


def close_subscriptions(
    *, subscription_ids: Sequence[int], as_of: datetime, run_id: int | None = None
) -> Closed:
    """Begin and close every period of these subscriptions that is due, oldest first.

    What another closer holds is left to it. A subscription whose close fails is parked, and the
    others are closed without it.

    :raises OperationalError: if the database fails; what was closed stays closed.
    """
    closed = Closed()
    try:
        while (step := _advance(subscription_ids, as_of=as_of, run_id=run_id)) is not None:
            closed += step
            if not step.goes_on:
                break
    except OperationalError:
        raise  # the database's trouble, not the customer's: the whole is tried again
    except Exception as trouble:  # noqa: BLE001 - one customer's crash is one customer's
        if len(subscription_ids) == 1:
            _park_or_leave(subscription_ids[0], as_of=as_of, run_id=run_id, trouble=trouble)
            return closed
        logger.warning("a chunk failed and is closed by halves", exc_info=True)
        middle = len(subscription_ids) // 2
        for half in (subscription_ids[:middle], subscription_ids[middle:]):
            closed += close_subscriptions(subscription_ids=half, as_of=as_of, run_id=run_id)
    return closed


@transaction.atomic
def retry_parked(*, period_id: int, actor: Actor) -> None:
    """Open a parked period again, so that the next run closes it.

    :raises PeriodNotParked: if it is not parked.
    """
    period = BillingPeriod.objects.select_for_update().get(pk=period_id)
    if period.status != PeriodStatus.PARKED:
        raise PeriodNotParked(f"{period} is {period.get_status_display().lower()}, not parked.")
    _open_again([period], actor=actor)


def retry_all_parked(*, as_of: datetime, customer_id: int | None, actor: Actor) -> None:
    """Open again what was due and earlier runs could not close; what fails anew is parked anew.

    In three queries, in the caller's transaction.
    """
    parked = BillingPeriod.objects.to_retry(at=as_of).of_customer(customer_id)
    parked = parked.select_related("subscription").order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        parked = parked.select_for_update(skip_locked=True, of=("self",))
    _open_again(list(parked), actor=actor)


def _open_again(parked: Sequence[BillingPeriod], *, actor: Actor) -> None:
    for period in parked:
        period.status = PeriodStatus.CLOSED if period.closed_at else PeriodStatus.OPEN
        period.trouble = ""
    update_rows(parked, ("status", "trouble"))
    AuditEntry.objects.bulk_create(
        audit.entry(actor=actor, action="unparked", subject=period) for period in parked
    )


@transaction.atomic
def _advance(
    subscription_ids: Sequence[int], *, as_of: datetime, run_id: int | None
) -> Closed | None:
    """Take each subscription one period further; return what was closed, None for no step."""
    subscriptions = _locked(subscription_ids, as_of=as_of)
    if not subscriptions:
        return None
    chunk = Chunk(subscriptions)
    pending = _pending(chunk, as_of=as_of)
    begun = _begin(chunk, without={period.subscription_id for period in pending})
    if begun:
        pending = _pending(chunk, as_of=as_of)
    opening = _oldest(period for period in pending if period.needs_opening)
    opened = _open(chunk, opening, as_of=as_of, run_id=run_id) if opening else Closed()
    due = _oldest(period for period in pending if period.is_due(at=as_of))
    if not begun and not opening and not due:
        return None
    closing = {period.pk for period in due}
    if opened_only := [period.pk for period in opening if period.pk not in closing]:
        BillingPeriod.objects.filter(pk__in=opened_only).update(needs_opening=False)
    done = {period.pk for period in (*opening, *due)}
    step = opened + Closed(goes_on=any(period.pk not in done for period in pending))
    return step + _close(chunk, due, as_of=as_of, run_id=run_id) if due else step


def _open(
    chunk: Chunk, opening: Sequence[BillingPeriod], *, as_of: datetime, run_id: int | None
) -> Closed:
    """Bill the first advance fees of these periods (R21), so that they may be closed.

    That they need it no longer is left to save.
    """
    drafts = [draft_of(chunk, Purpose.OPENING, [], period, {}) for period in opening]
    written = draw_up(drafts, as_of=as_of, run_id=run_id)
    for period in opening:
        period.needs_opening = False
    return Closed(drafts=written)


def _close(
    chunk: Chunk, due: Sequence[BillingPeriod], *, as_of: datetime, run_id: int | None
) -> Closed:
    """Close these periods, each with its further parts."""
    ending = _with_following(chunk, due)
    over = [period for parts, _ in ending for period in parts]
    read = read_snapshots([chunk.wanted(period) for period in over], at=as_of)
    insert_rows(taken for one in read for taken in one.values())
    measured = {period_key(period): taken for period, taken in zip(over, read, strict=True)}
    late = find_late(chunk, at=as_of, terms=policy())
    fees = waiting_fees(chunk)
    drafts = [
        draft_of(
            chunk,
            Purpose.REGULAR if starting else Purpose.FINAL,
            parts,
            starting,
            measured,
            late=late.get(parts[0].subscription_id, ()),
            fees=fees.get(parts[0].subscription_id, ()),
        )
        for parts, starting in ending
        if not parts[0].is_trial  # shown, not billed (R23)
    ]
    written = draw_up(drafts, as_of=as_of, run_id=run_id)
    mine = BillingPeriod.objects.filter(pk__in=[period.pk for period in over])
    mine.update(status=PeriodStatus.CLOSED, closed_at=as_of, run=run_id, needs_opening=False)
    following = [starting for _, starting in ending if starting]
    goes_on = any(one.needs_opening or one.usage_cutoff <= as_of for one in following)
    return Closed(len(over), written, goes_on)


def draw_up(drafts: Sequence[Draft], *, as_of: datetime, run_id: int | None) -> list[int]:
    """Save drafts with what is late beside them, and hold those that look wrong.

    Returns the ids of those that are new: what joined an earlier one does not make all of it new.
    """
    drafts, open_groups = grouped(drafts)
    composed = list(zip(drafts, compose_all(drafts, open_groups=open_groups), strict=True))
    settlement = Settlement([(draft.late, one) for draft, one in composed])
    settlement.keep_snapshots()
    written = write_drafts(composed, run_id=run_id, open_groups=open_groups)
    hold_unusual(written)
    settlement.keep_rows(at=as_of)
    joined = {invoice.pk for invoice in open_groups.values()}
    return [invoice.pk for invoice in written if invoice.pk not in joined]


def draft_of(
    chunk: Chunk,
    purpose: Purpose,
    ended: Sequence[BillingPeriod],
    starting: BillingPeriod | None,
    measured: Measured,
    *,
    replaces: int | None = None,
    late: Sequence[Late] = (),
    fees: Sequence[Served] = (),
) -> Draft:
    """Return the invoice to be over the parts of a period that ended, one that starts, or both.

    `replaces` is the open invoice that it is drawn anew for, `late` what came after earlier closes,
    `fees` the periods whose fee is charged besides since their plan changed.
    """
    [subscription, *_] = [one.subscription for one in (*ended, starting) if one]
    return Draft(
        subscription=subscription,
        purpose=purpose,
        ended=[
            Served(
                part,
                chunk.offer(part),
                measured[period_key(part)],
                fee_is_due=part.fee_is_due,
            )
            for part in ended
        ],
        starting=Served(starting, chunk.offer(starting)) if starting else None,
        issuer=chunk.issuer(subscription),
        taxation=chunk.taxation(subscription),
        replaces=replaces,
        late=late,
        fees=fees,
    )


def change_draft(
    chunk: Chunk,
    fees: Sequence[Served],
    late: Sequence[Late],
    *,
    at: datetime,
    replaces: int | None = None,
) -> Draft:
    """Return the invoice to be over a change of plan alone: the fees since, and what is settled for it."""
    subscription = fees[0].period.subscription
    return Draft(
        subscription=subscription,
        purpose=Purpose.CHANGE,
        ended=[],
        starting=None,
        issuer=chunk.issuer(subscription),
        taxation=chunk.taxation(subscription),
        replaces=replaces,
        drawn_at=at,
        late=late,
        fees=fees,
    )


def _locked(subscription_ids: Sequence[int], *, as_of: datetime) -> list[Subscription]:
    """Lock what is still to close among these; skip what another closer has locked."""
    lock_payers(subscription_ids)
    wanted = to_close(as_of=as_of).filter(pk__in=subscription_ids)
    if connection.features.has_select_for_update_skip_locked:
        wanted = wanted.select_for_update(skip_locked=True, of=("self",))
    return list(wanted.with_phases())


def _begin(chunk: Chunk, *, without: Set[int] = frozenset()) -> list[BillingPeriod]:
    """Save the first period of each subscription that has none; not of those `without` need."""
    asked = chunk.subscriptions.keys() - without
    if not asked:
        return []
    begun = BillingPeriod.objects.filter(subscription__in=asked)
    have = set(begun.values_list("subscription_id", flat=True))
    fresh = [chunk.subscriptions[pk] for pk in sorted(asked - have)]
    first = [period for one in fresh if (period := chunk.following(one, None))]
    return insert_rows(first)


def _pending(chunk: Chunk, *, as_of: datetime) -> list[BillingPeriod]:
    """Return what is to open or to close of the chunk, each subscription's oldest period first."""
    mine = BillingPeriod.objects.filter(subscription__in=chunk.subscriptions)
    pending = mine.to_open(at=as_of) | mine.due(at=as_of)
    return [chunk.adopt(period) for period in pending.order_by("number")]


def _oldest(periods: Iterable[BillingPeriod]) -> list[BillingPeriod]:
    """Return the first of these periods of each subscription."""
    found: dict[int, BillingPeriod] = {}
    for period in periods:
        found.setdefault(period.subscription_id, period)
    return list(found.values())


def _with_following(
    chunk: Chunk, due: Sequence[BillingPeriod]
) -> list[tuple[list[BillingPeriod], BillingPeriod | None]]:
    """Return each of these with the further parts of the same period, and the period after it.

    Saved if they were not yet. A parked period holds its subscription, and a reopened one finds the
    next already there.
    """
    later = BillingPeriod.objects.filter(
        subscription__in=[period.subscription_id for period in due],
        start_date__gte=min(period.end_date for period in due),
    )
    saved = {period_key(period): chunk.adopt(period) for period in later}
    fresh = []

    def after(period: BillingPeriod) -> BillingPeriod | None:
        found = saved.get((period.subscription_id, period.number + 1))
        if found is None and (found := chunk.following(period.subscription, period)):
            fresh.append(found)
        return found

    ending = [parts_and_next(period, after) for period in due]
    insert_rows(fresh)
    return ending


def parts_and_next(
    period: BillingPeriod, after: Callable[[BillingPeriod], BillingPeriod | None]
) -> tuple[list[BillingPeriod], BillingPeriod | None]:
    """Return a period with its further parts, in order, and what `after` says comes then (R20)."""
    parts, following = [period], after(period)
    while following and following.continues(parts[-1]):
        parts.append(following)
        following = after(following)
    return parts, following


def _park_or_leave(
    subscription_id: int, *, as_of: datetime, run_id: int | None, trouble: Exception
) -> None:
    """Park what failed; where not even that can be done, leave it to the next run."""
    try:
        _park(subscription_id, as_of=as_of, run_id=run_id, trouble=trouble)
    except OperationalError:
        raise
    except Exception:
        logger.exception("subscription %s could not be parked", subscription_id)


@transaction.atomic
def _park(subscription_id: int, *, as_of: datetime, run_id: int | None, trouble: Exception) -> None:
    """Hold back the period that failed, with its reason, until somebody looks."""
    mine = BillingPeriod.objects.filter(subscription=subscription_id)
    due = mine.due(at=as_of) | mine.to_open(at=as_of)
    period = due.select_for_update().order_by("number").first()
    if period is None:
        subscription = Subscription.objects.with_terms().get(pk=subscription_id)
        period = Chunk([subscription]).following(subscription, None)
        assert period is not None
    reason = str(trouble) or type(trouble).__name__
    period.status, period.run_id = PeriodStatus.PARKED, run_id
    period.trouble = reason + "\n\n" + "".join(traceback.format_exception(trouble))
    period.save()
    logger.error("parked %s: %s", period, reason)
