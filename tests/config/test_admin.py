"""The admin of the floor: first page, audit trail, API keys, outbox, people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError
from django.test import Client

from config.base import audit
from config.base.admin.complaints import database_refusal
from config.base.admin.trail import entry_rows
from config.base.audit import SYSTEM
from config.base.groups import FINANCE
from config.base.models import ApiKey, AuditEntry, Outbox
from config.base.services.api_keys import SCOPES, create_api_key, recognise
from customers.models import Issuer
from tests import factories
from tests.billing.months import close
from tests.staff import (
    anna,
    dora,
    form_errors,
    leo,
    nora,
    page,
    person,
    queries,
    said,
    sam,
    stranger,
)

pytestmark = [pytest.mark.django_db, pytest.mark.once]

AT = datetime(2026, 11, 1, tzinfo=UTC)
LISTS = [
    "catalog_plan",
    "catalog_planversion",
    "catalog_valuemetric",
    "customers_customer",
    "customers_issuer",
    "customers_subscription",
    "base_auditentry",
    "base_apikey",
    "base_outbox",
    "auth_user",
    "auth_group",
]
VISIBLE = {
    "anna": "catalog_plan catalog_planversion catalog_valuemetric customers_customer "
    "customers_issuer customers_subscription",
    "leo": "catalog_plan catalog_planversion catalog_valuemetric customers_customer "
    "customers_issuer customers_subscription base_auditentry base_outbox",
    "sam": "catalog_plan catalog_planversion catalog_valuemetric customers_customer "
    "customers_issuer customers_subscription",
    "dora": "catalog_plan catalog_planversion catalog_valuemetric customers_customer "
    "customers_subscription base_auditentry base_apikey base_outbox",
    "stranger": "",
    "nora": " ".join(LISTS),
}
PEOPLE = {"anna": anna, "leo": leo, "sam": sam, "dora": dora, "stranger": stranger, "nora": nora}


@pytest.mark.parametrize("name", PEOPLE)
def test_everybody_sees_the_lists_of_their_role_and_no_other(name: str) -> None:
    client = PEOPLE[name]()
    seen = {one for one in LISTS if client.get(page(one, "changelist")).status_code == 200}
    assert seen == set(VISIBLE[name].split())


@pytest.mark.parametrize("name", PEOPLE)
def test_the_sidebar_shows_what_one_may_open(name: str) -> None:
    first = PEOPLE[name]().get("/admin/").content.decode()
    for model in LISTS:
        assert (page(model, "changelist") in first) == (model in VISIBLE[name].split()), model


def test_a_stranger_reaches_nothing_by_its_address() -> None:
    version, subscription = factories.draft(), factories.subscription()
    client = stranger()
    for model, pk in [
        ("catalog_planversion", version.pk),
        ("catalog_plan", version.plan_id),
        ("customers_subscription", subscription.pk),
        ("customers_customer", subscription.customer_id),
        ("customers_issuer", Issuer.objects.get().pk),
    ]:
        for name in ("change", "history", "delete"):
            assert client.get(page(model, name, pk)).status_code == 403, (model, name)
    for action in ("publish", "copy", "retire", "discard"):
        address = page("catalog_planversion", "change", version.pk).replace("change", action)
        assert client.get(address).status_code == 403
        assert client.post(address).status_code == 403
    choices = {"app_label": "customers", "model_name": "subscription", "field_name": "customer"}
    assert client.get("/admin/autocomplete/", choices).status_code == 403


def test_nobody_signed_out_gets_in() -> None:
    assert Client().get("/admin/").status_code == 302


def test_the_first_page_leads_through_a_new_installation() -> None:
    client = nora()
    assert "0 of 7 done" in said(client.get("/admin/"))

    Issuer.objects.update(legal_name="We", line1="Kanalstr. 1", city="Leipzig", country="DE")
    factories.metric()
    factories.draft()
    assert "3 of 7 done" in said(client.get("/admin/"))

    factories.subscription()
    assert "6 of 7 done" in said(client.get("/admin/"))

    close(AT)
    assert "Before the first invoice" not in said(client.get("/admin/"))


def test_a_stranger_is_told_that_a_role_is_missing() -> None:
    assert "have no role yet" in said(stranger().get("/admin/"))


@pytest.mark.parametrize("model", LISTS)
def test_a_list_takes_as_many_queries_for_12_rows_as_for_3(model: str) -> None:
    client = nora()

    def add(count: int) -> None:
        for number in range(count):
            subscription = factories.subscription()
            factories.draft(plan=subscription.phases.get().plan_version.plan)
            factories.metric()
            create_api_key(name="k", scopes=(), expires_at=None, actor=SYSTEM)
            Issuer.objects.create(name=f"I{Issuer.objects.count()}", legal_name="I")
            Outbox.objects.create(kind="mail", key=f"{number}/{Outbox.objects.count()}", due_at=AT)
            user = User.objects.create(username=f"u{User.objects.count()}")
            user.groups.add(Group.objects.create(name=f"g{Group.objects.count()}"))

    address = page(model, "changelist")
    add(3)
    client.get(address)  # content types and the like are cached
    few = queries(lambda: client.get(address))
    add(9)
    assert queries(lambda: client.get(address)) == few


@pytest.mark.parametrize("model", LISTS)
def test_an_empty_list_says_what_to_do_and_a_filtered_one_that_nothing_matches(model: str) -> None:
    client = nora()
    address = page(model, "changelist")
    filtered = said(client.get(address, {"id__lt": "0"}))
    assert "Nothing matches Try other words, or take the filters off. Show all" in filtered
    model_admin = client.get(address).context["cl"].model_admin
    assert model_admin.empty_hint


# The audit trail


def test_a_change_stands_in_the_audit_trail_and_nowhere_else() -> None:
    issuer = Issuer.objects.get()
    client = leo()
    form = client.get(page("customers_issuer", "change", issuer.pk)).context["adminform"].form
    values = {
        name: form.get_initial_for_field(field, name) or "" for name, field in form.fields.items()
    }

    client.post(page("customers_issuer", "change", issuer.pk), {**values, "city": "Leipzig"})

    entry = AuditEntry.objects.get(subject_type="customers.issuer")
    assert (entry.actor_name, entry.action) == ("leo", "changed")
    assert entry.changes == {"city": ["", "Leipzig"]}
    assert not LogEntry.objects.exists()
    history = said(client.get(page("customers_issuer", "history", issuer.pk)))
    assert "Changed by leo" in history
    assert "City — Leipzig" in history


def test_the_audit_trail_can_be_searched_and_filtered_and_not_changed() -> None:
    factories.metric("calls")
    factories.plan("scale")
    entry = AuditEntry.objects.get(subject_type="catalog.plan")
    client = leo()
    trail = page("base_auditentry", "changelist")

    assert len(client.get(trail, {"q": "Scale"}).context["cl"].result_list) == 1
    assert len(client.get(trail, {"kind": "catalog.plan"}).context["cl"].result_list) == 1
    assert len(client.get(trail, {"done": "published"}).context["cl"].result_list) == 0
    assert len(client.get(trail, {"actor_kind__exact": "system"}).context["cl"].result_list) == 2
    change = page("base_auditentry", "change", entry.pk)
    assert "plainbill (Plainbill itself)" in said(client.get(change))
    assert client.post(change, {"note": "x"}).status_code == 403
    assert client.post(page("base_auditentry", "delete", entry.pk)).status_code == 403


def test_nested_changes_read_field_by_field() -> None:
    version = factories.draft()
    entry = audit.record(
        actor=SYSTEM,
        action="changed",
        subject=version,
        changes={
            "price base": [
                {"unit_amount": "499", "tiers": [{"up_to": "5"}]},
                {"unit_amount": "599", "tiers": [{"up_to": "5"}, {"up_to": None, "flat": "1"}]},
            ],
            "is_current": [False, True],
            "note": ["", None],
        },
    )
    assert entry_rows(entry) == [
        ("price base › unit amount", "499", "599"),
        ("price base › tiers › 2 › flat", "—", "1"),
        ("is current", "no", "yes"),
    ]


def test_a_broken_rule_is_told_in_words() -> None:
    version = factories.published()
    with pytest.raises(IntegrityError) as broken:
        type(version).objects.filter(pk=version.pk).update(currency="USD")
    assert database_refusal(broken.value) == (
        "The database refused this: version frozen once published."
    )


# API keys


def test_a_key_is_shown_once() -> None:
    client = dora()
    response = client.post(
        page("base_apikey", "add"),
        {"name": "gateway", "scopes": ["events:write"], "expires_at_0": "", "expires_at_1": ""},
    )
    key = ApiKey.objects.get()
    text = response.context["text"]
    assert recognise(text, at=AT) == key
    assert key.scopes == ["events:write"]
    assert "no-store" in response.headers["Cache-Control"]
    again = client.get(page("base_apikey", "change", key.pk))
    assert text not in again.content.decode()
    assert "Send usage events" in said(again)
    entry = AuditEntry.objects.get(subject_type="base.apikey")
    assert (entry.actor_name, entry.action) == ("dora", "created")
    assert text.split("_")[-1] not in str(entry.changes)


def test_a_key_without_scopes_is_refused() -> None:
    response = dora().post(page("base_apikey", "add"), {"name": "gateway"})
    assert form_errors(response) == {"scopes": ["This field is required."]}


@pytest.mark.parametrize(
    ("who", "scopes", "beyond"),
    [
        (dora, ["events:write", "events:read", "catalog:read", "customers:read"], ""),
        (dora, ["catalog:write"], "Make and change metrics, plans and prices."),
        (dora, ["customers:write"], "Make and change customers and subscriptions."),
        (dora, ["events:read", "billing:read"], "Read invoices, credit notes and payments."),
        (dora, ["billing:write"], "Run billing, issue invoices, record payments."),
        (nora, list(SCOPES), ""),
    ],
)
def test_a_key_may_do_no_more_than_who_makes_it(who: Any, scopes: list[str], beyond: str) -> None:
    response = who().post(page("base_apikey", "add"), {"name": "gateway", "scopes": scopes})
    assert ApiKey.objects.exists() is not bool(beyond)
    if beyond:
        [message] = form_errors(response)["scopes"]
        assert message.endswith(f"you may not: {beyond}")


def test_a_key_is_revoked_by_a_second_click_and_never_deleted() -> None:
    key, text = create_api_key(name="gateway", scopes=(), expires_at=None, actor=SYSTEM)
    client = dora()
    address = page("base_apikey", "change", key.pk).replace("change", "revoke")

    assert "Revoke the key “gateway”?" in said(client.get(address))
    assert recognise(text, at=AT) == key
    client.post(address)

    assert recognise(text, at=AT) is None
    assert AuditEntry.objects.filter(action="revoked", actor_name="dora").count() == 1
    assert client.post(page("base_apikey", "delete", key.pk)).status_code == 403
    assert "Revoked" in said(client.get(page("base_apikey", "changelist")))


# Outbox


def test_what_was_given_up_can_be_tried_again() -> None:
    failed = Outbox.objects.create(kind="mail", key="1", status="failed", attempts=10, due_at=AT)
    done = Outbox.objects.create(kind="mail", key="2", status="done", done_at=AT, due_at=AT)
    leo().post(
        page("base_outbox", "changelist"),
        {"action": "retry", "_selected_action": [failed.pk, done.pk]},
    )
    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.status, failed.attempts, done.status) == ("pending", 0, "done")
    assert AuditEntry.objects.filter(action="retried").count() == 1


# People


def test_a_role_given_stands_in_the_audit_trail() -> None:
    nora_client = nora()
    user = User.objects.create_user("eve", password="a-Long-pass-1")
    role = Group.objects.get(name=FINANCE)
    response = nora_client.post(
        page("auth_user", "change", user.pk),
        {"username": "eve", "is_active": "on", "is_staff": "on", "groups": [role.pk]},
    )
    assert response.status_code == 302
    changes = [entry.changes for entry in AuditEntry.objects.filter(subject_type="auth.user")]
    assert {"groups": [[], ["Finance"]]} in changes
    assert {"is_staff": [False, True]} in changes


def test_what_a_role_may_do_stands_in_the_audit_trail() -> None:
    role = Group.objects.create(name="Auditors")
    permission = Permission.objects.get(codename="view_auditentry")
    nora().post(
        page("auth_group", "change", role.pk), {"name": "Auditors", "permissions": [permission.pk]}
    )
    entry = AuditEntry.objects.get(subject_type="auth.group")
    assert entry.changes == {"permissions": [[], [str(permission)]]}


def test_a_password_set_for_somebody_is_recorded_without_it() -> None:
    client = nora()
    user = User.objects.create_user("eve", password="a-Long-pass-1")
    response = client.post(
        f"/admin/auth/user/{user.pk}/password/",
        {"password1": "another-Pass-2", "password2": "another-Pass-2", "usable_password": "true"},
    )
    assert response.status_code == 302
    [entry] = AuditEntry.objects.filter(subject_type="auth.user")
    assert entry.changes == {"password": [None, "changed"]}


def test_only_superusers_hand_out_powers() -> None:
    client = person("ida")
    ida = User.objects.get(username="ida")
    ida.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    boss = User.objects.create_superuser("boss")
    client.post(
        page("auth_user", "change", ida.pk),
        {"username": "ida", "is_active": "on", "is_superuser": "on", "first_name": "Ida"},
    )
    ida.refresh_from_db()
    assert (ida.first_name, ida.is_superuser) == ("Ida", False)
    assert client.post(page("auth_user", "change", boss.pk), {"username": "x"}).status_code == 403
    assert client.get(f"/admin/auth/user/{boss.pk}/password/").status_code == 403


@pytest.mark.parametrize("language", ["de", "fr-FR,fr;q=0.9", "es"])
def test_the_admin_is_english_whatever_the_browser_speaks(language: str) -> None:
    page = Client().get("/admin/login/", headers={"Accept-Language": language})
    assert '<html lang="en"' in page.content.decode()
    assert "Password" in page.content.decode()
