"""Signing in: an address, a mail, a button. A GET, or a HEAD, never changes anything."""

from __future__ import annotations

import re
import secrets
from typing import Any

from celery import current_app
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import rotate_token
from django.urls import reverse
from django.utils import timezone, translation
from django.views.csrf import csrf_failure
from django.views.decorators.http import require_POST, require_safe

from config.base.clients import network_of
from config.base.services import outbox
from config.base.tasks import deliver_outbox, nudge
from customers import words
from customers.models import Contact
from customers.portal.frame import (
    BROWSER,
    LINK,
    PATH,
    SESSION,
    Visitor,
    forget_cookie,
    keep_cookie,
    page,
    signed_in,
    unkept,
    visitor_of,
)
from customers.querysets import LONGEST
from customers.services import signing_in
from customers.services.signing_in import (
    CodeNeeded,
    LinkUnusable,
    SignedIn,
    TooManyRequests,
    WrongCode,
)

_HOUR = 3600
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for an address; mail a link to whoever has it, and tell nobody whether somebody does."""
    if request.method != "POST":
        if visitor_of(request):
            return unkept(HttpResponseRedirect(reverse("portal:usage")))
        return page(request, "sign_in.html", {})
    email = request.POST.get("email", "").strip()
    try:
        validate_email(email)
    except ValidationError:
        return page(
            request, "sign_in.html", {"email": email[:254], "error": "bad_email"}, status=400
        )
    browser = _browser(request) or secrets.token_urlsafe(32)
    try:
        signing_in.request_sign_in_link(
            email=email, browser=browser, network=network_of(request), at=timezone.now()
        )
    except TooManyRequests as refusal:
        response = page(request, "limited.html", {}, status=refusal.status)
        response.headers["Retry-After"] = str(refusal.retry_after)
        return response
    response = _MailedAfterwards(reverse("portal:sign_in_sent"))
    keep_cookie(response, BROWSER, browser, seconds=_HOUR)
    return unkept(response)


def sent(request: HttpRequest) -> HttpResponse:
    """Say to look in the mail; take the code of that mail."""
    if request.method != "POST":
        return page(request, "sent.html", {})
    browser, code = _browser(request), request.POST.get("code", "")
    try:
        signed = signing_in.sign_in_with_code(browser=browser, code=code, at=timezone.now())
    except WrongCode:
        return page(request, "sent.html", {"error": "wrong_code"}, status=400)
    except LinkUnusable:
        return page(request, "sent.html", {"error": "no_guesses"}, status=400)
    return _enter(request, signed)


@require_safe
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Take the token out of the address, where it would be seen; use nothing up."""
    response = HttpResponseRedirect(reverse("portal:sign_in_confirm"))
    token = token if _SECRET.fullmatch(token) else ""
    keep_cookie(response, LINK, token, seconds=int(signing_in.LASTS.total_seconds()))
    response.headers["Referrer-Policy"] = "no-referrer"
    return unkept(response)


def confirm(request: HttpRequest) -> HttpResponse:
    """Show a button, or ask for the code; the button uses the link up."""
    token, browser, now = request.COOKIES.get(LINK, ""), _browser(request), timezone.now()
    try:
        found = signing_in.link_to_use(token=token, at=now)
    except LinkUnusable:
        return _dead(request)
    context: dict[str, Any] = {
        "link_lead": words.of(translation.get_language() or "en")["link_lead"].format(
            email=found.email
        ),
        "needs_code": signing_in.needs_code(found, browser=browser),
    }
    if request.method != "POST":
        return page(request, "confirm.html", context)
    code = request.POST.get("code", "")
    try:
        signed = signing_in.sign_in_with_link(token=token, browser=browser, code=code, at=now)
    except LinkUnusable:
        return _dead(request)
    except CodeNeeded:
        return page(request, "confirm.html", {**context, "error": "no_code"}, status=400)
    except WrongCode:
        return page(request, "confirm.html", {**context, "error": "wrong_code"}, status=400)
    return _enter(request, signed)


