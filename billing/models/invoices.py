"""Invoices with their lines, taxes and documents, and the counters that number them."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Round

from billing.models.periods import BillingPeriod, BillingRun, UsageSnapshot
from billing.querysets import InvoiceQuerySet
from catalog.models import Price, RateCategory, ValueMetric
from config.base.constraints import exactly_when, never_negative, one_of
from config.base.fields import ExactDecimalField, amount_field, quantity_field
from customers.models import AppliedCoupon, Customer, Issuer, Subscription


class InvoiceStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    REVIEW = "review", "In review"
    ISSUED = "issued", "Issued"
    VOID = "void", "Void"
    CREDITED = "credited", "Credited, and billed anew"
    SETTLED = "settled", "Settled by credit notes"
    DISCARDED = "discarded", "Discarded"


TEMPLATE_VERSION = 1  # of the layout that invoices issued now are rendered with (R28)
UNISSUED = (InvoiceStatus.DRAFT, InvoiceStatus.REVIEW)
NUMBERED = (InvoiceStatus.ISSUED, InvoiceStatus.VOID, InvoiceStatus.CREDITED)
KEPT = (InvoiceStatus.ISSUED, InvoiceStatus.CREDITED)
"""Whose document stays as it was issued."""
UNDONE = (InvoiceStatus.VOID, InvoiceStatus.CREDITED, InvoiceStatus.DISCARDED)
"""What bills nothing any more: all of it may be billed anew."""
FINAL = (InvoiceStatus.ISSUED, InvoiceStatus.SETTLED)
"""Whose credits are given: on the invoice itself, or by the credit notes that it was issued with."""


class LineKind(models.TextChoices):
    FEE = "fee", "Fee"
    USAGE = "usage", "Usage"
    MINIMUM = "minimum", "Minimum charge"
    COMMITMENT = "commitment", "Minimum commitment"
    CREDIT = "credit", "Credit of an unused fee"
    ADD_ON = "add_on", "Add-on"
    LATE = "late", "Late usage"


class TaxCategory(models.TextChoices):
    """EN 16931's codes (UNTDID 5305)."""

    STANDARD = "S", "Standard rate"
    ZERO = "Z", "Zero rate"
    REVERSE_CHARGE = "AE", "Reverse charge"
    EXEMPT = "E", "Exempt"
    OUT_OF_SCOPE = "O", "Out of scope of tax"


class Recognition(models.TextChoices):
    """How a line's amount is earned (R37)."""

    OVER_TIME = "over_time", "Evenly over its service period"
    AS_USED = "as_used", "As it was used"
    AT_ONCE = "at_once", "At once"


PRICED = Coalesce("gross", "net")
"""What lines are priced at, in a query: `InvoiceLine.priced`."""


