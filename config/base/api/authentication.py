"""Who calls: an API key in `Authorization: Bearer pb_<prefix>_<secret>`."""

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from config.base.models import ApiKey
from config.base.services.api_keys import recognise


class ApiKeyAuthentication(BaseAuthentication):
    """Recognise the caller's key; it is `request.auth`, and no person is `request.user`."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        key = recognise(text.strip(), at=timezone.now()) if scheme.lower() == "bearer" else None
        if key is None:
            raise AuthenticationFailed("This API key is unknown, expired or revoked.")
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
