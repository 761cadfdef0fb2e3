"""E-mails to customers as messages: written in their language, with the documents as kept."""

from __future__ import annotations

from email.utils import formataddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from billing.annexes import annex_of
from billing.documents import made_pdf, store_document
from billing.models import Delivery, Invoice
from billing.presentation.mail import MailView, as_text, invoice_mail
from billing.presentation.reader import clean
from billing.services.mailing import message_id_of
from customers.models import Issuer


def invoice_message(delivery: Delivery) -> EmailMultiAlternatives:
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


def invoice_view(invoice: Invoice) -> MailView:
    """Return what the mail of an issued invoice says, of one loaded `with_lines`."""
    annex = annex_of(invoice)
    return invoice_mail(invoice, portal_url=annex.portal_url, change=annex.change)


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
