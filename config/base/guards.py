"""Guards: rules about rows that Django's constraints can't state, kept by database triggers.

A guard is a condition over OLD and NEW, in SQL that PostgreSQL and SQLite both read. Where it
holds, the statement fails with the guard's name as an IntegrityError. Each app lists its guards
in `triggers.py`; they are installed after every migrate. On SQLite they are dropped before it,
since there a table can't be rebuilt while triggers of other tables name it.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from django.apps import AppConfig
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

Event = Literal["INSERT", "UPDATE", "DELETE"]


class Guard(NamedTuple):
    """Refuse `event` on a row of `table` where `refuse` holds; `name` says the rule."""

    name: str
    table: str
    event: Event
    refuse: str


def immutable(*columns: str) -> str:
    """Return the condition that one of these columns is about to change."""
    return " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns)


def append_only(table: str, *, name: str) -> list[Guard]:
    """Return the guards that let rows of `table` be inserted and nothing else."""
    return [
        Guard(f"{name}_never_changes", table, "UPDATE", "TRUE"),
        Guard(f"{name}_is_never_deleted", table, "DELETE", "TRUE"),
    ]


def install(guards: Sequence[Guard], *, connection: BaseDatabaseWrapper) -> None:
    """Create the guards, replacing those of the same name."""
    render = _postgresql if connection.vendor == "postgresql" else _sqlite
    with connection.cursor() as cursor:
        for guard in guards:
            for statement in render(guard):
                cursor.execute(statement)


def drop_all(*, connection: BaseDatabaseWrapper) -> None:
    """Drop every trigger of a SQLite database; do nothing on PostgreSQL."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{name}"')


def drop_before_migrate(using: str, **kwargs: Any) -> None:
    """Receive pre_migrate."""
    drop_all(connection=connections[using])


def install_after_migrate(guards: Sequence[Guard]) -> Any:
    """Return a post_migrate receiver for the app that lists `guards`."""

    def receive(sender: AppConfig, using: str, **kwargs: Any) -> None:
        connection = connections[using]
        tables = set(connection.introspection.table_names())
        install([guard for guard in guards if guard.table in tables], connection=connection)

    return receive


def _sqlite(guard: Guard) -> list[str]:
    return [
        f'DROP TRIGGER IF EXISTS "{guard.name}"',
        f'CREATE TRIGGER "{guard.name}" BEFORE {guard.event} ON "{guard.table}" FOR EACH ROW '
        f"WHEN ({guard.refuse}) BEGIN SELECT RAISE(ABORT, '{guard.name}'); END",
    ]


def _postgresql(guard: Guard) -> list[str]:
    row = "OLD" if guard.event == "DELETE" else "NEW"
    return [
        f'CREATE OR REPLACE FUNCTION "{guard.name}"() RETURNS trigger LANGUAGE plpgsql AS $guard$ '
        f"BEGIN IF ({guard.refuse}) THEN RAISE EXCEPTION '{guard.name}' "
        f"USING ERRCODE = 'check_violation', CONSTRAINT = '{guard.name}'; "
        f"END IF; RETURN {row}; END $guard$",
        f'CREATE OR REPLACE TRIGGER "{guard.name}" BEFORE {guard.event} ON "{guard.table}" '
        f'FOR EACH ROW EXECUTE FUNCTION "{guard.name}"()',
    ]
