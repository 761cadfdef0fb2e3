"""Add-ons in the catalog: made once, said in words, archived; in API and admin."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from django.test import Client

from catalog.add_ons import (
    AddOnArchived,
    add_on_errors,
    add_on_in_words,
    archive_add_on,
    create_add_on,
    rate_add_on,
)
from catalog.models import AddOn
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller
from tests.staff import anna, leo, nora, page, queries, said, stranger

DAY = {"unit": "day", "unit_plural": "days"}


def add_on(**fields: Any) -> AddOn:
    terms = {"key": "a", "name": "A", "unit_amount": D(490), "currency": "EUR", **fields}
    return AddOn(**terms)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, set(), id="a fee"),
        pytest.param(DAY, set(), id="by the day"),
        pytest.param({"unit_amount": D("0.01")}, set(), id="the least there is"),
        pytest.param({"unit_amount": D(0)}, {("unit_amount", "out_of_range")}, id="for nothing"),
        pytest.param({"unit_amount": D(-5)}, {("unit_amount", "out_of_range")}, id="a gift"),
        pytest.param(
            {"unit_amount": D("0.005")}, {("unit_amount", "too_precise")}, id="half a cent"
        ),
        pytest.param(
            {"unit_amount": D("0.5"), "currency": "JPY"},
            {("unit_amount", "too_precise")},
            id="half a yen",
        ),
        pytest.param({"unit_amount": D("0.005"), "currency": "KWD"}, set(), id="five fils"),
        pytest.param({"currency": "XXX"}, {("currency", "unknown_currency")}, id="no currency"),
        pytest.param({"unit": "day"}, {("unit_plural", "required")}, id="one but not several"),
        pytest.param({"unit_plural": "days"}, {("unit", "required")}, id="several but not one"),
    ],
)
def test_what_is_at_fault_is_named(fields: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    faults = add_on_errors(add_on(**fields))
    assert {(str(fault.path[0]), fault.code) for fault in faults} == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "490.00 EUR"),
        ({**DAY, "unit_amount": D("1200.5")}, "1,200.50 EUR per day"),
        ({"unit_amount": D(5000), "currency": "JPY"}, "5,000 JPY"),
    ],
)
def test_it_is_said_in_words(fields: dict[str, Any], words: str) -> None:
    assert add_on_in_words(add_on(**fields)) == words


@pytest.mark.parametrize(
    ("quantity", "amount", "currency", "net"),
    [
        pytest.param("1", "490", "EUR", "490.00", id="one"),
        pytest.param("2.5", "1200", "EUR", "3000.00", id="two days and a half"),
        pytest.param("0.3333", "0.05", "EUR", "0.02", id="rounded once, to the nearest"),
        pytest.param("0.1", "0.05", "EUR", "0.01", id="half a cent goes up"),
        pytest.param("3", "0", "EUR", "0.00", id="agreed to be free"),
        pytest.param("1.5", "333", "JPY", "500", id="no decimals in yen"),
    ],
)
def test_so_many_cost_quantity_times_amount(
    quantity: str, amount: str, currency: str, net: str
) -> None:
    rated = rate_add_on(D(quantity), D(amount), currency)
    assert f"{rated.net:f}" == net
    assert [(step.kind, step.quantity) for step in rated.steps] == [("unit", D(quantity))]


@pytest.mark.django_db
def test_only_a_sound_one_is_made_and_the_trail_says_so() -> None:
    with pytest.raises(Invalid):
        create_add_on(add_on=add_on(unit_amount=D(0)), actor=SYSTEM)
    made = make.add_on()
    assert AddOn.objects.get() == made
    assert AuditEntry.objects.get(subject_type="catalog.addon").action == "created"


@pytest.mark.django_db
def test_it_is_archived_once() -> None:
    made = make.add_on()
    assert archive_add_on(add_on_id=made.pk, actor=SYSTEM).status == "archived"
    with pytest.raises(AddOnArchived):
        archive_add_on(add_on_id=made.pk, actor=SYSTEM)


@pytest.mark.django_db
class TestApi:
    def test_made_read_listed_and_archived(self, caller: Caller) -> None:
        client = caller()
        body = {
            "key": "onboarding",
            "name": "Onboarding",
            "description": "With a trainer,\nat your place.",
            "unit_amount": "1200.00",
            "currency": "EUR",
            **DAY,
            "recognition": "over_time",
        }
        made = client.post("/api/v1/add-ons", body)
        assert made.status_code == 201, made.json()
        found = made.json()
        assert {**found, **body, "unit_amount": "1200", "status": "active"} == found
        assert client.get("/api/v1/add-ons/onboarding").json() == found
        assert client.get("/api/v1/add-ons?status=active").json()["results"] == [found]
        assert client.get("/api/v1/add-ons?currency=USD").json()["results"] == []
        assert client.post("/api/v1/add-ons", body).json()["code"] == "key_taken"
        url = "/api/v1/add-ons/onboarding/archive"
        assert client.post(url).json()["status"] == "archived"
        assert client.post(url).json()["code"] == "add_on_archived"

    def test_three_fields_are_enough_beside_its_key(self, caller: Caller) -> None:
        body = {"key": "a", "name": "A", "unit_amount": "5", "currency": "EUR"}
        made = caller().post("/api/v1/add-ons", body).json()
        assert (made["description"], made["unit"], made["recognition"]) == ("", "", "at_once")

    @pytest.mark.parametrize(
        ("fields", "pointers"),
        [
            ({}, {"/unit_amount", "/currency"}),
            ({"unit_amount": "x", "currency": "eur"}, {"/unit_amount", "/currency"}),
            ({"unit_amount": "-5", "currency": "EUR"}, {"/unit_amount"}),
            (
                {"unit_amount": "5", "currency": "EUR", "unit": "day", "other": 1},
                {"/unit_plural", "/other"},
            ),
            (
                {"unit_amount": "5", "currency": "EUR", "recognition": "as_used"},
                {"/recognition"},
            ),
        ],
    )
    def test_every_fault_is_named(
        self, caller: Caller, fields: dict[str, Any], pointers: set[str]
    ) -> None:
        refused = caller().post("/api/v1/add-ons", {"key": "a", "name": "A", **fields})
        assert refused.status_code == 400
        assert {error["pointer"] for error in refused.json()["errors"]} == pointers
        assert not AddOn.objects.exists()

    def test_who_may_only_read_makes_none(self, caller: Caller) -> None:
        client = caller("catalog:read")
        assert client.get("/api/v1/add-ons").status_code == 200
        assert client.post("/api/v1/add-ons", {}).status_code == 403


@pytest.mark.django_db
class TestAdmin:
    FORM: dict[str, Any] = {
        "name": "Onboarding",
        "key": "onboarding",
        "description": "",
        "unit_amount": "1200.00",
        "currency": "EUR",
        "unit": "day",
        "unit_plural": "days",
        "recognition": "at_once",
    }

    def test_it_is_made_read_and_archived(self) -> None:
        client = leo()
        client.post(page("catalog_addon", "add"), self.FORM)
        made = AddOn.objects.get()
        assert (made.unit_amount, made.currency, made.unit_plural) == (D(1200), "EUR", "days")
        assert "1,200.00 EUR per day" in said(client.get(page("catalog_addon", "changelist")))
        shown = said(client.get(page("catalog_addon", "change", made.pk)))
        assert "Costs 1,200.00 EUR per day Earned At once State On offer" in shown
        archive = page("catalog_addon", "archive", made.pk)
        assert "Nobody can be sold it any more" in said(client.get(archive))
        client.post(archive)
        made.refresh_from_db()
        assert made.status == "archived"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"unit_amount": "0"}, "One of it costs more than 0."),
            ({"unit_amount": "1.005"}, "EUR has 2 decimals; 1.005 has more."),
            ({"unit_plural": ""}, "Name several of it too, such as “days”."),
        ],
    )
    def test_what_is_wrong_stands_at_its_field(self, fields: dict[str, str], message: str) -> None:
        shown = said(leo().post(page("catalog_addon", "add"), {**self.FORM, **fields}))
        assert message in shown
        assert not AddOn.objects.exists()

    def test_only_who_leads_makes_and_archives(self) -> None:
        made = make.add_on()
        archive = page("catalog_addon", "archive", made.pk)
        for client, status in ((anna(), 403), (stranger(), 403), (Client(), 302)):
            assert client.post(page("catalog_addon", "add"), self.FORM).status_code == status
            assert client.post(archive).status_code == status
        made.refresh_from_db()
        assert (AddOn.objects.count(), made.status) == (1, "active")

    def test_an_empty_list_says_what_to_do_and_a_long_one_costs_the_same(self) -> None:
        client, url = nora(), page("catalog_addon", "changelist")
        assert "Add one, then sell it" in said(client.get(url))
        make.add_on()
        few = queries(lambda: client.get(url))
        for _ in range(5):
            make.add_on()
        assert queries(lambda: client.get(url)) == few
