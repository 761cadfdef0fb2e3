"""Columns that Django has not: JSON that keeps every digit of a number, and bare arrays."""

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


class ArrayField(models.Field[Any, Any]):
    """An array of a PostgreSQL type, for tables that are written and read set by set.

    SQLite, which keeps nothing in such a table, takes it for a text.
    """

    def __init__(self, of: str = "bigint", **options: Any) -> None:
        self.of = of
        super().__init__(**options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {"of": self.of, **options}

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"{self.of}[]" if connection.vendor == "postgresql" else "text"
