"""Events count once and are never lost, whatever order and batches they come in (R6 to R8)."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import connection, connections
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from catalog.models import ValueMetric
from config.base.audit import SYSTEM
from config.base.invariants import Finding, audit
from customers.models import Customer, Subscription
from metering.events import written
from metering.invariants import INVARIANTS
from metering.models import EventKey, QuarantinedEvent, UsageEvent
from metering.services import Report, dismiss, ingest, replay
from tests import factories as make
from tests.metering.usage import HOUR, NOW, D, body, event, send, used

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Any:
    return make.customer("acme")


@pytest.fixture
def calls() -> Any:
    return make.metric("calls")


def subscribed(key: str, **terms: Any) -> Subscription:
    """Subscribe acme to a plan that prices calls."""
    metric = ValueMetric.objects.get(key="calls")
    version = make.published(make.graduated(metric, "rest @ 1"))
    return make.subscription(Customer.objects.get(key="acme"), version, key=key, **terms)


def outcome(report: Report) -> str:
    """Return the one thing that became of one event."""
    noted = sum(problem.outcome == "duplicate" for problem in report.problems)
    counts = {"accepted": report.accepted, "duplicate": report.duplicates - noted}
    counts |= {problem.code: 1 for problem in report.problems}
    [found] = [name for name, count in counts.items() if count]
    return found


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, "accepted", id="all is known"),
        pytest.param({"data": {"calls": "2.5"}}, "accepted", id="a number as text"),
        pytest.param({"data": {"calls": D("1e3")}}, "accepted", id="a number with an exponent"),
        pytest.param({"subject": "nobody"}, "unknown_customer", id="nobody knows the customer"),
        pytest.param({"subject": None}, "unknown_customer", id="it names no customer"),
        pytest.param({"subject": "ACME"}, "unknown_customer", id="keys are exact"),
        pytest.param({"type": "other"}, "unknown_type", id="no metric counts its type"),
        pytest.param({"data": {}}, "missing_value", id="it lacks the value"),
        pytest.param({"data": None}, "missing_value", id="it has no data"),
        pytest.param({"data": {"calls": None}}, "missing_value", id="the value is null"),
        pytest.param({"data": {"calls": "many"}}, "bad_value", id="the value is a word"),
        pytest.param({"data": {"calls": True}}, "bad_value", id="the value is no number"),
        pytest.param({"data": {"calls": "1e5"}}, "bad_value", id="a text is a plain number"),
        pytest.param({"data": [1]}, "bad_value", id="data is no object"),
        pytest.param({"data": {"calls": 10**20}}, "bad_value", id="21 digits"),
        pytest.param({"data": {"calls": D("1e-11")}}, "bad_value", id="11 decimals"),
        pytest.param({"data": {"calls": 1, "x": 10**101}}, "bad_value", id="elsewhere, 102 digits"),
        pytest.param({"subscription": "nope"}, "unknown_subscription", id="no such subscription"),
        pytest.param({"time": "2026-12-01T04:00:00Z"}, "accepted", id="an hour ahead"),
        pytest.param({"time": "2026-12-01T04:00:00.001Z"}, "future_time", id="and a bit more"),
        pytest.param({"time": "1970-01-01T00:00:00Z"}, "accepted", id="however old"),
    ],
)
def test_what_becomes_of_an_event(
    acme: Any, calls: Any, attributes: dict[str, Any], expected: str
) -> None:
    report = send(body(**attributes), at=NOW)
    assert outcome(report) == expected
    assert UsageEvent.objects.count() + QuarantinedEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        pytest.param({}, "duplicate", id="the same"),
        pytest.param({"time": "2026-11-09T00:00:00Z"}, "other_time", id="another time"),
        pytest.param({"time": "2026-11-01T12:00:00.000001Z"}, "other_time", id="a bit later"),
        pytest.param({"time": "2026-11-01T13:00:00+01:00"}, "duplicate", id="the time elsewhere"),
        pytest.param({"time": None}, "duplicate", id="no time"),
        pytest.param({"data": {"b": "x", "calls": D("1.0")}}, "duplicate", id="numbers by value"),
        pytest.param({"specversion": None}, "duplicate", id="what is not payload"),
        pytest.param({"data": {"calls": "1", "b": "x"}}, "conflict", id="text is no number"),
        pytest.param({"data": {"calls": 2, "b": "x"}}, "conflict", id="another value"),
        pytest.param({"subject": "globex"}, "conflict", id="another customer"),
        pytest.param({"type": "other"}, "conflict", id="another type"),
        pytest.param({"source": "elsewhere"}, "accepted", id="another source"),
        pytest.param({"id": "evt"}, "accepted", id="another id"),
    ],
)
def test_what_comes_again_under_a_key(
    acme: Any, calls: Any, again: dict[str, Any], expected: str
) -> None:
    first = body(id="evt-", source="gateway", data={"calls": 1, "b": "x"})
    second = {name: value for name, value in {**first, **again}.items() if value is not None}
    send(first)
    assert outcome(send(second)) == expected
    assert outcome(send(second)) == ("duplicate" if expected == "accepted" else expected)
    assert QuarantinedEvent.objects.count() == (1 if expected == "conflict" else 0)
    assert UsageEvent.objects.count() == (2 if expected == "accepted" else 1)


def test_keys_of_other_sources_never_meet(acme: Any, calls: Any) -> None:
    """("ab", "c") and ("a", "bc") are two events."""
    assert send(body(source="ab", id="c"), body(source="a", id="bc")).accepted == 2
    assert send(body(source="1:a", id="b"), body(source="1", id=":ab")).accepted == 2


def test_an_event_in_quarantine_is_replaced_and_tried_again(calls: Any) -> None:
    late = body(id="evt-1")
    assert outcome(send(late)) == "unknown_customer"
    assert outcome(send({**late, "data": {}})) == "unknown_customer"
    acme = make.customer("acme")
    assert outcome(send({**late, "data": {}})) == "missing_value"
    assert QuarantinedEvent.objects.count() == 1
    assert outcome(send({**late, "data": {"calls": 7}})) == "accepted"
    assert used(calls, acme).quantity == 7
    assert outcome(send({**late, "data": {"calls": 7}})) == "duplicate"
    assert outcome(send({**late, "data": {"calls": 8}})) == "conflict"


def test_an_event_without_time_counts_when_it_first_arrived(calls: Any) -> None:
    timeless = body(time=None)
    send(timeless, at=NOW)
    make.customer("acme")
    send(timeless, at=NOW + 24 * HOUR)
    stored = UsageEvent.objects.get()
    assert (stored.time, stored.received_at) == (NOW, NOW + 24 * HOUR)


def test_the_sender_of_a_repaired_event_is_told_it_is_a_duplicate(acme: Any, calls: Any) -> None:
    sent = body(id="evt-1", subject="acmee")
    send(sent)
    [row] = replay(
        ids=[QuarantinedEvent.objects.get().pk], fixes={"subject": "acme"}, at=NOW, actor=SYSTEM
    )
    assert row.status == "replayed"
    assert outcome(send(sent)) == "duplicate"
    assert outcome(send({**sent, "subject": "acme"})) == "duplicate"


def test_a_duplicate_of_another_time_says_which_time_counts(acme: Any, calls: Any) -> None:
    first = body(id="evt-1")
    report = send(first, {**first, "time": "2026-11-02T12:00:00Z"})
    [noted] = report.problems
    assert (report.accepted, report.duplicates) == (1, 1)
    assert (noted.index, noted.id, noted.outcome) == (1, "evt-1", "duplicate")
    assert "2026-11-01T12:00:00+00:00" in noted.detail
    assert used(calls, acme, end=datetime(2026, 11, 2, tzinfo=UTC)).quantity == 1


WRONG = body(id="evt-1", subject="acmee")
RIGHT = {**WRONG, "subject": "acme"}
STILL_WRONG = {**RIGHT, "data": {}}


def dismissed(*events: dict[str, Any]) -> None:
    """Send events that can't be counted, and dismiss each."""
    for each in events:
        send(each)
        [row] = QuarantinedEvent.objects.waiting()
        dismiss(ids=[row.pk], reason="A test.", at=NOW, actor=SYSTEM)


