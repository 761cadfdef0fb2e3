"""A POST made again under its key has one effect and one answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from config.base.audit import SYSTEM
from config.base.models import IdempotencyKey, Outbox
from config.base.services import idempotency
from config.base.services.api_keys import create_api_key
from tests.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.example")]
LETTERS = "/api/v1/letters"
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def post(client: APIClient, body: Any, key: str = "k", path: str = LETTERS) -> Any:
    return client.post(path, body, HTTP_IDEMPOTENCY_KEY=key)


def test_the_same_call_gets_the_same_answer_once(caller: Caller) -> None:
    client = caller()
    first, second = post(client, {"key": "a"}), post(client, {"key": "a"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first["Content-Type"] == second["Content-Type"]
    assert (first.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert Outbox.objects.count() == 1


def test_another_body_is_refused(caller: Caller) -> None:
    client = caller()
    post(client, {"key": "a"})
    refused = post(client, {"key": "b"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert Outbox.objects.count() == 1


def test_a_key_is_of_one_caller_and_one_route(caller: Caller) -> None:
    post(caller(), {"key": "a"})
    assert post(caller(name="another"), {"key": "a"}).json()["code"] == "key_taken"
    assert post(caller(), {"key": "a"}, path=f"{LETTERS}/weigh").status_code == 400


def test_a_refusal_of_executed_work_is_kept(caller: Caller) -> None:
    client = caller()
    client.post(LETTERS, {"key": "a"})
    first = post(client, {"key": "a"})
    Outbox.objects.all().delete()
    second = post(client, {"key": "a"})
    assert (first.status_code, second.status_code) == (409, 409)
    assert first.content == second.content
    assert second["Content-Type"] == "application/problem+json"


def test_work_that_is_refused_halfway_leaves_nothing(caller: Caller) -> None:
    assert post(caller(), {"key": "a", "kind": "taken halfway"}).status_code == 409
    assert not Outbox.objects.exists()


@pytest.mark.parametrize("body", [{"key": "a b"}, {}, {"key": "a", "x": 1}])
def test_a_corrected_body_may_use_the_key(caller: Caller, body: Any) -> None:
    client = caller()
    assert post(client, body).status_code == 400
    assert post(client, {"key": "a"}).status_code == 201


def test_what_never_came_to_the_work_claims_nothing(caller: Caller) -> None:
    assert post(caller("catalog:read"), {"key": "a"}).status_code == 403
    client = caller()
    assert client.put(LETTERS, {"key": "a"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 405
    assert post(client, {}, path=f"{LETTERS}/a").status_code == 405
    assert not IdempotencyKey.objects.exists()


def test_a_crash_gives_the_key_back(caller: Caller) -> None:
    client = caller()
    assert post(client, {"key": "a", "kind": "crash"}).status_code == 500
    assert not Outbox.objects.exists()
    assert post(client, {"key": "a"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb"])
def test_a_key_is_1_to_255_ascii_characters(caller: Caller, key: str) -> None:
    assert post(caller(), {"key": "a"}, key=key).status_code == 400
    assert post(caller(), {"key": "a"}, key="x" * 255).status_code == 201


def claimed_ago(age: timedelta) -> None:
    """Make the answered call look like one that has been running for so long."""
    IdempotencyKey.objects.update(status=None, body=None, claimed_at=datetime.now(UTC) - age)
    Outbox.objects.all().delete()


def test_a_call_that_is_running_is_not_made_twice(caller: Caller) -> None:
    client = caller()
    post(client, {"key": "a"})
    claimed_ago(timedelta(seconds=100))
    refused = post(client, {"key": "a"})
    assert (refused.status_code, refused.json()["code"]) == (409, "still_running")
    assert refused["Retry-After"] == "1"
    assert not Outbox.objects.exists()


def test_a_call_that_died_may_be_made_again(caller: Caller) -> None:
    client = caller()
    post(client, {"key": "a"})
    claimed_ago(timedelta(seconds=121))
    assert post(client, {"key": "b"}).status_code == 422
    assert post(client, {"key": "a"}).status_code == 201
    assert post(client, {"key": "a"})["Idempotent-Replayed"] == "true"


def test_a_call_that_lost_its_claim_undoes_its_work(caller: Caller) -> None:
    refused = post(caller(), {}, path="/api/v1/slow")
    assert (refused.status_code, refused.json()["code"]) == (409, "still_running")
    assert not Outbox.objects.exists()


def test_a_day_later_the_key_is_free(caller: Caller) -> None:
    client = caller()
    post(client, {"key": "a"})
    IdempotencyKey.objects.update(claimed_at=datetime.now(UTC) - timedelta(hours=24))
    assert post(client, {"key": "b"}).status_code == 201


def test_pruning_deletes_what_is_a_day_old(caller: Caller) -> None:
    post(caller(), {"key": "a"})
    [row] = IdempotencyKey.objects.all()
    assert idempotency.prune(at=row.claimed_at + timedelta(hours=23)) == 0
    assert idempotency.prune(at=row.claimed_at + timedelta(hours=24)) == 1


def test_only_one_takes_over() -> None:
    api_key, _ = create_api_key(name="gateway", scopes=[], expires_at=None, actor=SYSTEM)
    call = {"api_key": api_key, "route": "/", "key": "k", "body": b"{}"}
    idempotency.claim(**call, at=AT)  # type: ignore[arg-type]
    later = AT + timedelta(minutes=2)
    second = idempotency.claim(**call, at=later)  # type: ignore[arg-type]
    assert isinstance(second, idempotency.Claim)
    with pytest.raises(idempotency.StillRunning):
        idempotency.claim(**call, at=later)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_many_identical_calls_at_once_have_one_effect(caller: Caller) -> None:
    credentials = caller()._credentials  # type: ignore[attr-defined]
    start = Barrier(8)

    def call(_: int) -> tuple[int, bytes]:
        client = APIClient(raise_request_exception=False)
        client.credentials(**credentials)
        start.wait()
        try:
            response = post(client, {"key": "a"})
            return response.status_code, response.content
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    created = {content for status, content in answers if status == 201}
    assert len(created) == 1
    assert {status for status, _ in answers} <= {201, 409}
    assert Outbox.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_bodies_at_once_have_one_effect(caller: Caller) -> None:
    credentials = caller()._credentials  # type: ignore[attr-defined]
    start = Barrier(2)

    def call(key: str) -> int:
        client = APIClient(raise_request_exception=False)
        client.credentials(**credentials)
        start.wait()
        try:
            status: int = post(client, {"key": key}).status_code
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(call, ["a", "b"])) == [201, 422]
    assert Outbox.objects.count() == 1
