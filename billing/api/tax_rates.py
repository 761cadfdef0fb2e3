"""Tax rates: finance's data, by country, category and days (R29)."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import TaxRate
from billing.querysets import TaxRateQuerySet
from billing.services import tax_rates
from catalog.api.fields import Choice
from catalog.api.prices import Percent
from catalog.models import RateCategory
from config.base.api.fields import CalendarDate, Text
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet


class TaxRateSerializer(StrictSerializer):
    """What a country charges on a category of supplies, from a day on and until one."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    country = Text(max_length=2, help_text="ISO 3166 code, such as DE.")
    category = Choice(RateCategory, default=RateCategory.STANDARD)
    percent = Percent(help_text="Such as 19 or 25.5.")
    valid_from = CalendarDate(help_text="The first day it holds.")
    valid_until = CalendarDate(
        allow_null=True, default=None, help_text="The last day it holds; null: for good."
    )
    source = Text(  # type: ignore[assignment]
        max_length=200, allow_blank=True, default="", help_text="Where you read it."
    )


class TaxRateFilters(Filters):
    valid_on = filters.DateFilter(
        method="holding", input_formats=["%Y-%m-%d"], label="A day on which it holds: 2026-11-30."
    )

    class Meta:
        model = TaxRate
        fields = ("country", "category")

    def holding(self, rates: TaxRateQuerySet, _: str, day: date) -> QuerySet[TaxRate]:
        return rates.holding(day, day)


class TaxRateViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[TaxRate]):
    """Tax rates, in the order in which they were entered."""

    scope = "billing"
    queryset = TaxRate.objects.order_by("pk")
    serializer_class = TaxRateSerializer
    filterset_class = TaxRateFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"

    @extend_schema(
        responses={201: TaxRateSerializer},
        examples=[
            OpenApiExample(
                "Germany",
                {
                    "country": "DE",
                    "category": "standard",
                    "percent": "19",
                    "valid_from": "2021-01-01",
                    "source": "§ 12 (1) UStG",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Enter a rate; of one country and category no two hold on one day."""
        rate = TaxRate(**self.read_body(TaxRateSerializer))
        rate = tax_rates.add_tax_rate(rate=rate, actor=self.actor)
        return Response(self.get_serializer(rate).data, status=201)

    def partial_update(self, request: Request, uuid: str) -> Response:
        """End a rate, or mend what was mistyped; what is issued keeps what it says."""
        rate = self.get_object()
        fields: dict[str, Any] = self.read_body(TaxRateSerializer, partial=True)
        rate = tax_rates.change_tax_rate(rate_id=rate.pk, fields=fields, actor=self.actor)
        return Response(self.get_serializer(rate).data)


routes = [("tax-rates", TaxRateViewSet, "tax-rate")]
