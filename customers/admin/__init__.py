"""The admin of who buys from whom: issuers, customers and their subscriptions."""

from customers.admin import customers, issuers, subscriptions
from customers.admin.customers import CUSTOMER_PANELS
from customers.admin.issuers import ISSUER_PANELS
from customers.admin.subscriptions import SUBSCRIPTION_PANELS

__all__ = [
    "CUSTOMER_PANELS",
    "ISSUER_PANELS",
    "SUBSCRIPTION_PANELS",
    "customers",
    "issuers",
    "subscriptions",
]
