"""Exchange rates: finance's data, to state tax in the issuer's currency."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import ExchangeRate
from billing.services import exchange_rates
from catalog.api.fields import CurrencyCode
from config.base.api.fields import CalendarDate, Text, UnitAmountString
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet


class ExchangeRateSerializer(StrictSerializer):
    """What one of a currency was worth in another on a day: 1 `base` = `rate` `quote`."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    base = CurrencyCode(help_text="One of this, such as EUR …")
    quote = CurrencyCode(help_text="… is so much in this, such as USD.")
    rate = UnitAmountString(help_text="Above 0.")
    date = CalendarDate(help_text="The day it was published for.")
    source = Text(  # type: ignore[assignment]
        max_length=200, help_text="Who published it; printed on invoices."
    )


class ChangedRateSerializer(StrictSerializer):
    """What was mistyped of a rate."""

    rate = UnitAmountString(required=False)
    source = Text(max_length=200, required=False)  # type: ignore[assignment]


class ExchangeRateFilters(Filters):
    class Meta:
        model = ExchangeRate
        fields = ("base", "quote", "date")


class ExchangeRateViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[ExchangeRate]
):
    """Exchange rates, in the order in which they were entered."""

    scope = "billing"
    queryset = ExchangeRate.objects.order_by("pk")
    serializer_class = ExchangeRateSerializer
    filterset_class = ExchangeRateFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"

    @extend_schema(
        responses={201: ExchangeRateSerializer},
        examples=[
            OpenApiExample(
                "EUR in USD",
                {
                    "base": "EUR",
                    "quote": "USD",
                    "rate": "1.0842",
                    "date": "2026-11-30",
                    "source": "European Central Bank",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Enter the rate of a day; of two currencies there is one a day."""
        rate = ExchangeRate(**self.read_body(ExchangeRateSerializer))
        rate = exchange_rates.add_exchange_rate(rate=rate, actor=self.actor)
        return Response(self.get_serializer(rate).data, status=201)

    @extend_schema(request=ChangedRateSerializer, responses=ExchangeRateSerializer)
    def partial_update(self, request: Request, uuid: str) -> Response:
        """Mend what was mistyped; invoices that are issued keep what they say."""
        rate = self.get_object()
        fields: dict[str, Any] = self.read_body(ChangedRateSerializer, partial=True)
        rate = exchange_rates.change_exchange_rate(rate_id=rate.pk, fields=fields, actor=self.actor)
        return Response(self.get_serializer(rate).data)


routes = [("exchange-rates", ExchangeRateViewSet, "exchange-rate")]
