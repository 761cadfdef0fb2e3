"""Ten examples of plans: read, worked out, and imported as drafts by whoever may."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from catalog import services
from catalog.drafts import unbillable, version_errors
from catalog.linter import warnings
from catalog.metrics import metric_errors
from catalog.models import Plan, PlanVersion, Price, ValueMetric, VersionStatus
from catalog.presets import KEYS, preset, presets, worked_month
from config.base.audit import SYSTEM
from config.base.errors import Invalid, KeyTaken
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller
from tests.staff import anna, leo, page, queries, said, sam, stranger

pytestmark = pytest.mark.once

D = Decimal
TOTALS = {
    "llm-tokens": "236.56",  # 48.25 × 3.00 = 144.75; 6.1204 × 15.00 = 91.806
    "resolved-tickets": "407.88",  # 412 × 0.99
    "stored-contacts": "113.50",  # 2,000 × 0.02 + 4,900 × 0.015
    "seats": "114.00",  # 8 × 12.00 + (11 − 5) × 3.00
    "messages": "1635.48",  # 212,400 × 0.0077
    "storage": "83.80",  # 360,000 × 0.00003 + 18.25 m × 4.00
    "card-payments": "33.54",  # 1,164.90 × 2.9 % + 4 × 0.30 − 49.90 × 2.9 %
    "flat-fee": "99.00",
    "revenue-share": "250.00",  # 1,452.25 × 12 % = 174.27, below the minimum
    "prepaid-credits": "104.00",  # 80.00 + 240 × 0.10
}


def example(key: str) -> str:
    return page("catalog_plan", "example", key)


# What they are


def test_there_are_ten_and_each_has_a_file() -> None:
    assert [one.key for one in presets()] == list(KEYS)
    assert len(KEYS) == 10


@pytest.mark.parametrize("key", KEYS)
def test_nothing_is_wrong_with_any(key: str) -> None:
    one = preset(key)
    metrics = one.new_metrics()
    drafts = one.new_prices(metrics)
    version = one.new_version("EUR")
    assert [fault for metric in metrics for fault in metric_errors(metric)] == []
    assert [*version_errors(drafts), *unbillable(version, drafts)] == []
    suspicious = {warning.code for warning in warnings(version, drafts)}
    assert suspicious == ({"volume_inversion"} if key == "messages" else set())


@pytest.mark.parametrize("key", KEYS)
def test_its_month_is_worked_out(key: str) -> None:
    month = worked_month(preset(key), currency="EUR", locale="en")
    assert month.total == D(TOTALS[key])
    assert {line.name for line in month.lines} == {price["name"] for price in preset(key).prices}


def test_its_usage_is_of_its_own_prices() -> None:
    for one in presets():
        assert set(one.month) <= {price["key"] for price in one.prices}


def test_no_two_share_a_key() -> None:
    keys = [fields["key"] for one in presets() for fields in one.metrics]
    assert len(keys) == len(set(keys))


# Importing


@pytest.mark.django_db
class TestImport:
    def test_all_ten_into_one_installation(self) -> None:
        for key in KEYS:
            version = services.import_preset(key=key, currency="USD", actor=SYSTEM)
            assert (version.plan.key, version.number, version.currency) == (key, 1, "USD")
            assert version.status == VersionStatus.DRAFT
            stored = list(version.prices.all())
            assert [price.key for price in stored] == [p["key"] for p in preset(key).prices]
        assert not PlanVersion.objects.filter(is_current=True).exists()

    def test_numbers_arrive_as_they_stand_in_the_file(self) -> None:
        services.import_preset(key="stored-contacts", currency="EUR", actor=SYSTEM)
        price = Price.objects.get(key="contacts")
        ladder = [(tier.up_to, tier.unit_amount) for tier in price.tiers.all()]
        assert ladder == [
            (D(2000), D("0.02")),
            (D(10000), D("0.015")),
            (None, D("0.01")),
        ]
        assert price.included_quantity == 500
        assert price.metric is not None
        assert price.metric.series == ["list"]

    def test_a_second_time_is_refused_by_name(self) -> None:
        services.import_preset(key="seats", currency="EUR", actor=SYSTEM)
        with pytest.raises(KeyTaken) as refusal:
            services.import_preset(key="seats", currency="USD", actor=SYSTEM)
        assert str(refusal.value) == (
            "“Per seat” can't be imported: the plan key “seats” and the metric key "
            "“active_guests” are taken. Was it imported before? Then make a new version of that "
            "plan instead."
        )
        assert PlanVersion.objects.count() == 1

    def test_a_key_that_is_taken_leaves_nothing_behind(self) -> None:
        make.metric("llm_output_tokens")
        entries = AuditEntry.objects.count()
        with pytest.raises(KeyTaken, match="the metric key “llm_output_tokens” is taken"):
            services.import_preset(key="llm-tokens", currency="EUR", actor=SYSTEM)
        assert (Plan.objects.count(), ValueMetric.objects.count()) == (0, 1)
        assert AuditEntry.objects.count() == entries

    def test_what_is_no_currency_leaves_nothing_behind(self) -> None:
        with pytest.raises(Invalid):
            services.import_preset(key="llm-tokens", currency="XXY", actor=SYSTEM)
        assert (Plan.objects.count(), ValueMetric.objects.count()) == (0, 0)

    def test_the_trail_says_who(self) -> None:
        client = leo()
        client.post(example("seats"), {"currency": "EUR"})
        made = AuditEntry.objects.filter(action="created", subject_type__startswith="catalog.")
        assert {entry.actor_name for entry in made} == {"leo"}
        assert made.count() == 3  # a metric, the plan, the version


@pytest.mark.django_db
class TestCommand:
    def test_without_a_key_it_lists_them(self) -> None:
        out = StringIO()
        call_command("import_preset", stdout=out)
        assert [line.split()[0] for line in out.getvalue().splitlines()] == list(KEYS)

    def test_it_imports(self) -> None:
        out = StringIO()
        call_command("import_preset", "flat-fee", "--currency", "EUR", stdout=out)
        assert "Flat fee only v1 is a draft in EUR" in out.getvalue()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["seats"], "--currency EUR"),
            (["seat", "--currency", "EUR"], "There is no preset “seat”. There are: llm-tokens"),
            (["seats", "--currency", "euro"], "Choose an ISO 4217 currency."),
        ],
    )
    def test_it_refuses_by_name(self, arguments: list[str], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            call_command("import_preset", *arguments)


@pytest.mark.django_db
class TestApi:
    def test_they_are_listed_with_rules_and_a_month(self, caller: Caller) -> None:
        client = caller("catalog:read")
        listed = client.get("/api/v1/presets?currency=USD").json()["results"]
        assert [one["key"] for one in listed] == list(KEYS)
        assert {one["key"]: one["month"]["total"] for one in listed} == TOTALS
        [seats] = [one for one in listed if one["key"] == "seats"]
        assert seats["currency"] == "USD"
        assert seats["metrics"] == ["active_guests"]
        assert seats["prices"][1] == {
            "key": "guests",
            "name": "Guests at the peak",
            "model": "per_unit",
            "metric": "active_guests",
            "rule": "5 guests included, then 3.00 per guest.",
        }

    def test_one_is_imported_once(self, caller: Caller) -> None:
        client = caller("catalog:read", "catalog:write")
        path = "/api/v1/presets/seats/import"
        made = client.post(path, {"currency": "EUR"})
        assert made.status_code == 201
        assert made.json() == client.get("/api/v1/plans/seats/versions/1").json()
        again = client.post(path, {"currency": "EUR"})
        assert (again.status_code, again.json()["code"]) == (409, "key_taken")
        assert "the plan key “seats”" in again.json()["detail"]

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("nothing", {"currency": "EUR"}, 404),
            ("seats", {}, 400),
            ("seats", {"currency": "euro"}, 400),
            ("seats", {"currency": "EUR", "plan": "mine"}, 400),
        ],
    )
    def test_it_refuses(self, caller: Caller, path: str, body: dict[str, Any], status: int) -> None:
        assert caller().post(f"/api/v1/presets/{path}/import", body).status_code == status
        assert not Plan.objects.exists()

    def test_who_may_only_read_imports_nothing(self, caller: Caller) -> None:
        path = "/api/v1/presets/seats/import"
        assert caller("catalog:read").post(path, {"currency": "EUR"}).status_code == 403
        assert caller("billing:read").get("/api/v1/presets").status_code == 403


# In the admin


@pytest.mark.django_db
class TestAdmin:
    def test_the_empty_list_of_plans_leads_to_them(self) -> None:
        shown = leo().get(page("catalog_plan", "changelist"))
        assert page("catalog_plan", "examples").encode() in shown.content
        assert "Or start from one of ten real examples." in said(shown)

    def test_each_is_shown_with_its_rules(self) -> None:
        shown = said(leo().get(page("catalog_plan", "examples")))
        for one in presets():
            assert one.name in shown
            assert one.about in shown
        assert "500 contacts included, then 0.02 for the first 2,000" in shown

    @pytest.mark.parametrize("key", KEYS)
    def test_one_is_shown_with_a_month_before_it_is_imported(self, key: str) -> None:
        shown = said(leo().get(example(key), {"currency": "USD"}))
        assert f"Total USD {D(TOTALS[key]):,.2f}" in shown
        assert "Import it as a draft in USD" in shown
        assert not Plan.objects.exists()

    def test_a_minimum_and_a_warning_are_shown(self) -> None:
        client = leo()
        assert "up to the minimum 75.73" in said(client.get(example("revenue-share")))
        assert "Worth a second look" in said(client.get(example("messages")))

    def test_in_a_currency_without_cents(self) -> None:
        shown = said(leo().get(example("seats"), {"currency": "JPY"}))
        assert "Total JPY 114" in shown

    def test_what_is_no_currency_is_said(self) -> None:
        client = leo()
        assert "XXY is not one of the available choices" in said(
            client.get(example("seats"), {"currency": "XXY"})
        )
        client.post(example("seats"), {"currency": "XXY"})
        assert not Plan.objects.exists()

    def test_it_becomes_a_draft(self) -> None:
        response = leo().post(example("seats"), {"currency": "EUR"}, follow=True)
        draft = PlanVersion.objects.get(plan__key="seats")
        assert response.redirect_chain == [(page("catalog_planversion", "change", draft.pk), 302)]
        assert "Per seat v1 is a draft in EUR." in said(response)

    def test_the_second_time_its_page_says_so(self) -> None:
        client = leo()
        client.post(example("seats"), {"currency": "EUR"})
        shown = said(client.get(example("seats")))
        assert "the plan key “seats”" in shown
        assert "Import it as a draft" not in shown
        assert "can't be imported" in said(
            client.post(example("seats"), {"currency": "EUR"}, follow=True)
        )
        assert PlanVersion.objects.count() == 1

    def test_who_may_not_add_metrics_is_told_whom_to_ask(self) -> None:
        client = anna()
        assert "somebody who may add value metrics" in said(client.get(example("seats")))
        client.post(example("seats"), {"currency": "EUR"})
        assert not Plan.objects.exists()
        client.post(example("flat-fee"), {"currency": "EUR"})  # it has no metric
        assert Plan.objects.get().key == "flat-fee"

    def test_who_may_add_no_plan_sees_none(self) -> None:
        for client in (sam(), stranger()):
            for address in (page("catalog_plan", "examples"), example("seats")):
                assert client.get(address).status_code == 403
            assert client.post(example("seats"), {"currency": "EUR"}).status_code == 403
        assert not Plan.objects.exists()

    def test_what_is_no_example_leads_back(self) -> None:
        response = leo().get(example("nothing"), follow=True)
        assert "There is no example nothing." in said(response)

    def test_as_many_queries_for_whichever(self) -> None:
        client = leo()
        client.get(example("seats"))
        assert queries(lambda: client.get(example("llm-tokens"))) == queries(
            lambda: client.get(example("seats"))
        )
