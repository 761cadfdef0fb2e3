"""Value metrics, plans, plan versions, prices and tiers."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from catalog.clocks import LONGEST_CUTOFF_HOURS, LONGEST_ISSUE_HOURS, within_bounds
from catalog.querysets import PlanVersionQuerySet
from config.base.constraints import exactly_when, never_negative, one_of
from config.base.fields import (
    ExactDecimalField,
    KeyField,
    amount_field,
    quantity_field,
    unit_amount_field,
)


class MetricKind(models.TextChoices):
    CONSUMPTION = "consumption", "Consumption: what was used up"
    WORKFLOW = "workflow", "Workflow: what was done"
    OUTCOME = "outcome", "Outcome: what was achieved"


class Aggregation(models.TextChoices):
    COUNT = "count", "Count the events"
    SUM = "sum", "Add up a property"
    MAX = "max", "Highest level"
    LATEST = "latest", "Last level"
    UNIQUE_COUNT = "unique_count", "Count different values"
    TIME_WEIGHTED = "time_weighted", "Level × time"


LEVELS = (Aggregation.MAX, Aggregation.LATEST, Aggregation.TIME_WEIGHTED)


class ValueIs(models.TextChoices):
    LEVEL = "level", "The event sets the level"
    CHANGE = "change", "The event adds to the level"


class TimeUnit(models.TextChoices):
    PERIOD = "period", "Billing period (GB-months)"
    HOUR = "hour", "Hour (unit-hours)"


class RoundingMode(models.TextChoices):
    HALF_UP = "half_up", "To the nearest, halves up"
    UP = "up", "Always up"
    DOWN = "down", "Always down"


class MetricStatus(models.TextChoices):
    CANDIDATE = "candidate", "Candidate"
    DEPRIORITISED = "deprioritised", "Deprioritised"
    ACTIVE = "active", "In use"
    RETIRED = "retired", "Retired"


class CostTrend(models.TextChoices):
    FALLING = "falling", "Falling"
    FLAT = "flat", "Flat"
    RISING = "rising", "Rising"


class Question(models.TextChoices):
    """What a metric must stand before anybody is charged by it."""

    MEASURABLE = "measurable", "Can it be measured reliably?"
    VALUE = "value", "Does it grow with the value the customer gets?"
    UNDERSTANDABLE = "understandable", "Would a non-technical buyer understand it?"


class Answer(models.TextChoices):
    YES = "yes", "Yes"
    NO = "no", "No"
    UNSURE = "unsure", "Not sure yet"


class Decision(models.TextChoices):
    DEPRIORITISED = "deprioritised", "Deprioritised"
    CANDIDATE = "candidate", "Back among the candidates"
    ADOPTED = "adopted", "To be priced"


class Interval(models.TextChoices):
    DAY = "day", "Day"
    WEEK = "week", "Week"
    MONTH = "month", "Month"
    QUARTER = "quarter", "Quarter"
    YEAR = "year", "Year"


class VersionStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    RETIRED = "retired", "Retired"


class CouponDuration(models.TextChoices):
    """How often a coupon reduces what a subscription is billed."""

    ONCE = "once", "Once"
    PERIODS = "periods", "For a number of periods"
    FOREVER = "forever", "For good"
    UNTIL_USED_UP = "until_used_up", "Until its amount is used up"


class CouponStatus(models.TextChoices):
    ACTIVE = "active", "On offer"
    RETIRED = "retired", "Retired"


class AddOnStatus(models.TextChoices):
    ACTIVE = "active", "On offer"
    ARCHIVED = "archived", "Archived"


class Earned(models.TextChoices):
    """How what an add-on charges is earned (R37): no usage is counted of it."""

    AT_ONCE = "at_once", "At once"
    OVER_TIME = "over_time", "Evenly over its service period"


class RateCategory(models.TextChoices):
    """Which of a country's tax rates applies to what is sold."""

    STANDARD = "standard", "Standard rate"
    REDUCED = "reduced", "Reduced rate"
    SECOND_REDUCED = "second_reduced", "Second reduced rate"
    SUPER_REDUCED = "super_reduced", "Super-reduced rate"
    PARKING = "parking", "Parking rate"
    ZERO = "zero", "Zero rate"
    EXEMPT = "exempt", "Exempt"


