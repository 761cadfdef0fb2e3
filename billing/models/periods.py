"""Billing periods, the runs that close them, what was measured, and what each was billed by."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from django.db import models
from django.db.models import F, Q

from billing.querysets import BillingPeriodQuerySet
from catalog.models import Aggregation, TimeUnit, ValueMetric
from catalog.money import round_half_up
from config.base.constraints import exactly_when, one_of
from config.base.fields import ExactNumberField
from customers.models import Customer, Subscription, SubscriptionPhase
from customers.periods import first_instant, zone
from metering.fields import ExactJSONField
from metering.querysets import Amount

_MICROSECOND = timedelta(microseconds=1)


class RunStatus(models.TextChoices):
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"


class PeriodStatus(models.TextChoices):
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"
    PARKED = "parked", "Parked"
    WAIVED = "waived", "Waived"


class Purpose(models.TextChoices):
    """Why an invoice is drafted (R33)."""

    OPENING = "opening", "First fee in advance"
    REGULAR = "regular", "Period"
    FINAL = "final", "Last period"
    CHANGE = "change", "Change of plan"
    ONE_OFF = "one_off", "One-off"
    LATE = "late", "Late usage"


class BillingRun(models.Model):
    """One call to close what is due as of a moment (R36), and how far it came."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    as_of = models.DateTimeField(help_text="Act as the clock reads this.")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, help_text="Empty: everybody."
    )
    status = models.CharField(max_length=10, choices=RunStatus, default=RunStatus.RUNNING)
    started_by = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    subscriptions_total = models.PositiveIntegerField(default=0)
    subscriptions_done = models.PositiveIntegerField(default=0)
    periods_closed = models.PositiveIntegerField(default=0)
    invoices_issued = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view", "add")
        permissions = (("backdate_billingrun", "Can close as of an earlier moment"),)
        constraints = (
            one_of("status", RunStatus, name="run_status_is_known"),
            exactly_when(
                Q(status="running"), Q(finished_at__isnull=True), name="run_finished_when_dated"
            ),
        )

    def __str__(self) -> str:
        return f"as of {self.as_of:%Y-%m-%d %H:%M}"


