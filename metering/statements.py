"""Statements that libpq itself sends to PostgreSQL, for the path of many events.

Sent by Django or psycopg, a statement costs the time in which ten events are stored. Here each is
prepared once per connection, and its parameters and results are in binary; see `wire`.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import errors, pq
from psycopg.pq import ExecStatus

Value = bytes | str | None
"""A parameter: bytes are binary, a text is what the server reads, None is NULL."""

Rows = list[list[Any]]
"""The rows of a statement; each field in binary, or None."""

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_BINARY = 1

_numbers = count(1)
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()


class Statement:
    """A statement with the parameters $1, $2 …, each with a cast that says what it is."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.name = b"metering_%d" % next(_numbers)

    def run(self, *values: Value) -> Rows:
        """Return its rows, in the current transaction, if there is one.

        :raises DatabaseError: as Django's cursors do, also where the connection was lost.
        """
        with _libpq() as (database, libpq, begins):
            if begins or self.name not in _prepared.setdefault(database, set()):
                [rows] = run_together((self, values))
                return rows
            sent: Sequence[Any] = _sent(values)  # which may be None, for NULL
            result = libpq.exec_prepared(self.name, sent, _formats(values), _BINARY)
            _check(libpq, result)
            return _rows(result)


Asked = tuple[Statement, Sequence[Value]]
"""A statement with its values."""


def run_together(*asked: Asked, commit: bool = False) -> list[Rows]:
    """Return the rows of each of some statements, run one after the other in one round trip.

    Where one fails, those after it do not run. With `commit` the transaction ends with them, and
    whoever opened it finds nothing left to end.

    :raises DatabaseError: as Django's cursors do, also where the connection was lost.
    """
    with _libpq() as (database, libpq, begins):
        prepared = _prepared.setdefault(database, set())
        new = list(dict.fromkeys(one for one, _ in asked if one.name not in prepared))
        libpq.enter_pipeline_mode()
        if begins:
            libpq.send_query_params(b"BEGIN", None)
        for statement in new:
            libpq.send_prepare(statement.name, statement.text)
        for statement, values in asked:
            libpq.send_query_prepared(statement.name, _sent(values), _formats(values), _BINARY)
        if commit:
            libpq.send_query_params(b"COMMIT", None)
        libpq.pipeline_sync()
        results = _until_synced(libpq)
        libpq.exit_pipeline_mode()
        prepared.update(
            statement.name
            for statement, result in zip(new, results[begins:], strict=False)
            if result.status in _DONE  # and stays so where one after it fails
        )
        for result in results:
            _check(libpq, result)
        first = begins + len(new)
        return [_rows(result) for result in results[first : first + len(asked)]]


@contextmanager
def _libpq() -> Iterator[tuple[psycopg.Connection[Any], pq.abc.PGconn, bool]]:
    """Give Django's connection, what libpq calls it, and whether a transaction is to begin first."""
    django = connections[DEFAULT_DB_ALIAS]
    django.close_if_health_check_failed()
    django.ensure_connection()
    database = django.connection
    with django.wrap_database_errors:
        libpq = database.pgconn
        is_idle = libpq.transaction_status == pq.TransactionStatus.IDLE
        yield database, libpq, is_idle and not database.autocommit


def _until_synced(libpq: pq.abc.PGconn) -> list[pq.abc.PGresult]:
    """Return the results before the one that says that all is done.

    Waits outside of Python's lock, which libpq's own waiting would keep.
    """
    results: list[pq.abc.PGresult] = []
    ready = select.poll()
    ready.register(libpq.socket, select.POLLIN)
    while True:
        while libpq.is_busy():
            ready.poll()
            libpq.consume_input()
        result = libpq.get_result()
        if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
            return results
        if result is not None:
            results.append(result)
        elif libpq.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError(libpq.get_error_message())


def _sent(values: Sequence[Value]) -> list[bytes | None]:
    return [value.encode() if isinstance(value, str) else value for value in values]


def _formats(values: Sequence[Value]) -> list[int]:
    """Return which values are in binary."""
    return [0 if isinstance(value, str) else _BINARY for value in values]


def _rows(result: pq.abc.PGresult) -> Rows:
    fields, value = range(result.nfields), result.get_value
    return [[value(row, field) for field in fields] for row in range(result.ntuples)]


def _check(libpq: pq.abc.PGconn, result: pq.abc.PGresult) -> None:
    if result.status in _DONE:
        return
    if libpq.status == pq.ConnStatus.BAD:  # then the server has said nothing
        raise psycopg.OperationalError(libpq.get_error_message())
    raise errors.error_from_result(result)
