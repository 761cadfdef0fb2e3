"""E-mails to customers as messages: written in their language, with the documents as kept."""

from __future__ import annotations

from datetime import datetime
from email.utils import formataddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from billing.accounts import positions, statement_of
from billing.annexes import annex_of
from billing.beside import beside
from billing.credit_documents import made_credit_note, store_credit_note, view_of
from billing.documents import made_pdf, render_statement, store_document
from billing.models import CreditNote, Delivery, Invoice
from billing.overdue import Letter, letters
from billing.presentation.credit_mail import credit_note_mail
from billing.presentation.mail import MailView, as_text, invoice_mail
from billing.presentation.reader import clean
from billing.presentation.reminder import reminder_mail
from billing.presentation.statement import present_statement
from billing.services.mailing import CalledOff, message_id_of
from customers.models import Issuer


def invoice_message(delivery: Delivery, *, at: datetime) -> EmailMultiAlternatives:
    """Return the mail of an invoice with its document attached, which is made now if not made yet.

    :raises DocumentNotIssued: if it is not issued any more.
    :raises PdfEngineMissing: if the document can't be made here.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    assert delivery.invoice_id is not None
    store_document(delivery.invoice_id)
    invoice = Invoice.objects.with_lines().get(pk=delivery.invoice_id)
    message = _message(delivery, invoice_view(invoice), invoice.issuer)
    pdf = made_pdf(invoice)
    assert pdf is not None
    message.attach(f"{invoice.number}.pdf", pdf, "application/pdf")
    return message


def credit_note_message(delivery: Delivery, *, at: datetime) -> EmailMultiAlternatives:
    """Return the mail of a credit note with its document attached, which is made now if not made yet.

    :raises PdfEngineMissing: if the document can't be made here.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    assert delivery.note_id is not None
    store_credit_note(delivery.note_id)
    note = CreditNote.objects.select_related("issuer").get(pk=delivery.note_id)
    message = _message(delivery, credit_note_view(note), note.issuer)
    pdf = made_credit_note(note)
    assert pdf is not None
    message.attach(f"{note.number}.pdf", pdf, "application/pdf")
    return message


def reminder_message(delivery: Delivery, *, at: datetime) -> EmailMultiAlternatives:
    """Return the mail of a reminder, with what is open by now.

    To the second and the last, the account statement is attached where the issuer wants that.

    :raises CalledOff: if nothing of what it was made for is asked any more.
    :raises PdfEngineMissing: if the statement can't be made here.
    """
    reminder = delivery.reminder
    assert reminder is not None
    meant = set(reminder.rows.values_list("item", flat=True))
    found = [
        one.written_at(reminder.level, meant)
        for one in letters(at=at, customer_ids=[reminder.customer_id])
        if (one.issuer.pk, one.currency) == (reminder.issuer_id, reminder.currency)
    ]
    if not any(row.item.pk in meant for one in found if one.to_pay for row in one.asking):
        raise CalledOff
    letter = found[0]
    view = _reminder_view(letter, level=reminder.level)
    message = _message(delivery, view, letter.issuer)
    if _has_statement(letter, level=reminder.level):
        message.attach(f"statement-{letter.today}.pdf", _statement(letter), "application/pdf")
    return message


def letter_view(letter: Letter) -> MailView:
    """Return what a letter that is due would say."""
    return _reminder_view(letter, level=letter.level or 1)


def _reminder_view(letter: Letter, *, level: int) -> MailView:
    return reminder_mail(
        letter,
        level=level,
        portal_url=_portal_url(),
        with_statement=_has_statement(letter, level=level),
    )


def _has_statement(letter: Letter, *, level: int) -> bool:
    return letter.issuer.reminds_with_statement and level > 1


def _statement(letter: Letter) -> bytes:
    """Return the statement of the account that a letter is about, as of its day."""
    customer, currency, today = letter.customer, letter.currency, letter.today
    position = positions(as_of=today, customer_ids=[customer.pk]).get((customer.pk, currency))
    view = present_statement(
        statement_of(customer, currency, until=today),
        position,
        customer=customer,
        issuer=letter.issuer,
        currency=currency,
        until=today,
        locale=customer.locale,
    )
    return render_statement(view, until=today)


def _portal_url() -> str:
    return f"{settings.PUBLIC_URL}{reverse('portal:invoices')}"


def invoice_view(invoice: Invoice) -> MailView:
    """Return what the mail of an issued invoice says, of one loaded `with_lines`."""
    annex = annex_of(invoice)
    return invoice_mail(
        invoice, portal_url=annex.portal_url, change=annex.change, beside=beside(invoice)
    )


def credit_note_view(note: CreditNote) -> MailView:
    """Return what the mail of a credit note says."""
    found = CreditNote.objects.select_related("invoice__open_item", "issued_with").get(pk=note.pk)
    return credit_note_mail(found, view_of(found))


def html_of(view: MailView) -> str:
    return render_to_string("email/mail.html", {"view": view})


def sender_of(issuer: Issuer) -> str:
    """Return in whose name mails are sent."""
    return formataddr((clean(issuer.name), issuer.email or settings.DEFAULT_FROM_EMAIL))


def _message(delivery: Delivery, view: MailView, issuer: Issuer) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(
        subject=view.subject,
        body=as_text(view),
        from_email=sender_of(issuer),
        to=[delivery.address],
        headers={
            "Message-ID": message_id_of(delivery),
            "Auto-Submitted": "auto-generated",  # no answer from whoever is away (RFC 3834)
        },
    )
    message.attach_alternative(html_of(view), "text/html")
    return message
