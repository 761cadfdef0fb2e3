"""A customer's own terms for a price as a body: what differs from the plan, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from catalog.api.prices import Percent, RowSerializer, TierSerializer
from catalog.money import plain
from catalog.overrides import OVERRIDABLE
from config.base.api.fields import AmountString, QuantityString, UnitAmountString, WholeNumber
from config.base.api.serializers import StrictSerializer


class OverrideTermsSerializer(StrictSerializer):
    """What differs from the plan's price; what is left out stays as the plan has it."""

    unit_amount = UnitAmountString(required=False)
    percent_rate = Percent(required=False)
    fixed_amount = UnitAmountString(required=False)
    free_events = WholeNumber(min_value=0, max_value=2_000_000_000, required=False)
    per_event_minimum = UnitAmountString(required=False, allow_null=True)
    per_event_maximum = UnitAmountString(required=False, allow_null=True)
    included_quantity = QuantityString(required=False)
    minimum = AmountString(required=False, allow_null=True, help_text="null: none at all.")
    maximum = AmountString(required=False, allow_null=True, help_text="null: none at all.")
    discount_percent = Percent(required=False)
    tiers: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=TierSerializer(), max_length=100, min_length=1, required=False
    )
    rows: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=RowSerializer(), max_length=500, min_length=1, required=False
    )

    def terms(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the terms among validated values as JSON data, and take them out."""
        found = {name: values.pop(name) for name in OVERRIDABLE if name in values}
        return {name: _written(value) for name, value in found.items()}


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, list):
        return [_tier(item) if hasattr(item, "up_to") else item for item in value]
    return value


def _tier(tier: Any) -> dict[str, Any]:
    return {
        "up_to": None if tier.up_to is None else plain(tier.up_to),
        "unit_amount": plain(tier.unit_amount),
        "flat_amount": plain(tier.flat_amount),
    }
