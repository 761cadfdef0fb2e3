"""Events whose attributes are headers and whose data is the body: CloudEvents' binary mode."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from metering.models import QuarantinedEvent, UsageEvent
from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import D

pytestmark = pytest.mark.django_db
URL = "/api/v1/events"
HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "evt-1",
    "ce-source": "gateway",
    "ce-type": "api.call",
    "ce-subject": "acme",
    "ce-time": "2026-11-01T12:00:00Z",
}


@pytest.fixture
def gateway(caller: Caller) -> APIClient:
    make.metric("calls")
    make.metric("requests", event_type="api.request", aggregation="count")
    make.subscription(make.customer("acme"), key="acme-scale")
    return caller("events:write")


def post(
    client: APIClient, body: Any = b'{"calls": 3}', *, as_type: str = "", **headers: str | None
) -> Any:
    """Send a call by acme with these headers; None leaves one out, `_` is `-`."""
    sent = {**HEADERS, **{f"ce-{name}": value for name, value in headers.items()}}
    return client.generic(
        "POST",
        URL,
        body,
        content_type=as_type,
        headers={name: value for name, value in sent.items() if value is not None},
        HTTP_ACCEPT="application/json",
    )


@pytest.mark.parametrize(
    "as_type",
    ["application/json", "application/json; charset=utf-8", "", "text/plain", "application/x-any"],
)
def test_whatever_its_content_type_the_body_is_the_data_in_json(
    gateway: APIClient, as_type: str
) -> None:
    assert post(gateway, b'{"calls": 12345678901234567890.5}', as_type=as_type).status_code == 200
    event = UsageEvent.objects.get()
    assert event.data == {"calls": D("12345678901234567890.5")}
    assert (event.event_id, event.source, event.customer.key) == ("evt-1", "gateway", "acme")
    assert event.extensions == ({"datacontenttype": as_type} if as_type else None)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("a%20b", "a b", id="percent-encoded"),
        pytest.param("Z%C3%BCrich", "Zürich", id="in UTF-8"),
        pytest.param("%2525", "%25", id="decoded once"),
        pytest.param("100%", "100%", id="a lone percent sign is itself"),
        pytest.param('"a \\"b\\" c"', 'a "b" c', id="in quotes, as older senders write"),
        pytest.param("a,b", "a,b", id="with a comma"),
    ],
)
def test_headers_are_decoded(gateway: APIClient, sent: str, kept: str) -> None:
    assert post(gateway, id=sent, traceparent=sent).json()["accepted"] == 1
    event = UsageEvent.objects.get()
    assert (event.event_id, event.extensions) == (kept, {"traceparent": kept})


def test_no_body_is_no_data(gateway: APIClient) -> None:
    assert post(gateway, b"", type="api.request").json()["accepted"] == 1
    assert UsageEvent.objects.get().data == {}
    [told] = post(gateway, b"", id="evt-2").json()["problems"]
    assert told["code"] == "missing_value"


def test_a_header_named_data_is_not_the_data(gateway: APIClient) -> None:
    assert post(gateway, data='{"calls": 9}').json()["accepted"] == 1
    assert UsageEvent.objects.get().data == {"calls": 3}
    [told] = post(gateway, b"", id="evt-2", data='{"calls": 9}').json()["problems"]
    assert told["code"] == "missing_value"


def test_it_is_the_same_event_in_structured_mode(gateway: APIClient) -> None:
    post(gateway, subscription="acme-scale")
    again: dict[str, Any] = {name.removeprefix("ce-"): HEADERS[name] for name in HEADERS}
    again |= {"subscription": "acme-scale", "data": {"calls": 3}}
    response = gateway.post(URL, again, HTTP_ACCEPT="application/json")
    assert response.json()["duplicates"] == 1
    subscription = UsageEvent.objects.get().subscription
    assert subscription is not None
    assert subscription.key == "acme-scale"


@pytest.mark.parametrize(
    "media_type", ["application/cloudevents+json", "application/cloudevents-batch+json"]
)
def test_a_structured_body_is_read_whatever_the_headers_say(
    gateway: APIClient, media_type: str
) -> None:
    response = post(gateway, b'{"calls": 3}', as_type=media_type)
    assert (response.status_code, response.json()["invalid"]) == (400, 1)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"specversion": "0.3"}, id="another version"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"source": ""}, id="an empty source"),
        pytest.param({"type": "%00"}, id="NUL"),
        pytest.param({"subject": "%ff"}, id="no UTF-8"),
        pytest.param({"id": "%ED%A0%80"}, id="half a surrogate pair"),
        pytest.param({"time": "noon"}, id="no time"),
        pytest.param({"id": "x" * 256}, id="256 characters"),
        pytest.param({"note": "a%00b"}, id="NUL in an extension"),
    ],
)
def test_faulty_headers_make_it_invalid(gateway: APIClient, headers: dict[str, Any]) -> None:
    response = post(gateway, **headers)
    assert (response.status_code, response.json()["invalid"]) == (400, 1)
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"calls=3", b"\xff", b"[" * 5000])
def test_a_body_that_is_no_json_is_refused(gateway: APIClient, body: bytes) -> None:
    response = post(gateway, body, as_type="text/plain")
    assert (response.status_code, response.json()["code"]) == (400, "not_json")


@pytest.mark.parametrize("body", [b"7", b'"calls"', b"[3]", b'{"calls": 1e999999}', b"{}"])
def test_data_that_cannot_be_counted_is_kept(gateway: APIClient, body: bytes) -> None:
    response = post(gateway, body)
    assert response.status_code in (200, 400)
    report = response.json()
    assert report["invalid"] + QuarantinedEvent.objects.count() == 1
    assert not UsageEvent.objects.exists()


def test_another_charset_is_refused(gateway: APIClient) -> None:
    assert post(gateway, as_type="application/json; charset=utf-16").status_code == 415
