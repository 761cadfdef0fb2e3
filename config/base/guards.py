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


class Consequence(NamedTuple):
    """Run a statement of each database before `event` on any row of `table`."""

    name: str
    table: str
    event: Event
    postgresql: str
    sqlite: str


def immutable(*columns: str) -> str:
    """Return the condition that one of these columns is about to change."""
    return " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns)


def append_only(table: str, *, name: str) -> list[Guard]:
    """Return the guards that let rows of `table` be inserted and nothing else."""
    return [
        Guard(f"{name}_never_changes", table, "UPDATE", "TRUE"),
        Guard(f"{name}_is_never_deleted", table, "DELETE", "TRUE"),
    ]


def install(rules: Sequence[Guard | Consequence], *, connection: BaseDatabaseWrapper) -> None:
    """Create guards and consequences, replacing those of the same name.

    On PostgreSQL, those of one table and event fire in the order of their names.
    """
    render = _postgresql if connection.vendor == "postgresql" else _sqlite
    with connection.cursor() as cursor:
        for rule in rules:
            for statement in render(rule):
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


def install_after_migrate(rules: Sequence[Guard | Consequence]) -> Any:
    """Return a post_migrate receiver for the app that lists `rules`."""

    def receive(sender: AppConfig, using: str, **kwargs: Any) -> None:
        connection = connections[using]
        tables = set(connection.introspection.table_names())
        install([rule for rule in rules if rule.table in tables], connection=connection)

    return receive


def _sqlite(rule: Guard | Consequence) -> list[str]:
    if isinstance(rule, Guard):
        then = f"WHEN ({rule.refuse}) BEGIN SELECT RAISE(ABORT, '{rule.name}')"
    else:
        then = f"BEGIN {rule.sqlite}"
    return [
        f'DROP TRIGGER IF EXISTS "{rule.name}"',
        f'CREATE TRIGGER "{rule.name}" BEFORE {rule.event} ON "{rule.table}" FOR EACH ROW '
        f"{then}; END",
    ]


def _postgresql(rule: Guard | Consequence) -> list[str]:
    row = "OLD" if rule.event == "DELETE" else "NEW"
    if isinstance(rule, Guard):
        then = (
            f"IF ({rule.refuse}) THEN RAISE EXCEPTION '{rule.name}' "
            f"USING ERRCODE = 'check_violation', CONSTRAINT = '{rule.name}'; END IF"
        )
    else:
        then = rule.postgresql
    return [
        f'CREATE OR REPLACE FUNCTION "{rule.name}"() RETURNS trigger LANGUAGE plpgsql AS $guard$ '
        f"BEGIN {then}; RETURN {row}; END $guard$",
        f'CREATE OR REPLACE TRIGGER "{rule.name}" BEFORE {rule.event} ON "{rule.table}" '
        f'FOR EACH ROW EXECUTE FUNCTION "{rule.name}"()',
    ]
