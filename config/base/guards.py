"""Guards: rules about rows that Django's constraints can't state, kept by database triggers.

A guard is a condition over OLD and NEW, in SQL that PostgreSQL and SQLite both read. Where it
holds, the statement fails with the guard's name as an IntegrityError. Each app lists its guards
in `triggers.py`; they are installed after every migrate. On SQLite they are dropped before it,
since there a table can't be rebuilt while triggers of other tables name it.

PostgreSQL's TRUNCATE asks no rule about rows, so a table whose rows are guarded against change or
deletion is never emptied at all, nor is a partition of it.
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
    for table in guarded_tables(rules):
        keep_from_emptying(table, connection=connection)


def guarded_tables(rules: Sequence[Guard | Consequence]) -> list[str]:
    """Return the tables some of whose rows must stay, or stay as they are."""
    guards = [rule for rule in rules if isinstance(rule, Guard) and rule.event != "INSERT"]
    return sorted({guard.table for guard in guards})


def keep_from_emptying(table: str, *, connection: BaseDatabaseWrapper) -> None:
    """Refuse TRUNCATE of a table and of its partitions, where there is such a thing."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(_REFUSE_EMPTYING)
        cursor.execute(
            "SELECT %s::regclass::text UNION SELECT relid::text FROM pg_partition_tree(%s)",
            (table, table),
        )
        for (part,) in cursor.fetchall():
            cursor.execute(part_never_emptied(table, part))


def part_never_emptied(table: str, part: str) -> str:
    """Return the statement that refuses TRUNCATE of a table or of one of its partitions.

    For one that is about to be attached, which nobody uses yet: it locks nothing else.
    """
    rule = never_emptied(table)
    return (
        f'CREATE OR REPLACE TRIGGER "{rule}" BEFORE TRUNCATE ON {part} '
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_emptying('{rule}')"
    )


def never_emptied(table: str) -> str:
    """Return the name of the rule that a table is never emptied."""
    return f"{table}_is_never_emptied"


_REFUSE_EMPTYING = """
    CREATE OR REPLACE FUNCTION refuse_emptying() RETURNS trigger LANGUAGE plpgsql AS $guard$
    BEGIN
        RAISE EXCEPTION '%', TG_ARGV[0]
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
    END $guard$"""


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
