"""Rollups: what is kept of events tells the same as the events, whatever happened to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from io import StringIO
from threading import Event, Thread
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from catalog.services import change_metric
from config.base.audit import SYSTEM
from customers.models import Customer
from metering.events import event_key
from metering.models import (
    ArchivedMonth,
    EventAdjustment,
    PieceBatch,
    Rollup,
    UsageEvent,
    UsagePiece,
)
from metering.querysets import Span, measure, measure_by
from metering.services import replace_event, void_events
from metering.services.rollups import (
    appending,
    build_rollups,
    differences,
    fold_pieces,
    folding,
)
from metering.services.rollups.rebuilding import EVER, lock_rollups
from tests import factories as make
from tests.metering.oracle import Happening, oracle
from tests.metering.test_measure import FILTERS, METRICS, properties
from tests.metering.usage import DEC, HOUR, NOV, NOW, D, body, build, send, used

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("DEEP_EXAMPLES", "30"))
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
    return UUID(bytes=event_key("gateway", str(place)))


@contextmanager
def every_batch_in_one_row(wanted: bool) -> Iterator[None]:
    """Let pieces be kept as those of large batches are, however few there are."""
    with mock.patch.object(appending, "WORTH_A_BATCH", 1 if wanted else 10**6):
        yield


class AgainstTheOracle(TestCase):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        definition=definitions,
        happened=st.lists(actions, min_size=2, max_size=12),
        asked=windows,
        in_batches=st.booleans(),
    )
    def test_whatever_happens_usage_is_that_of_the_events(
        self,
        definition: dict[str, Any],
        happened: list[tuple[str, Any]],
        asked: list[tuple[Any, ...]],
        in_batches: bool,
    ) -> None:
        scene = Scene(definition)
        with every_batch_in_one_row(in_batches):
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


# What is summed up, and when.


def pieces() -> list[tuple[int, bool]]:
    return list(UsagePiece.objects.order_by("pk").values_list("events", "is_folded"))


def test_ingestion_appends_and_folding_merges() -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    for _ in range(3):
        send(body(), body(time="2026-11-02T00:00:00Z"))
    assert pieces() == [(1, False)] * 6
    assert fold_pieces() == 6
    assert pieces() == [(3, True)] * 2
    assert fold_pieces() == 0
    assert used(metric, acme)[:2] == (D(6), 6)


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite makes them anew")
@pytest.mark.parametrize("in_a_row", [False, True])
@pytest.mark.parametrize(
    ("aggregation", "later", "quantity"),
    [
        ("sum", (4, HOUR), 9),  # adds up
        ("max", (4, HOUR), 5),  # what was is higher
        ("max", (6, -HOUR), 6),  # what came is higher
        ("latest", (4, HOUR), 4),  # what came happened later
        ("latest", (4, -HOUR), 5),  # what came happened earlier
    ],
)
def test_a_piece_of_a_day_that_is_folded_grows_in_its_place(
    aggregation: str, later: tuple[int, Any], quantity: int, in_a_row: bool
) -> None:
    value_is = "" if aggregation == "sum" else "level"
    metric = make.metric(aggregation=aggregation, value_property="v", value_is=value_is)
    acme = make.customer("acme")
    build()
    noon = NOV + 12 * HOUR
    value, after = later
    places = []
    with every_batch_in_one_row(in_a_row):
        for data, time in ((5, noon), (value, noon + after)):
            send(body(time=time.isoformat(), data={"v": data}))
            fold_pieces()
            places.append(UsagePiece.objects.values_list("pk", flat=True).get())
    assert places[0] == places[1]
    assert used(metric, acme)[:2] == (D(quantity), 2)


@pytest.mark.parametrize("in_a_row", [False, True])
def test_what_arrives_while_folding_is_left_for_the_next_time(
    in_a_row: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()

    sent: list[Any] = []

    def send_more() -> None:
        assert len(sent) < 20, "it goes on for as long as anything arrives"
        sent.append(send(body()))

    with every_batch_in_one_row(in_a_row):
        send(body())
        monkeypatch.setattr(folding, "lock_rollups", send_more)
        assert 1 <= fold_pieces() <= 3
    assert used(metric, acme).events == 1 + len(sent)


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps a row per piece")
def test_a_large_batch_is_kept_in_one_row_until_it_is_folded() -> None:
    metric, acme, zeta = make.metric(), make.customer("acme"), make.customer("zeta")
    build()
    send(
        *(
            body(subject=name, time=(NOV + n * 24 * HOUR).isoformat())
            for n in range(12)
            for name in ("acme", "zeta")
        )
    )
    [batch] = PieceBatch.objects.all()
    assert len(batch.customer_ids) == sum(batch.events) == 24
    assert not UsagePiece.objects.exists()
    assert [used(metric, one)[:2] for one in (acme, zeta)] == [(D(12), 12)] * 2
    void_events(
        keys=[UsageEvent.objects.earliest("pk").key], reason="A test.", at=NOW, actor=SYSTEM
    )
    assert not PieceBatch.objects.exists(), "whoever sums up anew takes it apart"
    assert [used(metric, one).events for one in (acme, zeta)] == [11, 12]
    assert fold_pieces() == 23
    assert [used(metric, one).events for one in (acme, zeta)] == [11, 12]


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps a row per piece")
def test_a_batch_of_a_definition_that_went_is_swept() -> None:
    metric, _ = make.metric(), make.customer("acme")
    build()
    with every_batch_in_one_row(True):
        send(body())
    PieceBatch.objects.update(rollup=Rollup.objects.get(metric=metric).pk + 1)
    assert fold_pieces() == 0
    assert not PieceBatch.objects.exists()


def test_a_month_costs_as_many_rows_as_days_however_many_events(
    django_assert_num_queries: Any,
) -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    for n in range(60):
        send(body(time=(NOV + n * 12 * HOUR).isoformat()))
    fold_pieces()
    assert UsagePiece.objects.count() == 30
    with django_assert_num_queries(1):
        assert used(metric, acme).events == 60


def test_whole_days_are_read_without_their_events() -> None:
    """Proved by taking the pieces away, which a reader of events would not notice."""
    metric, acme = make.metric(), make.customer("acme")
    build()
    send(body(), body(time="2026-11-02T00:00:00Z"))
    UsagePiece.objects.filter(starts_at=NOV).delete()
    assert used(metric, acme).events == 1
    assert used(metric, acme, end=NOV + 13 * HOUR).events == 0
    [found] = [one for one in differences() if one.end == EVER[1]]
    assert (found.expected.events, found.actual.events) == (2, 1)
    assert found.difference == -1


def test_a_cut_day_is_read_from_its_events() -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    send(body(time="2026-11-01T12:00:00Z"), body(time="2026-11-01T13:00:00Z"))
    assert used(metric, acme, end=NOV + 13 * HOUR).events == 1


def test_a_new_metric_counts_what_came_before_it() -> None:
    make.metric()
    acme = make.customer("acme")
    send(body(), body())
    later = make.metric(aggregation="count")
    assert used(later, acme).events == 2  # from events
    build()
    rollup = Rollup.objects.get(metric=later)
    assert (rollup.customers_done, rollup.customers_total) == (1, 1)
    assert used(later, acme).events == 2
    assert not list(differences())


def test_a_metric_that_is_measured_differently_is_summed_up_anew() -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    send(body(data={"calls": 1, "tokens": 5}))
    change_metric(metric_id=metric.pk, fields={"value_property": "tokens"}, actor=SYSTEM)
    metric.refresh_from_db()
    send(body(data={"tokens": 7, "calls": 1}))
    assert used(metric, acme).quantity == 12
    build()
    assert used(metric, acme).quantity == 12
    assert [one.metric_id for one in Rollup.objects.all()] == [metric.pk]
    assert not list(differences())


def test_what_is_written_for_a_definition_that_went_is_swept() -> None:
    metric, _ = make.metric(), make.customer("acme")
    build()
    send(body())
    UsagePiece.objects.update(rollup=Rollup.objects.get(metric=metric).pk + 1)
    fold_pieces()
    assert not UsagePiece.objects.exists()


def test_a_day_of_an_archived_month_stays_as_it_is_when_folded() -> None:
    """Where order matters a day is summed up from its events, of which some are gone."""
    acme = make.customer("acme", time_zone="America/New_York")
    metric = make.metric(aggregation="max", value_is="change")
    build()
    send(body(time="2026-11-30T23:00:00Z"))
    ArchivedMonth.objects.create(month=NOV.date())
    for hour in (1, 2):
        UsagePiece.objects.update(is_folded=True)
        send(body(time=(DEC + hour * HOUR).isoformat()))
    assert fold_pieces() == 1
    assert pieces() == [(1, True)] * 3
    start, end = DEC - 19 * HOUR, DEC + 5 * HOUR  # a day in New York
    assert used(metric, acme, start=start, end=end)[:2] == (D(3), 3)


def test_the_command_builds_and_folds() -> None:
    make.metric(), make.customer("acme")
    call_command("rollups", stdout=StringIO())
    send(body())
    out = StringIO()
    call_command("rollups", stdout=out)
    assert out.getvalue() == "1 pieces folded.\n"
    assert Rollup.objects.get().ready_at


def test_exactly_however_large() -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    for value in ("12345678901234567890.0123456789", "0.0000000001"):
        send(body(data={"calls": value}))
    fold_pieces()
    assert used(metric, acme).quantity == D("12345678901234567890.012345679")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs several writers at once")
@pytest.mark.parametrize("in_batches", [False, True])
def test_nothing_is_lost_while_all_run_at_once(in_batches: bool) -> None:
    """Two who send, one who folds, one who builds, one who voids: all at once."""
    with every_batch_in_one_row(in_batches):
        _all_at_once()


def _all_at_once() -> None:
    metrics = [
        make.metric(),
        make.metric(aggregation="max", value_is="change"),
        make.metric(aggregation="time_weighted", value_is="level", time_unit="hour"),
    ]
    acme = make.customer("acme")
    failures: list[BaseException] = []

    def sending(name: str) -> None:
        for n in range(25):
            time = (NOV + (n % 48) * HOUR).isoformat()
            send(*(body(id=f"{name}-{n}-{m}", time=time) for m in range(4)))

    def voiding() -> None:
        for n in range(25):
            keys = UsageEvent.objects.filter(event_id=f"a-{n}-0").values_list("key", flat=True)
            void_events(keys=list(keys), reason="A test.", at=NOW, actor=SYSTEM)

    def repeating(work: Any) -> None:
        for _ in range(15):
            work()

    def run(work: Any, *args: Any) -> None:
        try:
            work(*args)
        except BaseException as trouble:  # noqa: BLE001 - told by the test itself
            failures.append(trouble)
        finally:
            connection.close()

    jobs = [
        (sending, "a"),
        (sending, "b"),
        (voiding,),
        (repeating, fold_pieces),
        (repeating, lambda: build_rollups(at=NOW)),
    ]
    threads = [Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    build()
    assert not list(differences())
    voided = EventAdjustment.objects.count()
    assert used(metrics[0], acme).events == 200 - voided
    fold_pieces()
    assert not list(differences())


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs two transactions at once")
def test_who_is_in_a_hurry_leaves_folding_to_whoever_folds_already() -> None:
    make.metric(), make.customer("acme")
    build()
    send(body())
    locked, answered = Event(), Event()

    def folding() -> None:
        with transaction.atomic():
            lock_rollups()
            locked.set()
            answered.wait(30)
        connection.close()

    thread = Thread(target=folding)
    thread.start()
    locked.wait(30)
    try:
        assert (fold_pieces(patient=False), pieces()) == (0, [(1, False)])
    finally:
        answered.set()
        thread.join()
    assert (fold_pieces(patient=False), pieces()) == (1, [(1, True)])


def test_the_page_of_a_metric_says_how_far_it_is(admin_client: Any) -> None:
    metric = make.metric()
    page = f"/admin/catalog/valuemetric/{metric.pk}/change/"
    assert "read from its events" in admin_client.get(page).content.decode()
    build()
    assert "summed up per day as it arrives" in admin_client.get(page).content.decode()
    Rollup.objects.update(ready_at=None, customers_done=3, customers_total=12)
    assert "3 of 12 customers so far" in admin_client.get(page).content.decode()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs two transactions at once")
def test_a_rollup_waits_for_who_may_not_know_of_it() -> None:
    make.metric(), make.customer("acme")
    Rollup.objects.all().delete()
    asked, answered = Event(), Event()

    def writing() -> None:
        with transaction.atomic():
            make.customer("globex")
            asked.set()
            answered.wait(30)
        connection.close()

    thread = Thread(target=writing)
    thread.start()
    asked.wait(30)
    assert len(build_rollups(at=NOW)) == 1
    answered.set()
    thread.join()
    assert build_rollups(at=NOW) == []
