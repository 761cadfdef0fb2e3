"""Readiness, the expected total and decisions over many drafts, over the API."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine

from billing import tasks
from billing.models import Invoice, InvoiceBatch
from billing.services import estimating
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
READINESS, EXPECTED = "/api/v1/billing/readiness", "/api/v1/billing/expected"
BATCHES = "/api/v1/billing/batches"


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ada() -> Subscription:
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls")
    plan = make.published(make.flat("base", "10"), calls, plan=make.plan("scale", name="Scale"))
    one = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 11, 1))
    use(one, datetime(2026, 11, 5, tzinfo=UTC), calls=42)
    close(datetime(2026, 11, 3, tzinfo=UTC))
    return one


def test_readiness_counts(ada: Subscription, caller: Caller) -> None:
    found = caller("billing:read").get(READINESS).json()
    assert found == {
        "month": "2026-11-01",
        "to_close": 1,
        "too_early": 0,
        "closable_at": None,
        "quarantined": 0,
        "quarantined_of_nobody": 0,
        "parked": 0,
        "late_usage": [],
        "unfinished_issuers": ["Your company"],
        "buyers_without_country": 0,
        "estimated_at": None,
        "would_be_parked": None,
        "unusual_usage": None,
        "missing_usage": None,
        "silent_sources": [],
    }


def test_the_expected_total(ada: Subscription, caller: Caller) -> None:
    client = caller("billing:read")
    missing = client.get(EXPECTED)
    assert (missing.status_code, missing.json()["code"]) == (409, "not_estimated")
    made = estimating.start_estimate(month=date(2026, 11, 1), customer=None, at=NOW, actor=SYSTEM)
    estimating.take_step(estimate_id=made.pk, now=NOW)
    found = client.get(EXPECTED, {"month": "2026-11-30"}).json()
    euros = {
        "currency": "EUR",
        "invoices": 1,
        "first_invoices": 1,
        "last": "0.00",
        "expected": "52.00",
        "difference": "52.00",
    }
    assert found["status"] == "finished"
    assert found["currencies"] == [euros]
    assert found["plans"] == [{"plan": "Scale", **euros}]
    assert client.get(READINESS).json()["would_be_parked"] == 0


def test_a_wrong_question_is_refused(caller: Caller) -> None:
    for query in ({"month": "November"}, {"customer": "nobody"}, {"year": "2026"}):
        assert caller("billing:read").get(READINESS, query).status_code == 400


def test_many_are_issued_by_ids(ada: Subscription, caller: Caller) -> None:
    close(NOW)
    drafts = [str(one.uuid) for one in Invoice.objects.filter(status="draft")]
    client = caller("billing:write", "billing:read")
    answer = client.post(BATCHES, {"action": "issue", "invoices": drafts}, format="json")
    assert answer.status_code == 202, answer.json()
    made = answer.json()
    tasks.advance_batch(InvoiceBatch.objects.get().pk)
    read = client.get(f"{BATCHES}/{made['id']}").json()
    assert (read["status"], read["total"], read["done"], read["refused"]) == ("finished", 1, 1, [])
    assert not Invoice.objects.filter(status="draft").exists()
    again = client.post(BATCHES, {"action": "issue", "invoices": drafts}, format="json").json()
    tasks.advance_batch(InvoiceBatch.objects.latest("pk").pk)
    [left] = client.get(f"{BATCHES}/{again['id']}").json()["refused"]
    assert left["invoice"] == drafts[0]
    assert "issued already" in left["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "burn"}, "/action"),
        ({"invoices": []}, "/invoices"),
        ({"invoices": ["0b7c9f7e-8d0e-4f4b-9f3a-5b1f6f0f7a11"]}, "/invoices/0"),
        ({"action": "discard"}, "/reason"),
    ],
)
def test_a_wrong_decision_names_the_field(
    body: dict[str, Any], pointer: str, ada: Subscription, caller: Caller
) -> None:
    close(NOW)
    ids = [str(one.uuid) for one in Invoice.objects.filter(status="draft")]
    given = {"action": "issue", "invoices": ids, **body}
    answer = caller("billing:write").post(BATCHES, given, format="json")
    assert answer.status_code == 400
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert not InvoiceBatch.objects.exists()


def test_who_may_not_write_decides_nothing(ada: Subscription, caller: Caller) -> None:
    answer = caller("billing:read").post(BATCHES, {}, format="json")
    assert answer.status_code == 403
    assert caller("customers:read").get(READINESS).status_code == 403
