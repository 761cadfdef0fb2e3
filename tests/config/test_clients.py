"""Whose line a request came over, as far as anybody can be believed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from config.base.clients import network_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "network"),
    [
        pytest.param("192.0.2.7", "", 0, "192.0.2.7", id="a plain address"),
        pytest.param("192.0.2.7", "203.0.113.9", 0, "192.0.2.7", id="a claim is not believed"),
        pytest.param("10.0.0.1", "203.0.113.9", 1, "203.0.113.9", id="our own proxy is"),
        pytest.param(
            "10.0.0.1", "6.6.6.6, 203.0.113.9", 1, "203.0.113.9", id="but no further than that"
        ),
        pytest.param("2001:db8:1:2:aaaa::1", "", 0, "2001:db8:1:2::", id="a line has a whole /64"),
        pytest.param("::ffff:192.0.2.7", "", 0, "192.0.2.7", id="IPv4 in IPv6's clothes"),
        pytest.param("fe80::1%eth0", "", 0, "fe80::", id="with the name of an interface"),
        pytest.param("", "", 0, "", id="a Unix socket"),
        pytest.param("10.0.0.1", "rubbish", 1, "", id="nothing readable"),
    ],
)
def test_network_of(peer: str, forwarded: str, proxies: int, network: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
    assert network_of(request) == network
