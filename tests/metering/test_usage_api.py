"""GET /api/v1/customers/{key}/usage: buckets in the customer's own days."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import body, send

pytestmark = pytest.mark.django_db
URL = "/api/v1/customers/acme/usage"


def called(time: str, calls: Any = 1, **data: Any) -> dict[str, Any]:
    return body(time=time, data={"calls": calls, **data})


@pytest.fixture
def reader(caller: Caller) -> APIClient:
    """Who reads the usage of acme in Berlin, where summer time begins on 29 March 2026."""
    make.metric("calls", dimensions=["model"])
    make.customer("acme", time_zone="Europe/Berlin")
    send(
        called("2026-03-27T23:00:00Z", 1, model="l"),
        called("2026-03-28T22:59:59.999999Z", "0.5", model="s"),
        called("2026-03-28T23:00:00Z", 4, model="l"),
        called("2026-03-29T22:00:00Z", 8),
        called("2026-03-31T22:00:00Z", 16, model="l"),
    )
    return caller("customers:read")


def test_days_begin_at_local_midnight_and_touch(reader: APIClient) -> None:
    answer = reader.get(f"{URL}?metric=calls&from=2026-03-28&to=2026-03-31").json()
    assert answer["time_zone"] == "Europe/Berlin"
    assert answer["buckets"] == [
        {"start": "2026-03-27T23:00:00Z", "end": "2026-03-28T23:00:00Z", "quantity": "1.5", "events": 2},
        {"start": "2026-03-28T23:00:00Z", "end": "2026-03-29T22:00:00Z", "quantity": "4", "events": 1},
        {"start": "2026-03-29T22:00:00Z", "end": "2026-03-30T22:00:00Z", "quantity": "8", "events": 1},
    ]  # fmt: skip
    assert answer["total"] == {"quantity": "13.5", "events": 4, "rounded": "14", "billable": "14"}


@pytest.mark.parametrize(
    ("taken_back", "rounded", "billable"),
    [
        pytest.param("-13.6", "0", "0", id="nearly all"),
        pytest.param("-20.4", "-7", "0", id="more than was used: it bills as 0 and says so"),
    ],
)
def test_a_negative_total_bills_as_0(
    reader: APIClient, taken_back: str, rounded: str, billable: str
) -> None:
    send(called("2026-03-30T12:00:00Z", taken_back, model="l"))
    query = "metric=calls&from=2026-03-28&to=2026-03-31&group_by=model"
    answer = reader.get(f"{URL}?{query}").json()
    assert (answer["total"]["rounded"], answer["total"]["billable"]) == (rounded, billable)
    assert [group["total"]["billable"] for group in answer["groups"]] == ["0", "1", "8"]


@pytest.mark.parametrize(
    ("granularity", "span", "count"),
    [
        pytest.param("hour", "from=2026-03-29&to=2026-03-30", 23, id="a day of 23 hours"),
        pytest.param("hour", "from=2026-10-25&to=2026-10-26", 25, id="a day of 25 hours"),
        pytest.param("day", "from=2026-03-01&to=2026-04-01", 31, id="a month of days"),
        pytest.param("month", "from=2026-01-01&to=2027-01-01", 12, id="a year of months"),
        pytest.param("month", "from=2026-01-15&to=2026-03-02", 3, id="parts at both ends"),
        pytest.param("day", "from=2026-03-28T11:00:00Z&to=2026-03-28T12:00:00Z", 1, id="an hour"),
    ],
)
def test_buckets_cover_the_time_asked_for(
    reader: APIClient, granularity: str, span: str, count: int
) -> None:
    answer = reader.get(f"{URL}?metric=calls&granularity={granularity}&{span}").json()
    starts = [bucket["start"] for bucket in answer["buckets"]]
    ends = [bucket["end"] for bucket in answer["buckets"]]
    assert len(starts) == count
    assert starts == [answer["from"], *ends[:-1]]
    assert ends[-1] == answer["to"]


def test_usage_is_broken_down_by_a_dimension(reader: APIClient) -> None:
    query = "metric=calls&from=2026-03-01&to=2026-05-01&granularity=month&group_by=model"
    answer = reader.get(f"{URL}?{query}").json()
    quantities = {
        group["value"]: [bucket["quantity"] for bucket in group["buckets"]]
        for group in answer["groups"]
    }
    assert quantities == {"l": ["5", "16"], "s": ["0.5", "0"], None: ["8", "0"]}


def test_without_dates_it_is_this_month(reader: APIClient, time_machine: Any) -> None:
    time_machine.move_to("2026-04-02T12:00:00Z", tick=False)
    answer = reader.get(f"{URL}?metric=calls").json()
    assert (answer["from"], answer["to"]) == ("2026-03-31T22:00:00Z", "2026-04-02T22:00:00Z")
    assert answer["total"]["quantity"] == "16"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        pytest.param("", "metric", id="no metric"),
        pytest.param("metric=nope", "metric", id="an unknown metric"),
        pytest.param("metric=calls&granularity=week", "granularity", id="an unknown granularity"),
        pytest.param("metric=calls&from=2026-03-02&to=2026-03-02", "to", id="no time at all"),
        pytest.param("metric=calls&from=x", "from", id="no date"),
        pytest.param("metric=calls&group_by=region", "group_by", id="no dimension of the metric"),
        pytest.param("metric=calls&zone=UTC", "zone", id="an unknown parameter"),
        pytest.param(
            "metric=calls&granularity=hour&from=2026-01-01&to=2026-12-01",
            "granularity",
            id="more than 1,000 buckets",
        ),
    ],
)
def test_what_cannot_be_answered_names_the_parameter(
    reader: APIClient, query: str, parameter: str
) -> None:
    response = reader.get(f"{URL}?{query}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["parameter"] == parameter


def test_a_thousand_buckets_take_as_many_queries_as_one(
    reader: APIClient, django_assert_max_num_queries: Any
) -> None:
    for days in ("2026-03-02", "2026-04-10"):
        query = f"metric=calls&granularity=hour&from=2026-03-01&to={days}&group_by=model"
        with django_assert_max_num_queries(8):
            assert reader.get(f"{URL}?{query}").status_code == 200


@pytest.mark.parametrize(
    ("fields", "days", "total", "levels"),
    [
        pytest.param({"time_unit": "hour"}, ["240", "460"], "700", [None, None, None],
                     id="unit-hours: the second day has 23 hours"),
        pytest.param({"time_unit": "period"}, ["0.3230148048", "0.6191117093"], "0.9421265141",
                     ["10", "20", "14.8936170213"], id="per period: of the 743 hours of March"),
        pytest.param({"time_unit": "period", "carry_over": True}, ["0.3230148048", "0.6191117093"],
                     "0.9421265141", ["10", "20", "14.8936170213"], id="the same, carried over"),
        pytest.param({"time_unit": "period", "unit_divisor": 10}, ["0.0323014805", "0.0619111709"],
                     "0.0942126514", ["1", "2", "1.4893617021"], id="divided by ten"),
        pytest.param({"time_unit": "period", "value_is": "change"}, ["0.3230148048", "0.9286675639"],
                     "1.2516823688", ["10", "30", "19.7872340426"], id="20 more on the second day"),
    ],
)  # fmt: skip
def test_level_times_time_per_bucket(
    caller: Caller,
    time_machine: Any,
    fields: dict[str, Any],
    days: list[str],
    total: str,
    levels: list[str | None],
) -> None:
    """10 GB on 28 March in Berlin, 20 GB on the 29th, when the clocks go forward."""
    time_machine.move_to("2026-04-02T12:00:00Z", tick=False)
    make.metric("gb", aggregation="time_weighted", **{"value_is": "level", **fields})
    make.customer("acme", time_zone="Europe/Berlin")
    send(called("2026-03-27T23:00:00Z", 10), called("2026-03-28T23:00:00Z", 20))
    query = "metric=gb&from=2026-03-28&to=2026-03-30"
    answer = caller("customers:read").get(f"{URL}?{query}").json()
    assert [bucket["quantity"] for bucket in answer["buckets"]] == days
    assert answer["total"]["quantity"] == total
    shown = [each.get("average_level") for each in [*answer["buckets"], answer["total"]]]
    assert shown == levels


@pytest.mark.parametrize("carry_over", [False, True])
def test_a_level_lasts_beyond_its_bucket_but_without_carry_over_not_beyond_its_period(
    caller: Caller, time_machine: Any, carry_over: bool
) -> None:
    """30 GB from noon on 10 April, in UTC: 20.5 days of 30 in April, 20 of 31 in May so far."""
    time_machine.move_to("2026-05-21T00:00:00Z", tick=False)
    make.metric(
        "gb", aggregation="time_weighted", value_is="level", time_unit="period",
        carry_over=carry_over, dimensions=["model"],
    )  # fmt: skip
    make.customer("acme")
    send(called("2026-04-10T12:00:00Z", 30, model="l"))

    def asked(query: str) -> dict[str, Any]:
        address = f"{URL}?metric=gb&group_by=model&{query}"
        found: dict[str, Any] = caller("customers:read").get(address).json()
        [group] = found["groups"]
        assert group["total"] == found["total"]
        assert group["buckets"] == found["buckets"]
        return found

    may = "19.3548387097" if carry_over else "0"
    months = asked("from=2026-04-01&to=2026-06-01&granularity=month")["buckets"]
    assert [each["quantity"] for each in months] == ["20.5", may]
    level = "30" if carry_over else "0"
    assert [each["average_level"] for each in months] == ["20.5", level]
    days = asked("from=2026-04-10&to=2026-04-13")
    assert [each["quantity"] for each in days["buckets"]] == ["0.5", "1", "1"]
    assert [each["events"] for each in days["buckets"]] == [1, 0, 0]
    assert days["total"]["quantity"] == "2.5"
    assert asked("from=2026-04-20&to=2026-04-21")["total"]["quantity"] == "1"


def test_level_times_time_takes_a_constant_number_of_queries(
    caller: Caller, django_assert_max_num_queries: Any
) -> None:
    gb = make.metric("gb", aggregation="time_weighted", value_is="level", time_unit="period")
    plan = make.published(make.graduated(gb, "rest @ 1"))
    make.subscription(make.customer("acme"), plan, starts_on=date(2026, 1, 1))
    send(called("2026-03-27T23:00:00Z", 10))
    reader = caller("customers:read")
    for days in ("2026-03-02", "2026-04-10"):
        with django_assert_max_num_queries(9):
            query = f"metric=gb&granularity=hour&from=2026-03-01&to={days}"
            assert reader.get(f"{URL}?{query}").status_code == 200


def test_strangers_see_nothing(reader: APIClient, caller: Caller) -> None:
    assert reader.get("/api/v1/customers/globex/usage?metric=calls").status_code == 404
    assert caller("events:read").get(f"{URL}?metric=calls").status_code == 403
    assert APIClient().get(f"{URL}?metric=calls").status_code == 401
    make.customer("globex")
    answer = reader.get("/api/v1/customers/globex/usage?metric=calls&from=2026-03-01&to=2026-04-01")
    assert answer.json()["total"]["events"] == 0


def test_true_and_1_are_two_groups(reader: APIClient) -> None:
    send(called("2026-04-01T12:00:00Z", 1, model=True), called("2026-04-01T12:00:00Z", 2, model=1))
    query = "metric=calls&from=2026-04-01&to=2026-04-03&group_by=model"
    groups = [
        (repr(group["value"]), group["total"]["quantity"])
        for group in reader.get(f"{URL}?{query}").json()["groups"]
    ]
    assert ("True", "1") in groups
    assert ("1", "2") in groups
