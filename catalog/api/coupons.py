"""Coupons: what subscriptions can be given to reduce what they are billed."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api.fields import Choice, CurrencyCode
from catalog.api.prices import Percent
from catalog.api.versions import NoFieldsSerializer
from catalog.coupons import coupon_errors, create_coupon, retire_coupon
from catalog.models import Coupon, CouponDuration, CouponStatus
from config.base.api.fields import (
    AmountString,
    CalendarDate,
    KeyString,
    Text,
    WholeNumber,
)
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault


class CouponSerializer(CheckedSerializer):
    """A reduction of what is billed: a percentage, or an amount in a currency."""

    stand_ins = {
        "percent": Decimal(10),
        "amount": Decimal(1),
        "currency": "EUR",
        "periods": 1,
    }

    key = KeyString(help_text="Your own name for it; it never changes.")
    name = Text(max_length=200, help_text="What customers read on their invoice.")
    percent = Percent(
        allow_null=True, default=None, help_text="Above 0, at most 100; null: an amount."
    )
    amount = AmountString(
        allow_null=True,
        default=None,
        help_text="Above 0, before tax, or with it where the subscription's prices include it; "
        "null: a percentage.",
    )
    currency = CurrencyCode(allow_null=True, default=None, help_text="Of the amount.")
    duration = Choice(
        CouponDuration,
        default=CouponDuration.ONCE,
        help_text="Which of the invoices that have something to reduce: the first (`once`), the "
        "first `periods`, all (`forever`), or those it takes to use up the amount "
        "(`until_used_up`). What else is left of an amount lapses with each invoice.",
    )
    periods = WholeNumber(
        allow_null=True,
        default=None,
        min_value=1,
        max_value=1200,
        help_text="How many invoices it reduces, with the duration `periods`.",
    )
    redeemable_until = CalendarDate(
        allow_null=True, default=None, help_text="The last day on which somebody can be given it."
    )
    status = Choice(CouponStatus, read_only=True, help_text="Nobody is given a `retired` one.")
    created_at = serializers.DateTimeField(read_only=True)

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        return coupon_errors(coupon_of(values))

    def to_representation(self, instance: Any) -> Any:
        return {**super().to_representation(instance), "currency": instance.currency or None}


def coupon_of(values: dict[str, Any]) -> Coupon:
    """Return the unsaved coupon of a body."""
    return Coupon(**{**values, "currency": values.get("currency") or ""})


class CouponFilters(Filters):
    class Meta:
        model = Coupon
        fields = ("key", "status")


class CouponViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Coupon]):
    """Coupons: reductions that subscriptions can be given."""

    scope = "catalog"
    queryset = Coupon.objects.order_by("pk")
    serializer_class = CouponSerializer
    filterset_class = CouponFilters
    lookup_field = "key"

    @extend_schema(
        responses={201: CouponSerializer},
        examples=[
            OpenApiExample(
                "Launch promotion",
                {
                    "key": "launch-50",
                    "name": "Launch promotion",
                    "amount": "50.00",
                    "currency": "EUR",
                    "duration": "once",
                    "redeemable_until": "2026-12-31",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Create a coupon. Its terms never change: retire it and create another."""
        coupon = coupon_of(self.read_body(CouponSerializer))
        coupon = create_coupon(coupon=coupon, actor=self.actor)
        return Response(self.get_serializer(coupon).data, status=201)

    @extend_schema(request=NoFieldsSerializer, responses=CouponSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, key: str) -> Response:
        """Give a coupon to nobody any more; who has it keeps it."""
        coupon = self.get_object()
        self.read_body(NoFieldsSerializer)
        coupon = retire_coupon(coupon_id=coupon.pk, actor=self.actor)
        return Response(self.get_serializer(coupon).data)
