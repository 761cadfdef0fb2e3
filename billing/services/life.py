"""A subscription's life, with the billing of it: what changes its terms fits the period that runs.

Each service takes the day from `at`, where the subscription is. `preview` does any of them, reads
what the next invoice would be, and undoes it: so it can't say anything else than what happens.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

from django.db import transaction

from billing.beside import NOTHING_BESIDE, ToldBeside, beside
from billing.chunk import Chunk
from billing.models import BillingPeriod, Invoice, PeriodCharge, PeriodStatus, Purpose
from billing.models.invoices import UNISSUED
from billing.services.billing_changes import bill_change
from billing.services.changing import DaysOfChange, change_plans, fit_periods, is_trial
from billing.services.changing import FirstFeeBilled as FirstFeeBilled
from billing.services.changing import NotProrated as NotProrated
from billing.services.changing import PeriodParked as PeriodParked
from billing.services.changing import When as When
from billing.services.own_terms import OwnPriceLost as OwnPriceLost
from billing.services.own_terms import lost_terms, prices_of, quoted
from billing.services.recasting import PeriodBilled as PeriodBilled
from billing.services.upcoming import Running, running_periods
from catalog.models import PlanVersion
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers import services as customers
from customers.models import Subscription, SubscriptionPhase
from customers.services.locking import lock_subscription
from customers.terms import in_force, paid_until, today_of

Done = TypeVar("Done")


class NotBegun(Refusal):
    """Service has not begun, so it can't stop at once."""

    code = "subscription_not_begun"


class Next(NamedTuple):
    """A subscription after something was done with it, and the invoice that comes next, if any.

    `change` is the draft over a change of plan alone, loaded `with_lines`, if there is one, and
    `change_beside` what would be issued with it; `lost_terms`
    are the keys of prices for which terms were agreed that its last plan has no place for (R22);
    `dropped` the changes of plan and pauses that were still to come and no longer are, in order.
    """

    subscription: Subscription
    running: Running | None
    change: Invoice | None
    change_beside: ToldBeside
    lost_terms: list[str]
    dropped: list[SubscriptionPhase]


@transaction.atomic
def cancel(*, subscription_id: int, when: When, at: datetime, actor: Actor) -> date:
    """Let service end: today is its last day, or the last of what is paid for (R5).

    Returns the first day without it. Unused advance fees are credited on the last invoice, where
    the version says so (R21a). Said again, the last holds.

    :raises SubscriptionEnded: if it has ended already.
    :raises NotBegun: at once, before the first day.
    :raises PeriodParked: if the running period is held back.
    """
    subscription = lock_subscription(subscription_id)
    phase = in_force(subscription, at=at)
    today = today_of(subscription, at=at)
    if when == When.IMMEDIATE and today < subscription.starts_on:
        raise NotBegun(
            f"{subscription} begins on {subscription.starts_on}: cancel it from that day on, "
            "or to the end of its first period."
        )
    tomorrow = today + timedelta(days=1)
    ends_on = tomorrow if when == When.IMMEDIATE else paid_until(phase, day=today)
    customers.end_subscription(
        subscription_id=subscription_id, ends_on=ends_on, today=today, actor=actor
    )
    fit_periods([subscription_id], at=at, actor=actor)
    return ends_on


