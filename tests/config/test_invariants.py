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
@pytest.mark.parametrize(
    ("due", "left", "status", "is_stuck"),
    [
        pytest.param(61, 61, "pending", True, id="over an hour after its time"),
        pytest.param(61, 61, "failed", True, id="given up"),
        pytest.param(59, 61, "pending", False, id="due less than an hour ago, though left before"),
        pytest.param(99999, 59, "pending", False, id="of a backdated run less than an hour ago"),
        pytest.param(99999, 61, "pending", True, id="of a backdated run over an hour ago"),
        pytest.param(99999, 99999, "done", False, id="done"),
    ],
)
def test_a_message_is_stuck_an_hour_after_its_time(
    due: int, left: int, status: str, is_stuck: bool
) -> None:
    done_at = NOW if status == "done" else None
    due_at = NOW - timedelta(minutes=due)
    Outbox.objects.create(kind="mail", key="1", status=status, due_at=due_at, done_at=done_at)
    Outbox.objects.update(created_at=NOW - timedelta(minutes=left))
    [result] = audit(at=NOW, names=["outbox_moves"])
    assert [row.id for row in result.findings] == ["mail 1"] * is_stuck


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
