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

    def replaced_by(self, version: PlanVersion) -> PlanVersion | None:
        """Return what new subscriptions get, or got, before `version`; None if there was nothing.

        For a draft that is the version of its currency on sale now; for a published one the
        version of its currency that was published last before it.
        """
        others = self.filter(plan=version.plan_id, currency=version.currency)
        if version.published_at is None:
            return others.filter(is_current=True).first()
        earlier = others.filter(published_at__lt=version.published_at)
        return earlier.order_by("-published_at", "-number").first()
