"""Payments: recorded, allocated, taken back, reversed and refunded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Allocation, Invoice, Payment, PaymentKind, PaymentMethod, Refund
from billing.services import payments, refunds
from billing.services.payments import Portion
from catalog.api.fields import Choice, CurrencyCode, KeyOf
from catalog.money import exponent, round_half_up
from config.base.api.fields import AmountString, CalendarDate, Text, YesNo
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault, Invalid
from customers.models import Customer

PAYMENT: dict[str, Any] = {
    "customer": "acme",
    "amount": "500.00",
    "currency": "EUR",
    "received_on": "2026-12-10",
    "reference": "INV-2026-000001",
    "allocations": [{"invoice": "3f0c1c9e-2f0e-4f57-9d1f-0a8f5a0c7f11", "amount": "500.00"}],
}


class PortionSerializer(StrictSerializer):
    """How much goes to an invoice."""

    invoice = serializers.UUIDField(help_text="An issued one of the customer, in the currency.")
    amount = AmountString(positive=True, help_text="Up to what is open of it.")


class NewPaymentSerializer(StrictSerializer):
    """Money that came, and what it pays."""

    customer = KeyOf(Customer, help_text="The key of who paid.")
    amount = AmountString(positive=True)
    currency = CurrencyCode(
        default=None, allow_null=True, help_text="null: the one the customer is billed in."
    )
    in_other_currency = YesNo(
        default=False,
        help_text="Say `true` where the money did come in a currency in which the customer has no "
        "invoice and is not billed: nothing takes it. Else that is refused as `other_currency`.",
    )
    received_on = CalendarDate(help_text="The day it was on your account; today at the latest.")
    reference = Text(max_length=200, default="", allow_blank=True, help_text="What they wrote.")
    method = Choice(
        PaymentMethod,
        default=PaymentMethod.BANK_TRANSFER,
        help_text="`credit` is recorded by billing alone: what could be credited of no invoice.",
    )
    kind = Choice(
        PaymentKind,
        default=PaymentKind.PAYMENT,
        help_text="`deposit`: for later invoices, which take it by themselves when they are issued.",
    )
    max_per_invoice = AmountString(
        positive=True,
        default=None,
        allow_null=True,
        help_text="Of a deposit: how much an invoice takes at most; null: all it needs.",
    )
    allocations = PortionSerializer(
        many=True,
        default=list,
        help_text="What it pays. The rest is balance, which the next invoice takes by itself.",
    )


class AllocateSerializer(StrictSerializer):
    allocations = PortionSerializer(many=True, allow_empty=False)


class ReleaseSerializer(StrictSerializer):
    allocation = serializers.UUIDField(help_text="The `id` of one of the payment's allocations.")


class WhySerializer(StrictSerializer):
    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")


class RefundReversalSerializer(WhySerializer):
    refund = serializers.UUIDField(help_text="The `id` of one of the payment's refunds.")


class NewRefundSerializer(StrictSerializer):
    """Money that was paid back."""

    amount = AmountString(positive=True, help_text="Up to what is left of the payment.")
    refunded_on = CalendarDate(default=None, allow_null=True, help_text="null: today.")
    reference = Text(max_length=200, default="", allow_blank=True)


@extend_schema_field({"type": "string", "examples": ["524.60"]})
class Money(serializers.Field[Decimal, Any, str, Any]):
    """An amount of a row, with the decimals of the currency that the row, or `owner` of it, has."""

    def __init__(self, *, owner: str = "", **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)
        self.owner = owner

    def get_attribute(self, instance: Any) -> Any:
        value = super().get_attribute(instance)
        if value is None:
            return None
        holder = attrgetter(self.owner)(instance) if self.owner else instance
        return round_half_up(value, exponent(holder.currency))

    def to_representation(self, value: Decimal) -> str:
        return f"{value:f}"


class AllocationSerializer(serializers.ModelSerializer[Allocation]):
    """What pays an invoice, or did until it was taken back."""

    id = serializers.UUIDField(source="uuid")
    invoice = serializers.UUIDField(source="item.invoice.uuid")
    number = serializers.CharField(source="item.invoice.number")
    amount = Money(owner="payment")
    at_issue = serializers.BooleanField(
        help_text="Whether the invoice took it by itself when it was issued."
    )

    class Meta:
        model = Allocation
        fields = (
            "id", "invoice", "number", "amount", "allocated_on", "released_on", "at_issue",
        )  # fmt: skip
        read_only_fields = fields


class RefundSerializer(serializers.ModelSerializer[Refund]):
    id = serializers.UUIDField(source="uuid")
    amount = Money(owner="payment")

    class Meta:
        model = Refund
        fields = ("id", "amount", "refunded_on", "reference", "reversed_on", "reversed_because")
        read_only_fields = fields


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    """Money that came, what it pays, and what is left of it."""

    id = serializers.UUIDField(source="uuid")
    customer = serializers.CharField(source="customer.key")
    amount = Money()
    kind = serializers.ChoiceField(choices=PaymentKind.choices)
    method = serializers.ChoiceField(choices=PaymentMethod.choices)
    max_per_invoice = Money(allow_null=True)
    allocated = Money()
    refunded = Money()
    available = Money(help_text="What is left: balance, or deposit. 0 once it is reversed.")
    allocations = AllocationSerializer(many=True)
    refunds = RefundSerializer(many=True)

    class Meta:
        model = Payment
        fields = (
            "id",
            "customer",
            "kind",
            "amount",
            "currency",
            "received_on",
            "method",
            "reference",
            "max_per_invoice",
            "allocated",
            "refunded",
            "available",
            "allocations",
            "refunds",
            "recorded_at",
            "recorded_by",
            "reversed_on",
            "reversed_because",
        )
        read_only_fields = fields


class PaymentFilters(Filters):
    customer = filters.CharFilter("customer__key", label="The customer's key.")
    invoice = filters.UUIDFilter("allocations__item__invoice__uuid", label="What it pays or paid.")
    received_after = filters.DateFilter("received_on", "gt", label="That day excluded.")
    has_rest = filters.BooleanFilter(
        method="with_a_rest", label="`true`: something is left; `false`: nothing."
    )

    class Meta:
        model = Payment
        fields = ("kind", "currency", "reference")

    def with_a_rest(self, found: Any, _: str, value: bool) -> Any:
        return found.filter(available__gt=0) if value else found.filter(available=0)


class PaymentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Payment]):
    """What customers paid."""

    scope = "billing"
    queryset = (
        Payment.objects.select_related("customer")
        .prefetch_related("allocations__item__invoice", "allocations__payment", "refunds__payment")
        .order_by("-pk")
    )
    serializer_class = PaymentSerializer
    filterset_class = PaymentFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(
        request=NewPaymentSerializer,
        responses={201: PaymentSerializer},
        examples=[OpenApiExample("One invoice is paid", PAYMENT, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Record money that came, and the invoices it pays; the rest is the customer's balance."""
        body = self.read_body(NewPaymentSerializer)
        portions = _portions(body.pop("allocations"))
        currency = body.pop("currency") or body["customer"].currency
        in_other_currency = body.pop("in_other_currency")
        made = payments.record_payment(
            payment=Payment(**body, currency=currency),
            portions=portions,
            in_other_currency=in_other_currency,
            at=timezone.now(),
            actor=self.actor,
        )
        return Response(self._answer(made), status=201)

    @extend_schema(request=AllocateSerializer)
    @action(detail=True, methods=["post"])
    def allocate(self, request: Request, uuid: str) -> Response:
        """Let what is left of a payment pay invoices."""
        payment = self.get_object()
        portions = _portions(self.read_body(AllocateSerializer)["allocations"])
        payments.allocate_payment(
            payment_id=payment.pk, portions=portions, at=timezone.now(), actor=self.actor
        )
        return Response(self._answer(payment))

    @extend_schema(request=ReleaseSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str) -> Response:
        """Take an allocation back: the invoice is open again, the money the payment's to use."""
        payment = self.get_object()
        name = self.read_body(ReleaseSerializer)["allocation"]
        allocation = payment.allocations.filter(uuid=name).first()
        if allocation is None:
            told = "This payment has no such allocation."
            raise Invalid([Fault(("allocation",), "unknown_allocation", told)])
        payments.release_allocation(
            allocation_id=allocation.pk, at=timezone.now(), actor=self.actor
        )
        return Response(self._answer(payment))

    @extend_schema(request=WhySerializer)
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, uuid: str) -> Response:
        """Declare that a payment was none, such as a returned debit; what it paid is open again."""
        payment = self.get_object()
        body = self.read_body(WhySerializer)
        payments.reverse_payment(payment_id=payment.pk, **body, at=timezone.now(), actor=self.actor)
        return Response(self._answer(payment))

    @extend_schema(request=NewRefundSerializer)
    @action(detail=True, methods=["post"])
    def refund(self, request: Request, uuid: str) -> Response:
        """Record that some of what is left was paid back; Plainbill moves no money itself."""
        payment = self.get_object()
        body = self.read_body(NewRefundSerializer)
        refunds.refund_payment(payment_id=payment.pk, **body, at=timezone.now(), actor=self.actor)
        return Response(self._answer(payment))

    @extend_schema(request=RefundReversalSerializer)
    @action(detail=True, methods=["post"], url_path="reverse-refund")
    def reverse_refund(self, request: Request, uuid: str) -> Response:
        """Declare that a refund was none, such as a transfer that came back: it is left again."""
        payment = self.get_object()
        body = self.read_body(RefundReversalSerializer)
        refund = payment.refunds.filter(uuid=body.pop("refund")).first()
        if refund is None:
            told = "This payment has no such refund."
            raise Invalid([Fault(("refund",), "unknown_refund", told)])
        refunds.reverse_refund(refund_id=refund.pk, **body, at=timezone.now(), actor=self.actor)
        return Response(self._answer(payment))

    def _answer(self, payment: Payment) -> Any:
        return self.get_serializer(get_object_or_404(self.get_queryset(), pk=payment.pk)).data


def _portions(told: Iterable[Mapping[str, Any]]) -> list[Portion]:
    """:raises Invalid: naming each invoice that there is not."""
    asked = list(told)
    known = dict(
        Invoice.objects.filter(uuid__in=[one["invoice"] for one in asked]).values_list("uuid", "pk")
    )
    faults = [
        Fault(("allocations", n, "invoice"), "unknown_invoice", "There is no such invoice.")
        for n, one in enumerate(asked)
        if one["invoice"] not in known
    ]
    if faults:
        raise Invalid(faults)
    return [
        Portion(known[one["invoice"]], one["amount"], ("allocations", n))
        for n, one in enumerate(asked)
    ]


routes = [("payments", PaymentViewSet, "payment")]
