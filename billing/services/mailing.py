"""Handing mails over to the mail server: at least once, and after a crash at most once more.

A mail is noted as begun, in a transaction of its own, before the server gets it. If a worker is
killed before it notes what the server said, the next attempt finds that mark and sends the same
message once more, under the same Message-ID; a second time it leaves that to a person.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction

from billing.models import Delivery, DeliveryStatus, Invoice, InvoiceStatus, Unsent
from config.base.services.outbox import Unreachable

Compose = Callable[[Delivery], EmailMessage]
MOST_INTERRUPTIONS = 1


class MailServerUnreachable(Unreachable):
    """No connection, or none that lets us in: all other mails would fail the same way."""


class CalledOff(Exception):
    """What a mail was about is settled; raised by whoever makes the message."""


class MailPutOff(Exception):
    """The mail server does not take this mail now, or it can't be made now."""


def hand_over(
    *,
    delivery_id: int,
    compose: Compose,
    unmade: tuple[type[Exception], ...],
    at: datetime,
    is_last: bool,
) -> None:
    """Send a mail that waits, and note what became of it; do nothing about any other.

    `compose` makes the message; it raises CalledOff if there is nothing to say any more, and one of
    `unmade` if that is not possible now. `is_last`:
    what can't be sent now has failed for good.

    :raises MailServerUnreachable: if the server can't be reached, or does not let us in.
    :raises MailPutOff: if this mail is to be tried again later.
    """
    delivery = Delivery.objects.select_related("invoice").get(pk=delivery_id)
    if delivery.status != DeliveryStatus.WAITING or _is_off(delivery, at=at):
        return
    try:
        message = compose(delivery)
    except CalledOff:
        if delivery.begun_at is None:
            _settle(delivery, DeliveryStatus.UNSENT, at=at, why=Unsent.SETTLED)
        else:  # it may have arrived when it was not
            _settle(delivery, DeliveryStatus.FAILED, at=at, why=Unsent.INTERRUPTED)
        return
    except unmade as trouble:
        _put_off(delivery, trouble, MailPutOff, at=at, is_last=is_last)
        return
    message.connection = get_connection()
    try:
        try:
            message.connection.open()
        except OSError as trouble:  # what smtplib raises is one
            _put_off(delivery, trouble, MailServerUnreachable, at=at, is_last=is_last)
            return
        if _begin(delivery, message, at=at):
            _send(delivery, message, at=at, is_last=is_last)
    finally:
        message.connection.close()


def message_id_of(delivery: Delivery) -> str:
    """Return the Message-ID of a mail, the same for each attempt."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    return delivery.message_id or f"<{delivery.uuid}@{host}>"


@transaction.atomic
def _begin(delivery: Delivery, message: EmailMessage, *, at: datetime) -> bool:
    """Mark a mail as with the server from now on; say whether it is to be sent.

    Voiding and crediting wait for the same invoice, and then find the mark.
    """
    if delivery.invoice_id:
        invoice = Invoice.objects.select_for_update().get(pk=delivery.invoice_id)
        if invoice.status != InvoiceStatus.ISSUED:
            _settle(delivery, DeliveryStatus.UNSENT, at=at, why=_ceased(invoice))
            return False
    found = Delivery.objects.select_for_update().filter(pk=delivery.pk)
    waiting = found.filter(status=DeliveryStatus.WAITING).first()
    if waiting is None:
        return False
    if waiting.begun_at and waiting.interruptions >= MOST_INTERRUPTIONS:
        _settle(delivery, DeliveryStatus.FAILED, at=at, why=Unsent.INTERRUPTED)
        return False
    waiting.interruptions += 1 if waiting.begun_at else 0
    waiting.begun_at, waiting.subject = at, str(message.subject)[:500]
    waiting.message_id = message_id_of(delivery)
    waiting.save(update_fields=["interruptions", "begun_at", "subject", "message_id"])
    return True


def _send(delivery: Delivery, message: EmailMessage, *, at: datetime, is_last: bool) -> None:
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as refusal:
        code, said = _answer(refusal)
        if code >= 500:
            _settle(
                delivery, DeliveryStatus.FAILED, at=at, why=Unsent.REFUSED, said=said, begun_at=None
            )
            return
        _put_off(delivery, MailPutOff(said), MailPutOff, at=at, is_last=is_last, begun_at=None)
    except ValueError as unwritable:  # an address or a header that no mail can have
        said = str(unwritable)
        _settle(
            delivery, DeliveryStatus.FAILED, at=at, why=Unsent.REFUSED, said=said, begun_at=None
        )
    except OSError as trouble:
        # Nobody knows how far it came, so the mark stays.
        Delivery.objects.filter(pk=delivery.pk).update(said=_words(trouble))
        raise MailServerUnreachable(_words(trouble)) from trouble
    else:
        _settle(delivery, DeliveryStatus.SENT, at=at)


def _answer(refusal: smtplib.SMTPException) -> tuple[int, str]:
    """Return what a server said to one mail: its code, and its words."""
    said: bytes | str
    if isinstance(refusal, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(refusal.recipients.values()))
    else:
        assert isinstance(refusal, smtplib.SMTPResponseException)
        code, said = refusal.smtp_code, refusal.smtp_error
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return code, f"{code} {text}"[:2000]


def _words(trouble: Exception) -> str:
    """Say what went wrong as the server put it, or else as Python does."""
    if isinstance(trouble, smtplib.SMTPResponseException):
        return _answer(trouble)[1]
    return (str(trouble) or type(trouble).__name__)[:2000]


def _is_off(delivery: Delivery, *, at: datetime) -> bool:
    """Say whether its invoice was voided since, or credited to be billed anew, and note that."""
    if delivery.invoice is None or delivery.invoice.status == InvoiceStatus.ISSUED:
        return False
    _settle(delivery, DeliveryStatus.UNSENT, at=at, why=_ceased(delivery.invoice))
    return True


def _ceased(invoice: Invoice) -> Unsent:
    return Unsent.CREDITED if invoice.status == InvoiceStatus.CREDITED else Unsent.VOID


def _put_off(
    delivery: Delivery,
    trouble: Exception,
    raised: type[Exception],
    *,
    at: datetime,
    is_last: bool,
    **mark: Any,
) -> None:
    said = _words(trouble)
    if is_last:
        _settle(delivery, DeliveryStatus.FAILED, at=at, why=Unsent.GIVEN_UP, said=said, **mark)
        return
    Delivery.objects.filter(pk=delivery.pk).update(said=said, **mark)
    raise raised(said) from trouble


def _settle(delivery: Delivery, status: str, *, at: datetime, **fields: Any) -> None:
    waiting = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.WAITING)
    waiting.update(status=status, settled_at=at, **fields)
