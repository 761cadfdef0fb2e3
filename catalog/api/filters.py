"""Conditions on the properties of an event, as metrics and prices state them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from catalog.metrics import OPERATORS
from config.base.api.fields import QuantityString, Text, plain
from config.base.api.serializers import StrictSerializer


@extend_schema_field({"type": ["string", "number", "boolean"]})
class FilterValue(serializers.Field[Any, Any, Any, Any]):
    """A text, a number or true or false; a number with decimals is kept as its digits."""

    default_error_messages = {"invalid": "Write a text, a number, true or false."}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool):
            return data
        if isinstance(data, str):
            return Text(max_length=255, allow_blank=True).run_validation(data)
        number = QuantityString(minimum=None).run_validation(data)
        return int(number) if number == number.to_integral_value() else plain(number)

    def to_representation(self, value: Any) -> Any:
        return value


class FilterSerializer(StrictSerializer):
    """One condition on a property of the event."""

    property = Text(max_length=255)
    operator = serializers.ChoiceField(
        choices=list(OPERATORS),
        error_messages={"invalid_choice": f"Choose one of {', '.join(OPERATORS)}."},
        help_text="; ".join(f"`{name}`: {meaning}" for name, meaning in OPERATORS.items()),
    )
    values = serializers.ListField(
        child=FilterValue(),
        max_length=100,
        default=list,
        help_text="None for `exists`, one for `eq`, `gt` and `lt`, at least one for the others.",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Ask for a whole condition also where only a part of the metric is sent."""
        condition: dict[str, Any] = super().to_internal_value(data)
        missing = {"property", "operator"} - set(condition)
        if missing:
            required = ErrorDetail("This field is required.", "required")
            raise serializers.ValidationError({name: [required] for name in sorted(missing)})
        return {"values": [], **condition}
