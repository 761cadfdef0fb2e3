"""A price as a body, and as an answer with its rule in words.

One serializer reads every model, so that every fault has a name; the schema has one per model.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from django.utils.translation import get_language_from_request
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers
from rest_framework.request import Request

from catalog import money
from catalog.api.fields import Choice, KeyOf
from catalog.drafts import PriceDraft, price_errors, price_value
from catalog.models import (
    TIERED,
    OveragePolicy,
    Price,
    PriceModel,
    PriceTier,
    Proration,
    Timing,
    ValueMetric,
)
from catalog.wording import describe
from config.base.api.fields import (
    AmountString,
    DecimalString,
    KeyString,
    QuantityString,
    Text,
    UnitAmountString,
)
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.errors import Fault

NOT_YET = ("percentage", "matrix")


class ModelName(Choice):
    """A price model; those that are planned are refused by name."""

    default_error_messages = {
        "not_available": "Prices of the model {model} can't be used yet. Choose one of {choices}."
    }

    def to_internal_value(self, data: Any) -> str:
        if data in NOT_YET:
            self.fail("not_available", model=data, choices=", ".join(self.choices))
        return super().to_internal_value(data)


class Percent(DecimalString):
    """A percentage from 0 to 100, with at most 4 decimals."""

    integer_digits = 3
    decimal_places = 4
    default_error_messages = {"too_large": "A percentage is at most 100."}

    def to_internal_value(self, data: Any) -> Decimal:
        value = super().to_internal_value(data)
        if value > 100:
            self.fail("too_large")
        return value


class TierSerializer(StrictSerializer):
    """A step of the ladder: from above the tier before, up to and including `up_to`."""

    up_to = QuantityString(
        allow_null=True, default=None, help_text="The last unit; null for the last tier."
    )
    unit_amount = UnitAmountString(help_text="The price of a unit in this tier.")
    flat_amount = UnitAmountString(
        default=Decimal(0), help_text="Charged once when the tier is reached."
    )

    def to_internal_value(self, data: Any) -> PriceTier:
        return PriceTier(**super().to_internal_value(data))


class PriceSerializer(CheckedSerializer):
    """One thing a plan version charges for."""

    stand_ins = {
        "tiers": [PriceTier(up_to=None, unit_amount=Decimal(0))],
        "unit_amount": Decimal(0),
        "package_size": Decimal(1),
        "timing": Timing.ARREARS,
        "metric": ValueMetric(),
    }
    metric_needed: ClassVar[bool] = True

    key = KeyString(help_text="Your own name for it within the plan.")
    name = Text(max_length=200, help_text="What customers read on their invoice.")
    model = ModelName(PriceModel)
    metric = KeyOf(ValueMetric, allow_null=True, default=None, help_text="What is measured.")
    timing = Choice(
        Timing,
        required=False,
        help_text="By default in advance without a metric, and in arrears with one.",
    )
    unit_amount = UnitAmountString(
        allow_null=True, default=None, help_text="The fee, or the price of a unit or package."
    )
    package_size = QuantityString(
        positive=True, allow_null=True, default=None, help_text="Units in one package."
    )
    tiers: serializers.ListSerializer[PriceTier] = serializers.ListSerializer(
        child=TierSerializer(),
        max_length=100,
        default=list,
        help_text="In rising order; the last is open.",
    )
    included_quantity = QuantityString(
        default=Decimal(0), help_text="The allowance: units that cost nothing."
    )
    minimum = AmountString(
        allow_null=True, default=None, help_text="Charge at least this per period."
    )
    maximum = AmountString(
        allow_null=True, default=None, help_text="Charge at most this per period."
    )
    discount_percent = Percent(default=Decimal(0), help_text="Taken off after the maximum.")
    overage_policy = Choice(OveragePolicy, default=OveragePolicy.BILL)
    prorate = Choice(
        Proration,
        source="proration",
        default=Proration.DAYS,
        help_text="What a part of a period costs: its share by `days`, or all of it (`none`).",
    )
    rule = serializers.SerializerMethodField(
        help_text="The rule in words, in the language of Accept-Language."
    )

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        if "model" not in values:
            return ()
        return price_errors(draft_of(values), metric_needed=self.metric_needed)

    def to_internal_value(self, data: Any) -> PriceDraft:
        return draft_of(super().to_internal_value(data))

    def to_representation(self, instance: Price) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)
        return {
            name: value
            for name, value in answer.items()
            if instance.model in FIELDS_OF_MODELS.get(name, PriceModel.values)
        }

    def get_rule(self, price: Price) -> str:
        return describe(
            price_value(PriceDraft(price, list(price.tiers.all()))),
            unit=price.metric.unit if price.metric else "",
            unit_plural=price.metric.unit_plural if price.metric else "",
            exponent=money.exponent(price.version.currency),
            locale=readers_language(self.context["request"]),
        )


def readers_language(request: Request) -> str:
    """Return the language of Accept-Language that has words for prices: "en" or "de"."""
    return get_language_from_request(request._request)


METERED = (*TIERED, PriceModel.PACKAGE)
FIELDS_OF_MODELS: dict[str, tuple[str, ...]] = {
    "metric": (PriceModel.PER_UNIT, *METERED),
    "unit_amount": (PriceModel.FLAT, PriceModel.PER_UNIT, PriceModel.PACKAGE),
    "package_size": (PriceModel.PACKAGE,),
    "tiers": TIERED,
    "included_quantity": (PriceModel.PER_UNIT, *METERED),
}
"""The models that have a field, where not all have it."""


def draft_of(values: dict[str, Any]) -> PriceDraft:
    """Return what the serializer read as a price and its tiers, with the usual timing."""
    tiers = values.pop("tiers", ())
    price = Price(**values)
    if not price.timing:
        metered = price.metric is not None or price.model in METERED
        price.timing = Timing.ARREARS if metered else Timing.ADVANCE
    return PriceDraft(price, tiers)


class PriceSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describe a price as one of its models, each with its own fields."""

    target_class = PriceSerializer
    priority = 1

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        return one_of_models(self.target.__class__, auto_schema, direction)


def one_of_models(
    base: type[PriceSerializer], auto_schema: AutoSchema, direction: Any
) -> dict[str, Any]:
    """Return the schema that is one of the components of `base` for each model."""
    refs = {}
    for model in PriceModel:
        component: Any = auto_schema.resolve_serializer(_only_for(model, base), direction)
        refs[model.value] = component.ref
    mapping = {model: ref["$ref"] for model, ref in refs.items()}
    return {
        "oneOf": list(refs.values()),
        "discriminator": {"propertyName": "model", "mapping": mapping},
    }


def _only_for(model: PriceModel, base: type[PriceSerializer]) -> type[PriceSerializer]:
    """Return `base` without the fields of other models, and with its own required."""
    absent = [name for name, models in FIELDS_OF_MODELS.items() if model not in models]
    needed: dict[str, Any] = {
        "model": serializers.ChoiceField(choices=[model.value]),
        "unit_amount": UnitAmountString(),
        "package_size": QuantityString(positive=True),
        "tiers": serializers.ListSerializer(child=TierSerializer(), min_length=1, max_length=100),
    }
    if model in METERED:
        needed["metric"] = KeyOf(ValueMetric, required=base.metric_needed)
    fields = {**needed, **dict.fromkeys(absent)}
    title = "".join(word.capitalize() for word in model.value.split("_"))
    return type(f"{title}{base.__name__}", (base,), {"__doc__": base.__doc__, **fields})
