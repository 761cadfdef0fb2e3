"""The invoice as it would be now."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.answers import invoice_answer, readers_locale, upcoming
from billing.api.invoices import LANGUAGE
from billing.api.shapes import InvoiceSerializer
from billing.services.upcoming import running_invoice
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiView
from customers.models import Subscription


class NoQuery(QuerySerializer):
    """Nothing: all that is to say stands in the path."""


class UpcomingInvoice(ApiView):
    """The next invoice of a subscription, as far as it is known."""

    scope = "billing"

    @extend_schema(
        operation_id="subscriptions_upcoming_invoice",
        parameters=[
            OpenApiParameter("key", str, "path", description="The subscription's key."),
            LANGUAGE,
        ],
        responses={
            200: InvoiceSerializer,
            409: OpenApiResponse(description="`nothing_upcoming`: it has ended or not begun."),
        },
    )
    def get(self, request: Request, key: str) -> Response:
        """Show the invoice over the period that runs now, as it would be if it ended now.

        Of the same shape as an invoice, with the status `upcoming` and neither id nor number.
        Nothing is stored.
        """
        subscription = get_object_or_404(Subscription.objects.with_terms(), key=key)
        self.read_query(NoQuery)
        running = running_invoice(subscription=subscription, at=timezone.now())
        locale = readers_locale(request, running.invoice)
        return Response(invoice_answer(upcoming(running), locale=locale))


urlpatterns = [
    path(
        "subscriptions/<str:key>/upcoming-invoice",
        UpcomingInvoice.as_view(),
        name="upcoming_invoice",
    )
]
