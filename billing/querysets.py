"""Questions about periods, invoices, what is owed and paid, and sold add-ons."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    Value,
    When,
)
from django.db.models.functions import Round

from customers.models import Subscription, SubscriptionPhase

if TYPE_CHECKING:
    from billing.models import (  # noqa: F401
        BillingPeriod,
        CreditNote,
        Delivery,
        Invoice,
        OpenItem,
        Payment,
        SoldAddOn,
        TaxRate,
    )


class BillingPeriodQuerySet(models.QuerySet["BillingPeriod"]):
    def due(self, *, at: datetime) -> BillingPeriodQuerySet:
        """Keep open periods whose close may start by then (R26)."""
        return self.filter(status="open", needs_opening=False, usage_cutoff__lte=at)

    def to_open(self, *, at: datetime) -> BillingPeriodQuerySet:
        """Keep periods that have begun and whose first advance fee is still to bill (R21).

        One that is over is among them where that fee's invoice was undone since.
        """
        return self.exclude(status="parked").filter(needs_opening=True, starts_at__lte=at)

    def to_retry(self, *, at: datetime) -> BillingPeriodQuerySet:
        """Keep parked periods that were due by then, so that a run tries them again."""
        is_due = Q(usage_cutoff__lte=at) | Q(needs_opening=True, starts_at__lte=at)
        return self.filter(is_due, status="parked")

    def ending_by(self, day: date) -> BillingPeriodQuerySet:
        """Keep those whose first day after is this one or an earlier one."""
        return self.filter(end_date__lte=day)

    def of_customer(self, customer_id: int | None) -> BillingPeriodQuerySet:
        """Keep what a customer uses or pays; None: everything."""
        if customer_id is None:
            return self.all()
        mine = Q(subscription__customer=customer_id) | Q(subscription__payer=customer_id)
        return self.filter(mine)


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def to_issue(self, *, at: datetime) -> InvoiceQuerySet:
        """Keep the drafts that issue by themselves by then (R26)."""
        return self.filter(status="draft", auto_issue_at__lte=at)

    def of_run(self, uuid: UUID) -> InvoiceQuerySet:
        """Keep what a run drafted, or what a subscription joined that it closed (R37)."""
        claims = self.model._meta.get_field("charges").related_model._default_manager
        closing = claims.filter(purpose__in=["regular", "final"], is_live=True)
        closed = closing.filter(period__run__uuid=uuid)
        return self.filter(Q(run__uuid=uuid) | Q(pk__in=closed.values("invoice")))

    def with_lines(self) -> InvoiceQuerySet:
        """Load all that shows an invoice, in a constant number of queries."""
        return (
            self.with_payment()
            .select_related("issuer", "customer", "annex")
            .prefetch_related(
                "lines__price__metric",
                Prefetch("lines__subscription", Subscription.objects.select_related("customer")),
                "lines__sold_add_on",
                "allowances__applied__coupon",
                "taxes",
                "documents",
                "charges__period",
                "open_item__allocations__payment",
            )
        )

    def with_payment(self) -> InvoiceQuerySet:
        """Load the open item, and say in `payment_status` how far it is paid, if it is issued (R25).

        What was credited is not to be paid any more. What was written off is: unpaid for ever.
        Overpaid: a payment for it brought more, which nothing has taken since.
        """
        allocations = self.model._meta.apps.get_model("billing", "Allocation")._default_manager
        more = allocations.filter(
            item=OuterRef("pk"),
            released_on=None,
            at_issue=False,
            payment__kind="payment",
            payment__available__gt=0,
        )
        due = Round(F("open_item__total") - F("open_item__credited"), precision=4)
        status = Case(
            When(~Q(status="issued"), then=Value(None)),
            When(Q(open_item__paid__gte=due) & Exists(more), then=Value("overpaid")),
            When(open_item__paid__gte=due, then=Value("paid")),
            When(open_item__paid__gt=0, then=Value("part_paid")),
            default=Value("unpaid"),
            output_field=CharField(null=True),
        )
        found = self.select_related("open_item")
        return found.annotate(**{"payment_status": status})  # declared on the model for readers

    def in_payment_status(self, status: str) -> InvoiceQuerySet:
        """Keep issued invoices of this PaymentStatus."""
        return self.with_payment().filter(**{"payment_status": status})

    def overdue(self, *, on: date) -> InvoiceQuerySet:
        """Keep what was due before that day and is still open."""
        return self.filter(due_date__lt=on, open_item__open__gt=0)


class CreditNoteQuerySet(models.QuerySet["CreditNote"]):
    def with_lines(self) -> CreditNoteQuerySet:
        """Load all that shows a credit note, in a constant number of queries."""
        return self.select_related("invoice__customer", "issued_with").prefetch_related(
            "lines__line__price__metric", "lines__line__subscription", "lines__settles", "taxes"
        )

    def to_send(self) -> CreditNoteQuerySet:
        """Load all that says where a credit note goes by e-mail, and from whom."""
        return self.select_related("issuer", "invoice__customer").prefetch_related(
            "invoice__customer__contacts"
        )


class OpenItemQuerySet(models.QuerySet["OpenItem"]):
    def owed(self) -> OpenItemQuerySet:
        """Keep what something is still to pay of."""
        return self.filter(open__gt=0)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def to_look_at(self) -> DeliveryQuerySet:
        """Keep what did not go and nobody has answered: it failed, or there was no address."""
        return self.filter(answer="", status__in=["failed", "unsent"]).exclude(
            why__in=["not_wanted", "void", "credited", "settled"]
        )

    def with_the_server(self) -> DeliveryQuerySet:
        """Keep what was sent, or may have been."""
        return self.filter(begun_at__isnull=False)


class PaymentQuerySet(models.QuerySet["Payment"]):
    def with_a_rest(self) -> PaymentQuerySet:
        """Keep those of which something is left to allocate or refund."""
        return self.filter(available__gt=0)


class SoldAddOnQuerySet(models.QuerySet["SoldAddOn"]):
    def waiting(self) -> SoldAddOnQuerySet:
        """Keep what no invoice charges yet."""
        return self.filter(invoice=None, withdrawn_at=None)

    def in_status(self, status: str) -> SoldAddOnQuerySet:
        """Keep sales of this SaleStatus."""
        match status:
            case "withdrawn":
                return self.filter(withdrawn_at__isnull=False)
            case "waiting":
                return self.waiting()
            case "drafted":
                return self.filter(invoice__status__in=["draft", "review"])
            case "billed":
                return self.filter(invoice__status="issued")
        return self.filter(invoice__status__in=["void", "discarded"])

    def alone(self) -> SoldAddOnQuerySet:
        """Keep what needs an invoice of its own.

        It was asked for, or the subscription will have no further invoice, or none in its currency.
        """
        periods = self.model._meta.apps.get_model("billing", "BillingPeriod")._default_manager
        mine = periods.filter(subscription=OuterRef("subscription"))
        to_bill = mine.filter(~Q(status__in=["closed", "waived"]) | Q(needs_opening=True))
        last = mine.filter(end_date__gte=OuterRef("subscription__ends_on"))
        is_over = ~Exists(to_bill) & Exists(last)
        in_its_currency = SubscriptionPhase.objects.filter(
            subscription=OuterRef("subscription"), plan_version__currency=OuterRef("currency")
        )
        return self.filter(Q(bill="at_once") | is_over | ~Exists(in_its_currency))


class TaxRateQuerySet(models.QuerySet["TaxRate"]):
    def of(self, country: str, category: str) -> TaxRateQuerySet:
        """Keep the rates of one country and category."""
        return self.filter(country=country, category=category)

    def holding(self, first: date, last: date | None) -> TaxRateQuerySet:
        """Keep rates that hold on any day from the first to the last, which None leaves open."""
        found = self.filter(Q(valid_until=None) | Q(valid_until__gte=first))
        return found if last is None else found.filter(valid_from__lte=last)
