"""Events, the keys that make them count once, their corrections, rollups, and the quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from django.db import models
from django.db.models import Case, F, Q, When

from catalog.models import ValueMetric
from config.base.constraints import exactly_when, one_of
from config.base.fields import ExactNumberField
from customers.models import Customer, Subscription
from customers.periods import month_after
from metering.fields import ArrayField, ExactJSONField
from metering.querysets.values import MonthArchived


class QuarantineCode(models.TextChoices):
    """Why an event could not be counted, in words for finance (R8)."""

    UNKNOWN_CUSTOMER = "unknown_customer", "Unknown customer"
    UNKNOWN_TYPE = "unknown_type", "No metric counts this type"
    MISSING_VALUE = "missing_value", "Value missing"
    BAD_VALUE = "bad_value", "Value is no quantity"
    AMBIGUOUS_SUBSCRIPTION = "ambiguous_subscription", "Several subscriptions could bill it"
    UNKNOWN_SUBSCRIPTION = "unknown_subscription", "Unknown subscription"
    FUTURE_TIME = "future_time", "Dated in the future"
    ARCHIVED_MONTH = "archived_month", "Dated in an archived month"
    CONFLICT = "conflict", "Same id, other content"


class QuarantineStatus(models.TextChoices):
    OPEN = "open", "Open"
    REPLAYED = "replayed", "Counted after all"
    DISMISSED = "dismissed", "Dismissed"


class EventKey(models.Model):
    """That an event of this source and id has arrived, and with which payload; for ever (R7).

    It also leads to the event: `stored_as` and `time` are that row's id and time, set once.
    """

    key = models.UUIDField(primary_key=True, help_text="16 bytes of source and id.")
    payload_hash = models.BinaryField(max_length=16, help_text="16 bytes of what must not change.")
    stored_as = models.BigIntegerField(
        null=True, help_text="The id of its event; empty as long as it is in quarantine."
    )
    time = models.DateTimeField(null=True, help_text="The time of its event.")

    class Meta:
        constraints = (
            exactly_when(
                Q(stored_as__isnull=False),
                Q(time__isnull=False),
                name="event_key_is_timed_exactly_when_stored",
            ),
        )

    def __str__(self) -> str:
        return str(self.key)


class CatalogueStamp(models.Model):
    """One row whose stamp is another after every change of a metric, and after every customer or
    subscription that was deleted. Triggers write it; what ingestion remembers is good as long as
    the stamp is the same."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    stamp = models.CharField(max_length=36)

    class Meta:
        constraints = (
            models.CheckConstraint(name="catalogue_stamp_is_one_row", condition=Q(id=1)),
        )

    def __str__(self) -> str:
        return self.stamp


class ArchivedMonthQuerySet(models.QuerySet["ArchivedMonth"]):
    def lacking(self, type_: str | None) -> list[ArchivedMonth]:
        """Return the months, in order, that took events of a type with them; None: of any."""
        gone = self.exclude(archived_at=None)
        return [row for row in gone if type_ is None or type_ in row.types]

    def refuse(self, type_: str | None, stretches: Iterable[tuple[datetime, datetime]]) -> None:
        """Let nobody rely on events of this type, or of any, in these half-open stretches where some
        are archived.

        :raises MonthArchived: naming the months to restore.
        """
        gone = self.lacking(type_)
        needed = {
            str(row)
            for start, end in (stretches if gone else ())
            for row in gone
            if start < row.end and end > row.start
        }
        if needed:
            raise MonthArchived(sorted(needed))


