"""POST and GET /api/v1/events: what senders rely on."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from rest_framework.test import APIClient

from catalog.models import ValueMetric
from config.base.audit import SYSTEM
from customers.models import Customer
from metering import events, tasks
from metering.models import QuarantinedEvent, UsageEvent, UsagePiece
from metering.services import void_events
from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import NOW, D, body, build, used

pytestmark = pytest.mark.django_db
URL = "/api/v1/events"
JSON = "application/json"


@pytest.fixture
def gateway(caller: Caller) -> APIClient:
    """Who sends events for acme, whose calls are counted."""
    make.metric("calls")
    make.customer("acme")
    return caller("events:write")


def post(client: APIClient, payload: Any, *, as_type: str = JSON, accept: str = JSON) -> Any:
    sent: Any = payload if isinstance(payload, bytes | str) else json.dumps(payload)
    return client.generic("POST", URL, sent, content_type=as_type, HTTP_ACCEPT=accept)


def test_what_arrived_is_folded_now_and_then(gateway: APIClient, monkeypatch: Any) -> None:
    """Also where no beat runs, but not with every call."""
    build()
    for pause, unfolded in ((1e9, 1), (0.0, 0)):
        monkeypatch.setattr(tasks, "FOLDED_AFTER", pause)
        post(gateway, body())
        assert UsagePiece.objects.filter(is_folded=False).count() == unfolded


@pytest.mark.parametrize(
    ("calls", "asked"),
    [
        pytest.param([1] * 100, 1, id="a hundred calls of one event"),
        pytest.param([1] * 99, 0, id="not quite a hundred"),
        pytest.param([0] * 100, 0, id="calls of duplicates leave nothing to fold"),
        pytest.param([1000, 1000], 1, id="two calls of a thousand, like fifty calls each"),
        pytest.param([19] * 99 + [21] * 2, 1, id="up to twenty events are like one"),
        pytest.param([1000] * 7, 3, id="again and again"),
    ],
)
def test_folding_is_asked_for_by_how_much_there_is_to_fold(
    calls: list[int], asked: int, monkeypatch: Any
) -> None:
    asked_for: list[Any] = []
    monkeypatch.setattr(tasks, "FOLDED_AFTER", 100)
    monkeypatch.setattr(tasks, "_unfolded", 0)
    monkeypatch.setattr(tasks, "nudge", asked_for.append)
    for accepted in calls:
        tasks.nudge_folding(accepted=accepted)
    assert asked_for == [tasks.fold_pieces] * asked


def test_what_is_stored_is_answered_so_though_it_could_not_be_folded(
    gateway: APIClient, monkeypatch: Any
) -> None:
    def busy(task: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(tasks, "FOLDED_AFTER", 0.0)
    monkeypatch.setattr(tasks, "nudge", busy)
    response = post(gateway, body())
    assert (response.status_code, response.json()["accepted"]) == (200, 1)
    assert UsageEvent.objects.count() == 1


def test_a_body_is_not_kept_once_it_is_read(gateway: APIClient) -> None:
    """Django's requests refer to themselves, so a worker would hold hundreds of megabytes."""
    response = post(gateway, [body()])
    assert (response.json()["accepted"], response.wsgi_request.body) == (1, b"")


def test_a_time_of_any_length_is_read_and_only_usual_ones_are_remembered(
    gateway: APIClient,
) -> None:
    """A fraction may be as long as a body: remembered, a few thousand would fill a worker."""
    times = ["2026-11-01T12:00:00.123456" + "9" * digits + "Z" for digits in (3, 100_000)]
    known = events._remembered_time.cache_info().currsize
    response = post(gateway, [body(time=time) for time in times])
    assert response.json()["accepted"] == 2
    found = UsageEvent.objects.values_list("time", flat=True)
    assert {one.isoformat() for one in found} == {"2026-11-01T12:00:00.123456+00:00"}
    assert events._remembered_time.cache_info().currsize <= known + 1


