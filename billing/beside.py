"""What leaves an invoice for credit notes that are issued with it (R32a).

Where the total would be below zero, credits of what earlier invoices billed are given by credit notes
against those; what can't be credited of them becomes the customer's balance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from billing.calculation import Tax, Taxed, add_up, totals
from billing.creditable import SETTLED_TOGETHER, books_of
from billing.crediting import Asked, Book, Credit
from billing.models import (
    CreditNote,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Payment,
)
from catalog.money import EXACT, ZERO, exponent
from config.base.errors import Refusal
from customers.models import Customer


class CreditOutdated(Refusal):
    """What a draft credits of an earlier invoice was undone since."""

    code = "draft_outdated"


class Carrier(NamedTuple):
    """An invoice, saved or not, and the credits that leave it."""

    invoice: Invoice
    leaving: Sequence[InvoiceLine]


class Told(NamedTuple):
    """What a reader is told of a credit note beside an invoice: its number once it is issued, the
    invoice that it credits, its total, and the kinds of what it gives."""

    note: CreditNote | None
    invoice: Invoice
    total: Decimal
    causes: list[str]


class ToldBeside(NamedTuple):
    """What is or will be issued with an invoice: credit notes, and what becomes balance."""

    notes: list[Told]
    balance: Decimal
    leaving: Sequence[InvoiceLine]


NOTHING_BESIDE = ToldBeside([], ZERO, [])


@dataclass(frozen=True)
class NoteBeside:
    """A credit note against an earlier invoice, which is loaded `with_lines`.

    `settles` is the credit that each of its lines gives, by the line of the earlier invoice.
    """

    invoice: Invoice
    book: Book
    credit: Credit
    settles: Mapping[int, InvoiceLine]

    @property
    def causes(self) -> list[str]:
        """The kinds of what it gives, each once."""
        return list(dict.fromkeys(line.kind for line in self.settles.values()))


class Rest(NamedTuple):
    """What becomes the balance of who was billed, tax included, and the numbers of what billed it."""

    customer: Customer
    amount: Decimal
    of: list[str]


@dataclass(frozen=True)
class Beside:
    """What is issued with an invoice: credit notes, in the order of the invoices that they credit, and
    what can't be credited of these."""

    notes: Sequence[NoteBeside]
    balance: Sequence[Rest]


def issued_with(carriers: Iterable[Carrier]) -> list[Beside]:
    """Return what is issued with open invoices as they are drawn, if they were issued now, one by one.

    Credits come off the line that billed it; of usage, off the close's lines first. A constant number
    of queries, and none without a credit that leaves.

    :raises CreditOutdated: if nothing stands any more of what one credits.
    """
    carriers = list(carriers)
    every = [line for one in carriers for line in one.leaving]
    if not every:
        return [Beside([], []) for _ in carriers]
    billed = _billed(every)
    ids = {line.invoice_id for lines in billed.values() for line in lines}
    earlier = Invoice.objects.with_lines().filter(pk__in=ids).order_by("pk")
    invoices = {one.pk: one for one in earlier}
    drafts = [one.invoice.pk for one in carriers if one.invoice.pk]
    books = books_of(list(invoices.values()), beside=drafts)
    return [_issued_with(one, billed, invoices, books) for one in carriers]


def _issued_with(
    carrier: Carrier,
    billed: Mapping[UUID, Sequence[InvoiceLine]],
    invoices: Mapping[int, Invoice],
    books: Mapping[int, Book],
) -> Beside:
    wanted, settles = _wanted(carrier.leaving, billed, books)
    notes = []
    given: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
    for pk in sorted(wanted):
        if asked := books[pk].at_most(wanted[pk]):
            mine = {one.line_id: settles[one.line_id] for one in asked}
            notes.append(NoteBeside(invoices[pk], books[pk], books[pk].credit(asked), mine))
            for one in asked:
                assert one.amount is not None
                line = settles[one.line_id].uuid
                given[line] = EXACT.add(given[line], one.amount)
    rests = [
        (line, EXACT.subtract(EXACT.minus(line.priced), given[line.uuid]))
        for line in carrier.leaving
    ]
    first = {line.uuid: invoices[billed[line.uuid][0].invoice_id] for line in carrier.leaving}
    places, include_tax = exponent(carrier.invoice.currency), carrier.invoice.prices_include_tax
    return Beside(notes, list(_balance(rests, first, places, include_tax=include_tax)))


def told_beside(carriers: Sequence[Carrier]) -> dict[UUID, ToldBeside]:
    """Tell what was issued with these invoices, or would be with those that are open, by `uuid`.

    Nothing of an open one of which what it credits was undone since: it has to be recalculated. A
    constant number of queries.
    """
    found = _told_issued([one for one in carriers if one.invoice.issued_at])
    planned = [one for one in carriers if not one.invoice.issued_at]
    try:
        plans = issued_with(planned)
    except CreditOutdated:
        plans = [Beside([], []) for _ in planned]
    for carrier, plan in zip(planned, plans, strict=True):
        notes = [Told(None, one.invoice, one.credit.total, one.causes) for one in plan.notes]
        balance = add_up(rest.amount for rest in plan.balance)
        found[carrier.invoice.uuid] = ToldBeside(notes, balance, carrier.leaving)
    return found


