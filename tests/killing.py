"""Ending what runs before one of its statements, as a kill of the process would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection


class _Killed(BaseException):
    """What a killed process is to what it ran: nothing catches it."""


def killed_before(statement: int, what: Callable[[], object]) -> bool:
    """Run it, and be killed before a statement, counted from 1; say whether that came."""
    count = 0

    def kill(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == statement:
            raise _Killed
        return execute(*arguments)

    try:
        with connection.execute_wrapper(kill):
            what()
    except _Killed:
        return True
    return False
