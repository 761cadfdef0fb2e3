"""Letting a subscription end, and going on after all (R5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from django.db import transaction

from config.base import records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Subscription, SubscriptionPhase
from customers.services.locking import lock_served


class SubscriptionNotCancelled(Refusal):
    """It goes on for good, so there is no cancellation to take back."""

    code = "subscription_not_cancelled"


@transaction.atomic
def end_subscription(
    *, subscription_id: int, ends_on: date, today: date, actor: Actor
) -> Subscription:
    """Let service end: `ends_on` is the first day without it. What was to change later does not.

    `today` is the day where the subscription is. Billing's `cancel` calls this, and fits the period
    that runs to it.

    :raises SubscriptionEnded: if it has ended already.
    :raises Invalid: for a day that has come, or that is not after the first day of service.
    """
    subscription, phases = lock_served(subscription_id, today)
    if ends_on <= max(today, subscription.starts_on):
        raise Invalid([Fault(("ends_on",), "out_of_range", "Choose a day that is still to come.")])
    cut_phases(phases, ends_on)
    records.change(subscription, fields={"ends_on": ends_on}, actor=actor)
    return subscription


@transaction.atomic
def keep_subscription(*, subscription_id: int, today: date, actor: Actor) -> Subscription:
    """Take back a cancellation that is still to come: service goes on for good.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotCancelled: if it doesn't end.
    """
    subscription, phases = lock_served(subscription_id, today)
    if subscription.ends_on is None:
        raise SubscriptionNotCancelled(f"{subscription} is not cancelled: it goes on for good.")
    last = phases[-1]
    last.ends_on = None
    last.save(update_fields=["ends_on"])
    records.change(subscription, fields={"ends_on": None}, actor=actor)
    return subscription


def cut_phases(phases: Sequence[SubscriptionPhase], day: date) -> None:
    """Let the phase before a day end there, and drop what was to begin on it or later."""
    for phase in reversed(phases):
        if phase.starts_on >= day:
            phase.delete()
        elif phase.ends_on is None or phase.ends_on >= day:
            phase.ends_on = day
            phase.save(update_fields=["ends_on"])
