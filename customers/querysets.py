"""Questions about subscriptions."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from customers.models import Subscription  # noqa: F401


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def active(self, *, on: date) -> SubscriptionQuerySet:
        """Keep those with service on that day."""
        return self.filter(Q(ends_on__isnull=True) | Q(ends_on__gt=on), starts_on__lte=on)

    def with_terms(self) -> SubscriptionQuerySet:
        """Load customer, phases with plan and version, and quantities in a constant number of queries."""
        return self.select_related("customer", "issuer", "payer").prefetch_related(
            "phases__plan_version__plan", "quantities"
        )
