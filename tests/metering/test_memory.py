"""What a process remembers between batches is never wrong: every change shows in the next batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from catalog.models import ValueMetric
from customers.models import Customer, Subscription
from metering.models import QuarantinedEvent, UsageEvent
from metering.services import memory
from tests import factories as make
from tests.metering.usage import body, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def remembered(transactional_db: None) -> Iterator[None]:
    """acme and the metric calls are remembered from a batch before."""
    make.subscription(make.customer("acme"), key="first")
    make.metric("calls")
    assert send(body(), body(subscription="first")).accepted == 2
    assert memory.recall() is not None
    yield
    memory._memory = None


def priced_by(key: str) -> Subscription:
    """Subscribe acme to a plan that prices calls."""
    version = make.published(make.graduated(ValueMetric.objects.get(key="calls"), "rest @ 1"))
    acme = Customer.objects.get(key="acme")
    return make.subscription(acme, version, key=key, starts_on=date(2026, 11, 1))


def delete(key: str) -> None:
    Customer.objects.get(key=key).delete()


CHANGES: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "a customer made a moment ago counts": (
        lambda: make.customer("globex"), {"subject": "globex"}, "accepted",
    ),
    "so does a subscription": (
        lambda: make.subscription(Customer.objects.get(key="acme"), key="second"),
        {"subscription": "second"}, "accepted",
    ),
    "a new metric counts a new type": (
        lambda: make.metric("other", event_type="other", aggregation="count"),
        {"type": "other"}, "accepted",
    ),
    "a new metric of a known type asks for its value": (
        lambda: make.metric("tokens", value_property="tokens"), {}, "missing_value",
    ),
    "a changed metric asks for what it counts now": (
        lambda: ValueMetric.objects.update(value_property="tokens"), {}, "missing_value",
    ),
    "a retired metric counts no more": (
        lambda: ValueMetric.objects.update(status="retired"), {}, "unknown_type",
    ),
    "a second subscription that prices the metric makes it ambiguous": (
        lambda: (priced_by("second"), priced_by("third")), {}, "ambiguous_subscription",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_in_the_next_batch(change: str) -> None:
    make_change, attributes, expected = CHANGES[change]
    make_change()
    report = send(body(**attributes))
    assert (report.problems[0].code if report.problems else "accepted") == expected


def test_a_deleted_customer_is_unknown_and_crashes_no_batch() -> None:
    make.customer("globex")
    send(body(subject="globex", data={}))
    delete("globex")
    report = send(body(subject="globex"), body())
    assert (report.accepted, report.problems[0].code) == (1, "unknown_customer")


def test_what_a_transaction_rolls_back_is_not_remembered() -> None:
    def in_vain() -> None:
        with transaction.atomic():
            make.customer("globex")
            assert send(body(subject="globex")).accepted == 1
            raise IntegrityError

    with pytest.raises(IntegrityError):
        in_vain()
    assert send(body(subject="globex")).problems[0].code == "unknown_customer"


def test_a_batch_of_the_known_asks_a_constant_number_of_queries() -> None:
    def queries(count: int) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert send(*(body() for _ in range(count))).accepted == count
        return [query["sql"].split()[0] for query in asked.captured_queries]

    queries(30)
    assert len(queries(30)) == len(queries(300))
    assert not any("catalog_valuemetric" in sql or "SELECT key" in sql for sql in queries(5))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.postgresql
def test_a_customer_deleted_while_an_event_is_on_its_way_is_kept() -> None:
    """Whoever deletes waits for the event, and then may not."""
    make.customer("globex")
    refusals: list[str] = []

    def deleter() -> None:
        try:
            Customer.objects.filter(key="globex")._raw_delete("default")
        except IntegrityError as refusal:
            refusals.append(str(refusal))
        finally:
            connections.close_all()

    thread = threading.Thread(target=deleter)
    with transaction.atomic():
        assert send(body(subject="globex")).accepted == 1
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join()
    assert "customer_with_events_is_kept" in refusals[0]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.postgresql
def test_an_event_that_comes_while_its_customer_is_deleted_goes_to_quarantine() -> None:
    """It waits for the deletion, though the process remembers the customer."""
    make.customer("globex")
    assert send(body(subject="globex", data={})).problems[0].code == "missing_value"

    def sender() -> None:
        try:
            send(body(subject="globex"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=sender)
    with transaction.atomic():
        delete("globex")
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join()
    assert UsageEvent.objects.count() == 2
    assert QuarantinedEvent.objects.latest("pk").code == "unknown_customer"
