"""Drawing and writing a credit note over what was decided to credit of an invoice (R32)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.urls import reverse

from billing.calculation import add_up
from billing.crediting import Book, Credit
from billing.electronic.demands import check_note_complete
from billing.exchange import converted
from billing.models import CreditNote, CreditNoteLine, CreditNoteTax, Invoice, InvoiceLine, Unsent
from billing.models.invoices import TEMPLATE_VERSION
from billing.parties import buyer_of, seller_of
from billing.services.numbering import Number
from billing.services.sending import call_off, send_note_at_issue
from billing.services.taking_back import Uses
from catalog.money import EXACT, ZERO, plain
from config.base import audit
from config.base.audit import Actor
from config.base.services import outbox
from customers.models import Issuer

RENDER = "credit_note.render"
KIND = "CN"


@dataclass(frozen=True)
class Drafted:
    """A credit note as it would be, unsaved and without a number, with its lines and taxes."""

    note: CreditNote
    lines: list[CreditNoteLine]
    taxes: list[CreditNoteTax]


def draw_note(
    invoice: Invoice,
    book: Book,
    credit: Credit,
    uses: Uses,
    *,
    refund: bool,
    issued_with: Invoice | None = None,
    settles: Mapping[int, InvoiceLine] | None = None,
) -> Drafted:
    """Return a credit note over an invoice loaded `with_lines`, without number, dates and reason.

    `settles` are the credits that left the invoice it is `issued_with`, by the line that each credits.

    :raises ElectronicInvoiceIncomplete: if it is to carry an XML, and would be invalid as one.
    """
    check_note_complete(invoice, [part.tax[0] for part in credit.taxes])
    note = CreditNote(
        invoice=invoice,
        issued_with=issued_with,
        issuer=invoice.issuer,
        kind=KIND,
        seller=_seller(invoice.issuer),
        buyer=buyer_of(invoice.customer),
        tax_in_books=_tax_in_books(invoice, book, credit.tax),
        net_total=credit.net,
        tax_total=credit.tax,
        total=credit.total,
        off_open=uses.off_open,
        off_written_off=uses.off_written_off,
        to_deposits=uses.to_deposits,
        to_balance=ZERO if refund else uses.freed,
        refunded=uses.freed if refund else ZERO,
        line_count=len(credit.parts),
        tax_count=len(credit.taxes),
        template_version=TEMPLATE_VERSION,
    )
    note.portal_url = f"{settings.PUBLIC_URL}{reverse('portal:credit_note', args=(note.uuid,))}"
    by_id = {line.pk: line for line in invoice.lines.all()}
    lines = [
        CreditNoteLine(
            note=note,
            position=position,
            line=by_id[part.of.line_id],
            settles=settles[part.of.line_id] if settles else None,
            quantity=part.quantity,
            net=part.net,
            gross=part.amount if book.include_tax else None,
            creditable=part.of.worth,
            credited_before=part.of.credited,
        )
        for position, part in enumerate(credit.parts, start=1)
    ]
    told = {(tax.category, tax.rate): tax for tax in invoice.taxes.all()}
    taxes = [
        CreditNoteTax(
            note=note,
            position=position,
            category=part.tax[0],
            rate=part.tax[1],
            base=part.base,
            amount=part.amount,
            reason=told[part.tax].reason,
            rate_category=told[part.tax].rate_category,
            country=told[part.tax].country,
        )
        for position, part in enumerate(credit.taxes, start=1)
    ]
    return Drafted(note, lines, taxes)


def write_note(
    drafted: Drafted, number: Number, *, reason: str, at: datetime, actor: Actor
) -> CreditNote:
    """Save a credit note under its number; its document is made, and its mails go, after the commit.

    Where nothing is left of its invoice, as that was loaded before, no mail with it goes any more.
    """
    note = drafted.note
    note.series, note.year, note.sequence = number.series, number.year, number.sequence
    note.number, note.issue_date = number.text, number.issue_date
    note.reason, note.issued_at, note.issued_by = reason, at, actor.name
    note.save(force_insert=True)
    CreditNoteLine.objects.bulk_create(drafted.lines)
    CreditNoteTax.objects.bulk_create(drafted.taxes)
    outbox.put(kind=RENDER, key=str(note.uuid), payload={"id": note.pk}, due_at=at)
    send_note_at_issue(note, at=at)
    audit.record(actor=actor, action="issued", subject=note, note=reason)
    changes = {"credited": [None, f"{note.number}: {plain(note.total)}"]}
    audit.record(actor=actor, action="credited", subject=note.invoice, changes=changes, note=reason)
    if note.invoice.total == EXACT.add(note.invoice.open_item.credited, note.total):
        call_off(note.invoice, why=Unsent.CREDITED, at=at)
    return note


def _seller(issuer: Issuer) -> dict[str, Any]:
    """Say who credits, and whether the credit note goes by e-mail: `sends_invoices` alone does not."""
    says = seller_of(issuer)
    return says | {"sends_credit_notes": True} if issuer.sends_invoices else says


def _tax_in_books(invoice: Invoice, book: Book, tax: Decimal) -> dict[str, Any]:
    """State its tax at the invoice's rate: of all that is credited so far, less what was before."""
    said = invoice.tax_in_books
    if not said:
        return {}
    before = add_up(taken.credited_amount for taken in book.taxes.values())
    amount = EXACT.subtract(converted(EXACT.add(before, tax), said), converted(before, said))
    return {**said, "amount": f"{amount:f}"}