class DocumentSequence(models.Model):
    """The next number of one issuer's series in one year; locked while it is spent (R27)."""

    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="sequences")
    kind = models.CharField(max_length=10, default="INV")
    series = models.CharField(max_length=20, blank=True, default="")
    year = models.PositiveSmallIntegerField()
    next_number = models.PositiveIntegerField(default=1)
    last_issue_date = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ("issuer_id", "kind", "series", "year")
        constraints = (
            models.UniqueConstraint(
                fields=["issuer", "kind", "series", "year"], name="sequence_once_per_year"
            ),
            models.CheckConstraint(
                name="sequence_counts_from_one", condition=Q(next_number__gte=1)
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind}-{self.year}"


class Invoice(models.Model):
    """What a customer owes for one close, frozen once issued (R25, R28).

    `seller` and `buyer` are the parties as they were when it was issued; until then they follow
    the rows they are read from.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="invoices")
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="invoices", help_text="The buyer (R37)."
    )
    run = models.ForeignKey(
        BillingRun, on_delete=models.PROTECT, null=True, blank=True, related_name="invoices"
    )
    status = models.CharField(
        max_length=10, choices=InvoiceStatus, default=InvoiceStatus.DRAFT, editable=False
    )
    kind = models.CharField(max_length=10, default="INV", editable=False)
    series = models.CharField(max_length=20, blank=True, default="", editable=False)
    year = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    sequence = models.PositiveIntegerField(null=True, blank=True, editable=False)
    number = models.CharField(max_length=50, null=True, blank=True, editable=False)  # noqa: DJ001 - no number is not a number
    currency = models.CharField(max_length=3)
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    tax_in_books = models.JSONField(
        default=dict,
        help_text="The tax in the currency of the seller's books, with the rate; empty: the same "
        "currency, or no tax.",
    )
    likeness = models.CharField(
        max_length=64,
        default="",
        editable=False,
        help_text="The same for invoices whose amounts can be compared, as `billing.likeness` has it.",
    )
    prices_include_tax = models.BooleanField(
        default=False,
        editable=False,
        help_text="Its lines are priced with tax, which is split off them (R29).",
    )
    net_total = amount_field()
    tax_total = amount_field()
    total = amount_field()
    credited_beside = amount_field(
        default=0,
        editable=False,
        help_text="Before tax: what left it for credit notes against earlier invoices, as its total "
        "would have been below zero (R32a).",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    auto_issue_at = models.DateTimeField(
        null=True, blank=True, help_text="Issued by itself from here on. Empty: by a person (R26)."
    )
    issued_at = models.DateTimeField(null=True, blank=True, editable=False)
    issue_date = models.DateField(null=True, blank=True, editable=False)
    due_date = models.DateField(null=True, blank=True, editable=False)
    template_version = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    voided_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it ceased to bill anything: void, or credited to be billed anew.",
    )
    discarded_at = models.DateTimeField(null=True, blank=True, editable=False)
    reason = models.TextField(
        blank=True, help_text="Why it is held for review, or was voided or discarded."
    )
    group_key = models.CharField(
        max_length=100,
        blank=True,
        default="",
        editable=False,
        help_text="What other subscriptions need to have in common with it to join the draft (R37).",
    )
    sections = models.JSONField(
        default=list,
        editable=False,
        help_text="Of a draft that others may join: its subscriptions, as they were called then.",
    )

    payment_status: str | None
    """A PaymentStatus, told by the querysets that load it `with_payment`."""

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (
            ("hold_invoice", "Can hold invoices for review and release them"),
            ("recalculate_invoice", "Can recalculate invoices"),
            ("discard_invoice", "Can discard drafts, to be billed anew"),
            ("issue_invoice", "Can issue invoices"),
            ("void_invoice", "Can void invoices"),
            ("send_invoice", "Can send invoices by e-mail"),
            ("waive_invoice", "Can waive what a discarded or void invoice charged"),
        )
        indexes = (
            models.Index(fields=["customer", "-id"], name="invoice_by_customer"),
            models.Index(
                fields=["status", "auto_issue_at"],
                name="invoice_not_issued_yet",
                condition=Q(status__in=UNISSUED),
            ),
            models.Index(fields=["sequence", "year"], name="invoice_by_number"),
            models.Index(fields=["issue_date"], name="invoice_by_issue_date"),
            models.Index(fields=["due_date"], name="invoice_by_due_date"),
        )
        constraints = (
            one_of("status", InvoiceStatus, name="invoice_status_is_known"),
            models.UniqueConstraint(
                fields=["issuer", "kind", "series", "year", "sequence"],
                name="invoice_number_once_per_series",
            ),
            models.UniqueConstraint(
                fields=["group_key"],
                condition=Q(status="draft") & ~Q(group_key=""),
                name="invoice_one_draft_per_group",
            ),
            exactly_when(
                Q(status__in=NUMBERED),
                Q(
                    number__isnull=False,
                    sequence__isnull=False,
                    year__isnull=False,
                    issued_at__isnull=False,
                    issue_date__isnull=False,
                    due_date__isnull=False,
                    template_version__isnull=False,
                ),
                name="invoice_numbered_exactly_when_issued",
            ),
            models.CheckConstraint(
                name="invoice_unissued_has_no_number_or_date",
                condition=Q(status__in=NUMBERED)
                | Q(number=None, sequence=None, year=None, issue_date=None, due_date=None),
            ),
            exactly_when(
                Q(status__in=["void", "credited"]),
                Q(voided_at__isnull=False),
                name="invoice_void_exactly_when_dated",
            ),
            exactly_when(
                Q(status="discarded"),
                Q(discarded_at__isnull=False),
                name="invoice_discarded_exactly_when_dated",
            ),
            models.CheckConstraint(
                name="invoice_void_or_discarded_with_a_reason",
                condition=~Q(status__in=["void", "credited", "discarded"]) | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="invoice_due_not_before_issue",
                condition=Q(due_date__isnull=True) | Q(due_date__gte=F("issue_date")),
            ),
            models.CheckConstraint(
                name="invoice_total_is_net_and_tax",
                # SQLite adds floats; rounded, the sum is the number that it stores for the total.
                condition=Q(total=Round(F("net_total") + F("tax_total"), precision=4)),
            ),
            models.CheckConstraint(name="invoice_total_never_negative", condition=Q(total__gte=0)),
            models.CheckConstraint(
                name="invoice_settled_by_credit_notes_over_nothing",
                condition=~Q(status="settled") | Q(total=0, credited_beside__gt=0),
            ),
            never_negative("credited_beside", name="invoice_credited_beside_is_positive"),
        )

    def __str__(self) -> str:
        return self.number or f"{self.get_status_display()} for {self.buyer.get('name', '')}"

    @property
    def is_open(self) -> bool:
        """Whether it can still be issued, redrawn or discarded."""
        return self.status in UNISSUED


class EveryLine(models.Manager["InvoiceLine"]):
    """All lines, also those that left their invoice."""


class StayingLines(models.Manager["InvoiceLine"]):
    """The lines that their invoice is over, without those that left it for credit notes (R32a)."""

    def get_queryset(self) -> models.QuerySet[InvoiceLine]:
        return super().get_queryset().filter(leaves=False)


class InvoiceLine(models.Model):
    """One price, once rounded, with the steps that make its amount (R34).

    Where its invoice's total would be below zero, a credit of what an earlier invoice billed
    `leaves` it: it is settled with it, by a credit note against that invoice (R32a). `objects` and
    an invoice's `lines` are without those, `every` is with them.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=LineKind)
    description = models.CharField(max_length=200)
    subscription = models.ForeignKey(
        Subscription,
        on_delete=models.PROTECT,
        related_name="invoice_lines",
        db_index=False,  # line_by_service begins with it
    )
    period = models.ForeignKey(
        BillingPeriod,
        on_delete=models.PROTECT,
        null=True,
        related_name="lines",
        help_text="An add-on is charged for none, so that no commitment counts it (R16).",
    )
    price = models.ForeignKey(
        Price,
        on_delete=models.PROTECT,
        null=True,
        related_name="invoice_lines",
        help_text="What a plan as a whole is committed to has none, nor has an add-on.",
    )
    sold_add_on = models.ForeignKey(
        "billing.SoldAddOn", on_delete=models.PROTECT, null=True, related_name="lines"
    )
    snapshot = models.ForeignKey(
        UsageSnapshot, on_delete=models.PROTECT, null=True, blank=True, related_name="lines"
    )
    credited = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credits",
        help_text="The line of which this credits what was unused (R21a).",
    )
    service_start = models.DateField()
    service_end = models.DateField(help_text="The first day after the service.")
    quantity = quantity_field()
    unit = models.CharField(max_length=50, blank=True)
    unit_plural = models.CharField(max_length=50, blank=True)
    net = amount_field()
    gross = amount_field(
        null=True, blank=True, help_text="What it is priced at, where prices include tax."
    )
    tax_category = models.CharField(max_length=2, choices=TaxCategory)
    tax_rate = ExactDecimalField(max_digits=7, decimal_places=4)
    rate_category = models.CharField(
        max_length=20,
        choices=RateCategory,
        default=RateCategory.STANDARD,
        help_text="Which of a country’s rates what is sold falls under.",
    )
    recognition = models.CharField(max_length=10, choices=Recognition)
    explanation = models.JSONField()
    leaves = models.BooleanField(
        default=False,
        editable=False,
        help_text="Not part of its invoice’s totals: given by a credit note that is issued with it.",
    )

    objects = StayingLines()
    every = EveryLine()

    class Meta:
        ordering = ("invoice_id", "position")
        indexes = (models.Index(fields=["subscription", "service_start"], name="line_by_service"),)
        constraints = (
            models.UniqueConstraint(
                fields=["invoice", "position"], name="line_position_once_per_invoice"
            ),
            one_of("kind", LineKind, name="line_kind_is_known"),
            one_of("tax_category", TaxCategory, name="line_tax_category_is_known"),
            one_of("rate_category", RateCategory, name="line_rate_category_is_known"),
            one_of("recognition", Recognition, name="line_recognition_is_known"),
            exactly_when(
                Q(kind__in=["usage", "late"]),
                Q(snapshot__isnull=False),
                name="line_of_usage_has_its_snapshot",
            ),
            exactly_when(
                Q(kind__in=["commitment", "add_on"]),
                Q(price__isnull=True),
                name="line_has_a_price_or_needs_none",
            ),
            exactly_when(
                Q(kind="add_on"), Q(period__isnull=True), name="line_has_a_period_or_an_add_on"
            ),
            exactly_when(
                Q(kind="add_on"),
                Q(sold_add_on__isnull=False),
                name="line_of_an_add_on_has_its_sale",
            ),
            models.UniqueConstraint(
                fields=["invoice", "sold_add_on"], name="line_once_per_sold_add_on"
            ),
            exactly_when(
                Q(kind="credit"), Q(credited__isnull=False), name="line_of_credit_names_another"
            ),
            models.CheckConstraint(
                name="line_leaves_only_as_a_credit",
                condition=Q(leaves=False) | Q(net__lt=0, kind__in=["credit", "late", "commitment"]),
            ),
            models.CheckConstraint(
                name="line_service_ends_after_it_starts",
                condition=Q(service_end__gt=F("service_start")),
            ),
            models.CheckConstraint(
                name="line_net_within_its_gross",
                condition=Q(gross=None)
                | Q(net__gte=0, gross__gte=F("net"))
                | Q(net__lte=0, gross__lte=F("net")),
            ),
        )

    def __str__(self) -> str:
        return self.description

    @property
    def priced(self) -> Decimal:
        """What its rows come to: its net, or what includes the tax where prices do."""
        priced: Decimal = self.net if self.gross is None else self.gross
        return priced

    @property
    def metric(self) -> ValueMetric | None:
        """What its price measures, if it does."""
        return self.price.metric if self.price else None

    @property
    def is_late(self) -> bool:
        """Whether it is a difference to what was billed before: of usage, or of the commitment."""
        return "billed" in self.explanation


