"""A real worker on a real broker: a run closed by it, and by the one after it was killed.

The worker works on the database of the tests, so PostgreSQL only, and takes its tasks from a Redis
database of its own, which is flushed first.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.models import Sum
from rest_framework.test import APIClient

from billing import tasks
from billing.documents import document_path
from billing.models import BillingPeriod, Invoice, InvoiceDocument, InvoiceLine, PeriodCharge
from config.base.models import Outbox
from config.base.tasks import nudge
from tests import factories as make
from tests.billing.months import use
from tests.conftest import Caller

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]
RUNS = "/api/v1/billing/runs"
AS_OF = "2026-03-02T03:00:00Z"  # when the drafts over February may be issued
CUSTOMERS = 6
PATIENCE = 180  # seconds; machines may be loaded


@pytest.fixture
def broker() -> Iterator[str]:
    """Give the address of an empty Redis database of this process's own."""
    given = os.environ.get("TEST_BROKER_URL")
    if not given:
        _missing("a real worker needs Redis: set TEST_BROKER_URL")
    if connection.vendor != "postgresql":
        _missing("a worker beside the tests needs PostgreSQL: set TEST_DATABASE_URL")
    place = 15 - int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = urlsplit(str(given))._replace(path=f"/{place}").geturl()
    client = redis.Redis.from_url(url)
    client.flushdb()
    yield url
    client.flushdb()
    client.close()


def _missing(reason: str) -> None:
    """Skip; where everything is promised to be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def worker(broker: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker with one child on the tests' database and files."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": _database_url(),
        "CELERY_BROKER_URL": broker,
        "DATA_DIR": str(settings.DATA_DIR),
    }
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-c", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--loglevel=INFO", "--without-gossip", "--without-mingle"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(lambda: b" ready." in log.read_bytes(), log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def through_broker(
    worker: subprocess.Popen[bytes], broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let this process nudge that worker, instead of doing the work itself."""
    monkeypatch.setenv("CELERY_BROKER_URL", broker)  # Celery reads it before any setting
    monkeypatch.setitem(current_app.conf, "task_always_eager", False)


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    return caller("billing:read", "billing:write", name="finance")


@pytest.fixture
def customers() -> None:
    """Subscriptions since January, each with another usage in February."""
    version = make.published(
        make.flat("base", "10"), make.graduated(make.metric("calls"), "rest @ 1", key="calls")
    )
    for number in range(CUSTOMERS):
        buyer = make.customer(f"c{number}")
        subscription = make.subscription(
            buyer, version, key=f"s{number}", starts_on=date(2026, 1, 1)
        )
        use(subscription, datetime(2026, 2, 5, tzinfo=UTC), calls=number)


def test_a_worker_closes_issues_and_prints(
    customers: None, through_broker: None, finance: APIClient
) -> None:
    started = finance.post(RUNS, {"as_of": AS_OF})
    assert (started.status_code, started.json()["status"]) == (202, "running")
    _closed_once(finance, started.json()["id"])
    _printed_once(finance)


@pytest.mark.parametrize(
    "forgets", [False, True], ids=["its message is kept", "the broker forgets all"]
)
def test_a_killed_child_loses_and_doubles_nothing(
    forgets: bool,
    customers: None,
    broker: str,
    through_broker: None,
    finance: APIClient,
    worker: subprocess.Popen[bytes],
) -> None:
    with psycopg.connect(_database_url()) as other:
        other.execute("LOCK TABLE billing_invoiceline IN SHARE MODE")  # nobody writes a line now
        run = finance.post(RUNS, {"as_of": AS_OF}).json()["id"]
        _wait(lambda: _waits_for(other.info.backend_pid))
        [child] = _children(worker.pid)
        os.kill(child, signal.SIGKILL)
        _wait(lambda: child not in _children(worker.pid))
        if forgets:
            with redis.Redis.from_url(broker) as client:
                client.flushdb()
    assert worker.poll() is None
    deadline = time.monotonic() + PATIENCE
    while _run(finance, run)["status"] == "running" and time.monotonic() < deadline:
        nudge(tasks.sweep)  # not on the pool, which may know another broker
        time.sleep(1)
    _closed_once(finance, run)
    _printed_once(finance)


def _closed_once(finance: APIClient, run_id: str) -> None:
    """Wait for the run; every period is closed, billed once, and numbered without a gap."""
    _wait(lambda: _run(finance, run_id)["status"] != "running")
    run = _run(finance, run_id)
    assert (run["status"], run["failed"]) == ("finished", [])
    assert run["progress"] == {"done": CUSTOMERS, "total": CUSTOMERS}
    assert run["periods_closed"] == 2 * CUSTOMERS
    assert len(run["invoices"]) == 3 * CUSTOMERS  # the first fee, January and February
    assert PeriodCharge.objects.filter(is_live=True).count() == 3 * CUSTOMERS
    assert BillingPeriod.objects.filter(status="open").count() == CUSTOMERS
    assert run["invoices_issued"] == 3 * CUSTOMERS
    numbers = Invoice.objects.filter(status="issued").order_by("sequence")
    assert list(numbers.values_list("sequence", flat=True)) == list(range(1, 3 * CUSTOMERS + 1))
    used = InvoiceLine.objects.filter(kind="usage").aggregate(Sum("net"))["net__sum"]
    assert used == sum(range(CUSTOMERS))


def _printed_once(finance: APIClient) -> None:
    """Wait for the documents; each has the bytes that its row promises, over the API as well."""
    _wait(lambda: InvoiceDocument.objects.count() == 3 * CUSTOMERS)
    for document in InvoiceDocument.objects.all():
        kept = document_path(document.sha256).read_bytes()
        assert hashlib.sha256(kept).hexdigest() == document.sha256
        assert len(kept) == document.size_bytes
    last = InvoiceDocument.objects.select_related("invoice").latest("pk")
    answer = finance.get(f"/api/v1/invoices/{last.invoice.uuid}/pdf")
    assert answer["ETag"] == f'"{last.sha256}"'
    assert not Outbox.objects.exclude(status="done").exists()


def _run(finance: APIClient, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = finance.get(f"{RUNS}/{run_id}").json()
    return run


def _wait(happened: Callable[[], bool], log: Path | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE} s\n{log.read_text()[-2000:] if log else ''}")
        time.sleep(0.1)


def _waits_for(backend: int) -> bool:
    """Say whether some connection waits for a lock of this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [backend]
        )
        return cursor.fetchone() is not None


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _database_url() -> str:
    """Return the address of the tests' database."""
    given: dict[str, Any] = connection.settings_dict
    password = f":{quote(given['PASSWORD'])}" if given["PASSWORD"] else ""
    place = f"{given['HOST']}:{given['PORT']}" if given["PORT"] else given["HOST"]
    return f"postgres://{quote(given['USER'])}{password}@{place}/{given['NAME']}"
