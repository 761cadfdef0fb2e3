"""Signing in to the portal: with a link from a mail, or one that staff made.

Tokens, codes and keys leave this module once and are kept as keyed hashes. Whoever asks for a link
gets the same answer by the same statements whether or not anybody has that address.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from config.base import audit
from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.services import outbox
from customers.models import Contact, PortalSession, SignInLink
from customers.querysets import IDLE, LONGEST

MAIL = "customers.sign_in_mail"
LASTS = timedelta(minutes=15)
UNDELIVERED_AFTER = timedelta(hours=1)  # a mail later than that would only puzzle
KEPT_FOR = timedelta(days=1)
SEEN_EVERY = timedelta(minutes=5)  # a page that only reads should not write each time
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is mistaken for another
CODE_LENGTH = 8
GUESSES = 5  # codes that may be tried with one link


class Limit(NamedTuple):
    """So many links may be asked for in so long a time."""

    links: int
    within: timedelta


PER_ADDRESS = Limit(5, timedelta(minutes=15))
PER_NETWORK = Limit(20, timedelta(minutes=15))
ALTOGETHER = Limit(600, timedelta(minutes=15))


class TooManyRequests(Refusal):
    """So many links were asked for lately that no more are made for a while."""

    status: ClassVar[int] = 429
    code = "too_many_requests"
    retry_after = int(PER_ADDRESS.within.total_seconds())


class LinkUnusable(Refusal):
    """The link is unknown, used, expired, or was guessed at too often."""

    code = "link_unusable"


class CodeNeeded(Refusal):
    """The link was asked for in another browser, so the code of its mail is needed."""

    code = "code_needed"


class WrongCode(Refusal):
    """The code is not the one of the mail."""

    code = "wrong_code"


class Written(NamedTuple):
    """A link as its mail says it, once."""

    contact: Contact
    url: str
    code: str


class SignedIn(NamedTuple):
    """A session that began, and its key for the browser, once."""

    session: PortalSession
    key: str


def digest(secret: str) -> str:
    """Return the keyed hash under which a token, code, key or address is kept."""
    return salted_hmac("customers.signing_in", secret, algorithm="sha256").hexdigest()


@transaction.atomic
def make_sign_in_link(
    *, contact_id: int, at: datetime, actor: Actor, lasts: timedelta = LASTS
) -> str:
    """Return the address of a link that signs a contact in once, in any browser, without a mail.

    Whoever opens it is that contact: hand it over as you would a key.
    """
    contact = Contact.objects.select_for_update().get(pk=contact_id)
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(
        contact=contact,
        email=contact.email,
        token_hash=digest(token),
        created_at=at,
        expires_at=at + lasts,
    )
    audit.record(actor=actor, action="made a sign-in link", subject=contact)
    return _address(token)


@transaction.atomic
def request_sign_in_link(*, email: str, browser: str, network: str, at: datetime) -> None:
    """Ask for a mail with a link, which works by itself in the browser with that secret.

    :raises TooManyRequests: if too many were asked for lately: for this address, known or not,
        from this network, or altogether.
    """
    email = email.strip()
    address = digest(email.lower())
    _check_limits(address=address, network=network, at=at)
    link = SignInLink.objects.create(
        contact=Contact.objects.at_address(email).first(),
        browser_hash=digest(browser),
        address_hash=address,
        network=network,
        created_at=at,
        expires_at=at + LASTS,
    )
    outbox.put(kind=MAIL, key=str(link.pk), payload={"link": link.pk}, due_at=at)


def write_sign_in_mail(*, link_id: int, at: datetime) -> Written | None:
    """Make the secrets of a link that was asked for; None if there is nobody to send them to.

    Written again, what was written before leads nowhere. Call it in the transaction of the mail.
    """
    links = SignInLink.objects.filter(
        pk=link_id, used_at=None, created_at__gt=at - UNDELIVERED_AFTER
    )
    link = links.select_for_update().first()
    if link is None or link.contact_id is None:
        return None
    contact = Contact.objects.select_related("customer__issuer").get(pk=link.contact_id)
    token = secrets.token_urlsafe(32)
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    link.email = contact.email
    link.token_hash, link.code_hash = digest(token), digest(code)
    link.expires_at = at + LASTS
    link.save(update_fields=["email", "token_hash", "code_hash", "expires_at"])
    return Written(contact, _address(token), f"{code[:4]}-{code[4:]}")


def sign_in_with_link(*, token: str, browser: str, code: str, at: datetime) -> SignedIn:
    """Use a link up and begin a session; in another browser than it was asked for, with its code.

    :raises LinkUnusable: if it can't be used, or not any more.
    :raises CodeNeeded: if there has to be a code and is none.
    :raises WrongCode: if the code is another one.
    """
    link = link_to_use(token=token, at=at)
    if not needs_code(link, browser=browser):
        return _use(link, at=at)
    if not code:
        raise CodeNeeded("Type the code from the mail.")
    return _with_code([link], code=code, at=at)


def sign_in_with_code(*, browser: str, code: str, at: datetime) -> SignedIn:
    """Begin a session with the code of a mail that this browser asked for, and use its link up.

    :raises LinkUnusable: if this browser asked for none that can still be used.
    :raises WrongCode: if no mail has that code.
    """
    asked = SignInLink.objects.usable(at=at).filter(browser_hash=digest(browser))
    return _with_code(list(asked.order_by("-pk")[: PER_ADDRESS.links]), code=code, at=at)


def link_to_use(*, token: str, at: datetime) -> SignInLink:
    """Return the link with this token, and change nothing.

    :raises LinkUnusable: if it can't be used, or not any more.
    """
    usable = SignInLink.objects.usable(at=at).of_contacts()
    link = usable.filter(token_hash=digest(token)).first()
    if link is None:
        raise LinkUnusable("This link was used already, or its time is over. Ask for a new one.")
    return link


def is_link_of(*, token: str, email: str) -> bool:
    """Say whether a link, used up or not, was made for this address."""
    return SignInLink.objects.filter(token_hash=digest(token), email__iexact=email).exists()


def needs_code(link: SignInLink, *, browser: str) -> bool:
    """Say whether a link was asked for in another browser than this one."""
    asked_in = link.browser_hash
    return bool(asked_in) and not constant_time_compare(asked_in, digest(browser))


def _with_code(links: Sequence[SignInLink], *, code: str, at: datetime) -> SignedIn:
    """Spend one of each link's guesses, committed before the code is looked at."""
    spent = [link for link in links if _spend_guess(link)]
    if not spent:
        raise LinkUnusable("No code can be tried any more. Ask for a new link.")
    wanted = digest(_plain(code))
    for link in spent:
        if constant_time_compare(link.code_hash, wanted):
            return _use(link, at=at)
    raise WrongCode("That is not the code of the mail.")


