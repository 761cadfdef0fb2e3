"""Signing in to the admin: ten failures of an account from an address close it for that address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory

from config.base.clients import client_address
from config.base.models import AuditEntry
from tests.staff import leo, nora, page, said

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
LOGIN = "/admin/login/"
PASSWORD = "a-Long-pass-1"


@pytest.fixture(autouse=True)
def _mallory() -> None:
    User.objects.create_user("mallory", password=PASSWORD, is_staff=True)


def attempt(name: str, password: str, address: str = "192.0.2.1", **headers: str) -> Any:
    return Client(REMOTE_ADDR=address, headers=headers).post(
        LOGIN, {"username": name, "password": password}
    )


def fail(name: str, times: int, address: str = "192.0.2.1", **headers: str) -> Any:
    for _ in range(times):
        response = attempt(name, "wrong", address, **headers)
    return response


def test_nine_failures_close_nothing() -> None:
    assert fail("mallory", 9).status_code == 200
    assert attempt("mallory", PASSWORD).status_code == 302


@pytest.mark.parametrize(
    ("name", "address", "status"),
    [
        pytest.param("mallory", "192.0.2.1", 429, id="that account from that address is closed"),
        pytest.param("mallory", "198.51.100.7", 302, id="its owner elsewhere is not kept out"),
        pytest.param("colleague", "192.0.2.1", 302, id="a colleague in the same office is not"),
    ],
)
def test_the_tenth_closes_the_account_for_that_address(
    name: str, address: str, status: int
) -> None:
    User.objects.create_user("colleague", password=PASSWORD, is_staff=True)
    response = fail("mallory", 10)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "900"
    assert "Too many attempts" in said(response)
    assert attempt(name, PASSWORD, address).status_code == status


def test_behind_a_trusted_proxy_the_address_is_the_clients(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    assert fail("mallory", 10, x_forwarded_for="203.0.113.9").status_code == 429
    assert attempt("mallory", PASSWORD, x_forwarded_for="203.0.113.9").status_code == 429
    assert attempt("mallory", PASSWORD, x_forwarded_for="203.0.113.10").status_code == 302


def test_it_opens_after_a_quarter_of_an_hour_even_if_somebody_kept_trying() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        fail("mallory", 10)
        clock.move_to(NOW + timedelta(minutes=14))
        assert fail("mallory", 1).status_code == 429
        clock.move_to(NOW + timedelta(minutes=16))
        assert attempt("mallory", PASSWORD).status_code == 302


@pytest.mark.parametrize("times", [1, 10])
def test_nobody_learns_whether_an_account_exists(times: int) -> None:
    known, unknown = (
        fail(name, times, address)
        for name, address in [("mallory", "192.0.2.1"), ("nobody", "192.0.2.2")]
    )
    assert known.status_code == unknown.status_code
    assert said(known).replace("mallory", "nobody") == said(unknown)


def test_an_address_that_the_caller_wrote_is_not_believed() -> None:
    for number in range(10):
        response = attempt("mallory", "wrong", x_forwarded_for=f"10.0.0.{number}")
    assert response.status_code == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        pytest.param(0, "203.0.113.9", "192.0.2.1", id="no proxy: the peer"),
        pytest.param(1, "203.0.113.9", "203.0.113.9", id="one proxy: who connected to it"),
        pytest.param(1, "1.1.1.1, 203.0.113.9", "203.0.113.9", id="what the caller wrote before"),
        pytest.param(2, "1.1.1.1, 203.0.113.9, 10.0.0.1", "203.0.113.9", id="two proxies"),
        pytest.param(2, "203.0.113.9", "192.0.2.1", id="fewer hops than proxies: the peer"),
        pytest.param(1, "", "192.0.2.1", id="no header: the peer"),
        pytest.param(1, "<script>", None, id="no address at all"),
        pytest.param(1, "2001:db8::1", "2001:db8::1", id="IPv6"),
    ],
)
def test_whose_address_counts(
    settings: Any, proxies: int, forwarded: str, address: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    request = RequestFactory(REMOTE_ADDR="192.0.2.1", headers=headers).get("/")
    assert client_address(request) == address


def test_somebody_who_manages_people_opens_it_again() -> None:
    fail("mallory", 10)
    client = nora()
    listed = page("axes_accessattempt", "changelist")
    assert "mallory 192.0.2.1 10 Counts now" in said(client.get(listed))
    client.post(listed, {"action": "unlock", "_selected_action": [AccessAttempt.objects.get().pk]})
    assert attempt("mallory", PASSWORD).status_code == 302
    assert AuditEntry.objects.get(action="unlocked").note == "mallory from 192.0.2.1"


def test_a_command_opens_it_again() -> None:
    fail("mallory", 10)
    call_command("axes_reset_username", "mallory")
    assert attempt("mallory", PASSWORD).status_code == 302


def test_nobody_else_sees_who_is_locked_out() -> None:
    assert leo().get(page("axes_accessattempt", "changelist")).status_code == 403


def test_no_password_is_kept() -> None:
    fail("mallory", 1)
    kept = AccessAttempt.objects.values().get()
    assert "wrong" not in str(kept)


def test_signing_in_changes_the_session_and_its_cookie_is_out_of_reach_of_scripts() -> None:
    client = Client()
    client.get(LOGIN)
    client.session["planted"] = 1
    before = client.cookies.get("sessionid")
    response = client.post(LOGIN, {"username": "mallory", "password": PASSWORD})
    cookie = response.cookies["sessionid"]
    assert before is None or cookie.value != before.value
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 12 * 3600)


def test_signing_out_ends_the_session_on_the_server() -> None:
    client = Client()
    client.post(LOGIN, {"username": "mallory", "password": PASSWORD})
    stolen = client.cookies["sessionid"].value
    assert client.get("/admin/").status_code == 200
    client.post("/admin/logout/")
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert thief.get("/admin/").status_code == 302


def test_a_form_without_its_token_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post(LOGIN, {"username": "mallory", "password": PASSWORD}).status_code == 403
