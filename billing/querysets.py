"""Questions about periods and invoices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from billing.models import BillingPeriod, Invoice  # noqa: F401


class BillingPeriodQuerySet(models.QuerySet["BillingPeriod"]):
    def due(self, *, at: datetime) -> BillingPeriodQuerySet:
        """Keep open periods whose close may start by then (R26)."""
        return self.filter(status="open", needs_opening=False, usage_cutoff__lte=at)

    def to_open(self, *, at: datetime) -> BillingPeriodQuerySet:
        """Keep periods that have begun and whose first advance fee is still to bill (R21).

        One that is over is among them where that fee's invoice was undone since.
        """
        return self.exclude(status="parked").filter(needs_opening=True, starts_at__lte=at)


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def to_issue(self, *, at: datetime) -> InvoiceQuerySet:
        """Keep the drafts that issue by themselves by then (R26)."""
        return self.filter(status="draft", auto_issue_at__lte=at)

    def with_lines(self) -> InvoiceQuerySet:
        """Load all that shows an invoice, in a constant number of queries."""
        return self.select_related("issuer", "customer").prefetch_related(
            "lines__price__metric",
            "lines__subscription",
            "allowances__applied__coupon",
            "taxes",
            "documents",
            "charges__period",
        )
