"""What the database refuses in metering, whoever writes to it: each named rule, fired once."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction

from customers.models import Customer, Subscription
from metering.models import (
    ArchivedMonth,
    CatalogueStamp,
    EventAdjustment,
    EventKey,
    QuarantinedEvent,
    Rollup,
    UsageEvent,
    UsagePiece,
)
from metering.triggers import GUARDS
from tests import factories as make
from tests.metering import usage

pytestmark = pytest.mark.django_db

KEY = UUID(int=1)


def quarantined(**fields: Any) -> QuarantinedEvent:
    defaults = {
        "key": KEY,
        "payload_hash": b"1" * 16,
        "source": "gateway",
        "event_id": "evt-1",
        "type": "api.call",
        "subject": "acme",
        "raw": "{}",
        "code": "unknown_customer",
        "detail": "There is no customer “acme”.",
        "received_at": usage.NOW,
    }
    return QuarantinedEvent.objects.create(**{**defaults, **fields})


def quarantine(*rows: dict[str, Any]) -> Callable[[], Any]:
    return lambda: [quarantined(**row) for row in rows]


def adjusted(**fields: Any) -> Any:
    defaults = {
        "event_key": KEY,
        "kind": "void",
        "reason": "A test.",
        "made_by": "dora",
        "made_at": usage.NOW,
    }
    row = EventAdjustment.objects.create(**{**defaults, **fields})
    return EventAdjustment.objects.filter(pk=row.pk)


def stored(**attributes: Any) -> Any:
    make.subscription(make.customer("acme"), key="first")
    make.metric()
    assert usage.send(usage.body(**attributes)).accepted == 1
    return UsageEvent.objects.all()


def ready_rollup() -> Any:
    return Rollup.objects.create(
        metric=make.metric(), definition="{}", created_at=usage.NOW, ready_at=usage.NOW
    )


def rollups_of_one_definition() -> None:
    metric = make.metric()
    for _ in range(2):
        Rollup.objects.create(metric=metric, definition="{}", digest="0", created_at=usage.NOW)


def piece(**fields: Any) -> Any:
    defaults = {
        "rollup_id": 1,
        "customer_id": 1,
        "key": [],
        "starts_at": usage.NOV,
        "ends_at": usage.DEC,
        "events": 1,
        "last_received_at": usage.NOW,
        "first_time": usage.NOV,
        "last_time": usage.NOV,
        "last_id": 1,
    }
    return UsagePiece.objects.create(**{**defaults, **fields})


def known(**fields: Any) -> Any:
    EventKey.objects.create(key=KEY, payload_hash=b"1" * 16, **fields)
    return EventKey.objects.all()


def dismissed() -> Any:
    row = quarantined(status="dismissed", resolution="A test.", resolved_at=usage.NOW)
    return QuarantinedEvent.objects.filter(pk=row.pk)


RULES: dict[str, Callable[[], Any]] = {
    "quarantine_code_is_known": quarantine({"code": "x"}),
    "quarantine_status_is_known": quarantine({"status": "x", "resolved_at": usage.NOW}),
    "quarantine_resolved_exactly_when_dated": quarantine({"status": "replayed"}),
    "quarantine_dismissal_has_a_reason": quarantine(
        {"status": "dismissed", "resolved_at": usage.NOW}
    ),
    "quarantine_open_once_per_key": quarantine({}, {"payload_hash": b"2" * 16}),
    "quarantine_conflict_once_per_payload": quarantine({"code": "conflict"}, {"code": "conflict"}),
    "adjustment_kind_is_known": lambda: adjusted(kind="x"),
    "adjustment_has_data_exactly_when_it_replaces": lambda: adjusted(data={}),
    "adjustment_has_a_reason": lambda: adjusted(reason=""),
    "adjustment_effective_once_per_event": lambda: [adjusted(), adjusted(kind="replace", data={})],
    "event_adjustment_is_only_superseded": lambda: adjusted().update(reason="Another."),
    "event_adjustment_is_never_deleted": lambda: adjusted()._raw_delete("default"),
    "rollup_ready_once_others_know_it": ready_rollup,
    "rollup_once_per_definition": rollups_of_one_definition,
    "piece_lies_in_its_day": lambda: piece(last_time=usage.DEC),
    "usage_event_never_changes": lambda: stored().update(type="other"),
    "usage_event_is_never_deleted": lambda: stored()._raw_delete("default"),
    "event_key_never_changes": lambda: known().update(key=UUID(int=2)),
    "event_payload_changes_only_in_quarantine": lambda: known().update(payload_hash=b"2" * 16),
    "event_key_is_timed_exactly_when_stored": lambda: known(stored_as=1),
    "event_key_is_stored_once": lambda: known(stored_as=1, time=usage.NOW).update(stored_as=2),
    "event_key_is_never_deleted": lambda: known()._raw_delete("default"),
    "quarantined_event_is_kept_once_resolved": lambda: dismissed().update(resolution="No reason."),
    "quarantined_event_is_never_deleted": lambda: dismissed()._raw_delete("default"),
    "catalogue_stamp_is_one_row": lambda: CatalogueStamp.objects.create(id=2, stamp="x"),
    "archived_month_is_hashed_and_counted": lambda: ArchivedMonth.objects.create(
        month=date(2025, 9, 1), events=1, archived_at=usage.NOW
    ),
    "customer_with_events_is_kept": lambda: (
        stored() and Customer.objects.filter(key="acme")._raw_delete("default")
    ),
    "subscription_with_events_is_kept": lambda: (
        stored(subscription="first")
        and Subscription.objects.filter(key="first")._raw_delete("default")
    ),
}
SQLITE_SAYS = {
    "rollup_once_per_definition": "metering_rollup.metric_id",
    "adjustment_effective_once_per_event": "metering_eventadjustment.event_key",
    "quarantine_open_once_per_key": "metering_quarantinedevent.key",
    "quarantine_conflict_once_per_payload": "metering_quarantinedevent.payload_hash",
}


@pytest.mark.parametrize("rule", RULES)
def test_the_database_refuses_by_name(rule: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        RULES[rule]()
    assert rule in str(refusal.value) or SQLITE_SAYS.get(rule, rule) in str(refusal.value)


def test_every_named_rule_of_metering_is_fired() -> None:
    models = apps.get_app_config("metering").get_models()
    named = {constraint.name for model in models for constraint in model._meta.constraints}
    assert named | {guard.name for guard in GUARDS} == set(RULES)


def test_conflicts_of_one_key_differ_and_stand_beside_the_open_event() -> None:
    quarantined()
    quarantined(code="conflict")
    quarantined(code="conflict", payload_hash=b"2" * 16)


def test_a_superseded_adjustment_stays_beside_the_effective_one() -> None:
    adjusted().update(is_effective=False)
    adjusted(kind="replace", data={})


def test_the_payload_of_an_event_in_quarantine_may_change() -> None:
    quarantined()
    assert known().update(payload_hash=b"2" * 16) == 1
