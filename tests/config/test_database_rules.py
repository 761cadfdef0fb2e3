"""What the database refuses on the floor: each named rule, fired once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from billing.triggers import GUARDS as billing
from catalog.triggers import GUARDS as catalog
from config.base.audit import SYSTEM, record
from config.base.guards import guarded_tables, never_emptied
from config.base.models import ApiKey, AuditEntry, IdempotencyKey, Outbox
from config.base.triggers import GUARDS
from customers.triggers import GUARDS as customers
from metering.triggers import GUARDS as metering
from tests import factories as make

pytestmark = pytest.mark.django_db


def entry() -> AuditEntry:
    return record(actor=SYSTEM, action="tried", subject=make.plan())


def idempotency(**fields: Any) -> Any:
    key, _ = ApiKey.objects.get_or_create(name="gateway", prefix="p", secret_hash="h")
    defaults = {"route": "/r", "key": "k", "body_hash": "h", "claimed_at": make.AT}
    return IdempotencyKey.objects.create(api_key=key, **{**defaults, **fields})


def message(**fields: Any) -> Any:
    return Outbox.objects.create(**{"kind": "mail", "key": "1", "due_at": make.AT, **fields})


RULES: dict[str, Callable[[], Any]] = {
    "audit_actor_kind_is_known": lambda: AuditEntry.objects.create(
        actor_kind="x", action="tried", subject_type="t", subject_id=1
    ),
    "audit_entry_never_changes": lambda: AuditEntry.objects.filter(pk=entry().pk).update(note="x"),
    "audit_entry_is_never_deleted": lambda: AuditEntry.objects.filter(pk=entry().pk).delete(),
    "idempotency_key_once_per_caller_and_route": lambda: [idempotency(), idempotency()],
    "idempotency_key_answered_with_status_and_body": lambda: idempotency(status=200),
    "outbox_message_once_per_kind_and_key": lambda: [message(), message()],
    "outbox_status_is_known": lambda: message(status="x"),
    "outbox_done_exactly_when_dated": lambda: message(status="done"),
}
SQLITE_SAYS = {
    "idempotency_key_once_per_caller_and_route": "base_idempotencykey.key",
    "outbox_message_once_per_kind_and_key": "base_outbox.key",
}


@pytest.mark.parametrize("rule", RULES)
def test_the_database_refuses_by_name(rule: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        RULES[rule]()
    assert rule in str(refusal.value) or SQLITE_SAYS.get(rule, rule) in str(refusal.value)


def test_every_named_rule_of_the_floor_is_fired() -> None:
    models = apps.get_app_config("base").get_models()
    named = {constraint.name for model in models for constraint in model._meta.constraints}
    assert named | {guard.name for guard in GUARDS} == set(RULES)


@pytest.mark.postgresql
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
@pytest.mark.parametrize(
    "table", guarded_tables([*catalog, *customers, *metering, *billing, *GUARDS])
)
def test_a_guarded_table_is_never_emptied(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::text FROM pg_partition_tree(%s)", (table,))
        parts = [name for (name,) in cursor.fetchall()]
        assert (len(parts) > 5) == (table == "metering_usageevent")
        for part in parts or [table]:
            with pytest.raises(IntegrityError, match=never_emptied(table)), transaction.atomic():
                cursor.execute(f"TRUNCATE {part} CASCADE")


def test_every_append_only_table_is_among_them() -> None:
    guarded = set(guarded_tables([*metering, *billing, *GUARDS]))
    assert guarded >= {
        *("base_auditentry", "metering_usageevent", "metering_eventkey"),
        *("metering_quarantinedevent", "metering_eventadjustment", "billing_usagesnapshot"),
        *("billing_invoice", "billing_invoiceline", "billing_invoicedocument"),
    }
