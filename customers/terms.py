"""From the rows of a subscription to its calendar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

from catalog.drafts import PriceDraft
from catalog.overrides import applies, overridden
from customers.models import PriceOverride, Subscription, SubscriptionPhase
from customers.periods import Alignment, Interval, Period, Terms
from customers.zones import Zones, zones_from


def phase_terms(phase: SubscriptionPhase) -> Terms:
    """Return what decides the periods of a phase; a trial belongs to the first one only (R23)."""
    version = phase.plan_version
    is_first = phase.starts_on == phase.subscription.starts_on
    return Terms(
        starts_on=phase.starts_on,
        interval=Interval(version.billing_interval),
        count=version.billing_interval_count,
        alignment=Alignment(phase.alignment),
        anchor_on=phase.anchor_on,
        trial_days=version.trial_days if is_first else 0,
        ends_on=phase.ends_on,
    )


def own_period(phase: SubscriptionPhase, *, interval: str, count: int, day: date) -> Period:
    """Return the period of an interval of its own that contains a day of a phase (R4).

    It is counted from the same anchor as the phase's own periods, so it ends where one of them
    does.
    """
    terms = replace(phase_terms(phase), interval=Interval(interval), count=count)
    return terms.period_containing(day)


def paid_until(phase: SubscriptionPhase, *, day: date) -> date:
    """Return where what is paid for on a day of a phase ends: the plan's interval, or the trial.

    Before the phase begins: that of its first day.
    """
    return paid_period(phase, day=day).end


def paid_period(phase: SubscriptionPhase, *, day: date) -> Period:
    """Return what is paid for on a day of a phase: the plan's interval, or the trial.

    Before the phase begins: that of its first day. It ends as if the phase did not.
    """
    terms = replace(phase_terms(phase), ends_on=None)
    day = max(day, phase.starts_on)
    version = phase.plan_version
    own = replace(terms, interval=Interval(version.interval), count=version.interval_count)
    return own.period_containing(day)


def prices_include_tax(subscription: Subscription) -> bool:
    """Say whether a subscription's prices include tax: all plans that it is ever under are alike.

    Load `with_terms`.
    """
    return any(phase.plan_version.prices_include_tax for phase in subscription.phases.all())


def in_force(subscription: Subscription, *, at: datetime) -> SubscriptionPhase:
    """Return the phase that holds at that moment: before the start the first, after the end the last."""
    today = today_of(subscription, at=at)
    phases = list(subscription.phases.all())
    begun = [phase for phase in phases if phase.starts_on <= today]
    return begun[-1] if begun else phases[0]


def today_of(subscription: Subscription, *, at: datetime) -> date:
    """Return the day where a subscription is; load `with_terms`."""
    return zones_of(subscription).day_of(at)


def zones_of(subscription: Subscription) -> Zones:
    """Return where its days begin (R2); load `with_terms`."""
    return zones_from(subscription.phases.all()[0].time_zone, subscription.zone_changes)


def with_own_terms(
    draft: PriceDraft, subscription: Subscription, *, day: date
) -> tuple[PriceDraft, PriceOverride | None]:
    """Return the price as it is for a period that begins on that day, and what was agreed (R22).

    Terms that no longer fit the price, since the plan charges in another way, do nothing. Load
    `with_terms`.
    """
    for override in subscription.overrides.all():
        is_meant = override.price_key == draft.price.key and override.holds_on(day)
        if is_meant and applies(draft, override.terms):
            return overridden(draft, override.terms), override
    return draft, None


def periods(
    subscription: Subscription, *, since: date | None = None
) -> Iterator[tuple[SubscriptionPhase, Period]]:
    """Yield the subscription's periods in order with the phase each belongs to, lazily.

    Begins at the period that contains `since`, by default the first. Load `with_terms`.

    :raises DateOutOfRange: on reaching the year 9999.
    """
    for phase in subscription.phases.all():
        terms = phase_terms(phase)
        for period in terms.periods(since or phase.starts_on):
            yield phase, period
