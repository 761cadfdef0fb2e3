"""Serving a subscription under another plan version from a day on (R20)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from django.db import transaction
from django.db.models import ProtectedError

from catalog.models import PlanVersion, Proration, VersionStatus
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import PeriodAlignment, Subscription, SubscriptionPhase
from customers.services.ending import cut_phases
from customers.services.locking import lock_served
from customers.services.subscribing import VersionNotOffered
from customers.terms import phase_terms


class SubscriptionPaused(Refusal):
    """It is paused, so its plan can't change."""

    code = "subscription_paused"


class PlanUnchanged(Refusal):
    """It is under this version already, and stays."""

    code = "plan_unchanged"


@transaction.atomic
def change_version(
    *, subscription_id: int, version: PlanVersion, starts_on: date, today: date, actor: Actor
) -> Subscription:
    """Put a subscription under another published version from a day on, instead of any later plan.

    With periods of the same length its boundaries stay; with others the day is their new anchor.
    Billing's `change_plan` calls this, and fits the period that runs to it.

    :raises SubscriptionEnded: if it has ended already.
    :raises VersionNotOffered: if the version is a draft or retired.
    :raises PlanUnchanged: if it is under this version on that day, and nothing else is to come.
    :raises SubscriptionPaused: on a day of a pause.
    :raises Invalid: for another currency, or a day without service.
    """
    subscription, phases = lock_served(subscription_id, today)
    version.refresh_from_db(fields=["status"])
    _check(subscription, version, starts_on)
    phases_until = [phase for phase in phases if phase.starts_on <= starts_on]
    before = phases_until[-1]
    if before.is_paused:
        raise SubscriptionPaused(f"{subscription} is paused: resume it first.")
    later = [phase for phase in phases if phase.starts_on > starts_on]
    if before.plan_version_id == version.pk and not later:
        raise PlanUnchanged(f"{subscription} is under {version} already.")
    was = [str(phase.plan_version) for phase in (before, *later)]
    cut_phases(later, starts_on)
    if before.plan_version_id == version.pk:
        before.ends_on = subscription.ends_on
        before.save(update_fields=["ends_on"])
    else:
        begin_phase(phases_until, version, starts_on, ends_on=subscription.ends_on)
    audit.record(
        actor=actor,
        action="changed plan",
        subject=subscription,
        changes={f"plan from {starts_on}": [", then ".join(was), str(version)]},
    )
    return subscription


def has_whole_prices(version: PlanVersion) -> bool:
    """Say whether a price of it is never prorated, so that a plan changes at a period's end (R15)."""
    return version.prices.filter(proration=Proration.NONE).exists()


def same_periods(one: PlanVersion, other: PlanVersion) -> bool:
    """Say whether two versions bill in periods of the same length."""
    return _lengths(one) == _lengths(other)


def _lengths(version: PlanVersion) -> tuple[str, int, str, int]:
    return (
        version.interval,
        version.interval_count,
        version.billing_interval,
        version.billing_interval_count,
    )


def _check(subscription: Subscription, version: PlanVersion, starts_on: date) -> None:
    if version.status != VersionStatus.PUBLISHED:
        raise VersionNotOffered(
            f"{version} is {version.get_status_display().lower()}: choose a published version.",
            path=("version",),
        )
    buyer = subscription.payer or subscription.customer
    if version.currency != buyer.currency:
        message = (
            f"{version} is priced in {version.currency}, but {buyer} pays in {buyer.currency}."
        )
        raise Invalid([Fault(("plan",), "currency_mismatch", message)])
    ends_on = subscription.ends_on
    if starts_on < subscription.starts_on or (ends_on and starts_on >= ends_on):
        message = f"There is no service on {starts_on}: it ends before."
        if starts_on < subscription.starts_on:
            message = f"There is no service on {starts_on}: it begins on {subscription.starts_on}."
        raise Invalid([Fault(("when",), "out_of_range", message)])


def begin_phase(
    phases: Sequence[SubscriptionPhase],
    version: PlanVersion,
    day: date,
    *,
    ends_on: date | None,
    is_paused: bool = False,
) -> None:
    """Let a phase under a version begin on a day; one that began on it already becomes it.

    `phases` are those that begin on that day or before, in order.
    """
    earlier = [phase for phase in phases if phase.starts_on < day]
    today = [phase for phase in phases if phase.starts_on == day]
    if today and earlier and _goes_on(earlier[-1], version, is_paused) and _dropped(today[0]):
        earlier[-1].ends_on = ends_on
        earlier[-1].save(update_fields=["ends_on"])
        return
    if not earlier:  # nothing was served yet, so the calendar stays as it was agreed
        [first] = today
        first.plan_version, first.ends_on, first.is_paused = version, ends_on, is_paused
        first.save(update_fields=["plan_version", "ends_on", "is_paused"])
        return
    begun = today[0] if today else SubscriptionPhase(subscription=earlier[-1].subscription)
    begun.plan_version, begun.starts_on, begun.ends_on = version, day, ends_on
    begun.time_zone, begun.is_paused = earlier[-1].time_zone, is_paused
    begun.alignment, begun.anchor_on = _calendar(earlier[-1], version)
    cut_phases(earlier, day)
    begun.save()


def _goes_on(phase: SubscriptionPhase, version: PlanVersion, is_paused: bool) -> bool:
    return (phase.plan_version_id, phase.is_paused) == (version.pk, is_paused)


def _dropped(phase: SubscriptionPhase) -> bool:
    """Delete a phase, unless billing has begun a period under it."""
    try:
        phase.delete()
    except ProtectedError:
        return False
    return True


def _calendar(before: SubscriptionPhase, version: PlanVersion) -> tuple[str, date | None]:
    """Return how periods are counted after a change: as before it, or from its day."""
    if not same_periods(before.plan_version, version):
        return PeriodAlignment.ANNIVERSARY, None
    if before.alignment == PeriodAlignment.CALENDAR and version.billing_interval_count == 1:
        return PeriodAlignment.CALENDAR, None
    return PeriodAlignment.ANNIVERSARY, phase_terms(before).grid.anchor
