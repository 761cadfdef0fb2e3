"""The price calculator as anybody with the link uses it, and what is usual for whoever sets a price."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.portal import calculator
from billing.typical import typical_usage
from catalog import services
from catalog.drafts import PriceDraft
from catalog.models import Plan, PlanVersion, Price
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.customers import door
from tests.staff import anna, page, said

pytestmark = pytest.mark.django_db

D = Decimal
DECEMBER = datetime(2026, 12, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nobody_asked_before() -> None:
    cache.clear()


@pytest.fixture
def scale() -> PlanVersion:
    """499 a month, 100,000 calls included, then 2.00 and 1.50 per 1,000; seats at 12."""
    calls = make.metric("api_calls", name="API calls")
    seats = Price(
        key="seats",
        name="Seats",
        model="per_unit",
        timing="advance",
        unit_amount=D(12),
        unit="seat",
        unit_plural="seats",
    )
    ladder = make.graduated(
        calls,
        "50000 @ 0.002, rest @ 0.0015",
        "calls",
        name="API calls",
        included_quantity=D(100_000),
    )
    plan = make.plan("scale", name="Scale")
    return make.published(make.flat(), ladder, PriceDraft(seats), plan=plan)


URL = "/portal/terms/scale/1/calculator/"


def ask(said_: dict[str, str] | None = None, *, language: str = "en") -> Any:
    return Client().get(URL, said_ or {}, headers={"Accept-Language": language})


def test_a_stranger_works_out_a_period(scale: PlanVersion) -> None:
    words = said(ask({"calls": "187340", "seats": "3"}))
    assert "What Scale costs" in words
    assert "Together €691.01" in words
    assert "First 50,000 calls over 50,000 × 2.00 per 1,000" in words
    assert "Seats 3 seats 36.00" in words
    assert "Per seat 3 × 12.00 3 12.00 36.00" in words
    assert "Before tax" in words


def test_in_german(scale: PlanVersion) -> None:
    words = said(ask({"calls": "187340", "seats": "1"}, language="de"))
    assert "Was Scale kostet" in words
    assert "667,01" in words
    assert "187.340 calls" in words


def test_what_is_not_said_is_suggested(scale: PlanVersion) -> None:
    html = ask().content.decode()
    assert re.search(r'name="calls"\s+value="175000"', html)
    assert re.search(r'name="seats"\s+value="5"', html)


def test_it_says_what_the_invoice_says(scale: PlanVersion) -> None:
    """The same quantities, billed: the lines before tax come to the same sum."""
    buyer = make.customer("ada")
    subscription = make.subscription(buyer, scale, quantities={"seats": D(3)})
    use(subscription, datetime(2026, 11, 5, tzinfo=UTC), calls=187_340)
    opening, november = close(DECEMBER)
    assert str(november.net_total) == "691.0100"
    assert "€691.01" in said(ask({"calls": "187340", "seats": "3"}))


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"calls": "-1"}, "API calls: Write a number from 0 on"),
        ({"calls": "many"}, "API calls: Write a number from 0 on"),
        ({"seats": "1e5"}, "Seats: Write a number from 0 on"),
        ({"calls": "9" * 21}, "API calls: Write a number from 0 on"),
    ],
)
def test_what_can_not_be_worked_out_is_named(
    scale: PlanVersion, answers: dict[str, str], told: str
) -> None:
    answer = ask(answers)
    assert answer.status_code == 400
    assert told in said(answer)
    assert "Together" not in said(answer)


def test_what_somebody_typed_is_text(scale: PlanVersion) -> None:
    answer = ask({"calls": '"><script>alert(1)</script>'})
    assert b"<script>alert" not in answer.content


class TestWhoHasOne:
    def test_a_draft_has_none(self) -> None:
        make.draft(make.flat(), plan=make.plan("scale"))
        assert ask().status_code == 404

    def test_a_retired_version_has_none(self, scale: PlanVersion) -> None:
        at = datetime(2026, 11, 2, tzinfo=UTC)
        services.retire_version(version_id=scale.pk, at=at, actor=SYSTEM)
        assert ask().status_code == 404
        assert Client().get("/portal/terms/scale/1/").status_code == 200

    def test_one_that_is_switched_off(self, scale: PlanVersion) -> None:
        form = {"name": "Scale", "description": ""}
        anna().post(page("catalog_plan", "change", scale.plan_id), form)
        assert Plan.objects.get().has_calculator is False
        assert ask().status_code == 404
        assert URL not in Client().get("/portal/terms/scale/1/").content.decode()

    def test_terms_plan_and_admin_lead_to_it(self, scale: PlanVersion) -> None:
        subscription = make.subscription(make.customer("ada"), scale)
        ada = door.signed_in(door.contact(subscription.customer, "ada@ada.example"))
        admin = page("catalog_planversion", "change", scale.pk)
        for client, address in (
            (Client(), "/portal/terms/scale/1/"),
            (ada, "/portal/plan/"),
            (anna(), admin),
        ):
            assert f'href="{URL}"' in client.get(address).content.decode()
        assert ada.get(URL).status_code == 200

    @pytest.mark.parametrize(
        ("query", "leads_to"),
        [
            ("", URL),
            ("?calls=7", f"{URL}?calls=7"),
            ("?currency=eur&calls=7", f"{URL}?calls=7"),
            ("?currency=USD", None),
        ],
    )
    def test_the_plans_own_address_leads_to_the_version_on_sale(
        self, scale: PlanVersion, query: str, leads_to: str | None
    ) -> None:
        answer = Client().get(reverse("portal:plan_calculator", args=("scale",)) + query)
        assert answer.headers.get("Location") == leads_to
        assert answer.status_code == (302 if leads_to else 404)


def test_who_asks_too_often_waits(scale: PlanVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calculator, "PER_MINUTE", 2)
    assert [ask().status_code for _ in range(3)] == [200, 200, 429]
    assert "very often within a minute" in said(ask())


def test_it_costs_the_same_queries_whatever_the_number_of_prices() -> None:
    def count(key: str, prices: int) -> int:
        drafts = [
            make.graduated(make.metric(), "10 @ 2, rest @ 1", f"p{place}")
            for place in range(prices)
        ]
        make.published(*drafts, plan=make.plan(key))
        with CaptureQueriesContext(connection) as captured:
            assert Client().get(f"/portal/terms/{key}/1/calculator/").status_code == 200
        return len(captured)

    assert count("one", 1) == count("many", 9)


# What is usual


class TestTypical:
    def used(self, key: str, *calls: int, **terms: Any) -> Subscription:
        version = PlanVersion.objects.get()
        subscription = make.subscription(make.customer(key), version, **terms)
        for amount in calls:
            use(subscription, datetime(2026, 11, 20, tzinfo=UTC), calls=amount)
        return subscription

    def test_it_is_the_median_of_last_whole_periods(self, scale: PlanVersion) -> None:
        for key, amount in (("ada", 10), ("ben", 200), ("eve", 3000)):
            self.used(key, amount)
        self.used("idle")
        self.used("late", 999_999, starts_on=date(2026, 11, 15))
        close(DECEMBER)
        [metric] = {price.metric_id for price in Price.objects.exclude(metric=None)}
        assert metric is not None
        [found] = typical_usage([metric]).values()
        assert (found.subscriptions, found.answers["quantity"]) == (3, D(200))

    def test_of_what_nobody_used_nothing_is_known(self, scale: PlanVersion) -> None:
        assert typical_usage([make.metric().pk]) == {}

    def test_many_metrics_are_one_query(self, scale: PlanVersion) -> None:
        metrics = [make.metric().pk for _ in range(5)]
        with CaptureQueriesContext(connection) as captured:
            typical_usage(metrics)
        assert len(captured) == 1