class PriceModel(models.TextChoices):
    FLAT = "flat", "Flat fee"
    PER_UNIT = "per_unit", "Per unit"
    GRADUATED = "graduated", "Graduated: each unit at its own tier's price"
    VOLUME = "volume", "Volume: all units at the price of the tier reached"
    PACKAGE = "package", "Package: per started package"
    PERCENTAGE = "percentage", "Percentage: a share of every amount moved"
    MATRIX = "matrix", "Matrix: a price per combination of dimension values"


TIERED = (PriceModel.GRADUATED, PriceModel.VOLUME)
PRICED_PER_UNIT = tuple(
    model for model in PriceModel if model not in (*TIERED, PriceModel.PERCENTAGE)
)
"""The models with one amount of their own: a fee, a unit's, a package's, a matrix's default."""


class Timing(models.TextChoices):
    ADVANCE = "advance", "In advance, at the period's start"
    ARREARS = "arrears", "In arrears, at the period's end"


class OveragePolicy(models.TextChoices):
    BILL = "bill", "Bill it"
    NOTIFY = "notify", "Bill it and tell the customer at 80 and 100 %"
    BLOCK = "block", "Answer “no” to access checks"


class Proration(models.TextChoices):
    DAYS = "days", "By whole days"
    NONE = "none", "Not prorated"


