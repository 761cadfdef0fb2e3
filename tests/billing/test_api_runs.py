"""Billing runs over the API: started, watched, and what failed tried again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any

import pytest
from celery import current_app
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing import tasks
from billing.deliveries import settle_rendered
from billing.documents import store_document
from billing.models import BillingPeriod, BillingRun, Invoice
from billing.services import issuing, runs
from config.base.audit import SYSTEM
from config.base.models import AuditEntry, Outbox
from customers.models import Customer, Issuer, Subscription
from tests import factories as make
from tests.billing.months import close
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/billing/runs"
after_commits = pytest.mark.django_db(transaction=True)  # what is nudged runs then
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to("2026-11-01T12:00:00Z", tick=False)


@pytest.fixture
def ada() -> Subscription:
    """10 a month in advance from 1 November, in UTC."""
    version = make.published(make.flat("base", "10"))
    return make.subscription(make.customer("ada"), version, key="ada-plan")


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    """Who runs the close."""
    return caller("billing:read", "billing:write", name="finance")


@pytest.fixture
def broken(ada: Subscription) -> Subscription:
    """Ada's subscription, while nobody says which of two issuers sells it."""
    Issuer.objects.create(name="A second one")
    return ada


@contextmanager
def lost_broker(*, silent: bool) -> Iterator[str]:
    """Give the address of a broker that takes no connection, or takes it and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {error["pointer"]: error["code"] for error in response.json()["errors"]}


@after_commits
class TestWithoutABroker:
    def test_it_is_done_before_the_answer(self, finance: APIClient, ada: Subscription) -> None:
        answer = finance.post(RUNS, {})
        assert answer.status_code == 202
        run = answer.json()
        invoice = Invoice.objects.get()
        assert run == {
            "id": str(BillingRun.objects.get().uuid),
            "status": "finished",
            "as_of": "2026-11-01T12:00:00Z",
            "customer": None,
            "started_by": "finance",
            "started_at": "2026-11-01T12:00:00Z",
            "finished_at": "2026-11-01T12:00:00Z",
            "progress": {"done": 1, "total": 1},
            "periods_closed": 0,
            "invoices_issued": 0,
            "invoices": [
                {
                    "id": str(invoice.uuid),
                    "status": "draft",
                    "subscription": "ada-plan",
                    "subscriptions": ["ada-plan"],
                    "purpose": "opening",
                }
            ],
            "invoices_url": f"http://testserver/api/v1/invoices?run={run['id']}",
            "failed": [],
        }
        assert finance.get(f"{RUNS}/{run['id']}").json() == run
        assert len(finance.get(run["invoices_url"]).json()["results"]) == 1

    def test_again_finds_nothing_more(self, finance: APIClient, ada: Subscription) -> None:
        finance.post(RUNS, {})
        again = finance.post(RUNS, {}).json()
        assert (again["status"], again["invoices"]) == ("finished", [])
        assert Invoice.objects.count() == 1

    def test_under_an_idempotency_key_the_answer_comes_first(
        self, finance: APIClient, ada: Subscription
    ) -> None:
        """The work begins once the answer is stored, so that it is done once, whoever asks again."""
        first = finance.post(RUNS, {}, headers={"Idempotency-Key": "november"})
        assert first.json()["status"] == "running"
        again = finance.post(RUNS, {}, headers={"Idempotency-Key": "november"})
        assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
        read = finance.get(f"{RUNS}/{first.json()['id']}").json()
        assert (read["status"], len(read["invoices"])) == ("finished", 1)
        assert BillingRun.objects.count() == 1

    def test_a_crash_is_on_record_and_the_next_run_goes_on(
        self, finance: APIClient, ada: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(runs, "issuable", lambda **_: 1 / 0)
            halted = finance.post(RUNS, {}).json()
        assert (halted["status"], halted["progress"]) == ("running", {"done": 1, "total": 1})
        assert "ZeroDivisionError" in BillingRun.objects.get().last_error
        tasks.sweep()
        assert finance.get(f"{RUNS}/{halted['id']}").json()["status"] == "finished"


class TestWhatIsAsked:
    @after_commits
    def test_as_of_and_one_customer(self, finance: APIClient, ada: Subscription) -> None:
        make.subscription(make.customer("bob"), ada.phases.get().plan_version)
        body = {"as_of": "2026-11-01T01:00:00+01:00", "customer": "ada"}
        run = finance.post(RUNS, body).json()
        assert (run["as_of"], run["customer"]) == ("2026-11-01T00:00:00Z", "ada")
        assert [one["subscription"] for one in run["invoices"]] == ["ada-plan"]

    @after_commits
    def test_the_moment_before_the_first_day(self, finance: APIClient, ada: Subscription) -> None:
        run = finance.post(RUNS, {"as_of": "2026-10-31T23:59:59Z"}).json()
        assert (run["status"], run["invoices"]) == ("finished", [])

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            pytest.param(
                {"as_of": "2026-11-01T12:00:01Z"}, {"/as_of": "in_the_future"}, id="a second ahead"
            ),
            pytest.param(
                {"as_of": "2999-12-31T23:59:59-12:00"}, {"/as_of": "in_the_future"}, id="far ahead"
            ),
            pytest.param({"as_of": "2026-11-01"}, {"/as_of": "invalid"}, id="a date"),
            pytest.param({"as_of": "2026-11-01T12:00:00"}, {"/as_of": "invalid"}, id="no offset"),
            pytest.param({"as_of": 1793534400}, {"/as_of": "invalid"}, id="a number"),
            pytest.param({"as_of": None}, {"/as_of": "null"}, id="null"),
            pytest.param({"customer": "ad"}, {"/customer": "unknown_customer"}, id="nobody"),
            pytest.param({"customer": ["ada"]}, {"/customer": "invalid"}, id="a list"),
            pytest.param({"customer": "a\u202eb"}, {"/customer": "invalid_key"}, id="a bidi key"),
            pytest.param({"customer": "x" * 256}, {"/customer": "invalid_key"}, id="a long key"),
            pytest.param(
                {"as_of": "x", "customer": 5, "status": "finished"},
                {"/as_of": "invalid", "/customer": "invalid", "/status": "unknown_field"},
                id="all at once",
            ),
        ],
    )
    def test_what_is_refused(
        self, finance: APIClient, ada: Subscription, body: dict[str, Any], expected: dict[str, str]
    ) -> None:
        assert faults(finance.post(RUNS, body)) == expected
        assert not BillingRun.objects.exists()

    @pytest.mark.parametrize(
        "raw",
        [b"[]", b'{"as_of": NaN}', b"[" * 5000, b'{"customer": "a", "customer": "b"}', b"\xff"],
    )
    def test_what_is_no_body(self, finance: APIClient, raw: bytes) -> None:
        answer = finance.generic("POST", RUNS, raw, content_type="application/json")  # type: ignore[arg-type]
        assert answer.status_code == 400


@after_commits
class TestWhatFailed:
    def test_it_says_why_in_a_sentence(self, finance: APIClient, broken: Subscription) -> None:
        run = finance.post(RUNS, {}).json()
        period = BillingPeriod.objects.get()
        assert run["status"] == "finished"
        [failed] = run["failed"]
        assert failed.pop("detail").startswith("Say who sells to Ada")
        assert failed == {
            "subscription": "ada-plan",
            "period": str(period.uuid),
            "code": "parked",
        }
        [listed] = finance.get("/api/v1/billing/runs").json()["results"]
        assert listed["id"] == run["id"]

    def test_once_mended_it_is_tried_again(self, finance: APIClient, broken: Subscription) -> None:
        [failed] = finance.post(RUNS, {}).json()["failed"]
        url = f"/api/v1/billing/periods/{failed['period']}/retry"
        Customer.objects.update(issuer=Issuer.objects.first())
        retried = finance.post(url)
        assert (retried.status_code, retried.json()["status"]) == (200, "open")
        assert AuditEntry.objects.filter(action="unparked", actor_name="finance").exists()
        assert len(finance.post(RUNS, {}).json()["invoices"]) == 1
        again = finance.post(url)
        assert (again.status_code, again.json()["code"]) == (409, "period_not_parked")

    def test_a_retry_takes_no_fields(self, finance: APIClient, broken: Subscription) -> None:
        [failed] = finance.post(RUNS, {}).json()["failed"]
        url = f"/api/v1/billing/periods/{failed['period']}/retry"
        assert faults(finance.post(url, {"force": True})) == {"/force": "unknown_field"}

    def test_one_invoice_that_cannot_be_issued_waits_and_the_others_go(
        self, finance: APIClient, broken: Subscription, time_machine: Any
    ) -> None:
        sold_by = Issuer.objects.first()
        Customer.objects.update(issuer=sold_by)
        make.subscription(make.customer("bob", issuer=sold_by), broken.phases.get().plan_version)
        finance.post(RUNS, {})
        Customer.objects.filter(key="ada").update(issuer=None)
        time_machine.move_to("2026-11-02T12:00:00Z", tick=False)
        run = finance.post(RUNS, {}).json()
        assert (run["status"], run["invoices_issued"]) == ("finished", 1)
        held = Invoice.objects.get(customer__key="ada")
        assert held.status == "review"
        assert "several issuers" in AuditEntry.objects.get(action="held for review").note


@after_commits
class TestWithABroker:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
        """Names and arguments of the tasks that a broker would take."""
        messages: list[tuple[str, Any]] = []

        def take(task: Any, args: Any = (), **_: Any) -> None:
            messages.append((task.name, args))

        monkeypatch.setitem(current_app.conf, "task_always_eager", False)
        monkeypatch.setattr("celery.app.task.Task.apply_async", take)
        return messages

    def test_a_worker_is_nudged_after_the_commit(
        self, finance: APIClient, ada: Subscription, sent: list[tuple[str, Any]]
    ) -> None:
        run = finance.post(RUNS, {}).json()
        assert (run["status"], run["invoices"]) == ("running", [])
        assert sent == [("billing.tasks.advance_run", (BillingRun.objects.get().pk,))]

    def test_what_is_rolled_back_nudges_nobody(
        self, ada: Subscription, sent: list[tuple[str, Any]]
    ) -> None:
        with transaction.atomic():
            tasks.nudge_run(1)
            tasks.nudge_outbox()
            transaction.set_rollback(True)
        assert sent == []

    @pytest.mark.parametrize("silent", [False, True], ids=["refuses", "says nothing"])
    def test_a_lost_broker_costs_a_second_and_the_sweep_does_the_rest(
        self,
        finance: APIClient,
        ada: Subscription,
        silent: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with lost_broker(silent=silent) as url, monkeypatch.context() as patched:
            patched.setitem(current_app.conf, "task_always_eager", False)
            lost = partial(current_app.connection_for_write, url)
            patched.setattr("celery.app.base.Celery.connection_for_write", lost)
            began = perf_counter()
            run = finance.post(RUNS, {}).json()
            assert perf_counter() - began < 2
        assert run["status"] == "running"
        tasks.sweep()
        assert finance.get(f"{RUNS}/{run['id']}").json()["status"] == "finished"


class TestSweep:
    def test_it_starts_a_run_only_if_anything_is_due(self, ada: Subscription) -> None:
        tasks.sweep()
        tasks.sweep()
        run = BillingRun.objects.get()
        assert (run.status, run.started_by, run.invoices.count()) == ("finished", "plainbill", 1)

    def test_a_subscription_that_only_begins_gets_no_run(self, time_machine: Any) -> None:
        arrears = make.published(make.flat("base", "10", timing="arrears"))
        ada = make.subscription(make.customer("ada"), arrears, starts_on=date(2026, 11, 2))
        time_machine.move_to(datetime(2026, 11, 1, 20, tzinfo=UTC), tick=False)  # today, in Samoa
        tasks.sweep()
        tasks.sweep()
        assert not BillingRun.objects.exists()
        assert ada.billing_periods.get().start_date == date(2026, 11, 2)
        time_machine.move_to(datetime(2026, 12, 2, 12, tzinfo=UTC), tick=False)
        tasks.sweep()
        assert BillingRun.objects.get().periods_closed == 1

    def test_one_that_can_not_begin_is_held_back_by_a_run_and_the_others_begin(
        self, ada: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.services.closing._begin", lambda *chunk, **rest: 1 / 0)
        tasks.sweep()
        period = ada.billing_periods.get()
        assert (period.status, period.trouble.splitlines()[0]) == ("parked", "division by zero")

    def test_what_has_its_document_already_waits_no_longer_to_be_rendered(
        self, ada: Subscription
    ) -> None:
        """A worker was killed after it had claimed the message; the customer downloaded the PDF."""
        tasks.sweep()
        invoice = Invoice.objects.get()
        issuing.issue_invoices(invoice_ids=[invoice.pk], as_of=invoice.created_at, actor=SYSTEM)
        waiting = Outbox.objects.filter(kind="invoice.render")
        waiting.update(attempts=1, due_at=invoice.created_at + timedelta(days=1))
        tasks.sweep()
        assert waiting.get().status == "pending"
        store_document(invoice.pk)
        with CaptureQueriesContext(connection) as queries:
            settle_rendered(at=invoice.created_at)
        assert (waiting.get().status, len(queries)) == ("done", 1)

    def test_a_run_that_halts_for_hours_is_given_up_and_does_not_hold_up_the_others(
        self, ada: Subscription, time_machine: Any
    ) -> None:
        moment = datetime(2026, 11, 1, 1, tzinfo=UTC)
        stuck = runs.start_run(as_of=moment, now=moment, actor=SYSTEM)
        tasks.sweep()
        stuck.refresh_from_db()
        assert stuck.status == "failed"
        assert Invoice.objects.count() == 1

    def test_one_customers_run_does_not_hold_up_the_others(self, ada: Subscription) -> None:
        now = datetime(2026, 11, 1, 12, tzinfo=UTC)
        bob = make.customer("bob")
        runs.start_run(as_of=now, now=now, actor=SYSTEM, customer=bob)
        tasks.sweep()
        assert set(BillingRun.objects.values_list("status", flat=True)) == {"finished"}
        assert Invoice.objects.count() == 1

    def test_a_late_message_of_a_finished_run_does_nothing(self, ada: Subscription) -> None:
        close(datetime(2026, 11, 1, tzinfo=UTC))
        run = BillingRun.objects.get()
        make.subscription(make.customer("bob"), ada.phases.get().plan_version)
        ids = list(Subscription.objects.values_list("pk", flat=True))
        tasks.advance_run(run.pk)
        tasks.close_chunk(run.pk, ids)
        assert Invoice.objects.count() == 1

    def test_the_schedule_knows_it(self) -> None:
        assert current_app.conf.beat_schedule["sweep"] == {
            "task": "billing.tasks.sweep",
            "schedule": 300,
        }


class TestWhoMay:
    def test_reading_takes_the_read_scope(self, caller: Caller, ada: Subscription) -> None:
        close(datetime(2026, 11, 1, tzinfo=UTC))
        url = f"{RUNS}/{BillingRun.objects.get().uuid}"
        for path in (RUNS, url):
            assert caller("billing:read").get(path).status_code == 200
            assert caller("billing:write", "customers:read").get(path).status_code == 403
            assert APIClient().get(path).status_code == 401

    def test_starting_and_retrying_take_the_write_scope(
        self, caller: Caller, broken: Subscription
    ) -> None:
        close(datetime(2026, 11, 1, tzinfo=UTC))
        retry = f"/api/v1/billing/periods/{BillingPeriod.objects.get().uuid}/retry"
        for path in (RUNS, retry):
            assert caller("billing:read", "customers:write").post(path, {}).status_code == 403
            assert APIClient().post(path, {}).status_code == 401
        assert BillingRun.objects.count() == 1
        assert BillingPeriod.objects.get().status == "parked"

    def test_what_is_not_there(self, finance: APIClient, ada: Subscription) -> None:
        close(datetime(2026, 11, 1, tzinfo=UTC))
        run, period = BillingRun.objects.get(), BillingPeriod.objects.get()
        for name in (NOBODY, str(run.pk), str(period.uuid), "-" * 36, "x"):
            assert finance.get(f"{RUNS}/{name}").status_code == 404, name
        for name in (NOBODY, str(period.pk), str(run.uuid), "x"):
            url = f"/api/v1/billing/periods/{name}/retry"
            assert finance.post(url, {}).status_code == 404, name

    @pytest.mark.parametrize("method", ["put", "patch", "delete"])
    def test_history_is_not_rewritten(self, finance: APIClient, method: str) -> None:
        assert getattr(finance, method)(RUNS).status_code == 405


class TestLists:
    @after_commits
    def test_the_newest_first_and_by_customer(self, finance: APIClient, ada: Subscription) -> None:
        for body in ({}, {"customer": "ada"}):
            finance.post(RUNS, body)
        listed = finance.get(RUNS).json()["results"]
        assert [run["customer"] for run in listed] == ["ada", None]
        assert "invoices" not in listed[0]
        assert len(finance.get(RUNS, {"customer": "ada"}).json()["results"]) == 1
        assert len(finance.get(RUNS, {"status": "running"}).json()["results"]) == 0
        assert finance.get(RUNS, {"status": "done"}).status_code == 400
        assert finance.get(RUNS, {"custoner": "ada"}).status_code == 400

    @after_commits
    @pytest.mark.parametrize("customers", [3, 30])
    def test_a_run_costs_the_same_queries_whatever_it_did(
        self,
        finance: APIClient,
        customers: int,
        ada: Subscription,
        django_assert_num_queries: Any,
    ) -> None:
        for number in range(customers):
            make.subscription(make.customer(f"c{number}"), ada.phases.get().plan_version)
        run = finance.post(RUNS, {}).json()
        assert len(run["invoices"]) == customers + 1
        with django_assert_num_queries(9):
            finance.get(f"{RUNS}/{run['id']}")
        with django_assert_num_queries(2):
            finance.get(RUNS)
