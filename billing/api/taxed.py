"""How what a customer is charged would be taxed, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import TaxCategory
from billing.parties import issuer_for
from billing.rates import taxation
from catalog.api.fields import Choice
from catalog.models import RateCategory
from catalog.money import plain
from config.base.api.fields import CalendarDate, QuantityString
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiView
from customers.models import Customer
from customers.periods import local_date, zone


class TaxQuery(QuerySerializer):
    rate_category = Choice(RateCategory, default=RateCategory.STANDARD)
    on = CalendarDate(
        required=False, help_text="The last day of what is sold; by default today at the issuer’s."
    )


class CustomerTaxSerializer(serializers.Serializer[Any]):
    """The tax that a line would bear."""

    category = serializers.ChoiceField(
        choices=TaxCategory.values, help_text="EN 16931's code (UNTDID 5305)."
    )
    rate = QuantityString(help_text="In percent.")
    country = serializers.CharField(help_text="Whose rate it is; empty: no country’s.")
    reason = serializers.CharField(help_text="Why no tax is charged; empty where it is.")
    basis = serializers.CharField(help_text="Why this tax applies, in words.")
    lacks = serializers.CharField(
        help_text="What keeps invoices from being issued, such as a missing VAT ID; or empty."
    )


class CustomerTax(ApiView):
    """The tax on what one customer buys."""

    scope = "billing"

    @extend_schema(
        operation_id="customers_tax",
        parameters=[
            OpenApiParameter("key", str, "path", description="The customer's key."),
            TaxQuery,
        ],
        responses={
            200: CustomerTaxSerializer,
            409: OpenApiResponse(
                description="`tax_rate_missing`, naming country, category and day; "
                "`issuer_undecided`: several could sell."
            ),
        },
    )
    def get(self, request: Request, key: str) -> Response:
        """Say which tax applies to what a customer is charged, and why."""
        customer = get_object_or_404(Customer.objects.select_related("issuer"), key=key)
        asked = self.read_query(TaxQuery)
        issuer = issuer_for(customer)
        found = taxation(issuer, customer)
        day = asked.get("on") or local_date(timezone.now(), zone(issuer.time_zone))
        tax = found.on(asked["rate_category"], day + timedelta(days=1))
        return Response(
            {
                "category": tax.category,
                "rate": plain(tax.rate),
                "country": tax.country,
                "reason": tax.reason,
                "basis": tax.basis,
                "lacks": found.treatment.lacks,
            }
        )


urlpatterns = [path("customers/<str:key>/tax", CustomerTax.as_view(), name="customer_tax")]