class ValueMetric(models.Model):
    """What is charged for, in the customer's words, with how it is measured (R10, R11)."""

    DEFINITION = (
        "event_type",
        "aggregation",
        "value_property",
        "value_is",
        "time_unit",
        "series",
        "filters",
        "dimensions",
        "carry_over",
        "unit_divisor",
        "rounding_mode",
        "rounding_scale",
    )

    key = KeyField(unique=True, help_text="Your own name for it in the API, such as api_calls.")
    name = models.CharField(max_length=200, help_text="What customers read on their invoice.")
    unit = models.CharField(max_length=50, help_text="One of them, such as “call”.")
    unit_plural = models.CharField(max_length=50, help_text="Several of them, such as “calls”.")
    kind = models.CharField(
        max_length=20,
        choices=MetricKind,
        default=MetricKind.CONSUMPTION,
        help_text="What it shows.",
    )
    event_type = models.CharField(
        max_length=255, help_text="The type of the usage events that count, such as llm.request."
    )
    aggregation = models.CharField(
        max_length=20, choices=Aggregation, help_text="How events become one quantity."
    )
    value_property = models.CharField(
        max_length=255, blank=True, help_text="The property of the event that holds the value."
    )
    value_is = models.CharField(
        max_length=10,
        choices=ValueIs,
        blank=True,
        help_text="For levels (highest, last, level × time): what the value means.",
    )
    time_unit = models.CharField(
        max_length=10, choices=TimeUnit, blank=True, help_text="For level × time: per which time."
    )
    series = models.JSONField(
        default=list,
        blank=True,
        help_text="Levels are measured per distinct value of these properties, then added up.",
    )
    filters = models.JSONField(
        default=list, blank=True, help_text="Only events that meet all of these count."
    )
    dimensions = models.JSONField(
        default=list, blank=True, help_text="Properties by which usage can be broken down."
    )
    carry_over = models.BooleanField(
        default=False, help_text="For levels: start each period from the last level before it."
    )
    unit_divisor = quantity_field(
        default=Decimal(1), help_text="The total is divided by this: 1000 bills bytes as kilobytes."
    )
    rounding_mode = models.CharField(
        max_length=10,
        choices=RoundingMode,
        default=RoundingMode.HALF_UP,
        help_text="How the quantity is rounded before the allowance is subtracted.",
    )
    rounding_scale = models.PositiveSmallIntegerField(
        default=10,
        validators=[MaxValueValidator(10)],
        help_text="Decimals kept in the quantity: 0 bills whole units, 10 keeps it as it is.",
    )
    unit_cost = unit_amount_field(
        null=True, blank=True, help_text="What one unit costs you; never shown to customers."
    )
    internal_name = models.CharField(
        max_length=200,
        blank=True,
        help_text="What you call it among yourselves; never shown to customers.",
    )
    cost_trend = models.CharField(
        max_length=10, choices=CostTrend, blank=True, help_text="Where the cost of one is going."
    )
    review_on = models.DateField(
        null=True, blank=True, help_text="When to look at its worksheet again; you are reminded."
    )
    status = models.CharField(
        max_length=20, choices=MetricStatus, default=MetricStatus.CANDIDATE, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "id")
        indexes = (models.Index(fields=["event_type"], name="metric_by_event_type"),)
        constraints = (
            one_of("kind", MetricKind, name="metric_kind_is_known"),
            one_of("aggregation", Aggregation, name="metric_aggregation_is_known"),
            one_of("rounding_mode", RoundingMode, name="metric_rounding_mode_is_known"),
            one_of("status", MetricStatus, name="metric_status_is_known"),
            one_of("cost_trend", CostTrend, blank=True, name="metric_cost_trend_is_known"),
            one_of("value_is", ValueIs, blank=True, name="metric_value_is_known"),
            one_of("time_unit", TimeUnit, blank=True, name="metric_time_unit_is_known"),
            exactly_when(
                Q(aggregation="count"),
                Q(value_property=""),
                name="metric_counts_or_names_a_property",
                message="Counting needs no value property; every other aggregation needs one.",
            ),
            exactly_when(
                Q(aggregation__in=LEVELS),
                ~Q(value_is=""),
                name="metric_level_states_what_its_value_is",
                message="Highest, last and level × time need to know what the value is; "
                "the others must leave it empty.",
            ),
            exactly_when(
                Q(aggregation="time_weighted"),
                ~Q(time_unit=""),
                name="metric_time_unit_exactly_when_time_weighted",
                message="Level × time needs a time unit; the others must leave it empty.",
            ),
            models.CheckConstraint(
                name="metric_carries_over_levels_only",
                condition=Q(carry_over=False) | Q(aggregation__in=LEVELS),
                violation_error_message="Only levels (highest, last, level × time) carry over.",
            ),
            models.CheckConstraint(
                name="metric_divisor_is_positive",
                condition=Q(unit_divisor__gt=0),
                violation_error_message="The divisor must be above zero.",
            ),
            models.CheckConstraint(
                name="metric_rounding_scale_at_most_ten", condition=Q(rounding_scale__lte=10)
            ),
            never_negative("unit_cost", name="metric_unit_cost_never_negative"),
        )

    def __str__(self) -> str:
        return self.name


