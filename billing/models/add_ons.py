"""Add-ons as they were sold: what a subscription is charged once (R33)."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from billing.models.invoices import Invoice
from billing.querysets import SoldAddOnQuerySet
from catalog.models import AddOn, Earned, RateCategory
from config.base.constraints import one_of
from config.base.fields import KeyField, amount_field, quantity_field
from customers.models import Subscription


class BillWhen(models.TextChoices):
    NEXT_INVOICE = "next_invoice", "On the next invoice"
    AT_ONCE = "at_once", "At once, on an invoice of its own"


class SaleStatus(models.TextChoices):
    """What became of a sale; told by its invoice, never stored."""

    WAITING = "waiting", "Waits for its invoice"
    DRAFTED = "drafted", "On a draft"
    BILLED = "billed", "Billed"
    WAIVED = "waived", "Waived"
    WITHDRAWN = "withdrawn", "Withdrawn"


class SoldAddOn(models.Model):
    """An add-on that a subscription was sold, on terms that never change.

    `invoice` is the one that charges it, so that there is never a second; none as long as it waits
    for one or is withdrawn. A void or discarded one: it was waived with it.
    """

    TERMS = (
        "subscription",
        "add_on",
        "key",
        "name",
        "unit",
        "unit_plural",
        "unit_amount",
        "currency",
        "quantity",
        "recognition",
        "tax_category",
        "service_start",
        "service_end",
        "time_zone",
        "note",
        "bill",
        "sold_by",
        "sold_at",
    )

    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="sold_add_ons"
    )
    add_on = models.ForeignKey(AddOn, on_delete=models.PROTECT, related_name="sold")
    key = KeyField(unique=True, help_text="Your own name for the sale; it never changes.")
    name = models.CharField(max_length=200, help_text="What the customer reads.")
    unit = models.CharField(max_length=50, blank=True)
    unit_plural = models.CharField(max_length=50, blank=True)
    unit_amount = amount_field(
        help_text="What one of it costs: before tax, or with it where the subscription’s prices "
        "include it."
    )
    currency = models.CharField(max_length=3)
    quantity = quantity_field()
    recognition = models.CharField(max_length=10, choices=Earned)
    tax_category = models.CharField(
        max_length=20, choices=RateCategory, default=RateCategory.STANDARD
    )
    service_start = models.DateField()
    service_end = models.DateField(help_text="The first day after the service.")
    time_zone = models.CharField(max_length=64, help_text="Whose days these are.")
    note = models.CharField(
        max_length=300, blank=True, help_text="Printed below its line on the invoice."
    )
    bill = models.CharField(max_length=12, choices=BillWhen, default=BillWhen.NEXT_INVOICE)
    sold_by = models.CharField(max_length=255)
    sold_at = models.DateTimeField()
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="sold_add_ons"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_because = models.TextField(blank=True)

    objects = SoldAddOnQuerySet.as_manager()

    class Meta:
        verbose_name = "sold add-on"
        ordering = ("id",)
        default_permissions = ("view", "add", "change")
        indexes = (
            models.Index(
                fields=["subscription"],
                name="sold_add_on_to_bill",
                condition=Q(invoice=None, withdrawn_at=None),
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="sold_add_on_of_something",
                condition=Q(quantity__gt=0),
                violation_error_message="Sell more than 0 of it.",
            ),
            models.CheckConstraint(
                name="sold_add_on_never_costs_less_than_nothing",
                condition=Q(unit_amount__gte=0),
                violation_error_message="It costs 0 or more.",
            ),
            models.CheckConstraint(
                name="sold_add_on_service_ends_after_it_starts",
                condition=Q(service_end__gt=F("service_start")),
            ),
            models.CheckConstraint(
                name="sold_add_on_is_billed_or_withdrawn_not_both",
                condition=Q(invoice=None) | Q(withdrawn_at=None),
            ),
            models.CheckConstraint(
                name="sold_add_on_withdrawn_exactly_with_a_reason",
                condition=Q(withdrawn_at=None, withdrawn_because="")
                | (Q(withdrawn_at__isnull=False) & ~Q(withdrawn_because="")),
            ),
            one_of("recognition", Earned, name="sold_add_on_recognition_is_known"),
            one_of("tax_category", RateCategory, name="sold_add_on_tax_category_is_known"),
            one_of("bill", BillWhen, name="sold_add_on_bill_is_known"),
        )

    def __str__(self) -> str:
        return self.name
