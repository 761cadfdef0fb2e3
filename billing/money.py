"""What is owed by age, and an account as a list of what moved it. Pure: no database, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from catalog.money import EXACT, ZERO

BUCKETS = ("current", "1–30", "31–60", "61–90", "90+")
"""Days past due. An invoice is current up to and with the day that it is due."""


class Moved(StrEnum):
    """What moves an account; in the order of a day's entries."""

    INVOICE = "invoice"
    VOID = "void"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    DEPOSIT = "deposit"
    CREDIT = "credit"
    REVERSED = "reversed"
    REFUND = "refund"
    REFUND_REVERSED = "refund_reversed"
    WRITE_OFF = "write_off"
    WRITE_OFF_REVERSED = "write_off_reversed"


_ORDER = list(Moved)


class Owed(NamedTuple):
    """What is open of an invoice."""

    customer_id: int
    currency: str
    due_date: date
    open: Decimal


class Entry(NamedTuple):
    """What changed on an account on a day; positive: the customer owes more."""

    on: date
    moved: Moved
    reference: str
    amount: Decimal
    due_date: date | None = None


class Row(NamedTuple):
    """An entry, and what the customer owes after it."""

    entry: Entry
    balance: Decimal


class Statement(NamedTuple):
    """An account from one day to another, both included; negative: the customer has it with us."""

    opening: Decimal
    rows: Sequence[Row]
    closing: Decimal


class Ageing(NamedTuple):
    """Open amounts of one currency by BUCKETS."""

    buckets: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        return add(self.buckets)


def bucket(due_date: date, *, as_of: date) -> int:
    """Return which of BUCKETS an invoice is in by the end of a day."""
    late = (as_of - due_date).days
    return 0 if late <= 0 else min((late - 1) // 30 + 1, len(BUCKETS) - 1)


def ageing(owed: Iterable[Owed], *, as_of: date) -> Ageing:
    """Add up what is open by how long it is overdue; all of one currency."""
    sums = [ZERO] * len(BUCKETS)
    for one in owed:
        place = bucket(one.due_date, as_of=as_of)
        sums[place] = EXACT.add(sums[place], one.open)
    return Ageing(tuple(sums))


def state_account(entries: Iterable[Entry], *, since: date | None, until: date) -> Statement:
    """Tell an account by its entries: those before `since` are its opening, None: from nothing."""
    ordered = sorted(entries, key=lambda one: (one.on, _ORDER.index(one.moved), one.reference))
    told = [one for one in ordered if one.on <= until]
    before = [one for one in told if since and one.on < since]
    opening = balance = add(one.amount for one in before)
    rows = []
    for entry in told[len(before) :]:
        balance = EXACT.add(balance, entry.amount)
        rows.append(Row(entry, balance))
    return Statement(opening, rows, balance)


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Add up exactly; 0 for nothing."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


class Candidate(NamedTuple):
    """An open invoice that a payment may be for."""

    invoice_id: int
    number: str
    due_date: date
    open: Decimal


class Proposal(NamedTuple):
    """What a payment may pay, by invoice, and why that is thought; nothing where it can't be told."""

    portions: dict[int, Decimal]
    because: str


def propose(amount: Decimal, reference: str, candidates: Iterable[Candidate]) -> Proposal:
    """Propose what a payment pays: the invoices it names, else those that its amount is that of.

    Of several of one amount, the longest due. Never more than is open, or than came.
    """
    found = sorted(candidates, key=lambda one: (one.due_date, one.invoice_id))
    if named := [one for one in found if is_named(one.number, reference)]:
        return Proposal(_spread(amount, named), "named in the reference")
    if exact := [one for one in found if one.open == amount]:
        return Proposal(_spread(amount, exact[:1]), "open for just this amount")
    if found and add(one.open for one in found) == amount:
        return Proposal(_spread(amount, found), "all that is open")
    return Proposal({}, "")


def is_named(number: str, reference: str) -> bool:
    """Say whether a text has the number in it, whatever stands between its letters and digits."""
    pattern = r"[\W_]*".join(map(re.escape, re.findall(r"[A-Za-z]+|[0-9]+", number)))
    whole = rf"(?<![A-Za-z0-9]){pattern}(?![0-9])"
    return bool(pattern) and re.search(whole, reference, re.IGNORECASE | re.ASCII) is not None


def _spread(amount: Decimal, candidates: Iterable[Candidate]) -> dict[int, Decimal]:
    portions = {}
    for one in candidates:
        if portion := min(amount, one.open):
            portions[one.invoice_id] = portion
            amount = EXACT.subtract(amount, portion)
    return portions