def contradictions() -> list[Finding]:
    """Return what contradicts that every event has one outcome, and counts once."""
    names = [one.name for one in INVARIANTS]
    return [row for each in audit(at=NOW, names=names) for row in each.findings]


@pytest.mark.parametrize(
    ("sent", "expected", "counted"),
    [
        pytest.param([WRONG], ["dismissed"], 0, id="as it was: it stays dismissed, and says so"),
        pytest.param([RIGHT], ["accepted"], 1, id="corrected: it counts"),
        pytest.param([RIGHT, RIGHT], ["accepted", "duplicate"], 1, id="corrected, twice"),
        pytest.param([RIGHT, WRONG], ["accepted", "dismissed"], 1, id="the first again, later"),
        pytest.param([RIGHT, {**RIGHT, "data": {"calls": 9}}], ["accepted", "conflict"], 1,
                     id="corrected twice, differently"),
        pytest.param([STILL_WRONG], ["missing_value"], 0, id="still wrong: it waits again"),
        pytest.param([STILL_WRONG, WRONG, RIGHT], ["missing_value", "dismissed", "accepted"], 1,
                     id="right at the third attempt, the first in between"),
    ],
)  # fmt: skip
def test_what_is_sent_after_a_dismissal(
    acme: Any, calls: Any, sent: list[dict[str, Any]], expected: list[str], counted: int
) -> None:
    dismissed(WRONG)
    assert [outcome(send(event)) for event in sent] == expected
    assert used(calls, acme).quantity == UsageEvent.objects.count() == counted
    assert QuarantinedEvent.objects.get(status="dismissed").raw == written(event(**WRONG))
    assert contradictions() == []


