"""What the endpoints of metering read and write alike."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from config.base.api.fields import CalendarDate, Instant

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_OFFSET_WITHOUT_PLUS = re.compile(r" ([0-9]{2}:[0-9]{2})\Z", re.ASCII)
_encoder = msgspec.json.Encoder(decimal_format="number")


class ExactJSONRenderer(JSONRenderer):
    """Write JSON whose numbers keep their digits: events hold numbers, not decimal strings."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else _encoder.encode(data)


@extend_schema_field({"type": "string"})
class Moment(serializers.Field[Any, Any, Any, Any]):
    """An RFC 3339 time, or a date, which means its first instant in the zone that applies.

    A plus that the query string turned into a space is understood.
    """

    default_error_messages = {
        "invalid": "Write a date, 2026-11-01, or a time with its offset, 2026-11-01T12:00:00Z."
    }

    def to_internal_value(self, data: Any) -> date | datetime:
        if not isinstance(data, str):
            self.fail("invalid")
        if _DATE.fullmatch(data):
            return CalendarDate().to_internal_value(data)
        return Instant().to_internal_value(_OFFSET_WITHOUT_PLUS.sub(r"+\1", data))

    def to_representation(self, value: Any) -> str:
        return str(value)
