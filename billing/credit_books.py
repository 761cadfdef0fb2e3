"""What must always hold of credit notes; `manage.py audit` looks for what contradicts it.

Amounts are computed here once more, from the rows alone and not with what wrote them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import reduce

from django.db.models import Q

from billing.exchange import converted
from billing.included_tax import priced_share
from billing.models import (
    CreditNote,
    CreditNoteLine,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    OpenItem,
    Payment,
)
from billing.models.invoices import FINAL
from catalog.money import EXACT, ZERO, exponent, round_half_up
from config.base.fields import ExactSum
from config.base.invariants import Finding, Invariant


def _add(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, ZERO)


def _unlike(who: str, told: dict[str, tuple[Decimal, Decimal]]) -> Iterator[Finding]:
    for what, (expected, actual) in told.items():
        if expected != actual:
            difference = f"{EXACT.subtract(actual, expected):f}"
            yield Finding(f"{who}, {what}", f"{expected:f}", f"{actual:f}", difference)


def _totals_that_differ(at: datetime) -> Iterator[Finding]:
    notes = CreditNote.objects.prefetch_related("lines__line", "taxes").order_by("pk")
    for note in notes.iterator(chunk_size=500):
        lines, taxes = list(note.lines.all()), list(note.taxes.all())
        counted = (note.line_count, note.tax_count)
        if counted != (len(lines), len(taxes)):
            found = f"{len(lines)} and {len(taxes)}"
            yield Finding(f"{note}, lines and taxes", f"{counted[0]} and {counted[1]}", found)
        uses = (note.off_open, note.off_written_off, note.to_deposits, note.to_balance)
        told = {
            "net": (_add(line.net for line in lines), note.net_total),
            "tax": (_add(tax.amount for tax in taxes), note.tax_total),
            "total": (EXACT.add(note.net_total, note.tax_total), note.total),
            "what it is used for": (note.total, _add([*uses, note.refunded])),
        }
        for tax in taxes:
            alike = [
                line.net
                for line in lines
                if (line.line.tax_category, line.line.tax_rate) == (tax.category, tax.rate)
            ]
            told[f"base of {tax}"] = (_add(alike), tax.base)
        yield from _unlike(str(note), told)


def _lines_credited_beyond(at: datetime) -> Iterator[Finding]:
    """Find lines of which more was credited than they came to after coupons, or not in a chain."""
    rows = CreditNoteLine.objects.select_related("line__invoice", "note").order_by("line_id", "pk")
    taken: dict[tuple[int, int], Decimal] = defaultdict(lambda: ZERO)
    noted = InvoiceAllowance.objects.filter(invoice__credit_notes__isnull=False).distinct()
    for allowance in noted.iterator():
        for share in allowance.shares:
            place = allowance.invoice_id, share["line"]
            taken[place] = EXACT.add(taken[place], priced_share(share))
    so_far: dict[int, Decimal] = defaultdict(lambda: ZERO)
    units: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for row in rows.iterator():
        line = row.line
        who = f"line {line.uuid} on {row.note}"
        worth = EXACT.subtract(line.priced, taken[line.invoice_id, line.position])
        yield from _unlike(
            who,
            {
                "creditable": (worth, row.creditable),
                "credited before": (so_far[line.pk], row.credited_before),
            },
        )
        so_far[line.pk] = EXACT.add(so_far[line.pk], row.priced)
        if abs(so_far[line.pk]) > abs(worth):
            yield Finding(f"{who}, credited", f"up to {worth:f}", f"{so_far[line.pk]:f}")
        units[line.pk] = EXACT.add(units[line.pk], row.quantity or ZERO)
        if row.quantity and units[line.pk] > line.quantity:
            yield Finding(f"{who}, units", f"up to {line.quantity:f}", f"{units[line.pk]:f}")
        if line.invoice_id != row.note.invoice_id:
            yield Finding(who, f"a line of invoice {row.note.invoice_id}", f"{line.invoice_id}")


def _taxes_that_differ(at: datetime) -> Iterator[Finding]:
    """Find tax that is not the rate on all credited so far, less what was credited before (R32)."""
    whole: dict[int, dict[tuple[str, Decimal], tuple[Decimal, Decimal]]] = {}
    so_far: dict[int, dict[tuple[str, Decimal], tuple[Decimal, Decimal]]] = {}
    notes = CreditNote.objects.select_related("invoice").order_by("invoice_id", "pk")
    for note in notes.prefetch_related("taxes", "invoice__taxes").iterator(chunk_size=500):
        invoice = note.invoice
        whole[invoice.pk] = {
            (tax.category, tax.rate): (tax.base, tax.amount) for tax in invoice.taxes.all()
        }
        before = so_far.setdefault(invoice.pk, {})
        for tax in note.taxes.all():
            key = tax.category, tax.rate
            base, amount = whole[invoice.pk].get(key, (ZERO, ZERO))
            credited, taxed = before.get(key, (ZERO, ZERO))
            credited = EXACT.add(credited, tax.base)
            rate, part = Fraction(tax.rate), Fraction(credited)
            due = part * rate / 100
            if invoice.prices_include_tax:
                gross = part + Fraction(taxed) + Fraction(tax.amount)
                due = gross * rate / (100 + rate)
            expected = round_half_up(due, exponent(invoice.currency))
            if credited == base or abs(expected) > abs(amount):
                expected = amount
            expected = EXACT.subtract(expected, taxed)
            yield from _unlike(f"{note}, {tax}", {"tax": (expected, tax.amount)})
            before[key] = credited, EXACT.add(taxed, tax.amount)


def _tax_in_books_that_differs(at: datetime) -> Iterator[Finding]:
    """Find tax in the issuer's currency that does not follow from the invoice's rate."""
    before: dict[int, Decimal] = defaultdict(lambda: ZERO)
    notes = CreditNote.objects.exclude(invoice__tax_in_books={}).select_related("invoice")
    for note in notes.order_by("invoice_id", "pk").iterator():
        said, taxed = note.invoice.tax_in_books, before[note.invoice_id]
        before[note.invoice_id] = EXACT.add(taxed, note.tax_total)
        due = EXACT.subtract(converted(before[note.invoice_id], said), converted(taxed, said))
        stated = Decimal(note.tax_in_books.get("amount", "0"))
        yield from _unlike(str(note), {f"tax in {said['currency']}": (due, stated)})


def _items_unlike_their_notes(at: datetime) -> Iterator[Finding]:
    """Find open items whose credits are not the sum of their credit notes."""
    noted = dict(
        CreditNote.objects.order_by().values_list("invoice").annotate(sum=ExactSum("total"))
    )
    items = OpenItem.objects.select_related("invoice")
    for item in items.order_by("pk").iterator():
        told = {"credited": (noted.get(item.pk, ZERO), item.credited)}
        yield from _unlike(f"invoice {item.invoice.uuid}", told)


def _left_unlike_what_was_given(at: datetime) -> Iterator[Finding]:
    """Find invoices whose credits left them, but were given otherwise: in part, twice or not at all."""
    given: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for row in CreditNoteLine.objects.exclude(settles=None).iterator():
        assert row.settles_id is not None
        given[row.settles_id] = EXACT.add(given[row.settles_id], row.priced)
    kept: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for payment in Payment.objects.exclude(left_of=None).iterator():
        assert payment.left_of_id is not None
        kept[payment.left_of_id] = EXACT.add(kept[payment.left_of_id], payment.amount)
    left: dict[int, list[InvoiceLine]] = defaultdict(list)
    for line in InvoiceLine.every.filter(leaves=True).order_by("pk").iterator():
        left[line.invoice_id].append(line)
    carrying = Invoice.objects.filter(Q(credited_beside__gt=0) | Q(pk__in=[*left, *kept]))
    for invoice in carrying.order_by("pk").iterator():
        lines, who = left[invoice.pk], f"invoice {invoice.uuid}"
        net = EXACT.minus(_add(line.net for line in lines))
        told = {"credits that left it": (net, invoice.credited_beside)}
        taken = _add(given[line.pk] for line in lines)
        if invoice.status in FINAL:
            bases: dict[tuple[str, Decimal], Decimal] = defaultdict(lambda: ZERO)
            for line in lines:
                rest = EXACT.minus(EXACT.add(line.priced, given[line.pk]))
                key = line.tax_category, line.tax_rate
                bases[key] = EXACT.add(bases[key], rest)
            due = _add(
                base if invoice.prices_include_tax else _with_tax(base, rate, invoice.currency)
                for (_, rate), base in bases.items()
            )
            told["what became balance"] = (due, kept[invoice.pk])
        else:
            told["what was given of it"] = (ZERO, EXACT.add(taken, kept[invoice.pk]))
        yield from _unlike(who, told)


def _with_tax(base: Decimal, rate: Decimal, currency: str) -> Decimal:
    tax = round_half_up(Fraction(base) * Fraction(rate) / 100, exponent(currency))
    return EXACT.add(base, tax)


CREDIT_BOOKS = [
    Invariant(
        "credit_notes_add_up",
        "A credit note is the sum of its lines and taxes, and is used for something to the cent.",
        _totals_that_differ,
    ),
    Invariant(
        "lines_are_credited_once",
        "What credit notes take of a line goes on where the last ended, within its net.",
        _lines_credited_beyond,
    ),
    Invariant(
        "credited_tax_follows_from_its_base",
        "Credited tax is the rate on all credited so far, less what was credited before.",
        _taxes_that_differ,
    ),
    Invariant(
        "credited_tax_in_books_follows_from_the_invoices_rate",
        "Credited tax in the issuer's currency is converted at the rate of its invoice.",
        _tax_in_books_that_differs,
    ),
    Invariant(
        "credits_that_left_an_invoice_are_given_once",
        "What left an invoice that would be below zero is credited of others, or balance, once it "
        "is issued.",
        _left_unlike_what_was_given,
    ),
    Invariant(
        "open_items_are_credited_by_their_notes",
        "What is credited of an invoice is the sum of its credit notes.",
        _items_unlike_their_notes,
    ),
]
