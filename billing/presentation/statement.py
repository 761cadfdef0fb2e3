"""A statement of account as plain values, in its reader's words: for portal, admin and PDF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.accounts import Position
from billing.money import BUCKETS, Row, Statement, add
from billing.parties import buyer_of, seller_of
from billing.presentation.colours import palette
from billing.presentation.invoice import party_view
from billing.presentation.reader import Reader, clean
from billing.presentation.views import Fact, Palette, PartyView
from catalog.money import ZERO
from customers.models import Customer, Issuer

SPANS = ("", "1–30", "31–60", "61–90", "90+")
assert len(SPANS) == len(BUCKETS)


@dataclass(frozen=True, slots=True)
class MovedView:
    on: str
    what: str
    reference: str
    due: str
    amount: str
    balance: str


@dataclass(frozen=True, slots=True)
class StatementView:
    language: str
    words: Mapping[str, str]
    palette: Palette
    heading: str
    title: str
    seller: PartyView
    buyer: PartyView
    identity: tuple[Fact, ...]
    label: str
    """Whether the customer owes, or has it with us."""
    amount: str
    rows: tuple[MovedView, ...]
    buckets: tuple[Fact, ...]
    """What is open by days past due, and what that comes to; empty where nothing is."""


def present_statement(
    told: Statement,
    position: Position | None,
    *,
    customer: Customer,
    issuer: Issuer | None,
    currency: str,
    until: date,
    locale: str,
) -> StatementView:
    """Word and format an account by the end of a day, with what is open then; asks nothing."""
    reader = Reader(locale, currency)
    seller, buyer = seller_of(issuer) if issuer else {}, buyer_of(customer)
    heading = reader.say("statement")
    return StatementView(
        language=reader.language,
        words=reader.words,
        palette=palette(seller.get("accent_colour")),
        heading=heading,
        title=" · ".join(filter(None, [heading, clean(customer.name), until.isoformat()])),
        seller=party_view(seller, reader),
        buyer=party_view(buyer, reader),
        identity=(
            Fact(reader.say("statement_until"), reader.long_date(until)),
            Fact(reader.say("customer"), customer.key),
            Fact(reader.say("statement_currency"), currency),
        ),
        label=reader.say("statement_with_you" if told.closing < 0 else "statement_owed"),
        amount=reader.money(abs(told.closing)),
        rows=tuple(_row(row, reader) for row in told.rows),
        buckets=tuple(_buckets(position, reader)) if position else (),
    )


def _row(row: Row, reader: Reader) -> MovedView:
    entry = row.entry
    return MovedView(
        on=reader.day(entry.on),
        what=reader.say(f"moved_{entry.moved}"),
        reference=clean(entry.reference),
        due=reader.day(entry.due_date) if entry.due_date else "",
        amount=reader.rounded(entry.amount),
        balance=reader.rounded(row.balance),
    )


def _buckets(position: Position, reader: Reader) -> Iterator[Fact]:
    for span, amount in zip(SPANS, position.ageing.buckets, strict=True):
        key = "days_overdue" if span else "not_due"
        yield Fact(reader.say(key, days=span), reader.rounded(amount))
    with_you: Decimal = add([position.balance, position.deposits])
    if with_you != ZERO:
        yield Fact(reader.say("statement_taken_off"), reader.rounded(-with_you))
    yield Fact(reader.say("statement_owed"), reader.rounded(position.total))
