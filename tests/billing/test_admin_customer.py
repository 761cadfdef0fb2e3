"""A customer's page and a subscription's: what somebody on the phone wants to know, at one place."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from config.base.models import AuditEntry
from customers.models import Contact, Customer, SignInLink, Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.metering.usage import body, send
from tests.staff import anna, dora, nora, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def ada() -> Any:
    """Ada uses 142 of 100 calls included and pays 1 for each above; an event of hers is lost."""
    with time_machine.travel(NOW, tick=False):
        buyer = make.customer("ada", name="Ada Works", vat_id="DE136695976", payment_terms_days=14)
        Contact.objects.create(customer=buyer, name="Grace", email="grace@ada.io")
        calls = make.metric("calls")
        version = make.published(
            make.flat("base", "10"),
            make.graduated(calls, "rest @ 1", key="calls", included_quantity=Decimal(100)),
        )
        subscription = make.subscription(buyer, version, key="ada-scale")
        use(subscription, datetime(2026, 11, 5, tzinfo=UTC), calls=142)
        close(NOW)
        send(body(id="lost", subject="ada", type="api.call", data={"calls": "many"}))
        yield buyer


def opened(client: Client, customer: Customer) -> str:
    return said(client.get(page("customers_customer", "change", customer.pk)))


def test_one_page_answers_the_phone(ada: Customer) -> None:
    words = opened(sam(), ada)
    for answer in (
        "Key ada Pays in EUR, 14 days to pay",
        "DE136695976",
        "Grace grace@ada.io Gets invoices",
        "ada-scale",
        "Active renews 1 Dec 2026",
        "ada-scale 1–30 Nov 2026",
        "Calls 142 of 100 42 over",
        "INV-2026-000001",
        "Events that don’t count yet Value is no quantity: 1 for ada",
    ):
        assert answer in words, answer


def test_what_waits_leads_to_exactly_those_events(ada: Customer) -> None:
    client = anna()
    send(body(id="other", subject="nobody", data={"calls": "many"}))
    panels = client.get(page("customers_customer", "change", ada.pk)).context["panels"]
    [row] = next(panel for panel in panels if "count yet" in panel.title).context["rows"]
    assert [one.event_id for one in client.get(row["url"]).context["cl"].result_list] == ["lost"]


def test_a_page_without_anything_says_what_to_do() -> None:
    words = opened(anna(), make.customer("new"))
    assert "Nobody may read their usage and invoices in the portal yet. Add a contact" in words
    assert "Not subscribed to anything yet. Subscribe to a plan" in words
    assert "No period is running." in words
    assert "No invoice yet." in words
    assert "Events that don’t count yet" not in words


def test_each_role_reads_what_it_may(ada: Customer) -> None:
    words = opened(dora(), ada)
    assert "ada-scale" in words
    assert "Invoices No" not in words
    assert "INV-2026" not in words
    assert "grace@" not in words
    assert stranger().get(page("customers_customer", "change", ada.pk)).status_code == 403


def test_the_form_is_folded_away_until_it_has_an_error(ada: Customer) -> None:
    client = anna()
    address = page("customers_customer", "change", ada.pk)
    assert '<details class="pb-edit" >' in client.get(address).content.decode()
    wrong = client.post(address, {"name": ""}).content.decode()
    assert '<details class="pb-edit" open>' in wrong


@pytest.mark.parametrize(
    ("fields", "said_next"),
    [
        ({"starts_on": date(2026, 12, 1)}, "Starts later starts 1 Dec 2026"),
        ({"ends_on": date(2026, 11, 25)}, "Active ends 25 Nov 2026"),
        ({"ends_on": date(2026, 11, 10)}, "Ended ended 10 Nov 2026"),
    ],
)
def test_what_happens_next_to_a_subscription(
    ada: Customer, fields: dict[str, Any], said_next: str
) -> None:
    other = make.subscription(ada, starts_on=fields.get("starts_on", date(2026, 11, 1)))
    if "ends_on" in fields:
        other.phases.update(ends_on=fields["ends_on"])
        Subscription.objects.filter(pk=other.pk).update(**fields)
    assert said_next in opened(sam(), ada)


def test_a_subscription_shows_its_period_so_far(ada: Customer) -> None:
    row = ada.subscriptions.get()
    words = said(sam().get(page("customers_subscription", "change", row.pk)))
    assert "Customer Ada Works" in words
    assert "Next renews 1 Dec 2026" in words
    assert "Calls 142 of 100 42 over" in words
    assert "Terms over time" in words
    assert "Next periods" in words


@pytest.mark.parametrize(
    ("starts", "since"),
    [
        pytest.param(
            [date(2024, 5, 1), date(2024, 3, 2)], "2 Mar 2024", id="served before entered"
        ),
        pytest.param([date(2099, 1, 1)], "7 Nov 2026", id="entered before served"),
        pytest.param([], "7 Nov 2026", id="no subscription"),
    ],
)
def test_a_customer_is_one_since_the_first_day_of_service(starts: list[date], since: str) -> None:
    buyer = make.customer("dated")
    Customer.objects.filter(pk=buyer.pk).update(created_at=datetime(2026, 11, 7, tzinfo=UTC))
    for number, start in enumerate(starts):
        make.subscription(buyer, key=f"dated-{number}", starts_on=start)
    assert f"Customer since {since}" in opened(nora(), buyer)


# A sign-in link for a contact


def link_page(contact: Contact) -> str:
    return page("customers_contact", "sign_in_link", contact.customer_id, contact.pk)


def test_a_link_is_made_after_a_question_and_shown_once(ada: Customer) -> None:
    contact, client = ada.contacts.get(), anna()
    asked = said(client.get(link_page(contact)))
    assert "Whoever opens it is grace@ada.io at Ada Works" in asked
    assert not SignInLink.objects.exists()
    response = client.post(link_page(contact))
    assert "/portal/" in response.context["link"]
    assert response.context["link"] in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert SignInLink.objects.get().contact == contact
    assert AuditEntry.objects.get(action="made a sign-in link").actor_name == "anna"


def test_whoever_only_reads_makes_no_link(ada: Customer) -> None:
    contact, client = ada.contacts.get(), sam()
    assert client.get(link_page(contact)).status_code == 403
    assert client.post(link_page(contact)).status_code == 403
    assert "sign-in link" not in opened(client, ada)
    assert not SignInLink.objects.exists()


def test_a_contact_of_another_customer_is_not_found(ada: Customer) -> None:
    contact, other = ada.contacts.get(), make.customer("other")
    client = anna()
    address = page("customers_contact", "sign_in_link", other.pk, contact.pk)
    assert client.post(address).status_code == 302
    assert not SignInLink.objects.exists()


# Flat cost


def test_a_page_takes_as_many_queries_for_30_subscriptions_as_for_12(ada: Customer) -> None:
    client = nora()
    address = page("customers_customer", "change", ada.pk)

    def add(count: int) -> None:
        version = ada.subscriptions.order_by("pk")[0].phases.get().plan_version
        for number in range(count):
            make.subscription(ada, version)
            Contact.objects.create(customer=ada, email=f"{ada.contacts.count()}@ada.io")
            send(body(id=f"{number}/{ada.contacts.count()}", subject="ada", data={"calls": "x"}))

    add(11)  # one more than is shown
    client.get(address)
    few = queries(lambda: client.get(address))
    add(18)
    assert queries(lambda: client.get(address)) == few
    assert few <= 58