@pytest.mark.parametrize(
    ("payload", "media_type"),
    [
        pytest.param(body(), JSON, id="one object as plain JSON"),
        pytest.param([body(), body()], JSON, id="an array as plain JSON"),
        pytest.param(body(), "application/cloudevents+json", id="structured mode"),
        pytest.param([body()], "application/cloudevents-batch+json; charset=UTF-8", id="a batch"),
    ],
)
def test_every_form_is_taken(gateway: APIClient, payload: Any, media_type: str) -> None:
    response = post(gateway, payload, as_type=media_type)
    count = len(payload) if isinstance(payload, list) else 1
    assert response.status_code == 200
    assert response.json() == {
        "accepted": count,
        "duplicates": 0,
        "quarantined": 0,
        "conflicts": 0,
        "invalid": 0,
        "problems": [],
    }
    assert UsageEvent.objects.count() == count


@pytest.mark.parametrize("accept", ["", "*/*", "text/html"])
def test_who_asks_for_no_report_gets_the_counts_in_a_header(
    gateway: APIClient, accept: str
) -> None:
    response = post(gateway, [body(id="a"), body(id="a")], accept=accept)
    assert response.status_code == 204
    assert response.content == b""
    assert "Content-Type" not in response
    counts = "accepted=1, duplicates=1, quarantined=0, conflicts=0, invalid=0"
    assert response["Usage-Report"] == counts


def test_problems_list_what_was_neither_accepted_nor_a_plain_duplicate(gateway: APIClient) -> None:
    sent = [
        body(id="good"),
        body(id="good"),
        body(id="stranger", subject="nobody"),
        body(id="good", data={"calls": 2}),
        body(id="good", time="2026-11-01T12:00:01Z"),
    ]
    report = post(gateway, sent).json()
    assert {name: report[name] for name in ("accepted", "duplicates", "quarantined")} == {
        "accepted": 1,
        "duplicates": 2,
        "quarantined": 1,
    }
    found = [(p["index"], p["id"], p["outcome"], p["code"]) for p in report["problems"]]
    assert found == [
        (2, "stranger", "quarantined", "unknown_customer"),
        (3, "good", "conflict", "conflict"),
        (4, "good", "duplicate", "other_time"),
    ]


def test_what_is_no_event_is_refused_and_the_rest_is_stored(gateway: APIClient) -> None:
    response = post(gateway, [body(id="good"), {"id": "x"}, 7, body(subject="nobody")])
    problem = response.json()
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["accepted"], problem["invalid"]) == (400, 1, 2)
    assert [(p["index"], p["outcome"], p["code"]) for p in problem["problems"]] == [
        (1, "invalid", "missing_source"),
        (2, "invalid", "not_an_object"),
        (3, "quarantined", "unknown_customer"),
    ]
    assert UsageEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("payload", "media_type", "status"),
    [
        pytest.param(b"", JSON, 400, id="nothing"),
        pytest.param(b"{", JSON, 400, id="not JSON"),
        pytest.param(b"7", JSON, 400, id="no event and no array"),
        pytest.param(b"\xff", JSON, 400, id="not UTF-8"),
        pytest.param(b"[" * 5000 + b"]" * 5000, JSON, 400, id="endless nesting"),
        pytest.param(b"{}", "text/csv", 415, id="another type"),
        pytest.param(b"{}", "application/json; charset=latin-1", 415, id="another charset"),
        pytest.param(b"[" + b"1," * 10_000 + b"1]", JSON, 413, id="10,001 events"),
        pytest.param(b" " * (8 * 1024 * 1024 + 1), JSON, 413, id="a byte over 8 MiB"),
    ],
)
def test_what_cannot_be_read_is_a_problem(
    gateway: APIClient, payload: bytes, media_type: str, status: int
) -> None:
    response = post(gateway, payload, as_type=media_type)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_a_missing_time_is_the_time_of_arrival(gateway: APIClient) -> None:
    post(gateway, body(time=None))
    event = UsageEvent.objects.get()
    assert event.time == event.received_at


