"""Credit notes: what takes back some of an issued invoice, or all of it (R32)."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Round

from billing.models.invoices import Invoice, InvoiceLine, TaxCategory
from billing.querysets import CreditNoteQuerySet
from config.base.constraints import never_negative, one_of
from config.base.fields import ExactDecimalField, amount_field, quantity_field
from customers.models import Issuer


def _within(credited: str, **condition: Any) -> Q:
    """Return the condition that what is credited is within what can be, and has its sign."""
    so_far = Round(F(credited) + F("credited_before"), precision=4)
    more = Q(**{f"{credited}__gt": 0}, credited_before__gte=0, creditable__gte=so_far)
    less = Q(**{f"{credited}__lt": 0}, credited_before__lte=0, creditable__lte=so_far)
    return Q(**condition) & (more | less)


class CreditNote(models.Model):
    """What was taken back of an invoice by one document, frozen as it is made (R27, R28).

    Amounts are positive: what the customer owes less. They are used up in this order: what was
    open, what was written off, and then what was paid, which is the customer's again: as deposits,
    as balance, or paid back. `line_count` and `tax_count` close it: nothing can be added later.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    issued_with = models.ForeignKey(
        Invoice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="notes_beside",
        help_text="The invoice that its lines left, as that would have been below zero (R32a).",
    )
    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="credit_notes")
    kind = models.CharField(max_length=10, default="CN", editable=False)
    series = models.CharField(max_length=20, blank=True, default="", editable=False)
    year = models.PositiveSmallIntegerField()
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=50)
    issued_at = models.DateTimeField()
    issued_by = models.CharField(max_length=255)
    issue_date = models.DateField()
    reason = models.TextField(help_text="Printed on the document.")
    seller = models.JSONField()
    buyer = models.JSONField()
    tax_in_books = models.JSONField(
        default=dict,
        blank=True,
        help_text="Its tax in the currency of the seller's books, at the invoice's rate.",
    )
    net_total = amount_field()
    tax_total = amount_field()
    total = amount_field()
    off_open = amount_field(help_text="Taken off what was open of the invoice.")
    off_written_off = amount_field(help_text="Taken off what was written off of it.")
    to_deposits = amount_field(help_text="Paid from deposits, and left of them again.")
    to_balance = amount_field(help_text="Paid, and the customer's balance now.")
    refunded = amount_field(help_text="Paid, and paid back with it.")
    line_count = models.PositiveIntegerField()
    tax_count = models.PositiveIntegerField()
    portal_url = models.URLField(max_length=500, blank=True)
    template_version = models.PositiveSmallIntegerField()

    objects = CreditNoteQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view", "add")
        indexes = (
            models.Index(fields=["sequence", "year"], name="credit_note_by_number"),
            models.Index(fields=["issue_date"], name="credit_note_by_issue_date"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["issuer", "kind", "series", "year", "sequence"],
                name="credit_note_number_once_per_series",
            ),
            models.CheckConstraint(name="credit_note_with_a_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="credit_note_of_something", condition=Q(total__gt=0)),
            models.CheckConstraint(
                name="credit_note_total_is_net_and_tax",
                condition=Q(total=Round(F("net_total") + F("tax_total"), precision=4)),
            ),
            never_negative(
                "off_open",
                "off_written_off",
                "to_deposits",
                "to_balance",
                "refunded",
                name="credit_note_uses_are_positive",
            ),
            models.CheckConstraint(
                name="credit_note_is_used_whole",
                condition=Q(
                    total=Round(
                        F("off_open")
                        + F("off_written_off")
                        + F("to_deposits")
                        + F("to_balance")
                        + F("refunded"),
                        precision=4,
                    )
                ),
            ),
        )

    def __str__(self) -> str:
        return self.number

    @property
    def currency(self) -> str:
        """The invoice's; load that with it."""
        return self.invoice.currency


class CreditNoteLine(models.Model):
    """What a credit note takes back of one line, after its share of coupons.

    Of a line that is itself negative, a negative amount. `creditable` is what the line came to
    after coupons, `credited_before` what earlier notes took of it: as no two notes can state the
    same, two people never credit the same money.
    """

    note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="credited_by")
    settles = models.ForeignKey(
        InvoiceLine,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="settled_by",
        help_text="The credit that left an invoice, which this gives (R32a).",
    )
    quantity = quantity_field(
        null=True, help_text="The units that were credited; empty: an amount was."
    )
    net = amount_field()
    gross = amount_field(
        null=True, blank=True, help_text="With tax, where the invoice's prices include it."
    )
    creditable = amount_field(help_text="As the line is priced: net, or with tax.")
    credited_before = amount_field(help_text="As the line is priced, too.")

    class Meta:
        ordering = ("note_id", "position")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=["note", "position"], name="credit_line_position_once_per_note"
            ),
            models.UniqueConstraint(
                fields=["line", "credited_before"], name="credit_line_takes_up_where_the_last_ended"
            ),
            models.CheckConstraint(
                name="credit_line_never_beyond_its_line",
                condition=_within("net", gross=None)
                | _within("gross", gross__isnull=False, net__gte=0, net__lte=F("gross"))
                | _within("gross", gross__isnull=False, net__lte=0, net__gte=F("gross")),
            ),
            models.CheckConstraint(
                name="credit_line_of_some_units", condition=Q(quantity=None) | Q(quantity__gt=0)
            ),
        )

    def __str__(self) -> str:
        return f"Credit of {self.line}"

    @property
    def priced(self) -> Decimal:
        """What is credited as the line is priced: net, or with tax where prices include it."""
        priced: Decimal = self.net if self.gross is None else self.gross
        return priced


class CreditNoteTax(models.Model):
    """The tax that a credit note takes back of one category and rate (R29, R32)."""

    note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="taxes")
    position = models.PositiveIntegerField()
    category = models.CharField(max_length=2, choices=TaxCategory)
    rate = ExactDecimalField(max_digits=7, decimal_places=4)
    base = amount_field()
    amount = amount_field()
    reason = models.CharField(max_length=200, blank=True)
    rate_category = models.CharField(max_length=20, blank=True)
    country = models.CharField(max_length=2, blank=True)

    class Meta:
        ordering = ("note_id", "position")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=["note", "position"], name="credit_tax_position_once_per_note"
            ),
            models.UniqueConstraint(
                fields=["note", "category", "rate"], name="credit_tax_once_per_category_and_rate"
            ),
            one_of("category", TaxCategory, name="credit_tax_category_is_known"),
            models.CheckConstraint(
                name="credit_tax_only_where_it_is_due",
                condition=Q(category="S") | Q(amount=0, rate=0),
            ),
        )

    def __str__(self) -> str:
        return f"{self.category} {self.rate} %"


class CreditNoteDocument(models.Model):
    """The bytes of a credit note, named by their SHA-256; written once (R28)."""

    note = models.OneToOneField(CreditNote, on_delete=models.PROTECT, related_name="document")
    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.sha256