class InvoiceAllowance(models.Model):
    """What a coupon takes off the lines of one tax category and rate, before tax (R22a, BG-20).

    `net_total` is the sum of the lines less that of the allowances; the lines stay as they are.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="allowances")
    position = models.PositiveIntegerField()
    applied = models.ForeignKey(AppliedCoupon, on_delete=models.PROTECT, related_name="allowances")
    description = models.CharField(max_length=200)
    percent = ExactDecimalField(max_digits=7, decimal_places=4, null=True)
    tax_category = models.CharField(max_length=2, choices=TaxCategory)
    tax_rate = ExactDecimalField(max_digits=7, decimal_places=4)
    amount = amount_field(help_text="Before tax.")
    gross = amount_field(null=True, blank=True, help_text="With tax, where prices include it.")
    shares = models.JSONField(
        help_text="What it takes off each line, by the line's position: amount, and gross as above."
    )

    class Meta:
        ordering = ("invoice_id", "position")
        constraints = (
            models.UniqueConstraint(
                fields=["invoice", "position"], name="allowance_position_once_per_invoice"
            ),
            models.UniqueConstraint(
                fields=["invoice", "applied", "tax_category", "tax_rate"],
                name="allowance_once_per_coupon_and_tax",
            ),
            one_of("tax_category", TaxCategory, name="allowance_tax_category_is_known"),
            models.CheckConstraint(name="allowance_takes_something", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="allowance_net_within_its_gross",
                condition=Q(gross=None) | Q(gross__gte=F("amount")),
            ),
        )

    def __str__(self) -> str:
        return self.description

    @property
    def priced(self) -> Decimal:
        """What it takes off the lines' prices: with tax where these include it."""
        priced: Decimal = self.amount if self.gross is None else self.gross
        return priced


