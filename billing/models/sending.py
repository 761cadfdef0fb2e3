"""What is sent to customers by e-mail, and what became of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from billing.models.credits import CreditNote
from billing.models.invoices import Invoice
from billing.models.reminding import Reminder
from billing.querysets import DeliveryQuerySet
from config.base.constraints import exactly_when, one_of
from customers.models import Customer


class DeliveryKind(models.TextChoices):
    INVOICE = "invoice", "Invoice"
    REMINDER = "reminder", "Reminder"
    CREDIT_NOTE = "credit_note", "Credit note"


class DeliveryStatus(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"
    UNSENT = "unsent", "Not sent"


class Unsent(models.TextChoices):
    """Why a mail did not go, or may not have arrived."""

    NO_ADDRESS = "no_address", "the customer has no address for invoices"
    NOT_WANTED = "not_wanted", "the customer gets invoices in another way"
    VOID = "void", "the invoice was voided before"
    CREDITED = "credited", "all of the invoice was credited before"
    SETTLED = "settled", "nothing was to be asked any more"
    REFUSED = "refused", "the mail server refused it"
    GIVEN_UP = "given_up", "every attempt failed"
    INTERRUPTED = "interrupted", "sending it was interrupted twice; it may have arrived"


FAILURES = (Unsent.REFUSED, Unsent.GIVEN_UP, Unsent.INTERRUPTED)


class Delivery(models.Model):
    """One mail to one address, asked for once; sent again, it is another one.

    `begun_at`: since when it may be with the mail server. Set before it is handed over and taken
    back where the server refused it, so that a worker killed in between leaves it standing.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=11, choices=DeliveryKind, default=DeliveryKind.INVOICE)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="deliveries")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    reminder = models.ForeignKey(
        Reminder, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    note = models.ForeignKey(
        CreditNote,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name="credit note",
    )
    address = models.EmailField(blank=True)
    status = models.CharField(max_length=7, choices=DeliveryStatus, default=DeliveryStatus.WAITING)
    why = models.CharField("why not", max_length=11, choices=Unsent, blank=True, default="")
    said = models.TextField(
        blank=True, default="", help_text="What the mail server or the machine said last."
    )
    at_issue = models.BooleanField(default=False, help_text="Sent by itself, as it was issued.")
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=255)
    begun_at = models.DateTimeField(null=True, blank=True)
    interruptions = models.PositiveSmallIntegerField(default=0)
    settled_at = models.DateTimeField(null=True, blank=True)
    message_id = models.CharField("Message-ID", max_length=320, blank=True, default="")
    subject = models.CharField(max_length=500, blank=True, default="")
    answer = models.TextField(
        blank=True, default="", help_text="What was done about a mail that did not go."
    )

    objects = DeliveryQuerySet.as_manager()

    ASKED = (
        "uuid",
        "kind",
        "customer",
        "invoice",
        "reminder",
        "note",
        "address",
        "at_issue",
        "asked_at",
        "asked_by",
    )
    """What never changes."""

    class Meta:
        verbose_name = "mail"
        verbose_name_plural = "mails"
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (("answer_delivery", "Can say what was done about mails that did not go"),)
        indexes = (
            models.Index(
                fields=["why"],
                name="delivery_to_look_at",
                condition=Q(status__in=["failed", "unsent"], answer=""),
            ),
        )
        constraints = (
            one_of("kind", DeliveryKind, name="delivery_kind_is_known"),
            one_of("status", DeliveryStatus, name="delivery_status_is_known"),
            one_of("why", Unsent, name="delivery_reason_is_known", blank=True),
            exactly_when(
                Q(kind="invoice"), Q(invoice__isnull=False), name="delivery_of_an_invoice_names_it"
            ),
            exactly_when(
                Q(kind="reminder"),
                Q(reminder__isnull=False),
                name="delivery_of_a_reminder_names_it",
            ),
            exactly_when(
                Q(kind="credit_note"),
                Q(note__isnull=False),
                name="delivery_of_a_credit_note_names_it",
            ),
            models.UniqueConstraint(
                fields=["reminder", "address"],
                condition=Q(reminder__isnull=False),
                name="delivery_once_per_reminder_and_address",
            ),
            exactly_when(
                Q(status="waiting"),
                Q(settled_at__isnull=True),
                name="delivery_waits_exactly_until_it_is_settled",
            ),
            exactly_when(
                Q(status__in=["failed", "unsent"]),
                ~Q(why=""),
                name="delivery_not_made_exactly_with_a_reason",
            ),
            models.CheckConstraint(
                name="delivery_has_an_address_unless_there_is_none",
                condition=Q(status="unsent") | ~Q(address=""),
            ),
            models.CheckConstraint(
                name="delivery_sent_only_once_begun",
                condition=~Q(status="sent") | Q(begun_at__isnull=False),
            ),
            models.CheckConstraint(
                name="delivery_unsent_was_never_begun",
                condition=~Q(status="unsent") | Q(begun_at=None),
            ),
            models.CheckConstraint(
                name="delivery_answered_only_if_it_did_not_go",
                condition=Q(answer="") | Q(status__in=["failed", "unsent"]),
            ),
            models.UniqueConstraint(
                fields=["invoice", "address"],
                condition=Q(at_issue=True),
                name="delivery_at_issue_once_per_address",
            ),
            models.UniqueConstraint(
                fields=["invoice", "address"],
                condition=Q(status="waiting"),
                name="delivery_waits_once_per_address",
            ),
            models.UniqueConstraint(
                fields=["note", "address"],
                condition=Q(at_issue=True),
                name="delivery_at_issue_once_per_note_and_address",
            ),
            models.UniqueConstraint(
                fields=["note", "address"],
                condition=Q(status="waiting"),
                name="delivery_waits_once_per_note_and_address",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.address or 'nobody'}"
