"""Each check of usage finds the corruption it is there for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import ValueMetric
from config.base import guards
from config.base.audit import SYSTEM
from customers.models import Customer, Subscription
from metering.definitions import definition_of
from metering.events import Event, written
from metering.invariants import INVARIANTS
from metering.models import (
    ArchivedMonth,
    EventAdjustment,
    EventKey,
    QuarantinedEvent,
    Rollup,
    UsageEvent,
    UsagePiece,
)
from metering.services import dismiss, replay, void_events
from tests import factories as make
from tests.metering.usage import HOUR, NOV, NOW, D, body, build, send
from tests.metering.usage import event as usage_event

pytestmark = pytest.mark.django_db
SENT = usage_event(
    id="e", source="s", type="t", subject="acme", subscription="globex-scale", data={}
)
KEY = UUID(bytes=SENT.key)
COUNTS = body(id="counts", subscription="acme-scale", data={"calls": 1, "model": "s"})


@pytest.fixture
def usage() -> None:
    """Everything that can become of an event, as the services leave it."""
    make.metric("calls", dimensions=["model"])
    acme = make.customer("acme")
    make.subscription(acme, key="acme-scale")
    make.subscription(acme, key="acme-other")
    make.subscription(make.customer("globex"), key="globex-scale")
    small, large = {"calls": 1, "model": "s"}, {"calls": 1, "model": "l"}
    send(
        COUNTS,
        body(id="void"),
        body(id="counts", data={"calls": 9}),
        body(id="large", subscription="acme-scale", data=large),
        body(id="theirs", subscription="acme-other", data=small),
        body(id="unnamed", data=small),
        body(id="later", data=small, time="2026-11-02T12:00:00Z"),
        body(id="lago", source="lago:acme-scale", subject="acme-scale", data=large),
        body(id="lago-2", source="lago:acme", data=large),
    )
    send(
        body(id="waits", subject="x"),
        body(id="dismissed", subject="y"),
        body(id="fixed", subject="z"),
    )
    rows = {row.event_id: row.pk for row in QuarantinedEvent.objects.exclude(code="conflict")}
    dismiss(ids=[rows["dismissed"]], reason="A test.", at=NOW, actor=SYSTEM)
    replay(ids=[rows["fixed"]], fixes={"subject": "acme"}, at=NOW, actor=SYSTEM)
    voided = UsageEvent.objects.get(event_id="void")
    void_events(keys=[voided.key], reason="A test.", at=NOW, actor=SYSTEM)
    guards.drop_all(connection=connection)


def audited(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("audit", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def quarantined(sent: Event = SENT, **fields: Any) -> None:
    defaults = {"key": UUID(bytes=sent.key), "payload_hash": sent.payload_hash, "source": sent.source,
                "event_id": sent.id, "type": sent.type, "subject": sent.subject, "raw": written(sent),
                "code": "bad_value", "detail": "x", "received_at": NOW}  # fmt: skip
    QuarantinedEvent.objects.create(**{**defaults, **fields})


def known(**fields: Any) -> None:
    EventKey.objects.create(key=KEY, payload_hash=SENT.payload_hash, **fields)


def event(**fields: Any) -> None:
    UsageEvent.objects.create(
        id=10**9, key=KEY, source="s", event_id="e", type="t", customer=Customer.objects.get(key="acme"),
        time=NOW, received_at=NOW, data={}, **fields,
    )  # fmt: skip


def replayed_without_event() -> None:
    known()
    quarantined(status="replayed", resolved_at=NOW)
    quarantined(status="dismissed", resolution="x", resolved_at=NOW)


def counts_and_waits() -> None:
    quarantined(usage_event(**COUNTS))


def of_another_customer() -> None:
    known(stored_as=10**9, time=NOW)
    event(subscription=Subscription.objects.get(key="globex-scale"))


def piece_lost() -> None:
    build()
    UsagePiece.objects.all().delete()


def pieces(**fields: Any) -> Callable[[], None]:
    """Change the pieces of one day's small models, of those that name acme's subscription."""

    def corrupt() -> None:
        build()
        small = UsagePiece.objects.filter(key=["s"], subscription__key="acme-scale")
        assert small.update(**fields) == 1

    return corrupt


def other_subscription() -> None:
    pieces(subscription=Subscription.objects.get(key="acme-other"))()


def rollups(**fields: Any) -> Callable[[], None]:
    def corrupt() -> None:
        build()
        assert Rollup.objects.filter(metric__key="calls").update(**fields) == 1

    return corrupt


def events(**fields: Any) -> Callable[[], None]:
    return lambda: rewritten(UsageEvent.objects.filter(event_id="counts"), **fields)


def waiting(**fields: Any) -> Callable[[], None]:
    return lambda: rewritten(QuarantinedEvent.objects.filter(event_id="waits"), **fields)


def rewritten(rows: Any, **fields: Any) -> None:
    """Write what guards would refuse, as whoever has the database's password can."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
        assert rows.update(**fields) == 1
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = origin")


