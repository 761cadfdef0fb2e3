"""Own terms for a price (R22): agreed from a day on, ended on one, in API and admin."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from django.test import Client

from catalog.drafts import PriceDraft
from catalog.overrides import applies, overridden, override_errors
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import PriceOverride, Subscription
from customers.services import OverrideEnded, agree_price, end_override
from tests import factories as make
from tests.conftest import Caller
from tests.staff import anna, leo, page, said

pytestmark = pytest.mark.django_db

START = date(2026, 11, 1)
CHEAPER = {"tiers": [{"up_to": None, "unit_amount": "0.001", "flat_amount": "0"}]}


def subscription() -> Subscription:
    version = make.published(
        make.flat(), make.graduated(make.metric("calls"), "1000 @ 0.01, rest @ 0.008", key="calls")
    )
    return make.subscription(version=version, starts_on=START)


def agree(one: Subscription, price: str = "base", **fields: Any) -> PriceOverride:
    defaults: dict[str, Any] = {
        "terms": {"unit_amount": "399"},
        "starts_on": START,
        "reason": "Three years fixed",
    }
    return agree_price(
        subscription_id=one.pk,
        price_key=price,
        **{**defaults, **fields},
        at=make.AT,
        actor=SYSTEM,
    )


def faults(**fields: Any) -> set[tuple[str, str]]:
    one = subscription()
    agree(one, starts_on=date(2027, 1, 1), ends_on=date(2027, 2, 1))
    with pytest.raises(Invalid) as refusal:
        agree(one, **{"ends_on": date(2026, 12, 1), **fields})
    assert PriceOverride.objects.count() == 1
    return {("/".join(map(str, fault.path)), fault.code) for fault in refusal.value.faults}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"price": "nothing"}, {("price", "unknown_price")}),
        ({"terms": {}}, {("", "nothing_differs")}),
        ({"terms": {"unit_amount": None}}, {("unit_amount", "required")}),
        ({"terms": CHEAPER}, {("tiers", "not_for_this_model")}),
        ({"terms": {"minimum": "6", "maximum": "5"}}, {("minimum", "minimum_above_maximum")}),
        (
            {"price": "calls", "terms": {"tiers": [{**CHEAPER["tiers"][0], "up_to": "5"}]}},
            {("tiers/0/up_to", "last_tier_closed")},
        ),
        ({"reason": " "}, {("reason", "required")}),
        ({"starts_on": date(2026, 10, 31), "ends_on": START}, {("starts_on", "out_of_range")}),
        ({"ends_on": START}, {("ends_on", "out_of_range")}),
        (
            {"starts_on": date(2027, 1, 31), "ends_on": date(2027, 3, 1)},
            {("starts_on", "overlaps")},
        ),
        ({"ends_on": date(2027, 1, 2)}, {("starts_on", "overlaps")}),
        ({"ends_on": None}, {("starts_on", "overlaps")}),
    ],
)
def test_what_can_not_be_agreed_is_named(
    fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert faults(**fields) == expected


def test_own_terms_may_touch() -> None:
    one = subscription()
    agree(one, ends_on=date(2027, 1, 1))
    agree(one, starts_on=date(2027, 1, 1))
    assert [own.holds_on(date(2026, 12, 31)) for own in one.overrides.all()] == [True, False]
    assert [own.holds_on(date(2027, 1, 1)) for own in one.overrides.all()] == [False, True]


def test_only_what_differs_is_replaced() -> None:
    one = subscription()
    [_, calls] = [
        PriceDraft(price, list(price.tiers.all()))
        for price in one.phases.get().plan_version.prices.all()
    ]
    changed = overridden(calls, {**CHEAPER, "maximum": "50"})
    assert (changed.price.maximum, changed.price.metric) == (D(50), calls.price.metric)
    assert [tier.unit_amount for tier in changed.tiers] == [D("0.001")]
    assert (calls.price.maximum, len(calls.tiers)) == (None, 2)
    assert override_errors(calls, CHEAPER) == []
    assert not applies(calls, {"unit_amount": "1"})


def test_they_end_for_good() -> None:
    own = agree(subscription())
    end_override(override_id=own.pk, ends_on=date(2027, 1, 1), actor=SYSTEM)
    with pytest.raises(OverrideEnded):
        end_override(override_id=own.pk, ends_on=date(2027, 2, 1), actor=SYSTEM)
    with pytest.raises(Invalid):
        end_override(override_id=own.pk, ends_on=START, actor=SYSTEM)


def test_the_trail_says_what_was_agreed_and_why() -> None:
    agree(subscription())
    entry = AuditEntry.objects.get(action="agreed price")
    assert entry.changes == {"price base from 2026-11-01": [None, {"unit_amount": "399"}]}
    assert entry.note == "Three years fixed"


class TestApi:
    def test_agreed_listed_and_ended(self, caller: Caller) -> None:
        one, client = subscription(), caller()
        url = f"/api/v1/subscriptions/{one.key}/overrides"
        body = {
            "price": "calls",
            "starts_on": "2026-11-01",
            "included_quantity": "5000",
            "tiers": [{"up_to": None, "unit_amount": "0.0010"}],
            "reason": "Launch partner",
        }
        made = client.post(url, body)
        assert made.status_code == 201
        terms = {
            "included_quantity": "5000",
            "tiers": [{"up_to": None, "unit_amount": "0.001", "flat_amount": "0"}],
        }
        assert made.json()["terms"] == terms
        assert client.get(url).json()[0]["terms"] == terms
        ended = client.post(f"{url}/{made.json()['id']}/end", {"ends_on": "2027-01-01"})
        assert ended.json()["ends_on"] == "2027-01-01"

    def test_another_subscriptions_terms_are_not_there(self, caller: Caller) -> None:
        one, other = subscription(), make.subscription(starts_on=START)
        own = agree(one)
        url = f"/api/v1/subscriptions/{other.key}/overrides/{own.uuid}/end"
        assert caller().post(url, {"ends_on": "2027-01-01"}).status_code == 404

    def test_every_fault_is_named(self, caller: Caller) -> None:
        one = subscription()
        refused = caller().post(
            f"/api/v1/subscriptions/{one.key}/overrides",
            {"price": "calls", "starts_on": "x", "maximum": "-1", "model": "flat"},
        )
        pointers = {error["pointer"] for error in refused.json()["errors"]}
        assert pointers == {"/starts_on", "/maximum", "/model", "/reason"}


class TestAdmin:
    def test_an_own_price_is_agreed_in_words(self) -> None:
        one, client = subscription(), leo()
        url = page("customers_subscription", "own_price", one.pk)
        assert "Own price for which price?" in said(client.get(url))
        shown = said(client.get(f"{url}?price=calls"))
        assert "The plan: 0.01 for the first 1,000, 8.00 per 1,000 above" in shown
        form = {"tiers": "5000: 0.009\nrest: 0.001", "starts_on": "2026-11-01", "reason": "Deal"}
        refused = said(client.post(f"{url}?price=calls", {**form, "tiers": "5000 at 1"}))
        assert "Line 1: write the last unit" in refused
        client.post(f"{url}?price=calls", form)
        assert PriceOverride.objects.get().terms["tiers"][0]["up_to"] == "5000"
        shown = said(client.get(page("customers_subscription", "change", one.pk)))
        assert "9.00 per 1,000 for the first 5,000" in shown

    def test_a_maximum_is_lifted_by_name(self) -> None:
        metric = make.metric("calls")
        priced = make.graduated(metric, "rest @ 1", key="calls", maximum=D(100))
        one = make.subscription(version=make.published(priced), starts_on=START)
        url = page("customers_subscription", "own_price", one.pk) + "?price=calls"
        leo().post(url, {"maximum": "none", "starts_on": "2026-11-01", "reason": "Deal"})
        assert PriceOverride.objects.get().terms == {"maximum": None}

    def test_it_is_ended(self) -> None:
        own = agree(subscription())
        url = page("customers_subscription", "end_own_price", own.subscription_id)
        leo().post(url, {"ends_on": "2027-01-01"})
        own.refresh_from_db()
        assert own.ends_on == date(2027, 1, 1)

    def test_only_who_may_agrees(self) -> None:
        one = subscription()
        url = page("customers_subscription", "own_price", one.pk) + "?price=base"
        form = {"unit_amount": "1", "starts_on": "2026-11-01", "reason": "Deal"}
        assert anna().post(url, form).status_code == 403
        assert Client().post(url, form).status_code == 302
        assert not PriceOverride.objects.exists()
