"""Rollups: what is kept of events tells the same as the events, whatever happened to them."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from config.base.audit import SYSTEM
from customers.models import Customer
from metering.events import event_key
from metering.querysets import Span, measure, measure_by
from metering.services import replace_event, void_events
from metering.services.rollups import differences, fold_pieces
from tests import factories as make
from tests.metering.oracle import Happening, oracle
from tests.metering.test_measure import FILTERS, METRICS, properties
from tests.metering.usage import HOUR, NOV, NOW, body, build, send

pytestmark = pytest.mark.django_db

ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]
NAMES = [None, "one", "two"]

moments = st.integers(0, 96).map(lambda n: NOV + n * HOUR)
actions = st.one_of(
    st.tuples(
        st.just("send"),
        st.lists(st.tuples(moments, st.sampled_from(NAMES), properties), max_size=6),
    ),
    st.tuples(st.just("fold"), st.none()),
    st.tuples(st.just("build"), st.none()),
    st.tuples(st.just("move"), st.sampled_from(ZONES)),
    st.tuples(st.just("void"), st.integers(0, 30)),
    st.tuples(st.just("replace"), st.tuples(st.integers(0, 30), properties)),
)
stretches = st.lists(st.tuples(moments, moments), max_size=2).map(
    lambda pairs: tuple((min(pair), max(pair)) for pair in pairs)
)
windows = st.lists(
    st.tuples(st.sampled_from(NAMES), moments, moments, stretches), min_size=1, max_size=5
)
definitions = st.builds(
    lambda definition, filters, dimensions: {
        **({} if definition["aggregation"] == "count" else {"value_property": "v"}),
        **definition,
        "filters": filters,
        "dimensions": dimensions,
    },
    st.sampled_from(METRICS),
    st.sampled_from(FILTERS),
    st.sampled_from([[], ["model"], ["model", "database"]]),
)


class Scene:
    """A customer, what the system was told of it, and what somebody would remember of that."""

    def __init__(self, definition: dict[str, Any]) -> None:
        self.metric = make.metric(**definition)
        self.acme = make.customer("acme", time_zone="UTC")
        self.subscriptions = {
            name: make.subscription(self.acme, key=f"acme-{name}") for name in NAMES if name
        }
        self.sent: list[Happening] = []
        self.void: set[int] = set()

    def act(self, action: str, argument: Any) -> None:
        match action:
            case "send":
                self._send(argument)
            case "fold":
                fold_pieces()
            case "build":
                build()
            case "move":
                Customer.objects.filter(pk=self.acme.pk).update(time_zone=argument)
            case "void" if argument < len(self.sent):
                self.void.add(argument)
                void_events(keys=[_key(argument)], reason="A test.", at=NOW, actor=SYSTEM)
            case "replace" if argument[0] < len(self.sent):
                place, data = argument
                self.void.discard(place)
                self.sent[place].data = data
                replace_event(key=_key(place), data=data, reason="A test.", at=NOW, actor=SYSTEM)

    def _send(self, rows: list[tuple[datetime, str | None, Any]]) -> None:
        fresh = [
            Happening(len(self.sent) + n, time, "acme", name, data)
            for n, (time, name, data) in enumerate(rows)
        ]
        report = send(
            *(
                body(
                    id=str(one.order),
                    subscription=f"acme-{one.named}" if one.named else None,
                    time=one.time.isoformat(),
                    data=one.data,
                )
                for one in fresh
            )
        )
        assert report.accepted == len(fresh), report.problems
        self.sent += fresh

    def expected(self, window: tuple[Any, ...]) -> tuple[Fraction, int]:
        name, start, end, elsewhere = window
        seen = [
            one
            for one in self.sent
            if one.order not in self.void
            and (
                one.named is not None
                or not any(since <= one.time < until for since, until in elsewhere)
            )
        ]
        return oracle(self.metric, seen, ("acme", name, start, end, True))

    def span(self, window: tuple[Any, ...]) -> Span:
        name, start, end, elsewhere = window
        subscription = self.subscriptions[name].pk if name else None
        return Span(self.acme.pk, subscription, start, end, elsewhere)


def _key(place: int) -> UUID:
    return UUID(hex=event_key("gateway", str(place)))


class AgainstTheOracle(TestCase):
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        definition=definitions,
        happened=st.lists(actions, min_size=2, max_size=12),
        asked=windows,
    )
    def test_whatever_happens_usage_is_that_of_the_events(
        self,
        definition: dict[str, Any],
        happened: list[tuple[str, Any]],
        asked: list[tuple[Any, ...]],
    ) -> None:
        scene = Scene(definition)
        for action in happened:
            scene.act(*action)
        metric, spans = scene.metric, [scene.span(window) for window in asked]
        found = [(Fraction(one.quantity), one.events) for one in measure(metric, spans)]
        assert found == [scene.expected(window) for window in asked]
        assert measure(metric, spans) == measure(metric, spans, from_events=True)
        for by in (metric.dimensions[:1], metric.dimensions, ["user"]):
            told = measure_by(metric, spans, by)
            assert told == measure_by(metric, spans, by, from_events=True)
        assert list(differences()) == []
