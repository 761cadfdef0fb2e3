"""Metrics over the API: the contract's example, defaults, every impossible combination by name."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.api.metrics import EXAMPLE
from catalog.models import ValueMetric
from tests import factories as make
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
METRICS = "/api/v1/metrics"
LEAST = {"key": "m", "name": "M", "unit": "call", "event_type": "api.call", "aggregation": "count"}
LEVEL = {**LEAST, "aggregation": "max", "value_property": "gb"}


def faults(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


def test_the_contracts_example_comes_back_as_it_was_sent(caller: Caller) -> None:
    client = caller("catalog:read", "catalog:write")
    created = client.post(METRICS, EXAMPLE)
    assert created.status_code == 201
    assert EXAMPLE.items() <= created.json().items()
    assert client.get(f"{METRICS}/input_tokens").json() == created.json()


def test_the_least_one_can_send(caller: Caller) -> None:
    metric = caller().post(METRICS, LEAST).json()
    assert metric["unit_plural"] == "calls"
    assert metric["rounding"] == {"mode": "half_up", "scale": 10}
    assert metric["value_property"] is metric["value_is"] is metric["time_unit"] is None
    assert (metric["kind"], metric["status"]) == ("consumption", "candidate")


@pytest.mark.parametrize("aggregation", ["max", "latest", "time_weighted"])
def test_a_level_sets_it_unless_said_otherwise(caller: Caller, aggregation: str) -> None:
    metric = caller().post(METRICS, {**LEVEL, "aggregation": aggregation}).json()
    assert metric["value_is"] == "level"
    assert metric["time_unit"] == ("period" if aggregation == "time_weighted" else None)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({**LEAST, "value_property": "x"}, "/value_property", "not_for_this_aggregation"),
        ({**LEAST, "aggregation": "sum"}, "/value_property", "required"),
        ({**LEAST, "aggregation": "sum", "value_property": None}, "/value_property", "required"),
        ({**LEAST, "value_is": "level"}, "/value_is", "not_for_this_aggregation"),
        ({**LEAST, "time_unit": "hour"}, "/time_unit", "not_for_this_aggregation"),
        ({**LEVEL, "time_unit": "hour"}, "/time_unit", "not_for_this_aggregation"),
        ({**LEAST, "series": ["db"]}, "/series", "not_for_this_aggregation"),
        ({**LEAST, "carry_over": True}, "/carry_over", "not_for_this_aggregation"),
        ({**LEAST, "aggregation": "median"}, "/aggregation", "invalid_choice"),
        ({**LEAST, "aggregation": ["sum"]}, "/aggregation", "invalid_choice"),
        ({**LEAST, "kind": None}, "/kind", "null"),
        ({**LEAST, "unit_divisor": "0"}, "/unit_divisor", "not_positive"),
        ({**LEAST, "unit_divisor": "-1"}, "/unit_divisor", "not_positive"),
        ({**LEAST, "unit_cost": "-0.1"}, "/unit_cost", "too_small"),
        ({**LEAST, "unit_cost": "1e3"}, "/unit_cost", "invalid"),
        ({**LEAST, "rounding": {"mode": "even"}}, "/rounding/mode", "invalid_choice"),
        ({**LEAST, "rounding": {"scale": 11}}, "/rounding/scale", "max_value"),
        ({**LEAST, "rounding": {"scale": True}}, "/rounding/scale", "invalid"),
        ({**LEAST, "rounding": "up"}, "/rounding", "invalid"),
        ({**LEAST, "dimensions": ["a", "a"]}, "/dimensions", "not_unique"),
        ({**LEAST, "dimensions": [1]}, "/dimensions/0", "invalid"),
        ({**LEAST, "dimensions": "model"}, "/dimensions", "not_a_list"),
        ({**LEAST, "status": "active"}, "/status", "read_only"),
        ({**LEAST, "colour": "red"}, "/colour", "unknown_field"),
        ({**LEAST, "key": "a b"}, "/key", "invalid_key"),
        ({**LEAST, "name": "\u202eevil"}, "/name", "invisible"),
    ],
)
def test_what_can_not_be_measured_is_refused_by_name(
    caller: Caller, body: dict[str, Any], pointer: str, code: str
) -> None:
    assert faults(caller().post(METRICS, body)) == {(pointer, code)}


@pytest.mark.parametrize(
    ("operator", "values", "pointer", "code"),
    [
        ("like", ["a"], "/operator", "invalid_choice"),
        ("exists", ["a"], "/values", "not_for_this_operator"),
        ("in", [], "/values", "required"),
        ("not_in", [], "/values", "required"),
        ("eq", [], "/values", "one_value"),
        ("eq", ["a", "b"], "/values", "one_value"),
        ("gt", [1, 2], "/values", "one_value"),
        ("lt", [], "/values", "one_value"),
        ("gt", ["a"], "/values/0", "not_a_number"),
        ("gt", [True], "/values/0", "not_a_number"),
        ("lt", ["NaN"], "/values/0", "not_a_number"),
        ("eq", [None], "/values/0", "null"),
        ("eq", [{"a": 1}], "/values/0", "invalid"),
        ("eq", "a", "/values", "not_a_list"),
    ],
)
def test_filters_take_the_values_of_their_operator(
    caller: Caller, operator: str, values: Any, pointer: str, code: str
) -> None:
    condition = {"property": "model", "operator": operator, "values": values}
    refused = caller().post(METRICS, {**LEAST, "filters": [condition]})
    assert faults(refused) == {(f"/filters/0{pointer}", code)}


def test_filters_keep_texts_numbers_and_truths(caller: Caller) -> None:
    filters = [
        {"property": "model", "operator": "exists"},
        {"property": "tier", "operator": "in", "values": [3, "3", True, 0.5]},
        {"property": "size", "operator": "gt", "values": ["0.5"]},
    ]
    metric = caller().post(METRICS, {**LEAST, "filters": filters}).json()
    assert [one["values"] for one in metric["filters"]] == [[], [3, "3", True, "0.5"], ["0.5"]]


def test_everything_wrong_is_said_at_once(caller: Caller) -> None:
    body = {**LEAST, "name": 7, "unit_divisor": "x", "value_is": "level", "series": ["a"], "no": 1}
    assert faults(caller().post(METRICS, body)) == {
        ("/name", "invalid"),
        ("/unit_divisor", "invalid"),
        ("/value_is", "not_for_this_aggregation"),
        ("/series", "not_for_this_aggregation"),
        ("/no", "unknown_field"),
    }


def test_a_taken_key_is_a_conflict(caller: Caller) -> None:
    make.metric("m")
    refused = caller().post(METRICS, LEAST)
    assert (refused.status_code, refused.json()["code"]) == (409, "key_taken")
    assert refused.json()["errors"][0]["pointer"] == "/key"


class TestChange:
    def change(self, caller: Caller, **fields: Any) -> Any:
        return caller().patch(f"{METRICS}/m", fields)

    def test_names_only_what_changes(self, caller: Caller) -> None:
        make.metric("m", rounding_scale=2)
        changed = self.change(caller, rounding={"mode": "up"}, key="m", unit_cost="0.5").json()
        assert changed["rounding"] == {"mode": "up", "scale": 2}
        assert changed["unit_cost"] == "0.5"
        assert ValueMetric.objects.get().rounding_mode == "up"

    def test_takes_along_what_follows_from_the_aggregation(self, caller: Caller) -> None:
        make.metric("m", aggregation="time_weighted", value_is="change", time_unit="hour")
        changed = self.change(caller, aggregation="max").json()
        assert (changed["value_is"], changed["time_unit"]) == ("change", None)
        assert self.change(caller, aggregation="sum").json()["value_is"] is None

    def test_is_checked_against_what_stays(self, caller: Caller) -> None:
        make.metric("m")
        refused = self.change(caller, aggregation="count")
        assert faults(refused) == {("/value_property", "not_for_this_aggregation")}
        assert self.change(caller, aggregation="count", value_property=None).status_code == 200

    def test_takes_whole_conditions(self, caller: Caller) -> None:
        make.metric("m")
        assert faults(self.change(caller, filters=[{"values": ["x"]}])) == {
            ("/filters/0/property", "required"),
            ("/filters/0/operator", "required"),
        }
        exists = {"property": "model", "operator": "exists"}
        changed = self.change(caller, filters=[exists]).json()
        assert changed["filters"] == [{**exists, "values": []}]

    def test_never_changes_the_key(self, caller: Caller) -> None:
        make.metric("m")
        assert faults(self.change(caller, key="n")) == {("/key", "immutable")}

    def test_leaves_the_definition_once_a_published_price_uses_it(self, caller: Caller) -> None:
        make.published(make.graduated(make.metric("m"), "rest @ 1"))
        refused = self.change(caller, event_type="other")
        assert (refused.status_code, refused.json()["code"]) == (409, "metric_in_use")
        same = self.change(caller, name="Calls made", event_type="api.call", unit_divisor="1.0")
        assert (same.status_code, same.json()["name"]) == (200, "Calls made")


def test_lists_are_filtered(caller: Caller) -> None:
    make.metric("a", event_type="x", kind="outcome")
    make.metric("b", event_type="y", aggregation="count", value_property="")
    client = caller("catalog:read")

    def keys(query: str) -> list[str]:
        return [row["key"] for row in client.get(f"{METRICS}?{query}").json()["results"]]

    assert keys("") == ["a", "b"]
    assert keys("event_type=x") == keys("kind=outcome") == keys("key=a") == ["a"]
    assert keys("aggregation=count") == ["b"]
    assert keys("status=active") == []
    assert client.get(f"{METRICS}?status=broken").status_code == 400
    assert client.get(f"{METRICS}?stauts=active").json()["errors"][0]["parameter"] == "stauts"
