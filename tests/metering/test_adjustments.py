"""Voiding and replacing events: what counts changes, what arrived stays (R9)."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID

import pytest
from django.db import close_old_connections, connection, transaction
from django.test.utils import CaptureQueriesContext

from config.base.audit import Actor
from config.base.errors import Invalid
from config.base.models import ActorKind, AuditEntry
from customers.models import Customer
from metering.events import event_key
from metering.models import EventAdjustment, Rollup, UsageEvent
from metering.services import EventNotCounted, replace_event, void_events
from metering.services.rollups.rebuilding import lock_rollups
from tests import factories as make
from tests.metering.usage import NOW, D, body, build, send, used

pytestmark = pytest.mark.django_db
DORA = Actor(ActorKind.USER, "dora")


def sent(name: str, **data: Any) -> UUID:
    """Send an event of acme with this data and return its key."""
    assert send(body(id=name, data={"calls": 1, **data})).accepted == 1
    return UUID(bytes=event_key("gateway", name))


def void(*keys: UUID, reason: str = "Sent twice.") -> list[EventAdjustment]:
    return void_events(keys=keys, reason=reason, at=NOW, actor=DORA)


def replace(key: UUID, reason: str = "Wrong unit.", **data: Any) -> EventAdjustment:
    return replace_event(key=key, data=data, reason=reason, at=NOW, actor=DORA)


def test_a_void_event_counts_no_more_and_stays_as_it_arrived() -> None:
    metric, acme = make.metric(), make.customer("acme")
    first, _ = sent("a", calls=3), sent("b", calls=4)
    [adjustment] = void(first)
    assert used(metric, acme)[:2] == (D(4), 1)
    assert (adjustment.kind, adjustment.made_by, adjustment.made_at) == ("void", "dora", NOW)
    assert UsageEvent.objects.get(key=first).data == {"calls": 3}


def test_a_replaced_event_counts_with_its_new_data() -> None:
    metric, acme = make.metric(), make.customer("acme")
    replace(sent("a", calls=3), calls=D("0.1234567890"))
    assert used(metric, acme).quantity == D("0.123456789")


def test_new_data_may_meet_a_filter_that_the_old_did_not() -> None:
    condition = {"property": "model", "operator": "eq", "values": ["l"]}
    metric, acme = make.metric(filters=[condition]), make.customer("acme")
    key = sent("a", calls=3, model="s")
    assert used(metric, acme).quantity == 0
    replace(key, calls=3, model="l")
    assert used(metric, acme).quantity == 3


def test_the_last_adjustment_is_the_effective_one_and_the_others_stay() -> None:
    metric, acme = make.metric(), make.customer("acme")
    key = sent("a", calls=3)
    replace(key, calls=5)
    void(key)
    assert used(metric, acme).quantity == 0
    replace(key, calls=7)
    assert used(metric, acme).quantity == 7
    rows = EventAdjustment.objects.filter(event_key=key).order_by("pk")
    assert [(row.kind, row.is_effective) for row in rows] == [
        ("replace", False),
        ("void", False),
        ("replace", True),
    ]


def test_the_same_again_changes_nothing() -> None:
    make.metric(), make.customer("acme")
    first, second = sent("a"), sent("b")
    assert void(first) == void(first, first, reason="Again.")
    assert replace(second, calls=2) == replace(second, calls=D("2.0"), reason="Again.")
    assert EventAdjustment.objects.count() == 2


def test_many_are_voided_together_or_not_at_all() -> None:
    make.metric(), make.customer("acme")
    first, second = sent("a"), sent("b")
    with pytest.raises(EventNotCounted, match="00000001"):
        void(first, UUID(int=1), second)
    assert not EventAdjustment.objects.exists()
    assert [row.event_key for row in void(second, first)] == [second, first]


def test_an_event_in_quarantine_is_corrected_there() -> None:
    make.metric()
    send(body(id="a", subject="nobody"))
    with pytest.raises(EventNotCounted, match="quarantine"):
        void(UUID(bytes=event_key("gateway", "a")))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param({}, "missing_value", id="without its value"),
        pytest.param({"calls": "many"}, "bad_value", id="no number"),
        pytest.param({"calls": 10**20}, "bad_value", id="too many digits"),
        pytest.param({"calls": 1, "x": "\x00"}, "bad_text", id="what can't be kept"),
    ],
)
def test_data_is_checked_as_that_of_an_event(data: dict[str, Any], code: str) -> None:
    make.metric(), make.customer("acme")
    key = sent("a")
    with pytest.raises(Invalid) as refusal:
        replace(key, **data)
    [fault] = refusal.value.faults
    assert (fault.path, fault.code) == (("data",), code)
    assert not EventAdjustment.objects.exists()


def test_a_reason_is_required() -> None:
    make.metric(), make.customer("acme")
    key = sent("a")
    with pytest.raises(Invalid, match="Say why"):
        void(key, reason=" ")
    with pytest.raises(Invalid, match="Say why"):
        replace(key, calls=2, reason="")


def test_the_trail_says_who_what_and_why() -> None:
    make.metric(), make.customer("acme")
    key = sent("a", calls=3)
    replace(key, calls=D("0.1"))
    void(key)
    last, first = AuditEntry.objects.filter(subject_type="metering.usageevent")
    assert (first.actor_name, first.action, first.note) == ("dora", "replaced", "Wrong unit.")
    assert first.changes == {"data": ['{"calls":3}', '{"calls":0.1}']}
    assert (last.action, last.changes) == ("voided", {"data": ['{"calls":0.1}', None]})


def test_twenty_are_voided_in_as_many_queries_as_one() -> None:
    make.metric(), make.customer("acme")
    build()
    keys = [sent(str(n)) for n in range(21)]
    counts = []
    for chosen in (keys[:1], keys[1:]):
        with CaptureQueriesContext(connection) as queries:
            void(*chosen)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs two writers at once")
def test_two_who_void_at_once_make_one_adjustment() -> None:
    make.metric(), make.customer("acme")
    key = sent("a")

    def work() -> None:
        try:
            void(key)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_old_connections()
    assert EventAdjustment.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("correct", [replace_event, void_events])
def test_a_correction_waits_for_a_rebuild_that_drops_a_rollup_and_neither_for_ever(
    correct: Any,
) -> None:
    make.customer("acme")
    metric = make.metric("calls")
    event = sent("evt-1", calls=5)
    build()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            what = (
                {"key": event, "data": {"calls": 7}}
                if correct is replace_event
                else {"keys": [event]}
            )
            correct(**what, reason="Counted twice.", at=NOW, actor=DORA)
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)
        finally:
            connection.close()

    corrector = threading.Thread(target=work)
    with transaction.atomic():
        lock_rollups()
        corrector.start()
        wait_until("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        Rollup.objects.all().delete()
    corrector.join()
    close_old_connections()
    assert failures == []
    build()
    assert used(metric, Customer.objects.get()).quantity == (7 if correct is replace_event else 0)


def wait_until(question: str) -> None:
    """Ask until there is an answer, for at most half a minute."""
    for _ in range(600):
        with connection.cursor() as cursor:
            cursor.execute(question)
            if cursor.fetchone():
                return
        time.sleep(0.05)
    raise AssertionError(question)
