"""Fields of bodies that name something: one of a list, a row by its key, a currency."""

from typing import Any

from django.db.models import Model, TextChoices
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog import money
from config.base.api.fields import KeyString, Text


class Choice(serializers.ChoiceField):
    """One of the values of `choices`; none, where `allow_null` is set, is null here, empty inside."""

    default_error_messages = {"invalid_choice": "Choose one of {choices}."}

    def __init__(self, choices: type[TextChoices], **kwargs: Any) -> None:
        super().__init__(choices=choices.choices, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return "" if value is None else value

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", choices=", ".join(self.choices))
        return data

    def to_representation(self, value: Any) -> Any:
        return str(value) if value else None


class KeyOf(KeyString):
    """The key of a row of `model`; the value is the row."""

    def __init__(self, model: type[Model], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def run_validation(self, data: Any = serializers.empty) -> Any:
        key = super().run_validation(data)
        if key is None:
            return None
        row = self.model._default_manager.filter(key=key).first()
        if row is None:
            noun = str(self.model._meta.verbose_name).rpartition(" ")[2]
            raise serializers.ValidationError(
                f"There is no {noun} with the key “{key}”.",
                code=f"unknown_{noun.replace('-', '_')}",
            )
        return row

    def to_representation(self, value: Any) -> str:
        return str(value.key)


@extend_schema_field({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"]})
class CurrencyCode(serializers.CharField):
    """An ISO 4217 code in capital letters, such as EUR."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not serializers.empty and data not in list(money.CURRENCIES):
            raise serializers.ValidationError(
                "Choose an ISO 4217 currency, such as EUR.", code="unknown_currency"
            )
        return super().run_validation(data)


class PropertyName(Text):
    """The name of a property of an event; none is null here and empty inside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, allow_null=True, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(data) or ""

    def to_representation(self, value: Any) -> Any:
        return value or None


class Names(serializers.ListField):
    """Names of properties of an event, each once."""

    default_error_messages = {"not_unique": "Name each property once."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=Text(max_length=255), **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        names = super().to_internal_value(data)
        if len(set(names)) < len(names):
            self.fail("not_unique")
        return names


def unchanged_key(key: str, row: Any) -> str:
    """Return the key if it is the row's.

    :raises ValidationError: otherwise, for a key never changes.
    """
    if key != row.key:
        raise serializers.ValidationError("A key never changes.", code="immutable")
    return key
