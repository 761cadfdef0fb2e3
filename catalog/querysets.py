"""Questions about plan versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from catalog.models import PlanVersion  # noqa: F401


class PlanVersionQuerySet(models.QuerySet["PlanVersion"]):
    def current(self, *, currency: str) -> PlanVersionQuerySet:
        """Keep the versions that new subscriptions in `currency` get: at most one per plan."""
        return self.filter(is_current=True, currency=currency)

    def with_prices(self) -> PlanVersionQuerySet:
        """Load plan, prices, metrics and tiers in a constant number of queries."""
        return self.select_related("plan").prefetch_related("prices__metric", "prices__tiers")
