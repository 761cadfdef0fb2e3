"""Every periodic job: named on the operators' page with its command, and safe beside itself."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal as D
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.core.management import get_commands
from django.db import connection
from django.test import Client
from django.utils.module_loading import import_string

from billing.models import (
    BatchAction,
    CloseEstimate,
    EstimatedBill,
    Invoice,
    InvoiceBatch,
    InvoiceLine,
    Look,
    PeriodCharge,
)
from billing.services import batches, reviewing
from config.base.audit import SYSTEM
from config.celery import app
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, contradictions, use

JOBS: dict[str, Any] = app.conf.beat_schedule
EVERY = {60: "minute", 300: "5 minutes", 3600: "hour", 86_400: "day"}
NOW = datetime(2026, 12, 2, 9, tzinfo=UTC)
BEFORE = datetime(2026, 9, 1, tzinfo=UTC)
"""So early that nothing is overdue yet: the other jobs' work is not done in these tests."""


def told() -> dict[str, tuple[str, str]]:
    """Return how often the page says each job runs, and by which command."""
    page = Client().get("/docs/operators/").content.decode()
    table = page.partition("What the beat asks for")[2].partition("</table>")[0]
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]:
        name, every, command = re.findall(r"<t[hd][^>]*>\s*(?:<code>)?([\w ]+)", row)[:3]
        found[name] = (every.strip(), command)
    return found


def test_the_operators_page_lists_every_job_how_often_and_its_command() -> None:
    page = told()
    assert {name: EVERY[job["schedule"]] for name, job in JOBS.items()} == {
        name: every for name, (every, _) in page.items()
    }
    assert {command for _, command in page.values()} <= set(get_commands())


@pytest.mark.parametrize("name", JOBS)
def test_every_job_is_a_task(name: str) -> None:
    assert import_string(JOBS[name]["task"]).name == JOBS[name]["task"]


def company() -> None:
    """Leave something to do for every job: periods to close, late usage, drafts, an estimate, a batch."""
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(1))
    plan = make.published(make.flat("base", "10"), calls)
    for n in range(4):
        buyer = make.customer(f"c{n}", manual_approval=n == 3)
        one = make.subscription(buyer, plan, key=f"s{n}", starts_on=date(2026, 9, 1))
        for month in (9, 10, 11):
            use(one, datetime(2026, month, 5, tzinfo=UTC), calls=20 * n + 5)
    for month in (10, 11):
        close(datetime(2026, month, 3, tzinfo=UTC))
    late = Subscription.objects.get(key="s0")
    use(late, datetime(2026, 10, 6, tzinfo=UTC), received_at=NOW, calls=7)
    batches.start_batch(
        invoices=reviewing.open_drafts(), action=BatchAction.ISSUE, reason="", at=NOW, actor=SYSTEM
    )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_beside_itself_does_its_work_once(name: str) -> None:
    """Two at the same moment and one after them: billed once, kept once, and the audit is clean."""
    with time_machine.travel(NOW, tick=True):
        company()
        task = import_string(JOBS[name]["task"])
        start = Barrier(2)

        def run(_: int) -> None:
            try:
                start.wait()
                task()
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, range(2)))
        after = counts()
        task()
        if name != "estimate_close":  # which makes its estimate anew, of as many bills
            assert counts() == after
        assert CloseEstimate.objects.count() <= 1
        assert EstimatedBill.objects.count() <= 4
        charged = PeriodCharge.objects.filter(is_live=True)
        places = list(charged.values_list("subscription", "period", "purpose", "cause"))
        assert len(places) == len(set(places))
        assert contradictions(BEFORE) == []


def counts() -> tuple[int, ...]:
    return tuple(
        model._default_manager.count()
        for model in (Invoice, InvoiceLine, PeriodCharge, Look, CloseEstimate, InvoiceBatch)
    )
