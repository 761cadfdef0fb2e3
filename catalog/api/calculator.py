"""The price calculator: what a quantity costs under a price, and why. Nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api.fields import Choice, CurrencyCode, KeyOf
from catalog.api.prices import PriceSerializer, one_of_models, readers_language
from catalog.calculator import WARNINGS, calculate
from catalog.models import PriceModel, Timing, ValueMetric
from catalog.pricing import (
    WHOLE,
    BadDayFraction,
    Cell,
    Cells,
    DayFraction,
    Payments,
    ScaledKind,
    StepKind,
    Usage,
)
from config.base.api.fields import KeyString, QuantityString, Text
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.api.views import ApiView
from config.base.errors import Fault

EXAMPLE: dict[str, Any] = {
    "currency": "EUR",
    "price": {
        "model": "graduated",
        "included_quantity": "100000",
        "tiers": [
            {"up_to": "50000", "unit_amount": "0.002"},
            {"up_to": None, "unit_amount": "0.0015"},
        ],
    },
    "quantity": "187340",
}


class CalculatedPriceSerializer(PriceSerializer):
    """A price as in a plan version; key, name, metric and timing may be left out."""

    metric_needed = False

    key = KeyString(required=False)
    name = Text(max_length=200, required=False)
    metric = KeyOf(
        ValueMetric,
        allow_null=True,
        default=None,
        help_text="If given, the quantity is first rounded as this metric says.",
    )
    timing = Choice(Timing, required=False)
    rule = None  # type: ignore[assignment]  # Django REST's way to leave an inherited field out


class CalculatedPriceSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describe the price as one of its models."""

    target_class = CalculatedPriceSerializer
    priority = 1

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        return one_of_models(self.target.__class__, auto_schema, direction)


@extend_schema_field(
    {"type": "string", "pattern": "^[0-9]{1,6}/[0-9]{1,6}$", "examples": ["16/30"]}
)
class PeriodFraction(serializers.Field[DayFraction, Any, str, Any]):
    """Days out of the days of the whole period: "16/30"."""

    def to_internal_value(self, data: Any) -> DayFraction:
        try:
            return DayFraction.parse(data if isinstance(data, str) else "")
        except BadDayFraction:
            raise serializers.ValidationError(
                "Write days/days, such as 16/30, with at most as many days as the period has.",
                code="invalid",
            ) from None


NEEDED = {
    "quantity": "Say how many units to calculate.",
    "events": "Say which amounts to calculate, in their order.",
    "cells": "Say how many units to calculate, under which dimension values.",
}


class CellSerializer(StrictSerializer):
    """A quantity under one combination of dimension values."""

    match = serializers.DictField(child=Text(max_length=255))
    quantity = QuantityString(minimum=None)

    def to_internal_value(self, data: Any) -> Cell:
        cell = super().to_internal_value(data)
        return Cell(cell["match"], cell["quantity"])


class CalculationSerializer(CheckedSerializer):
    """Usage and the price to calculate it with; nothing of it is kept, so all digits count."""

    stores = False

    currency = CurrencyCode()
    price = CalculatedPriceSerializer()
    quantity = QuantityString(
        minimum=None,
        required=False,
        help_text="What was used; less than 0 counts 0. Only a flat price can do without: 1.",
    )
    period_fraction = PeriodFraction(
        required=False, help_text="Days of service out of the days of the period: 16/30."
    )

    events = serializers.ListField(
        child=QuantityString(minimum=None),
        max_length=10_000,
        required=False,
        help_text="For a percentage: the amounts moved, in order; a reversal is negative.",
    )
    cells: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=CellSerializer(),
        max_length=1000,
        required=False,
        help_text="For a matrix: the quantity under each combination of dimension values.",
    )

    def check_together(self, values: dict[str, Any]) -> Iterator[Fault]:
        price = self.initial_data.get("price")
        model = price.get("model") if isinstance(price, dict) else None
        wanted = {"percentage": "events", "matrix": "cells"}.get(str(model), "quantity")
        if wanted not in self.initial_data and model != PriceModel.FLAT:
            yield Fault((wanted,), "required", NEEDED[wanted])
        for name in NEEDED:
            if name != wanted and name in self.initial_data:
                message = f"This price is calculated from its {wanted}: leave {name} out."
                yield Fault((name,), "not_for_this_model", message)