@pytest.mark.parametrize(
    "value",
    ["1e999999", "-1e999999", "1e-999999", "9" * 10_000, "NaN", "Infinity", "1" * 21,
     "0." + "1" * 11, '"1e5"', '"NaN"', '"1_000"', '"٣"', '" 1"', '""', "true", "[1]", "{}",
     '"\\ud800"', '"\\u0000"', "[" * 30 + "]" * 30],
)  # fmt: skip
def test_hostile_values_are_told_never_a_crash_nor_counted(gateway: APIClient, value: str) -> None:
    event = json.dumps(body(data=None))[:-1] + ', "data": {"calls": ' + value + "}}"
    good = json.dumps(body(data={"calls": "2.5"}))
    response = post(gateway, f"[{event}, {good}]")
    assert response.status_code in (200, 400)
    [told] = response.json()["problems"]
    assert (told["index"], told["outcome"]) in [(0, "invalid"), (0, "quarantined")]
    event_row = UsageEvent.objects.get()
    assert event_row.data == {"calls": "2.5"}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [(name, value) for name in ("id", "source", "type", "subject", "subscription")
     for value in ("", "x" * 256, "a\x00b", "a\nb", 7, ["a"], {"a": 1}, True)]
    + [("time", t) for t in ("", "yesterday", "2026-11-01", "2026-11-01T12:00:00", 1_700_000_000,
        "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
        "2026-11-01T24:00:00Z", "2026-W01-1T00:00:00Z", "٢٠٢٦-11-01T00:00:00Z")]
    + [("specversion", "0.3")],
)  # fmt: skip
def test_hostile_attributes_make_an_item_invalid(
    gateway: APIClient, attribute: str, value: Any
) -> None:
    response = post(gateway, [body(**{attribute: value})])
    assert response.status_code == 400
    [told] = response.json()["problems"]
    assert told["outcome"] == "invalid"
    assert attribute in told["detail"] or attribute in told["code"]
    assert not UsageEvent.objects.exists()


def test_a_lone_surrogate_spoils_its_own_item_only(gateway: APIClient) -> None:
    bad = json.dumps(body(id="x")).replace('"x"', '"\\ud800"')
    response = post(gateway, f"[{bad}, {json.dumps(body())}]")
    assert (response.status_code, response.json()["accepted"]) == (400, 1)


def test_an_extension_is_kept_and_means_nothing(gateway: APIClient) -> None:
    assert post(gateway, body(traceparent="00-1", datacontenttype=JSON)).json()["accepted"] == 1
    assert UsageEvent.objects.get().extensions == {"traceparent": "00-1", "datacontenttype": JSON}


def test_digits_survive(caller: Caller) -> None:
    acme, metric = make.customer("acme"), make.metric("calls")
    sent = (
        json.dumps(body(data=None))[:-1] + ', "data": {"calls": 12345678901234567890.0123456789}}'
    )
    client = caller("events:write", "events:read")
    post(client, sent)
    assert used(metric, acme).quantity == D("12345678901234567890.0123456789")
    assert b"12345678901234567890.0123456789" in client.get(URL).content


def test_data_in_base64_is_read(gateway: APIClient) -> None:
    """CloudEvents' libraries write every payload in bytes so."""
    hidden = b64encode(b'{"calls": 2.50}').decode()
    assert post(gateway, body(id="a", data=None, data_base64=hidden)).json()["accepted"] == 1
    event = UsageEvent.objects.get()
    assert (event.data, event.extensions) == ({"calls": D("2.5")}, None)
    again = post(gateway, body(id="a", data={"calls": 2.5}))
    assert again.json()["duplicates"] == 1


@pytest.mark.parametrize(
    "hidden", ["%%%", b64encode(b"calls").decode(), b64encode(b"[1").decode(), 7]
)
def test_data_in_base64_that_is_no_json_waits_in_quarantine(
    gateway: APIClient, hidden: Any
) -> None:
    [told] = post(gateway, body(data=None, data_base64=hidden)).json()["problems"]
    assert (told["outcome"], told["code"]) == ("quarantined", "bad_value")


def test_one_event_is_read_by_its_uuid(caller: Caller) -> None:
    make.metric("calls")
    make.customer("acme")
    client = caller("events:write", "events:read")
    post(client, [body(id="a"), body(id="b")])
    listed = client.get(URL).json()["results"][0]
    assert client.get(f"{URL}/{listed['uuid']}").json() == listed
    stranger = client.get(f"{URL}/{UUID(int=7)}")
    assert (stranger.status_code, stranger["Content-Type"]) == (404, "application/problem+json")
    assert client.get(f"{URL}/{'-' * 32}").status_code == 404
    assert caller("events:write").get(f"{URL}/{listed['uuid']}").status_code == 403


