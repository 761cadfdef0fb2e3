"""Lines of a bank's statement: money that came in, and lines that can't be taken, each with why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple


class BankLine(NamedTuple):
    """Money that came in. `number` is its place in the file, from 1; `key` names it for ever."""

    number: int
    on: date
    amount: Decimal
    currency: str
    reference: str
    payer: str
    key: str


class Unread(NamedTuple):
    """A line that is not taken, and why."""

    number: int
    because: str


class Reading(NamedTuple):
    lines: list[BankLine]
    unread: list[Unread]


class StatementUnreadable(Exception):
    """The file as a whole is not what it should be; says what it is."""


def named_by_content(lines: Iterable[BankLine]) -> list[BankLine]:
    """Give lines that the bank did not name a key of what they say.

    Of lines that say the same, each its own: exports that overlap by whole days name them alike.
    """
    seen: Counter[str] = Counter()
    named = []
    for line in lines:
        if not line.key:
            said = "\x1f".join([line.on.isoformat(), f"{line.amount.normalize():f}", *line[3:6]])
            seen[said] += 1
            digest = hashlib.sha256(f"{said}\x1f{seen[said]}".encode()).hexdigest()
            line = line._replace(key=f"line-{digest}")
        named.append(line)
    return named
