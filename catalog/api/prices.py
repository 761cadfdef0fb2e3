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
from catalog.api.fields import Choice, KeyOf, Names
from catalog.api.filters import FilterSerializer
from catalog.drafts import METERED, PriceDraft, price_errors, price_value, units_of
from catalog.models import (
    PRICED_PER_UNIT,
    TIERED,
    Interval,
    OveragePolicy,
    Price,
    PriceModel,
    PriceTier,
    Proration,
    RateCategory,
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
    WholeNumber,
)
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.errors import Fault


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


class RowSerializer(StrictSerializer):
    """The price of a unit whose dimensions have these values; those not named may have any."""

    match = serializers.DictField(child=Text(max_length=255), allow_empty=False)
    unit_amount = UnitAmountString()

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        row = super().to_internal_value(data)
        return {"match": row["match"], "unit_amount": money.plain(row["unit_amount"])}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return dict(instance)


class PriceSerializer(CheckedSerializer):
    """One thing a plan version charges for."""

    stand_ins = {
        "tiers": [PriceTier(up_to=None, unit_amount=Decimal(0))],
        "unit_amount": Decimal(0),
        "package_size": Decimal(1),
        "percent_rate": Decimal(0),
        "timing": Timing.ARREARS,
        "metric": ValueMetric(),
    }
    metric_needed: ClassVar[bool] = True

    key = KeyString(help_text="Your own name for it within the plan.")
    name = Text(max_length=200, help_text="What customers read on their invoice.")
    model = Choice(PriceModel)
    metric = KeyOf(ValueMetric, allow_null=True, default=None, help_text="What is measured.")
    unit = Text(
        max_length=50,
        default="",
        allow_blank=True,
        help_text="What one of them is called, such as “seat”; with a metric, the metric says it.",
    )
    unit_plural = Text(
        max_length=50,
        required=False,
        allow_blank=True,
        help_text="Several of them; by default the unit with an s.",
    )
    filters: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=FilterSerializer(),
        max_length=20,
        default=list,
        help_text="Only usage whose dimensions meet all of these; of several prices on one metric "
        "the first that usage meets takes it.",
    )
    interval = Choice(
        Interval,
        allow_null=True,
        default=None,
        help_text="How often it is charged; null: as often as the plan bills.",
    )
    interval_count = WholeNumber(min_value=1, max_value=1000, default=1)
    timing = Choice(
        Timing,
        required=False,
        help_text="By default in advance without a metric, and in arrears with one.",
    )
    unit_amount = UnitAmountString(
        allow_null=True,
        default=None,
        help_text="The fee, or the price of a unit or package; of a matrix, the default.",
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
    percent_rate = Percent(
        allow_null=True, default=None, help_text="The share of every amount, such as 2.9."
    )
    fixed_amount = UnitAmountString(default=Decimal(0), help_text="Added for every event.")
    free_events = WholeNumber(
        min_value=0,
        max_value=2_000_000_000,
        default=0,
        help_text="The first so many events of a period pay nothing.",
    )
    per_event_minimum = UnitAmountString(
        allow_null=True, default=None, help_text="An event pays at least this, the fee included."
    )
    per_event_maximum = UnitAmountString(
        allow_null=True, default=None, help_text="An event pays at most this, the fee included."
    )
    dimensions = Names(default=list, help_text="The metric's dimensions that the rows speak of.")
    rows: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=RowSerializer(),
        max_length=500,
        default=list,
        help_text="In order: the first that matches gives the price, then `unit_amount`.",
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
    tax_category = Choice(
        RateCategory,
        allow_null=True,
        default=None,
        help_text="Which of a country’s tax rates applies; null: the plan version’s.",
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
            unit=units_of(price)[0],
            unit_plural=units_of(price)[1],
            exponent=money.exponent(price.version.currency),
            locale=readers_language(self.context["request"]),
        )


def readers_language(request: Request) -> str:
    """Return the language of Accept-Language that has words: "en", "de", "fr" or "es"."""
    return get_language_from_request(request._request)


_PERCENTAGE, _MATRIX = (PriceModel.PERCENTAGE,), (PriceModel.MATRIX,)
FIELDS_OF_MODELS: dict[str, tuple[str, ...]] = {
    "unit": (PriceModel.PER_UNIT,),
    "unit_plural": (PriceModel.PER_UNIT,),
    "metric": (PriceModel.PER_UNIT, *METERED),
    "filters": (PriceModel.PER_UNIT, *METERED),
    "unit_amount": PRICED_PER_UNIT,
    "package_size": (PriceModel.PACKAGE,),
    "tiers": TIERED,
    "percent_rate": _PERCENTAGE,
    "fixed_amount": _PERCENTAGE,
    "free_events": _PERCENTAGE,
    "per_event_minimum": _PERCENTAGE,
    "per_event_maximum": _PERCENTAGE,
    "dimensions": _MATRIX,
    "rows": _MATRIX,
    "included_quantity": tuple(
        model for model in PriceModel if model not in (PriceModel.FLAT, PriceModel.PERCENTAGE)
    ),
}
"""The models that have a field, where not all have it."""


def draft_of(values: dict[str, Any]) -> PriceDraft:
    """Return what the serializer read as a price and its tiers, with the usual timing."""
    tiers = values.pop("tiers", ())
    if values.get("unit"):
        values.setdefault("unit_plural", f"{values['unit']}s"[:50])
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
        "percent_rate": Percent(),
        "dimensions": Names(required=True, min_length=1),
        "rows": serializers.ListSerializer(child=RowSerializer(), min_length=1, max_length=500),
    }
    if model in METERED:
        needed["metric"] = KeyOf(ValueMetric, required=base.metric_needed)
    fields = {**needed, **dict.fromkeys(absent)}
    title = "".join(word.capitalize() for word in model.value.split("_"))
    return type(f"{title}{base.__name__}", (base,), {"__doc__": base.__doc__, **fields})
