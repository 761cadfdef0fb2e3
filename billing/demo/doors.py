"""How the demo is entered: as its administrator, with its API key, by its customers' people.

Secrets stay in files that only their owner can read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from billing.demo.company import ADVISER
from billing.demo.story import LOGIN
from config.base.audit import SYSTEM
from config.base.models import ApiKey
from config.base.services.api_keys import SCOPES, create_api_key
from customers.models import Contact, SignInLink
from customers.services import make_sign_in_link
from customers.services.signing_in import digest

PASSWORD_FILE, KEY_FILE, LINKS_FILE = "password.txt", "api-key.txt", "portal-sign-in.txt"
LINKS_LAST = timedelta(days=1)
GUESTS = (ADVISER[1], "joerg@brenner.example", "dana@harborline.example")


def administrator(folder: Path) -> str:
    """Return the password of the demo's administrator, who is made once.

    Empty if there is somebody of that name whose password is not kept here.
    """
    kept = folder / PASSWORD_FILE
    if not User.objects.filter(username=LOGIN).exists():
        password = secrets.token_urlsafe(9)
        User.objects.create_superuser(LOGIN, "demo@northlight.example", password)
        _keep(kept, password)
    return kept.read_text().strip() if kept.exists() else ""


def api_key(folder: Path) -> Path:
    """Return the file that holds an API key of every scope; made anew if it is lost or revoked."""
    kept = folder / KEY_FILE
    prefix = kept.read_text().split("_")[1] if kept.exists() else ""
    if not ApiKey.objects.filter(prefix=prefix, revoked_at=None).exists():
        _, text = create_api_key(name=LOGIN, scopes=SCOPES, expires_at=None, actor=SYSTEM)
        _keep(kept, text)
    return kept


def sign_in_links(folder: Path, *, url: str, now: datetime) -> Path:
    """Return the file with a portal link for some of the customers' people, good for once each.

    Links that are used or have expired, or lead elsewhere than to `url`, are made anew.
    """
    kept = folder / LINKS_FILE
    found = kept.read_text().splitlines() if kept.exists() else []
    links = [line for line in found if "://" in line]
    if not links or not all(link.startswith(f"{url}/") for link in links) or _spent(links, now):
        _keep(kept, "\n".join(_invitations(url, now)))
    return kept


def _invitations(url: str, now: datetime) -> Iterator[str]:
    yield f"Each link signs in to the portal once, until {now + LINKS_LAST:%Y-%m-%d %H:%M} UTC."
    yield "Run the demo again for new ones."
    for email in GUESTS:
        mine = Contact.objects.filter(email=email).select_related("customer").order_by("pk")
        if contact := mine.first():
            link = make_sign_in_link(contact_id=contact.pk, at=now, actor=SYSTEM, lasts=LINKS_LAST)
            yield f"\n{contact.name}, {' and '.join(one.customer.name for one in mine)}"
            yield link.replace(settings.PUBLIC_URL, url, 1)


def _spent(links: list[str], now: datetime) -> bool:
    """Say whether one of these links no longer signs anybody in."""
    hashes = [digest(link.rstrip("/").rpartition("/")[2]) for link in links]
    return SignInLink.objects.usable(at=now).filter(token_hash__in=hashes).count() < len(links)


def _keep(path: Path, secret: str) -> None:
    """Write a secret that only its owner can read, even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
