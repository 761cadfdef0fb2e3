"""Closers and issuers at once, and usage that comes in between: each period billed once, whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from functools import partial
from io import StringIO
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from billing.models import DocumentSequence, Invoice, InvoiceLine, PeriodCharge
from billing.services.closing import close_subscriptions
from billing.services.issuing import issue_invoices
from billing.services.lateness import settle_late_usage
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.models import Outbox
from customers.models import Subscription
from metering.events import event_key
from metering.services import void_events
from tests import factories as make
from tests.billing.months import close, contradictions, use
from tests.billing.side_by_side import ROUNDS, at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]

NOV = date(2026, 11, 1)
OPENED = datetime(2026, 11, 1, 1, tzinfo=UTC)
USED = datetime(2026, 11, 20, tzinfo=UTC)
OVER = datetime(2026, 12, 1, 2, tzinfo=UTC)
NEXT = datetime(2027, 1, 1, 2, tzinfo=UTC)


class RolledBack(Exception):
    """What makes an issuer lose its transaction."""


@pytest.fixture
def plan() -> PlanVersion:
    """10 a month in advance, 1 a call."""
    calls = make.metric("calls")
    return make.published(make.flat("base", "10"), make.graduated(calls, "rest @ 1", key="calls"))


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    return opened(plan, "ada")


def opened(plan: PlanVersion, key: str) -> Subscription:
    """From November, its first fee billed, with 5 calls."""
    one = make.subscription(make.customer(key), plan, key=key, starts_on=NOV)
    close(OPENED)
    use(one, USED, id=f"{key}-on-time", calls=5)
    return one


def charged(what: str, one: Subscription | None = None) -> list[D]:
    found = InvoiceLine.objects.filter(kind=what).order_by("pk")
    if one:
        found = found.filter(subscription=one)
    return list(found.values_list("net", flat=True))


def closer(*subscriptions: Subscription, as_of: datetime = OVER) -> Callable[[], int]:
    ids = [one.pk for one in subscriptions]
    return lambda: close_subscriptions(subscription_ids=ids, as_of=as_of).periods


def test_of_sixteen_closers_of_one_period_one_wins(ada: Subscription) -> None:
    closed = at_once(*[closer(ada)] * 16)
    assert sorted(closed) == [0] * 15 + [1]
    assert charged("usage") == [D(5)]
    assert contradictions(OVER) == []


def test_the_command_waits_for_what_another_run_holds(plan: PlanVersion) -> None:
    bob = make.subscription(make.customer("bob"), plan, starts_on=date(2025, 1, 1))
    is_held, out = Event(), StringIO()

    def hold() -> None:
        with transaction.atomic():
            Subscription.objects.select_for_update().get(pk=bob.pk)
            is_held.set()
            time.sleep(0.5)
        connection.close()

    holder = Thread(target=hold)
    holder.start()
    is_held.wait()
    when = "2025-01-01T02:00:00Z"
    call_command("close_periods", "--as-of", when, stdout=out, stderr=StringIO())
    holder.join()
    assert "finished: 0 periods closed, 1 invoices drafted" in out.getvalue()


def test_sixteen_closers_of_a_hundred_periods_share_them(plan: PlanVersion) -> None:
    many = [
        make.subscription(make.customer(f"c{n}"), plan, key=f"c{n}", starts_on=NOV)
        for n in range(100)
    ]
    close(OPENED)
    orders = [Random(seed).sample(many, len(many)) for seed in range(16)]
    calls = [closer(*order[start : start + 10]) for order in orders for start in range(0, 100, 10)]
    closed = sum(sum(at_once(*calls[n::10])) for n in range(10))
    assert closed == 100
    assert PeriodCharge.objects.filter(purpose="regular", is_live=True).count() == 100
    assert contradictions(OVER) == []


def test_what_is_not_committed_when_the_period_closes_is_late_not_lost(ada: Subscription) -> None:
    """Neither in the snapshot nor received after it: only a difference finds it (F2, R31)."""
    written, closed = Event(), Event()

    def sender() -> None:
        with transaction.atomic():
            arrived = OVER - timedelta(minutes=50)
            use(ada, USED, id="in-between", received_at=arrived, calls=3)
            written.set()
            assert closed.wait(30)
        connection.close()

    thread = Thread(target=sender)
    thread.start()
    assert written.wait(30)
    assert closer(ada)() == 1
    closed.set()
    thread.join()
    issue_all(OVER)
    closer(ada, as_of=NEXT)()
    assert charged("usage") == [D(5), D(0)]
    assert charged("late") == [D(3)]


def test_usage_that_arrives_during_the_close_is_on_time_or_late_never_lost(
    plan: PlanVersion,
) -> None:
    for attempt in range(ROUNDS):
        one = opened(plan, f"used{attempt}")
        arrives = [
            partial(use, one, USED, id=f"{one.key}-{n}", received_at=OVER, calls=3)
            for n in range(2)
        ]
        at_once(*arrives, closer(one))
        settled(one)
        assert sum(charged("usage", one) + charged("late", one)) == 11, one
    assert contradictions(datetime(2027, 2, 1, 3, tzinfo=UTC)) == []


def test_a_void_during_the_close_is_billed_or_taken_back(plan: PlanVersion) -> None:
    for attempt in range(ROUNDS):
        one = opened(plan, f"void{attempt}")
        at_once(closer(one), partial(voided, f"{one.key}-on-time"))
        settled(one)
        assert sum(charged("usage", one) + charged("late", one)) == 0, one
    assert contradictions(datetime(2027, 2, 1, 3, tzinfo=UTC)) == []


def voided(event: str) -> None:
    keys = [UUID(bytes=event_key("test", event))]
    void_events(keys=keys, reason="A test.", at=OVER, actor=SYSTEM)


def settled(one: Subscription) -> None:
    """Issue what was drafted, and what the next two closes find late."""
    issue_all(OVER)
    for month in (1, 2):
        closer(one, as_of=datetime(2027, month, 1, 2, tzinfo=UTC))()
        issue_all(datetime(2027, month, 1, 3, tzinfo=UTC))


def test_late_usage_is_carried_once_whoever_finds_it(ada: Subscription) -> None:
    """By a close or by the daily job."""
    closer(ada)()
    issue_all(OVER)
    use(ada, USED, id="late", received_at=datetime(2026, 12, 5, tzinfo=UTC), calls=4)
    at_once(*[closer(ada, as_of=NEXT)] * 4, *[lambda: settle_late_usage(as_of=NEXT) and None] * 4)
    closer(ada, as_of=NEXT)()
    issue_all(NEXT)
    assert charged("late") == [D(4)]
    assert contradictions(NEXT) == []


def test_eight_issuers_leave_no_gap_whoever_rolls_back(plan: PlanVersion) -> None:
    """One in five of them loses its transaction after it had its numbers (R27)."""
    for n in range(80):
        make.subscription(make.customer(f"c{n}"), plan, key=f"c{n}", starts_on=NOV)
    close(OPENED)
    drafts = list(Invoice.objects.order_by("pk").values_list("pk", flat=True))
    chance = Random(5)

    def issuer(ids: list[int], losses: list[bool]) -> Callable[[], None]:
        def issue() -> None:
            for pk, is_lost in zip(ids, losses, strict=True):
                try:
                    with transaction.atomic():
                        issue_invoices(invoice_ids=[pk], as_of=OPENED, actor=SYSTEM)
                        if is_lost:
                            raise RolledBack
                except RolledBack:
                    pass

        return issue

    losses = [chance.random() < 0.2 for _ in drafts]
    assert any(losses)
    at_once(*[issuer(drafts[n::8], losses[n::8]) for n in range(8)])
    issued = Invoice.objects.filter(status="issued")
    assert issued.count() == losses.count(False)
    numbers = list(issued.order_by("sequence").values_list("sequence", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert DocumentSequence.objects.get().next_number == len(numbers) + 1
    assert Outbox.objects.filter(kind="invoice.render").count() == len(numbers)
    assert contradictions(OPENED) == []


def issue_all(as_of: datetime) -> None:
    left: Any = Invoice.objects.filter(status__in=["draft", "review"]).order_by("pk")
    ids = list(left.values_list("pk", flat=True))
    issue_invoices(invoice_ids=ids, as_of=as_of, actor=SYSTEM)
