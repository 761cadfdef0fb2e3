"""Lists of events, of which there are millions."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

COUNTED_UP_TO = 10_000


class CappedPaginator(Paginator[Any]):
    """Pages through the first 10,000 rows, so that nobody waits for millions to be counted."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:COUNTED_UP_TO].count())
