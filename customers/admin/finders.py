"""How the admin's search finds customers and subscriptions."""

from __future__ import annotations

from django.db.models import Q
from django.urls import reverse

from config.base.admin.find import Finder, Hit, any_contains, first
from customers.models import Contact, Customer, Subscription


def find_customers(query: str) -> list[Hit]:
    """Find by name, registered name, key, VAT ID or e-mail, a contact's too.

    An exact key comes by its unique index; the rest reads the customers' table, not invoices.
    """
    by_contact = Contact.objects.filter(email__icontains=query).values("customer")
    rows = Customer.objects.filter(
        any_contains(query, "name", "legal_name", "key", "vat_id", "email") | Q(pk__in=by_contact)
    )
    named = Customer.objects.filter(key=query)
    return [
        Hit(
            customer.name,
            " · ".join(part for part in (customer.key, customer.currency, customer.city) if part),
            reverse("admin:customers_customer_change", args=(customer.pk,)),
            is_exact=customer.key == query,
        )
        for customer in {row.pk: row for row in [*named, *first(rows)]}.values()
    ]


def find_subscriptions(query: str) -> list[Hit]:
    """Find by key, or the key's part."""
    rows = Subscription.objects.select_related("customer")
    exact = rows.filter(key=query)
    return [
        Hit(
            subscription.key,
            subscription.customer.name,
            reverse("admin:customers_subscription_change", args=(subscription.pk,)),
            is_exact=subscription.key == query,
        )
        for subscription in {
            row.pk: row for row in [*exact, *first(rows.filter(key__icontains=query))]
        }.values()
    ]


FINDERS = [
    Finder("Customers", "customers.view_customer", find_customers, "customers.customer"),
    Finder(
        "Subscriptions", "customers.view_subscription", find_subscriptions, "customers.subscription"
    ),
]
