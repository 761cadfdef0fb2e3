"""Several at once, each with a connection of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection

from config.base.errors import KeyTaken, Refusal

ROUNDS = int(os.environ.get("DEEP_ROUNDS") or 4)
"""How often chance may decide who comes first."""


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Call all of these at the same moment; give what each returned or refused."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return call()
        except (Refusal, KeyTaken) as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
