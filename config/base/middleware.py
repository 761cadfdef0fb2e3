"""Languages, headers that every answer carries, and how refusals reach their senders."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from config.base.api.parsing import discard_rest

STRICT = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
# The admin's theme (Alpine) evaluates inline attributes and sets inline styles.
ADMIN = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)


class LanguageMiddleware(LocaleMiddleware):
    """Speak the browser's language, but English in the admin, whose own words are in no other."""

    def process_request(self, request: HttpRequest) -> None:
        if not request.path.startswith("/admin/"):
            super().process_request(request)
            return
        translation.activate("en")
        request.LANGUAGE_CODE = "en"


class UnreadBodyMiddleware:
    """Read the rest of a body before its call is refused or sent elsewhere; see `discard_rest`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code >= 300:
            discard_rest(request)
        return response


class SecurityHeadersMiddleware:
    """Add the content security policy: strict everywhere, what its theme needs in the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = ADMIN if request.path.startswith("/admin/") else STRICT
        response.headers.setdefault("Content-Security-Policy", policy)
        return response
