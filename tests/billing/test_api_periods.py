"""The periods of a subscription over the API."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing.models import BillingPeriod
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close
from tests.conftest import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to("2026-12-15T12:00:00Z")


def periods(caller: Caller, query: str = "", key: str = "s") -> list[dict[str, Any]]:
    answer = caller("customers:read").get(f"/api/v1/subscriptions/{key}/periods?{query}")
    assert answer.status_code == 200, answer.content
    results: list[dict[str, Any]] = answer.json()["results"]
    for before, after in zip(results, results[1:], strict=False):
        assert before["end_date"] == after["start_date"]
    return results


def subscription(
    zone: str = "Europe/Berlin", start: str = "2026-11-01", **terms: Any
) -> Subscription:
    starts_on = date.fromisoformat(start)
    return make.subscription(key="s", time_zone=zone, starts_on=starts_on, **terms)


def test_the_first_24_from_the_start(caller: Caller) -> None:
    subscription()
    listed = periods(caller)
    assert len(listed) == 24
    assert listed[0] == {
        "start": "2026-11-01T00:00:00+01:00",
        "end": "2026-12-01T00:00:00+01:00",
        "id": None,
        "status": "ended",
        "start_date": "2026-11-01",
        "end_date": "2026-12-01",
        "days": 30,
        "nominal_days": 30,
        "trial": False,
    }
    assert [period["status"] for period in listed[:4]] == ["ended", "open", "upcoming", "upcoming"]


def test_offsets_follow_the_clocks(caller: Caller) -> None:
    subscription()
    march = periods(caller, "from=2027-03-15&count=1")[0]
    assert (march["start"], march["end"]) == (
        "2027-03-01T00:00:00+01:00",
        "2027-04-01T00:00:00+02:00",
    )


def test_a_trial_and_what_is_left_of_a_month(caller: Caller) -> None:
    subscription(version=make.published(trial_days=14), alignment="calendar")
    trial, rest, december = periods(caller, "count=3")
    assert (trial["trial"], trial["days"], trial["nominal_days"]) == (True, 14, 14)
    assert (rest["trial"], rest["days"], rest["nominal_days"]) == (False, 16, 30)
    assert december["days"] == december["nominal_days"] == 31


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("2020-01-01", "2026-11-01"),
        ("2026-11-30", "2026-11-01"),
        ("2026-12-01", "2026-12-01"),
        ("2026-11-30T22:59:59Z", "2026-11-01"),
        ("2026-11-30T23:00:00Z", "2026-12-01"),
        ("2026-12-01T00:00:00%2B01:00", "2026-12-01"),
        ("2026-11-30T23:59:59%2B01:00", "2026-11-01"),
        ("2900-05-05", "2900-05-01"),
    ],
)
def test_from_a_date_or_a_time_on(caller: Caller, since: str, first: str) -> None:
    subscription()
    assert periods(caller, f"from={since}&count=1")[0]["start_date"] == first


def test_nothing_after_the_end(caller: Caller) -> None:
    one = subscription()
    one.phases.update(ends_on=date(2026, 12, 20))
    Subscription.objects.update(ends_on=date(2026, 12, 20))
    assert [period["end_date"] for period in periods(caller)] == ["2026-12-01", "2026-12-20"]
    assert periods(caller, "from=2026-12-20") == []
    assert periods(caller, "from=2027-06-01T00:00:00Z") == []


def test_where_zones_meet_a_period_starts_when_the_one_before_ends(caller: Caller) -> None:
    one = subscription("UTC")
    one.zone_changes = {"2026-12-01": "America/New_York"}
    one.save()
    utc, york, later = periods(caller, "count=3")
    assert utc["end"] == "2026-12-01T00:00:00+00:00"
    assert york["start"] == "2026-11-30T19:00:00-05:00"
    assert york["end"] == later["start"] == "2027-01-01T00:00:00-05:00"
    assert periods(caller, "count=1&from=2026-12-01T00:00:00Z") == [york]
    assert periods(caller, "count=1&from=2026-11-30T23:59:59Z") == [utc]


def test_the_zone_that_holds_now_stands_on_top(caller: Caller) -> None:
    subscription("Asia/Kathmandu")
    answer = caller().get("/api/v1/subscriptions/s/periods?count=1").json()
    assert answer["time_zone"] == "Asia/Kathmandu"
    assert answer["results"][0]["start"] == "2026-11-01T00:00:00+05:45"


def test_the_calendar_ends_with_the_year_9999(caller: Caller) -> None:
    millennium = make.published(interval="year", interval_count=1000)
    subscription(version=millennium)
    listed = periods(caller)
    assert [period["start_date"][:4] for period in listed] == [
        "2026", "3026", "4026", "5026", "6026", "7026", "8026"
    ]  # fmt: skip


def test_an_offset_with_seconds_is_written_in_utc(caller: Caller) -> None:
    subscription("Africa/Monrovia", start="1970-06-01")
    assert periods(caller, "count=1")[0]["start"] == "1970-06-01T00:44:30+00:00"


def test_a_thousand_days_at_most(caller: Caller) -> None:
    subscription(version=make.published(interval="day"))
    assert len(periods(caller, "count=1000")) == 1000


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("count=0", "count"),
        ("count=1001", "count"),
        ("count=-1", "count"),
        ("count=x", "count"),
        ("count=", "count"),
        ("count=" + "9" * 30, "count"),
        ("from=soon", "from"),
        ("from=", "from"),
        ("from=2026-02-30", "from"),
        ("from=2026-11-01T00:00:00", "from"),
        ("from=9999-12-31", "from"),
        ("until=2026-11-01", "until"),
    ],
)
def test_a_bad_parameter_is_named(caller: Caller, query: str, parameter: str) -> None:
    subscription()
    refused = caller().get(f"/api/v1/subscriptions/s/periods?{query}")
    assert refused.status_code == 400
    assert [error["parameter"] for error in refused.json()["errors"]] == [parameter]


def test_what_billing_has_begun_says_how_far_it_is(caller: Caller) -> None:
    subscription("UTC")
    close(datetime(2026, 12, 1, 1, tzinfo=UTC))
    assert [period["status"] for period in periods(caller, "count=3")] == [
        "closed",
        "open",
        "upcoming",
    ]
    november, december = BillingPeriod.objects.order_by("number")
    for status in ("parked", "waived"):
        november.status, november.trouble = status, "Why." if status == "parked" else ""
        november.closed_at = december.starts_at if status == "waived" else None
        november.save()
        assert [(one["id"], one["status"]) for one in periods(caller, "count=2")] == [
            (str(november.uuid), status),
            (str(december.uuid), "open"),
        ]
    assert periods(caller, "from=2026-12-15&count=1")[0]["id"] == str(december.uuid)


def test_a_period_that_ended_stays_open_until_it_is_billed(caller: Caller) -> None:
    subscription("UTC")
    close(datetime(2026, 11, 1, 1, tzinfo=UTC))
    november, december = periods(caller, "count=2")
    assert (november["status"], december["status"]) == ("open", "open")
    assert (november["id"] is None, december["id"] is None) == (False, True)


def test_the_number_of_queries_stays(caller: Caller, django_assert_num_queries: Any) -> None:
    subscription()
    client = caller("customers:read")
    client.get("/api/v1/subscriptions/s/periods")  # stamps the key's use
    for count in (1, 1000):
        with django_assert_num_queries(9):
            client.get(f"/api/v1/subscriptions/s/periods?count={count}")


def test_ben_and_a_stranger_see_nothing(caller: Caller) -> None:
    subscription()
    ben, stranger = caller("events:write", name="ben"), caller()
    stranger.credentials()
    assert ben.get("/api/v1/subscriptions/s/periods").status_code == 403
    assert stranger.get("/api/v1/subscriptions/s/periods").status_code == 401
    assert caller().get("/api/v1/subscriptions/other/periods").status_code == 404
