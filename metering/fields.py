"""JSON columns that keep every digit of a number."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Jsonb

from metering import properties


class ExactJSONField(models.JSONField):
    """JSON whose numbers are int or Decimal in Python, never floats."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return properties.read(value) if isinstance(value, str | bytes) else value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        text = properties.canonical(value)
        if connection.vendor == "postgresql":
            return Jsonb(None, dumps=lambda _: text)
        return text
