"""Holding a subscription while its terms change."""

from __future__ import annotations

from datetime import date

from config.base.errors import Refusal
from customers.models import Customer, Subscription, SubscriptionPhase


class SubscriptionEnded(Refusal):
    """Service has ended, so nothing about it changes any more."""

    code = "subscription_ended"


def lock_subscription(subscription_id: int) -> Subscription:
    """Lock a customer, then its subscription; return that `with_terms`."""
    owners = Subscription.objects.filter(pk=subscription_id).values("customer")
    Customer.objects.select_for_update().get(pk__in=owners)
    found = Subscription.objects.select_for_update(of=("self",))
    return found.with_terms().get(pk=subscription_id)


def lock_served(subscription_id: int, today: date) -> tuple[Subscription, list[SubscriptionPhase]]:
    """Lock a subscription; return it with its phases, in order.

    :raises SubscriptionEnded: if it has ended already.
    """
    subscription = lock_subscription(subscription_id)
    if subscription.ends_on is not None and subscription.ends_on <= today:
        raise SubscriptionEnded(f"{subscription} ended before {subscription.ends_on}.")
    return subscription, list(subscription.phases.all())
