"""The short way in for events: the same answers as through Django's URLs, and nothing else taken."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import override_settings
from django.urls import reverse
from django.utils import translation

from config.base.audit import SYSTEM
from config.base.services.api_keys import create_api_key
from metering.api import door
from metering.models import UsageEvent
from tests import factories as make
from tests.metering.usage import body

pytestmark = pytest.mark.django_db
EVENTS, LAGO = "/api/v1/events", "/api/v1/events/batch"
ELSEWHERE = "the rest of the house"


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    content: bytes


@pytest.fixture
def key(db: None) -> str:
    """Who sends events for acme, whose calls are counted."""
    make.metric("calls")
    make.customer("acme")
    return create_api_key(name="gateway", scopes=["events:write"], expires_at=None, actor=SYSTEM)[1]


@pytest.fixture(autouse=True)
def _calls_leave_the_connection_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As Django's own client has it: the test's transaction is on it."""
    monkeypatch.setattr(door, "close_old_connections", lambda: None)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def knock(payload: Any, key: str = "", **changed: Any) -> Answer:
    """Call the application that stands in front of the house."""
    sent = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": EVENTS, "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(sent)), "wsgi.input": io.BytesIO(sent),
        "wsgi.url_scheme": "http", "wsgi.errors": io.StringIO(),
        "HTTP_AUTHORIZATION": f"Bearer {key}", **changed,
    }  # fmt: skip
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answer[:] = [status, headers]

    parts = door.behind_door(_elsewhere)(environ, start_response)
    content = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    return Answer(answer[0], dict(answer[1]), content)


def _elsewhere(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response(ELSEWHERE, [])
    return []


def test_events_are_taken_in_and_durable_with_the_headers_of_every_answer(
    key: str, client: Any
) -> None:
    answer = knock([body(id="a"), body(id="b")], key)
    assert answer.status == "204 No Content"
    assert answer.headers["Usage-Report"].startswith("accepted=2, duplicates=0")
    assert UsageEvent.objects.count() == 2
    through_urls = client.post(
        EVENTS, json.dumps(body(id="c")), content_type="application/json",
        HTTP_AUTHORIZATION=f"Bearer {key}",
    ).headers  # fmt: skip
    for_browsers = {"Vary", "Content-Language", "X-Frame-Options", "Content-Length"}
    assert set(through_urls) - set(answer.headers) <= for_browsers
    assert "Content-Security-Policy" in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_lago_has_a_door_of_its_own(key: str) -> None:
    sent = {"events": [{"transaction_id": "a", "external_subscription_id": "acme", "code": "api.call",
                        "properties": {"calls": 1}}]}  # fmt: skip
    answer = knock(sent, key, PATH_INFO=LAGO)
    assert (answer.status, len(json.loads(answer.content)["events"])) == ("200 OK", 1)


def test_both_doors_are_where_the_urls_are() -> None:
    assert {EVENTS, LAGO} == {reverse("event-list"), reverse("event-batch")} == {*door._ANSWERED_BY}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"REQUEST_METHOD": "GET"}, id="who asks for events"),
        pytest.param({"REQUEST_METHOD": "PUT"}, id="what is not allowed"),
        pytest.param({"PATH_INFO": "/api/v1/events/"}, id="an address with a slash"),
        pytest.param({"PATH_INFO": "/api/v1/metrics"}, id="another address"),
        pytest.param({"SCRIPT_NAME": "/billing"}, id="a house below another address"),
    ],
)
def test_all_else_goes_on(changed: dict[str, str]) -> None:
    assert knock(b"", **changed).status == ELSEWHERE


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        pytest.param({"HTTP_AUTHORIZATION": ""}, 401, "not_authenticated", id="a stranger"),
        pytest.param({"HTTP_AUTHORIZATION": "Bearer pb_x"}, 401, "authentication_failed", id="a bad key"),
        pytest.param({"HTTP_HOST": "evil.example"}, 400, "bad_request", id="another host"),
        pytest.param({"CONTENT_TYPE": "text/plain"}, 415, "unsupported_media_type", id="no JSON"),
        pytest.param({"CONTENT_LENGTH": "9000000"}, 413, "too_large", id="more than 8 MiB"),
    ],
)  # fmt: skip
def test_refusals_are_problems_and_the_body_was_read(
    key: str, changed: dict[str, str], status: int, code: str
) -> None:
    left = io.BytesIO(json.dumps(body()).encode())
    sent = {"CONTENT_LENGTH": str(len(left.getvalue())), "wsgi.input": left}
    answer = knock(b"", key, **{**sent, **changed})
    assert int(answer.status.split()[0]) == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content)["code"] == code
    assert left.read() == b""
    assert not UsageEvent.objects.exists()


def test_a_refusal_is_in_english_whoever_called_before(key: str) -> None:
    with translation.override("de"):
        answer = knock(body(), HTTP_AUTHORIZATION="")
    assert json.loads(answer.content)["detail"] == "Authentication credentials were not provided."


def test_a_crash_is_a_problem_that_says_nothing_of_its_cause(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(request: Any) -> Any:
        raise ZeroDivisionError("the secret cause")

    monkeypatch.setitem(door._ANSWERED_BY, EVENTS, crash)
    answer = knock(body(), key)
    assert (answer.status, json.loads(answer.content)["code"]) == (
        "500 Internal Server Error", "error",
    )  # fmt: skip
    assert b"secret" not in answer.content


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=60)
def test_where_https_is_wanted_plain_http_is_sent_there(key: str) -> None:
    answer = knock(body(), key)
    assert (answer.status.split()[0], answer.headers["Location"]) == (
        "301", "https://localhost/api/v1/events",
    )  # fmt: skip
    secure = knock(body(), key, **{"wsgi.url_scheme": "https"})
    assert secure.status == "204 No Content"
    assert secure.headers["Strict-Transport-Security"] == "max-age=60"
