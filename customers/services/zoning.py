"""Letting a subscription's days begin in another time zone, from its next boundary on (R2)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from config.base import audit
from config.base.audit import Actor
from config.base.errors import Invalid, Refusal
from customers.models import Subscription
from customers.parties import party_faults
from customers.services.locking import lock_served
from customers.terms import periods, zones_of
from customers.zones import Zones


class TimeZoneUnchanged(Refusal):
    """Its days begin there already, and stay so."""

    code = "time_zone_unchanged"


class NoFurtherPeriod(Refusal):
    """It ends with the running period, so there is no boundary from which a new zone could hold."""

    code = "no_further_period"


class FirstPeriod(NamedTuple):
    """The first period in a new zone, and by how much it is longer than it would have been."""

    start: date
    end: date
    starts_at: datetime
    ends_at: datetime
    longer: timedelta


@transaction.atomic
def change_time_zone(*, subscription_id: int, time_zone: str, today: date, actor: Actor) -> date:
    """Let days begin in another zone from the next boundary on; return that boundary.

    The running period ends as it would have. Before service begins, it begins in the new zone. What
    was to change later is replaced. `today` is the day where the subscription is.

    :raises SubscriptionEnded: if it has ended already.
    :raises NoFurtherPeriod: if it ends with the running period.
    :raises TimeZoneUnchanged: if its days begin there already, and nothing else is to come.
    :raises Invalid: for what is no time zone.
    """
    if faults := list(party_faults({"time_zone": time_zone})):
        raise Invalid(faults)
    subscription, _ = lock_served(subscription_id, today)
    zones = zones_of(subscription)
    boundary = subscription.starts_on
    since = boundary - timedelta(days=1)  # so that its first day begins there, too
    if today >= subscription.starts_on:
        since = boundary = _next_boundary(subscription, today)
    changed = zones.changed(since, time_zone)
    if changed == zones:
        raise TimeZoneUnchanged(
            f"The days of {subscription} begin in {time_zone} already.", path=("time_zone",)
        )
    was = zones.on(since)
    subscription.zone_changes = changed.as_json() or None
    subscription.save(update_fields=["zone_changes"])
    changes = {f"time zone from {boundary}": [was, time_zone]}
    audit.record(actor=actor, action="changed time zone", subject=subscription, changes=changes)
    return boundary


def first_period(subscription: Subscription, boundary: date) -> FirstPeriod:
    """Return the period from the boundary on, from which a new zone holds. Load `with_terms`."""
    zones = zones_of(subscription)
    _, period = next(periods(subscription, since=boundary))
    starts_at, ends_at = zones.begins(period.start), zones.begins(period.end)
    old = Zones(zones.first, tuple(one for one in zones.changes if one.since < boundary))
    usual = old.begins(period.end) - old.begins(period.start)
    return FirstPeriod(period.start, period.end, starts_at, ends_at, ends_at - starts_at - usual)


def _next_boundary(subscription: Subscription, today: date) -> date:
    """Return where the period that runs today ends, whatever parts it has."""
    _, running = next(coming := periods(subscription, since=today))
    for _, period in coming:
        if not period.is_cut_from(running):
            return period.start
    raise NoFurtherPeriod(
        f"{subscription} ends with the period that runs, on {subscription.ends_on}: no boundary "
        "follows from which another time zone could hold."
    )
