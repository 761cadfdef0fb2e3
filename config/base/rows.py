"""Writing many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.db import connections, models, router
from psycopg import sql

Row = TypeVar("Row", bound=models.Model)

FEW = 50
"""Fewer rows are saved sooner by one INSERT."""


def insert_rows(rows: Iterable[Row], *, keyed: bool = True) -> list[Row]:
    """Save new rows of one model, as `bulk_create` does; return them with their keys.

    Many are streamed to PostgreSQL by COPY, in half the time. Call it inside a transaction. Without
    `keyed`, for rows that are not used any more, their keys are left to the database.
    """
    rows = list(rows)
    if not rows:
        return rows
    connection = connections[router.db_for_write(type(rows[0]))]
    if connection.vendor != "postgresql" or len(rows) < FEW:
        return type(rows[0])._default_manager.bulk_create(rows)
    if keyed:
        _take_keys(rows, connection)
    _copy(rows, connection, keyed=keyed)
    for row in rows:
        row._state.adding, row._state.db = not keyed, connection.alias
    return rows


def _take_keys(rows: Sequence[models.Model], connection: Any) -> None:
    """Give rows the next keys of their table's sequence, if it has one."""
    meta = rows[0]._meta
    if meta.auto_field is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
            [f'"{meta.db_table}"', meta.auto_field.column, len(rows)],
        )
        for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = key


def _copy(rows: Sequence[models.Model], connection: Any, *, keyed: bool) -> None:
    """Stream all columns of rows but those that the database computes."""
    meta = rows[0]._meta
    fields = [
        field
        for field in meta.concrete_fields
        if not field.generated and (keyed or field is not meta.auto_field)
    ]
    copied = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(meta.db_table),
        sql.SQL(", ").join(sql.Identifier(str(field.column)) for field in fields),
    )
    for row in rows:
        row._prepare_related_fields_for_save("insert_rows")  # type: ignore[attr-defined]
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(copied) as copy,
    ):
        for row in rows:
            copy.write_row(
                [
                    field.get_db_prep_save(field.pre_save(row, add=True), connection)
                    for field in fields
                ]
            )


def update_rows(rows: Sequence[models.Model], columns: Sequence[str]) -> None:
    """Save these columns of rows of one model, in one statement that is prepared once.

    Costs as much per row for many rows as for few, unlike `bulk_update`, which writes a condition
    per row and column. Nothing is done for no rows.
    """
    if not rows:
        return
    model = type(rows[0])
    connection = connections[router.db_for_write(model)]
    quoted = connection.ops.quote_name
    by_name = {field.name: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in columns]
    assignments = ", ".join(f"{quoted(str(field.column))} = %s" for field in fields)
    assert model._meta.pk is not None
    values = [
        [
            *(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields),
            row.pk,
        ]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {quoted(model._meta.db_table)} SET {assignments} "
            f"WHERE {quoted(str(model._meta.pk.column))} = %s",
            values,
        )
