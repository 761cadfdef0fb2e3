"""Lines of a bank's statement: money that came in, and lines that can't be taken, each with why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from config.base.fields import NOT_IN_A_LINE

_LONGEST = 200  # characters of what a payer wrote


class BankLine(NamedTuple):
    """Money that came in. `number` is its place in the file, from 1; `key` names it for ever.

    As it is read, `key` is what the bank calls it, or empty.
    """

    number: int
    on: date
    amount: Decimal
    currency: str
    reference: str
    payer: str
    key: str


class Unread(NamedTuple):
    """A line that is not taken, and why; `about` is what it says: day, amount, whose, what for."""

    number: int
    because: str
    about: str = ""


class Reading(NamedTuple):
    lines: list[BankLine]
    unread: list[Unread]


def one_line(text: str) -> str:
    """Return what somebody wrote as one line of at most 200 characters that can all be seen."""
    return " ".join(NOT_IN_A_LINE.sub(" ", text).split())[:_LONGEST]


def told(*texts: str) -> str:
    """Return what a line that is not taken says, as far as it says something."""
    return one_line(" · ".join(filter(None, map(str.strip, texts))))


class StatementUnreadable(Exception):
    """The file as a whole is not what it should be; says what it is."""


def named(lines: Iterable[BankLine]) -> list[BankLine]:
    """Give each line a key of what it says: its bank's name for it, or else its texts.

    A bank's name alone is none: many write "NONREF", and a standing order bears the same each
    month. Of lines that say the same, each its own: exports that overlap by whole days name them
    alike.
    """
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        texts = [line.key] if line.key else [line.reference, line.payer]
        amount = f"{line.amount.normalize():f}"
        said = "\x1f".join([line.on.isoformat(), amount, line.currency, *texts])
        seen[said] += 1
        digest = hashlib.sha256(f"{said}\x1f{seen[said]}".encode()).hexdigest()
        found.append(line._replace(key=f"line-{digest}"))
    return found
