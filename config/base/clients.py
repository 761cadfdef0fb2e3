"""Who is at the other end of a request."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

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


def network_of(request: HttpRequest) -> str:
    """Return whose line a request came over: its address, of IPv6 the /64; empty if unknown."""
    caller = client_address(request)
    if caller is None:
        return ""
    address = ip_address(caller.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False).network_address)


def _is_address(text: str | None) -> bool:
    try:
        ip_address(text or "")
    except ValueError:
        return False
    return True
