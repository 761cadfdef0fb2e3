"""Holding a subscription while its terms change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from django.db.models import Q, QuerySet

from config.base.errors import Refusal
from customers.models import Customer, Subscription, SubscriptionPhase


class SubscriptionEnded(Refusal):
    """Service has ended, so nothing about it changes any more."""

    code = "subscription_ended"


def lock_subscription(subscription_id: int) -> Subscription:
    """Lock a customer, then its subscription; return that `with_terms`."""
    [found] = lock_subscriptions([subscription_id])
    return found


def lock_subscriptions(subscription_ids: Collection[int]) -> list[Subscription]:
    """Lock customers, then their subscriptions, each in order; return those `with_terms`.

    Rows that only refer to them, such as events and invoices, are written meanwhile.
    """
    wanted = Subscription.objects.filter(pk__in=subscription_ids).order_by("pk")
    lock_customers_of(wanted)
    return list(wanted.select_for_update(of=("self",), no_key=True).with_terms())


def lock_customers_of(subscriptions: QuerySet[Subscription]) -> None:
    """Lock who uses and who pays for subscriptions, in order, before they are locked themselves.

    Who holds one of a payer's subscriptions may need the others, on an invoice that they share.
    """
    some = subscriptions.order_by()
    concerned = Customer.objects.filter(
        Q(pk__in=some.values("customer")) | Q(pk__in=some.values("payer"))
    )
    list(concerned.order_by("pk").select_for_update(no_key=True).values_list("pk"))


def lock_served(subscription_id: int, today: date) -> tuple[Subscription, list[SubscriptionPhase]]:
    """Lock a subscription; return it with its phases, in order.

    :raises SubscriptionEnded: if it has ended already.
    """
    subscription = lock_subscription(subscription_id)
    if subscription.ends_on is not None and subscription.ends_on <= today:
        raise SubscriptionEnded(f"{subscription} ended before {subscription.ends_on}.")
    return subscription, list(subscription.phases.all())