class TaxSubtotal(models.Model):
    """The tax of one category and rate, rounded once on its lines less allowances (R29, BR-CO-17)."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="taxes")
    category = models.CharField(max_length=2, choices=TaxCategory)
    rate = ExactDecimalField(max_digits=7, decimal_places=4)
    base = amount_field()
    amount = amount_field()
    reason = models.CharField(max_length=200, blank=True, help_text="Why no tax is charged.")
    rate_category = models.CharField(max_length=20, choices=RateCategory, blank=True)
    country = models.CharField(
        max_length=2, blank=True, help_text="Whose rate it is. Empty: no country’s."
    )
    basis = models.TextField(blank=True, help_text="Why this tax applies, in words.")

    class Meta:
        ordering = ("invoice_id", "category", "-rate")
        constraints = (
            models.UniqueConstraint(
                fields=["invoice", "category", "rate"], name="tax_once_per_category_and_rate"
            ),
            one_of("category", TaxCategory, name="tax_category_is_known"),
            one_of("rate_category", RateCategory, blank=True, name="tax_rate_of_a_known_category"),
            models.CheckConstraint(
                name="tax_only_where_it_is_due", condition=Q(category="S") | Q(amount=0, rate=0)
            ),
        )

    def __str__(self) -> str:
        return f"{self.category} {self.rate} %"


class InvoiceDocument(models.Model):
    """The bytes of an issued invoice, named by their SHA-256; written once (R28)."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="documents")
    sha256 = models.CharField(max_length=64, unique=True)
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["invoice"], name="document_once_per_invoice"),
        )

    def __str__(self) -> str:
        return self.sha256