def test_ten_thousand_events_take_as_many_queries_as_two(
    gateway: APIClient, django_assert_max_num_queries: Any
) -> None:
    for count in (2, 10_000):
        with django_assert_max_num_queries(15):
            report = post(gateway, [body() for _ in range(count)]).json()
        assert report["accepted"] == count


def test_who_may_only_read_or_has_no_key_sends_nothing(gateway: APIClient, caller: Caller) -> None:
    assert post(caller("events:read"), body()).status_code == 403
    assert post(APIClient(), body()).status_code == 401
    assert not UsageEvent.objects.exists()
    assert not QuarantinedEvent.objects.exists()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        pytest.param("", ["c", "b", "a"], id="the last to arrive first"),
        pytest.param("subject=acme", ["b", "a"], id="one customer's"),
        pytest.param("subject=acme&type=api.call", ["b", "a"], id="one type"),
        pytest.param("type=other", [], id="a type nobody sends"),
        pytest.param("subject=nobody", [], id="a customer nobody knows"),
        pytest.param("from=2026-11-02", ["c", "b"], id="from a day on"),
        pytest.param(
            "from=2026-11-02T00:00:00Z&to=2026-11-03", ["b"], id="the end is not included"
        ),
        pytest.param("to=2026-11-02T01:00:00+01:00", ["a"], id="a plus in a query is a space"),
    ],
)
def test_events_are_listed(caller: Caller, query: str, ids: list[str]) -> None:
    make.metric("calls")
    make.customer("acme")
    make.customer("globex")
    client = caller("events:write", "events:read")
    for n, (id_, subject) in enumerate([("a", "acme"), ("b", "acme"), ("c", "globex")], start=1):
        post(client, body(id=id_, subject=subject, time=f"2026-11-0{n}T00:00:00Z"))
    listed = client.get(f"{URL}?{query}").json()["results"]
    assert [event["id"] for event in listed] == ids


def test_a_listed_event_says_all_but_the_internal_id(caller: Caller) -> None:
    make.metric("calls")
    acme = make.customer("acme")
    make.subscription(acme, key="acme-scale")
    client = caller("events:write", "events:read")
    post(client, body(id="a", subscription="acme-scale", data={"calls": 1.5}))
    [event] = client.get(URL).json()["results"]
    assert event.pop("uuid")
    assert event.pop("received_at")
    assert event == {
        "id": "a",
        "source": "gateway",
        "type": "api.call",
        "subject": "acme",
        "subscription": "acme-scale",
        "time": "2026-11-01T12:00:00Z",
        "data": {"calls": 1.5},
        "adjustment": None,
    }


@pytest.mark.parametrize("query", ["fro=2026-11-01", "from=yesterday", "to=2026-99-99", "limit=x"])
def test_a_misspelt_filter_is_refused(caller: Caller, query: str) -> None:
    assert caller("events:read").get(f"{URL}?{query}").status_code == 400


def test_pages_follow_each_other(caller: Caller) -> None:
    make.metric("calls")
    make.customer("acme")
    client = caller("events:write", "events:read")
    post(client, [body(id=f"{n}") for n in range(5)])
    page = client.get(f"{URL}?limit=3").json()
    rest = client.get(page["next"]).json()
    assert [event["id"] for event in page["results"] + rest["results"]] == list("43210")


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    """Who corrects the event “a”, five calls by acme."""
    make.metric("calls")
    make.customer("acme")
    client = caller("events:write", "events:read", name="finance")
    post(client, body(id="a", data={"calls": 5}))
    return client


def corrected(client: APIClient, how: str, body: Any) -> Any:
    return client.post(f"{URL}/{UsageEvent.objects.get().key}/{how}", body)


def counted() -> D:
    return used(ValueMetric.objects.get(), Customer.objects.get()).quantity


