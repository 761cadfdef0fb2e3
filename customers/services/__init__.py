"""What is done with customers: kept, subscribed, let into the portal. One use case each."""

from customers.services.signing_in import make_sign_in_link
from customers.services.subscribing import (
    CurrencyInUse,
    SubscriptionEnded,
    VersionNotOffered,
    add_contact,
    change_customer,
    change_issuer,
    change_quantity,
    create_customer,
    create_issuer,
    end_subscription,
    offered_version,
    subscribe,
)

__all__ = [
    "CurrencyInUse",
    "SubscriptionEnded",
    "VersionNotOffered",
    "add_contact",
    "change_customer",
    "change_issuer",
    "change_quantity",
    "create_customer",
    "create_issuer",
    "end_subscription",
    "make_sign_in_link",
    "offered_version",
    "subscribe",
]
