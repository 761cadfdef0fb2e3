"""A subscription's life, with the billing of it: what changes its terms fits the period that runs.

Each service takes the day from `at`, where the subscription is. `preview` does any of them, reads
what the next invoice would be, and undoes it: so it can't say anything else than what happens.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

from django.db import models, transaction

from billing.chunk import Chunk
from billing.models import BillingPeriod, Invoice, InvoiceLine, InvoiceStatus, PeriodStatus
from billing.models.invoices import UNISSUED
from billing.services.issuing import recalculate_invoices
from billing.services.upcoming import Running, running_periods
from catalog.base_fee import base_fee_per_year
from catalog.models import PlanVersion
from config.base.audit import Actor
from config.base.errors import Refusal
from customers import services as customers
from customers.models import Subscription, SubscriptionPhase
from customers.periods import local_date, zone
from customers.services.locking import lock_subscription
from customers.terms import in_force, paid_until, phase_terms

Done = TypeVar("Done")
_FITTED = (
    "phase",
    "end_date",
    "nominal_start_date",
    "nominal_end_date",
    "ends_at",
    "usage_cutoff",
    "is_trial",
)


class When(models.TextChoices):
    IMMEDIATE = "immediate", "At once"
    AT_PERIOD_END = "at_period_end", "At the end of what is paid for"


class PeriodParked(Refusal):
    """Billing holds the running period back, until somebody tries it again."""

    code = "period_parked"


class NotBegun(Refusal):
    """Service has not begun, so it can't stop at once."""

    code = "subscription_not_begun"


class NotProrated(Refusal):
    """A price of the plan is never prorated, so the plan changes where a period ends (R15)."""

    code = "not_prorated"


class FirstFeeBilled(Refusal):
    """Its plan can't be replaced on its first day, since that is billed already."""

    code = "first_fee_billed"


class Next(NamedTuple):
    """A subscription after something was done with it, and the invoice that comes next, if any."""

    subscription: Subscription
    running: Running | None


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
    today = today_of(phase, at=at)
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
    _fit(subscription_id, at=at, actor=actor)
    return ends_on


