"""Questions about periods, invoices and sold add-ons."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, OuterRef, Q

from customers.models import SubscriptionPhase

if TYPE_CHECKING:
    from billing.models import BillingPeriod, Invoice, SoldAddOn  # noqa: F401


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
            "lines__sold_add_on",
            "allowances__applied__coupon",
            "taxes",
            "documents",
            "charges__period",
        )


class SoldAddOnQuerySet(models.QuerySet["SoldAddOn"]):
    def waiting(self) -> SoldAddOnQuerySet:
        """Keep what no invoice charges yet."""
        return self.filter(invoice=None, withdrawn_at=None)

    def in_status(self, status: str) -> SoldAddOnQuerySet:
        """Keep sales of this SaleStatus."""
        match status:
            case "withdrawn":
                return self.filter(withdrawn_at__isnull=False)
            case "waiting":
                return self.waiting()
            case "drafted":
                return self.filter(invoice__status__in=["draft", "review"])
            case "billed":
                return self.filter(invoice__status="issued")
        return self.filter(invoice__status__in=["void", "discarded"])

    def alone(self) -> SoldAddOnQuerySet:
        """Keep what needs an invoice of its own.

        It was asked for, or the subscription will have no further invoice, or none in its currency.
        """
        periods = self.model._meta.apps.get_model("billing", "BillingPeriod")._default_manager
        mine = periods.filter(subscription=OuterRef("subscription"))
        to_bill = mine.filter(~Q(status__in=["closed", "waived"]) | Q(needs_opening=True))
        last = mine.filter(end_date__gte=OuterRef("subscription__ends_on"))
        is_over = ~Exists(to_bill) & Exists(last)
        in_its_currency = SubscriptionPhase.objects.filter(
            subscription=OuterRef("subscription"), plan_version__currency=OuterRef("currency")
        )
        return self.filter(Q(bill="at_once") | is_over | ~Exists(in_its_currency))
