"""What a draft would cost, beside its form; and what a period of a published version costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from catalog.admin.hooks import TYPICAL
from catalog.models import PlanVersion, Price, ValueMetric
from catalog.quotes import Typical
from tests import factories as make
from tests.catalog.test_admin import TERMS, as_shown, flat, graduated, prices_form
from tests.staff import anna, page, queries, said, sam

pytestmark = pytest.mark.django_db

EXAMPLE = "catalog_planversion"
LIVE = {"HX-Request": "true"}


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls", name="API calls")


@pytest.fixture
def nobody_used_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.admin.live.TYPICAL", [])


def worked(client: Client, data: dict[str, Any], **extra: str) -> str:
    """Return what the panel says of a form that nobody saved."""
    answer = client.post(page(EXAMPLE, "example"), {**TERMS, **data, **extra}, headers=LIVE)
    assert answer.status_code == 200
    return said(answer)


def test_a_hybrid_price_is_worked_out_where_it_turns(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(flat(), graduated(calls, maximum="4000")))
    for row in (
        "0 calls nothing used 0.00",
        "100,000 calls all that is included 0.00",
        "100,001 calls one more 1 × 2.00 per 1,000 = 0.002 0.00",
        "149,999 calls one less 49,999 × 2.00 per 1,000 = 99.998 100.00",
        "150,000 calls the last of tier 1 50,000 × 2.00 per 1,000 100.00",
        "150,001 calls one more 50,000 × 2.00 per 1,000 + 1 × 1.50 per 1,000 = 100.0015 100.00",
    ):
        assert row in words
    assert "A typical period EUR 636.50" in words  # 499 + 50,000 × 0.002 + 25,000 × 0.0015
    assert "175,000 calls: assumed, as nobody has used it yet" in words
    assert PlanVersion.objects.count() == 0


def test_a_quantity_of_ones_own(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(graduated(calls)), own_quantity="187340")
    sums = "50,000 × 2.00 per 1,000 + 37,340 × 1.50 per 1,000"
    assert f"API calls: 187,340 calls your own {sums} 156.01" in words


def test_what_customers_usually_use(calls: ValueMetric, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {calls.pk: Typical({"quantity": Decimal(187_340)}, 12)}
    monkeypatch.setattr("catalog.admin.live.TYPICAL", [lambda metrics: usual])
    words = worked(anna(), prices_form(flat(), graduated(calls)))
    assert "187,340 calls: the median of 12 subscriptions’ last whole periods" in words
    assert "A typical period EUR 655.01" in words


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"unit_amount": "4,99"}, "Amount: Write a number without", id="a comma"),
        pytest.param({"unit_amount": ""}, "A flat price needs its unit amount.", id="no fee"),
        pytest.param(
            {"unit_amount": "-1"}, "Amount: The amount must not be", id="less than nothing"
        ),
        pytest.param({"unit_amount": "1" * 30}, "Amount: Ensure that", id="30 digits"),
        pytest.param({"minimum": "2", "maximum": "1"}, "At least: The minimum must not", id="caps"),
        pytest.param({"model": "barter"}, "How it is charged: Select a valid", id="no model"),
    ],
)
def test_the_field_in_the_way_is_named(change: dict[str, str], told: str) -> None:
    words = worked(anna(), prices_form(flat(**change)))
    assert told in words
    assert "A typical period" not in words


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        pytest.param([("50000", "x", "0"), ("", "1", "0")], "Tier 1: Price of a unit", id="unread"),
        pytest.param([("10", "2", "0"), ("5", "1", "0"), ("", "1", "0")], "Tier 2: Up to", id="order"),
        pytest.param([], "A graduated price needs its tiers.", id="none"),
    ],
)  # fmt: skip
def test_the_tier_in_the_way_is_named(
    calls: ValueMetric, tiers: list[tuple[str, str, str]], told: str
) -> None:
    assert told in worked(anna(), prices_form(graduated(calls, tiers=tiers)))


def test_one_faulty_price_leaves_the_others_worked_out(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(flat(unit_amount=""), graduated(calls)))
    assert "150,001 calls" in words
    assert "A typical period" not in words


@pytest.mark.parametrize(
    ("name", "told"),
    [("key", "Key: This field is required."), ("name", "Name on the invoice: This field")],
)
def test_a_price_without_its_name_is_worked_out_all_the_same(
    calls: ValueMetric, name: str, told: str
) -> None:
    words = worked(anna(), prices_form(flat(), graduated(calls, **{name: ""})))
    assert told in words
    assert "150,001 calls" in words
    assert "A typical period EUR 636.50" in words


def test_a_nameless_price_is_still_checked_as_a_whole(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(graduated(calls, key="", minimum="2", maximum="1")))
    assert "At least: The minimum must not be above the maximum." in words


def test_without_a_currency_nothing_is_worked_out(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(graduated(calls)), currency="")
    assert "Currency: This field is required." in words
    assert "150,001 calls" not in words


def test_what_is_hardly_meant_is_said_at_its_price(calls: ValueMetric) -> None:
    words = worked(anna(), prices_form(flat(), graduated(calls, maximum="400")))
    assert "Worth a second look" in words
    assert "at most 400.00 EUR, less than the base fee of 499.00 EUR" in words


def test_a_number_of_ones_own_that_is_none() -> None:
    words = worked(anna(), prices_form(flat()), own_quantity="many")
    assert "A quantity of your own: Write a number with a point" in words


def test_a_metric_that_was_added_since_can_be_chosen(calls: ValueMetric) -> None:
    client = anna()
    assert "150,001 calls" in worked(client, prices_form(graduated(calls)))
    later = make.metric("pages", name="Pages", unit="page", unit_plural="pages")
    assert "150,001 pages" in worked(client, prices_form(graduated(later)))
    assert "Pages" in said(client.get(page(EXAMPLE, "add")))


def test_without_a_script_it_is_a_page_of_its_own(calls: ValueMetric) -> None:
    data = {**TERMS, **prices_form(graduated(calls))}
    answer = anna().post(page(EXAMPLE, "example"), data)
    assert "<html" in answer.content.decode()
    assert "150,001 calls" in said(answer)


def test_a_draft_that_is_there_is_worked_out_as_typed(calls: ValueMetric) -> None:
    version, client = make.draft(make.flat()), anna()
    typed = {**as_shown(client, version), "prices-0-unit_amount": "549"}
    answer = client.post(page(EXAMPLE, "example_of", version.pk), typed, headers=LIVE)
    assert "A flat fee of 549.00." in said(answer)
    assert Price.objects.get().unit_amount == 499


def test_a_published_version_has_no_form_to_work_out() -> None:
    version = make.published()
    assert anna().post(page(EXAMPLE, "example_of", version.pk), TERMS).status_code == 403
    assert sam().post(page(EXAMPLE, "example"), TERMS).status_code == 403


def test_it_costs_the_same_queries_whatever_the_number_of_prices(calls: ValueMetric) -> None:
    client, url = anna(), page(EXAMPLE, "example")

    def count(prices: int) -> int:
        form = prices_form(*(graduated(calls, key=f"p{place}") for place in range(prices)))
        return queries(lambda: client.post(url, {**TERMS, **form}, headers=LIVE))

    assert count(1) == count(8)


# A period of a version


@pytest.fixture
def version(calls: ValueMetric) -> PlanVersion:
    ladder = make.graduated(
        calls, "50000 @ 0.002, rest @ 0.0015", name="API calls", included_quantity=Decimal(100_000)
    )
    return make.published(make.flat(), ladder)


def test_a_published_version_shows_a_period(version: PlanVersion, nobody_used_it: None) -> None:
    words = said(anna().get(page(EXAMPLE, "change", version.pk)))
    assert "What a period costs" in words
    assert "Together, before tax EUR 636.50" in words


@pytest.mark.parametrize("headers", [{}, LIVE], ids=["a page", "a part"])
def test_a_period_at_other_quantities(version: PlanVersion, headers: dict[str, str]) -> None:
    url = page(EXAMPLE, "month", version.pk)
    answer = anna().get(url, {"usage": "187340"}, headers=headers)
    assert "37,340 × 1.50 per 1,000 56.01" in said(answer)
    assert "Together, before tax EUR 655.01" in said(answer)
    assert ("<html" in answer.content.decode()) == (not headers)


def test_a_quantity_that_is_none_is_named(version: PlanVersion) -> None:
    answer = anna().get(page(EXAMPLE, "month", version.pk), {"usage": "many"}, headers=LIVE)
    assert "API calls (calls): Write a number from 0 on" in said(answer)


def test_all_who_ask_are_heard() -> None:
    assert TYPICAL, "billing says what is usual"
