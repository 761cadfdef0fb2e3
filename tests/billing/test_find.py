"""The admin's search: what is meant exactly opens, the rest is listed by kind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine

from billing.models import Invoice
from customers.models import Contact, Customer
from metering.models import QuarantinedEvent, UsageEvent
from tests import factories as make
from tests.billing.months import close, use
from tests.metering.usage import body, send
from tests.staff import anna, dora, nora, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 2, tzinfo=UTC)
FIND = "/admin/find/"


@pytest.fixture(autouse=True)
def ada() -> Customer:
    """Ada Works with a subscription, INV-2026-000001, an event and one in quarantine."""
    with time_machine.travel(NOW, tick=False):
        buyer = make.customer(
            "ada",
            name="Ada Works",
            legal_name="Ada Holding SE",
            vat_id="DE999000009",
            email="pay@ada.io",
        )
        Contact.objects.create(customer=buyer, email="grace@elsewhere.io")
        plan = make.plan("scale", name="Scale Plan")
        version = make.published(make.flat(), plan=plan)
        subscription = make.subscription(
            buyer, version, key="ada-scale", starts_on=date(2026, 11, 1)
        )
        make.metric("api_calls", name="API calls")
        use(subscription, NOW, calls=1)
        send(body(id="lost", subject="nobody"))
        close(NOW)
    return buyer


def hits(client: Any, query: str) -> list[str]:
    """Return what is listed, kind by kind: "Customers: Ada Works"."""
    groups = client.get(FIND, {"q": query, "part": "1"}).context["groups"]
    return [f"{group.title}: {hit.name}" for group in groups for hit in group.hits]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("works", ["Customers: Ada Works"], id="a customer's name"),
        pytest.param("holding", ["Customers: Ada Works"], id="its registered name"),
        pytest.param("de999", ["Customers: Ada Works"], id="its VAT ID"),
        pytest.param("pay@ada", ["Customers: Ada Works"], id="its e-mail"),
        pytest.param("GRACE@", ["Customers: Ada Works"], id="a contact's e-mail"),
        pytest.param("ada", ["Customers: Ada Works", "Subscriptions: ada-scale"], id="keys"),
        pytest.param("Scale Pl", ["Plans: Scale Plan"], id="a plan's name"),
        pytest.param("api c", ["Metrics: API calls"], id="a metric's name"),
        pytest.param("inv-2026-000001", ["Invoices: INV-2026-000001"], id="an invoice's number"),
        pytest.param("INV-2026-1", ["Invoices: INV-2026-000001"], id="without zeros"),
        pytest.param("2026-000001", ["Invoices: INV-2026-000001"], id="its end"),
        pytest.param("000001", ["Invoices: INV-2026-000001"], id="its last part"),
        pytest.param("1", ["Invoices: INV-2026-000001"], id="its last part without zeros"),
        pytest.param("INV-2025-000001", [], id="another year"),
        pytest.param("CN-2026-000001", [], id="another series"),
        pytest.param("99999999999999999999", [], id="a number that no invoice has"),
        pytest.param("%", [], id="no wildcard"),
        pytest.param("a\0da wor", ["Customers: Ada Works"], id="with a NUL"),
        pytest.param("  ada   works ", ["Customers: Ada Works"], id="with spaces"),
        pytest.param("nobody there", [], id="nothing"),
    ],
)
def test_find(query: str, found: list[str]) -> None:
    assert hits(nora(), query) == found


def test_an_event_is_found_by_its_id() -> None:
    event, lost = UsageEvent.objects.get(), QuarantinedEvent.objects.get()
    client = anna()
    assert hits(client, str(event.key)) == [f"Events: {event}"]
    assert hits(client, event.key.hex) == [f"Events: {event}"]
    assert hits(client, str(lost.key)) == [f"Quarantine: {lost}"]


@pytest.mark.parametrize("query", ["INV-2026-000001", "inv-2026-000001"])
def test_enter_on_an_exact_number_opens_the_invoice(query: str) -> None:
    response = sam().get(FIND, {"q": query})
    assert response.headers["Location"] == page(
        "billing_invoice", "change", Invoice.objects.get().pk
    )


def test_enter_on_an_exact_key_opens_the_customer(ada: Customer) -> None:
    response = sam().get(FIND, {"q": "ada"})
    assert response.headers["Location"] == page("customers_customer", "change", ada.pk)


def test_what_is_not_exact_is_listed() -> None:
    client = sam()
    assert "Customers Ada Works ada · EUR" in said(client.get(FIND, {"q": "works"}))
    assert "Nothing is called “nobody”." in said(client.get(FIND, {"q": "nobody"}))
    assert "Find a customer by name" in said(client.get(FIND))


def test_many_hits_lead_to_the_list() -> None:
    for number in range(10):
        make.customer(f"works-{number}")
    client = sam()
    [group] = client.get(FIND, {"q": "works"}).context["groups"]
    assert len(group.hits) == 6
    assert group.all_url == "/admin/customers/customer/?q=works"
    assert client.get(group.all_url).context["cl"].result_count == 11


def test_everybody_finds_only_what_they_may_see() -> None:
    client = dora()
    assert hits(client, "1") == []
    assert hits(client, "works") == ["Customers: Ada Works"]
    assert hits(stranger(), "ada") == []


def test_a_search_takes_as_many_queries_for_many_as_for_one() -> None:
    client = nora()
    client.get(FIND, {"q": "works", "part": "1"})
    few = queries(lambda: client.get(FIND, {"q": "works", "part": "1"}))
    for number in range(30):
        make.customer(f"works-{number}")
    assert queries(lambda: client.get(FIND, {"q": "works", "part": "1"})) == few
    assert few <= 12
