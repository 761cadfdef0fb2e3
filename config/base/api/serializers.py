"""Serializer bases that take what they name and refuse the rest."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError


class StrictSerializer(serializers.Serializer[Any]):
    """Read an object whose every field is known; the unknown ones are named, all at once.

    Declare fields one by one. Those that the caller may not set are `read_only`; sending one is a
    fault too, for it would change nothing.
    """

    reads_text: ClassVar[bool] = False

    def to_internal_value(self, data: Any) -> Any:
        faults = dict(self._unknown(data)) if isinstance(data, Mapping) else {}
        try:
            values = super().to_internal_value(data)
        except ValidationError as invalid:
            found: Any = invalid.detail
            raise ValidationError({**found, **faults}) from invalid
        if faults:
            raise ValidationError(faults)
        return values

    def _unknown(self, data: Mapping[str, Any]) -> Iterator[tuple[str, list[ErrorDetail]]]:
        for name in data:
            if name not in self.fields:
                yield name, [ErrorDetail("There is no such field.", "unknown_field")]
            elif self.fields[name].read_only:
                yield name, [ErrorDetail("This field can't be set.", "read_only")]


class QuerySerializer(StrictSerializer):
    """Read the query string of a call, where everything is text; see `Conventions.read_query`."""

    reads_text = True
