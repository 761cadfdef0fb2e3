"""What every call meets: its key, its scope, its body, and problems that name each fault."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from config.base.api.parsing import BODY_LIMIT
from config.base.audit import SYSTEM
from config.base.models import ApiKey, Outbox
from config.base.services.api_keys import create_api_key, revoke_api_key
from tests.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.example")]
LETTERS = "/api/v1/letters"
NOW = datetime.now(UTC)


def key_of(*, name: str = "gateway", expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    return create_api_key(name=name, scopes=["catalog:read"], expires_at=expires_at, actor=SYSTEM)


def status_with(authorization: str) -> int:
    response = APIClient().get(LETTERS, HTTP_AUTHORIZATION=authorization)
    if response.status_code == 401:
        assert response["WWW-Authenticate"] == "Bearer"
        assert response["Content-Type"] == "application/problem+json"
    return response.status_code


def test_a_key_opens_what_it_names() -> None:
    _, text = key_of()
    assert status_with(f"Bearer {text}") == 200
    assert status_with(f"bearer  {text}") == 200


def test_what_is_no_key_opens_nothing() -> None:
    key, text = key_of()
    other = key_of(name="stranger")[1]
    for wrong in (
        "",
        "Bearer",
        f"Basic {text}",
        f"Bearer {text[:-1]}",
        f"Bearer {text}x",
        f"Bearer {text.upper()}",
        f"Bearer pb_{key.prefix}_{other.split('_', 2)[2]}",
        f"Bearer pb_{'0' * 12}_{text.split('_', 2)[2]}",
        "Bearer ü",
        "Bearer " + "x" * 5000,
    ):
        assert status_with(wrong) == 401, wrong


def test_an_expired_key_opens_nothing() -> None:
    assert status_with(f"Bearer {key_of(expires_at=NOW - timedelta(seconds=1))[1]}") == 401
    assert status_with(f"Bearer {key_of(expires_at=NOW + timedelta(hours=1))[1]}") == 200


def test_a_revoked_key_opens_nothing() -> None:
    key, text = key_of()
    revoke_api_key(key_id=key.pk, at=NOW, actor=SYSTEM)
    assert status_with(f"Bearer {text}") == 401


def test_a_key_says_when_it_was_used_once_a_minute() -> None:
    key, text = key_of()
    status_with(f"Bearer {text}")
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    status_with(f"Bearer {text}")
    assert first is not None
    assert ApiKey.objects.filter(last_used_at=first).exists()
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    status_with(f"Bearer {text}")
    assert ApiKey.objects.filter(pk=key.pk, last_used_at__gte=first).exists()


def test_a_call_asks_for_the_key_and_notes_its_use(
    django_assert_num_queries: Any, caller: Caller
) -> None:
    client = caller("catalog:read")
    with django_assert_num_queries(3):  # the key, its use, the letters
        client.get(LETTERS)
    with django_assert_num_queries(2):
        client.get(LETTERS)


def test_reading_takes_the_read_scope(caller: Caller) -> None:
    assert caller("catalog:read").get(LETTERS).status_code == 200
    assert caller("catalog:read").head(LETTERS).status_code == 200
    refused = caller("catalog:write", "customers:read").get(LETTERS)
    assert refused.status_code == 403
    assert refused.json()["detail"] == "This API key lacks the scope catalog:read."


def test_writing_takes_the_write_scope(caller: Caller) -> None:
    assert caller("catalog:write").post(LETTERS, {"key": "a"}).status_code == 201
    refused = caller("catalog:read").post(LETTERS, {"key": "b"})
    assert refused.status_code == 403
    assert "catalog:write" in refused.json()["detail"]
    assert not Outbox.objects.filter(key="b").exists()


def test_an_action_may_take_another_scope(caller: Caller) -> None:
    assert caller("catalog:read").post(f"{LETTERS}/weigh").status_code == 400
    assert caller("catalog:write").post(f"{LETTERS}/weigh").status_code == 403


def test_a_view_that_declares_no_scope_is_closed(caller: Caller) -> None:
    assert caller().get("/api/v1/undeclared").status_code == 403


def test_methods_are_not_overridden_by_headers_or_parameters(caller: Caller) -> None:
    client = caller("catalog:read")
    assert client.post(LETTERS, {"key": "a"}, HTTP_X_HTTP_METHOD_OVERRIDE="GET").status_code == 403
    assert client.options(LETTERS).status_code == 405
    assert client.get(f"{LETTERS}?_method=POST").status_code == 400


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["title"], problem["status"]) == ("Bad Request", 400)
    return {
        fault.get("pointer", f"?{fault.get('parameter')}"): fault["code"]
        for fault in problem["errors"]
    }


def test_every_invalid_field_is_named_at_once(caller: Caller) -> None:
    body = {
        "key": "a b",
        "amount": "1e5",
        "tiers": [{"up_to": "1"}, {"up_to": "x", "to": 5}, {}],
        "attempts": 3,
        "a/b~c": 1,
    }
    assert faults(caller().post(LETTERS, body)) == {
        "/key": "invalid_key",
        "/amount": "invalid",
        "/tiers/1/up_to": "invalid",
        "/tiers/1/to": "unknown_field",
        "/tiers/2/up_to": "required",
        "/attempts": "read_only",
        "/a~1b~0c": "unknown_field",
    }


def test_a_checkers_faults_have_pointers_too(caller: Caller) -> None:
    assert faults(caller().post(f"{LETTERS}/weigh")) == {"/tiers/1/a~1b~0c": "not_rising"}


def post_raw(client: APIClient, body: bytes, content_type: str = "application/json") -> Any:
    sender: Any = client
    return sender.generic("POST", LETTERS, body, content_type=content_type)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        pytest.param(b"[]", "", id="a list"),
        pytest.param(b"5", "", id="a number"),
        pytest.param(b"{", "", id="half an object"),
        pytest.param(b"[" * 5000, "", id="5,000 brackets"),
        pytest.param(b'{"key": "a", "key": "b"}', "/key", id="a name twice"),
        pytest.param(rb'{"key": "a\u0000"}', "/key", id="NUL"),
        pytest.param(rb'{"key": "a", "kind": "\ud800"}', "/kind", id="half a surrogate pair"),
        pytest.param(b'{"key": "a", "amount": 1e400}', "", id="an infinite amount"),
        pytest.param(b'{"key": "a", "amount": NaN}', "", id="no number"),
        pytest.param(b"", "/key", id="nothing, which is an empty object"),
    ],
)
def test_a_body_that_is_refused(caller: Caller, body: bytes, where: str) -> None:
    assert list(faults(post_raw(caller(), body))) == [where]


def test_an_empty_form_is_an_empty_object(caller: Caller) -> None:
    client = caller()
    assert faults(post_raw(client, b"", "application/x-www-form-urlencoded")) == {
        "/key": "required"
    }
    assert faults(post_raw(client, b"", "")) == {"/key": "required"}


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=utf-16", "application/cloudevents+json", "x"],
)  # fmt: skip
def test_other_media_types_are_refused(caller: Caller, content_type: str) -> None:
    refused = post_raw(caller(), b'{"key": "a"}', content_type)
    assert refused.status_code == 415
    assert refused.json()["code"] == "unsupported_media_type"


def test_utf_8_may_be_named(caller: Caller) -> None:
    assert post_raw(caller(), b'{"key": "a"}', "application/json; charset=UTF-8").status_code == 201


def test_a_large_body_is_refused(caller: Caller) -> None:
    body = json.dumps({"key": "a", "kind": "x" * 1024 * 1024}).encode()
    refused = post_raw(caller(), body)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_a_refusal_says_which(caller: Caller) -> None:
    client = caller()
    client.post(LETTERS, {"key": "a"})
    refused = client.post(LETTERS, {"key": "a"})
    assert refused.status_code == 409
    assert refused.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "This key is taken.",
        "code": "key_taken",
        "errors": [{"pointer": "/key", "code": "key_taken", "detail": "This key is taken."}],
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/v1/nothing", 404, id="no such path"),
        pytest.param("/api/v1/letters/", 404, id="a slash too many"),
        pytest.param("/api/v1/letters/none", 404, id="no such letter"),
        pytest.param("/api/v1/letters/a%00b", 404, id="NUL in a key"),
        pytest.param("/api/v1/letters%0A", 404, id="a line break after the path"),
        pytest.param("/api/v1/letters/%FF%FE", 404, id="no UTF-8 in the path"),
        pytest.param("/api/v1/letters?kind=%00", 400, id="NUL in a filter"),
        pytest.param("/api/v1/letters?kidn=letter", 400, id="a misspelt filter"),
        pytest.param("/api/v1/letters?%00=1", 400, id="NUL for a filter"),
    ],
)
def test_a_path_that_leads_nowhere(caller: Caller, path: str, status: int) -> None:
    refused = caller().get(path)
    assert refused.status_code == status
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == status


def test_a_key_is_percent_encoded_in_paths(caller: Caller) -> None:
    client = caller()
    assert client.post(LETTERS, {"key": "a.b%c:d"}).status_code == 201
    assert client.get(f"{LETTERS}/a.b%25c%3Ad").json()["key"] == "a.b%c:d"


def test_a_method_that_is_not_there(caller: Caller) -> None:
    refused = caller().delete(f"{LETTERS}/a")
    assert (refused.status_code, refused.json()["title"]) == (405, "Method Not Allowed")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        pytest.param(b"[1, 2]", "application/json", id="an array"),
        pytest.param(b"{", "application/json", id="half of an object"),
        pytest.param(b"a=b", "text/plain", id="no JSON"),
        pytest.param(b" " * (BODY_LIMIT + 1), "application/json", id="too large"),
    ],
)
def test_a_method_that_is_not_there_whatever_its_body(
    caller: Caller, content: bytes, media_type: str
) -> None:
    for method in ("PUT", "PATCH"):
        send: Any = caller().generic
        refused = send(method, f"{LETTERS}/a", content, media_type)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


def test_a_crash_tells_nothing(caller: Caller) -> None:
    crashed = caller().post(LETTERS, {"key": "a", "kind": "crash"})
    assert crashed.status_code == 500
    assert crashed["Content-Type"] == "application/problem+json"
    assert b"secret" not in crashed.content


def test_any_accept_header_gets_json(caller: Caller) -> None:
    client = caller()
    for accept in ("text/html", "application/problem+json", "x", "*/*;q=0"):
        answer = client.get(f"{LETTERS}", HTTP_ACCEPT=accept)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_problems_are_in_english_whoever_reads_them(caller: Caller) -> None:
    refused = caller().post(LETTERS, {}, HTTP_ACCEPT_LANGUAGE="de")
    assert refused.json()["detail"] == "This field is required."
    assert (
        caller().delete(LETTERS, HTTP_ACCEPT_LANGUAGE="de").json()["code"] == "method_not_allowed"
    )


def test_a_query_is_read_by_its_serializer(caller: Caller) -> None:
    client = caller()
    assert client.get(f"{LETTERS}/a/copies?count=3").json() == {"count": 3}
    assert client.get(f"{LETTERS}/a/copies").json() == {"count": 24}
    assert faults(client.get(f"{LETTERS}/a/copies?count=1_0&since=x")) == {
        "?count": "invalid",
        "?since": "invalid",
    }
    assert faults(client.get(f"{LETTERS}/a/copies?cuont=1")) == {"?cuont": "unknown_parameter"}
