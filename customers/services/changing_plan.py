"""Serving a subscription under another plan version from a day on (R20)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from django.db import transaction
from django.db.models import ProtectedError

from catalog.models import PlanVersion, Proration, VersionStatus
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.models import AuditEntry
from config.base.rows import update_rows
from customers.models import PeriodAlignment, Subscription, SubscriptionPhase
from customers.services.ending import cut_phases
from customers.services.locking import SubscriptionEnded
from customers.services.subscribing import VersionNotOffered
from customers.terms import phase_terms, prices_include_tax


class SubscriptionPaused(Refusal):
    """It is paused, so its plan can't change."""

    code = "subscription_paused"


class PlanUnchanged(Refusal):
    """It is under this version already, and stays."""

    code = "plan_unchanged"


class Change(NamedTuple):
    """From which day a version is to serve a subscription, and the day it is there.

    The subscription is locked, and loaded `with_terms`.
    """

    subscription: Subscription
    starts_on: date
    today: date


@transaction.atomic
def change_versions(
    changes: Sequence[Change], *, version: PlanVersion, actor: Actor
) -> dict[int, Refusal | Invalid]:
    """Put subscriptions under another published version, each from its day on, instead of any later plan.

    With periods of the same length its boundaries stay; with others the day is their new anchor.
    Billing's `change_plans` calls this, and fits the periods that run to it. Returns, by
    subscription, why one stays as it is: `SubscriptionEnded`; `VersionNotOffered` if the version is a
    draft or retired; `PlanUnchanged` if it is under it on that day, and nothing else is to come;
    `SubscriptionPaused` on a day of a pause; `Invalid` for another currency, for prices
    that include tax where the others don't, or the reverse, or a day without service.
    """
    version.refresh_from_db(fields=["status"])
    refused: dict[int, Refusal | Invalid] = {}
    written = Written([], [], [])
    entries: list[AuditEntry] = []
    for change in changes:
        try:
            entries.append(_change(change, version, actor, written))
        except (Refusal, Invalid) as refusal:
            refused[change.subscription.pk] = refusal
    written.save()
    AuditEntry.objects.bulk_create(entries)
    return refused


class Written(NamedTuple):
    """Phases to save of many subscriptions: of each, one ends or changes, and one may begin."""

    ended: list[SubscriptionPhase]
    changed: list[SubscriptionPhase]
    begun: list[SubscriptionPhase]

    def save(self) -> None:
        """Save them in three statements."""
        update_rows(self.ended, ["ends_on"])
        update_rows(
            self.changed, ["plan_version", "ends_on", "alignment", "anchor_on", "is_paused"]
        )
        SubscriptionPhase.objects.bulk_create(self.begun)


def _change(change: Change, version: PlanVersion, actor: Actor, written: Written) -> AuditEntry:
    subscription, day, today = change
    if subscription.ends_on is not None and subscription.ends_on <= today:
        raise SubscriptionEnded(f"{subscription} ended before {subscription.ends_on}.")
    _check(subscription, version, day)
    until = [phase for phase in subscription.phases.all() if phase.starts_on <= day]
    later = [phase for phase in subscription.phases.all() if phase.starts_on > day]
    before = until[-1]
    if before.is_paused:
        raise SubscriptionPaused(f"{subscription} is paused: resume it first.")
    for phase in later:
        if phase.is_paused and phase.starts_on <= today:
            message = f"{subscription} was paused from {phase.starts_on}: choose a day after that."
            raise SubscriptionPaused(message, path=("when",))
    if before.plan_version_id == version.pk and not later:
        raise PlanUnchanged(f"{subscription} is under {version} already.")
    was = [str(phase.plan_version) for phase in (before, *later)]
    cut_phases(later, day)
    if before.plan_version_id == version.pk:
        before.ends_on = subscription.ends_on
        written.ended.append(before)
    else:
        begin_phase(until, version, day, ends_on=subscription.ends_on, written=written)
    said = {f"plan from {day}": [", then ".join(was), str(version)]}
    return audit.entry(actor=actor, action="changed plan", subject=subscription, changes=said)


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
    if version.prices_include_tax != prices_include_tax(subscription):
        raise Invalid([Fault(("plan",), "tax_mismatch", tax_mismatch(version))])
    ends_on = subscription.ends_on
    if starts_on < subscription.starts_on or (ends_on and starts_on >= ends_on):
        message = f"There is no service on {starts_on}: it ends before."
        if starts_on < subscription.starts_on:
            message = f"There is no service on {starts_on}: it begins on {subscription.starts_on}."
        raise Invalid([Fault(("when",), "out_of_range", message)])


def tax_mismatch(version: PlanVersion) -> str:
    """Say why nothing that is priced otherwise comes under a version (R29)."""
    differ = (
        "include tax, and those before do not"
        if version.prices_include_tax
        else "are before tax, and those before include it"
    )
    return (
        f"The prices of {version} {differ}. No subscription changes between the two: end it, and "
        "begin another under the new plan."
    )


def begin_phase(
    phases: Sequence[SubscriptionPhase],
    version: PlanVersion,
    day: date,
    *,
    ends_on: date | None,
    written: Written,
    is_paused: bool = False,
) -> None:
    """Let a phase under a version begin on a day; one that began on it already becomes it.

    `phases` are those that begin on that day or before, in order.
    """
    earlier = [phase for phase in phases if phase.starts_on < day]
    today = [phase for phase in phases if phase.starts_on == day]
    if today and earlier and _goes_on(earlier[-1], version, is_paused) and _dropped(today[0]):
        earlier[-1].ends_on = ends_on
        written.ended.append(earlier[-1])
        return
    begun = today[0] if today else SubscriptionPhase(subscription=earlier[-1].subscription)
    if earlier:  # else nothing was served yet, so the calendar stays as it was agreed
        begun.time_zone = earlier[-1].time_zone
        begun.alignment, begun.anchor_on = _calendar(earlier[-1], version)
    begun.plan_version, begun.starts_on, begun.ends_on = version, day, ends_on
    begun.is_paused = is_paused
    if today:
        written.changed.append(begun)
    else:
        earlier[-1].ends_on = day
        written.ended.append(earlier[-1])
        written.begun.append(begun)


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
