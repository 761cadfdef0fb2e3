"""What a mail about an invoice says: the answer first, then why, then where to look and ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from billing.beside import NOTHING_BESIDE, ToldBeside
from billing.models import Invoice
from billing.presentation.account import due_at_issue
from billing.presentation.invoice import present
from billing.presentation.mail_words import MAIL_WORDS
from billing.presentation.reader import NO_BREAK_SPACE, Reader
from billing.presentation.views import Fact, InvoiceView, Palette, UsageView


@dataclass(frozen=True, slots=True)
class Part:
    """A heading and what is below it, a line each."""

    heading: str
    lines: tuple[str, ...]
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class MailView:
    language: str
    colon: str
    """As the language sets it: French with a space before."""
    palette: Palette
    subject: str
    hello: str
    lead: str
    label: str
    amount: str
    facts: tuple[Fact, ...]
    """Where to pay."""
    notes: tuple[str, ...]
    """What became of it since; mostly nothing."""
    parts: tuple[Part, ...]
    portal_url: str
    portal_label: str
    portal_note: str
    questions: Part | None
    footer: tuple[str, ...]


def invoice_mail(
    invoice: Invoice,
    *,
    portal_url: str,
    change: Mapping[str, Any] | None,
    beside: ToldBeside = NOTHING_BESIDE,
) -> MailView:
    """Word the mail that an issued invoice, loaded `with_lines`, is sent with, in its buyer's language.

    `portal_url` and `change` are what `billing.annexes` tells of it; `beside` is what came with it.
    """
    view = present(invoice, portal_url=portal_url, change=change, beside=beside)
    reader = Reader(str(invoice.buyer.get("locale") or "en"), invoice.currency)
    say = MAIL_WORDS[reader.language[:2]]
    assert invoice.issue_date is not None
    assert invoice.due_date is not None
    number = invoice.number or ""
    due = due_at_issue(invoice)
    subject = say["subject_due" if due else "subject_nothing"].format(
        number=number,
        seller=view.seller.name,
        amount=reader.money(due).replace(NO_BREAK_SPACE, " "),
        date=reader.day(invoice.due_date),
    )
    lead = say["lead"].format(
        number=number, date=reader.long_date(invoice.issue_date), seller=view.seller.name
    )
    asks = [line for line in view.questions if line != reader.say("check")]
    return MailView(
        language=view.language,
        colon=reader.say("colon"),
        palette=view.palette,
        subject=subject,
        hello=say["hello"],
        lead=lead,
        label=view.payment.label,
        amount=view.payment.amount,
        facts=view.payment.facts if invoice.open_item.open else (),
        notes=tuple(_since(invoice, reader, say)),
        parts=tuple(_parts(view, reader)),
        portal_url=view.portal_url,
        portal_label=reader.say("portal"),
        portal_note=say["sign_in"],
        questions=Part(reader.say("questions"), tuple(asks)) if asks else None,
        footer=view.footer,
    )


def as_text(view: MailView) -> str:
    """Return a mail's plain text, for whoever reads no HTML."""
    told = [
        [view.hello],
        [view.lead],
        [
            f"{view.label}{view.colon} {view.amount}",
            *view.notes,
            *(f"{fact.label}{view.colon} {fact.value}" for fact in view.facts),
        ],
        *(_block(part) for part in view.parts),
        [f"{view.portal_label}{view.colon}", view.portal_url, view.portal_note]
        if view.portal_url
        else [],
        _block(view.questions) if view.questions else [],
        ["-- ", *view.footer],
    ]
    return "\n\n".join("\n".join(lines) for lines in told if lines) + "\n"


def _block(part: Part) -> list[str]:
    mark = "- " if part.is_list else ""
    return [part.heading, *(f"{mark}{line}" for line in part.lines)]


def _since(invoice: Invoice, reader: Reader, say: Mapping[str, str]) -> Iterator[str]:
    """Say what is still open, where that is no longer what the document asks for."""
    item = invoice.open_item
    if item.open != due_at_issue(invoice):
        key = "still_open" if item.open else "nothing_open"
        yield say[key].format(amount=reader.money(item.open))


def _parts(view: InvoiceView, reader: Reader) -> Iterator[Part]:
    if view.change:
        yield Part(reader.say("change"), view.change.sentences)
    if view.beside:
        yield Part(reader.say("beside"), view.beside)
    if view.usage:
        usage = tuple(_glance(one, reader) for one in view.usage)
        yield Part(reader.say("usage"), usage, is_list=True)


def _glance(one: UsageView, reader: Reader) -> str:
    """Write a metric's usage on one line: "API calls: used 187,340 calls · included 100,000 · over 87,340"."""
    used = f"{reader.say('used')} {one.used} {one.unit}".rstrip()
    told = [used, f"{reader.say('included')} {one.included}" if one.included else ""]
    if one.is_over:
        told.append(f"{reader.say('over')} {one.over}")
    owner = f", {one.owner}" if one.owner else ""
    return f"{one.name}{owner}{reader.say('colon')} {' · '.join(filter(None, told))}"
