"""Customers and subscriptions over the API."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from catalog.drafts import PriceDraft
from catalog.models import Price
from customers.api import CUSTOMER, SUBSCRIPTION
from customers.models import Customer, Subscription
from tests import factories as make
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
CUSTOMERS, SUBSCRIPTIONS = "/api/v1/customers", "/api/v1/subscriptions"
LEAST = {"key": "acme", "name": "Acme", "currency": "EUR"}


def faults(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def seats(key: str = "seats") -> PriceDraft:
    return PriceDraft(
        Price(key=key, name="Seats", model="per_unit", unit_amount=5, timing="advance")
    )


class TestCustomers:
    def test_come_back_as_they_were_sent(self, caller: Caller) -> None:
        client = caller("customers:read", "customers:write")
        created = client.post(CUSTOMERS, CUSTOMER)
        assert created.status_code == 201
        sent = {**CUSTOMER, "address": {"line2": "", "region": "", **CUSTOMER["address"]}}
        assert sent.items() <= created.json().items()
        assert client.get(f"{CUSTOMERS}/acme").json() == created.json()

    def test_need_only_key_name_and_currency(self, caller: Caller) -> None:
        created = caller().post(CUSTOMERS, LEAST).json()
        defaults = {
            "legal_name": "Acme",
            "time_zone": "UTC",
            "locale": "en",
            "payment_terms_days": 30,
            "tax_status": "automatic",
        }
        assert {**LEAST, **defaults}.items() <= created.items()

    @pytest.mark.parametrize("locale", ["de", "de-DE", "pt-BR", "zh-Hant-TW", "ar"])
    def test_read_any_language(self, caller: Caller, locale: str) -> None:
        assert caller().post(CUSTOMERS, {**LEAST, "locale": locale}).json()["locale"] == locale

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"key": "a b"}, "/key", "invalid_key"),
            ({"key": "x" * 256}, "/key", "invalid_key"),
            ({"name": ""}, "/name", "blank"),
            ({"name": None}, "/name", "null"),
            ({"name": "x" * 201}, "/name", "max_length"),
            ({"currency": "eur"}, "/currency", "unknown_currency"),
            ({"currency": 978}, "/currency", "unknown_currency"),
            ({"time_zone": "Mars/Base"}, "/time_zone", "unknown_time_zone"),
            ({"time_zone": "../etc/passwd"}, "/time_zone", "unknown_time_zone"),
            ({"locale": "xx"}, "/locale", "unknown_locale"),
            ({"locale": "de_DE"}, "/locale", "unknown_locale"),
            ({"locale": "root"}, "/locale", "unknown_locale"),
            ({"payment_terms_days": -1}, "/payment_terms_days", "min_value"),
            ({"payment_terms_days": 366}, "/payment_terms_days", "max_value"),
            ({"payment_terms_days": "30"}, "/payment_terms_days", "invalid"),
            ({"vat_id": "DE 136"}, "/vat_id", "invalid"),
            ({"vat_id": "١٢٣٤"}, "/vat_id", "invalid"),
            ({"email": "nobody"}, "/email", "invalid"),
            ({"email": "ａdmin＠x．com"}, "/email", "invalid"),
            ({"tax_status": "none"}, "/tax_status", "invalid_choice"),
            ({"address": "Berlin"}, "/address", "invalid"),
            ({"address": {"country": "EU"}}, "/address/country", "unknown_country"),
            ({"address": {"country": "de"}}, "/address/country", "unknown_country"),
            ({"address": {"planet": "Earth"}}, "/address/planet", "unknown_field"),
            ({"city": "Berlin"}, "/city", "unknown_field"),
            ({"is_staff": True}, "/is_staff", "unknown_field"),
            ({"created_at": "2026-11-01T00:00:00Z"}, "/created_at", "read_only"),
        ],
    )
    def test_are_refused_by_name(
        self, caller: Caller, fields: dict[str, Any], pointer: str, code: str
    ) -> None:
        assert faults(caller().post(CUSTOMERS, {**LEAST, **fields})) == {(pointer, code)}

    def test_say_all_that_is_wrong_at_once(self, caller: Caller) -> None:
        body = {
            "key": "",
            "locale": "xx",
            "time_zone": "x",
            "address": {"country": "XX", "city": 1},
        }
        assert faults(caller().post(CUSTOMERS, body)) == {
            ("/key", "blank"),
            ("/name", "required"),
            ("/currency", "required"),
            ("/locale", "unknown_locale"),
            ("/time_zone", "unknown_time_zone"),
            ("/address/city", "invalid"),
        }

    def test_have_a_key_of_their_own(self, caller: Caller) -> None:
        client = caller()
        client.post(CUSTOMERS, LEAST)
        assert code(client.post(CUSTOMERS, LEAST)) == (409, "key_taken")
        assert faults(client.patch(f"{CUSTOMERS}/acme", {"key": "b"})) == {("/key", "immutable")}

    def test_change_in_what_is_named_only(self, caller: Caller) -> None:
        client = caller()
        client.post(CUSTOMERS, CUSTOMER)
        changed = client.patch(f"{CUSTOMERS}/acme", {"key": "acme", "address": {"city": "Bonn"}})
        expected = {**CUSTOMER["address"], "line2": "", "region": "", "city": "Bonn"}
        assert changed.json()["address"] == expected
        assert changed.json()["legal_name"] == "Acme GmbH"
        bad = client.patch(f"{CUSTOMERS}/acme", {"locale": "xx", "name": ""})
        assert faults(bad) == {("/locale", "unknown_locale"), ("/name", "blank")}

    def test_keep_their_currency_while_they_are_billed_in_it(self, caller: Caller) -> None:
        make.subscription(make.customer("acme"))
        make.customer("free")
        client = caller()
        refused = client.patch(f"{CUSTOMERS}/acme", {"currency": "USD"})
        assert code(refused) == (409, "currency_in_use")
        assert client.patch(f"{CUSTOMERS}/free", {"currency": "USD"}).status_code == 200

    def test_are_found(self, caller: Caller) -> None:
        make.customer("a", name="Acme", legal_name="Acme GmbH", country="DE", segment="smb")
        make.customer("b", name="Bolt", currency="USD")
        client = caller("customers:read")

        def keys(query: str) -> list[str]:
            return [row["key"] for row in client.get(f"{CUSTOMERS}?{query}").json()["results"]]

        assert keys("") == ["a", "b"]
        assert keys("search=acm") == keys("search=gmbh") == keys("key=a") == ["a"]
        assert keys("country=DE") == keys("segment=smb") == keys("currency=EUR") == ["a"]
        assert keys("search=%25") == []
        assert client.get(f"{CUSTOMERS}?nmae=a").status_code == 400

    def test_ten_thousand_cost_the_same_queries(
        self, caller: Caller, django_assert_num_queries: Any
    ) -> None:
        client = caller("customers:read")
        make.customer("first")
        client.get(CUSTOMERS)  # stamps the key's use
        with django_assert_num_queries(2):
            client.get(CUSTOMERS)
        Customer.objects.bulk_create(
            Customer(key=f"c-{n}", name=f"C {n}", legal_name="C", currency="EUR")
            for n in range(10_000)
        )
        page, seen = f"{CUSTOMERS}?limit=100", []
        for _ in range(3):
            with django_assert_num_queries(2):
                answer = client.get(page).json()
            seen += [row["key"] for row in answer["results"]]
            page = answer["next"]
        assert seen == ["first", *(f"c-{n}" for n in range(299))]


class TestSubscribing:
    BODY = {"key": "s", "customer": "acme", "plan": "scale", "starts_on": "2026-11-01"}

    @pytest.fixture(autouse=True)
    def offer(self) -> None:
        make.customer("acme", time_zone="Europe/Berlin")
        usage = make.graduated(make.metric(), "rest @ 1", key="calls")
        make.published(make.flat(), seats(), usage, plan=make.plan("scale"))

    def test_the_contracts_example(self, caller: Caller) -> None:
        client = caller("customers:read", "customers:write")
        created = client.post(SUBSCRIPTIONS, SUBSCRIPTION)
        assert created.status_code == 201
        answer = created.json()
        assert SUBSCRIPTION.items() <= answer.items()
        assert answer.pop("warnings") == []
        assert client.get(f"{SUBSCRIPTIONS}/acme-scale").json() == answer
        [phase] = answer["phases"]
        assert (phase["plan"], phase["version"]) == ("scale", 1)
        assert (phase["starts_on"], phase["ends_on"]) == ("2026-11-01", None)
        assert answer["time_zone"] == "Europe/Berlin"

    def test_a_quantity_that_nothing_is_charged_by_is_warned_of(self, caller: Caller) -> None:
        body = {**self.BODY, "quantities": {"seats": "25", "desks": "3"}}
        answer = caller().post(SUBSCRIPTIONS, body).json()
        assert answer["quantities"] == {"desks": "3", "seats": "25"}
        [warning] = answer["warnings"]
        assert (warning["code"], "“desks”" in warning["detail"]) == ("unused_quantity", True)

    def test_takes_the_current_version_in_the_payers_currency(self, caller: Caller) -> None:
        client = caller()
        assert client.post(SUBSCRIPTIONS, self.BODY).json()["version"] == 1
        make.customer("bank", currency="USD")
        payer = {**self.BODY, "key": "t", "payer": "bank"}
        refused = client.post(SUBSCRIPTIONS, payer)
        assert code(refused) == (409, "version_not_offered")
        assert "USD" in refused.json()["detail"]

    def test_is_paid_by_another(self, caller: Caller) -> None:
        make.customer("holding")
        answer = caller().post(SUBSCRIPTIONS, {**self.BODY, "payer": "holding"}).json()
        assert (answer["customer"], answer["payer"]) == ("acme", "holding")

    def test_needs_a_published_version(self, caller: Caller) -> None:
        make.draft(plan=make.plan("new"))
        client = caller()
        assert code(client.post(SUBSCRIPTIONS, {**self.BODY, "plan": "new"})) == (
            409,
            "version_not_offered",
        )
        draft = client.post(SUBSCRIPTIONS, {**self.BODY, "plan": "new", "version": 1})
        assert code(draft) == (409, "version_not_offered")

    def test_a_taken_key_is_a_conflict(self, caller: Caller) -> None:
        client = caller()
        client.post(SUBSCRIPTIONS, self.BODY)
        assert code(client.post(SUBSCRIPTIONS, self.BODY)) == (409, "key_taken")

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"customer": "nix"}, "/customer", "unknown_customer"),
            ({"plan": "nix"}, "/plan", "unknown_plan"),
            ({"payer": "nix"}, "/payer", "unknown_customer"),
            ({"version": 9}, "/version", "unknown_version"),
            ({"version": "1"}, "/version", "invalid"),
            ({"version": 0}, "/version", "min_value"),
            ({"version": 10**30}, "/version", "max_value"),
            ({"starts_on": "1969-12-31"}, "/starts_on", "invalid"),
            ({"starts_on": "2200-01-02"}, "/starts_on", "out_of_range"),
            ({"starts_on": "2026-02-30"}, "/starts_on", "invalid"),
            ({"starts_on": "20261101"}, "/starts_on", "invalid"),
            ({"starts_on": 20261101}, "/starts_on", "invalid"),
            ({"alignment": "lunar"}, "/alignment", "invalid_choice"),
            (
                {"alignment": "calendar", "anchor_on": "2026-11-01"},
                "/anchor_on",
                "anchor_on_calendar",
            ),
            ({"time_zone": "Mars"}, "/time_zone", "unknown_time_zone"),
            ({"quantities": {"seats": "-1"}}, "/quantities/seats", "too_small"),
            ({"quantities": {"seats": "many"}}, "/quantities/seats", "invalid"),
            ({"quantities": {"seats": None}}, "/quantities/seats", "null"),
            ({"quantities": {"calls": "1"}}, "/quantities/calls", "metered"),
            ({"quantities": {"a b": "1"}}, "/quantities/a b", "invalid_key"),
            ({"quantities": {"x" * 256: "1"}}, f"/quantities/{'x' * 256}", "invalid_key"),
            ({"quantities": [25]}, "/quantities", "not_a_dict"),
            ({"ends_on": "2027-01-01"}, "/ends_on", "unknown_field"),
        ],
    )
    def test_is_refused_by_name(
        self, caller: Caller, fields: dict[str, Any], pointer: str, code: str
    ) -> None:
        assert faults(caller().post(SUBSCRIPTIONS, {**self.BODY, **fields})) == {(pointer, code)}
        assert not Subscription.objects.exists()

    def test_takes_the_first_and_the_last_day(self, caller: Caller) -> None:
        client = caller()
        for key, day in (("first", "1970-01-01"), ("last", "2200-01-01")):
            body = {**self.BODY, "key": key, "starts_on": day}
            assert client.post(SUBSCRIPTIONS, body).json()["starts_on"] == day


class TestSubscriptions:
    def test_show_the_terms_that_hold_now(self, caller: Caller, time_machine: Any) -> None:
        subscription = make.subscription(
            version=make.published(seats()), key="s", quantities={"seats": 3}
        )
        subscription.quantities.create(price_key="seats", starts_on=date(2026, 12, 1), quantity=5)
        client = caller("customers:read")
        for now, quantity in (("2026-10-01", "3"), ("2026-11-30", "3"), ("2026-12-01", "5")):
            time_machine.move_to(f"{now}T12:00:00Z")
            shown = client.get(f"{SUBSCRIPTIONS}/s").json()["quantities"]
            assert shown == {"seats": quantity}

    def test_are_found(self, caller: Caller) -> None:
        acme, plan = make.customer("acme"), make.plan("scale")
        version = make.published(plan=plan)
        make.subscription(acme, version, key="a", starts_on=date(2026, 1, 1))
        make.subscription(key="b", starts_on=date(2027, 1, 1))
        client = caller("customers:read")

        def keys(query: str) -> list[str]:
            return [row["key"] for row in client.get(f"{SUBSCRIPTIONS}?{query}").json()["results"]]

        assert keys("") == ["a", "b"]
        assert keys("customer=acme") == keys("plan=scale") == keys("active_on=2026-06-01") == ["a"]
        assert keys("key=b") == ["b"]
        assert keys("customer=nix") == keys("active_on=2025-12-31") == []
        refused = client.get(f"{SUBSCRIPTIONS}?active_on=yesterday")
        assert refused.json()["errors"][0]["parameter"] == "active_on"

    def test_ask_as_often_for_thirty_as_for_three(
        self, caller: Caller, django_assert_max_num_queries: Any
    ) -> None:
        client, version = caller("customers:read"), make.published(seats())
        client.get(SUBSCRIPTIONS)  # stamps the key's use

        def grow(count: int) -> int:
            for _ in range(count):
                make.subscription(version=version, quantities={"seats": 2})
            with django_assert_max_num_queries(8) as captured:
                answer = client.get(f"{SUBSCRIPTIONS}?limit=100")
            assert answer.json()["results"][-1]["quantities"] == {"seats": "2"}
            return len(captured)

        assert grow(3) == grow(27)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", CUSTOMERS),
        ("post", CUSTOMERS),
        ("get", f"{CUSTOMERS}/acme"),
        ("patch", f"{CUSTOMERS}/acme"),
        ("get", SUBSCRIPTIONS),
        ("post", SUBSCRIPTIONS),
        ("get", f"{SUBSCRIPTIONS}/s"),
    ],
)
def test_ben_and_a_stranger_see_nothing(caller: Caller, method: str, path: str) -> None:
    make.subscription(make.customer("acme"), key="s")
    ben, stranger = caller("events:write", "catalog:write", name="ben"), caller()
    stranger.credentials()
    for client, status in ((ben, 403), (stranger, 401)):
        answer = getattr(client, method)(path, {})
        assert answer.status_code == status
        assert b"acme" not in answer.content
