"""What customers owe as of a day: the ageing of all, a statement of one; and write-offs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.accounts import Position, positions, statement_of
from billing.api.payments import Money, WhySerializer
from billing.models import Invoice, WriteOff
from billing.money import BUCKETS, Moved
from billing.services import write_offs
from billing.services.payments import book_date
from catalog.api.fields import CurrencyCode
from catalog.money import exponent, round_half_up
from config.base.api.fields import AmountString, CalendarDate, QuantityString, Text
from config.base.api.paging import Filters
from config.base.api.problems import BadParameter
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.api.views import ApiView, ApiViewSet
from config.base.errors import Fault, Invalid
from customers.issuer import sellers_day
from customers.models import Customer

NAMES = ("current", "days_1_30", "days_31_60", "days_61_90", "days_over_90")
assert len(NAMES) == len(BUCKETS)


class AgeingQuery(QuerySerializer):
    as_of = CalendarDate(
        default=None, help_text="The end of that day; unless given, today where the issuer is."
    )


class AccountSerializer(serializers.Serializer[Any]):
    """What a customer owed in a currency, by days past due."""

    customer = serializers.CharField(help_text="The customer's key.")
    currency = serializers.CharField()
    current = QuantityString(help_text="Not due before the next day.")
    days_1_30 = QuantityString()
    days_31_60 = QuantityString()
    days_61_90 = QuantityString()
    days_over_90 = QuantityString()
    open = QuantityString(help_text="Of all invoices: the sum of these.")
    balance = QuantityString(help_text="Left of payments.")
    deposits = QuantityString(help_text="Left of deposits.")
    total = QuantityString(
        minimum=None, help_text="`open` less `balance` and `deposits`: where its statement closes."
    )


class AgeingSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateField()
    accounts = AccountSerializer(many=True)


class StatementQuery(QuerySerializer):
    until = CalendarDate(default=None, help_text="The end of that day; today unless given.")
    since = CalendarDate(default=None, help_text="From that day on; from the first unless given.")
    currency = CurrencyCode(default=None, help_text="The customer's unless given.")


class EntrySerializer(serializers.Serializer[Any]):
    date = serializers.DateField()
    kind = serializers.ChoiceField(choices=[str(moved) for moved in Moved])
    reference = serializers.CharField(help_text="A document's number, or what was written.")
    due_date = serializers.DateField(allow_null=True, help_text="Of an invoice.")
    amount = QuantityString(minimum=None, help_text="Positive: the customer owes more.")
    balance = QuantityString(minimum=None, help_text="After it.")


class StatementSerializer(serializers.Serializer[Any]):
    """What moved an account."""

    customer = serializers.CharField()
    currency = serializers.CharField()
    since = serializers.DateField(allow_null=True)
    until = serializers.DateField()
    opening = QuantityString(minimum=None)
    entries = EntrySerializer(many=True)
    closing = QuantityString(minimum=None)


class Ageing(ApiView):
    """What all customers owe by age."""

    scope = "billing"

    @extend_schema(
        operation_id="ageing",
        parameters=[
            OpenApiParameter(
                "as_of", date, description="A day; unless given, today where the issuer is."
            )
        ],
        responses=AgeingSerializer,
    )
    def get(self, request: Request) -> Response:
        """Tell what was open by the end of a day, by customer, currency and days past due."""
        day = self.read_query(AgeingQuery)["as_of"] or sellers_day(at=timezone.now())
        found = positions(as_of=day)
        keys = dict(
            Customer.objects.filter(pk__in={pk for pk, _ in found}).values_list("pk", "key")
        )
        accounts = [
            {"customer": keys[pk], "currency": currency, **_position(one, currency)}
            for (pk, currency), one in sorted(found.items(), key=lambda pair: keys[pair[0][0]])
        ]
        return Response({"as_of": day, "accounts": accounts})


class StatementOfAccount(ApiView):
    """The statement of one customer's account."""

    scope = "billing"

    @extend_schema(
        operation_id="customers_statement",
        parameters=[
            OpenApiParameter("key", str, "path", description="The customer's key."),
            OpenApiParameter("since", date, description="From that day on; null: the first."),
            OpenApiParameter("until", date, description="To the end of that day; null: today."),
            OpenApiParameter("currency", str, description="The customer's unless given."),
        ],
        responses=StatementSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        """List what a customer was billed and paid, with the balance after each."""
        customer = get_object_or_404(Customer.objects.select_related("issuer"), key=key)
        asked = self.read_query(StatementQuery)
        currency = asked["currency"] or customer.currency
        until = asked["until"] or book_date(customer, at=timezone.now())
        if asked["since"] and asked["since"] > until:
            raise BadParameter({"since": f"Give a day up to {until}, where the statement ends."})
        told = statement_of(customer, currency, since=asked["since"], until=until)
        places = exponent(currency)
        return Response(
            {
                "customer": customer.key,
                "currency": currency,
                "since": asked["since"],
                "until": until,
                "opening": _written(told.opening, places),
                "entries": [
                    {
                        "date": row.entry.on,
                        "kind": str(row.entry.moved),
                        "reference": row.entry.reference,
                        "due_date": row.entry.due_date,
                        "amount": _written(row.entry.amount, places),
                        "balance": _written(row.balance, places),
                    }
                    for row in told.rows
                ],
                "closing": _written(told.closing, places),
            }
        )


class NewWriteOffSerializer(StrictSerializer):
    """What is given up, and why."""

    invoice = serializers.UUIDField()
    amount = AmountString(
        positive=True, default=None, allow_null=True, help_text="null: all that is open."
    )
    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")


class WriteOffSerializer(serializers.ModelSerializer[WriteOff]):
    """What nobody expects to be paid any more of an invoice."""

    id = serializers.UUIDField(source="uuid")
    invoice = serializers.UUIDField(source="item.invoice.uuid")
    currency = serializers.CharField(source="item.invoice.currency")
    amount = Money(owner="item.invoice")

    class Meta:
        model = WriteOff
        fields = (
            "id",
            "invoice",
            "currency",
            "amount",
            "written_off_on",
            "reason",
            "recorded_at",
            "recorded_by",
            "reversed_on",
            "reversed_because",
        )
        read_only_fields = fields


class WriteOffFilters(Filters):
    invoice = filters.UUIDFilter("item__invoice__uuid", label="The invoice's id.")
    customer = filters.CharFilter("item__invoice__customer__key", label="The customer's key.")

    class Meta:
        model = WriteOff
        fields = ()


class WriteOffViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[WriteOff]):
    """What was given up."""

    scope = "billing"
    queryset = WriteOff.objects.select_related("item__invoice").order_by("-pk")
    serializer_class = WriteOffSerializer
    filterset_class = WriteOffFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(request=NewWriteOffSerializer, responses={201: WriteOffSerializer})
    def create(self, request: Request) -> Response:
        """Give up what is open of an issued invoice, or some of it."""
        body = self.read_body(NewWriteOffSerializer)
        invoice = Invoice.objects.filter(uuid=body.pop("invoice")).first()
        if invoice is None:
            told = "There is no such invoice."
            raise Invalid([Fault(("invoice",), "unknown_invoice", told)])
        made = write_offs.write_off(
            invoice_id=invoice.pk, **body, at=timezone.now(), actor=self.actor
        )
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(request=WhySerializer)
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, uuid: str) -> Response:
        """Take a write-off back: what it gave up is open again."""
        found = self.get_object()
        body = self.read_body(WhySerializer)
        made = write_offs.reverse_write_off(
            write_off_id=found.pk, **body, at=timezone.now(), actor=self.actor
        )
        return Response(self.get_serializer(made).data)


def _position(one: Position, currency: str) -> dict[str, str]:
    places = exponent(currency)
    told = dict(zip(NAMES, one.ageing.buckets, strict=True))
    told |= {"open": one.ageing.total, "balance": one.balance, "deposits": one.deposits}
    return {name: _written(value, places) for name, value in {**told, "total": one.total}.items()}


def _written(amount: Decimal, places: int) -> str:
    return f"{round_half_up(amount, places):f}"


routes = [("write-offs", WriteOffViewSet, "write-off")]
urlpatterns = [
    path("ageing", Ageing.as_view(), name="ageing"),
    path("customers/<str:key>/statement", StatementOfAccount.as_view(), name="statement"),
]