CORRUPTIONS: dict[str, list[Callable[[], None]]] = {
    "rollups_equal_events": [
        piece_lost,
        pieces(total=D(3)),
        pieces(events=2),
        pieces(key=["l"]),
        pieces(last_received_at=NOW - HOUR),
        pieces(starts_at=NOV + 24 * HOUR, ends_at=NOV + 48 * HOUR, first_time=NOV + 30 * HOUR,
               last_time=NOV + 30 * HOUR),
        pieces(subscription=None),
        other_subscription,
    ],
    "rollups_are_of_their_metric": [
        rollups(definition=definition_of(ValueMetric(
            event_type="api.call", aggregation="sum", value_property="other")).text),
        rollups(digest="0" * 32),
        rollups(event_type="other"),
    ],
    "events_are_what_their_keys_stand_for": [
        events(event_id="renamed"),
        events(source="elsewhere"),
        events(type="other"),
        events(subscription=None),
        events(data={"calls": 1, "model": "s", "more": 1}),
    ],
    "quarantined_events_are_what_they_are_filed_under": [
        waiting(raw=written(usage_event(id="other", subject="x"))),
        waiting(raw=written(usage_event(id="waits", subject="x", data={"calls": 2}))),
        waiting(raw="[]"),
        waiting(raw="{"),
        waiting(type="other"),
        waiting(subject="y"),
        waiting(payload_hash=b"1" * 16),
    ],
    "received_events_have_an_outcome": [known],
    "event_keys_lead_to_their_events": [lambda: known(stored_as=10**9, time=NOW)],
    "events_have_their_key": [event],
    "quarantined_events_have_their_key": [quarantined],
    "quarantine_says_what_counts": [replayed_without_event, counts_and_waits],
    "adjustments_have_their_event": [
        lambda: EventAdjustment.objects.create(  # type: ignore[list-item]
            event_key=KEY, kind="void", reason="x", made_by="x", made_at=NOW
        ) and None
    ],
    "events_are_of_their_subscriptions_customer": [of_another_customer],
}  # fmt: skip


SEVERAL = {
    "rollups_equal_events",  # the day and the whole, of the one it was taken from and that it went to
    "quarantined_events_are_what_they_are_filed_under",  # the row, and its key
}


def test_what_the_services_leave_contradicts_nothing(usage: None) -> None:
    code, told = audited()
    assert code == 0, told
    assert all(line.startswith("ok") for line in told.splitlines())
    assert {invariant.name for invariant in INVARIANTS} <= set(told.split())


@pytest.mark.parametrize("subject", ["acme", "nobody", None])
@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"data": {"calls": D("1.0"), "x": D("1e3"), "y": -0}}, id="numbers by value"),
        pytest.param({"data": {"calls": 1, "x": D("1e-90"), "y": 10**99}}, id="long numbers"),
        pytest.param({"data": {"calls": 1, "x": 10**101}}, id="a number that is too long"),
        pytest.param(
            {"data": {"calls": 1, "ü": "\u2028\u202e\U0001f600", "": [[], {}]}}, id="unicode"
        ),
        pytest.param(
            {"data": {"calls": 1, "b": 1, "a": {"d": True, "c": None}}}, id="names unsorted"
        ),
        pytest.param({"data": None}, id="no data"),
        pytest.param({"data": [1, "x"]}, id="data that is no object"),
        pytest.param({"data": None, "data_base64": "eyJjYWxscyI6IDF9"}, id="data in base64"),
        pytest.param({"data": None, "data_base64": "e"}, id="data in broken base64"),
        pytest.param({"traceparent": "00-x", "n": {"a": D("1.50")}}, id="extensions"),
        pytest.param({"time": None}, id="no time"),
        pytest.param({"source": "lago:acme-scale"}, id="a source like Lago's"),
        pytest.param({"id": "ü" * 255, "source": "\u00e9 \U0001f600"}, id="an odd id and source"),
    ],
)
def test_what_is_odd_contradicts_nothing(
    usage: None, attributes: dict[str, Any], subject: str | None
) -> None:
    send(body(**{"subject": subject, **attributes}))
    code, told = audited()
    assert code == 0, told


@pytest.mark.parametrize(
    ("name", "corrupt"),
    [(name, corrupt) for name, each in CORRUPTIONS.items() for corrupt in each],
)
def test_each_check_finds_its_corruption_and_no_other(
    usage: None, name: str, corrupt: Callable[[], None]
) -> None:
    corrupt()
    code, told = audited("--json")
    found = [json.loads(line) for line in told.splitlines()]
    assert code == 1
    assert {row["check"] for row in found} == {name}
    assert len(found) == 1 or name in SEVERAL
    assert {"id", "expected", "actual", "difference"} < set(found[0])


def test_every_check_has_a_corruption() -> None:
    assert {invariant.name for invariant in INVARIANTS} == set(CORRUPTIONS)


def test_one_check_alone(usage: None) -> None:
    known()
    assert audited("--only", "events_have_their_key") == (0, "ok    events_have_their_key\n")
    code, told = audited("--only", "received_events_have_an_outcome")
    assert code == 1
    assert f"key {KEY}: expected an event, or one in quarantine, is neither" in told


def test_a_check_there_is_not_is_named() -> None:
    with pytest.raises(CommandError, match="nonsense"):
        audited("--only", "nonsense")


def test_many_rows_are_cut_and_it_says_so(usage: None) -> None:
    EventKey.objects.bulk_create(
        EventKey(key=UUID(int=n), payload_hash=b"1" * 16) for n in range(1, 30)
    )
    _, told = audited("--only", "received_events_have_an_outcome", "--limit", "10")
    assert "10 or more" in told
    assert len(told.splitlines()) == 11


@pytest.mark.unaudited
def test_a_key_of_an_archived_month_needs_no_event(usage: None) -> None:
    known(stored_as=10**9, time=NOW.replace(day=31, month=10))
    ArchivedMonth.objects.create(month=date(2026, 10, 1))
    assert audited("--only", "event_keys_lead_to_their_events")[0] == 0
    ArchivedMonth.objects.update(month=date(2026, 9, 1))
    assert audited("--only", "event_keys_lead_to_their_events")[0] == 1
