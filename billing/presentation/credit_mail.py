"""What a mail about a credit note says: which invoice it corrects, why, how much, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from billing.models import CreditNote
from billing.presentation.credit_note import used
from billing.presentation.mail import MailView, Part
from billing.presentation.mail_words import MAIL_WORDS
from billing.presentation.reader import NO_BREAK_SPACE, Reader, paragraphs
from billing.presentation.views import InvoiceView

MOST_LINES = 10


def credit_note_mail(note: CreditNote, view: InvoiceView) -> MailView:
    """Word the mail that an issued credit note is sent with, in its buyer's language.

    `view` is what its document shows, in that language. Load the invoice with its open item, and the
    invoice that it was issued with.
    """
    reader = Reader(str(note.buyer.get("locale") or "en"), note.currency)
    say = MAIL_WORDS[reader.language[:2]]
    invoice = note.invoice
    assert invoice.issue_date is not None
    values = {"number": note.number, "seller": view.seller.name, "invoice": str(invoice)}
    amount = reader.money(note.total)
    checks = (reader.say("credit_check"), reader.say("credit_check_gross"))
    asks = [line for line in view.questions if line not in checks]
    return MailView(
        language=view.language,
        colon=reader.say("colon"),
        palette=view.palette,
        subject=say["credit_subject"].format(**values, amount=amount.replace(NO_BREAK_SPACE, " ")),
        hello=say["hello"],
        lead=say["credit_lead"].format(
            **values,
            date=reader.long_date(note.issue_date),
            invoice_date=reader.long_date(invoice.issue_date),
        ),
        label=view.payment.label,
        amount=amount,
        facts=(),
        notes=(),
        parts=tuple(_parts(note, view, reader, say)),
        portal_url=view.portal_url,
        portal_label=view.words["portal"],
        portal_note=say["sign_in"],
        questions=Part(view.words["questions"], tuple(asks)) if asks else None,
        footer=view.footer,
    )


def _parts(
    note: CreditNote, view: InvoiceView, reader: Reader, say: Mapping[str, str]
) -> Iterator[Part]:
    yield Part(reader.say("credit_reason"), paragraphs(note.reason))
    yield Part(view.words["account"], tuple(_what_becomes_of_it(note, reader, say)))
    yield Part(view.words["charges"], tuple(_credited(view, reader, say)), is_list=True)


def _what_becomes_of_it(note: CreditNote, reader: Reader, say: Mapping[str, str]) -> Iterator[str]:
    """Say what it is used for, what is left to pay of the invoice, and who takes the balance."""
    for label, amount in used(note, reader):
        yield f"{label}{reader.say('colon')} {reader.money(amount)}"
    still_open = note.invoice.open_item.open
    if still_open or note.off_open:
        key = "credit_still_open" if still_open else "credit_nothing_open"
        yield say[key].format(invoice=note.invoice, amount=reader.money(still_open))
    together = note.issued_with and note.issued_with.number
    if together:
        yield say["credit_together"].format(invoice=together)
    if note.to_balance:
        yield say["credit_balance_together" if together else "credit_balance_next"]


def _credited(view: InvoiceView, reader: Reader, say: Mapping[str, str]) -> Iterator[str]:
    """List what is credited, then how that adds up to the total."""
    for line in view.lines[:MOST_LINES]:
        named = ", ".join(filter(None, [line.name, line.period, line.quantity]))
        yield f"{named}{reader.say('colon')} {line.net}"
    if len(view.lines) > MOST_LINES:
        more = Decimal(len(view.lines) - MOST_LINES)
        yield say["credit_more_lines"].format(count=reader.number(more))
    for total in view.totals:
        yield f"{total.label}{reader.say('colon')} {total.value}"
