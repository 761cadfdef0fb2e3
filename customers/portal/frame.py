"""Who is reading, and the frame around every page: headers, language, navigation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_cache_control

from customers import words
from customers.issuer import issuer_of
from customers.models import Contact, Customer, Issuer, PortalSession
from customers.services import signing_in

SESSION = "portal_session"
BROWSER = "portal_browser"  # where a link was asked for
LINK = "portal_link"  # the token of the link that was opened last
PATH = "/portal/"
NAVIGATION = ("usage", "invoices", "plan", "account")

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)


@dataclass(frozen=True)
class Visitor:
    """A contact who is signed in, and the customer it reads for."""

    session: PortalSession

    @property
    def contact(self) -> Contact:
        return self.session.contact

    @property
    def customer(self) -> Customer:
        return self.session.contact.customer

    @cached_property
    def issuer(self) -> Issuer | None:
        return issuer_of(self.customer)

    @cached_property
    def locale(self) -> str:
        """Of words, numbers and dates: the customer's, or that of the language chosen here."""
        customer = self.customer
        return words.locale_for(
            customer.locale, language=self.session.language, country=customer.country
        )


View = Callable[Concatenate[HttpRequest, Visitor, P], HttpResponseBase]


def signed_in(view: View[P]) -> Callable[..., HttpResponseBase]:
    """Call the view with the visitor, or send strangers to the door.

    What a visitor may not see answers exactly as what there is not.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        visitor = visitor_of(request)
        if visitor is None:
            return unkept(HttpResponseRedirect(reverse("portal:sign_in")))
        try:
            return unkept(view(request, visitor, *args, **kwargs))
        except Http404:
            return unkept(missing(request, visitor))

    guarded.is_signed_in = True  # type: ignore[attr-defined] # for the test that walks the routes
    return guarded


def visitor_of(request: HttpRequest) -> Visitor | None:
    """Return who is signed in in this browser."""
    key = request.COOKIES.get(SESSION, "")
    session = signing_in.session_of(key=key, at=timezone.now()) if key else None
    return Visitor(session) if session else None


def page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    visitor: Visitor | None = None,
    current: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render a page of the portal; `current` names its place in the navigation."""
    locale = visitor.locale if visitor else translation.get_language() or "en"
    issuer = visitor.issuer if visitor else issuer_of(None)
    say = words.of(locale)
    language = words.language_of(locale)
    frame = {
        "language": language,
        "languages": words.LANGUAGES.items(),
        "frame": say,
        "seller": issuer.name if issuer else say["portal"],
        "seller_email": issuer.email if issuer else "",
        "colours_url": colours_url(issuer),
        "visitor": visitor,
        "signed_in_as": visitor and say["signed_in_as"].format(email=visitor.contact.email),
        "here": request.path,
        "navigation": [
            {"label": say[name], "url": reverse(f"portal:{name}"), "is_current": name == current}
            for name in NAVIGATION
            if visitor
        ],
    }
    content = render_to_string(f"portal/{template}", {**frame, **context}, request)
    response = HttpResponse(content, status=status)
    response.headers["Content-Language"] = language
    return unkept(response)


def missing(request: HttpRequest, visitor: Visitor | None) -> HttpResponse:
    """Say that there is nothing here, to whoever may not see it too."""
    return page(request, "missing.html", {}, visitor=visitor, status=404)


def unkept(response: R) -> R:
    """Let no cache keep a customer's page."""
    if "Cache-Control" not in response.headers:
        patch_cache_control(response, private=True, no_store=True)
    return response


def keep_cookie(response: HttpResponse, name: str, value: str, *, seconds: int) -> None:
    """Set a cookie of the portal's, which no script reads and the admin never gets."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def forget_cookie(response: HttpResponse, name: str) -> None:
    response.delete_cookie(name, path=PATH, samesite="Lax")


def colours_url(issuer: Issuer | None) -> str:
    accent = (issuer or Issuer()).accent_colour
    return reverse("portal:colours", args=(accent.removeprefix("#").lower(),))
