"""Selling add-ons: charged once, on a subscription's next invoice or on one of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.add_ons import status_of
from billing.models import BillWhen, SaleStatus, SoldAddOn
from billing.querysets import SoldAddOnQuerySet
from billing.services.add_ons import sell_add_on, withdraw_add_on
from catalog.add_ons import rate_add_on
from catalog.api.fields import Choice, KeyOf
from catalog.models import AddOn, Earned, RateCategory
from config.base.api.fields import AmountString, CalendarDate, KeyString, QuantityString, Text
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault
from customers.models import Subscription

SALE: dict[str, Any] = {
    "key": "acme-training-2026",
    "subscription": "acme-scale",
    "add_on": "training",
    "quantity": "2",
    "service_start": "2026-11-12",
    "service_end": "2026-11-14",
    "note": "Berlin, 12 and 13 November",
}


class NewSaleSerializer(CheckedSerializer):
    """What a subscription is sold, and when it is billed."""

    stand_ins = {"service_start": None, "service_end": None}

    key = KeyString(help_text="Your own name for the sale: sent again, it is refused as taken.")
    subscription = KeyOf(Subscription, help_text="The key of who buys.")
    add_on = KeyOf(AddOn, help_text="The key of what is sold.")
    quantity = QuantityString(positive=True, default=Decimal(1), help_text="How many of it.")
    unit_amount = AmountString(
        default=None, allow_null=True, help_text="Agreed for one of it; null: the add-on's."
    )
    service_start = CalendarDate(
        default=None, allow_null=True, help_text="Its first day; null: the customer's today."
    )
    service_end = CalendarDate(
        default=None, allow_null=True, help_text="The first day after it; null: one day later."
    )
    note = Text(max_length=300, default="", allow_blank=True, help_text="Printed below its line.")
    bill = Choice(
        BillWhen,
        default=BillWhen.NEXT_INVOICE,
        help_text="`next_invoice`: on the one drawn next; `at_once`: now, on one of its own.",
    )

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        start: date | None = values["service_start"]
        end: date | None = values["service_end"]
        if end is not None and start is None:
            yield Fault(("service_start",), "required", "Say when it begins, too.")


class SoldAddOnSerializer(serializers.ModelSerializer[SoldAddOn]):
    """An add-on as it was sold, and what became of it."""

    subscription = serializers.CharField(source="subscription.key")
    add_on = serializers.CharField(source="add_on.key")
    unit_amount = AmountString()
    quantity = QuantityString()
    net = serializers.SerializerMethodField(
        help_text="Quantity × amount, rounded once: before tax, or with it where the "
        "subscription's prices include it."
    )
    recognition = serializers.ChoiceField(choices=Earned.choices)
    tax_category = serializers.ChoiceField(choices=RateCategory.choices)
    bill = serializers.ChoiceField(choices=BillWhen.choices)
    status = serializers.SerializerMethodField()
    invoice = serializers.UUIDField(
        source="invoice.uuid", default=None, allow_null=True, help_text="What charges it."
    )

    class Meta:
        model = SoldAddOn
        fields = (
            "key",
            "subscription",
            "add_on",
            "name",
            "unit",
            "unit_plural",
            "unit_amount",
            "currency",
            "quantity",
            "net",
            "recognition",
            "tax_category",
            "service_start",
            "service_end",
            "time_zone",
            "note",
            "bill",
            "status",
            "invoice",
            "sold_by",
            "sold_at",
            "withdrawn_at",
            "withdrawn_because",
        )
        read_only_fields = fields

    def get_net(self, sold: SoldAddOn) -> str:
        return f"{rate_add_on(sold.quantity, sold.unit_amount, sold.currency).net:f}"

    def get_status(self, sold: SoldAddOn) -> SaleStatus:
        return status_of(sold)


class WithdrawalSerializer(StrictSerializer):
    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")


class SoldAddOnFilters(Filters):
    subscription = filters.CharFilter("subscription__key", label="The subscription's key.")
    customer = filters.CharFilter("subscription__customer__key", label="The customer's key.")
    add_on = filters.CharFilter("add_on__key", label="The add-on's key.")
    status = filters.ChoiceFilter(choices=SaleStatus.choices, method="in_status")

    class Meta:
        model = SoldAddOn
        fields = ("key",)

    def in_status(self, sold: SoldAddOnQuerySet, _: str, status: str) -> QuerySet[SoldAddOn]:
        return sold.in_status(status)


class SoldAddOnViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[SoldAddOn]):
    """Add-ons that subscriptions were sold."""

    scope = "billing"
    queryset = SoldAddOn.objects.select_related("subscription", "add_on", "invoice").order_by("pk")
    serializer_class = SoldAddOnSerializer
    filterset_class = SoldAddOnFilters
    lookup_field = "key"

    @extend_schema(
        request=NewSaleSerializer,
        responses={201: SoldAddOnSerializer},
        examples=[OpenApiExample("Two days of training", SALE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Sell an add-on to a subscription, to be billed once.

        By default on the invoice drawn next; an open draft stays as it is.
        """
        body = self.read_body(NewSaleSerializer)
        sold = sell_add_on(
            subscription_id=body.pop("subscription").pk,
            **body | {"bill": BillWhen(body["bill"])},
            at=timezone.now(),
            actor=self.actor,
        )
        return Response(self.get_serializer(sold).data, status=201)

    @extend_schema(request=WithdrawalSerializer, responses=SoldAddOnSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, key: str) -> Response:
        """Take a sale back as long as its invoice is not issued; a draft is redrawn without it."""
        sold = self.get_object()
        reason = self.read_body(WithdrawalSerializer)["reason"]
        sold = withdraw_add_on(sold_id=sold.pk, reason=reason, at=timezone.now(), actor=self.actor)
        return Response(self.get_serializer(sold).data)


routes = [("sold-add-ons", SoldAddOnViewSet, "sold-add-on")]
