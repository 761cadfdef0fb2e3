"""Statements that libpq itself sends to PostgreSQL, for the path of many events.

Sent by Django or psycopg, a statement costs the time in which ten events are stored. Here each is
prepared once per connection, and its parameters and results are in binary; see `wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg import errors, pq
from psycopg.pq import ExecStatus

Value = bytes | str | None
"""A parameter: bytes are binary, a text is what the server reads, None is NULL."""

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.COPY_IN)
_BINARY = 1
_BEFORE_ROWS = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_AFTER_ROWS = b"\xff\xff"

_numbers = count(1)
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()


class Statement:
    """A statement with the parameters $1, $2 …, each with a cast that says what it is."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._name = b"metering_%d" % next(_numbers)

    def run(self, *values: Value) -> list[list[Any]]:
        """Return its rows, in the current transaction, if there is one. A field is in bytes or None.

        :raises DatabaseError: as Django's cursors do, also where the connection was lost.
        """
        with _libpq() as (database, libpq):
            prepared = _prepared.setdefault(database, set())
            if self._name not in prepared:
                _checked(libpq, libpq.prepare(self._name, self._text))
                prepared.add(self._name)
            sent: list[Any] = [v.encode() if isinstance(v, str) else v for v in values]
            result = libpq.exec_prepared(
                self._name,
                sent,
                [not isinstance(value, str) for value in values],
                _BINARY,
            )
            _checked(libpq, result)
        fields = range(result.nfields)
        return [[result.get_value(row, field) for field in fields] for row in range(result.ntuples)]


def copy_in(table: str, columns: str, rows: Iterable[bytes]) -> None:
    """Write rows by COPY, in binary: how many fields it has, then each behind its length.

    :raises DatabaseError: as Django's cursors do, also where the connection was lost.
    """
    sent = b"".join((_BEFORE_ROWS, *rows, _AFTER_ROWS))
    with _libpq() as (_, libpq):
        command = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
        _checked(libpq, libpq.exec_(command.encode()))
        libpq.put_copy_data(sent)
        libpq.put_copy_end()
        result = libpq.get_result()
        while libpq.get_result():
            pass
        _checked(libpq, result)


@contextmanager
def _libpq() -> Iterator[tuple[psycopg.Connection[Any], pq.abc.PGconn]]:
    """Give Django's connection and what libpq calls it, within a transaction where Django wants one."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    database = connection.connection
    with connection.wrap_database_errors:
        libpq = database.pgconn
        if not database.autocommit and libpq.transaction_status == pq.TransactionStatus.IDLE:
            _checked(libpq, libpq.exec_(b"BEGIN"))
        yield database, libpq


def _checked(libpq: pq.abc.PGconn, result: pq.abc.PGresult | None) -> None:
    if result is not None and result.status in _DONE:
        return
    if result is None or libpq.status == pq.ConnStatus.BAD:  # then the server has said nothing
        raise psycopg.OperationalError(libpq.get_error_message())
    raise errors.error_from_result(result)
