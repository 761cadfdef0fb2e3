"""Plans and versions over the API: drafted, replaced, published once, retired."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any

import pytest
from django.db import connection

from catalog.api.metrics import EXAMPLE as INPUT_TOKENS
from catalog.api.versions import EXAMPLE
from catalog.models import Plan, PlanVersion
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
PLANS = "/api/v1/plans"
VERSIONS = f"{PLANS}/scale/versions"
FLAT: dict[str, Any] = {"key": "base", "name": "Base", "model": "flat", "unit_amount": "499.00"}
TIERS: list[dict[str, Any]] = [
    {"up_to": "10", "unit_amount": "2"},
    {"up_to": None, "unit_amount": "1"},
]
LADDER: dict[str, Any] = {
    "key": "use",
    "name": "Use",
    "model": "graduated",
    "metric": "m",
    "tiers": TIERS,
}


def version(*prices: Any, **terms: Any) -> dict[str, Any]:
    return {"currency": "EUR", "prices": list(prices), **terms}


def faults(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_the_contracts_examples_in_their_order(caller: Caller) -> None:
    client = caller("catalog:read", "catalog:write", name="ada")
    plan = {"key": "scale", "name": "Scale", "description": "…"}
    assert client.post("/api/v1/metrics", INPUT_TOKENS).status_code == 201
    assert client.post(PLANS, plan).json().items() >= plan.items()
    draft = client.post(VERSIONS, EXAMPLE)
    assert draft.status_code == 201
    assert (draft.json()["version"], draft.json()["status"]) == (1, "draft")
    published = client.post(f"{VERSIONS}/1/publish")
    assert published.status_code == 200
    assert published.json() == client.get(f"{VERSIONS}/1").json()
    assert (published.json()["is_current"], published.json()["published_by"]) == (True, "ada")
    base, usage = published.json()["prices"]
    assert base["timing"] == "advance"
    assert "metric" not in base
    assert (usage["timing"], usage["metric"]) == ("arrears", "input_tokens")
    assert usage["tiers"][0] == {"up_to": "50000", "unit_amount": "0.002", "flat_amount": "0"}
    assert usage["rule"].startswith("100,000 tokens included, then 2.00 per 1,000")
    assert code(client.post(f"{VERSIONS}/1/publish")) == (409, "version_published")
    [facts] = client.get(f"{PLANS}/scale").json()["versions"]
    assert (facts["version"], facts["status"], facts["is_current"]) == (1, "published", True)


def test_rules_are_said_in_the_readers_language(caller: Caller) -> None:
    make.draft(make.graduated(make.metric(), "10 @ 2, rest @ 1"), plan=make.plan("scale"))
    german = caller().get(f"{VERSIONS}/1", headers={"Accept-Language": "de"})
    assert "für die ersten 10" in german.json()["prices"][0]["rule"]


def test_a_price_has_defaults(caller: Caller) -> None:
    make.plan("scale")
    seats = {"key": "seats", "name": "Seats", "model": "per_unit", "unit_amount": 5}
    price = caller().post(VERSIONS, version(seats)).json()["prices"][0]
    assert price["timing"] == "advance"
    assert price["metric"] is None
    assert (price["included_quantity"], price["discount_percent"]) == ("0", "0")
    assert (price["overage_policy"], price["prorate"]) == ("bill", "days")


SEATS = {"key": "seats", "name": "Seats", "model": "per_unit", "unit_amount": "5"}


@pytest.mark.parametrize(
    ("price", "plural", "rule"),
    [
        pytest.param(SEATS, "", "5.00 per unit.", id="nothing says what they are called"),
        pytest.param(SEATS | {"unit": "seat"}, "seats", "5.00 per seat.", id="an s by itself"),
        pytest.param(
            SEATS | {"unit": "box", "unit_plural": "boxes", "included_quantity": "3"},
            "boxes",
            "3 boxes included, then 5.00 per box.",
            id="both are said",
        ),
    ],
)
def test_what_is_agreed_on_has_a_name(
    caller: Caller, price: dict[str, Any], plural: str, rule: str
) -> None:
    make.plan("scale")
    answered = caller().post(VERSIONS, version(price)).json()["prices"][0]
    assert (answered["unit_plural"], answered["rule"]) == (plural, rule)


@pytest.mark.parametrize(
    ("price", "pointer", "reason"),
    [
        pytest.param(
            SEATS | {"unit_plural": "seats"}, "/prices/0/unit", "required", id="several, not one"
        ),
        pytest.param(
            SEATS | {"unit": "call", "metric": "m"},
            "/prices/0/unit",
            "named_by_its_metric",
            id="a metric says it",
        ),
        pytest.param(FLAT | {"unit": "fee"}, "/prices/0/unit", "not_for_this_model", id="a fee"),
    ],
)
def test_only_what_is_agreed_on_names_its_own_units(
    caller: Caller, price: dict[str, Any], pointer: str, reason: str
) -> None:
    make.plan("scale")
    make.metric("m")
    errors = caller().post(VERSIONS, version(price)).json()["errors"]
    assert (pointer, reason) in [(error["pointer"], error["code"]) for error in errors]


def test_every_model_comes_back_as_it_was_sent(caller: Caller) -> None:
    make.plan("scale")
    make.metric("m")
    prices = [
        FLAT | {"unit_amount": "499", "prorate": "none", "discount_percent": "12.5"},
        {"key": "u", "name": "U", "model": "per_unit", "metric": "m", "unit_amount": "0.000001"},
        LADDER | {"minimum": "5", "maximum": "7.5", "overage_policy": "block"},
        LADDER | {"key": "v", "model": "volume", "included_quantity": "0.5"},
        {
            **{"key": "p", "name": "P", "model": "package", "metric": "m"},
            **{"unit_amount": "3", "package_size": "1000"},
        },
    ]
    sent = version(*prices, interval="year", interval_count=2, minimum_commitment="100")
    created = caller().post(VERSIONS, sent).json()
    assert {**sent, "prices": None}.items() <= {**created, "prices": None}.items()
    for before, after in zip(prices, created["prices"], strict=True):
        before = deepcopy(before)
        for tier in before.get("tiers", ()):
            tier["flat_amount"] = "0"
        assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (
            LADDER | {"tiers": TIERS[::-1]},
            {("tiers/0/up_to", "open_tier_not_last"), ("tiers/1/up_to", "last_tier_closed")},
        ),
        (
            LADDER | {"tiers": [TIERS[0], TIERS[0] | {"up_to": "5"}, TIERS[1]]},
            {("tiers/1/up_to", "not_rising")},
        ),
        (LADDER | {"tiers": [TIERS[1], TIERS[1]]}, {("tiers/0/up_to", "open_tier_not_last")}),
        (LADDER | {"tiers": TIERS[:1]}, {("tiers/0/up_to", "last_tier_closed")}),
        (
            LADDER | {"tiers": [TIERS[0] | {"up_to": "0"}, TIERS[1]]},
            {("tiers/0/up_to", "not_positive")},
        ),
        (
            LADDER | {"tiers": [TIERS[0] | {"up_to": "-1"}, TIERS[1]]},
            {("tiers/0/up_to", "too_small")},
        ),
        (LADDER | {"tiers": []}, {("tiers", "required")}),
        (LADDER | {"tiers": TIERS[1:] * 101}, {("tiers", "max_length")}),
        (LADDER | {"tiers": {"up_to": None}}, {("tiers", "not_a_list")}),
        (LADDER | {"tiers": [{"up_to": None}]}, {("tiers/0/unit_amount", "required")}),
        (LADDER | {"tiers": [TIERS[1] | {"colour": 1}]}, {("tiers/0/colour", "unknown_field")}),
        (LADDER | {"model": "volume", "timing": "advance"}, {("timing", "usage_in_advance")}),
        (LADDER | {"metric": None}, {("metric", "required")}),
        (LADDER | {"metric": "nix"}, {("metric", "unknown_metric")}),
        (LADDER | {"metric": 7}, {("metric", "invalid")}),
        (LADDER | {"unit_amount": "1"}, {("unit_amount", "not_for_this_model")}),
        (LADDER | {"package_size": "1"}, {("package_size", "not_for_this_model")}),
        (
            LADDER | {"metric": None, "tiers": TIERS[:1]},
            {("metric", "required"), ("tiers/0/up_to", "last_tier_closed")},
        ),
        (FLAT | {"unit_amount": None}, {("unit_amount", "required")}),
        (FLAT | {"metric": "m"}, {("metric", "not_for_this_model")}),
        (FLAT | {"tiers": TIERS}, {("tiers", "not_for_this_model")}),
        (FLAT | {"included_quantity": "1"}, {("included_quantity", "included_on_flat")}),
        (FLAT | {"minimum": "5", "maximum": "4"}, {("minimum", "minimum_above_maximum")}),
        (FLAT | {"unit_amount": "-1"}, {("unit_amount", "too_small")}),
        (FLAT | {"unit_amount": "1" * 30}, {("unit_amount", "too_long")}),
        (FLAT | {"unit_amount": 10**30}, {("unit_amount", "too_long")}),
        (FLAT | {"unit_amount": "NaN"}, {("unit_amount", "invalid")}),
        (FLAT | {"unit_amount": "1e3"}, {("unit_amount", "invalid")}),
        (FLAT | {"unit_amount": "１"}, {("unit_amount", "invalid")}),
        (FLAT | {"unit_amount": True}, {("unit_amount", "invalid")}),
        (FLAT | {"minimum": "0.00001"}, {("minimum", "too_long")}),
        (FLAT | {"discount_percent": "100.1"}, {("discount_percent", "too_large")}),
        (FLAT | {"prorate": "weeks"}, {("prorate", "invalid_choice")}),
        (
            FLAT | {"model": "percentage"},
            {
                ("unit_amount", "not_for_this_model"),
                ("percent_rate", "required"),
                ("metric", "required"),
            },
        ),
        (
            FLAT | {"model": "matrix"},
            {("dimensions", "required"), ("rows", "required"), ("metric", "required")},
        ),
        (FLAT | {"model": "free"}, {("model", "invalid_choice")}),
        (FLAT | {"model": None}, {("model", "null")}),
        (FLAT | {"colour": "red"}, {("colour", "unknown_field")}),
        (FLAT | {"rule": "cheap"}, {("rule", "read_only")}),
        (
            {"model": "package", "metric": "m"},
            {
                ("key", "required"),
                ("name", "required"),
                ("unit_amount", "required"),
                ("package_size", "required"),
            },
        ),
        ("flat", {("", "invalid")}),
    ],
)
def test_a_price_that_can_not_be_charged_is_refused_by_name(
    caller: Caller, price: Any, expected: set[tuple[str, str]]
) -> None:
    make.plan("scale")
    make.metric("m")
    refused = caller().post(VERSIONS, version(FLAT | {"key": "sound"}, price))
    assert faults(refused) == {
        ("/prices/1" + (f"/{path}" if path else ""), code) for path, code in expected
    }


def test_the_faults_of_all_prices_are_said_at_once(caller: Caller) -> None:
    make.plan("scale")
    broken = version(
        LADDER | {"metric": "nix", "tiers": TIERS[:1], "name": ""},
        FLAT | {"key": "use", "minimum": "2", "maximum": "1"},
        currency="EURO",
        trial_days=-1,
        surprise=1,
    )
    assert faults(caller().post(VERSIONS, broken)) == {
        ("/currency", "unknown_currency"),
        ("/trial_days", "min_value"),
        ("/surprise", "unknown_field"),
        ("/prices/0/name", "blank"),
        ("/prices/0/metric", "unknown_metric"),
        ("/prices/0/tiers/0/up_to", "last_tier_closed"),
        ("/prices/1/minimum", "minimum_above_maximum"),
        ("/prices/1/key", "not_unique"),
    }


@pytest.mark.parametrize(
    ("terms", "pointer", "code"),
    [
        ({"interval": "fortnight"}, "/interval", "invalid_choice"),
        ({"interval_count": 0}, "/interval_count", "min_value"),
        ({"interval_count": 1001}, "/interval_count", "max_value"),
        ({"interval_count": "1"}, "/interval_count", "invalid"),
        ({"trial_days": 3651}, "/trial_days", "max_value"),
        ({"trial_days": 1.5}, "/trial_days", "invalid"),
        ({"minimum_commitment": "-1"}, "/minimum_commitment", "too_small"),
        ({"currency": "eur"}, "/currency", "unknown_currency"),
        ({"currency": ["EUR"]}, "/currency", "unknown_currency"),
        ({"currency": "XAU"}, "/currency", "unknown_currency"),
        ({"prices": [FLAT] * 101}, "/prices", "max_length"),
        ({"prices": {}}, "/prices", "not_a_list"),
        ({"status": "published"}, "/status", "read_only"),
    ],
)
def test_impossible_terms_are_refused_by_name(
    caller: Caller, terms: dict[str, Any], pointer: str, code: str
) -> None:
    make.plan("scale")
    assert (pointer, code) in faults(caller().post(VERSIONS, version(**terms)))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite holds 15 digits")
def test_sqlite_refuses_what_it_would_round(caller: Caller) -> None:
    make.plan("scale")
    price = FLAT | {"unit_amount": "12345678.123456789"}
    refused = caller().post(VERSIONS, version(price))
    assert faults(refused) == {("/prices/0/unit_amount", "inexact")}


class TestDraft:
    def test_is_replaced_whole(self, caller: Caller) -> None:
        make.draft(plan=make.plan("scale"), trial_days=14, minimum_commitment=5)
        client = caller()
        body = version(FLAT | {"key": "new"}, currency="USD")
        replaced = client.put(f"{VERSIONS}/1", body).json()
        assert (replaced["currency"], replaced["trial_days"]) == ("USD", 0)
        assert replaced["minimum_commitment"] is None
        assert [price["key"] for price in replaced["prices"]] == ["new"]
        assert client.get(f"{VERSIONS}/1").json() == replaced

    def test_is_discarded(self, caller: Caller) -> None:
        make.draft(plan=make.plan("scale"))
        client = caller()
        assert client.delete(f"{VERSIONS}/1").status_code == 204
        assert client.get(f"{VERSIONS}/1").status_code == 404

    def test_is_not_published_empty(self, caller: Caller) -> None:
        make.plan("scale")
        client = caller()
        assert client.post(VERSIONS, version()).status_code == 201
        assert faults(client.post(f"{VERSIONS}/1/publish")) == {("/prices", "required")}

    def test_is_published_without_saying_more(self, caller: Caller) -> None:
        make.draft(plan=make.plan("scale"))
        refused = caller().post(f"{VERSIONS}/1/publish", {"at": "now"})
        assert faults(refused) == {("/at", "unknown_field")}


class TestPublished:
    @pytest.fixture(autouse=True)
    def scale(self) -> None:
        make.published(plan=make.plan("scale"))

    def test_is_not_replaced(self, caller: Caller) -> None:
        assert code(caller().put(f"{VERSIONS}/1", version(FLAT))) == (409, "version_published")

    def test_is_not_discarded(self, caller: Caller) -> None:
        assert code(caller().delete(f"{VERSIONS}/1")) == (409, "version_published")

    def test_is_superseded_by_the_next(self, caller: Caller) -> None:
        client = caller()
        client.post(VERSIONS, version(FLAT))
        client.post(f"{VERSIONS}/2/publish")
        listed = client.get(VERSIONS).json()["results"]
        assert [(v["version"], v["is_current"]) for v in listed] == [(1, False), (2, True)]

    def test_is_retired_once(self, caller: Caller) -> None:
        client = caller()
        retired = client.post(f"{VERSIONS}/1/retire")
        assert (retired.status_code, retired.json()["status"]) == (200, "retired")
        assert retired.json()["retired_at"]
        assert code(client.post(f"{VERSIONS}/1/retire")) == (409, "version_not_published")


def test_a_plans_texts_change_and_its_key_does_not(caller: Caller) -> None:
    make.plan("scale")
    client = caller()
    changed = client.patch(f"{PLANS}/scale", {"name": "Scale up", "description": "Two\nlines"})
    assert (changed.json()["name"], changed.json()["description"]) == ("Scale up", "Two\nlines")
    assert faults(client.patch(f"{PLANS}/scale", {"key": "other"})) == {("/key", "immutable")}
    assert changed.json()["has_calculator"] is True
    closed = client.patch(f"{PLANS}/scale", {"has_calculator": False})
    assert (closed.json()["has_calculator"], closed.json()["name"]) == (False, "Scale up")
    assert code(client.post(PLANS, {"key": "scale", "name": "Again"})) == (409, "key_taken")


@pytest.mark.parametrize(
    "path",
    ["nix", "nix/versions", "nix/versions/1", "scale/versions/2", "scale/versions/999999999"],
)
def test_what_is_not_there_is_not_found(caller: Caller, path: str) -> None:
    make.draft(plan=make.plan("scale"))
    assert code(caller().get(f"{PLANS}/{path}")) == (404, "not_found")


def test_a_version_is_found_under_its_own_plan_only(caller: Caller) -> None:
    make.draft(plan=make.plan("scale"))
    make.plan("other")
    client = caller()
    assert client.get(f"{PLANS}/other/versions/1").status_code == 404
    assert client.post(f"{PLANS}/other/versions/1/publish").status_code == 404
    assert client.post(f"{PLANS}/nix/versions", version(FLAT)).status_code == 404


def test_odd_keys_are_reached_percent_encoded(caller: Caller) -> None:
    client = caller()
    assert client.post(PLANS, {"key": "50%+a:b&c;d", "name": "Odd"}).status_code == 201
    assert client.get(f"{PLANS}/50%25+a:b%26c%3Bd").json()["name"] == "Odd"
    assert client.get(f"{PLANS}/50%25+a:b%26c%3Bd/versions").json()["results"] == []


class TestWhoMayCall:
    """Ada owns the catalog, Ben's gateway only sends events, and a stranger has no key."""

    CALLS = [
        ("post", "/api/v1/metrics"),
        ("patch", "/api/v1/metrics/m"),
        ("post", PLANS),
        ("patch", f"{PLANS}/scale"),
        ("post", VERSIONS),
        ("put", f"{VERSIONS}/1"),
        ("delete", f"{VERSIONS}/1"),
        ("post", f"{VERSIONS}/1/publish"),
        ("post", f"{VERSIONS}/1/retire"),
        ("get", "/api/v1/metrics"),
        ("get", "/api/v1/metrics/m"),
        ("get", PLANS),
        ("get", f"{PLANS}/scale"),
        ("get", VERSIONS),
        ("get", f"{VERSIONS}/1"),
        ("post", "/api/v1/prices/calculate"),
    ]

    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_ben_and_a_stranger_are_refused(self, caller: Caller, method: str, path: str) -> None:
        make.draft(plan=make.plan("scale"))
        make.metric("m")
        ben, stranger = caller("events:write", name="ben"), caller()
        stranger.credentials()
        for client, status in ((ben, 403), (stranger, 401)):
            assert getattr(client, method)(path, {}).status_code == status
        assert PlanVersion.objects.get().status == "draft"

    def test_reading_and_calculating_need_no_right_to_write(self, caller: Caller) -> None:
        reader = caller("catalog:read")
        body = {"currency": "EUR", "price": {"model": "flat", "unit_amount": "1"}}
        assert reader.post("/api/v1/prices/calculate", body).status_code == 200
        assert reader.post(PLANS, {"key": "p", "name": "P"}).status_code == 403

    def test_adas_doings_are_on_record(self, caller: Caller) -> None:
        caller("catalog:write", name="ada").post(PLANS, {"key": "p", "name": "P"})
        entry = AuditEntry.objects.get(subject_type="catalog.plan")
        assert (entry.actor_kind, entry.actor_name, entry.action) == ("api_key", "ada", "created")