def _spend_guess(link: SignInLink) -> bool:
    left = SignInLink.objects.filter(pk=link.pk, guesses__lt=GUESSES)
    return bool(left.update(guesses=F("guesses") + 1))


def _plain(code: str) -> str:
    """Read a code as it was typed: with or without its hyphen, in any case."""
    return "".join(char for char in code.upper() if char in CODE_LETTERS)


@transaction.atomic
def _use(link: SignInLink, *, at: datetime) -> SignedIn:
    used = SignInLink.objects.usable(at=at).of_contacts().filter(pk=link.pk).values("pk")
    if not SignInLink.objects.filter(pk__in=used, used_at=None).update(used_at=at):
        raise LinkUnusable("This link was used already, or its time is over. Ask for a new one.")
    assert link.contact_id is not None
    key = secrets.token_urlsafe(32)
    session = PortalSession.objects.create(
        contact_id=link.contact_id,
        email=link.email,
        key_hash=digest(key),
        created_at=at,
        seen_at=at,
    )
    return SignedIn(session, key)


def session_of(*, key: str, at: datetime) -> PortalSession | None:
    """Return the living session with this key, loaded `with_customer`, and note that it was seen."""
    sessions = PortalSession.objects.alive(at=at).with_customer()
    session = sessions.filter(key_hash=digest(key)).first()
    if session and session.seen_at < at - SEEN_EVERY:
        PortalSession.objects.filter(pk=session.pk).update(seen_at=at)
    return session


def choose_customer(*, session: PortalSession, contact_id: int) -> None:
    """Go on as another contact with the address that signed in.

    :raises Contact.DoesNotExist: if that contact has another address.
    """
    contact = Contact.objects.at_address(session.email).get(pk=contact_id)
    session.contact, session.email = contact, contact.email
    session.save(update_fields=["contact", "email"])


def change_language(*, session: PortalSession, language: str) -> None:
    """Read the portal in this language until signed out."""
    session.language = language
    session.save(update_fields=["language"])


def sign_out(*, key: str) -> None:
    """End the session with this key: it opens nothing any more."""
    PortalSession.objects.filter(key_hash=digest(key)).delete()


def prune_sign_ins(*, at: datetime) -> int:
    """Delete links that are a day old and sessions that ended by themselves; return how many."""
    links, _ = SignInLink.objects.filter(created_at__lte=at - KEPT_FOR, expires_at__lte=at).delete()
    sessions, _ = PortalSession.objects.filter(
        Q(seen_at__lte=at - IDLE) | Q(created_at__lte=at - LONGEST)
    ).delete()
    return links + sessions


def _check_limits(*, address: str, network: str, at: datetime) -> None:
    """Count what was asked for lately, in one query."""
    limits = {
        "address": (PER_ADDRESS, Q(address_hash=address)),
        "network": (PER_NETWORK, Q(network=network)),
        "altogether": (ALTOGETHER, Q()),
    }
    since = {name: Q(created_at__gt=at - limit.within) for name, (limit, _) in limits.items()}
    longest = max(limit.within for limit, _ in limits.values())
    lately = SignInLink.objects.filter(created_at__gt=at - longest).exclude(address_hash="")
    counted = lately.aggregate(
        **{name: Count("pk", filter=since[name] & which) for name, (_, which) in limits.items()}
    )
    if any(counted[name] >= limit.links for name, (limit, _) in limits.items()):
        raise TooManyRequests(
            "So many links were asked for just now that this one has to wait a quarter of an hour."
        )


def _address(token: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse('portal:sign_in_link', args=(token,))}"
