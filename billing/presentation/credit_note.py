"""A credit note as an invoice is shown: the same sections, over what is taken back (R32)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import Any

from billing.models import CreditNote, CreditNoteLine, CreditNoteTax, LineKind
from billing.presentation.colours import palette
from billing.presentation.invoice import footer_of, party_view
from billing.presentation.lines import line_view
from billing.presentation.reader import Reader, clean, paragraphs, unbroken
from billing.presentation.sections import Names, names_of
from billing.presentation.taxes import (
    net_heading,
    priced_note,
    tax_in_books,
    tax_notes,
    tax_rows,
    tax_sum,
    tax_view,
)
from billing.presentation.views import Fact, InvoiceView, LineView, PaymentView, TotalView

USES = ("off_open", "off_written_off", "to_deposits", "to_balance", "refunded")


def present_credit_note(
    note: CreditNote,
    lines: Sequence[CreditNoteLine],
    taxes: Sequence[CreditNoteTax],
    *,
    locale: str | None = None,
) -> InvoiceView:
    """Word and format a credit note, saved or not, in its buyer's language or that of `locale`.

    Load the invoice, and each line's `line` with its subscription and price. Reads nothing else
    but what is frozen.
    """
    invoice, seller, buyer = note.invoice, note.seller, note.buyer
    reader = Reader(locale or str(buyer.get("locale") or "en"), invoice.currency)
    heading = reader.say("credit_note" if note.number else "credit_draft")
    names = names_of(invoice, [one.line for one in lines])
    return InvoiceView(
        language=reader.language,
        words={
            **reader.words,
            "charges": reader.say("credit_lines"),
            "account": reader.say("credit_uses"),
            "questions": reader.say("credit_questions"),
            "portal": reader.say("credit_portal"),
        },
        palette=palette(seller.get("accent_colour")),
        currency=invoice.currency,
        heading=heading,
        title=" · ".join(filter(None, [f"{heading} {note.number}".strip(), clean(seller["name"])])),
        number=note.number,
        mark="" if note.number else reader.say("draft").upper(),
        seller=party_view(seller, reader),
        buyer=party_view(buyer, reader),
        identity=tuple(_identity(note, reader)),
        payment=PaymentView(
            reader.say("credit_amount"),
            reader.money(note.total),
            _reason(note, reader),
            (Fact(reader.say("corrects"), str(invoice)),),
        ),
        portal_url=note.portal_url if note.number else "",
        usage=(),
        usage_note="",
        change=None,
        details=(),
        net_heading=net_heading(reader, include_tax=invoice.prices_include_tax, taxes=taxes),
        lines=tuple(_line(one, names, reader) for one in lines),
        totals=tuple(_totals(note, taxes, reader)),
        taxes=tuple(tax_view(tax, seller, reader) for tax in taxes),
        tax_sum=tax_sum(note, reader) if len(taxes) > 1 else None,
        tax_notes=(
            *priced_note(invoice, taxes, reader),
            *tax_notes(taxes, reader),
            *tax_in_books(note, reader),
        ),
        beside=(),
        account=tuple(uses(note, reader)),
        questions=tuple(_questions(note, seller, reader)),
        legal=paragraphs(seller.get("legal_text")),
        footer=tuple(footer_of(seller, reader)),
        identifier=note.uuid.hex,
        dated=note.issued_at.astimezone(UTC),
    )


def uses(note: CreditNote, reader: Reader) -> Iterator[Fact]:
    """Say what it is used for: taken off what was owed, or the customer's again."""
    for label, amount in used(note, reader):
        yield Fact(label, reader.rounded(amount))


def used(note: CreditNote, reader: Reader) -> Iterator[tuple[str, Decimal]]:
    """Yield what it is used for, and with how much."""
    for name in USES:
        if amount := getattr(note, name):
            yield reader.say(f"credit_{name}", invoice=str(note.invoice)), amount


def _reason(note: CreditNote, reader: Reader) -> str:
    said = clean(note.reason)
    return f"{reader.say('credit_reason')}: {said}" if said else ""


def _identity(note: CreditNote, reader: Reader) -> Iterator[Fact]:
    invoice = note.invoice
    assert invoice.issue_date is not None
    issued_on = unbroken(reader.day(invoice.issue_date))
    corrects = reader.say("corrects_of", invoice=str(invoice), date=issued_on)
    facts = {
        "credit_number": note.number,
        "credit_date": reader.day(note.issue_date),
        "corrects": corrects,
        "customer": clean(note.buyer.get("key")),
        "purchase_order": clean(note.buyer.get("purchase_order")),
        "buyer_reference": clean(note.buyer.get("buyer_reference")),
        "your_vat_id": clean(note.buyer.get("vat_id")),
        "our_vat_id": clean(note.seller.get("vat_id")),
    }
    for key, value in facts.items():
        if value:
            yield Fact(reader.say(key), value)


def _line(one: CreditNoteLine, names: Names, reader: Reader) -> LineView:
    """Word what is credited of a line, and how that compares with what was billed."""
    line = one.line
    billed = line_view(line, reader, today=line.service_end)
    owner = names.get(line.subscription_id, "")
    return replace(
        billed,
        name=f"{billed.name} ({owner})" if owner else billed.name,
        quantity=_quantity(one, billed, reader),
        unit_price="",
        net=reader.rounded(one.priced),
        summary="",
        rows=(),
        notes=tuple(_notes(one, reader)),
    )


def _quantity(one: CreditNoteLine, billed: LineView, reader: Reader) -> str:
    if one.quantity is None:
        return ""
    if one.quantity == one.line.quantity:
        return billed.quantity
    return reader.units(one.quantity, one.line.unit, one.line.unit_plural)


def _notes(one: CreditNoteLine, reader: Reader) -> Iterator[str]:
    if one.settles and one.settles.kind == LineKind.CREDIT:
        credit, said = one.settles, one.settles.explanation
        paid = reader.amount(Decimal(said["paid"]))
        label = reader.say("unused_part", paid=paid, part=said["period_fraction"])
        yield f"{label}, {reader.span(credit.service_start, credit.service_end)}."
    if one.priced != one.creditable:
        is_reduced = one.creditable != one.line.priced
        key = "credit_billed_net" if is_reduced else "credit_billed"
        yield reader.say(key, net=reader.rounded(one.creditable))
    if one.credited_before:
        yield reader.say("credit_earlier", net=reader.rounded(one.credited_before))


def _totals(
    note: CreditNote, taxes: Sequence[CreditNoteTax], reader: Reader
) -> Iterator[TotalView]:
    total = TotalView(reader.say("credit_total"), reader.money(note.total), is_final=True)
    if note.invoice.prices_include_tax:
        yield total
        yield from tax_rows(taxes, reader, include_tax=True)
    else:
        yield TotalView(reader.say("net_total"), reader.rounded(note.net_total))
        yield from tax_rows(taxes, reader, include_tax=False)
        yield total


def _questions(note: CreditNote, seller: Mapping[str, Any], reader: Reader) -> Iterator[str]:
    if note.tax_total:
        is_gross = note.invoice.prices_include_tax
        yield reader.say("credit_check_gross" if is_gross else "credit_check")
    if email := clean(seller.get("email")):
        yield reader.say("credit_write", email=email, number=note.number or str(note.invoice))