class StepSerializer(serializers.Serializer[Any]):
    """A row of the explanation: quantity × unit_amount + flat_amount = amount."""

    kind = serializers.ChoiceField(choices=list(get_args(StepKind)))
    quantity = QuantityString()
    unit_amount = QuantityString()
    flat_amount = QuantityString()
    amount = QuantityString(minimum=None)
    to = QuantityString(
        required=False, allow_null=True, help_text="Upper bound of a tier, inclusive."
    )
    packages = QuantityString(required=False)
    package_size = QuantityString(required=False)
    limit = QuantityString(required=False, help_text="The maximum that holds.")
    percent = QuantityString(required=False)
    match = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="The dimension values that a row of a matrix is for; empty for all others.",
    )
    events = serializers.IntegerField(required=False, help_text="Of a percentage.")
    each = QuantityString(
        required=False, help_text="What each of the events pays besides its share."
    )
    period_fraction = serializers.CharField(
        required=False, help_text="The row was charged for this part of the period."
    )

    def get_fields(self) -> dict[str, Any]:
        return {
            **super().get_fields(),
            "from": QuantityString(required=False, help_text="Lower bound of a tier, exclusive."),
            "label": serializers.CharField(help_text="In the language of Accept-Language."),
        }


class ScaledSerializer(serializers.Serializer[Any]):
    """What a partial period made of one of the price's numbers; quantities are rounded up (R15)."""

    what = serializers.ChoiceField(choices=get_args(ScaledKind))
    whole = QuantityString(help_text="Of a whole period.")
    part = QuantityString(help_text="Of the part charged.")


class WarningSerializer(serializers.Serializer[Any]):
    """Something about the calculation that one should know."""

    code = serializers.ChoiceField(choices=list(WARNINGS))
    detail = serializers.CharField()


class CalculatedSerializer(serializers.Serializer[Any]):
    """What the invoice's lines for this price would sum to without tax, and why."""

    currency = CurrencyCode()
    amount = QuantityString(help_text="`net` plus `shortfall`.")
    exact = QuantityString(help_text="What the steps sum to, before rounding.")
    net = QuantityString(help_text="`exact`, rounded to the currency.")
    rounding = QuantityString(minimum=None, help_text="`net` less `exact`.")
    shortfall = QuantityString(help_text="The minimum charge: what is missing to `minimum`.")
    used = QuantityString()
    included = QuantityString(help_text="The allowance, all of it.")
    overage = QuantityString(help_text="The units used beyond it.")
    period_fraction = serializers.CharField(
        required=False, help_text="Where only a part of the period was charged."
    )
    scaled = ScaledSerializer(many=True, required=False)
    steps = StepSerializer(many=True)
    warnings = WarningSerializer(many=True)


class CalculatePrice(ApiView):
    """Calculate a price."""

    scope = "catalog"
    action_scopes = {"post": "catalog:read"}

    @extend_schema(
        operation_id="prices_calculate",
        request=CalculationSerializer,
        responses=CalculatedSerializer,
        examples=[OpenApiExample("Graduated", EXAMPLE, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Calculate what a quantity costs under a price, step by step. Nothing is stored.

        Without a metric, the allowance and the bounds of tiers in a part of a period are rounded
        up at the finest decimals of the quantity, the allowance and the bounds.
        """
        body = self.read_body(CalculationSerializer)
        calculated = calculate(
            body["price"],
            usage=_usage(body),
            part=body.get("period_fraction", WHOLE),
            currency=body["currency"],
            locale=readers_language(request),
        )
        return Response(calculated)


def _usage(body: dict[str, Any]) -> Usage:
    if "events" in body:
        return Payments(body["events"])
    if "cells" in body:
        return Cells(body["cells"])
    return Decimal(body.get("quantity", 1))
