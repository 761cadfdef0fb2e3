"""What ends a test that commits: the tables that it wrote to are emptied again.

Django's flush would empty every table there is, and have all guards, permissions and groups made
again, which takes longer than most of these tests.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection, transaction

from customers.issuer import create_first_issuer
from metering.services.months import make_months_after_migrate

KEPT = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
"""What every migrate writes again, and no test that commits changes."""


def empty() -> None:
    """Leave what a new installation has, whatever guards keep in its tables."""
    with connection.constraint_checks_disabled(), transaction.atomic():
        written = _tables_with_rows()
        if connection.vendor == "postgresql":
            _rows("SET LOCAL session_replication_role = replica")  # no trigger is asked
            _delete(written)
        else:
            triggers = [
                (name, statement)
                for name, table, statement in _rows(
                    "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
                )
                if table in written
            ]
            for name, _ in triggers:
                _rows(f'DROP TRIGGER "{name}"')
            _delete(written)
            for _, statement in triggers:
                _rows(statement)
    create_first_issuer(apps.get_app_config("customers"), using=connection.alias)
    make_months_after_migrate(using=connection.alias)


def _tables_with_rows() -> set[str]:
    tables = set(connection.introspection.django_table_names(only_existing=True)).difference(KEPT)
    asked = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM \"{name}\")" for name in sorted(tables)]
    return {name for (name,) in _rows(" UNION ALL ".join(asked))}


def _delete(tables: set[str]) -> None:
    for table in sorted(tables):
        _rows(f'DELETE FROM "{table}"')


def _rows(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
