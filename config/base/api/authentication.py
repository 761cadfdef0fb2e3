"""Who calls: an API key in `Authorization: Bearer pb_<prefix>_<secret>`."""

from collections.abc import Callable

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from config.base.models import ApiKey
from config.base.services.api_keys import recognise, recognise_again

CHALLENGE = "Bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """Recognise the caller's key; it is `request.auth`, and no person is `request.user`."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        key = _key(request, recognise)
        return None if key is None else (None, key)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def require_scope(request: HttpRequest, scope: str) -> ApiKey:
    """Return the caller's key, for a view outside the framework; see `recognise_again`.

    :raises APIException: 401 without a key that is known, 403 if it lacks the scope.
    """
    try:
        key = _key(request, recognise_again)
        if key is None:
            raise NotAuthenticated
    except (AuthenticationFailed, NotAuthenticated) as stranger:
        stranger.auth_header = CHALLENGE  # type: ignore[union-attr]
        raise
    if scope not in key.scopes:
        raise PermissionDenied(lacking(scope))
    return key


def lacking(scope: str) -> str:
    return f"This API key lacks the scope {scope}."


def _key(request: Request | HttpRequest, recognised: Callable[..., ApiKey | None]) -> ApiKey | None:
    """Return the key that a call shows; None if it shows nothing.

    :raises AuthenticationFailed: if it is no good.
    """
    scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not scheme:
        return None
    key = recognised(text.strip(), at=timezone.now()) if scheme.lower() == "bearer" else None
    if key is None:
        raise AuthenticationFailed("This API key is unknown, expired or revoked.")
    return key