@transaction.atomic
def keep(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Take back a cancellation that is still to come; return the day on which it would have ended.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotCancelled: if it doesn't end.
    :raises PeriodParked: if the running period is held back.
    """
    subscription = lock_subscription(subscription_id)
    today = today_of(subscription, at=at)
    ends_on = subscription.ends_on
    customers.keep_subscription(subscription_id=subscription_id, today=today, actor=actor)
    fit_periods([subscription_id], at=at, actor=actor)
    assert ends_on is not None
    return ends_on


@transaction.atomic
def change_plan(
    *,
    subscription_id: int,
    version: PlanVersion,
    when: When | date | None,
    at: datetime,
    actor: Actor,
    bill_now: bool = False,
    lose_own_terms: bool = False,
) -> date:
    """Put a subscription under another version: today, at the end of what is paid for, or from a
    chosen day on (R20).

    Without `when`, a plan with a lower base fee waits and any other begins today; a trial runs to
    its end then in any case. With `bill_now` an invoice over the change alone is drafted, where the
    running period goes on; else its fees and credits go on the next one. Own terms for a price that
    the version lacks are lost only with `lose_own_terms` (R22). Returns the first day under the version.

    :raises SubscriptionEnded: if it has ended already.
    :raises VersionNotOffered: if the version is a draft or retired.
    :raises PlanUnchanged: if it is under this version already.
    :raises OwnPriceLost: if it has own terms that the version has no place for.
    :raises NotProrated: at once or on a day within a period, where a price is never prorated.
    :raises PeriodBilled: on a day that is billed already.
    :raises FirstFeeBilled: on the first day of service, where that can't be redrawn.
    :raises PeriodParked: if the running period is held back.
    :raises Invalid: for another currency, or a day within the trial or without service; and to bill
        at once what is still to come.
    """
    subscription = lock_subscription(subscription_id)
    found = change_plans(
        subscriptions=[subscription],
        version=version,
        days=DaysOfChange(version, when=when, at=at),
        at=at,
        actor=actor,
    )
    day = found[subscription_id]
    if isinstance(day, Exception):
        raise day
    lost = lost_terms(subscription, prices_of(version), day=day)
    if lost and not lose_own_terms:
        raise OwnPriceLost(
            f"Own terms for {quoted(lost)} were agreed, which {version} has no place for: confirm "
            "that they no longer hold.",
            path=("lose_own_terms",),
        )
    if bill_now:
        today = today_of(subscription, at=at)
        if day > today:
            message = f"The change begins on {day}: it can be billed from that day on."
            raise Invalid([Fault(("bill_now",), "out_of_range", message)])
        bill_change(subscription_id=subscription_id, today=today, at=at)
    return day


@transaction.atomic
def change_quantity(
    *,
    subscription_id: int,
    price_key: str,
    quantity: Decimal,
    starts_on: date | None,
    at: datetime,
    actor: Actor,
) -> date:
    """Say how many of a price without a metric there are, such as seats, from a day on (R13).

    By default from today. Returns that day.

    :raises SubscriptionEnded: if it has ended already.
    :raises PeriodParked: if the running period is held back.
    :raises Invalid: for a day that is over or has no service, or a quantity that can't be.
    """
    subscription = lock_subscription(subscription_id)
    today = today_of(subscription, at=at)
    day = starts_on or max(today, subscription.starts_on)
    customers.change_quantity(
        subscription_id=subscription_id,
        price_key=price_key,
        quantity=quantity,
        starts_on=day,
        today=today,
        actor=actor,
    )
    fit_periods([subscription_id], at=at, actor=actor)
    return day


@transaction.atomic
def change_time_zone(*, subscription_id: int, time_zone: str, at: datetime, actor: Actor) -> date:
    """Let days begin in another zone from the next boundary on (R2); return that boundary.

    Nothing that billing has begun changes.

    :raises SubscriptionEnded: if it has ended already.
    :raises NoFurtherPeriod: if it ends with the running period.
    :raises TimeZoneUnchanged: if its days begin there already.
    :raises Invalid: for what is no time zone.
    """
    return customers.change_time_zone(
        subscription_id=subscription_id,
        time_zone=time_zone,
        today=today_of(lock_subscription(subscription_id), at=at),
        actor=actor,
    )


@transaction.atomic
def pause(*, subscription_id: int, when: When, at: datetime, actor: Actor) -> date:
    """Let service rest until it is resumed: today is the last day before, or that of what is paid.

    A trial runs to its end in any case. Returns the first day without service, from which unused
    advance fees are credited (R21a).

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionPaused: if it is paused already.
    :raises PeriodParked: if the running period is held back.
    :raises Invalid: for a day without service.
    """
    subscription = lock_subscription(subscription_id)
    phase = in_force(subscription, at=at)
    today = today_of(subscription, at=at)
    day = today + timedelta(days=1)
    if is_trial(phase, day=today) or when == When.AT_PERIOD_END:
        day = paid_until(phase, day=today)
    customers.pause_subscription(
        subscription_id=subscription_id, starts_on=day, today=today, actor=actor
    )
    fit_periods([subscription_id], at=at, actor=actor)
    return day


@transaction.atomic
def resume(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Let service go on from today, or take back a pause that is still to come; return today.

    The fee for the days that are left of a running period is charged at its end.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotPaused: if there is no pause.
    :raises PeriodParked: if the running period is held back.
    """
    today = today_of(lock_subscription(subscription_id), at=at)
    customers.resume_subscription(subscription_id=subscription_id, today=today, actor=actor)
    fit_periods([subscription_id], at=at, actor=actor)
    return today


@transaction.atomic
def reactivate(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Let a cancelled subscription go on: as if nothing was said, or from today once it has ended.

    Returns the day from which it goes on.

    :raises SubscriptionNotCancelled: if it doesn't end.
    :raises PeriodParked: if the running period is held back.
    """
    subscription = lock_subscription(subscription_id)
    today = today_of(subscription, at=at)
    if subscription.ends_on is None or subscription.ends_on > today:
        return keep(subscription_id=subscription_id, at=at, actor=actor)
    customers.take_up_again(subscription_id=subscription_id, today=today, actor=actor)
    _begin_after(subscription_id)
    return today


def _begin_after(subscription_id: int) -> None:
    """Begin the period after the last one that was billed, so that billing goes on.

    Of one that begins with service, the fee is billed as a first one is (R21).
    """
    last = BillingPeriod.objects.filter(subscription=subscription_id).order_by("-number").first()
    if last is None or last.status not in (PeriodStatus.CLOSED, PeriodStatus.WAIVED):
        return
    subscription = Subscription.objects.with_terms().get(pk=subscription_id)
    following = Chunk([subscription]).following(subscription, last)
    assert following is not None
    following.needs_opening = not following.phase.is_paused
    following.save()


def carry_out(do: Callable[[], Done], *, subscription_id: int, at: datetime) -> tuple[Done, Next]:
    """Do something to a subscription, and say what comes next. What refuses it is raised."""
    planned = _to_come(_terms(subscription_id), at=at)
    done = do()
    subscription = _terms(subscription_id)
    kept = {_content(one) for one in subscription.phases.all()}
    running = running_periods(subscriptions=[subscription], at=at)
    change = _draft_of_a_change(subscription)
    return done, Next(
        subscription,
        running[0] if running else None,
        change,
        beside(change) if change else NOTHING_BESIDE,
        _lost(subscription),
        [one for one in planned if _content(one) not in kept],
    )


def preview(do: Callable[[], Done], *, subscription_id: int, at: datetime) -> tuple[Done, Next]:
    """Say what something would do to a subscription, and undo it. What refuses it is raised."""
    with transaction.atomic():
        done, found = carry_out(do, subscription_id=subscription_id, at=at)
        transaction.set_rollback(True)
    return done, found


def _terms(subscription_id: int) -> Subscription:
    return Subscription.objects.with_terms().get(pk=subscription_id)


def _to_come(subscription: Subscription, *, at: datetime) -> list[SubscriptionPhase]:
    """Return the phases that change something later: the first one is the start."""
    today = max(today_of(subscription, at=at), subscription.starts_on)
    return [phase for phase in subscription.phases.all() if phase.starts_on > today]


def _content(phase: SubscriptionPhase) -> tuple[date, int, bool]:
    return phase.starts_on, phase.plan_version_id, phase.is_paused


def _lost(subscription: Subscription) -> list[str]:
    if not subscription.overrides.all():
        return []
    last = list(subscription.phases.all())[-1]
    return lost_terms(subscription, prices_of(last.plan_version), day=last.starts_on)


def _draft_of_a_change(subscription: Subscription) -> Invoice | None:
    """Return the newest draft over a change of plan alone, all of it loaded."""
    mine = PeriodCharge.objects.filter(subscription=subscription, invoice__status__in=UNISSUED)
    changes = mine.filter(purpose=Purpose.CHANGE).values("invoice")
    closes = mine.exclude(purpose__in=[Purpose.CHANGE, Purpose.LATE]).values("invoice")
    drafts = Invoice.objects.with_lines().filter(pk__in=changes).exclude(pk__in=closes)
    # A look ahead reads it when it is undone already.
    whole = drafts.prefetch_related("lines__period", "lines__credited__invoice")
    return next(iter(whole.order_by("-pk")[:1]), None)
