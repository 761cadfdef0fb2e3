"""What customers' messages in the outbox ask for; registered when the app is ready."""

from __future__ import annotations

from datetime import datetime
from email.utils import formataddr

from django.conf import settings
from django.core.mail import EmailMessage

from config.base.models import Outbox
from config.base.services import outbox
from customers import words
from customers.issuer import issuer_of
from customers.services import signing_in


@outbox.handles(signing_in.MAIL)
def send_sign_in_mail(message: Outbox, at: datetime) -> None:
    """Send a link that was asked for to the address on record; to nobody if it has no contact."""
    written = signing_in.write_sign_in_mail(link_id=message.payload["link"], at=at)
    if written is None:
        return
    customer = written.contact.customer
    issuer = issuer_of(customer)
    say = words.of(customer.locale)
    seller = issuer.name if issuer else ""
    answers_to = issuer.email if issuer else ""
    EmailMessage(
        subject=say["mail_subject"].format(seller=seller),
        body=say["mail"].format(
            name=written.contact.name or written.contact.email,
            seller=seller,
            url=written.url,
            code=written.code,
        ),
        from_email=formataddr((seller, answers_to or settings.DEFAULT_FROM_EMAIL)),
        to=[written.contact.email],
    ).send()
