"""What the catalog's messages in the outbox ask for; registered when the app is ready."""

from __future__ import annotations

from datetime import datetime

from django.core.mail import EmailMessage

from catalog.reviews import MAIL, write_review_mail
from config.base.models import Outbox
from config.base.services import outbox


@outbox.handles(MAIL)
def send_review_mail(message: Outbox, at: datetime) -> None:
    """Remind whom it concerns that a metric is due for review; nobody if the date was moved."""
    payload = message.payload
    written = write_review_mail(metric_id=payload["metric"], review_on=payload["review_on"])
    if written:
        EmailMessage(subject=written.subject, body=written.body, to=list(written.to)).send()
