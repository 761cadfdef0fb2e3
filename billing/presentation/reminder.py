"""What a reminder says: how much is open, of which invoices, and what to do if that is not right."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from billing.overdue import Asked, Letter
from billing.parties import seller_of
from billing.presentation.colours import palette
from billing.presentation.invoice import footer_of
from billing.presentation.mail import MailView, Part
from billing.presentation.mail_words import MAIL_WORDS
from billing.presentation.reader import NO_BREAK_SPACE, Reader, clean
from billing.presentation.views import Fact
from customers.models import Issuer


def reminder_mail(
    letter: Letter, *, level: int, portal_url: str, with_statement: bool = False
) -> MailView:
    """Word a reminder in its customer's language: 1 is friendly, 2 firm, 3 the last."""
    reader = Reader(letter.customer.locale, letter.currency)
    say = MAIL_WORDS[reader.language[:2]]
    seller = clean(letter.issuer.name)
    amount = reader.money(letter.to_pay)
    values = {"seller": seller, "amount": amount.replace(NO_BREAK_SPACE, " ")}
    return MailView(
        language=reader.language,
        colon=reader.say("colon"),
        palette=palette(letter.issuer.accent_colour),
        subject=say[f"reminder_{level}_subject"].format(**values),
        hello=say["hello"],
        lead=say[f"reminder_{level}"].format(**values),
        label=say["to_pay_now"],
        amount=amount,
        facts=tuple(_where_to_pay(letter, reader)),
        notes=(say["with_statement"],) if with_statement else (),
        parts=(
            Part(say["open_invoices"], tuple(_rows(letter, reader)), is_list=True),
            Part(say["what_next"], (say[f"reminder_{level}_next"], say["paid_already"])),
        ),
        portal_url=portal_url,
        portal_label=say["see_invoices"],
        portal_note=say["sign_in"],
        questions=Part(say["disagree"], (_disagree(letter.issuer, say["dispute"]),)),
        footer=tuple(footer_of(seller_of(letter.issuer), reader)),
    )


def _rows(letter: Letter, reader: Reader) -> Iterator[str]:
    say = MAIL_WORDS[reader.language[:2]]
    for row in letter.asking:
        yield _row(row, reader)
        if row.disputed:
            yield say["without_disputed"].format(
                number=row.item.invoice.number, amount=reader.money(row.disputed)
            )
    if letter.not_set_off:
        colon = reader.say("colon")
        yield f"{say['not_set_off']}{colon} {reader.money(-letter.not_set_off)}"
        yield f"{say['to_pay_now']}{colon} {reader.money(letter.to_pay)}"


def _row(row: Asked, reader: Reader) -> str:
    say = MAIL_WORDS[reader.language[:2]]
    invoice = row.item.invoice
    assert invoice.issue_date is not None
    assert invoice.due_date is not None
    return say["open_invoice" if row.days != 1 else "open_invoice_a_day"].format(
        number=invoice.number,
        date=reader.day(invoice.issue_date),
        due=reader.day(invoice.due_date),
        days=reader.number(Decimal(row.days)),
        amount=reader.money(row.asked),
    )


def _where_to_pay(letter: Letter, reader: Reader) -> Iterator[Fact]:
    issuer = letter.issuer
    solid = clean(issuer.iban).replace(" ", "")
    facts = {
        "iban": " ".join(solid[i : i + 4] for i in range(0, len(solid), 4)),
        "bic": " · ".join(filter(None, [clean(issuer.bic), clean(issuer.bank_name)])),
        "reference": ", ".join(str(row.item.invoice.number) for row in letter.asking),
    }
    for key, value in facts.items():
        if value:
            yield Fact(reader.say(key), value)


def _disagree(issuer: Issuer, text: str) -> str:
    return text.format(email=clean(issuer.email))
