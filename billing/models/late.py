"""Late usage that waits: for a person's decision, or for its invoice."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice
from billing.models.periods import BillingPeriod, UsageSnapshot
from catalog.models import Price
from config.base.constraints import exactly_when, one_of
from config.base.fields import amount_field, quantity_field


class LateStatus(models.TextChoices):
    HELD = "held", "Held for a decision"
    APPROVED = "approved", "To be billed"
    BILLED = "billed", "Billed"
    WRITTEN_OFF = "written_off", "Written off"


class HeldFor(models.TextChoices):
    """Why late usage waits for a person (R31)."""

    AGE = "age", "Long after the close"
    SMALL = "small", "Below the threshold"


OUTSTANDING = (LateStatus.HELD, LateStatus.APPROVED)


class LateUsage(models.Model):
    """What a price of a closed period amounts to beyond what was billed, where it is not billed
    at once (R31).

    `quantity` is used now in all, `billed_quantity` what was billed of it; `amount` is the price
    of the former less all that was billed for the period: negative where that is too much.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="late_usage")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, related_name="late_usage", help_text="What billed it."
    )
    snapshot = models.ForeignKey(UsageSnapshot, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    billed_quantity = quantity_field()
    quantity = quantity_field()
    amount = amount_field(help_text="Before tax; negative: to be credited.")
    status = models.CharField(max_length=12, choices=LateStatus)
    held_for = models.CharField(max_length=10, choices=HeldFor, blank=True, default="")
    found_at = models.DateTimeField()
    decided_by = models.CharField(max_length=255, blank=True, default="")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was written off.")

    beside = Decimal(0)
    """What its invoice moves of a minimum commitment beside it, where somebody looked; never saved."""

    class Meta:
        verbose_name_plural = "late usage"
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (
            ("bill_lateusage", "Can have held late usage billed"),
            ("write_off_lateusage", "Can write late usage off"),
        )
        indexes = (models.Index(fields=["status", "-id"], name="late_usage_by_status"),)
        constraints = (
            one_of("status", LateStatus, name="late_usage_status_is_known"),
            one_of("held_for", HeldFor, name="late_usage_cause_is_known", blank=True),
            models.UniqueConstraint(
                fields=["period", "price"],
                condition=Q(status__in=OUTSTANDING),
                name="late_usage_waits_once_per_period_and_price",
            ),
            models.CheckConstraint(
                name="late_usage_held_with_its_cause", condition=~Q(status="held") | ~Q(held_for="")
            ),
            exactly_when(
                Q(status="written_off"),
                ~Q(reason=""),
                name="late_usage_written_off_exactly_with_a_reason",
            ),
            exactly_when(
                Q(decided_at__isnull=False),
                ~Q(decided_by=""),
                name="late_usage_decided_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return f"{self.price.name} {self.period}"
