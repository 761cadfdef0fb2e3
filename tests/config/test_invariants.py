"""The audit reads one snapshot and writes nothing; the floor's own checks find what is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection

from config.base import invariants
from config.base.audit import SYSTEM
from config.base.invariants import Finding, Invariant, audit, snapshot
from config.base.models import IdempotencyKey, Outbox
from config.base.services.api_keys import create_api_key

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_a_message_is_stuck_an_hour_after_its_time() -> None:
    for minutes, status in ((61, "pending"), (61, "failed"), (59, "pending")):
        Outbox.objects.create(
            kind="mail", key=f"{minutes}-{status}", status=status,
            due_at=NOW - timedelta(minutes=minutes),
        )  # fmt: skip
    Outbox.objects.create(
        kind="mail", key="done", status="done", due_at=NOW - timedelta(days=9), done_at=NOW
    )
    [result] = audit(at=NOW, names=["outbox_moves"])
    assert [row.id for row in result.findings] == ["mail 61-pending", "mail 61-failed"]


@pytest.mark.django_db
def test_a_claim_is_stuck_after_a_day() -> None:
    key, _ = create_api_key(name="x", scopes=[], expires_at=None, actor=SYSTEM)
    for hours in (23, 25):
        IdempotencyKey.objects.create(
            api_key=key, route="/r", key=f"{hours}", body_hash="x", claimed_at=NOW - timedelta(hours=hours)
        )  # fmt: skip
    [result] = audit(at=NOW, names=["idempotency_claims_end"])
    assert [row.id for row in result.findings] == ["25 on /r"]


@pytest.mark.django_db(transaction=True)
def test_nothing_can_be_written_in_a_snapshot_and_all_can_after_it() -> None:
    with pytest.raises(DatabaseError), snapshot():
        Outbox.objects.create(kind="a", key="a", due_at=NOW)
    assert not connection.in_atomic_block
    Outbox.objects.create(kind="a", key="a", due_at=NOW)
    assert Outbox.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_check_that_writes_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupt(at: datetime) -> Iterator[Finding]:
        Outbox.objects.create(kind="a", key="a", due_at=at)
        yield Finding("a", "b", "c")

    check = Invariant("bad", "It writes.", corrupt)
    monkeypatch.setattr(invariants, "INVARIANTS", [check])
    with pytest.raises(DatabaseError):
        list(audit(at=NOW))
    assert not Outbox.objects.exists()
