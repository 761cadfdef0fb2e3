"""Serializer bases that take what they name and refuse the rest."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.settings import api_settings

from config.base.errors import Fault, Path


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


class CheckedSerializer(StrictSerializer):
    """Also find what is wrong between fields, and say it along with what is wrong in each.

    `check_together` sees the sound fields, and of `stand_ins` those that are themselves at fault.
    """

    stand_ins: ClassVar[Mapping[str, Any]] = {}

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        """Find what is wrong between values, which stand under their sources; paths name fields."""
        return ()

    def to_internal_value(self, data: Any) -> Any:
        found: Any = {}
        try:
            values = super().to_internal_value(data)
        except ValidationError as invalid:
            if not isinstance(data, Mapping):
                raise
            found = invalid.detail
            values = {name: self.stand_ins[name] for name in found if name in self.stand_ins}
            values |= self._sound(data, without=set(found))
        for fault in self.check_together(dict(values)):
            _add(found, fault.path, ErrorDetail(fault.message, fault.code))
        if found:
            raise ValidationError(found)
        return values

    def _sound(self, data: Any, *, without: set[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field in self._writable_fields:
            if field.field_name not in without:
                try:
                    value = field.run_validation(field.get_value(data))
                except serializers.SkipField:
                    continue
                self.set_value(values, field.source_attrs, value)
        return values


def _add(found: dict[Any, Any], path: Path, error: ErrorDetail) -> None:
    """Add an error to DRF's nested dictionaries and lists, which become dictionaries by index."""
    whole = api_settings.NON_FIELD_ERRORS_KEY
    step, *rest = path or (whole,)
    inner = found.get(step, {})
    if isinstance(inner, list):
        is_leaf = all(isinstance(item, str) for item in inner)
        inner = {whole: inner} if is_leaf else {i: item for i, item in enumerate(inner) if item}
    found[step] = inner
    if rest:
        _add(inner, tuple(rest), error)
    else:
        inner[whole] = [*inner.get(whole, ()), error]
