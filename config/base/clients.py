"""Who is at the other end of a request."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the IP address that a request came from; None over a Unix socket.

    X-Forwarded-For is written by anybody, so it counts only behind TRUSTED_PROXIES proxies of our
    own, each of which appends one address: then it is the one that the outermost of them saw.
    """
    peer = request.META.get("REMOTE_ADDR") or None
    count: int = settings.TRUSTED_PROXIES
    if count:
        hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        peer = hops[-count] if len(hops) >= count and any(hops) else peer
    return peer if _is_address(peer) else None


def _is_address(text: str | None) -> bool:
    try:
        ip_address(text or "")
    except ValueError:
        return False
    return True
