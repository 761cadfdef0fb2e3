"""Events as Lago's senders write them, answered in Lago's form."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from config.base.audit import SYSTEM
from metering.models import QuarantinedEvent, UsageEvent
from metering.services import replay
from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import NOW, D

pytestmark = pytest.mark.django_db
URL = "/api/v1/events"


@pytest.fixture
def gateway(caller: Caller) -> APIClient:
    make.metric("calls")
    make.subscription(make.customer("acme"), key="acme-scale")
    return caller("events:write")


def event(**fields: Any) -> dict[str, Any]:
    """Three calls under acme-scale at noon on 1 November; None leaves a field out."""
    sent = {
        "transaction_id": "t-1",
        "external_subscription_id": "acme-scale",
        "code": "api.call",
        "timestamp": 1793534400,
        "properties": {"calls": "3"},
        **fields,
    }
    return {name: value for name, value in sent.items() if value is not None}


def post(client: APIClient, **fields: Any) -> Any:
    return client.post(URL, {"event": event(**fields)})


def test_one_event_is_answered_as_lago_does(gateway: APIClient) -> None:
    response = post(gateway, precise_total_amount_cents="12.5")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    answer = response.json()["event"]
    stored = UsageEvent.objects.get()
    assert answer.pop("created_at").endswith("Z")
    assert answer == {
        "lago_id": str(stored.key),
        "transaction_id": "t-1",
        "lago_customer_id": None,
        "lago_subscription_id": None,
        "external_subscription_id": "acme-scale",
        "code": "api.call",
        "timestamp": "2026-11-01T12:00:00.000Z",
        "precise_total_amount_cents": "12.5",
        "properties": {"calls": "3"},
    }
    assert (stored.source, stored.event_id, stored.type) == ("lago:acme-scale", "t-1", "api.call")
    assert (stored.customer.key, str(stored.subscription)) == ("acme", "acme-scale")


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        pytest.param(1793534400, "2026-11-01T12:00:00+00:00", id="a number"),
        pytest.param("1793534400", "2026-11-01T12:00:00+00:00", id="a text"),
        pytest.param(1793534400.123, "2026-11-01T12:00:00.123000+00:00", id="with a fraction"),
        pytest.param("1793534400.5", "2026-11-01T12:00:00.500000+00:00", id="a fraction as text"),
        pytest.param(0, "1970-01-01T00:00:00+00:00", id="the first second"),
    ],
)
def test_times_are_seconds_since_1970(gateway: APIClient, timestamp: Any, time: str) -> None:
    assert post(gateway, timestamp=timestamp).status_code == 200
    assert UsageEvent.objects.get().time.isoformat() == time


def test_without_a_time_it_counts_when_it_arrives(gateway: APIClient) -> None:
    answer = post(gateway, timestamp=None).json()["event"]
    stored = UsageEvent.objects.get()
    assert stored.time == stored.received_at
    assert answer["timestamp"] == answer["created_at"]


def test_a_subscription_stands_before_a_customer_of_that_name(gateway: APIClient) -> None:
    make.customer("acme-scale")
    make.customer("globex")
    post(gateway)
    post(gateway, external_subscription_id="globex")
    found = UsageEvent.objects.order_by("pk").values_list("customer__key", "subscription__key")
    assert list(found) == [("acme", "acme-scale"), ("globex", None)]


def test_a_batch_is_answered_with_its_events(gateway: APIClient) -> None:
    sent = [event(), event(transaction_id="t-2", external_subscription_id="nobody"), event()]
    response = gateway.post(f"{URL}/batch", {"events": sent})
    assert response.status_code == 200
    assert [each["transaction_id"] for each in response.json()["events"]] == ["t-1", "t-2", "t-1"]
    counts = "accepted=1, duplicates=1, quarantined=1, conflicts=0, invalid=0"
    assert response["Usage-Report"] == counts
    assert UsageEvent.objects.count() == QuarantinedEvent.objects.count() == 1


def test_a_new_subscription_makes_no_conflict_of_what_was_counted(gateway: APIClient) -> None:
    acme = make.customer("globex")
    post(gateway, external_subscription_id="globex")
    make.subscription(acme, key="globex")
    again = post(gateway, external_subscription_id="globex")
    assert "duplicates=1" in again["Usage-Report"]


def test_a_stranger_s_event_counts_once_its_subscription_is_there(gateway: APIClient) -> None:
    assert post(gateway, external_subscription_id="globex-scale").status_code == 200
    waiting = QuarantinedEvent.objects.get()
    assert waiting.code == "unknown_customer"
    make.subscription(make.customer("globex"), key="globex-scale")
    replay(ids=[waiting.pk], at=NOW, actor=SYSTEM)
    stored = UsageEvent.objects.get()
    assert (stored.customer.key, str(stored.subscription)) == ("globex", "globex-scale")
    assert "duplicates=1" in post(gateway, external_subscription_id="globex-scale")["Usage-Report"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"transaction_id": None}, "missing_transaction_id", id="no id"),
        pytest.param({"external_subscription_id": None}, "missing_external_subscription_id", id="of nobody"),
        pytest.param({"code": None}, "missing_code", id="no code"),
        pytest.param({"code": 7}, "bad_code", id="a code that is no text"),
        pytest.param({"transaction_id": "a\nb"}, "bad_transaction_id", id="a control character"),
        pytest.param({"external_subscription_id": "x" * 251}, "bad_source", id="251 characters"),
        pytest.param({"timestamp": "yesterday"}, "bad_timestamp", id="no number"),
        pytest.param({"timestamp": "2026-11-01T12:00:00Z"}, "bad_timestamp", id="no seconds"),
        pytest.param({"timestamp": -1}, "bad_timestamp", id="before 1970"),
        pytest.param({"timestamp": 1793534400000}, "bad_timestamp", id="milliseconds"),
        pytest.param({"timestamp": True}, "bad_timestamp", id="a yes"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_by_name(
    gateway: APIClient, fields: dict[str, Any], code: str
) -> None:
    response = post(gateway, **fields)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    [told] = response.json()["problems"]
    assert (told["outcome"], told["code"]) == ("invalid", code)
    assert not UsageEvent.objects.exists()


def test_the_sound_events_of_a_batch_are_stored(gateway: APIClient) -> None:
    response = gateway.post(f"{URL}/batch", {"events": [event(), 7, event(code=None)]})
    problem = response.json()
    assert (response.status_code, problem["accepted"], problem["invalid"]) == (400, 1, 2)
    assert [told["index"] for told in problem["problems"]] == [1, 2]


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"events": {}}', '{"event": {}}'])
def test_a_batch_that_is_none_is_refused(gateway: APIClient, body: str) -> None:
    response = gateway.generic("POST", f"{URL}/batch", body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "not_json")


def test_what_else_lago_s_event_says_is_kept_and_means_nothing(gateway: APIClient) -> None:
    post(gateway, specversion="0.3", time="x", data=7, source="x", note="kept")
    stored = UsageEvent.objects.get()
    assert (stored.extensions, stored.data) == ({"note": "kept"}, {"calls": "3"})
    assert stored.time.isoformat() == "2026-11-01T12:00:00+00:00"


def test_quantities_keep_their_digits(gateway: APIClient) -> None:
    body = '{"event": {"transaction_id": "t", "external_subscription_id": "acme-scale", '
    body += '"code": "api.call", "properties": {"calls": 0.1000000001}}}'
    response = gateway.generic("POST", URL, body, content_type="application/json")
    assert b'"calls":0.1000000001' in response.content
    assert UsageEvent.objects.get().data == {"calls": D("0.1000000001")}


def test_a_stranger_sends_nothing(caller: Caller) -> None:
    assert post(caller("events:read")).status_code == 403
    assert APIClient().post(f"{URL}/batch", {"events": [event()]}).status_code == 401
    assert caller("events:read").get(f"{URL}/batch").status_code in (404, 405)
