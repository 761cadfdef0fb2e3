"""Issuers, customers and subscriptions as Finance keeps them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.http import HttpRequest

from catalog.drafts import PriceDraft
from catalog.models import Price
from config.base.admin import Panel
from config.base.models import AuditEntry
from customers.admin import CUSTOMER_PANELS
from customers.issuer import create_first_issuer
from customers.models import Contact, Customer, Issuer, Subscription
from tests import factories
from tests.staff import anna, form_errors, leo, page, person, said, sam

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NEW = {
    "name": "Acme",
    "key": "acme",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "locale": "de-DE",
    "invoices_by_email": "on",
    "payment_terms_days": "30",
    "tax_status": "automatic",
    "contacts-TOTAL_FORMS": "0",
    "contacts-INITIAL_FORMS": "0",
}


def seats() -> PriceDraft:
    price = Price(key="seats", name="Seats", model="per_unit", timing="advance")
    price.unit_amount = Decimal(12)
    return PriceDraft(price)


# Issuers


def test_a_key_keeps_its_small_letters_in_the_path_above_a_page() -> None:
    one = factories.subscription(factories.customer("ada"), key="ada-translate")
    shown = anna().get(page("customers_subscription", "change", one.pk)).content.decode()
    assert "Ada-translate" not in shown
    assert ">ada-translate</a>" in shown


def test_a_new_installation_has_one_unfinished_issuer() -> None:
    issuer = Issuer.objects.get()
    assert (issuer.name, issuer.currency, issuer.tax_status) == (
        "Your company",
        "EUR",
        "out_of_scope",
    )
    client = leo()
    words = said(client.get(page("customers_issuer", "change", issuer.pk)))
    assert "Unfinished: an invoice needs your legal name, address, city, country." in words
    assert "Unfinished" in said(client.get(page("customers_issuer", "changelist")))


def test_migrating_again_makes_no_second_issuer() -> None:
    create_first_issuer(sender=None, using=connection.alias)  # type: ignore[arg-type]
    assert Issuer.objects.count() == 1


def test_the_only_issuer_is_not_deleted() -> None:
    assert (
        leo().post(page("customers_issuer", "delete", Issuer.objects.get().pk)).status_code == 403
    )


def test_anna_reads_the_issuer_and_changes_nothing() -> None:
    client, issuer = anna(), Issuer.objects.get()
    assert client.get(page("customers_issuer", "change", issuer.pk)).status_code == 200
    assert client.post(page("customers_issuer", "change", issuer.pk), {}).status_code == 403


# Customers


def test_a_customer_is_added_with_contacts_and_leads_to_a_subscription() -> None:
    response = anna().post(
        page("customers_customer", "add"),
        {
            **NEW,
            "contacts-TOTAL_FORMS": "1",
            "contacts-0-email": "ap@acme.test",
            "contacts-0-receives_invoices": "on",
        },
        follow=True,
    )
    customer = Customer.objects.get()
    assert (customer.legal_name, customer.time_zone) == ("Acme", "Europe/Berlin")
    assert "Subscribe to a plan" in said(response)
    created, contacts = AuditEntry.objects.filter(subject_type="customers.customer").order_by("pk")
    assert (created.action, created.actor_name) == ("created", "anna")
    assert contacts.changes["contact ap@acme.test"][1]["email"] == "ap@acme.test"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "XXX"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"key": "a b"}, "key"),
        ({"payment_terms_days": "366"}, "payment_terms_days"),
        ({"name": ""}, "name"),
    ],
)
def test_a_faulty_customer_is_shown_again(change: dict[str, str], field: str) -> None:
    response = anna().post(page("customers_customer", "add"), {**NEW, **change})
    assert response.status_code == 200
    assert field in form_errors(response)


def test_a_customer_changes_but_its_key_stays() -> None:
    customer = factories.customer("acme", locale="de-DE")
    contact = Contact.objects.create(customer=customer, email="a@acme.test")
    gone = Contact.objects.create(customer=customer, email="b@acme.test")
    anna().post(
        page("customers_customer", "change", customer.pk),
        {
            **NEW,
            "key": "other",
            "name": "Acme Ltd",
            "legal_name": "Acme",
            "time_zone": "UTC",
            "contacts-TOTAL_FORMS": "2",
            "contacts-INITIAL_FORMS": "2",
            "contacts-0-id": contact.pk,
            "contacts-0-email": "new@acme.test",
            "contacts-0-receives_invoices": "on",
            "contacts-1-id": gone.pk,
            "contacts-1-email": "b@acme.test",
            "contacts-1-DELETE": "on",
        },
    )
    customer.refresh_from_db()
    assert (customer.key, customer.name) == ("acme", "Acme Ltd")
    *_, fields, contacts = AuditEntry.objects.order_by("pk")
    assert fields.changes == {"name": ["Acme", "Acme Ltd"]}
    assert contacts.changes["contact new@acme.test: email"] == ["a@acme.test", "new@acme.test"]
    assert contacts.changes["contact b@acme.test"][1] is None


def test_nothing_changed_is_nothing_recorded() -> None:
    customer = factories.customer("acme", locale="de-DE", time_zone="Europe/Berlin")
    before = AuditEntry.objects.count()
    response = anna().post(
        page("customers_customer", "change", customer.pk), {**NEW, "legal_name": "Acme"}
    )
    assert response.status_code == 302
    assert AuditEntry.objects.count() == before


def test_a_code_stored_through_the_api_is_kept() -> None:
    customer = factories.customer("acme")
    Customer.objects.filter(pk=customer.pk).update(locale="en-150")
    form = anna().get(page("customers_customer", "change", customer.pk)).context["adminform"].form
    assert "en-150" in dict(form.fields["locale"].choices)


@pytest.mark.parametrize("words", ["acme", "Acme Ltd", "ap@acme.test", "DE136695976", "boss@acme"])
def test_a_customer_is_found_by(words: str) -> None:
    customer = factories.customer(
        "acme", name="Acme Ltd", email="ap@acme.test", vat_id="DE136695976"
    )
    factories.customer("other")
    Contact.objects.create(customer=customer, email="boss@acme.test")
    rows = anna().get(page("customers_customer", "changelist"), {"q": words}).context["cl"]
    assert list(rows.result_list) == [customer]


def test_apps_above_add_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    def balance(request: HttpRequest, customer: Any) -> Panel:
        return Panel("Balance", "admin/changes.html", {})

    customer = factories.customer()
    CUSTOMER_PANELS.append(balance)
    try:
        assert "Balance" in said(anna().get(page("customers_customer", "change", customer.pk)))
    finally:
        CUSTOMER_PANELS.remove(balance)


def test_a_customer_with_subscriptions_is_not_deleted() -> None:
    subscription = factories.subscription()
    client = leo()
    address = page("customers_customer", "delete", subscription.customer_id)
    assert client.post(address, {"post": "yes"}).status_code == 403
    other = factories.customer()
    client.post(page("customers_customer", "delete", other.pk), {"post": "yes"})
    assert not Customer.objects.filter(pk=other.pk).exists()
    assert AuditEntry.objects.filter(action="deleted").count() == 1


# Subscriptions


def subscribe(**fields: Any) -> dict[str, Any]:
    return {"key": "acme-scale", "starts_on": "2026-10-31", "alignment": "anniversary", **fields}


@time_machine.travel("2026-11-20T12:00:00Z")
def test_anna_subscribes_a_customer_with_seats() -> None:
    version = factories.published(factories.flat(), seats())
    customer = factories.customer("acme", time_zone="Europe/Berlin")
    price = version.prices.get(key="seats")
    response = anna().post(
        page("customers_subscription", "add"),
        subscribe(customer=customer.pk, plan_version=version.pk, **{f"quantity_{price.pk}": "25"}),
        follow=True,
    )
    subscription = Subscription.objects.get()
    assert subscription.quantities.get().quantity == 25
    assert subscription.phases.get().time_zone == "Europe/Berlin"
    words = said(response)
    assert "Sat 31 Oct 2026 Sun 29 Nov 2026 30" in words
    assert "Sun 31 Jan 2027 Sat 27 Feb 2027 28" in words
    assert "25 × seats from 31 Oct 2026" in words
    actors = set(
        AuditEntry.objects.filter(subject_type="customers.subscription").values_list(
            "actor_name", "action"
        )
    )
    assert actors == {("anna", "created"), ("anna", "subscribed")}


@time_machine.travel("2026-11-20T12:00:00Z")
def test_a_part_of_a_period_and_a_trial_are_marked() -> None:
    version = factories.published(trial_days=10)
    subscription = factories.subscription(
        version=version, starts_on=date(2026, 11, 16), alignment="calendar"
    )
    words = said(sam().get(page("customers_subscription", "change", subscription.pk)))
    assert "Mon 16 Nov 2026 Wed 25 Nov 2026 10" in words
    assert "Thu 26 Nov 2026 Mon 30 Nov 2026 5 of 30" in words
    assert "Trial" in words


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "USD"}, "plan_version"),
        ({"key": "a b"}, "key"),
        ({"alignment": "calendar", "anchor_on": "2026-11-01"}, "anchor_on"),
        ({"starts_on": "soon"}, "starts_on"),
        ({"quantity": "-1"}, "quantity"),
    ],
)
def test_a_faulty_subscription_is_shown_again(change: dict[str, str], field: str) -> None:
    version = factories.published(seats())
    name = f"quantity_{version.prices.get().pk}"
    customer = factories.customer(currency=change.pop("currency", "EUR"))
    change = {name if key == "quantity" else key: value for key, value in change.items()}
    response = anna().post(
        page("customers_subscription", "add"),
        subscribe(**{"customer": customer.pk, "plan_version": version.pk, **change}),
    )
    assert response.status_code == 200
    assert (name if field == "quantity" else field) in form_errors(response)
    assert not Subscription.objects.exists()


def test_only_published_versions_are_offered() -> None:
    published, draft = factories.published(), factories.draft()
    client = anna()
    form = client.get(page("customers_subscription", "add")).context["adminform"].form
    assert [pk for pk, _ in form.fields["plan_version"].choices] == ["", published.pk]
    customer = factories.customer()
    response = client.post(
        page("customers_subscription", "add"),
        subscribe(customer=customer.pk, plan_version=draft.pk),
    )
    assert "plan_version" in form_errors(response)


def test_a_subscription_is_only_read() -> None:
    subscription = factories.subscription()
    client = person("nora", is_superuser=True)
    address = page("customers_subscription", "change", subscription.pk)
    assert client.post(address, {"key": "x"}).status_code == 403
    assert client.post(page("customers_subscription", "delete", subscription.pk)).status_code == 403


@time_machine.travel("2026-11-20T12:00:00Z")
@pytest.mark.parametrize(("state", "count"), [("active", 1), ("later", 1), ("ended", 0)])
def test_subscriptions_are_filtered_by_state(state: str, count: int) -> None:
    factories.subscription(starts_on=date(2026, 11, 1))
    factories.subscription(starts_on=date(2026, 12, 1))
    rows = anna().get(page("customers_subscription", "changelist"), {"state": state}).context["cl"]
    assert len(rows.result_list) == count


def test_the_catalog_counts_the_subscriptions_on_a_version() -> None:
    version = factories.published()
    for _ in range(3):
        factories.subscription(version=version)
    client = anna()
    rows = client.get(page("catalog_planversion", "changelist")).context["cl"].result_list
    assert [row.subscriber_count for row in rows] == [3]
    assert "3 in all" in said(client.get(page("catalog_planversion", "change", version.pk)))


def test_a_long_name_is_cut_in_lists_and_whole_where_the_pointer_rests() -> None:
    long = "<b>" + "Bergbau " * 20
    buyer = factories.customer("berg", name=long.strip())
    factories.subscription(buyer, factories.published())
    client = anna()
    for name in ("customers_customer", "customers_subscription"):
        html = client.get(page(name, "changelist")).content.decode()
        assert f'title="&lt;b&gt;{"Bergbau " * 19}Bergbau"' in html
        assert f"&lt;b&gt;{('Bergbau ' * 20)[:56].rstrip()}…" in html
