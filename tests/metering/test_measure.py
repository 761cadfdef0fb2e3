"""measure(): every aggregation against a naive oracle, at any boundary, on both databases."""

from __future__ import annotations

import os
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from catalog.models import ValueMetric
from metering.querysets import Measured, Span, amounts, billable, measure, measure_by
from tests import factories as make
from tests.metering.oracle import Happening, oracle
from tests.metering.usage import ALWAYS, DEC, HOUR, NOV, NOW, D, body, build, send, used

pytestmark = pytest.mark.django_db

VALUES = [0, 1, 2, -3, D("0.1"), D("2.5"), "7", "-0.25", D("12345678901234567890.0123456789")]
FILTERS: list[list[dict[str, Any]]] = [
    [],
    [{"property": "model", "operator": "eq", "values": ["l"]}],
    [{"property": "model", "operator": "in", "values": ["l", "s"]}],
    [{"property": "model", "operator": "not_in", "values": ["l"]}],
    [{"property": "model", "operator": "exists", "values": []}],
    [{"property": "size", "operator": "gt", "values": [1]}],
    [{"property": "size", "operator": "lt", "values": ["2.5"]}],
    [{"property": "size", "operator": "in", "values": [1, "2.5"]}],
    [
        {"property": "model", "operator": "exists", "values": []},
        {"property": "size", "operator": "gt", "values": ["-1"]},
    ],
]
LEVELS = [
    {
        "aggregation": aggregation,
        "value_is": value_is,
        "carry_over": carry,
        "series": series,
        **({"time_unit": "hour"} if aggregation == "time_weighted" else {}),
    }
    for aggregation in ("max", "latest", "time_weighted")
    for value_is in ("level", "change")
    for carry in (False, True)
    for series in ([], ["database"])
]
METRICS: list[dict[str, Any]] = [
    {"aggregation": "count"},
    {"aggregation": "sum"},
    {"aggregation": "unique_count", "value_property": "user"},
    *LEVELS,
]

