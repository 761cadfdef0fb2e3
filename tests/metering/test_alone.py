"""An event in a call of its own takes one round trip, and leaves what it would leave in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from metering.api import intake
from metering.models import EventKey, QuarantinedEvent, UsageEvent, UsagePiece
from metering.services import alone, memory
from metering.statements import Statement
from tests import factories as make
from tests.metering.usage import NOW, body, build, event, send

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite takes each as a batch"),
]

MEASURED: list[dict[str, Any]] = [
    {"aggregation": "count"},
    {"aggregation": "sum", "dimensions": ["model"]},
    {"aggregation": "unique_count", "value_property": "model"},
    {"aggregation": "latest", "value_is": "level"},
    {"aggregation": "latest", "value_is": "change"},
    {"aggregation": "max", "value_is": "level", "series": ["model"]},
    {"aggregation": "max", "value_is": "change"},
    {"aggregation": "time_weighted", "value_is": "level", "time_unit": "hour"},
    {"aggregation": "time_weighted", "value_is": "change", "time_unit": "hour"},
    {"aggregation": "sum", "filters": [{"property": "model", "operator": "eq", "values": ["l"]}]},
]


@pytest.fixture(autouse=True)
def remembered(transactional_db: None) -> Iterator[None]:
    """Every way to measure, and acme, who has one subscription, are remembered from a batch before."""
    for n, fields in enumerate(MEASURED):
        make.metric(f"metric-{n}", **fields)
    make.subscription(make.customer("acme", time_zone="America/New_York"), key="first")
    build()
    data = {"calls": 1, "model": "l"}
    assert send(body(data=data), body(data=data, subscription="first")).accepted == 2
    yield
    memory._memory = None


def rows(key: bytes) -> list[Any]:
    """Return what is kept of an event, but what tells it from another."""
    stored = UsageEvent.objects.get(key=key.hex())
    known = EventKey.objects.get(pk=key.hex())
    assert known.stored_as == stored.pk
    pieces = UsagePiece.objects.filter(last_id=stored.pk).order_by("rollup")
    return [
        (bytes(known.payload_hash), known.time),
        UsageEvent.objects.filter(pk=stored.pk).values_list(
            "source", "type", "customer", "subscription", "time", "received_at", "data", "extensions"
        )[0],
        *pieces.values_list(
            "rollup", "customer", "subscription", "key", "starts_at", "ends_at", "events", "total",
            "highest", "area", "last_value", "first_time", "last_time", "last_received_at",
            "is_folded",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "pieces"),
    [
        pytest.param({}, 10, id="counted by every metric"),
        pytest.param({"data": {"calls": "2.50", "model": "x"}}, 9, id="left out by a filter"),
        pytest.param({"subscription": "first", "colour": "red"}, 10, id="with all it can have"),
        pytest.param({"time": None}, 10, id="at the time it arrives"),
        pytest.param({"data": {"calls": 0, "model": 'ü\\"'}}, 9, id="texts that need quotes"),
    ],
)
def test_alone_or_in_a_batch_is_the_same(
    change: dict[str, Any], pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"data": {"calls": 3, "model": "l"}, **change}
    assert alone.take_alone(event(id="alone", **said), received_at=NOW)
    monkeypatch.setattr("metering.services.ingestion.take_alone", lambda *_, **__: None)
    assert send(body(id="batch", **said)).accepted == 1
    kept = rows(event(id="alone", **said).key)
    assert kept == rows(event(id="batch", **said).key)
    assert len(kept) == 2 + pieces


def test_one_round_trip() -> None:
    asked = []
    run = Statement.run

    def counted(statement: Statement, *values: Any) -> Any:
        asked.append(statement)
        return run(statement, *values)

    said = body(data={"calls": 1, "model": "l"})
    with pytest.MonkeyPatch.context() as patch, CaptureQueriesContext(connection) as others:
        patch.setattr(Statement, "run", counted)
        assert send(said).accepted == 1
        assert send(said).duplicates == 1
    assert (len(asked), len(others)) == (2, 0)


@pytest.mark.parametrize("time", ["2026-11-01T12:00:00Z", "2026-11-01T13:00:00Z", None])
def test_a_duplicate_alone_or_in_a_batch_is_answered_the_same(
    time: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it names another time than the first, or none."""
    said = body(data={"calls": 1, "model": "l"}, time="2026-11-01T12:00:00Z")
    assert send(said).accepted == 1
    again = {**said, "time": time}
    taken = alone.take_alone(event(**again), received_at=NOW)
    assert taken is not None
    assert not taken.is_new
    answered = send(again)
    monkeypatch.setattr("metering.services.ingestion.take_alone", lambda *_, **__: None)
    assert answered == send(again)
    assert answered.duplicates == 1


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        pytest.param(
            {"id": "once", "data": {"calls": 2, "model": "l"}}, "conflicts", id="a conflict"
        ),
        pytest.param({"id": "other", "subject": "nobody"}, "quarantined", id="an unknown customer"),
        pytest.param(
            {"id": "other", "data": {"calls": "many", "model": "l"}},
            "quarantined",
            id="a bad value",
        ),
        pytest.param({"id": "other", "type": "other"}, "quarantined", id="an unknown type"),
        pytest.param(
            {"id": "other", "time": "2026-12-01T05:00:00Z"}, "quarantined", id="of the future"
        ),
    ],
)
def test_what_is_not_usual_takes_the_longer_way(change: dict[str, Any], outcome: str) -> None:
    said = body(id="once", data={"calls": 1, "model": "l"})
    assert send(said).accepted == 1
    before = UsageEvent.objects.count(), UsagePiece.objects.count()
    assert not alone.take_alone(event(**{**said, **change}), received_at=NOW)
    assert getattr(send({**said, **change}), outcome) == 1
    assert (UsageEvent.objects.count(), UsagePiece.objects.count()) == before
    assert QuarantinedEvent.objects.count() == 1


def test_what_a_transaction_surrounds_takes_the_longer_way() -> None:
    with transaction.atomic():
        assert not alone.take_alone(event(), received_at=NOW)


def test_a_connection_lost_within_a_second_of_the_last_call_is_answered_as_such(
    caller: Callable[..., Any],
) -> None:
    """A moment later, or once that call was answered, it is made anew."""
    client = caller("events:write")
    other = connection.copy()

    def post(name: str) -> int:
        answer = client.post("/api/v1/events", body(id=name, data={"calls": 1, "model": "l"}))
        connection.close_at = None
        connection.close_if_unusable_or_obsolete()  # as at the end of every request
        return int(answer.status_code)

    def lose() -> None:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(%s, 5000)", (connection.connection.info.backend_pid,)
            )

    connection.health_check_enabled = True  # type: ignore[attr-defined]
    try:
        assert post("a") == 204
        lose()
        assert [post("b"), post("b")] == [503, 204]
        lose()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intake, "TRUSTED_FOR", 0.0)
            assert post("c") == 204
    finally:
        other.close()
        connection.health_check_enabled = False  # type: ignore[attr-defined]
    stored = UsageEvent.objects.exclude(event_id__startswith="evt-")
    assert sorted(stored.values_list("event_id", flat=True)) == ["a", "b", "c"]
