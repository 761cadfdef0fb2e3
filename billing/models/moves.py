"""Moves of many subscriptions to another plan version: what was previewed, and what became of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from catalog.models import PlanVersion
from config.base.constraints import exactly_when, one_of
from config.base.fields import amount_field
from customers.models import Subscription


class MoveStatus(models.TextChoices):
    PREVIEWING = "previewing", "Working out the preview"
    PREVIEWED = "previewed", "Previewed, nothing changed yet"
    MOVING = "moving", "Moving"
    FINISHED = "finished", "Finished"


class MoveWhen(models.TextChoices):
    BY_FEE = "", "At once for a dearer plan, else at the end of what is paid for"
    IMMEDIATE = "immediate", "At once"
    AT_PERIOD_END = "at_period_end", "At the end of what is paid for"


class Outcome(models.TextChoices):
    WAITING = "waiting", "Not looked at yet"
    PREVIEWED = "previewed", "Can be moved"
    REFUSED = "refused", "Stays"
    MOVED = "moved", "Moved"


class PlanMove(models.Model):
    """One wish to put subscriptions under another version: previewed as a whole, then confirmed (R19)."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    from_version = models.ForeignKey(
        PlanVersion,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="All subscriptions on it. Empty: those that were chosen one by one.",
    )
    to_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    when = models.CharField(max_length=13, choices=MoveWhen, blank=True, default=MoveWhen.BY_FEE)
    status = models.CharField(max_length=10, choices=MoveStatus, default=MoveStatus.PREVIEWING)
    started_by = models.CharField(max_length=255)
    started_at = models.DateTimeField(help_text="The preview counts usage up to here.")
    confirmed_by = models.CharField(max_length=255, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "move to another version"
        verbose_name_plural = "moves to another version"
        default_permissions = ("view", "add")
        permissions = (("confirm_planmove", "Can move subscriptions after their preview"),)
        constraints = (
            one_of("status", MoveStatus, name="move_status_is_known"),
            one_of("when", MoveWhen, name="move_when_is_known"),
            exactly_when(
                Q(status__in=["moving", "finished"]),
                Q(confirmed_at__isnull=False) & ~Q(confirmed_by=""),
                name="move_changes_plans_only_once_confirmed",
            ),
            exactly_when(
                Q(status="finished"),
                Q(finished_at__isnull=False),
                name="move_finished_when_dated",
            ),
            models.CheckConstraint(
                name="move_leads_to_another_version",
                condition=Q(from_version__isnull=True) | ~Q(from_version=F("to_version")),
            ),
        )

    def __str__(self) -> str:
        return f"to {self.to_version}"


class PlanMoveRow(models.Model):
    """A subscription in a move: its next invoice as it is and under the new version, net.

    Both are empty where no invoice is on its way. `terms_seen` tells whether anything but usage
    has changed since the preview.
    """

    move = models.ForeignKey(PlanMove, on_delete=models.CASCADE, related_name="rows")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.WAITING)
    starts_on = models.DateField(
        null=True, blank=True, help_text="The first day under the new version."
    )
    before = amount_field(null=True, blank=True)
    after = amount_field(null=True, blank=True)
    difference = amount_field(null=True, blank=True)
    terms_seen = models.CharField(max_length=64, blank=True)
    note = models.TextField(blank=True, help_text="What goes along, or why it stays.")

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        indexes = (models.Index(fields=["move", "outcome", "id"], name="move_row_by_outcome"),)
        constraints = (
            one_of("outcome", Outcome, name="move_row_outcome_is_known"),
            models.UniqueConstraint(
                fields=["move", "subscription"], name="move_row_once_per_subscription"
            ),
            models.CheckConstraint(
                name="move_row_moves_only_as_previewed",
                condition=~Q(outcome__in=["previewed", "moved"])
                | Q(starts_on__isnull=False) & ~Q(terms_seen=""),
            ),
            models.CheckConstraint(
                name="move_row_refused_with_its_reason",
                condition=~Q(outcome="refused") | ~Q(note=""),
            ),
            models.CheckConstraint(
                name="move_row_has_both_figures_or_none",
                condition=Q(before__isnull=True, after__isnull=True, difference__isnull=True)
                | Q(before__isnull=False, after__isnull=False, difference__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.subscription} {self.move}"