class ArchivedMonth(models.Model):
    """A month, in UTC, whose events are being archived, or lie in a file if `archived_at` says so.

    Events dated in it go to quarantine from the moment this row is there.
    """

    month = models.DateField(unique=True, help_text="Its first day.")
    events = models.BigIntegerField(null=True, help_text="How many events the file has.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the file's bytes.")
    archived_at = models.DateTimeField(null=True, help_text="When the file was complete.")
    types = models.JSONField(default=list, help_text="The types of its events.")

    objects = ArchivedMonthQuerySet.as_manager()

    class Meta:
        ordering = ("month",)
        constraints = (
            models.CheckConstraint(
                name="archived_month_is_hashed_and_counted",
                condition=Q(archived_at=None) | (Q(events__isnull=False) & ~Q(sha256="")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"

    @property
    def start(self) -> datetime:
        return datetime(self.month.year, self.month.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        after = month_after(self.month, 1)
        return datetime(after.year, after.month, 1, tzinfo=UTC)


class UsageEventQuerySet(models.QuerySet["UsageEvent"]):
    def under_key(self, key: UUID) -> UsageEventQuerySet:
        """Keep the event under this key, found by its id and time, so in one partition."""
        known = EventKey.objects.filter(pk=key)[:1]
        return self.filter(pk=known.values("stored_as"), time=known.values("time"))


class UsageEvent(models.Model):
    """Something a customer used, at `time` (R6). Append-only; its id is the order of ingestion.

    Nothing has a foreign key to events: on PostgreSQL they are partitioned by month of `time`.
    Their own foreign keys are kept by guards, since a constraint would ask once per event.
    """

    key = models.UUIDField(help_text="Its id in the API, made of source and id.")
    source = models.CharField(max_length=255, help_text="Who sent it.")
    event_id = models.CharField(max_length=255, help_text="The sender's own id.")
    type = models.CharField(max_length=255, help_text="What happened, such as llm.request.")
    customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        db_index=False,
        db_constraint=False,
        help_text="Only if the event names one.",
    )
    time = models.DateTimeField(help_text="When it happened; it counts at this instant.")
    received_at = models.DateTimeField(help_text="When it arrived.")
    data = ExactJSONField(default=dict)
    extensions = ExactJSONField(null=True, help_text="What else the sender wrote; means nothing.")

    objects = UsageEventQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=["customer", "time"], name="usage_event_of_customer"),)

    def __str__(self) -> str:
        return f"{self.event_id} from {self.source}"


class AdjustmentKind(models.TextChoices):
    VOID = "void", "Never counted"
    REPLACE = "replace", "Counted with other data"


class EventAdjustment(models.Model):
    """A correction of an event, which itself stays as it arrived (R9).

    The effective one of an event decides whether and with which data it counts; an earlier one
    stays as history.
    """

    uuid = models.UUIDField(unique=True, default=uuid4, editable=False)
    event_key = models.UUIDField(db_index=True, help_text="Which event it corrects.")
    kind = models.CharField(max_length=10, choices=AdjustmentKind)
    data = ExactJSONField(null=True, help_text="What counts in place of the event's own data.")
    reason = models.TextField(help_text="Why, in a sentence.")
    made_by = models.CharField(max_length=255)
    made_at = models.DateTimeField()
    is_effective = models.BooleanField(default=True, help_text="Until a later one supersedes it.")

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["made_at"], name="adjustment_by_made_at"),)
        constraints = (
            one_of("kind", AdjustmentKind, name="adjustment_kind_is_known"),
            exactly_when(
                Q(kind="replace"),
                Q(data__isnull=False),
                name="adjustment_has_data_exactly_when_it_replaces",
            ),
            models.CheckConstraint(
                name="adjustment_has_a_reason",
                condition=~Q(reason=""),
                violation_error_message="Say why it is corrected.",
            ),
            models.UniqueConstraint(
                fields=["event_key"],
                condition=Q(is_effective=True),
                name="adjustment_effective_once_per_event",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"


class Rollup(models.Model):
    """That a metric's usage is kept summed up, by one definition of it, and since when.

    Until it is ready, usage is read from events. A metric that is measured differently gets
    another one; the former goes once the other knows all that it knows.
    """

    metric = models.ForeignKey(ValueMetric, on_delete=models.CASCADE, related_name="+")
    event_type = models.CharField(max_length=255, db_index=True)
    definition = models.TextField(help_text="How events become quantities, as JSON.")
    digest = models.CharField(max_length=32, help_text="16 bytes of the definition.")
    created_at = models.DateTimeField()
    horizon = models.BigIntegerField(
        null=True, help_text="Transactions before this one may not know of it yet."
    )
    built_up_to = models.BigIntegerField(default=0, help_text="The last customer summed up.")
    customers_done = models.PositiveIntegerField(default=0)
    customers_total = models.PositiveIntegerField(default=0)
    ready_at = models.DateTimeField(null=True)
    knows_from = models.DateTimeField(
        null=True,
        help_text="Events before it were archived when it was built; empty: it knows all.",
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["metric", "digest"], name="rollup_once_per_definition"),
            models.CheckConstraint(
                name="rollup_ready_once_others_know_it",
                condition=Q(ready_at=None) | Q(horizon__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"Rollup of {self.metric}"


class UsagePiece(models.Model):
    """What is kept of events of one customer, day and key, so that they need not be read again.

    Ingestion appends one for what it stored; folding merges those of one key and day. The sum of
    all is right at every commit. Which columns are filled depends on the kind of the metric.
    Foreign keys are not constrained: that would ask once per row and nothing here outlives them.
    """

    rollup = models.ForeignKey(
        Rollup, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        null=True,
    )
    key = ExactJSONField(help_text="The values of the properties that are kept apart.")
    starts_at = models.DateTimeField(help_text="The customer's local day, when it was made.")
    ends_at = models.DateTimeField()
    events = models.BigIntegerField()
    last_received_at = models.DateTimeField()
    total = ExactNumberField(null=True, help_text="The sum of the values.")
    highest = ExactNumberField(null=True, help_text="The highest level, or running total.")
    area = ExactNumberField(null=True, help_text="Level × microseconds, until `ends_at`.")
    last_value = ExactNumberField(null=True)
    first_time = models.DateTimeField()
    last_time = models.DateTimeField()
    last_id = models.BigIntegerField(help_text="The id of the last event at `last_time`.")
    is_folded = models.BooleanField(default=False)

    class Meta:
        indexes = (
            models.Index(fields=["customer", "rollup", "ends_at"], name="piece_measured"),
            models.Index(fields=["id"], name="piece_fresh", condition=Q(is_folded=False)),
        )
        constraints = (
            models.CheckConstraint(
                name="piece_lies_in_its_day",
                condition=Q(
                    starts_at__lte=F("first_time"),
                    first_time__lte=F("last_time"),
                    last_time__lt=F("ends_at"),
                ),
            ),
        )

    def __str__(self) -> str:
        return f"{self.events} events from {self.starts_at:%Y-%m-%d %H:%M}"


class PieceBatch(models.Model):
    """The pieces of one rollup that a batch of events gave, column by column, until they are folded.

    On PostgreSQL, where a row per piece would cost three times as much as storing the events. The
    arrays of a row are equally long, or NULL where no piece has a value; see `UsagePiece`.
    """

    rollup = models.ForeignKey(
        Rollup, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    last_received_at = models.DateTimeField()
    customer_ids = ArrayField("bigint")
    subscription_ids = ArrayField("bigint", null=True)
    keys = ArrayField("jsonb", null=True, help_text="NULL where nothing is kept apart.")
    starts = ArrayField("timestamptz")
    ends = ArrayField("timestamptz")
    events = ArrayField("bigint")
    totals = ArrayField("numeric", null=True)
    highests = ArrayField("numeric", null=True)
    areas = ArrayField("numeric", null=True)
    last_values = ArrayField("numeric", null=True)
    first_times = ArrayField("timestamptz")
    last_times = ArrayField("timestamptz")
    last_ids = ArrayField("bigint")

    def __str__(self) -> str:
        return f"Pieces that arrived at {self.last_received_at}"


class QuarantineGroup(NamedTuple):
    """Open events that wait for one reason and about one thing: see `about`. `sample` is a row's id."""

    code: str
    about: str
    events: int
    first_received_at: datetime
    last_received_at: datetime
    sample: int


class QuarantinedEventQuerySet(models.QuerySet["QuarantinedEvent"]):
    def waiting(self) -> QuarantinedEventQuerySet:
        """Keep those that nobody fixed or dismissed yet."""
        return self.filter(status=QuarantineStatus.OPEN)

    def about(self, code: str, about: str) -> QuarantinedEventQuerySet:
        """Keep those with this reason that are about this subject, type or source."""
        return self.filter(code=code, **{about_field(code): about})

    def groups(self, *, limit: int) -> list[QuarantineGroup]:
        """Return the largest groups, by reason and what it is about, the largest first."""
        by_code = [When(code=code, then=F(name)) for code, name in _ABOUT.items()]
        rows = (
            self.order_by()
            .annotate(thing=Case(*by_code, default=F("subject")))
            .values_list("code", "thing")
            .annotate(
                n=models.Count("pk"),
                first=models.Min("received_at"),
                last=models.Max("received_at"),
                sample=models.Min("pk"),
            )
            .order_by("-n", "code", "thing")
        )
        return [QuarantineGroup(*row) for row in rows[:limit]]

    def of_customers(self, customers: models.QuerySet[Customer]) -> QuarantinedEventQuerySet:
        """Keep those whose subject is one of these customers, or one of their subscriptions."""
        subscriptions = Subscription.objects.filter(customer__in=customers.values("pk"))
        return self.filter(
            Q(subject__in=customers.values("key")) | Q(subject__in=subscriptions.values("key"))
        )

    def of_nobody(self) -> QuarantinedEventQuerySet:
        """Keep those that no customer can be told of, since nobody has their key."""
        return self.filter(code=QuarantineCode.UNKNOWN_CUSTOMER)


_ABOUT = {
    QuarantineCode.UNKNOWN_TYPE.value: "type",
    QuarantineCode.MISSING_VALUE.value: "type",
    QuarantineCode.BAD_VALUE.value: "type",
    QuarantineCode.FUTURE_TIME.value: "source",
    QuarantineCode.ARCHIVED_MONTH.value: "source",
    QuarantineCode.ARCHIVED_MONTH.value: "source",
    QuarantineCode.CONFLICT.value: "source",
}


def about_field(code: str) -> str:
    """Return the column that tells what events with this reason are about."""
    return _ABOUT.get(code, "subject")


class QuarantinedEvent(models.Model):
    """An event that could not be counted, until somebody fixes or dismisses it (R8)."""

    uuid = models.UUIDField(unique=True, default=uuid4, editable=False)
    key = models.UUIDField(db_index=True)
    payload_hash = models.BinaryField(max_length=16)
    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    subject = models.CharField(max_length=255, blank=True, help_text="Empty if it names nobody.")
    raw = models.TextField(help_text="The event as it was sent, as JSON.")
    code = models.CharField(max_length=30, choices=QuarantineCode)
    detail = models.TextField(help_text="What is wrong, in a sentence.")
    status = models.CharField(
        max_length=10, choices=QuarantineStatus, default=QuarantineStatus.OPEN
    )
    resolution = models.TextField(blank=True, help_text="What was done about it, and why.")
    resolved_by = models.CharField(max_length=255, blank=True)
    resolved_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(help_text="When it arrived.")

    objects = QuarantinedEventQuerySet.as_manager()

    class Meta:
        verbose_name = "event in quarantine"
        verbose_name_plural = "events in quarantine"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["status", "code", "id"], name="quarantine_by_status_and_code"),
            models.Index(
                fields=["code", "subject", "type"],
                condition=Q(status="open"),
                name="quarantine_open_by_subject",
            ),
        )
        constraints = (
            one_of("code", QuarantineCode, name="quarantine_code_is_known"),
            one_of("status", QuarantineStatus, name="quarantine_status_is_known"),
            exactly_when(
                ~Q(status="open"),
                Q(resolved_at__isnull=False),
                name="quarantine_resolved_exactly_when_dated",
            ),
            models.CheckConstraint(
                name="quarantine_dismissal_has_a_reason",
                condition=~Q(status="dismissed") | ~Q(resolution=""),
                violation_error_message="Say why it is dismissed.",
            ),
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(status="open") & ~Q(code="conflict"),
                name="quarantine_open_once_per_key",
            ),
            models.UniqueConstraint(
                fields=["key", "payload_hash"],
                condition=Q(code="conflict"),
                name="quarantine_conflict_once_per_payload",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event_id} from {self.source}"

    @property
    def about(self) -> str:
        """The subject, type or source that its reason is about."""
        return str(getattr(self, about_field(self.code)))