@signed_in
def choose(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """List the customers that this person reads for; go on as the one chosen."""
    if request.method == "POST":
        chosen = request.POST.get("contact", "")
        if not chosen.isascii() or not chosen.isdecimal() or len(chosen) > 18:
            raise Http404
        try:
            signing_in.choose_customer(session=visitor.session, contact_id=int(chosen))
        except Contact.DoesNotExist:
            raise Http404 from None
        return HttpResponseRedirect(reverse("portal:usage"))
    contacts = Contact.objects.at_address(visitor.contact.email).select_related("customer")
    choices = [
        {
            "contact": contact.pk,
            "name": contact.customer.name,
            "is_current": contact.pk == visitor.contact.pk,
        }
        for contact in contacts
    ]
    return page(request, "choose.html", {"choices": choices}, visitor=visitor)


@require_POST
@signed_in
def language(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Read on in another language, on the page this came from."""
    signing_in.change_language(
        session=visitor.session, language=request.POST.get("language", "")[:2]
    )
    back = request.POST.get("back", "")
    return HttpResponseRedirect(back if _is_ours(back) else reverse("portal:usage"))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, here and for whoever copied its cookie."""
    signing_in.sign_out(key=request.COOKIES.get(SESSION, ""))
    response = HttpResponseRedirect(reverse("portal:sign_in"))
    forget_cookie(response, SESSION)
    return unkept(response)


class _MailedAfterwards(HttpResponseRedirect):
    """Delivers the mail when the answer has been sent: how long that takes tells nobody anything.

    Where there is a broker, a worker does.
    """

    def close(self) -> None:
        if current_app.conf.task_always_eager:
            outbox.deliver_due(at=timezone.now(), kind=signing_in.MAIL)
        else:
            nudge(deliver_outbox, signing_in.MAIL)
        super().close()


def _enter(request: HttpRequest, signed: SignedIn) -> HttpResponse:
    """Give the browser its key, in place of whatever it came with."""
    signing_in.sign_out(key=request.COOKIES.get(SESSION, ""))
    rotate_token(request)
    others = Contact.objects.at_address(signed.session.email)[:2]
    response = HttpResponseRedirect(reverse("portal:choose" if len(others) > 1 else "portal:usage"))
    keep_cookie(response, SESSION, signed.key, seconds=int(LONGEST.total_seconds()))
    forget_cookie(response, BROWSER)
    forget_cookie(response, LINK)
    return unkept(response)


def _dead(request: HttpRequest) -> HttpResponse:
    """Say that a link can't be used; whom it let in already goes on to the portal."""
    visitor = visitor_of(request)
    if _is_in(request, visitor):
        return unkept(HttpResponseRedirect(reverse("portal:usage")))
    return page(request, "dead_link.html", {}, visitor=visitor, status=410)


def _is_in(request: HttpRequest, visitor: Visitor | None) -> bool:
    """Say whether who holds a link is signed in; once used up here, its cookie is gone."""
    token = request.COOKIES.get(LINK, "")
    return visitor is not None and (
        not token or signing_in.is_link_of(token=token, email=visitor.session.email)
    )


def _browser(request: HttpRequest) -> str:
    """Return the secret that this browser got when it asked for a link; empty if none."""
    secret = request.COOKIES.get(BROWSER, "")
    return secret if _SECRET.fullmatch(secret) else ""


def _is_ours(address: str) -> bool:
    """Say whether an address stays in the portal; "//elsewhere" and "\\" do not."""
    return address.startswith(PATH) and not re.search(r"[^\w/.?=&%~-]|//|\.\.", address)


def refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Be CSRF_FAILURE_VIEW: say so in the portal's words there, in Django's elsewhere.

    Signing in makes other tabs' forms worthless: who signs in there too is led to the portal.
    """
    if not request.path.startswith(PATH):
        return csrf_failure(request, reason)
    doors = (reverse("portal:sign_in_confirm"), reverse("portal:sign_in_sent"))
    if request.path in doors and _is_in(request, visitor_of(request)):
        return unkept(HttpResponseRedirect(reverse("portal:usage")))
    return page(request, "refused.html", {}, status=403)
