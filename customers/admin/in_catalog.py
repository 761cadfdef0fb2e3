"""What the catalog's pages learn about subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Plan, PlanVersion
from config.base.admin.audited import Panel
from customers.models import SubscriptionPhase


def _on(row: str) -> Callable[[], Any]:
    """Count the subscriptions that have terms under the outer row today or later."""

    def count() -> Any:
        per_row = (
            _lasting()
            .filter(**{row: OuterRef("pk")})
            .order_by()
            .values(row)
            .annotate(subscriptions=Count("subscription", distinct=True))
            .values("subscriptions")
        )
        return Coalesce(Subquery(per_row, output_field=IntegerField()), 0)

    return count


SUBSCRIBERS: dict[type[Plan] | type[PlanVersion], Callable[[], Any]] = {
    Plan: _on("plan_version__plan"),
    PlanVersion: _on("plan_version"),
}


def kept_versions(version: PlanVersion) -> list[str]:
    """Say how many subscriptions stay on the plan's earlier versions in this currency."""
    count = (
        _lasting()
        .filter(plan_version__plan=version.plan_id, plan_version__currency=version.currency)
        .aggregate(subscriptions=Count("subscription", distinct=True))["subscriptions"]
    )
    if not count:
        return ["Nobody is subscribed to this plan in this currency yet."]
    if count == 1:
        return [
            "1 subscription stays on an earlier version and keeps its prices until you move it."
        ]
    return [
        f"{count} subscriptions stay on earlier versions and keep their prices until you move them."
    ]


def _lasting() -> QuerySet[SubscriptionPhase]:
    """Keep the phases that have not ended."""
    today = timezone.localdate()
    return SubscriptionPhase.objects.filter(Q(ends_on=None) | Q(ends_on__gt=today))


def subscriptions_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """List the first subscriptions on a version, and say how many there are."""
    if version.status == "draft" or not request.user.has_perm("customers.view_subscription"):
        return None
    phases = SubscriptionPhase.objects.filter(plan_version=version).select_related(
        "subscription__customer"
    )
    return Panel(
        "Subscriptions on it",
        "admin/customers/version_subscriptions_panel.html",
        {
            "count": phases.count(),
            "subscriptions": [
                {
                    "key": phase.subscription.key,
                    "url": reverse(
                        "admin:customers_subscription_change", args=(phase.subscription_id,)
                    ),
                    "customer": phase.subscription.customer.name,
                    "starts_on": phase.starts_on,
                    "ends_on": phase.ends_on,
                }
                for phase in phases.order_by("subscription__customer__name", "pk")[:20]
            ],
        },
    )
