"""The tax of what was issued in a span of days, by category and rate."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import TaxCategory
from billing.tax_listing import TaxSum, summed, tax_entries
from catalog.money import exponent, plain, round_half_up
from config.base.api.fields import CalendarDate, QuantityString
from config.base.api.problems import BadParameter
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiView


class TaxListingQuery(QuerySerializer):
    since = CalendarDate(help_text="The first day of issue.")
    until = CalendarDate(help_text="The last one, included.")


class TaxSumSerializer(serializers.Serializer[Any]):
    """What all documents of one issuer and currency come to that are taxed alike."""

    issuer = serializers.CharField(help_text="Its name.")
    country = serializers.CharField(help_text="Whose rate it is; empty where no tax is due.")
    category = serializers.ChoiceField(
        choices=TaxCategory.values, help_text="EN 16931's code (UNTDID 5305)."
    )
    rate = QuantityString(help_text="In percent.")
    currency = serializers.CharField()
    documents = serializers.IntegerField(help_text="Invoices and credit notes.")
    net = QuantityString(minimum=None)
    tax = QuantityString(minimum=None)
    books_currency = serializers.CharField(help_text="That of the issuer's books.")
    net_in_books = QuantityString(
        minimum=None, allow_null=True, help_text="null where a document has no known rate."
    )
    tax_in_books = QuantityString(
        minimum=None, allow_null=True, help_text="As the documents state it; null as above."
    )


class TaxListingSerializer(serializers.Serializer[Any]):
    since = serializers.DateField()
    until = serializers.DateField()
    sums = TaxSumSerializer(many=True)


class TaxListing(ApiView):
    """What is to be reported to the tax office."""

    scope = "billing"

    @extend_schema(
        operation_id="tax_listing",
        parameters=[
            OpenApiParameter("since", date, required=True, description="The first day of issue."),
            OpenApiParameter("until", date, required=True, description="The last one, included."),
        ],
        responses=TaxListingSerializer,
    )
    def get(self, request: Request) -> Response:
        """Sum the tax of invoices issued in these days, less that of their credit notes.

        By issuer, country, category, rate and currency. What is void is left out.
        """
        asked = self.read_query(TaxListingQuery)
        since, until = asked["since"], asked["until"]
        if since > until:
            raise BadParameter({"since": f"Give a day up to {until}, where the listing ends."})
        sums = [_answer(one) for one in summed(tax_entries(since=since, until=until))]
        return Response({"since": since, "until": until, "sums": sums})


def _answer(one: TaxSum) -> dict[str, Any]:
    alike = one.alike
    return {
        **alike._asdict(),
        "rate": plain(alike.rate),
        "documents": one.documents,
        "net": _amount(one.net, alike.currency),
        "tax": _amount(one.tax, alike.currency),
        "net_in_books": _amount(one.net_in_books, alike.books_currency),
        "tax_in_books": _amount(one.tax_in_books, alike.books_currency),
    }


def _amount(value: Decimal | None, currency: str) -> str | None:
    return None if value is None else f"{round_half_up(value, exponent(currency)):f}"


urlpatterns = [path("tax-listing", TaxListing.as_view(), name="tax_listing")]
