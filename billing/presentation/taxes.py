"""The VAT of an invoice or a credit note in words: the table, its notes, the seller's currency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from billing.models import CreditNote, CreditNoteTax, Invoice, TaxSubtotal
from billing.presentation.reader import Reader, clean
from billing.presentation.views import TaxView, TotalView
from catalog.models import RateCategory
from catalog.money import EXACT

TaxRow = TaxSubtotal | CreditNoteTax
Taxed = Invoice | CreditNote

# What the tax decision says in English of each category, which the texts here say in any language.
_PLAIN_REASONS = {"", "Not subject to tax", "Reverse charge", "Exempt from tax", "Zero rated"}


def tax_view(tax: TaxRow, seller: Mapping[str, Any], reader: Reader) -> TaxView:
    """Write one row of the VAT table."""
    return TaxView(
        category=_kind_of(tax, seller, reader),
        rate="–" if tax.category == "O" else reader.percent(tax.rate),
        base=reader.rounded(tax.base),
        tax=reader.rounded(tax.amount),
        gross=reader.rounded(EXACT.add(tax.base, tax.amount)),
    )


def tax_sum(document: Taxed, reader: Reader) -> TaxView:
    """Add the VAT table up."""
    return TaxView(
        category=reader.say("sum"),
        rate="",
        base=reader.rounded(document.net_total),
        tax=reader.rounded(document.tax_total),
        gross=reader.rounded(document.total),
    )


def net_heading(reader: Reader, *, include_tax: bool, taxes: Iterable[TaxRow] = ()) -> str:
    """Head the column of amounts: net, or with VAT where any of the `taxes` is one."""
    has_tax = include_tax and (not (rates := [tax.rate for tax in taxes]) or any(rates))
    return reader.say("gross_in" if has_tax else "net_in", currency=reader.currency)


def tax_rows(taxes: Iterable[TaxRow], reader: Reader, *, include_tax: bool) -> Iterator[TotalView]:
    """Say what VAT comes on top of each base, or what of it the total includes."""
    for tax in taxes:
        if tax.category != "O" and (tax.amount or not include_tax):
            rate, base = reader.percent(tax.rate), reader.rounded(tax.base)
            label = reader.say("tax_within" if include_tax else "tax_on", rate=rate, base=base)
            yield TotalView(label, reader.rounded(tax.amount), is_within=include_tax)


def priced_note(invoice: Invoice, taxes: Sequence[TaxRow], reader: Reader) -> Iterator[str]:
    """Say that prices include VAT, and that they stay as they are where none is due."""
    if invoice.prices_include_tax:
        is_taxed = any(tax.rate for tax in taxes)
        yield reader.say("prices_with_tax" if is_taxed else "prices_without_due")


def tax_notes(taxes: Iterable[TaxRow], reader: Reader) -> Iterator[str]:
    """Say why no tax is charged, where none is."""
    for tax in taxes:
        if tax.category != "S":
            yield tax_note(tax, reader)


def tax_note(tax: TaxRow, reader: Reader) -> str:
    """Say why no tax is charged: in the reader's words, and the reason given if it says more."""
    note = reader.say(f"{tax.category}_note")
    reason = "" if tax.reason in _PLAIN_REASONS else clean(tax.reason)
    return f"{note} {reason}".rstrip()


def tax_in_books(document: Taxed, reader: Reader) -> Iterator[str]:
    """Say what the tax is in the currency of the seller's books, and by which rate."""
    if said := document.tax_in_books:
        books = Reader(reader.tag, said["currency"])
        yield reader.say(
            "tax_in_books",
            currency=said["currency"],
            amount=books.money(Decimal(said["amount"])),
            base=said["base"],
            quote=said["quote"],
            rate=reader.number(Decimal(said["rate"])),
            source=clean(said["source"]),
            date=reader.day(date.fromisoformat(said["date"])),
        )


def _kind_of(tax: TaxRow, seller: Mapping[str, Any], reader: Reader) -> str:
    """Name the category; where it is another country's rate, with the country."""
    is_lower = tax.category == "S" and tax.rate_category not in ("", RateCategory.STANDARD)
    name = reader.say(tax.rate_category if is_lower else tax.category)
    if tax.country and tax.country != seller.get("country"):
        return f"{name}, {reader.country(tax.country)}"
    return name
