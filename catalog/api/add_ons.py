"""Add-ons: what subscriptions can be sold once, beside their plan."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.add_ons import add_on_errors, archive_add_on, create_add_on
from catalog.api.fields import Choice, CurrencyCode
from catalog.api.versions import NoFieldsSerializer
from catalog.models import AddOn, AddOnStatus, Earned, RateCategory
from config.base.api.fields import AmountString, KeyString, Text
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault

ADD_ON: dict[str, Any] = {
    "key": "onboarding",
    "name": "Onboarding",
    "unit_amount": "1200.00",
    "currency": "EUR",
    "unit": "day",
    "unit_plural": "days",
}


class AddOnSerializer(CheckedSerializer):
    """What is sold once, at a price for one of it."""

    stand_ins = {"unit_amount": Decimal(1), "currency": "EUR", "unit": "", "unit_plural": ""}

    key = KeyString(help_text="Your own name for it; it never changes.")
    name = Text(max_length=200, help_text="What customers read on their invoice.")
    description = Text(
        max_length=5000, lines=True, default="", allow_blank=True, help_text="For who sells it."
    )
    unit_amount = AmountString(
        help_text="What one of it costs, above 0: before tax, or with it where the subscription's "
        "prices include it."
    )
    currency = CurrencyCode(help_text="Of the amount.")
    unit = Text(max_length=50, default="", allow_blank=True, help_text="One of it: day.")
    unit_plural = Text(max_length=50, default="", allow_blank=True, help_text="Several: days.")
    recognition = Choice(
        Earned,
        default=Earned.AT_ONCE,
        help_text="How it is earned: `at_once`, or `over_time`, evenly over its service period.",
    )
    tax_category = Choice(
        RateCategory,
        default=RateCategory.STANDARD,
        help_text="Which of a country’s tax rates applies to it.",
    )
    status = Choice(AddOnStatus, read_only=True, help_text="Nobody is sold an `archived` one.")
    created_at = serializers.DateTimeField(read_only=True)

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        return add_on_errors(AddOn(**values))


class AddOnFilters(Filters):
    class Meta:
        model = AddOn
        fields = ("key", "status", "currency")


class AddOnViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[AddOn]):
    """Add-ons: what subscriptions can be sold once."""

    scope = "catalog"
    queryset = AddOn.objects.order_by("pk")
    serializer_class = AddOnSerializer
    filterset_class = AddOnFilters
    lookup_field = "key"

    @extend_schema(
        responses={201: AddOnSerializer},
        examples=[OpenApiExample("A day of onboarding", ADD_ON, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Create an add-on. Its terms never change: archive it and create another."""
        add_on = create_add_on(add_on=AddOn(**self.read_body(AddOnSerializer)), actor=self.actor)
        return Response(self.get_serializer(add_on).data, status=201)

    @extend_schema(request=NoFieldsSerializer, responses=AddOnSerializer)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, key: str) -> Response:
        """Sell an add-on to nobody any more; who bought it is billed for it still."""
        add_on = self.get_object()
        self.read_body(NoFieldsSerializer)
        add_on = archive_add_on(add_on_id=add_on.pk, actor=self.actor)
        return Response(self.get_serializer(add_on).data)
