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

from config.base import guards
from config.base.audit import SYSTEM
from customers.models import Customer, Subscription
from metering.invariants import INVARIANTS
from metering.models import (
    ArchivedMonth,
    EventAdjustment,
    EventKey,
    QuarantinedEvent,
    UsageEvent,
    UsagePiece,
)
from metering.services import dismiss, replay, void_events
from tests import factories as make
from tests.metering.usage import NOW, body, build, send

pytestmark = pytest.mark.django_db
KEY = UUID(int=7)


@pytest.fixture
def usage() -> None:
    """Everything that can become of an event, as the services leave it."""
    make.metric("calls")
    make.subscription(make.customer("acme"), key="acme-scale")
    make.subscription(make.customer("globex"), key="globex-scale")
    send(
        body(id="counts", subscription="acme-scale"),
        body(id="void"),
        body(id="counts", data={"calls": 9}),
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


def quarantined(**fields: Any) -> None:
    defaults = {"payload_hash": b"1" * 16, "source": "s", "event_id": "e", "type": "t", "raw": "{}",
                "code": "bad_value", "detail": "x", "received_at": NOW}  # fmt: skip
    QuarantinedEvent.objects.create(**{"key": KEY, **defaults, **fields})


def known(**fields: Any) -> None:
    EventKey.objects.create(key=KEY, payload_hash=b"1" * 16, **fields)


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
    quarantined(key=UsageEvent.objects.get(event_id="counts").key)


def of_another_customer() -> None:
    known(stored_as=10**9, time=NOW)
    event(subscription=Subscription.objects.get(key="globex-scale"))


def piece_lost() -> None:
    build()
    UsagePiece.objects.all().delete()


CORRUPTIONS: dict[str, list[Callable[[], None]]] = {
    "rollups_equal_events": [piece_lost],
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


def test_what_the_services_leave_contradicts_nothing(usage: None) -> None:
    code, told = audited()
    assert code == 0, told
    assert all(line.startswith("ok") for line in told.splitlines())
    assert {invariant.name for invariant in INVARIANTS} <= set(told.split())


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
    assert len(found) == 1
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


def test_a_key_of_an_archived_month_needs_no_event(usage: None) -> None:
    known(stored_as=10**9, time=NOW.replace(day=31, month=10))
    ArchivedMonth.objects.create(month=date(2026, 10, 1))
    assert audited("--only", "event_keys_lead_to_their_events")[0] == 0
    ArchivedMonth.objects.update(month=date(2026, 9, 1))
    assert audited("--only", "event_keys_lead_to_their_events")[0] == 1
