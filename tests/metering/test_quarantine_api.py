"""The quarantine over REST: fixed and counted, or dismissed with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from config.base.models import AuditEntry
from metering.models import QuarantinedEvent, UsageEvent
from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import D, body, send, used

pytestmark = pytest.mark.django_db
URL = "/api/v1/quarantine"


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    """Who works off what the gateway sent for the customer “acmee”, misspelt."""
    make.metric("calls")
    make.customer("acme")
    send(body(id="evt-1", subject="acmee", data={"calls": D("2.50")}))
    return caller("events:read", "events:write", name="finance")


def only(client: APIClient, **query: str) -> dict[str, Any]:
    [row] = client.get(URL, query).json()["results"]
    found: dict[str, Any] = row
    return found


def test_the_list_says_what_was_sent_and_what_is_wrong(finance: APIClient) -> None:
    row = only(finance)
    assert (row["status"], row["code"]) == ("open", "unknown_customer")
    assert row["detail"] == "There is no customer “acmee”."
    assert row["event"]["data"] == {"calls": 2.5}
    assert row["resolved_at"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"code": "unknown_customer"}, 1),
        ({"code": "bad_value"}, 0),
        ({"status": "open"}, 1),
        ({"status": "dismissed"}, 0),
    ],
)
def test_it_is_filtered(finance: APIClient, query: dict[str, str], count: int) -> None:
    assert len(finance.get(URL, query).json()["results"]) == count


def test_a_fixed_event_counts_once_however_often_it_is_replayed(finance: APIClient) -> None:
    id_ = only(finance)["id"]
    for _ in range(2):
        response = finance.post(f"{URL}/{id_}/replay", {"subject": "acme"})
        assert (response.status_code, response.json()["status"]) == (200, "replayed")
    assert UsageEvent.objects.get().customer.key == "acme"
    [entry] = AuditEntry.objects.filter(subject_type="metering.quarantinedevent")
    assert (entry.action, entry.actor_name) == ("replayed", "finance")


@pytest.mark.parametrize(
    ("fixes", "code"),
    [
        pytest.param({}, "unknown_customer", id="nothing was fixed"),
        pytest.param({"subject": "acme", "data": {}}, "missing_value", id="another fault appears"),
        pytest.param({"subject": "acme", "type": "x"}, "unknown_type", id="a type nobody counts"),
    ],
)
def test_what_still_cannot_be_counted_stays_and_says_why(
    finance: APIClient, fixes: dict[str, Any], code: str
) -> None:
    response = finance.post(f"{URL}/{only(finance)['id']}/replay", fixes)
    assert (response.status_code, response.json()["status"]) == (200, "open")
    assert response.json()["code"] == code
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize(
    "fixes", [{"time": "yesterday"}, {"colour": "red"}, {"data": []}, {"subject": ""}]
)
def test_a_faulty_fix_is_refused(finance: APIClient, fixes: dict[str, Any]) -> None:
    id_ = only(finance)["id"]
    response = finance.post(f"{URL}/{id_}/replay", fixes)
    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == f"/{next(iter(fixes))}"


def test_a_dismissal_needs_a_reason_and_is_final(finance: APIClient) -> None:
    id_ = only(finance)["id"]
    assert finance.post(f"{URL}/{id_}/dismiss", {"reason": " "}).status_code == 400
    done = finance.post(f"{URL}/{id_}/dismiss", {"reason": "A load test."})
    assert (done.status_code, done.json()["status"]) == (200, "dismissed")
    assert (done.json()["resolution"], done.json()["resolved_by"]) == ("A load test.", "finance")
    for path in ("dismiss", "replay"):
        again = finance.post(f"{URL}/{id_}/{path}", {"reason": "x"} if path == "dismiss" else {})
        assert (again.status_code, again.json()["code"]) == (409, "already_resolved")
    assert AuditEntry.objects.get(subject_type="metering.quarantinedevent").note == "A load test."


def test_a_conflict_can_only_be_dismissed(finance: APIClient) -> None:
    send(body(id="evt-2"))
    send(body(id="evt-2", data={"calls": 9}))
    id_ = only(finance, code="conflict")["id"]
    refused = finance.post(f"{URL}/{id_}/replay", {"subject": "acme"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict_stays")
    assert finance.post(f"{URL}/{id_}/dismiss", {"reason": "Twice."}).status_code == 200


def test_numbers_keep_their_digits_through_a_fix(finance: APIClient) -> None:
    id_ = only(finance)["id"]
    finance.generic(
        "POST",
        f"{URL}/{id_}/replay",
        '{"subject": "acme", "data": {"calls": 0.1000000001}}',
        content_type="application/json",
    )
    acme = UsageEvent.objects.get().customer
    assert used(make.metric("other"), acme).quantity == D("0.1000000001")


def test_a_stranger_sees_and_does_nothing(finance: APIClient, caller: Caller) -> None:
    id_ = only(finance)["id"]
    assert caller("customers:read").get(URL).status_code == 403
    assert APIClient().get(URL).status_code == 401
    for path in ("replay", "dismiss"):
        assert caller("events:read").post(f"{URL}/{id_}/{path}", {}).status_code == 403
    assert QuarantinedEvent.objects.get().status == "open"


def test_the_internal_id_finds_nothing(finance: APIClient) -> None:
    row = QuarantinedEvent.objects.get()
    assert finance.get(f"{URL}/{row.pk}").status_code == 404
    assert finance.get(f"{URL}/{row.key}").status_code == 404
