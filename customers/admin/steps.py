"""What the admin's first page says about issuers, customers and subscriptions."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from config.base.dashboard import Figure, Step
from customers.models import Customer, Issuer, Subscription


def customer_steps() -> list[Step]:
    issuers = list(Issuer.objects.order_by("pk")[:20])
    unfinished = [issuer for issuer in issuers if issuer.missing]
    issuer_page = (
        reverse("admin:customers_issuer_change", args=((unfinished or issuers)[0].pk,))
        if issuers
        else reverse("admin:customers_issuer_add")
    )
    return [
        Step(
            10,
            "Finish your own details",
            "Your address, bank and tax status stand on every invoice.",
            issuer_page,
            bool(issuers) and not unfinished,
            "customers.change_issuer",
        ),
        Step(
            50,
            "Add a customer",
            "Who uses what you sell, and where their invoices go.",
            reverse("admin:customers_customer_add"),
            Customer.objects.exists(),
            "customers.add_customer",
        ),
        Step(
            60,
            "Subscribe it to a plan",
            "From a day on, on a published plan; its billing periods follow.",
            reverse("admin:customers_subscription_add"),
            Subscription.objects.exists(),
            "customers.add_subscription",
        ),
    ]


def customer_figures() -> list[Figure]:
    return [
        Figure(
            10,
            "Customers",
            Customer.objects.count(),
            reverse("admin:customers_customer_changelist"),
            "customers.view_customer",
        ),
        Figure(
            20,
            "Active subscriptions",
            Subscription.objects.active(on=timezone.localdate()).count(),
            f"{reverse('admin:customers_subscription_changelist')}?state=active",
            "customers.view_subscription",
        ),
    ]
