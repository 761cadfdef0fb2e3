"""Disputes of invoices, and reminders of what is overdue."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from billing.models.invoices import Invoice
from billing.models.money import OpenItem
from config.base.constraints import exactly_when, never_negative
from config.base.fields import amount_field
from customers.models import Customer, Issuer

LEVELS = (1, 2, 3)


class Dispute(models.Model):
    """What a customer questions of an invoice, until it is closed (R25); nobody is reminded of that part."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    item = models.ForeignKey(OpenItem, on_delete=models.PROTECT, related_name="disputes")
    amount = amount_field()
    reason = models.TextField()
    opened_on = models.DateField()
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=255)
    by_customer = models.BooleanField(default=False, help_text="Opened in the portal.")
    closed_on = models.DateField(null=True, blank=True)
    closed_because = models.TextField(blank=True, default="")
    closed_by = models.CharField(max_length=255, blank=True, default="")

    CLOSING = ("closed_on", "closed_because", "closed_by")

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view", "add")
        permissions = (("close_dispute", "Can close disputes"),)
        constraints = (
            models.CheckConstraint(name="dispute_of_something", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="dispute_with_a_reason", condition=~Q(reason="")),
            exactly_when(
                Q(closed_on__isnull=False),
                ~Q(closed_because=""),
                name="dispute_closed_exactly_with_a_reason",
            ),
            models.CheckConstraint(
                name="dispute_closed_not_before_it_was_opened",
                condition=Q(closed_on=None) | Q(closed_on__gte=F("opened_on")),
            ),
            models.UniqueConstraint(
                fields=["item"], condition=Q(closed_on=None), name="dispute_open_once_per_invoice"
            ),
        )

    def __str__(self) -> str:
        return f"Dispute of {self.opened_on}"


class Reminder(models.Model):
    """One letter to a customer about all that one issuer asks of it in one currency, on one day.

    `level` is the highest of its rows', and says how firm the letter is.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="reminders")
    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="reminders")
    currency = models.CharField(max_length=3)
    level = models.PositiveSmallIntegerField()
    not_set_off = amount_field(
        default=0, help_text="What lay on the account that no invoice had taken; it came off."
    )
    to_pay = amount_field(
        null=True,
        blank=True,
        help_text="What it asked for in all, of invoices too that reached no level; empty: not noted.",
    )
    made_on = models.DateField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=255)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (("send_reminder", "Can send reminders before their time comes by itself"),)
        constraints = (
            models.CheckConstraint(
                name="reminder_level_is_known", condition=Q(level__gte=1, level__lte=3)
            ),
            never_negative("not_set_off", name="reminder_takes_off_what_is_there"),
            models.CheckConstraint(
                name="reminder_leaves_something_to_pay", condition=Q(to_pay=None) | Q(to_pay__gt=0)
            ),
        )

    def __str__(self) -> str:
        return f"Reminder {self.level} of {self.made_on}"


class ReminderRow(models.Model):
    """An invoice that reached a level, with what was asked of it then; each level once."""

    reminder = models.ForeignKey(Reminder, on_delete=models.PROTECT, related_name="rows")
    item = models.ForeignKey(OpenItem, on_delete=models.PROTECT, related_name="reminder_rows")
    level = models.PositiveSmallIntegerField()
    asked = amount_field()
    disputed = amount_field(default=0)

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (
            models.CheckConstraint(
                name="reminder_row_level_is_known", condition=Q(level__gte=1, level__lte=3)
            ),
            models.CheckConstraint(name="reminder_asks_for_something", condition=Q(asked__gt=0)),
            never_negative("disputed", name="reminder_disputed_part_is_positive"),
            models.UniqueConstraint(
                fields=["item", "level"], name="reminder_once_per_invoice_and_level"
            ),
        )

    def __str__(self) -> str:
        return f"Level {self.level}"


class ReminderStop(models.Model):
    """Why a customer, or an invoice, is not reminded, until that is ended."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, related_name="reminder_stops"
    )
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="reminder_stops"
    )
    reason = models.TextField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=255)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=255, blank=True, default="")

    ENDING = ("ended_at", "ended_by")

    class Meta:
        verbose_name = "stop of reminders"
        verbose_name_plural = "stops of reminders"
        ordering = ("-id",)
        default_permissions = ("view", "add", "change")
        constraints = (
            exactly_when(
                Q(customer__isnull=False),
                Q(invoice__isnull=True),
                name="reminder_stop_of_a_customer_or_an_invoice",
            ),
            models.CheckConstraint(name="reminder_stop_with_a_reason", condition=~Q(reason="")),
            models.UniqueConstraint(
                fields=["customer"],
                condition=Q(ended_at=None, customer__isnull=False),
                name="reminder_stop_once_per_customer",
            ),
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(ended_at=None, invoice__isnull=False),
                name="reminder_stop_once_per_invoice",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customer or self.invoice}: {self.reason[:50]}"