@transaction.atomic
def keep(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Take back a cancellation that is still to come; return the day on which it would have ended.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotCancelled: if it doesn't end.
    :raises PeriodParked: if the running period is held back.
    """
    subscription = lock_subscription(subscription_id)
    today = today_of(in_force(subscription, at=at), at=at)
    ends_on = subscription.ends_on
    customers.keep_subscription(subscription_id=subscription_id, today=today, actor=actor)
    _fit(subscription_id, at=at, actor=actor)
    assert ends_on is not None
    return ends_on


@transaction.atomic
def change_plan(
    *, subscription_id: int, version: PlanVersion, when: When | None, at: datetime, actor: Actor
) -> date:
    """Put a subscription under another version, today or at the end of what is paid for (R20).

    Without `when`, a plan with a lower base fee waits and any other begins today. A trial runs to
    its end in any case. Returns the first day under the version.

    :raises SubscriptionEnded: if it has ended already.
    :raises VersionNotOffered: if the version is a draft or retired.
    :raises PlanUnchanged: if it is under this version already.
    :raises NotProrated: at once, where a price is never prorated.
    :raises FirstFeeBilled: on the first day of service, where that can't be redrawn.
    :raises PeriodParked: if the running period is held back.
    :raises Invalid: for another currency, or once it is cancelled to an earlier day.
    """
    subscription = lock_subscription(subscription_id)
    phase = in_force(subscription, at=at)
    today = today_of(phase, at=at)
    day = _day_of_change(phase, version, when, today=today)
    if day == subscription.starts_on:
        _check_first_day(subscription, version)
    customers.change_version(
        subscription_id=subscription_id, version=version, starts_on=day, today=today, actor=actor
    )
    _fit(subscription_id, at=at, actor=actor)
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
    today = today_of(in_force(subscription, at=at), at=at)
    day = starts_on or max(today, subscription.starts_on)
    customers.change_quantity(
        subscription_id=subscription_id,
        price_key=price_key,
        quantity=quantity,
        starts_on=day,
        today=today,
        actor=actor,
    )
    _fit(subscription_id, at=at, actor=actor)
    return day


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
    phase = in_force(lock_subscription(subscription_id), at=at)
    today = today_of(phase, at=at)
    day = today + timedelta(days=1)
    if _is_trial(phase, today) or when == When.AT_PERIOD_END:
        day = paid_until(phase, day=today)
    customers.pause_subscription(
        subscription_id=subscription_id, starts_on=day, today=today, actor=actor
    )
    _fit(subscription_id, at=at, actor=actor)
    return day


@transaction.atomic
def resume(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Let service go on from today, or take back a pause that is still to come; return today.

    The fee for the days that are left of a running period is charged at its end.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotPaused: if there is no pause.
    :raises PeriodParked: if the running period is held back.
    """
    today = today_of(in_force(lock_subscription(subscription_id), at=at), at=at)
    customers.resume_subscription(subscription_id=subscription_id, today=today, actor=actor)
    _fit(subscription_id, at=at, actor=actor)
    return today


@transaction.atomic
def reactivate(*, subscription_id: int, at: datetime, actor: Actor) -> date:
    """Let a cancelled subscription go on: as if nothing was said, or from today once it has ended.

    Returns the day from which it goes on.

    :raises SubscriptionNotCancelled: if it doesn't end.
    :raises PeriodParked: if the running period is held back.
    """
    subscription = lock_subscription(subscription_id)
    today = today_of(in_force(subscription, at=at), at=at)
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


def preview(do: Callable[[], Done], *, subscription_id: int, at: datetime) -> tuple[Done, Next]:
    """Say what something would do to a subscription, and undo it. What refuses it is raised."""
    with transaction.atomic():
        done = do()
        found = what_comes_next(subscription_id=subscription_id, at=at)
        transaction.set_rollback(True)
    return done, found


def what_comes_next(*, subscription_id: int, at: datetime) -> Next:
    """Return a subscription as it is, and its next invoice."""
    subscription = Subscription.objects.with_terms().get(pk=subscription_id)
    running = running_periods(subscriptions=[subscription], at=at)
    return Next(subscription, running[0] if running else None)


def today_of(phase: SubscriptionPhase, *, at: datetime) -> date:
    """Return the day where a phase is."""
    return local_date(at, zone(phase.time_zone))


def _day_of_change(
    phase: SubscriptionPhase, version: PlanVersion, when: When | None, *, today: date
) -> date:
    before = phase.plan_version
    whole = [one for one in (before, version) if customers.has_whole_prices(one)]
    if when == When.IMMEDIATE and whole:
        raise NotProrated(
            f"A price of {whole[0]} is never prorated: change it at the end of the period.",
            path=("when",),
        )
    if when is None:
        is_lower = base_fee_per_year(version) < base_fee_per_year(before)
        when = When.AT_PERIOD_END if whole or is_lower else When.IMMEDIATE
    if today < phase.starts_on and when == When.IMMEDIATE:
        return phase.starts_on
    waits = _is_trial(phase, today) or when == When.AT_PERIOD_END
    return paid_until(phase, day=today) if waits else today


def _check_first_day(subscription: Subscription, version: PlanVersion) -> None:
    """Refuse to replace the plan of the first day once an invoice for it is issued.

    Or drawn at all, where the new plan begins with a trial.
    """
    live = Invoice.objects.filter(lines__subscription=subscription).exclude(
        status__in=[InvoiceStatus.VOID, InvoiceStatus.DISCARDED]
    )
    found = live.first() if version.trial_days else live.exclude(status__in=UNISSUED).first()
    if found:
        raise FirstFeeBilled(
            f"“{found}” bills its first day already: undo that invoice and let the day be billed "
            "anew, or change the plan tomorrow."
        )


def _is_trial(phase: SubscriptionPhase, today: date) -> bool:
    terms = phase_terms(phase)
    return bool(terms.trial_days) and today < terms.paid_from


def _fit(subscription_id: int, *, at: datetime, actor: Actor) -> None:
    """Let the last period that billing began end where the terms say now, and redraw its drafts.

    A draft that charged it in advance, but is not issued, charges what is served (R21).
    """
    # Invoices before periods, as whoever discards one locks them.
    lines = InvoiceLine.objects.filter(
        subscription=subscription_id, invoice__status__in=UNISSUED
    ).values("invoice")
    list(Invoice.objects.select_for_update().filter(pk__in=lines).order_by("pk").values("pk"))
    mine = BillingPeriod.objects.select_for_update().filter(subscription=subscription_id)
    last = mine.order_by("-number").first()
    if last is None or last.status in (PeriodStatus.CLOSED, PeriodStatus.WAIVED):
        return
    if last.status == PeriodStatus.PARKED:
        raise PeriodParked(f"Billing holds {last} back: mend what is wrong and try it again first.")
    subscription = Subscription.objects.with_terms().get(pk=subscription_id)
    before = mine.filter(number=last.number - 1).first()
    fresh = Chunk([subscription]).following(subscription, before)
    assert fresh is not None
    assert fresh.start_date == last.start_date
    last.needs_opening = last.needs_opening and not fresh.is_trial
    for name in _FITTED:
        setattr(last, name, getattr(fresh, name))
    last.save(update_fields=[*_FITTED, "needs_opening"])
    drafts = Invoice.objects.filter(lines__period=last, status__in=UNISSUED).distinct()
    if ids := list(drafts.values_list("pk", flat=True)):
        recalculate_invoices(invoice_ids=ids, at=at, actor=actor)