def _told_issued(carriers: Sequence[Carrier]) -> dict[UUID, ToldBeside]:
    if not carriers:
        return {}
    ids = [one.invoice.pk for one in carriers]
    notes: dict[int | None, list[Told]] = defaultdict(list)
    rows = CreditNote.objects.filter(issued_with__in=ids).select_related("invoice").order_by("pk")
    for note in rows.prefetch_related("lines__settles"):
        causes = [line.settles.kind for line in note.lines.all() if line.settles]
        told = Told(note, note.invoice, note.total, list(dict.fromkeys(causes)))
        notes[note.issued_with_id].append(told)
    kept: dict[int | None, Decimal] = defaultdict(lambda: ZERO)
    for payment in Payment.objects.filter(left_of__in=ids):
        kept[payment.left_of_id] = EXACT.add(kept[payment.left_of_id], payment.amount)
    return {
        one.invoice.uuid: ToldBeside(notes[one.invoice.pk], kept[one.invoice.pk], one.leaving)
        for one in carriers
    }


def beside(invoice: Invoice) -> ToldBeside:
    """Tell what is or will be issued with a saved invoice; no query where there is nothing."""
    carriers = carriers_of([invoice])
    return told_beside(carriers)[invoice.uuid] if carriers else NOTHING_BESIDE


def credited_with(carriers: Iterable[Carrier]) -> set[int]:
    """Return the ids of the invoices that are credited with these open ones.

    :raises CreditOutdated: if nothing stands any more of what one credits.
    """
    leaving = [line for one in carriers for line in one.leaving]
    billed = _billed(leaving) if leaving else {}
    return {line.invoice_id for lines in billed.values() for line in lines}


def carriers_of(invoices: Iterable[Invoice]) -> list[Carrier]:
    """Return those of these invoices that credits left, with these, in order; at most one query."""
    carrying = [one for one in invoices if one.credited_beside]
    if not carrying:
        return []
    rows = InvoiceLine.every.filter(invoice__in=carrying, leaves=True).order_by("position")
    left: dict[int, list[InvoiceLine]] = defaultdict(list)
    for line in rows.select_related("price__metric", "period", "subscription__customer"):
        left[line.invoice_id].append(line)
    return [Carrier(one, left[one.pk]) for one in carrying]


def _wanted(
    leaving: Sequence[InvoiceLine],
    billed: Mapping[UUID, Sequence[InvoiceLine]],
    books: Mapping[int, Book],
) -> tuple[dict[int, list[Asked]], dict[int, InvoiceLine]]:
    """Say what is wanted of each earlier invoice, and which credit each of its lines gives."""
    wanted: dict[int, list[Asked]] = defaultdict(list)
    settles: dict[int, InvoiceLine] = {}
    for line in leaving:
        rest = EXACT.minus(line.priced)
        for one in billed[line.uuid]:
            row = books[one.invoice_id].line(one.pk)
            part = min(rest, row.left) if row else ZERO
            if part > 0:
                wanted[one.invoice_id].append(Asked(one.pk, part))
                settles[one.pk] = line
                rest = EXACT.subtract(rest, part)
    return wanted, settles


def _billed(leaving: Sequence[InvoiceLine]) -> dict[UUID, list[InvoiceLine]]:
    """Return, by credit, the lines of issued invoices that charged what it credits; its close's first.

    :raises CreditOutdated: if one has none.
    """
    charged = Q(pk__in=[line.credited_id for line in leaving if line.kind == LineKind.CREDIT])
    for line in leaving:
        if line.kind != LineKind.CREDIT:
            charged |= _charging(line)
    rows = InvoiceLine.objects.filter(charged, invoice__status=InvoiceStatus.ISSUED, net__gt=0)
    lines = list(rows.order_by("invoice_id", "position"))
    found = {line.uuid: [one for one in lines if _credits(line, one)] for line in leaving}
    for line in leaving:
        if not found[line.uuid]:
            raise CreditOutdated(
                f"“{line.description}” credits what is not billed any more: recalculate it first."
            )
    return found


def _charging(line: InvoiceLine) -> Q:
    if line.kind == LineKind.COMMITMENT:
        return Q(kind=LineKind.COMMITMENT, period=line.period_id)
    return Q(kind__in=SETTLED_TOGETHER, period=line.period_id, price=line.price_id)


def _credits(line: InvoiceLine, billed: InvoiceLine) -> bool:
    if line.kind == LineKind.CREDIT:
        return billed.pk == line.credited_id
    kinds: Any = (LineKind.COMMITMENT,)
    if line.kind == LineKind.LATE:
        kinds = SETTLED_TOGETHER
    same = (billed.period_id, billed.price_id) == (line.period_id, line.price_id)
    return same and billed.kind in kinds


def _balance(
    rests: Sequence[tuple[InvoiceLine, Decimal]],
    billed: Mapping[UUID, Invoice],
    places: int,
    *,
    include_tax: bool,
) -> Iterator[Rest]:
    """Yield what was not credited, for each who was billed by the invoices."""
    lines: dict[Customer, list[Taxed]] = defaultdict(list)
    numbers: dict[Customer, list[str]] = defaultdict(list)
    for line, amount in rests:
        if amount:
            invoice = billed[line.uuid]
            taxed = Taxed(amount, Tax(line.tax_category, line.tax_rate))
            lines[invoice.customer].append(taxed)
            numbers[invoice.customer].append(str(invoice))
    for customer, some in lines.items():
        whole = totals(some, exponent=places, include_tax=include_tax).total
        yield Rest(customer, whole, list(dict.fromkeys(numbers[customer])))
