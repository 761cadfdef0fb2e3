"""Two ways to the same: most events are read, checked and summed up at a glance, the rest with care."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metering import envelopes
from metering.definitions import Definition
from metering.events import Event, NotAnEvent, read_event
from metering.pieces import Occurrence, Pieces, pieces
from tests.metering.usage import HOUR, NOV, body

texts = st.text(max_size=6) | st.sampled_from(["", "a" * 255, "a" * 256, "\x7f", "ü", "\n"])
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**100, 1.5, -0.0, 1e300])
    | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=3,
)
times = st.datetimes().map(lambda time: f"{time.isoformat()}Z") | st.sampled_from(
    ["2026-11-01t12:00:00+05:30", "2026-12-31T23:59:60Z", "0001-01-01T00:00:00+14:00", "2026-11-01"]
    + ["2026-11-01T12:00:00." + "9" * digits + "Z" for digits in (3, 9, 20, 21)]
)
sent_events = st.fixed_dictionaries(
    {"id": texts, "source": texts, "type": st.just("api.call")},
    optional={
        "specversion": st.sampled_from(["1.0", "0.3", 1]),
        "subject": texts | values,
        "subscription": texts,
        "time": times | values,
        "data": st.dictionaries(texts, values, max_size=3) | values,
        "datacontenttype": st.just("application/json"),
        "data_base64": st.just("e30="),
    },
)


def carefully(sent: bytes) -> list[Event | NotAnEvent]:
    found = envelopes._decode(sent)
    return envelopes._each(read_event, found if isinstance(found, list) else [found])


@given(
    sent=st.lists(sent_events, max_size=3) | sent_events,
    as_ascii=st.booleans(),
    indent=st.none() | st.just(1),
)
@example(sent=body(), as_ascii=True, indent=None)
def test_what_is_read_at_a_glance_is_what_is_read_with_care(
    sent: Any, as_ascii: bool, indent: int | None
) -> None:
    written = json.dumps(sent, ensure_ascii=as_ascii, indent=indent).encode()
    plain = envelopes._plain(written)
    assert plain is None or plain == carefully(written)


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        pytest.param({}, True, id="as nearly all are"),
        pytest.param({"time": None, "subject": None}, True, id="without what may be left out"),
        pytest.param({"data": {"a": -5, "b": "x", "c": True, "d": None}}, True, id="one level"),
        pytest.param({"data": {"a": 2**63 - 1}}, True, id="the largest whole number"),
        pytest.param({"data": {"a": 2**63}}, False, id="one more"),
        pytest.param({"data": {"a": 1.5}}, False, id="a decimal, whose digits count"),
        pytest.param({"data": {"a": [1]}}, False, id="a second level"),
        pytest.param({"data": {"a": "ü"}}, False, id="an escape"),
        pytest.param({"data": {"a": "\x7f"}}, False, id="a control character that JSON allows"),
        pytest.param({"id": "a" * 256}, False, id="a name too long"),
        pytest.param({"colour": "red"}, False, id="an extension"),
        pytest.param({"time": "yesterday"}, False, id="no time"),
        pytest.param({"data": "text"}, False, id="data that is no object"),
    ],
)
def test_what_is_read_at_a_glance(change: dict[str, Any], plain: bool) -> None:
    written = json.dumps([body(), body(**change)]).encode()
    found = envelopes._plain(written)
    assert (found is not None) is plain
    if plain:
        assert envelopes.read_structured(written).items == found == carefully(written)


definitions = st.builds(
    Definition,
    event_type=st.just("api.call"),
    aggregation=st.sampled_from(["count", "sum", "unique_count"]),
    value_property=st.sampled_from(["", "a", "b"]),
    dimensions=st.sampled_from([(), (), ("b",)]),
    filters=st.sampled_from(
        [(), (), ({"property": "a", "operator": "gt", "values": [Decimal(1)]},)]
    ),
)
numbers = st.integers(-3, 3) | st.sampled_from([Decimal("0.1"), 10**20, "2", "x", None])
occurrences = st.lists(
    st.builds(
        lambda id, minute, customer, subscription, data: (
            id, NOV + minute * HOUR / 60, customer, subscription, data, (NOV, NOV + 24 * HOUR),
        ),
        st.integers(1, 9), st.integers(0, 3), st.integers(1, 2), st.none() | st.just(7),
        st.dictionaries(st.sampled_from(["", "a", "b"]), numbers),
    ),
    max_size=8, unique_by=lambda one: one[0],
)  # fmt: skip


@given(chosen=st.lists(definitions, max_size=4), seen=occurrences)
def test_summed_up_together_or_one_by_one_is_the_same(
    chosen: list[Definition], seen: list[Occurrence]
) -> None:
    together = list(pieces(chosen, seen))
    assert together == [one for definition in chosen for one in pieces([definition], seen)]
    for definition, found in zip(chosen, together, strict=True):
        counting = [one for one in seen if definition.value(one[4]) is not None]
        assert sum(found.events) == len(counting)
        if definition.aggregation == "sum":
            assert sum(map(Decimal, found.totals)) == sum(  # type: ignore[arg-type]
                (definition.value(one[4]) for one in counting), Decimal(0)
            )
        _assert_wholly_placed(found, counting)


def _assert_wholly_placed(found: Pieces, counting: list[Occurrence]) -> None:
    for n, (customer_id, subscription_id) in enumerate(
        zip(found.customer_ids, found.subscription_ids, strict=True)
    ):
        theirs = [one for one in counting if one[2:4] == (customer_id, subscription_id)]
        moments = [(one[1], one[0]) for one in theirs]
        assert (found.last_times[n], found.last_ids[n]) in moments
        assert min(moments)[0] <= found.first_times[n] <= found.last_times[n]


def test_a_property_without_a_name_counts_no_event_that_a_filter_leaves_out() -> None:
    kept = ({"property": "a", "operator": "gt", "values": [1]},)
    [found] = pieces(
        [Definition("api.call", "count", filters=kept)],
        [(1, NOV, 1, None, {"": 5, "a": 0}, (NOV, NOV + 24 * HOUR))],
    )
    assert not found.events
