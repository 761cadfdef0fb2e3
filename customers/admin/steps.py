"""What the admin's first page says about issuers, customers and subscriptions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone

from config.base.dashboard import Figure, Need, Step, Viewer, said
from customers.models import Customer, Issuer, Subscription

WEEK = timedelta(days=7)


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


def customer_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    """Issuers that are unfinished although somebody is subscribed, and subscriptions that end."""
    if user.has_perm("customers.change_issuer") and Subscription.objects.exists():
        for issuer in Issuer.objects.order_by("pk")[:20]:
            if issuer.missing:
                yield Need(
                    10,
                    f"{issuer} is unfinished: its invoices lack the {' and '.join(issuer.missing)}.",
                    reverse("admin:customers_issuer_change", args=(issuer.pk,)),
                )
    if user.has_perm("customers.view_subscription"):
        today = timezone.localdate(at)
        last = today + WEEK
        ending = Subscription.objects.filter(ends_on__gt=today, ends_on__lte=last).count()
        if ending:
            words = said(ending, "subscription ends", "subscriptions end")
            yield Need(
                60,
                f"{words} within a week.",
                f"{reverse('admin:customers_subscription_changelist')}"
                f"?ends_on__gt={today}&ends_on__lte={last}",
            )


def customer_figures(user: Viewer, at: datetime) -> Iterator[Figure]:
    if user.has_perm("customers.view_customer"):
        yield Figure(
            10,
            "Customers",
            f"{Customer.objects.count():,}",
            reverse("admin:customers_customer_changelist"),
        )
    if user.has_perm("customers.view_subscription"):
        today = timezone.localdate(at)
        yield Figure(
            20,
            "Active subscriptions",
            f"{Subscription.objects.active(on=today).count():,}",
            f"{reverse('admin:customers_subscription_changelist')}?state=active",
        )
