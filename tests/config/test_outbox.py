"""What is in the outbox is delivered, again if need be, and given up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from config.base.models import Outbox, OutboxStatus
from config.base.services import outbox
from config.base.services.outbox import MAX_ATTEMPTS, deliver_due, handles, put
from config.base.tasks import deliver_outbox, prune

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def delivered() -> Iterator[list[str]]:
    """Handle the kinds `postcard`, which arrives, and `bomb`, which does not."""
    keys: list[str] = []
    before = dict(outbox._handlers)

    @handles("postcard")
    def deliver(message: Outbox, at: datetime) -> None:
        keys.append(message.key)

    @handles("bomb")
    def explode(message: Outbox, at: datetime) -> None:
        put(kind="postcard", key="half done", payload={}, due_at=at)
        raise OSError("boom")

    yield keys
    outbox._handlers.clear()
    outbox._handlers.update(before)


def add(kind: str, key: str, *, due_at: datetime = AT) -> None:
    put(kind=kind, key=key, payload={"to": "Ada"}, due_at=due_at)


def test_a_message_is_delivered_once_it_is_due(delivered: list[str]) -> None:
    add("postcard", "now")
    add("postcard", "later", due_at=AT + timedelta(seconds=1))
    assert deliver_due(at=AT) == (1, 0)
    assert deliver_due(at=AT) == (0, 0)
    assert delivered == ["now"]
    done = Outbox.objects.get(key="now")
    assert (done.status, done.done_at, done.attempts) == (OutboxStatus.DONE, AT, 1)


def test_a_message_is_put_once_per_kind_and_key(delivered: list[str]) -> None:
    add("postcard", "a")
    deliver_due(at=AT)
    add("postcard", "a")
    assert deliver_due(at=AT) == (0, 0)


def test_a_message_goes_with_its_cause(delivered: list[str]) -> None:
    with transaction.atomic():
        add("postcard", "a")
        transaction.set_rollback(True)
    assert deliver_due(at=AT) == (0, 0)


def test_a_failure_is_one_messages_and_leaves_nothing(delivered: list[str]) -> None:
    add("bomb", "a")
    add("postcard", "b")
    assert deliver_due(at=AT) == (1, 1)
    assert delivered == ["b"]
    assert not Outbox.objects.filter(key="half done").exists()
    assert Outbox.objects.get(key="a").last_error == "OSError: boom"


def test_pauses_double(delivered: list[str]) -> None:
    add("bomb", "a")
    at, pauses = AT, []
    for _ in range(4):
        deliver_due(at=at)
        due_at = Outbox.objects.get(key="a").due_at
        pauses.append(int((due_at - at).total_seconds() // 60))
        at = due_at
    assert pauses == [1, 2, 4, 8]


def test_a_message_is_given_up_after_ten_attempts(delivered: list[str]) -> None:
    add("bomb", "a")
    for attempt in range(MAX_ATTEMPTS + 2):
        deliver_due(at=AT + timedelta(days=attempt))
    given_up = Outbox.objects.get(key="a")
    assert (given_up.status, given_up.attempts) == (OutboxStatus.FAILED, 10)


def test_a_message_that_kills_its_worker_is_given_up_too(delivered: list[str]) -> None:
    add("postcard", "a")
    Outbox.objects.update(attempts=MAX_ATTEMPTS)
    deliver_due(at=AT)
    assert Outbox.objects.get(key="a").status == OutboxStatus.FAILED
    assert delivered == []


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_deliver_each_message_once(delivered: list[str]) -> None:
    for number in range(20):
        add("postcard", f"{number:02}")

    def work(_: int) -> None:
        deliver_due(at=AT)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(delivered) == [f"{number:02}" for number in range(20)]


def test_a_kind_that_nothing_handles_waits() -> None:
    add("mystery", "a")
    assert deliver_due(at=AT) == (0, 1)
    assert "mystery" in Outbox.objects.get(key="a").last_error


def test_the_command_and_the_task_deliver(delivered: list[str]) -> None:
    add("postcard", "a")
    said = StringIO()
    call_command("deliver_outbox", stdout=said)
    add("postcard", "b")
    deliver_outbox()
    prune()
    call_command("prune", stdout=said)
    assert delivered == ["a", "b"]
    assert said.getvalue().splitlines() == [
        "1 delivered, 0 failed.",
        "0 idempotency keys deleted.",
        "0 sign-in links and portal sessions deleted.",
    ]
