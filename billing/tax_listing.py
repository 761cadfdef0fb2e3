"""The tax of a period: each document's by category and rate, and their sums, for the tax return (R29).

Owns which documents belong to a period: what was issued in it and stands, and credit notes with a
minus. Amounts are those that the documents were frozen with; what is void stands for nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from billing.exchange import converted, factor, rates_until, told
from billing.models import CreditNoteTax, ExchangeRate, TaxSubtotal
from billing.models.invoices import KEPT
from catalog.money import EXACT, ZERO, exponent, round_half_up, share


class Alike(NamedTuple):
    """What is summed together: of one issuer, what is taxed alike in one currency."""

    issuer: str
    country: str
    """Whose rate it is; empty where no tax is due."""
    category: str
    rate: Decimal
    currency: str
    books_currency: str


class TaxEntry(NamedTuple):
    """The tax of one category and rate on one document, negative on a credit note.

    In the currency of the issuer's books, too: tax as the document states it, the net at the same
    rate, or the last one before it is dated; None where none is known and it is not 0.
    """

    alike: Alike
    number: str
    corrects: str
    """The invoice that a credit note is of; empty for an invoice."""
    issue_date: date
    customer: str
    vat_id: str
    net: Decimal
    tax: Decimal
    net_in_books: Decimal | None
    tax_in_books: Decimal | None


class TaxSum(NamedTuple):
    """What all documents come to that are taxed alike; None in books where one has no known rate."""

    alike: Alike
    documents: int
    net: Decimal
    tax: Decimal
    net_in_books: Decimal | None
    tax_in_books: Decimal | None


def tax_entries(*, since: date, until: date) -> list[TaxEntry]:
    """List what was issued from one day to another, both included, by number.

    Two queries, and one per pair of currencies of what is in another one and states no rate.
    """
    between = (since, until)
    billed = (
        TaxSubtotal.objects.filter(invoice__issue_date__range=between, invoice__status__in=KEPT)
        .select_related("invoice__issuer")
        .order_by("invoice__issue_date", "invoice__number", "invoice_id", "category", "-rate")
    )
    credited = (
        CreditNoteTax.objects.filter(note__issue_date__range=between)
        .select_related("note__invoice", "note__issuer")
        .order_by("note__issue_date", "note__number", "note_id", "position")
    )
    rates = _Rates(until=until)
    return [
        *(
            entry
            for invoice, taxes in groupby(billed, key=lambda tax: tax.invoice)
            for entry in _of(invoice, "", invoice.currency, list(taxes), rates)
        ),
        *(
            _taken_back(entry)
            for note, taxes in groupby(credited, key=lambda tax: tax.note)
            for entry in _of(
                note, note.invoice.number or "", note.invoice.currency, list(taxes), rates
            )
        ),
    ]


def summed(entries: Iterable[TaxEntry]) -> list[TaxSum]:
    """Add entries up that are taxed alike: by issuer, country, category, then the highest rate."""
    rows: dict[Alike, list[TaxEntry]] = defaultdict(list)
    for entry in entries:
        rows[entry.alike].append(entry)
    ordered = sorted(
        rows, key=lambda one: (one.issuer, one.country, one.category, -one.rate, one.currency)
    )
    return [
        TaxSum(
            alike,
            len({entry.number for entry in rows[alike]}),
            _sum(entry.net for entry in rows[alike]),
            _sum(entry.tax for entry in rows[alike]),
            _known(entry.net_in_books for entry in rows[alike]),
            _known(entry.tax_in_books for entry in rows[alike]),
        )
        for alike in ordered
    ]


def in_books(sums: Sequence[TaxSum]) -> tuple[Decimal | None, Decimal | None]:
    """Return net and tax of all in the currency of the books."""
    return _known(one.net_in_books for one in sums), _known(one.tax_in_books for one in sums)


class _Rates:
    """Exchange rates by pair of currencies, each pair asked for once."""

    def __init__(self, *, until: date) -> None:
        self._until = until
        self._known: dict[tuple[str, str], list[ExchangeRate]] = {}

    def of(self, currency: str, books: str, day: date) -> Mapping[str, Any] | None:
        """Return the last rate on or before a day as an invoice states it; None if there is none."""
        pair = currency, books
        if pair not in self._known:
            self._known[pair] = list(rates_until(*pair, self._until).reverse())
        rates = self._known[pair]
        place = bisect_right(rates, day, key=lambda rate: rate.date)
        return told(ZERO, rates[place - 1], books=books) if place else None


def _of(
    document: Any, corrects: str, currency: str, taxes: Sequence[Any], rates: _Rates
) -> Iterator[TaxEntry]:
    """Yield the entries of a document; its tax in the books' currency is shared among them."""
    issuer, books = document.issuer, document.issuer.currency
    said = document.tax_in_books or None
    if currency != books and said is None:
        said = rates.of(currency, books, document.issue_date)
    places = exponent(currency)
    nets: list[Decimal | None] = [round_half_up(tax.base, places) for tax in taxes]
    amounts: list[Decimal | None] = [round_half_up(tax.amount, places) for tax in taxes]
    if currency != books:
        nets = [None if said is None else converted(tax.base, said) for tax in taxes]
        amounts = (
            list(_shared(taxes, said)) if said else [None if t.amount else ZERO for t in taxes]
        )
    for tax, net, amount in zip(taxes, nets, amounts, strict=True):
        yield TaxEntry(
            Alike(issuer.name, tax.country, tax.category, tax.rate, currency, books),
            document.number,
            corrects,
            document.issue_date,
            document.buyer.get("legal_name") or document.buyer.get("name", ""),
            document.buyer.get("vat_id", ""),
            round_half_up(tax.base, places),
            round_half_up(tax.amount, places),
            net,
            amount,
        )


def _taken_back(entry: TaxEntry) -> TaxEntry:
    net, tax = entry.net_in_books, entry.tax_in_books
    return entry._replace(
        net=EXACT.minus(entry.net),
        tax=EXACT.minus(entry.tax),
        net_in_books=None if net is None else EXACT.minus(net),
        tax_in_books=None if tax is None else EXACT.minus(tax),
    )


def _shared(taxes: Sequence[Any], said: Mapping[str, Any]) -> Iterator[Decimal]:
    """Share the tax that a document states in the books' currency among its categories and rates."""
    exact = [Fraction(tax.amount) * factor(said) for tax in taxes]
    yield from share(Decimal(said["amount"]), exact, exponent(said["currency"]))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _known(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Add up; None if one of them is not known."""
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total = EXACT.add(total, amount)
    return total