properties = st.fixed_dictionaries(
    {"v": st.sampled_from(VALUES), "user": st.sampled_from(["a", "b", "1", 1, D("1.5"), True])},
    optional={
        "model": st.sampled_from(["l", "s", 5, None]),
        "size": st.sampled_from([0, 1, D("2.5"), "2.5", "3", 1000, "big", None]),
        "database": st.sampled_from(["x", "y", 1]),
    },
)
moments = st.integers(0, 12).map(lambda n: NOV + n * HOUR)
happenings = st.lists(
    st.tuples(moments, st.sampled_from(["acme", "globex"]), st.sampled_from([None, "one", "two"]), properties),
    max_size=25,
)  # fmt: skip
windows = st.lists(
    st.tuples(
        st.sampled_from(["acme", "globex"]),
        st.sampled_from([None, "one", "two"]),
        moments,
        moments,
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


EXAMPLES = int(os.environ.get("DEEP_EXAMPLES", "60"))


class AgainstTheOracle(TestCase):
    """One test per aggregation would repeat the strategy; the metric is drawn too."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        definition=st.sampled_from(METRICS),
        filters=st.sampled_from(FILTERS),
        happened=happenings,
        asked=windows,
    )
    def test_measure_equals_walking_through_the_events(
        self,
        definition: dict[str, Any],
        filters: list[dict[str, Any]],
        happened: list[tuple[Any, ...]],
        asked: list[tuple[Any, ...]],
    ) -> None:
        value = {} if definition["aggregation"] == "count" else {"value_property": "v"}
        metric = make.metric(**{**value, **definition, "filters": filters})
        customers = {name: make.customer(name) for name in ("acme", "globex")}
        subscriptions = {
            (owner, name): make.subscription(customers[owner], key=f"{owner}-{name}")
            for owner in customers
            for name in ("one", "two")
        }
        events = [Happening(n, *one) for n, one in enumerate(happened)]
        report = send(
            *(
                body(
                    id=str(event.order),
                    subject=event.customer,
                    subscription=f"{event.customer}-{event.named}" if event.named else None,
                    time=event.time.isoformat(),
                    data=event.data,
                )
                for event in events
            )
        )
        assert report.accepted == len(events), report.problems
        spans = [
            Span(
                customers[owner].pk,
                subscriptions[owner, name].pk if name else None,
                start,
                end,
                () if unnamed else ALWAYS,
            )
            for owner, name, start, end, unnamed in asked
        ]
        found = [
            (Fraction(measured.quantity), measured.events) for measured in measure(metric, spans)
        ]
        assert found == [oracle(metric, events, window) for window in asked]


def counted(definition: dict[str, Any], *rows: tuple[int, Any]) -> Measured:
    """Measure November of acme, whose value was so much so many hours after its start."""
    metric = make.metric(value_property="v", **definition)
    acme = make.customer("acme")
    send(*(body(time=(NOV + n * HOUR).isoformat(), data={"v": value}) for n, value in rows))
    return used(metric, acme)


MAX = {"aggregation": "max", "value_is": "level"}
CARRIED = {**MAX, "carry_over": True}
CHANGES = {"aggregation": "max", "value_is": "change"}


@pytest.mark.parametrize(
    ("definition", "rows", "quantity"),
    [
        pytest.param({"aggregation": "sum"}, [(0, 1), (719, 2)], 3, id="first and last hour"),
        pytest.param({"aggregation": "sum"}, [(-1, 1), (720, 2)], 0, id="the end is outside"),
        pytest.param({"aggregation": "sum"}, [(1, 1), (2, -5)], -4, id="negative stays negative"),
        pytest.param({"aggregation": "sum"}, [(1, D("0.1"))] * 10, 1, id="ten tenths are one"),
        pytest.param({"aggregation": "sum"}, [(1, 1), (2, "1.0"), (3, D("1e0"))], 3, id="by value"),
        pytest.param(MAX, [(1, 3), (2, 2)], 3, id="the highest"),
        pytest.param(MAX, [(-5, 9)], 0, id="what was before does not carry over"),
        pytest.param(CARRIED, [(-6, 1), (-5, 9)], 9, id="unless told: the last level before"),
        pytest.param(CARRIED, [(-5, 9), (0, 2)], 2, id="a level replaced at the start never held"),
        pytest.param(CARRIED, [(-5, 9), (1, 2)], 9, id="one replaced an hour later did"),
        pytest.param(CHANGES, [(1, 5), (2, -2), (3, 4)], 7, id="changes add up to a level"),
        pytest.param(CHANGES, [(1, 5), (1, -5), (2, 1)], 1, id="at one instant they cancel out"),
        pytest.param(CHANGES, [(1, -5)], 0, id="it was 0 before it fell"),
    ],
)
def test_what_a_span_amounts_to(
    definition: dict[str, Any], rows: list[tuple[int, Any]], quantity: Any
) -> None:
    assert counted(definition, *rows).quantity == quantity


def test_of_two_levels_at_one_instant_the_later_to_arrive_is_the_last() -> None:
    latest = {"aggregation": "latest", "value_is": "level"}
    assert counted(latest, (1, 5), (1, 3)).quantity == 3


def test_an_empty_span_is_zero() -> None:
    metric = make.metric()
    assert used(metric, make.customer()) == Measured(D(0), 0, None)
    assert measure(metric, []) == []


def test_arrival_is_that_of_the_last_to_arrive() -> None:
    metric, acme = make.metric(), make.customer("acme")
    send(body(), at=NOW)
    send(body(), at=NOW + HOUR)
    assert used(metric, acme).last_received_at == NOW + HOUR


def test_five_hundred_spans_take_as_many_queries_as_one(
    django_assert_num_queries: Any,
) -> None:
    metric, acme = make.metric(), make.customer("acme")
    send(body())
    for count in (1, 500):
        spans = [Span(acme.pk, None, NOV, DEC)] * count
        with django_assert_num_queries(1):
            assert [m.quantity for m in measure(metric, spans)] == [1] * count


def test_more_spans_than_a_query_takes_come_back_in_order() -> None:
    metric, acme = make.metric(), make.customer("acme")
    send(body(time="2026-11-01T00:00:00.000500Z"))
    tick = timedelta(microseconds=1)
    spans = [Span(acme.pk, None, NOV + n * tick, NOV + (n + 1) * tick) for n in range(1500)]
    assert [n for n, m in enumerate(measure(metric, spans)) if m.quantity] == [500]


def test_usage_by_dimensions() -> None:
    metric, acme = make.metric(), make.customer("acme")
    for model, region in [("l", "eu"), ("l", "us"), ("l", "eu"), (None, "eu")]:
        send(body(data={"calls": 1, "model": model, "region": region}))
    [groups] = measure_by(metric, [Span(acme.pk, None, NOV, DEC)], ["model", "region"])
    assert {group: measured.quantity for group, measured in groups.items()} == {
        ("l", "eu"): 2,
        ("l", "us"): 1,
        (None, "eu"): 1,
    }


@pytest.mark.parametrize("from_events", [True, False], ids=["events", "rollup"])
def test_true_and_1_are_different_values_of_a_dimension(*, from_events: bool) -> None:
    """Numbers are one by value; a text, a number and true are three, and none is lost."""
    metric, acme = make.metric(dimensions=["model"]), make.customer("acme")
    build()
    for calls, model in [(1, True), (2, 1), (4, False), (8, 0), (16, "1"), (32, D("1.0"))]:
        send(body(data={"calls": calls, "model": model}))
    span = Span(acme.pk, None, NOV, DEC)
    [groups] = measure_by(metric, [span], ["model"], from_events=from_events)
    assert sorted((repr(*group), int(measured.quantity)) for group, measured in groups.items()) == [
        ("'1'", 16),
        ("0", 8),
        ("1", 34),
        ("False", 4),
        ("True", 1),
    ]
    [single] = amounts(metric, [span], ["model"])
    assert len({one.group for one in single}) == 5


@pytest.mark.parametrize("from_events", [True, False], ids=["events", "rollup"])
def test_lists_and_objects_where_a_value_is_meant_are_values_too(*, from_events: bool) -> None:
    metric, acme = make.metric(dimensions=["model"]), make.customer("acme")
    build()
    models = [[1], [True], [1], {"a": 1, "b": [2]}, {"b": [2], "a": 1}, "[1]", []]
    for place, model in enumerate(models):
        send(body(data={"calls": 10**place, "model": model}))
    span = Span(acme.pk, None, NOV, DEC)
    [groups] = measure_by(metric, [span], ["model"], from_events=from_events)
    assert {repr(*group): int(measured.quantity) for group, measured in groups.items()} == {
        "[1]": 101,
        "[True]": 10,
        "{'a': 1, 'b': [2]}": 11000,
        "'[1]'": 100000,
        "[]": 1000000,
    }
    [single] = amounts(metric, [span], ["model"])
    assert len({one.group for one in single}) == 5


@pytest.mark.parametrize(
    "data",
    ['{"calls": "x"}', '{"calls": 1e60}', '{"calls": []}', '{"calls": "1e5"}', '{}', '[1]', '7',
     '{"calls": null}', '{"calls": 0.12345678901}', '{"calls": true}', '{"calls": {"a": 1}}'],
)  # fmt: skip
def test_what_slipped_in_does_not_stop_the_count(data: str) -> None:
    """Such as events from before the metric was made, or written past every check."""
    metrics = [make.metric(value_property="calls", **definition) for definition in (
        {"aggregation": "sum"}, MAX, CHANGES)]  # fmt: skip
    acme = make.customer("acme")
    send(body(data={"calls": 2}))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_usageevent (key, source, event_id, type, customer_id, time, "
            "received_at, data) SELECT key, source, 'x', type, customer_id, time, received_at, "
            "%s FROM metering_usageevent",
            [data],
        )
    assert [used(metric, acme).quantity for metric in metrics] == [2, 2, 2]
    assert used(make.metric(aggregation="count"), acme).quantity == 2


@pytest.mark.parametrize(
    ("aggregate", "divisor", "mode", "scale", "quantity"),
    [
        pytest.param("1500", 1000, "half_up", 0, "2", id="bytes as kilobytes"),
        pytest.param("1499", 1000, "half_up", 0, "1", id="below the half"),
        pytest.param("1001", 1000, "up", 0, "2", id="every started one"),
        pytest.param("1999", 1000, "down", 0, "1", id="only full ones"),
        pytest.param("1", 3, "half_up", 10, "0.3333333333", id="a third"),
        pytest.param("-1500", 1000, "half_up", 0, "-2", id="negative stays negative"),
        pytest.param("99999999999999999999.5", 1, "half_up", 0, "1e20", id="thirty digits"),
    ],
)
def test_billable(aggregate: str, divisor: int, mode: str, scale: int, quantity: str) -> None:
    metric = ValueMetric(unit_divisor=D(divisor), rounding_mode=mode, rounding_scale=scale)
    assert billable(metric, D(aggregate)) == D(quantity)


def test_unnamed_usage_counts_elsewhere_in_its_stretches(db: None) -> None:
    metric, acme = make.metric(), make.customer("acme")
    for day in (1, 10, 20):
        send(body(time=f"2026-11-{day:02}T00:00:00Z"))
    stretches = ((NOV + 9 * 24 * HOUR, NOV + 10 * 24 * HOUR), (NOV + 25 * 24 * HOUR, DEC))
    [measured] = measure(metric, [Span(acme.pk, None, NOV, DEC, stretches)])
    assert measured.events == 2  # the 10th is somebody else's; the end of a stretch is not