def test_what_is_sent_after_two_dismissals_in_one_batch(acme: Any, calls: Any) -> None:
    dismissed(WRONG, STILL_WRONG)
    report = send(STILL_WRONG, WRONG, RIGHT, WRONG, RIGHT)
    assert (report.accepted, report.duplicates, report.conflicts) == (1, 4, 0)
    assert [problem.code for problem in report.problems] == ["dismissed"] * 3
    assert used(calls, acme).quantity == 1


def test_a_dismissed_conflict_stays_one(acme: Any, calls: Any) -> None:
    send(RIGHT)
    assert outcome(send({**RIGHT, "data": {"calls": 9}})) == "conflict"
    [row] = QuarantinedEvent.objects.all()
    dismiss(ids=[row.pk], reason="Twice.", at=NOW, actor=SYSTEM)
    assert outcome(send({**RIGHT, "data": {"calls": 9}})) == "conflict"
    assert outcome(send({**RIGHT, "data": {"calls": 8}})) == "conflict"
    assert used(calls, acme).quantity == 1


def test_an_event_that_waits_again_after_a_dismissal_is_replayed(acme: Any, calls: Any) -> None:
    dismissed(WRONG)
    send(STILL_WRONG)
    [row] = QuarantinedEvent.objects.waiting()
    replay(ids=[row.pk], fixes={"data": {"calls": 3}}, at=NOW, actor=SYSTEM)
    assert used(calls, acme).quantity == 3
    assert outcome(send(WRONG)) == "dismissed"
    assert contradictions() == []


@pytest.mark.django_db(transaction=True)
def test_several_senders_correct_what_was_dismissed_at_once() -> None:
    acme, calls = make.customer("acme"), make.metric("calls")
    dismissed(*({**WRONG, "id": f"{n}"} for n in range(20)))
    reports: list[Report] = []

    def work(number: int) -> None:
        events = [{**RIGHT, "id": f"{n}", "data": {"calls": 1 + number % 2}} for n in range(20)]
        try:
            reports.append(send(*(events if number < 2 else events[::-1])))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 4, "nobody failed"
    assert sum(report.accepted for report in reports) == UsageEvent.objects.count() == 20
    assert sum(report.duplicates + report.conflicts for report in reports) == 60
    values = [event.data["calls"] for event in UsageEvent.objects.all()]
    assert used(calls, acme).quantity == sum(values)
    assert contradictions() == []


def test_usage_counts_without_any_subscription(acme: Any, calls: Any) -> None:
    send(body())
    assert used(calls, acme).quantity == 1


@pytest.mark.parametrize(
    ("time", "named", "expected"),
    [
        pytest.param("2026-11-09T23:59:59Z", None, "accepted", id="before the second began"),
        pytest.param("2026-11-10T00:00:00Z", None, "ambiguous_subscription", id="both are active"),
        pytest.param("2026-11-20T00:00:00Z", None, "accepted", id="the second has ended"),
        pytest.param("2026-11-10T00:00:00Z", "second", "accepted", id="it names one"),
        pytest.param("2026-11-25T00:00:00Z", "second", "accepted", id="names one that has ended"),
    ],
)
def test_two_subscriptions_and_no_name_are_ambiguous(
    acme: Any, calls: Any, time: str, named: str | None, expected: str
) -> None:
    subscribed("first", starts_on=date(2026, 11, 1))
    second = subscribed("second", starts_on=date(2026, 11, 10))
    second.phases.update(ends_on=date(2026, 11, 20))
    report = send(body(time=time, subscription=named))
    assert outcome(report) == expected
    if expected != "accepted":
        assert (
            report.problems[0].detail == "“first” and “second” both bill “Calls”: name one of them."
        )


def test_a_second_subscription_that_prices_something_else_is_no_rival(
    acme: Any, calls: Any
) -> None:
    subscribed("first")
    make.subscription(acme, key="base-fee-only")
    assert outcome(send(body())) == "accepted"