class MetricAnswer(models.Model):
    """What somebody answered to a question of a metric's worksheet; the latest of each counts."""

    metric = models.ForeignKey(ValueMetric, on_delete=models.CASCADE, related_name="answers")
    question = models.CharField(max_length=20, choices=Question)
    answer = models.CharField(max_length=10, choices=Answer)
    evidence = models.TextField(blank=True, help_text="What the answer rests on.")
    notes = models.TextField(blank=True)
    answered_by = models.CharField(max_length=255)
    answered_at = models.DateTimeField()

    class Meta:
        ordering = ("metric_id", "-id")
        constraints = (
            one_of("question", Question, name="answer_question_is_known"),
            one_of("answer", Answer, name="answer_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.metric}: {self.get_question_display()} {self.get_answer_display()}"


class MetricDecision(models.Model):
    """What was decided of a metric, by whom and why; the latest holds."""

    metric = models.ForeignKey(ValueMetric, on_delete=models.CASCADE, related_name="decisions")
    decision = models.CharField(max_length=20, choices=Decision)
    reason = models.TextField()
    is_automatic = models.BooleanField(
        default=False, help_text="It followed from the answers; better answers take it back."
    )
    decided_by = models.CharField(max_length=255)
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ("metric_id", "-id")
        constraints = (
            one_of("decision", Decision, name="decision_is_known"),
            models.CheckConstraint(name="decision_has_a_reason", condition=~Q(reason="")),
        )

    def __str__(self) -> str:
        return f"{self.metric}: {self.get_decision_display()}"


class Plan(models.Model):
    """An offer under one name; what it costs is in its versions."""

    key = KeyField(unique=True, help_text="Your own name for it in the API, such as scale.")
    name = models.CharField(max_length=200, help_text="What customers read.")
    description = models.TextField(blank=True, help_text="A sentence or two for customers.")
    has_calculator = models.BooleanField(
        "price calculator",
        default=True,
        help_text="Customers, and whoever has the link, can work out what a published version "
        "costs. Its terms can be read either way.",
    )
    usage_cutoff_hours = models.PositiveSmallIntegerField(
        "hours to wait for usage",
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_CUTOFF_HOURS)],
        help_text="After a period’s end, until it is closed. Empty: as the issuer says.",
    )
    auto_issue_hours = models.PositiveSmallIntegerField(
        "hours until issue",
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_ISSUE_HOURS)],
        help_text="After the close, until the invoice is issued by itself. Empty: as the issuer says.",
    )
    manual_approval = models.BooleanField(
        null=True,
        blank=True,
        help_text="Whether invoices wait for a person instead. Unknown: as the issuer says.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "id")
        constraints = (*within_bounds("plan"),)

    def __str__(self) -> str:
        return self.name


class PlanVersion(models.Model):
    """The terms of a plan in one currency; once published it never changes (R19)."""

    DEFINITION = (
        "plan_id",
        "number",
        "currency",
        "interval",
        "interval_count",
        "billing_interval",
        "billing_interval_count",
        "trial_days",
        "minimum_commitment",
        "refund_unused",
        "tax_category",
        "prices_include_tax",
        "published_at",
        "published_by",
    )

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(editable=False)
    currency = models.CharField(max_length=3, help_text="ISO 4217 code, such as EUR.")
    interval = models.CharField(max_length=10, choices=Interval, default=Interval.MONTH)
    interval_count = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Every how many of them: 3 with “Month” bills every three months.",
    )
    billing_interval = models.CharField(
        max_length=10,
        choices=Interval,
        default=Interval.MONTH,
        editable=False,
        help_text="The shortest interval of its prices: what a billing period is made of (R4).",
    )
    billing_interval_count = models.PositiveSmallIntegerField(default=1, editable=False)
    trial_days = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(3650)],
        help_text="Days before the first paid period; usage is shown, not billed.",
    )
    minimum_commitment = amount_field(
        null=True,
        blank=True,
        help_text="The least a customer pays per interval, with tax only where prices include it.",
    )
    refund_unused = models.BooleanField(
        default=True,
        help_text="Who cancels at once is credited what was paid in advance for the days after.",
    )
    tax_category = models.CharField(
        max_length=20,
        choices=RateCategory,
        default=RateCategory.STANDARD,
        help_text="Which of a country’s tax rates applies, unless a price says otherwise.",
    )
    prices_include_tax = models.BooleanField(
        default=False,
        help_text="Every amount is what customers pay in all, as advertised to consumers; the tax is "
        "taken out of it. Otherwise tax comes on top.",
    )
    status = models.CharField(
        max_length=10, choices=VersionStatus, default=VersionStatus.DRAFT, editable=False
    )
    is_current = models.BooleanField(
        default=False, editable=False, help_text="New subscriptions in this currency get it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    published_by = models.CharField(max_length=255, blank=True, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = PlanVersionQuerySet.as_manager()

    class Meta:
        ordering = ("plan__name", "plan_id", "-number")
        permissions = (("publish_planversion", "Can publish and retire plan versions"),)
        constraints = (
            models.UniqueConstraint(fields=["plan", "number"], name="version_number_once_per_plan"),
            models.UniqueConstraint(
                fields=["plan", "currency"],
                condition=Q(is_current=True),
                name="version_current_once_per_plan_and_currency",
            ),
            one_of("interval", Interval, name="version_interval_is_known"),
            one_of("billing_interval", Interval, name="version_billing_interval_is_known"),
            one_of("status", VersionStatus, name="version_status_is_known"),
            exactly_when(
                Q(status="draft"), Q(published_at__isnull=True), name="version_draft_or_published"
            ),
            exactly_when(
                Q(status="retired"), Q(retired_at__isnull=False), name="version_retired_when_dated"
            ),
            models.CheckConstraint(
                name="version_current_only_when_published",
                condition=Q(is_current=False) | Q(status="published"),
            ),
            models.CheckConstraint(
                name="version_interval_count_in_range",
                condition=Q(interval_count__gte=1, interval_count__lte=1000),
            ),
            never_negative("minimum_commitment", name="version_commitment_never_negative"),
            one_of("tax_category", RateCategory, name="version_tax_category_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


class Price(models.Model):
    """One thing a plan version charges for (R13)."""

    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="prices")
    position = models.PositiveSmallIntegerField(default=0, help_text="Order on the invoice.")
    key = KeyField(help_text="Your own name for it within the plan, such as base.")
    name = models.CharField(max_length=200, help_text="What customers read on their invoice.")
    metric = models.ForeignKey(
        ValueMetric,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="prices",
        help_text="What is measured. Empty for a base fee or seats.",
    )
    unit = models.CharField(
        max_length=50, blank=True, help_text="One of what is agreed on, such as “seat”."
    )
    unit_plural = models.CharField(
        max_length=50, blank=True, help_text="Several of them, such as “seats”."
    )
    filters = models.JSONField(
        default=list,
        blank=True,
        help_text="Only usage whose dimensions meet all of these. Of several prices on one metric "
        "the first that usage meets takes it.",
    )
    model = models.CharField(max_length=20, choices=PriceModel, help_text="How usage is charged.")
    interval = models.CharField(
        max_length=10,
        choices=Interval,
        blank=True,
        help_text="How often it is charged. Empty: as often as the plan bills.",
    )
    interval_count = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Every how many of them.",
    )
    timing = models.CharField(
        max_length=10, choices=Timing, help_text="Usage can only be billed in arrears."
    )
    unit_amount = unit_amount_field(
        null=True,
        blank=True,
        help_text="The fee, the price of a unit or of a package; of a matrix, for all that no row "
        "is for. Empty where tiers or a percentage say it.",
    )
    package_size = quantity_field(null=True, blank=True, help_text="Units in one package.")
    percent_rate = ExactDecimalField(
        max_digits=7,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="The share of every amount, such as 2.9.",
    )
    fixed_amount = unit_amount_field(
        default=Decimal(0), help_text="Added for every event, such as 0.30."
    )
    free_events = models.PositiveIntegerField(
        default=0, help_text="The first so many events of a period pay nothing."
    )
    per_event_minimum = unit_amount_field(
        null=True, blank=True, help_text="An event pays at least this, the fixed fee included."
    )
    per_event_maximum = unit_amount_field(
        null=True, blank=True, help_text="An event pays at most this, the fixed fee included."
    )
    dimensions = models.JSONField(
        default=list, blank=True, help_text="The metric's dimensions that the rows speak of."
    )
    rows = models.JSONField(
        default=list, blank=True, help_text="Prices per dimension values; the first match wins."
    )
    included_quantity = quantity_field(
        default=Decimal(0), help_text="The allowance: units the base fee already covers."
    )
    minimum = amount_field(null=True, blank=True, help_text="Charge at least this per period.")
    maximum = amount_field(null=True, blank=True, help_text="Charge at most this per period.")
    discount_percent = ExactDecimalField(
        max_digits=7,
        decimal_places=4,
        default=Decimal(0),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Taken off after the maximum.",
    )
    overage_policy = models.CharField(
        max_length=10,
        choices=OveragePolicy,
        default=OveragePolicy.BILL,
        help_text="What happens above the allowance.",
    )
    proration = models.CharField(
        max_length=10,
        choices=Proration,
        default=Proration.DAYS,
        help_text="What a part of a period costs.",
    )
    tax_category = models.CharField(
        max_length=20,
        choices=RateCategory,
        blank=True,
        help_text="Which of a country’s tax rates applies. Empty: the plan version’s.",
    )

    class Meta:
        ordering = ("version_id", "position", "id")
        constraints = (
            models.UniqueConstraint(fields=["version", "key"], name="price_key_once_per_version"),
            one_of("model", PriceModel, name="price_model_is_known"),
            one_of("interval", Interval, blank=True, name="price_interval_is_known"),
            models.CheckConstraint(
                name="price_interval_count_in_range",
                condition=Q(interval_count__gte=1, interval_count__lte=1000),
            ),
            models.CheckConstraint(
                name="price_filters_usage_only",
                condition=Q(filters=[]) | Q(metric__isnull=False),
                violation_error_message="Only usage can be filtered: choose a metric.",
            ),
            models.CheckConstraint(
                name="price_names_units_only_where_no_metric_does",
                condition=Q(unit="", unit_plural="")
                | (Q(model="per_unit", metric__isnull=True) & ~Q(unit="") & ~Q(unit_plural="")),
                violation_error_message="Only a price per unit without a metric names its own unit, "
                "in the singular and in the plural.",
            ),
            one_of("timing", Timing, name="price_timing_is_known"),
            one_of("overage_policy", OveragePolicy, name="price_overage_policy_is_known"),
            one_of("proration", Proration, name="price_proration_is_known"),
            one_of("tax_category", RateCategory, blank=True, name="price_tax_category_is_known"),
            exactly_when(
                Q(model__in=PRICED_PER_UNIT),
                Q(unit_amount__isnull=False),
                name="price_has_a_unit_amount_or_says_it_otherwise",
                message="Flat, per-unit, package and matrix prices need an amount; the others say "
                "it in tiers or as a rate.",
            ),
            exactly_when(
                Q(model="percentage"),
                Q(percent_rate__isnull=False),
                name="price_percentage_has_a_rate",
                message="A percentage needs a rate; the other models have none.",
            ),
            models.CheckConstraint(
                name="price_per_event_only_for_a_percentage",
                condition=Q(model="percentage")
                | Q(
                    fixed_amount=0,
                    free_events=0,
                    per_event_minimum__isnull=True,
                    per_event_maximum__isnull=True,
                ),
                violation_error_message="Only a percentage charges per event.",
            ),
            models.CheckConstraint(
                name="price_least_per_event_not_above_most",
                condition=Q(per_event_minimum__isnull=True)
                | Q(per_event_maximum__isnull=True)
                | Q(per_event_minimum__lte=F("per_event_maximum")),
                violation_error_message="The least per event must not be above the most.",
            ),
            models.CheckConstraint(
                name="price_rate_from_0_to_100_percent",
                condition=Q(percent_rate__isnull=True)
                | Q(percent_rate__gte=0, percent_rate__lte=100),
            ),
            models.CheckConstraint(
                name="price_matrix_has_rows",
                condition=(Q(model="matrix") & ~Q(rows=[]) & ~Q(dimensions=[]))
                | (~Q(model="matrix") & Q(rows=[]) & Q(dimensions=[])),
                violation_error_message="A matrix needs dimensions and rows; the others have none.",
            ),
            exactly_when(
                Q(model="package"),
                Q(package_size__isnull=False),
                name="price_package_has_a_size",
                message="A package price needs a package size; the others have none.",
            ),
            models.CheckConstraint(
                name="price_package_size_is_positive",
                condition=Q(package_size__isnull=True) | Q(package_size__gt=0),
                violation_error_message="A package holds more than nothing.",
            ),
            models.CheckConstraint(
                name="price_model_has_the_metric_it_needs",
                condition=Q(model="per_unit")
                | Q(model="flat", metric__isnull=True)
                | (~Q(model__in=["per_unit", "flat"]) & Q(metric__isnull=False)),
                violation_error_message="A flat fee has no metric; every other model but per unit "
                "needs one.",
            ),
            models.CheckConstraint(
                name="price_usage_only_in_arrears",
                condition=Q(metric__isnull=True) | Q(timing="arrears"),
                violation_error_message="Usage is known only afterwards: bill it in arrears.",
            ),
            models.CheckConstraint(
                name="price_of_no_units_has_no_allowance",
                condition=~Q(model__in=["flat", "percentage"]) | Q(included_quantity=0),
                violation_error_message="A flat fee and a percentage include no units.",
            ),
            models.CheckConstraint(
                name="price_floor_not_above_cap",
                condition=Q(minimum__isnull=True)
                | Q(maximum__isnull=True)
                | Q(minimum__lte=F("maximum")),
                violation_error_message="The minimum must not be above the maximum.",
            ),
            models.CheckConstraint(
                name="price_discount_from_0_to_100_percent",
                condition=Q(discount_percent__gte=0, discount_percent__lte=100),
            ),
            never_negative(
                "unit_amount",
                "included_quantity",
                "minimum",
                "maximum",
                "fixed_amount",
                "per_event_minimum",
                "per_event_maximum",
                name="price_amounts_never_negative",
                message="Amounts and quantities of a price can't be negative.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class PriceTier(models.Model):
    """A step of a graduated or volume price: (the tier before's `up_to`, `up_to`] (R12).

    Lower bounds are not stored, and the order is that of `up_to`, so tiers can't overlap or gap.
    """

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    up_to = quantity_field(
        null=True, blank=True, help_text="The last unit of this tier. Empty: all above."
    )
    unit_amount = unit_amount_field(help_text="Price of a unit in this tier.")
    flat_amount = unit_amount_field(
        default=Decimal(0), help_text="Charged once when the tier is reached, however little."
    )

    class Meta:
        ordering = ("price_id", F("up_to").asc(nulls_last=True))
        constraints = (
            models.UniqueConstraint(
                fields=["price", "up_to"],
                name="tier_bound_once_per_price",
                violation_error_message="Two tiers end at the same quantity.",
            ),
            models.UniqueConstraint(
                fields=["price"],
                condition=Q(up_to__isnull=True),
                name="tier_open_once_per_price",
                violation_error_message="Only the last tier may be open.",
            ),
            models.CheckConstraint(
                name="tier_bound_is_positive",
                condition=Q(up_to__isnull=True) | Q(up_to__gt=0),
                violation_error_message="A tier ends above zero.",
            ),
            never_negative(
                "unit_amount",
                "flat_amount",
                name="tier_amounts_never_negative",
                message="A tier's amounts can't be negative.",
            ),
        )

    def __str__(self) -> str:
        return f"up to {self.up_to}" if self.up_to is not None else "all above"


class Coupon(models.Model):
    """A reduction, in percent or of an amount, that subscriptions can be given (R22a).

    Before tax, or with it where the subscription's prices include it (R29).

    Its terms never change, since customers hold it: retire it and make another.
    """

    DEFINITION = ("key", "name", "percent", "amount", "currency", "duration", "periods")

    key = KeyField(unique=True, help_text="Your own name for it; it never changes.")
    name = models.CharField(max_length=200, help_text="What customers read.")
    percent = ExactDecimalField(
        max_digits=7,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="How much it takes off, in percent. Empty: an amount.",
    )
    amount = amount_field(
        null=True,
        blank=True,
        help_text="What it takes off: before tax, or with it where the subscription’s prices include "
        "it. Empty: a percentage.",
    )
    currency = models.CharField(max_length=3, blank=True, help_text="Of the amount, such as EUR.")
    duration = models.CharField(max_length=15, choices=CouponDuration, default=CouponDuration.ONCE)
    periods = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="On how many periods' invoices."
    )
    redeemable_until = models.DateField(
        null=True, blank=True, help_text="The last day on which somebody can be given it."
    )
    status = models.CharField(
        max_length=10, choices=CouponStatus, default=CouponStatus.ACTIVE, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            one_of("duration", CouponDuration, name="coupon_duration_is_known"),
            one_of("status", CouponStatus, name="coupon_status_is_known"),
            models.CheckConstraint(
                name="coupon_takes_a_percentage_or_an_amount",
                condition=Q(percent__isnull=False, amount__isnull=True, currency="")
                | (Q(percent__isnull=True, amount__isnull=False) & ~Q(currency="")),
                violation_error_message="Give a percentage, or an amount and its currency.",
            ),
            models.CheckConstraint(
                name="coupon_takes_something_and_at_most_all",
                condition=(Q(percent__isnull=True) | Q(percent__gt=0, percent__lte=100))
                & (Q(amount__isnull=True) | Q(amount__gt=0)),
                violation_error_message="It takes something off, and at most 100 percent.",
            ),
            exactly_when(
                Q(duration="periods"),
                Q(periods__isnull=False, periods__gt=0),
                name="coupon_counts_periods_exactly_when_it_lasts_some",
                message="Say for how many periods, and only of one that lasts a number of them.",
            ),
            models.CheckConstraint(
                name="coupon_used_up_only_by_amount",
                condition=~Q(duration="until_used_up") | Q(amount__isnull=False),
                violation_error_message="Only an amount can be used up.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class AddOn(models.Model):
    """What is sold once, at a price per unit: a set-up fee, a day of onboarding.

    Its terms never change, since customers bought it on them: archive it and make another.
    """

    DEFINITION = (
        "key",
        "name",
        "description",
        "unit_amount",
        "currency",
        "unit",
        "unit_plural",
        "recognition",
        "tax_category",
    )

    key = KeyField(unique=True, help_text="Your own name for it; it never changes.")
    name = models.CharField(max_length=200, help_text="What customers read on their invoice.")
    description = models.TextField(blank=True, help_text="What it comprises, for whoever sells it.")
    unit_amount = amount_field(
        help_text="What one of it costs: before tax, or with it where the subscription’s prices "
        "include it."
    )
    currency = models.CharField(max_length=3, help_text="Of the amount, such as EUR.")
    unit = models.CharField(
        max_length=50, blank=True, help_text="One of it, such as “day”. Empty: just a number."
    )
    unit_plural = models.CharField(max_length=50, blank=True, help_text="Several, such as “days”.")
    recognition = models.CharField(
        max_length=10,
        choices=Earned,
        default=Earned.AT_ONCE,
        help_text="How your books earn it; customers do not see this.",
    )
    tax_category = models.CharField(
        max_length=20,
        choices=RateCategory,
        default=RateCategory.STANDARD,
        help_text="Which of a country’s tax rates applies to it.",
    )
    status = models.CharField(
        max_length=10, choices=AddOnStatus, default=AddOnStatus.ACTIVE, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "add-on"
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(name="add_on_costs_something", condition=Q(unit_amount__gt=0)),
            exactly_when(
                Q(unit=""),
                Q(unit_plural=""),
                name="add_on_names_one_and_several",
                message="Name one of it and several, or neither.",
            ),
            one_of("recognition", Earned, name="add_on_recognition_is_known"),
            one_of("tax_category", RateCategory, name="add_on_tax_category_is_known"),
            one_of("status", AddOnStatus, name="add_on_status_is_known"),
        )

    def __str__(self) -> str:
        return self.name