class BillingPeriod(models.Model):
    """A stretch [starts_at, ends_at) of a subscription that is billed as one (R1, R2).

    The dates are local to `time_zone`, which is kept as it was when the period began. The nominal
    dates are those of the whole period it is part of (R5). `number` counts from 0.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="billing_periods"
    )
    phase = models.ForeignKey(SubscriptionPhase, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    start_date = models.DateField()
    end_date = models.DateField(help_text="The first day after it.")
    nominal_start_date = models.DateField()
    nominal_end_date = models.DateField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    time_zone = models.CharField(max_length=64)
    is_trial = models.BooleanField(default=False)
    needs_opening = models.BooleanField(
        default=False, help_text="Its advance fee is billed on its first day (R21)."
    )
    fee_is_due = models.BooleanField(
        default=False,
        help_text="Its advance fee was not billed ahead, since the plan changed: its close charges it, "
        "or once it is recast the next invoice (R20).",
    )
    recast_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a plan was changed from a day before its end, after it was billed (R20).",
    )
    usage_cutoff = models.DateTimeField(help_text="The close may start from here on (R26).")
    status = models.CharField(max_length=10, choices=PeriodStatus, default=PeriodStatus.OPEN)
    closed_at = models.DateTimeField(null=True, blank=True)
    run = models.ForeignKey(
        BillingRun, on_delete=models.PROTECT, null=True, blank=True, related_name="periods"
    )
    trouble = models.TextField(blank=True, help_text="Why it is parked.")

    objects = BillingPeriodQuerySet.as_manager()

    class Meta:
        ordering = ("subscription_id", "number")
        default_permissions = ("view",)
        permissions = (("retry_billingperiod", "Can try parked periods again"),)
        indexes = (
            models.Index(
                fields=["usage_cutoff"], name="period_open_by_cutoff", condition=Q(status="open")
            ),
            models.Index(
                fields=["starts_at"], name="period_to_open", condition=Q(needs_opening=True)
            ),
            models.Index(fields=["status"], name="period_parked", condition=Q(status="parked")),
            models.Index(
                fields=["subscription"],
                name="period_recast",
                condition=Q(recast_at__isnull=False),
            ),
            models.Index(
                fields=["end_date"],
                name="period_trial_by_end",
                condition=Q(status="open", is_trial=True),
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["subscription", "number"], name="period_number_once_per_subscription"
            ),
            one_of("status", PeriodStatus, name="period_status_is_known"),
            models.CheckConstraint(
                name="period_ends_after_it_starts",
                condition=Q(end_date__gt=F("start_date"), ends_at__gte=F("starts_at")),
            ),
            models.CheckConstraint(
                name="period_lies_in_its_nominal_one",
                condition=Q(
                    nominal_start_date__lte=F("start_date"), nominal_end_date__gte=F("end_date")
                ),
            ),
            models.CheckConstraint(
                name="period_closed_exactly_when_dated",
                condition=Q(status__in=["closed", "waived"], closed_at__isnull=False)
                | Q(status="open", closed_at__isnull=True)
                | ~Q(status__in=["closed", "waived", "open"]),  # parked: dated if it was closed
            ),
            exactly_when(
                Q(status="parked"), ~Q(trouble=""), name="period_parked_exactly_with_its_trouble"
            ),
        )

    def __str__(self) -> str:
        return f"{self.subscription} {self.start_date} to {self.end_date}"

    def is_due(self, *, at: datetime) -> bool:
        """Whether its close may start by then, as `BillingPeriodQuerySet.due` asks (R26)."""
        is_open = self.status == PeriodStatus.OPEN and not self.needs_opening
        return is_open and self.usage_cutoff <= at

    def continues(self, before: BillingPeriod) -> bool:
        """Whether the two are parts of one period, cut by a change of plan, and billed as one (R20)."""
        mine = (self.nominal_start_date, self.nominal_end_date, self.usage_cutoff)
        return mine == (before.nominal_start_date, before.nominal_end_date, before.usage_cutoff)

    def is_open_part_of(self, after: BillingPeriod) -> bool:
        """Whether it is open, and a part of the same nominal period as another."""
        mine = (self.nominal_start_date, self.nominal_end_date)
        is_open = self.status == PeriodStatus.OPEN
        return is_open and mine == (after.nominal_start_date, after.nominal_end_date)

    @property
    def nominal_length(self) -> timedelta:
        """The time that passes in its nominal period, an hour less or more where clocks change."""
        place, start, end = zone(self.time_zone), self.starts_at, self.ends_at
        if self.nominal_start_date < self.start_date:
            start = first_instant(self.nominal_start_date, place)
        if self.nominal_end_date > self.end_date:
            end = first_instant(self.nominal_end_date, place)
        return end - start


class UsageSnapshot(models.Model):
    """What one metric measured for a period, as the close read it; never changed (R26)."""

    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="snapshots")
    metric = models.ForeignKey(ValueMetric, on_delete=models.PROTECT, related_name="+")
    revision = models.PositiveSmallIntegerField(help_text="1 at the close, more when recalculated.")
    quantity = ExactNumberField(help_text="As aggregated, before divisor and rounding.")
    cells = ExactJSONField(
        null=True,
        help_text="Where prices look at dimensions: quantity and events per combination of values.",
    )
    events = models.PositiveBigIntegerField()
    last_received_at = models.DateTimeField(null=True, blank=True)
    taken_at = models.DateTimeField()

    moved: Sequence[Amount] = ()
    """What single events moved, as long as a price that charges each is rated; never saved."""

    class Meta:
        ordering = ("period_id", "metric_id", "revision")
        constraints = (
            models.UniqueConstraint(
                fields=["period", "metric", "revision"],
                name="snapshot_once_per_period_metric_and_revision",
            ),
        )

    def __str__(self) -> str:
        return f"{self.metric} {self.period}"

    @property
    def told(self) -> Decimal:
        """The quantity as people read it; of level × time, per nominal period or hour, to 10 decimals."""
        quantity: Decimal = self.quantity
        if self.metric.aggregation != Aggregation.TIME_WEIGHTED:
            return quantity
        per_time = Fraction(quantity) / (time_of(self.metric, self.period) // _MICROSECOND)
        return round_half_up(per_time, 10)


class Lasting(Protocol):
    """What lasts for a nominal time."""

    @property
    def nominal_length(self) -> timedelta: ...


def time_of(metric: ValueMetric, period: Lasting) -> timedelta:
    """Return what level × time is divided by: an hour, or the period's nominal length (R10)."""
    return timedelta(hours=1) if metric.time_unit == TimeUnit.HOUR else period.nominal_length


class PeriodCharge(models.Model):
    """The claim of one invoice to bill a period for a purpose; live until void or discarded (R33)."""

    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="period_charges"
    )
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="charges")
    purpose = models.CharField(max_length=10, choices=Purpose)
    cause = models.CharField(max_length=64, blank=True, default="")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="charges")
    is_live = models.BooleanField(default=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["subscription", "period", "purpose", "cause"],
                condition=Q(is_live=True),
                name="period_billed_once_per_purpose",
            ),
            one_of("purpose", Purpose, name="charge_purpose_is_known"),
            models.CheckConstraint(
                name="charge_is_of_a_period_not_one_off", condition=~Q(purpose="one_off")
            ),
            models.CheckConstraint(
                name="charge_of_a_period_needs_no_cause",
                condition=~Q(purpose__in=["opening", "regular"]) | Q(cause=""),
            ),
            models.CheckConstraint(
                name="charge_of_late_usage_names_its_snapshot",
                condition=~Q(purpose="late") | ~Q(cause=""),
            ),
            models.CheckConstraint(
                name="charge_of_a_change_names_it", condition=~Q(purpose="change") | ~Q(cause="")
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.period}"