class TestLists:
    def test_ask_as_often_for_thirty_plans_as_for_three(
        self, caller: Caller, django_assert_max_num_queries: Any
    ) -> None:
        client = caller("catalog:read")
        client.get(PLANS)  # stamps the key's use

        def grow(count: int) -> int:
            for _ in range(count):
                make.draft(make.flat(), make.graduated(make.metric(), "10 @ 2, rest @ 1"))
            with django_assert_max_num_queries(4) as captured:
                assert client.get(f"{PLANS}?limit=100").status_code == 200
            return len(captured)

        assert grow(3) == grow(27)

    def test_ask_as_often_for_thirty_versions_as_for_three(
        self, caller: Caller, django_assert_max_num_queries: Any
    ) -> None:
        client = caller("catalog:read")
        plan, usage = make.plan("scale"), make.metric()
        client.get(VERSIONS)

        def grow(count: int) -> int:
            for _ in range(count):
                make.draft(make.flat(), make.graduated(usage, "10 @ 2, rest @ 1"), plan=plan)
            with django_assert_max_num_queries(7) as captured:
                assert client.get(f"{VERSIONS}?limit=100").status_code == 200
            return len(captured)

        assert grow(3) == grow(27)

    def test_ten_thousand_plans_are_no_different(
        self, caller: Caller, django_assert_max_num_queries: Any
    ) -> None:
        plans = Plan.objects.bulk_create(
            Plan(key=f"plan-{n}", name=f"Plan {n}") for n in range(10_000)
        )
        PlanVersion.objects.bulk_create(
            PlanVersion(plan=plan, number=1, currency="EUR") for plan in plans
        )
        client = caller("catalog:read")
        client.get(PLANS)
        page = f"{PLANS}?limit=100"
        for _ in range(3):
            with django_assert_max_num_queries(3):
                answer = client.get(page).json()
            page = answer["next"]
        assert [row["key"] for row in answer["results"]] == [f"plan-{n}" for n in range(200, 300)]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs two writers at once")
def test_of_two_who_publish_at_once_one_wins(caller: Caller) -> None:
    make.draft(plan=make.plan("scale"))
    clients = [caller(name="ada"), caller(name="ben")]
    ready, answers = threading.Barrier(2), []

    def publish(client: Any) -> None:
        ready.wait()
        try:
            answers.append(client.post(f"{VERSIONS}/1/publish").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=publish, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409]
