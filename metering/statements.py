"""Statements that libpq itself sends to PostgreSQL, for the path of many events.

Sent by Django or psycopg, a statement costs the time in which ten events are stored. Here each is
prepared once per connection, and its parameters and results are in binary; see `wire`.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
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

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.COPY_IN)
_BINARY = 1
_ROWS_AT_ONCE = 200  # so that the server stores the first while the last are being written
_BEFORE_ROWS = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_AFTER_ROWS = b"\xff\xff"

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
        [rows] = run_together((self, values))
        return rows


Asked = tuple[Statement, Sequence[Value]]
"""A statement with its values."""


def run_together(*asked: Asked) -> list[Rows]:
    """Return the rows of each of some statements, run one after the other in one round trip.

    Where one fails, those after it do not run.

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
            libpq.send_query_prepared(
                statement.name,
                [value.encode() if isinstance(value, str) else value for value in values],
                [not isinstance(value, str) for value in values],
                _BINARY,
            )
        libpq.pipeline_sync()
        results = _until(libpq, ExecStatus.PIPELINE_SYNC)
        libpq.exit_pipeline_mode()
        prepared.update(
            statement.name
            for statement, result in zip(new, results[begins:], strict=False)
            if result.status in _DONE  # and stays so where one after it fails
        )
        for result in results:
            _check(libpq, result)
        return [_rows(result) for result in results[-len(asked) :]]


@contextmanager
def copying(table: str, columns: str, rows: Iterable[bytes]) -> Iterator[None]:
    """Write rows by COPY, in binary: how many fields it has, then each behind its length.

    What stands in the block is done while the server stores them, and sends it nothing.

    :raises DatabaseError: as Django's cursors do, also where the connection was lost.
    """
    with _libpq() as (_, libpq, begins):
        if begins:
            _check(libpq, libpq.exec_(b"BEGIN"))
        command = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
        _check(libpq, libpq.exec_(command.encode()))
        libpq.put_copy_data(_BEFORE_ROWS)
        left = iter(rows)
        while part := b"".join(islice(left, _ROWS_AT_ONCE)):
            libpq.put_copy_data(part)
        libpq.put_copy_data(_AFTER_ROWS)
        libpq.put_copy_end()
    try:
        yield
    finally:
        with connections[DEFAULT_DB_ALIAS].wrap_database_errors:
            for result in _until(libpq, None):
                _check(libpq, result)


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


def _until(libpq: pq.abc.PGconn, last: ExecStatus | None) -> list[pq.abc.PGresult]:
    """Return the results before the one that says that all is done, or before the end.

    Waits outside of Python's lock, which libpq's own waiting would keep.
    """
    results, ready = [], select.poll()
    ready.register(libpq.socket, select.POLLIN)
    while True:
        while libpq.is_busy():
            ready.poll()
            libpq.consume_input()
        result = libpq.get_result()
        if result is not None and result.status != last:
            results.append(result)
        elif result is not None or last is None:
            return results
        elif libpq.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError(libpq.get_error_message())


def _rows(result: pq.abc.PGresult) -> Rows:
    fields, value = range(result.nfields), result.get_value
    return [[value(row, field) for field in fields] for row in range(result.ntuples)]


def _check(libpq: pq.abc.PGconn, result: pq.abc.PGresult) -> None:
    if result.status in _DONE:
        return
    if libpq.status == pq.ConnStatus.BAD:  # then the server has said nothing
        raise psycopg.OperationalError(libpq.get_error_message())
    raise errors.error_from_result(result)
