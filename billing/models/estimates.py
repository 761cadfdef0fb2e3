"""What a month's close is expected to come to: worked out beforehand, subscription by subscription."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from catalog.models import PlanVersion, ValueMetric
from config.base.constraints import exactly_when, one_of
from config.base.fields import ExactNumberField, amount_field
from customers.models import Customer, Subscription


class EstimateStatus(models.TextChoices):
    WORKING = "working", "Being worked out"
    FINISHED = "finished", "Complete"


class BillState(models.TextChoices):
    WAITING = "waiting", "Not looked at yet"
    ESTIMATED = "estimated", "Estimated"
    NOTHING = "nothing", "No invoice is on its way"
    FAILED = "failed", "Would be parked"


class UsageFinding(models.TextChoices):
    """What is unusual about the usage of a metric against the periods before."""

    HIGH = "high", "Much more than usual"
    LOW = "low", "Much less than usual"
    SILENT = "silent", "None, though there always was"


class CloseEstimate(models.Model):
    """What the periods that end by a month's end would be billed, with usage until `as_of`.

    There is one of a month; the next takes its place.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    month = models.DateField(help_text="Its first day.")
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, null=True, blank=True, help_text="Empty: everybody."
    )
    as_of = models.DateTimeField(help_text="Usage counts up to here.")
    status = models.CharField(max_length=8, choices=EstimateStatus, default=EstimateStatus.WORKING)
    silent_sources = models.JSONField(
        default=list, help_text="Senders of events that fell silent: name and last day heard."
    )
    started_by = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "estimate of a close"
        verbose_name_plural = "estimates of closes"
        default_permissions = ("view", "add")
        constraints = (
            one_of("status", EstimateStatus, name="estimate_status_is_known"),
            models.UniqueConstraint(
                fields=["month"],
                condition=Q(customer__isnull=True),
                name="estimate_once_per_month",
            ),
            models.UniqueConstraint(
                fields=["month", "customer"], name="estimate_once_per_month_and_customer"
            ),
            exactly_when(
                Q(status="finished"),
                Q(finished_at__isnull=False),
                name="estimate_finished_when_dated",
            ),
        )

    def __str__(self) -> str:
        return f"{self.month:%B %Y}"


class EstimatedBill(models.Model):
    """What one subscription's next invoice would come to, and what its last one for a period did.

    Both net, after coupons. `before` is empty where no period was billed yet.
    """

    estimate = models.ForeignKey(CloseEstimate, on_delete=models.CASCADE, related_name="bills")
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=9, choices=BillState, default=BillState.WAITING)
    plan_version = models.ForeignKey(
        PlanVersion, on_delete=models.CASCADE, null=True, related_name="+"
    )
    currency = models.CharField(max_length=3, blank=True)
    is_over = models.BooleanField(default=False, help_text="Whether the period had ended.")
    before = amount_field(null=True, blank=True)
    expected = amount_field(null=True, blank=True)
    difference = amount_field(null=True, blank=True)
    note = models.TextField(blank=True, help_text="Why it could not be worked out.")

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["estimate", "state", "id"], name="estimated_bill_by_state"),
        )
        constraints = (
            one_of("state", BillState, name="estimated_bill_state_is_known"),
            models.UniqueConstraint(
                fields=["estimate", "subscription"], name="estimated_bill_once_per_subscription"
            ),
            exactly_when(
                Q(state="estimated"),
                Q(expected__isnull=False, plan_version__isnull=False, difference__isnull=False)
                & ~Q(currency=""),
                name="estimated_bill_has_its_figures",
            ),
            exactly_when(Q(state="failed"), ~Q(note=""), name="estimated_bill_failed_with_reason"),
        )

    def __str__(self) -> str:
        return f"{self.subscription} {self.estimate}"


class EstimatedUsage(models.Model):
    """A metric's usage in the period of an estimated bill, and the mean of the periods before."""

    bill = models.ForeignKey(EstimatedBill, on_delete=models.CASCADE, related_name="usage")
    metric = models.ForeignKey(ValueMetric, on_delete=models.CASCADE, related_name="+")
    quantity = ExactNumberField(help_text="As the usage of a snapshot is told.")
    events = models.PositiveBigIntegerField()
    usual = ExactNumberField(null=True, blank=True, help_text="Empty: too few periods to say.")
    finding = models.CharField(max_length=6, choices=UsageFinding, blank=True, default="")

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (
            one_of("finding", UsageFinding, name="usage_finding_is_known", blank=True),
            models.UniqueConstraint(
                fields=["bill", "metric"], name="estimated_usage_once_per_metric"
            ),
            models.CheckConstraint(
                name="usage_is_unusual_only_against_a_past",
                condition=Q(finding="") | Q(usual__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.metric} {self.bill}"
