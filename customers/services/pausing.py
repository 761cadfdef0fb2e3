"""Pausing a subscription, resuming it, and taking one up again that had ended.

A pause is a phase without service: periods go on, without a fee, and usage in it is not billed.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction

from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Subscription
from customers.services.changing_plan import SubscriptionPaused, Written, begin_phase
from customers.services.ending import cut_phases
from customers.services.locking import lock_served, lock_subscription


class SubscriptionNotPaused(Refusal):
    """It is in service, and no pause is to come."""

    code = "subscription_not_paused"


class SubscriptionNotEnded(Refusal):
    """It has not ended, so it can't be taken up again."""

    code = "subscription_not_ended"


@transaction.atomic
def pause_subscription(
    *, subscription_id: int, starts_on: date, today: date, actor: Actor
) -> Subscription:
    """Let service rest from a day on, until it is resumed. A change of plan still to come is dropped.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionPaused: if it is paused on that day.
    :raises Invalid: for a day without service, or the first.
    """
    subscription, phases = lock_served(subscription_id, today)
    ends_on = subscription.ends_on
    if ends_on and starts_on >= ends_on:
        message = (
            f"It ends: {ends_on} is the first day without service, so nothing is left to pause."
        )
        raise Invalid([Fault(("when",), "out_of_range", message)])
    if starts_on <= subscription.starts_on:
        message = (
            f"It begins on {subscription.starts_on}: it can be paused from the day after that on."
        )
        raise Invalid([Fault(("when",), "out_of_range", message)])
    until = [phase for phase in phases if phase.starts_on <= starts_on]
    if until[-1].is_paused:
        raise SubscriptionPaused(f"{subscription} is paused already.")
    cut_phases([phase for phase in phases if phase.starts_on > starts_on], starts_on)
    version = until[-1].plan_version
    written = Written([], [], [])
    begin_phase(until, version, starts_on, ends_on=ends_on, is_paused=True, written=written)
    written.save()
    changes = {"paused from": [None, starts_on.isoformat()]}
    audit.record(actor=actor, action="paused", subject=subscription, changes=changes)
    return subscription


@transaction.atomic
def resume_subscription(*, subscription_id: int, today: date, actor: Actor) -> Subscription:
    """Let service go on from today; a pause that is still to come doesn't begin.

    :raises SubscriptionEnded: if it has ended already.
    :raises SubscriptionNotPaused: if there is no pause.
    """
    subscription, phases = lock_served(subscription_id, today)
    until = [phase for phase in phases if phase.starts_on <= today] or phases[:1]
    later = [phase for phase in phases if phase.starts_on > until[-1].starts_on]
    if not until[-1].is_paused and not any(phase.is_paused for phase in later):
        raise SubscriptionNotPaused(f"{subscription} is not paused.")
    ends_on = subscription.ends_on
    cut_phases(later, today)
    if until[-1].is_paused:
        written = Written([], [], [])
        begin_phase(until, until[-1].plan_version, today, ends_on=ends_on, written=written)
        written.save()
    else:
        until[-1].ends_on = ends_on
        until[-1].save(update_fields=["ends_on"])
    changes = {"resumed from": [None, today.isoformat()]}
    audit.record(actor=actor, action="resumed", subject=subscription, changes=changes)
    return subscription


@transaction.atomic
def take_up_again(*, subscription_id: int, today: date, actor: Actor) -> Subscription:
    """Serve a subscription that had ended again from today, under its last plan.

    The days between are a pause; the day is the anchor of its periods.

    :raises SubscriptionNotEnded: if it goes on.
    """
    subscription = lock_subscription(subscription_id)
    ended_on = subscription.ends_on
    if ended_on is None or ended_on > today:
        raise SubscriptionNotEnded(f"{subscription} has not ended.")
    last = list(subscription.phases.all())[-1]
    records.change(subscription, fields={"ends_on": None}, actor=actor)
    if ended_on < today:
        last.pk, last.starts_on, last.ends_on, last.is_paused = None, ended_on, today, True
        last.save(force_insert=True)
    last.pk, last.starts_on, last.ends_on, last.is_paused = None, today, None, False
    last.alignment, last.anchor_on = "anniversary", None
    last.save(force_insert=True)
    return subscription
