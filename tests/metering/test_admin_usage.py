"""From a bar of usage down to its events, their CSV, and their corrections."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import ValueMetric
from customers.models import Customer
from metering.admin.usage import usage_panel
from metering.models import EventAdjustment, UsageEvent
from metering.services import behind
from metering.services.behind import used_metrics
from tests import factories as make
from tests.metering.usage import NOW, D, body, build, send, used
from tests.staff import anna, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
EVENT = "metering_usageevent"
NOVEMBER = "metric=calls&start=2026-11-01&end=2026-11-30"


@pytest.fixture(autouse=True)
def _clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Customer:
    """Acme in Berlin, whose eu calls are counted: 5 late on the 1st, 7 and 2 on the 2nd."""
    metric = make.metric("calls", name="Calls", filters=[
        {"property": "region", "operator": "eq", "values": ["eu"]}
    ])  # fmt: skip
    acme = make.customer("acme", name="Acme", time_zone="Europe/Berlin")
    at = "2026-11-{}Z".format
    send(
        body(id="late", time=at("01T22:59:59"), data={"calls": 5, "region": "eu"}),
        body(id="midnight", time=at("01T23:00:00"), data={"calls": 7, "region": "eu"}),
        body(id="noon", time=at("02T11:00:00"), data={"calls": "2", "region": "eu"}),
        body(id="elsewhere", time=at("02T11:30:00"), data={"calls": 100, "region": "us"}),
        body(id="other", time=at("02T11:30:00"), type="other"),
    )
    assert metric.key == "calls"
    return acme


def bars(client: Any, query: str = f"{NOVEMBER}&by=day") -> Any:
    return client.get(page(EVENT, "usage", "acme") + f"?{query}")


def bar(client: Any, name: str) -> dict[str, Any]:
    [row] = [row for row in bars(client).context["rows"] if row["name"] == name]
    found: dict[str, Any] = row
    return found


def test_bars_begin_where_the_customer_s_days_do(acme: Customer) -> None:
    rows = bars(anna()).context["rows"]
    assert len(rows) == 30
    assert [(row["name"], row["quantity"], row["events"], row["share"]) for row in rows[:3]] == [
        ("Sun 1 Nov 2026", "5 calls", "1", 55),
        ("Mon 2 Nov 2026", "9 calls", "2", 100),
        ("Tue 3 Nov 2026", "0 calls", "0", 0),
    ]


@pytest.mark.parametrize(("by", "count"), [("hour", 720), ("day", 30), ("month", 1)])
def test_a_bar_for_each_hour_day_or_month_of_the_same_whole(
    acme: Customer, by: str, count: int
) -> None:
    shown = bars(anna(), f"{NOVEMBER}&by={by}").context
    assert (len(shown["rows"]), shown["total"], shown["total_events"]) == (count, "14 calls", "3")


def test_a_day_leads_to_its_hours_and_a_month_to_its_days(acme: Customer) -> None:
    client = anna()
    [month] = bars(client, f"{NOVEMBER}&by=month").context["rows"]
    assert len(bars(client, month["finer"][1:]).context["rows"]) == 30
    hours = bars(client, bar(client, "Mon 2 Nov 2026")["finer"][1:]).context["rows"]
    assert [hour["quantity"] for hour in hours if hour["share"]] == ["7 calls", "2 calls"]
    assert not any(hour["finer"] for hour in hours)


def test_without_a_question_it_shows_this_month(acme: Customer) -> None:
    shown = anna().get(page(EVENT, "usage", "acme"))
    assert (shown.context["form"].data["start"], len(shown.context["rows"])) == ("2026-12-01", 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("metric=nope", "not one of the available choices"),
        ("by=week", "not one of the available choices"),
        ("start=soon", "Enter a valid date."),
        ("start=2026-11-02&end=2026-11-01", "It must not be before the first day."),
        ("start=0001-01-01&end=2026-11-01", "Choose days between 1970 and 2998."),
        ("start=2020-01-01&end=2026-11-01&by=hour", "more than 1,000 buckets"),
    ],
)
def test_a_question_that_can_t_be_answered_says_why(acme: Customer, query: str, words: str) -> None:
    shown = bars(anna(), f"metric=calls&{query}")
    assert shown.status_code == 200
    assert words in said(shown)


def test_a_bar_leads_to_the_events_of_its_very_span(acme: Customer) -> None:
    client = anna()
    shown = client.get(bar(client, "Mon 2 Nov 2026")["url"])
    rows = [(row["id"], row["value"], row["counts"]) for row in shown.context["rows"]]
    assert rows == [
        ("midnight", "7", True),
        ("noon", "2", True),
        ("elsewhere", "not counted", False),
    ]
    words = said(shown)
    assert (
        "2 Nov 2026, 00:00 until before 3 Nov 2026, 00:00, Europe/Berlin: 9 calls from 2 events"
        in words
    )
    assert "It counts only what meets: region eq eu." in words


def test_corrections_are_shown_and_what_is_void_is_struck_through(acme: Customer) -> None:
    client = anna()
    for name, form in (
        ("void", {"reason": "A load test."}),
        (
            "replace",
            {"data": '{"calls": 4, "region": "eu"}', "reason": "Twice.", "confirmed": "yes"},
        ),
    ):
        event = UsageEvent.objects.get(event_id="midnight" if name == "void" else "noon")
        assert (
            client.post(page(EVENT, "change", event.pk).replace("change", name), form).status_code
            == 302
        )
    shown = client.get(bar(client, "Mon 2 Nov 2026")["url"])
    first, second, _ = shown.context["rows"]
    assert (first["is_void"], first["value"]) == (True, "not counted")
    assert (second["value"], second["correction"]) == ("4", "Counted with other data: Twice.")
    assert shown.content.decode().count("pb-void") == 1
    assert "4 calls from 1 event." in said(shown)


def test_the_csv_has_every_event_exactly_and_no_formula(acme: Customer) -> None:
    send(
        body(
            id="=1+1",
            time="2026-11-02T12:00:00Z",
            source="@x",
            data={"calls": -2.5, "region": "eu"},
        )
    )
    client = anna()
    shown = client.get(bar(client, "Mon 2 Nov 2026")["url"])
    response: Any = client.get(shown.context["csv"])
    assert response["Content-Disposition"].startswith('attachment; filename="acme-calls-')
    text = b"".join(response.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["id"], row["counts"], row["value"]) for row in rows] == [
        ("midnight", "yes", "7"),
        ("noon", "yes", "2"),
        ("elsewhere", "no", ""),
        ("'=1+1", "yes", "-2.5"),
    ]
    assert rows[3]["source"] == "'@x"
    assert rows[0]["time"] == "2026-11-01T23:00:00+00:00"


def test_a_long_span_is_streamed_and_paged_whole(
    acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.services.behind.PER_PART", 7)
    monkeypatch.setattr("metering.services.behind.PER_PAGE", 10)
    send(*(body(id=f"e{n}", time="2026-11-05T12:00:00Z", data={"calls": 1, "region": "eu"})
           for n in range(24)))  # fmt: skip
    client = anna()
    shown = client.get(bar(client, "Thu 5 Nov 2026")["url"])
    listed = []
    while True:
        listed += [row["id"] for row in shown.context["rows"]]
        if not shown.context["next"]:
            break
        shown = client.get(page(EVENT, "behind", "acme") + shown.context["next"])
    assert sorted(listed) == sorted(f"e{n}" for n in range(24))
    response: Any = client.get(shown.context["csv"])
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert len(lines) == 25


def test_many_bars_and_events_take_as_many_queries_as_few(acme: Customer) -> None:
    client = anna()
    bars(client)
    address = bar(client, "Mon 2 Nov 2026")["url"]
    before = [
        queries(lambda: bars(client, f"{NOVEMBER}&by=month")),
        queries(lambda: client.get(address)),
    ]
    send(*(body(time="2026-11-02T12:00:00Z", data={"calls": 1, "region": "eu"}) for _ in range(60)))
    after = [
        queries(lambda: bars(client, f"{NOVEMBER}&by=hour")),
        queries(lambda: client.get(address)),
    ]
    assert after == before


def test_a_customer_s_page_leads_to_the_bars(acme: Customer) -> None:
    shown = anna().get(page("customers_customer", "change", acme.pk)).content.decode()
    assert page(EVENT, "usage", "acme") in shown


def test_a_customer_s_page_leads_to_no_metric_that_it_has_none_of(acme: Customer) -> None:
    elsewhere = [{"property": "region", "operator": "eq", "values": ["asia"]}]
    make.metric("calls_asia", name="Calls in Asia", filters=elsewhere)
    make.metric("tokens", name="Tokens", event_type="llm.request")
    old = make.metric("old", name="Old calls", event_type="old")
    send(body(time="2026-11-02T12:00:00Z", type="old"))
    ValueMetric.objects.filter(pk=old.pk).update(status="retired")
    ben = make.customer("ben", name="Ben")

    def linked(key: str) -> list[str]:
        links = usage_panel(SimpleNamespace(user=viewer), Customer.objects.get(key=key))  # type: ignore[arg-type]
        assert links is not None
        return [name for name, _ in links.context["links"]]

    viewer = SimpleNamespace(has_perm=lambda name: True)
    with CaptureQueriesContext(connection) as before:
        assert linked("acme") == ["Calls", "Old calls"], "none is summed up yet"
    build()
    with CaptureQueriesContext(connection) as after:
        assert linked("acme") == ["Calls", "Old calls"]
    assert len(before) == len(after)
    assert linked("ben") == []
    shown = said(anna().get(page("customers_customer", "change", ben.pk)))
    assert "Nothing was used yet that a value metric counts." in shown


def test_metrics_summed_up_are_known_beyond_the_latest_events(acme: Customer) -> None:
    make.metric("new", name="New calls", event_type="new")
    build()
    many = (body(time="2026-11-03T12:00:00Z", type="new") for _ in range(behind.LATEST))
    send(*many)
    assert [metric.name for metric in used_metrics(acme)] == ["Calls", "New calls"]


def test_an_event_is_voided_after_a_look_at_the_effect(acme: Customer) -> None:
    event = UsageEvent.objects.get(event_id="midnight")
    client = anna()
    address = page(EVENT, "change", event.pk)
    asked = client.get(address.replace("change", "void"))
    assert [tuple(effect) for effect in asked.context["effects"]] == [("Calls", "7", "nothing")]
    unseen = client.post(address.replace("change", "void"), {"reason": "a\u2066b"})
    assert "Control characters" in said(unseen)
    client.post(address.replace("change", "void"), {"reason": "A load test."})
    assert used(ValueMetric.objects.get(), acme).quantity == 7
    assert "A load test." in said(client.get(address))


def test_an_event_is_replaced_in_two_steps(acme: Customer) -> None:
    event = UsageEvent.objects.get(event_id="midnight")
    client, address = anna(), page(EVENT, "change", event.pk).replace("change", "replace")
    form = {"data": '{"calls": 0.1000000001, "region": "eu"}', "reason": "Measured anew."}
    asked = client.post(address, form)
    assert [tuple(effect) for effect in asked.context["effects"]] == [
        ("Calls", "7", "0.1000000001")
    ]
    assert not EventAdjustment.objects.exists()
    client.post(address, {**form, "confirmed": "yes"})
    assert used(ValueMetric.objects.get(), acme).quantity == D("7.1000000001")


@pytest.mark.parametrize("data", ["", "{", "[]", "7", '{"region": "eu"}'])
def test_data_that_no_metric_could_count_is_refused(acme: Customer, data: str) -> None:
    event = UsageEvent.objects.get(event_id="midnight")
    address = page(EVENT, "change", event.pk).replace("change", "replace")
    anna().post(address, {"data": data, "reason": "x", "confirmed": "yes"}, follow=True)
    assert not EventAdjustment.objects.exists()


def test_support_reads_and_corrects_nothing(acme: Customer) -> None:
    client, event = sam(), UsageEvent.objects.get(event_id="midnight")
    assert bars(client).status_code == 200
    for name in ("void", "replace"):
        address = page(EVENT, "change", event.pk).replace("change", name)
        refused: Any = client.post(address, {"reason": "x", "data": "{}", "confirmed": "yes"})
        assert refused.status_code == 403
    assert not EventAdjustment.objects.exists()


def test_a_stranger_sees_no_usage(acme: Customer) -> None:
    client = stranger()
    query = "?metric=calls&from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"
    for name in ("usage", "behind", "csv"):
        assert client.get(page(EVENT, name, "acme") + query).status_code == 403
        assert client.get(page(EVENT, name, "nobody") + query).status_code == 403


@pytest.mark.parametrize("query", ["", "?metric=calls", "?metric=calls&from=x&to=y",
    "?metric=calls&from=2026-12-01T00:00:00Z&to=2026-11-01T00:00:00Z", "?metric=nope"])  # fmt: skip
def test_a_span_that_is_none_is_not_found(acme: Customer, query: str) -> None:
    client = anna()
    for name in ("behind", "csv"):
        assert client.get(page(EVENT, name, "acme") + query).status_code == 404
