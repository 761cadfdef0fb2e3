"""What is owed and what was received: open items, payments, allocations, refunds, write-offs.

All of it is dated where the issuer is, so that it can be told as of any day; nothing is edited:
what was wrong is reversed or released, and says when. Amounts are in the invoice's or payment's
currency.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Round

from billing.models.invoices import Invoice
from billing.querysets import OpenItemQuerySet, PaymentQuerySet
from config.base.constraints import exactly_when, never_negative, one_of
from config.base.fields import amount_field
from customers.models import Customer


class PaymentStatus(models.TextChoices):
    """How far an issued invoice is paid; derived, never stored (R25)."""

    UNPAID = "unpaid", "Unpaid"
    PART_PAID = "part_paid", "Part-paid"
    PAID = "paid", "Paid"
    OVERPAID = "overpaid", "Overpaid"


class PaymentKind(models.TextChoices):
    PAYMENT = "payment", "Payment"
    DEPOSIT = "deposit", "Deposit"


class PaymentMethod(models.TextChoices):
    BANK_TRANSFER = "bank_transfer", "Bank transfer"
    DIRECT_DEBIT = "direct_debit", "Direct debit"
    CARD = "card", "Card"
    CASH = "cash", "Cash"
    CHEQUE = "cheque", "Cheque"
    OTHER = "other", "Other"
    CREDIT = "credit", "Credit"


def what_is_left(whole: str, *parts: str, unless: str) -> models.GeneratedField:
    """Return a column that the database computes: `whole` less its parts, 0 once `unless` is dated.

    SQLite subtracts floats; rounded, the difference is the number that was meant.
    """
    left: Combinable = F(whole)
    for part in parts:
        left = left - F(part)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    return models.GeneratedField(
        expression=Case(
            When(**{f"{unless}__isnull": True}, then=Round(left, precision=4)),
            default=Value(0),
            output_field=amount,
        ),
        output_field=amount,
        db_persist=True,
    )


class OpenItem(models.Model):
    """What is still to pay of an issued invoice: the row that is locked to settle any of it.

    Made when the invoice is issued. `credited`, `paid` and `written_off` are the sums of what
    settles it now; the database keeps them within the total. `open` is what they leave, 0 once the
    invoice is void.
    """

    invoice = models.OneToOneField(
        Invoice, on_delete=models.PROTECT, primary_key=True, related_name="open_item"
    )
    total = amount_field()
    credited = amount_field(default=0)
    paid = amount_field(default=0)
    written_off = amount_field(default=0)
    voided_on = models.DateField(null=True, blank=True)
    balance_before = amount_field(
        default=0, help_text="What the customer owed before `received_before`, deposits apart."
    )
    received_before = amount_field(
        default=0, help_text="Payments since the invoice before, when it was issued."
    )
    open = what_is_left("total", "credited", "paid", "written_off", unless="voided_on")

    objects = OpenItemQuerySet.as_manager()

    class Meta:
        ordering = ("invoice_id",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["invoice"], name="open_item_to_pay", condition=Q(open__gt=0)),
        )
        constraints = (
            never_negative("credited", "paid", "written_off", name="open_item_parts_are_positive"),
            models.CheckConstraint(
                name="open_item_never_settled_beyond_its_total",
                condition=Q(
                    total__gte=Round(F("credited") + F("paid") + F("written_off"), precision=4)
                ),
            ),
            models.CheckConstraint(
                name="open_item_of_a_void_invoice_is_settled_by_nothing",
                condition=Q(voided_on=None) | Q(credited=0, paid=0, written_off=0),
            ),
        )

    def __str__(self) -> str:
        return f"Open item {self.pk}"


class Payment(models.Model):
    """Money a customer paid us. A deposit is money for later invoices (R35).

    Also, by the method `credit`, what an invoice owes the customer that could not be credited of
    those that it names: `left_of` is that invoice (R32a).

    `available` is what no invoice has taken and was not paid back: the customer's balance, or what
    is left of the deposit.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payments")
    kind = models.CharField(max_length=8, choices=PaymentKind, default=PaymentKind.PAYMENT)
    currency = models.CharField(max_length=3)
    amount = amount_field()
    received_on = models.DateField(help_text="The day it was on our account.")
    method = models.CharField(
        max_length=13, choices=PaymentMethod, default=PaymentMethod.BANK_TRANSFER
    )
    reference = models.CharField(
        max_length=200, blank=True, help_text="What the customer wrote, such as an invoice number."
    )
    max_per_invoice = amount_field(
        null=True,
        blank=True,
        help_text="Of a deposit: how much of it an invoice takes at most. Empty: all it needs.",
    )
    bank_key = models.CharField(  # noqa: DJ001 - not from a bank is not a key
        max_length=200,
        null=True,
        blank=True,
        unique=True,
        help_text="What names it on a bank's statement, so that no second import records it again.",
    )
    left_of = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="left_as_balance",
        help_text="The invoice of which no credit note could give it.",
    )
    allocated = amount_field(default=0, editable=False)
    refunded = amount_field(default=0, editable=False)
    recorded_at = models.DateTimeField()
    recorded_by = models.CharField(max_length=255)
    reversed_on = models.DateField(null=True, blank=True)
    reversed_because = models.TextField(blank=True, default="")
    available = what_is_left("amount", "allocated", "refunded", unless="reversed_on")

    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ("-received_on", "-id")
        default_permissions = ("view", "add")
        permissions = (
            ("allocate_payment", "Can say what a payment pays, and take that back"),
            ("reverse_payment", "Can reverse payments"),
            ("refund_payment", "Can refund what is left of payments"),
        )
        indexes = (
            models.Index(fields=["customer", "-received_on"], name="payment_by_customer"),
            models.Index(
                fields=["customer", "currency"],
                name="payment_with_a_rest",
                condition=Q(available__gt=0),
            ),
        )
        constraints = (
            one_of("kind", PaymentKind, name="payment_kind_is_known"),
            one_of("method", PaymentMethod, name="payment_method_is_known"),
            models.CheckConstraint(
                name="payment_of_something",
                condition=Q(amount__gt=0),
                violation_error_message="Enter more than 0; what you pay back is a refund.",
            ),
            never_negative("allocated", "refunded", name="payment_parts_are_positive"),
            models.CheckConstraint(
                name="payment_never_used_beyond_its_amount",
                condition=Q(amount__gte=Round(F("allocated") + F("refunded"), precision=4)),
            ),
            models.CheckConstraint(
                name="payment_is_used_or_reversed_not_both",
                condition=Q(reversed_on=None) | Q(allocated=0, refunded=0),
            ),
            exactly_when(
                Q(reversed_on__isnull=False),
                ~Q(reversed_because=""),
                name="payment_reversed_exactly_with_a_reason",
            ),
            exactly_when(
                Q(method="credit"), Q(left_of__isnull=False), name="payment_by_credit_names_why"
            ),
            models.UniqueConstraint(
                fields=["left_of", "customer"],
                condition=Q(left_of__isnull=False),
                name="payment_by_credit_once_per_invoice",
            ),
            models.CheckConstraint(
                name="payment_limited_per_invoice_only_as_a_deposit",
                condition=Q(max_per_invoice=None) | Q(kind="deposit", max_per_invoice__gt=0),
                violation_error_message="Only a deposit has a limit per invoice, above 0.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.received_on}"


class Allocation(models.Model):
    """A part of a payment that pays an invoice, until it is released.

    `at_issue`: taken by itself when the invoice was issued, which then says so, with what there
    was before of the payment (R35).
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    item = models.ForeignKey(OpenItem, on_delete=models.PROTECT, related_name="allocations")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="allocations")
    amount = amount_field()
    allocated_on = models.DateField()
    released_on = models.DateField(null=True, blank=True)
    at_issue = models.BooleanField(default=False)
    available_before = amount_field(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)
        constraints = (
            models.CheckConstraint(name="allocation_of_something", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="allocation_released_not_before_it_was_made",
                condition=Q(released_on=None) | Q(released_on__gte=F("allocated_on")),
            ),
            exactly_when(
                Q(at_issue=True),
                Q(available_before__isnull=False),
                name="allocation_at_issue_says_what_there_was",
            ),
        )

    def __str__(self) -> str:
        return f"Allocation {self.pk}"


class Refund(models.Model):
    """Money paid back out of what was left of a payment."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = amount_field()
    refunded_on = models.DateField()
    reference = models.CharField(max_length=200, blank=True)
    recorded_at = models.DateTimeField()
    recorded_by = models.CharField(max_length=255)
    reversed_on = models.DateField(null=True, blank=True)
    reversed_because = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-refunded_on", "-id")
        default_permissions = ("view",)
        constraints = (
            models.CheckConstraint(name="refund_of_something", condition=Q(amount__gt=0)),
            exactly_when(
                Q(reversed_on__isnull=False),
                ~Q(reversed_because=""),
                name="refund_reversed_exactly_with_a_reason",
            ),
        )

    def __str__(self) -> str:
        return f"Refund of {self.refunded_on}"


class WriteOff(models.Model):
    """What is not expected to be paid any more of an invoice, and why."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    item = models.ForeignKey(OpenItem, on_delete=models.PROTECT, related_name="write_offs")
    amount = amount_field()
    written_off_on = models.DateField()
    reason = models.TextField()
    recorded_at = models.DateTimeField()
    recorded_by = models.CharField(max_length=255)
    reversed_on = models.DateField(null=True, blank=True)
    reversed_because = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "write-off"
        ordering = ("-written_off_on", "-id")
        default_permissions = ("view", "add")
        permissions = (("reverse_writeoff", "Can take write-offs back"),)
        constraints = (
            models.CheckConstraint(name="write_off_of_something", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="write_off_with_a_reason", condition=~Q(reason="")),
            exactly_when(
                Q(reversed_on__isnull=False),
                ~Q(reversed_because=""),
                name="write_off_reversed_exactly_with_a_reason",
            ),
        )

    def __str__(self) -> str:
        return f"Write-off of {self.written_off_on}"


class StatementFormat(models.TextChoices):
    CSV = "csv", "CSV"
    CAMT = "camt", "ISO 20022 camt.053"


class BankImport(models.Model):
    """A bank's statement as it was uploaded, and how its columns are read.

    Its lines are read from `content` each time; what was taken of them are payments, each named by
    its line, so that the same line is never taken twice. `heads` names the columns, so that the
    next file that has the same is read in the same way.
    """

    name = models.CharField(max_length=200)
    format = models.CharField(max_length=4, choices=StatementFormat)
    content = models.BinaryField()
    heads = models.TextField(blank=True, default="")
    mapping = models.JSONField(null=True, blank=True)
    uploaded_at = models.DateTimeField()
    uploaded_by = models.CharField(max_length=255)
    taken = models.PositiveIntegerField(default=0, help_text="Payments recorded from it.")

    class Meta:
        verbose_name = "bank statement"
        ordering = ("-id",)
        default_permissions = ("view", "add")
        constraints = (one_of("format", StatementFormat, name="bank_import_format_is_known"),)

    def __str__(self) -> str:
        return self.name