def test_an_event_counts_for_the_subscription_it_names(acme: Any, calls: Any) -> None:
    first, second = subscribed("first"), subscribed("second")
    send(body(subscription="second", data={"calls": 5}))
    assert used(calls, acme, subscription=first).quantity == 0
    assert used(calls, acme, subscription=second).quantity == 5
    assert used(calls, acme, subscription=second, takes_unnamed=False).quantity == 5
    assert used(calls, acme).quantity == 5


def test_another_customers_subscription_is_unknown(acme: Any, calls: Any) -> None:
    make.subscription(make.customer("globex"), key="theirs")
    assert outcome(send(body(subscription="theirs"))) == "unknown_subscription"


def test_a_value_is_needed_only_where_the_filters_match(acme: Any, calls: Any) -> None:
    make.metric(
        "large",
        value_property="tokens",
        filters=[{"property": "model", "operator": "eq", "values": ["l"]}],
    )
    assert outcome(send(body(data={"calls": 1, "model": "s"}))) == "accepted"
    assert outcome(send(body(data={"calls": 1, "model": "l"}))) == "missing_value"


def test_a_retired_metric_counts_no_new_events(acme: Any, calls: Any) -> None:
    type(calls).objects.update(status="retired")
    assert outcome(send(body())) == "unknown_type"


def test_nothing_is_lost_in_a_batch(acme: Any, calls: Any) -> None:
    """accepted + duplicates + quarantined + conflicts + invalid = sent."""
    sent: list[Any] = [event(id=f"{n % 7}", subject=["acme", "x"][n % 2], data={"calls": n % 3})
                       for n in range(100)]  # fmt: skip
    report = ingest(sent, received_at=NOW)
    total = report.accepted + report.duplicates + report.quarantined + report.conflicts
    assert total == 100
    keys = EventKey.objects.count()
    assert keys == UsageEvent.objects.count() + QuarantinedEvent.objects.filter(
        status="open").exclude(code="conflict").count()  # fmt: skip


class AnyOrder(TestCase):
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(), count=st.integers(1, 60))
    def test_duplicates_shuffles_and_batch_cuts_give_the_same_totals(
        self, seed: int, count: int
    ) -> None:
        chance = random.Random(seed)
        metric, acme = make.metric(), make.customer("acme")
        once = [
            body(id=str(n), data={"calls": str(chance.randint(-5, 50) / D(10))})
            for n in range(count)
        ]
        sent = once + chance.sample(once, count * 3 // 10)
        chance.shuffle(sent)
        accepted = duplicates = 0
        while sent:
            cut = chance.randint(1, len(sent))
            report = send(*sent[:cut])
            accepted, duplicates = accepted + report.accepted, duplicates + report.duplicates
            assert not report.problems
            sent = sent[cut:]
        assert (accepted, duplicates) == (count, count * 3 // 10)
        assert used(metric, acme).quantity == sum(D(one["data"]["calls"]) for one in once)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.postgresql
def test_two_senders_of_the_same_events_at_once_count_each_once() -> None:
    metric, acme = make.metric(), make.customer("acme")
    events = [event(id=str(n)) for n in range(5000)]
    reports: list[Report] = []
    barrier = threading.Barrier(2)

    def sender(order: list[Any]) -> None:
        try:
            barrier.wait()
            for start in range(0, len(order), 1000):
                reports.append(ingest(order[start : start + 1000], received_at=NOW))
        finally:
            connections.close_all()

    shuffled = random.Random(1).sample(events, len(events))
    threads = [threading.Thread(target=sender, args=(order,)) for order in (events, shuffled)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.accepted for report in reports) == 5000
    assert sum(report.duplicates for report in reports) == 5000
    assert used(metric, acme).quantity == 5000


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.postgresql
def test_two_people_who_replay_the_same_event_count_it_once() -> None:
    make.metric()
    send(*(body(id=str(n)) for n in range(20)))
    make.customer("acme")
    ids = list(QuarantinedEvent.objects.values_list("pk", flat=True))
    barrier = threading.Barrier(3)
    failures: list[BaseException] = []

    def work(call: Any) -> None:
        try:
            barrier.wait()
            call()
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)
        finally:
            connections.close_all()

    def again() -> None:
        send(*(body(id=str(n)) for n in reversed(range(20))))

    def person() -> None:
        replay(ids=ids, at=NOW, actor=SYSTEM)

    threads = [threading.Thread(target=work, args=(call,)) for call in (person, person, again)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert UsageEvent.objects.count() == 20


def test_the_microsecond_is_the_finest_time(acme: Any, calls: Any) -> None:
    send(body(time="2026-11-01T13:00:00.123456999+01:00"))
    assert UsageEvent.objects.get().time == datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