def test_a_voided_event_never_counted_and_is_still_there(finance: APIClient) -> None:
    answer = corrected(finance, "void", {"reason": "A load test."})
    assert answer.status_code == 200
    adjustment = dict(answer.json()["adjustment"])
    assert adjustment.pop("made_at")
    assert adjustment == {
        "kind": "void",
        "data": None,
        "reason": "A load test.",
        "made_by": "finance",
    }
    assert answer.json()["data"] == {"calls": 5}
    assert corrected(finance, "void", {"reason": "Again."}).json() == answer.json()
    assert finance.get(URL).json()["results"] == [answer.json()]
    assert counted() == 0


def test_a_replaced_event_counts_with_other_data(finance: APIClient) -> None:
    exact = '{"data": {"calls": 0.1000000001}, "reason": "Counted twice."}'
    answer = finance.generic(
        "POST", f"{URL}/{UsageEvent.objects.get().key}/replace", exact, content_type=JSON
    )
    assert b'"calls":0.1000000001' in answer.content
    assert (answer.json()["data"], answer.json()["adjustment"]["kind"]) == ({"calls": 5}, "replace")
    assert counted() == D("0.1000000001")


@pytest.mark.parametrize(
    ("how", "sent", "pointer"),
    [
        ("void", {}, "/reason"),
        ("void", {"reason": " "}, "/reason"),
        ("void", {"reason": "x", "data": {}}, "/data"),
        ("replace", {"reason": "x"}, "/data"),
        ("replace", {"reason": "x", "data": []}, "/data"),
        ("replace", {"reason": "x", "data": {}}, "/data"),
        ("replace", {"reason": "x", "data": {"calls": "many"}}, "/data"),
        ("replace", {"data": {"calls": 1}}, "/reason"),
    ],
)
def test_a_faulty_correction_is_refused(
    finance: APIClient, how: str, sent: Any, pointer: str
) -> None:
    response = corrected(finance, how, sent)
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert counted() == 5


def test_what_is_not_there_or_waits_in_quarantine_is_not_corrected(finance: APIClient) -> None:
    post(finance, body(id="b", subject="nobody"))
    for key in (UUID(int=7), QuarantinedEvent.objects.get().key):
        assert finance.post(f"{URL}/{key}/void", {"reason": "x"}).status_code == 404


def test_who_may_only_read_corrects_nothing(finance: APIClient, caller: Caller) -> None:
    for how in ("void", "replace"):
        assert corrected(caller("events:read"), how, {"reason": "x"}).status_code == 403
    assert counted() == 5


def test_a_page_takes_as_many_queries_as_it_would_without_adjustments(
    finance: APIClient, django_assert_num_queries: Any
) -> None:
    post(finance, [body(id=f"{n}") for n in range(30)])
    keys = UsageEvent.objects.values_list("key", flat=True)[:20]
    void_events(keys=keys, reason="x", at=NOW, actor=SYSTEM)
    with django_assert_num_queries(3):  # the key, the events, their adjustments
        assert len(finance.get(URL).json()["results"]) == 31


def test_a_stranger_reads_no_events(caller: Caller) -> None:
    assert caller("events:write").get(URL).status_code == 403
    assert APIClient().get(URL).status_code == 401


@pytest.mark.parametrize(
    ("time", "accepted"),
    [
        pytest.param("1970-01-01T00:00:00Z", 1, id="the first instant"),
        pytest.param("1969-12-31T23:00:00-01:00", 1, id="the same, written elsewhere"),
        pytest.param("1970-01-01T00:00:00+14:00", 0, id="it is 1969 in UTC"),
        pytest.param("2999-12-31T23:59:60Z", 0, id="a leap second into 3000"),
        pytest.param("9999-12-31T23:59:60Z", 0, id="beyond every calendar"),
        pytest.param("0001-01-01T00:00:00+14:00", 0, id="before every calendar"),
    ],
)
def test_years_are_those_of_utc(gateway: APIClient, time: str, accepted: int) -> None:
    make.metric("years", event_type="year")
    report = post(gateway, [body(id="a", time=time)], accept="application/json").json()
    assert report["invalid"] == 1 - accepted
