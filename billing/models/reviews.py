"""What a look over the open drafts found, and what was decided for many of them at once."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from billing.models.invoices import Invoice
from config.base.constraints import exactly_when, one_of


class Look(models.Model):
    """That an open invoice was compared with the past, as it was drawn then."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="look")
    last_line = models.BigIntegerField(help_text="The newest of its lines: redrawn, it has others.")
    looked_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"look at {self.invoice}"


class Oddity(models.TextChoices):
    """What makes a draft one to look at before it is issued."""

    CHANGED = "changed", "Changed a lot"
    USAGE = "usage", "Unusual usage"
    FIRST = "first", "First invoice"
    LATE = "late", "Late usage on it"
    UNKNOWN = "unknown", "Could not be compared"


class DraftOddity(models.Model):
    """One reason to look at a draft, in words for finance."""

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="oddities")
    kind = models.CharField(max_length=7, choices=Oddity)
    detail = models.TextField()

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (one_of("kind", Oddity, name="draft_oddity_is_known"),)

    def __str__(self) -> str:
        return self.detail


class BatchAction(models.TextChoices):
    ISSUE = "issue", "Issue"
    HOLD = "hold", "Hold for review"
    DISCARD = "discard", "Discard, to be billed anew"


class BatchStatus(models.TextChoices):
    WORKING = "working", "Going on"
    FINISHED = "finished", "Finished"


class BatchState(models.TextChoices):
    WAITING = "waiting", "Not reached yet"
    DONE = "done", "Done"
    REFUSED = "refused", "Left as it was"


class InvoiceBatch(models.Model):
    """One decision over many open invoices, carried out a portion at a time."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    action = models.CharField(max_length=7, choices=BatchAction)
    reason = models.TextField(blank=True, help_text="Why; stands on each of them.")
    status = models.CharField(max_length=8, choices=BatchStatus, default=BatchStatus.WORKING)
    started_by = models.CharField(max_length=255)
    started_by_kind = models.CharField(max_length=10)
    started_at = models.DateTimeField(help_text="What is issued is dated by this.")
    finished_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "decision over many invoices"
        verbose_name_plural = "decisions over many invoices"
        default_permissions = ("view",)
        constraints = (
            one_of("action", BatchAction, name="batch_action_is_known"),
            one_of("status", BatchStatus, name="batch_status_is_known"),
            exactly_when(
                Q(status="finished"), Q(finished_at__isnull=False), name="batch_finished_when_dated"
            ),
            models.CheckConstraint(
                name="batch_discards_with_a_reason",
                condition=~Q(action="discard") | ~Q(reason=""),
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_action_display()}, {self.started_at:%Y-%m-%d %H:%M}"


class InvoiceBatchRow(models.Model):
    """An invoice in a batch, and what became of it."""

    batch = models.ForeignKey(InvoiceBatch, on_delete=models.CASCADE, related_name="rows")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=7, choices=BatchState, default=BatchState.WAITING)
    note = models.TextField(blank=True, help_text="Why it was left as it was.")

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        indexes = (models.Index(fields=["batch", "state", "id"], name="batch_row_by_state"),)
        constraints = (
            one_of("state", BatchState, name="batch_row_state_is_known"),
            models.UniqueConstraint(fields=["batch", "invoice"], name="batch_row_once_per_invoice"),
            exactly_when(Q(state="refused"), ~Q(note=""), name="batch_row_refused_with_reason"),
        )

    def __str__(self) -> str:
        return f"{self.invoice} {self.batch}"
