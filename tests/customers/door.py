"""The way into the portal, for tests: contacts, mails and signed-in clients."""

from __future__ import annotations

import re
from typing import Any

from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.base.audit import SYSTEM
from customers.models import Contact, Customer
from customers.services import make_sign_in_link

SIGN_IN = "/portal/sign-in/"


def contact(customer: Customer, email: str = "ada@customer.example", **fields: Any) -> Contact:
    return Contact.objects.create(customer=customer, email=email, **fields)


def ask(email: str, client: Client | None = None, **headers: Any) -> Any:
    """Ask for a link; a mail to somebody known is in `mail.outbox` when this returns."""
    return (client or Client()).post(SIGN_IN, {"email": email}, **headers)


def last_mail() -> tuple[str, str]:
    """Return the path of the link and the code of the last mail."""
    body = str(mail.outbox[-1].body)
    [path] = re.findall(r"http://127\.0\.0\.1:8000(/\S+)", body)
    [code] = re.findall(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b", body)
    return path, code


def enter(client: Client, path: str, **data: str) -> Any:
    """Open a link and press the button."""
    opened = client.get(path)
    assert opened.status_code == 302, opened
    return client.post(opened.headers["Location"], data)


def signed_in(person: Contact, client: Client | None = None) -> Client:
    """Return a client that came in with a link made by staff."""
    client = client or Client()
    url = make_sign_in_link(contact_id=person.pk, at=timezone.now(), actor=SYSTEM)
    answer = enter(client, url.removeprefix("http://127.0.0.1:8000"))
    assert answer.status_code == 302, answer
    assert answer.headers["Location"] in (reverse("portal:usage"), reverse("portal:choose"))
    return client
