"""The linter: what it warns of, in which words, and what it leaves alone."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.drafts import PriceDraft
from catalog.linter import warnings
from catalog.models import PlanVersion, Price, PriceTier, ValueMetric
from tests import factories as make
from tests.catalog.notation import tiers
from tests.conftest import Caller
from tests.staff import leo, page, said


def calls(**fields: Any) -> ValueMetric:
    defaults = {
        "unit": "call",
        "unit_plural": "calls",
        "rounding_scale": 0,
        "dimensions": ["region"],
    }
    return ValueMetric(name="API calls", aggregation="sum", **{**defaults, **fields})


def usage(
    model: str, ladder: str = "", metric: ValueMetric | None = None, **fields: Any
) -> PriceDraft:
    price = Price(
        key="calls", name="API calls", model=model, metric=metric or calls(), timing="arrears",
        **fields,
    )  # fmt: skip
    rows = [
        PriceTier(
            up_to=tier.up_to, unit_amount=tier.unit_amount, flat_amount=D(str(tier.flat_amount))
        )
        for tier in (tiers(ladder) if ladder else ())
    ]
    return PriceDraft(price, rows)


BASE = PriceDraft(
    Price(key="base", name="Base fee", model="flat", timing="advance", unit_amount=D(499))
)


def warned(*drafts: PriceDraft, currency: str = "EUR") -> list[tuple[str, str, str]]:
    return [
        ("/".join(map(str, path)), code, message)
        for path, code, message in warnings(PlanVersion(currency=currency), drafts)
    ]


@pytest.mark.parametrize(
    ("draft", "path", "code", "words"),
    [
        pytest.param(
            usage("volume", "1000 @ 0.010, rest @ 0.008"),
            "prices/0/tiers/1/unit_amount",
            "volume_inversion",
            "1,001 calls cost 8.01 EUR, fewer than the 10.00 EUR of 1,000 calls",
            id="1,001 units cheaper than 1,000",
        ),
        pytest.param(
            usage("volume", "1000 @ 0.010, rest @ 0.008", included_quantity=D(500)),
            "prices/0/tiers/1/unit_amount",
            "volume_inversion",
            "1,501 calls cost 8.01 EUR",
            id="the same above an allowance",
        ),
        pytest.param(
            usage("graduated", "50000 @ 0.002, rest @ 0.0015", included_quantity=D(100_000)),
            "prices/0/included_quantity",
            "allowance_above_first_tier",
            "this one ends at 150,000 calls used",
            id="allowance above the first tier",
        ),
        pytest.param(
            usage("graduated", "1000 @ 1, 2000 @ 0.5, rest @ 0.1", maximum=D(1000)),
            "prices/0/tiers/1/up_to",
            "tier_never_reached",
            "At 1,000 calls the maximum of 1,000.00 EUR is reached",
            id="a tier beyond the maximum",
        ),
        pytest.param(
            usage("graduated", "1000 @ 1, 1000.5 @ 1, rest @ 1"),
            "prices/0/tiers/1/up_to",
            "tier_never_reached",
            "No quantity falls into tier 2",
            id="a tier between two whole numbers",
        ),
        pytest.param(
            usage("per_unit", unit_amount=D("0.000000000001")),
            "prices/0/unit_amount",
            "never_bills_a_cent",
            "Even 1,000,000,000 calls cost less than half of 0.01 EUR",
            id="finer than can ever bill a cent",
        ),
        pytest.param(
            usage("graduated", "10 @ 0.0001, rest @ 0.01"),
            "prices/0/tiers/0/unit_amount",
            "never_bills_a_cent",
            "Even 10 calls cost less than half of 0.01 EUR",
            id="a tier too small for its price",
        ),
        pytest.param(
            usage("per_unit", unit_amount=D("0.001"), metric=calls(unit_cost=D("0.0015"))),
            "prices/0/unit_amount",
            "below_cost",
            "1,000 calls are sold for 1.00 EUR and cost you 1.50",
            id="below the unit's cost",
        ),
        pytest.param(
            usage(
                "per_unit",
                unit_amount=D("0.002"),
                discount_percent=D(75),
                metric=calls(unit_cost=D("0.001")),
            ),
            "prices/0/unit_amount",
            "below_cost",
            "1,000 calls are sold for 0.50 EUR, less the discount of 75 %, and cost you 1.00",
            id="below the unit's cost once the discount is off",
        ),
        pytest.param(
            usage(
                "matrix",
                unit_amount=D("0.0001"),
                dimensions=["region"],
                rows=[{"match": {"region": "eu"}, "unit_amount": "0.002"}],
                metric=calls(unit_cost=D("0.001")),
            ),
            "prices/0/unit_amount",
            "below_cost",
            "1,000 calls are sold for 0.10 EUR",
            id="what no row covers, below cost",
        ),
        pytest.param(
            usage("package", unit_amount=D(1), package_size=D(1000), metric=calls(unit_cost=D(1))),
            "prices/0/unit_amount",
            "below_cost",
            "sold for 1.00 EUR",
            id="a package below cost",
        ),
        pytest.param(
            usage("per_unit", unit_amount=D(1), metric=calls(status="deprioritised")),
            "prices/0/metric",
            "metric_deprioritised",
            "deprioritised on its worksheet",
            id="a metric that failed its worksheet",
        ),
    ],
)
def test_a_warning_says_where_and_gives_an_example(
    draft: PriceDraft, path: str, code: str, words: str
) -> None:
    [(where, what, message)] = warned(draft)
    assert (where, what) == (path, code)
    assert words in message


def test_a_cap_below_the_base_fee() -> None:
    capped = usage("per_unit", unit_amount=D(1), maximum=D(100))
    [(path, code, message)] = warned(BASE, capped)
    assert (path, code) == ("prices/1/maximum", "cap_below_base_fee")
    assert "at most 100.00 EUR, less than the base fee of 499.00 EUR" in message
    assert warned(capped) == []


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(
            usage("volume", "1000 @ 0.010, rest @ 0.010"), id="volume without a step down"
        ),
        pytest.param(
            usage("graduated", "1000 @ 0.010, rest @ 0.008"), id="graduated never inverts"
        ),
        pytest.param(
            usage("graduated", "50000 @ 0.002, rest @ 0.0015", included_quantity=D(50_000)),
            id="allowance as large as the first tier",
        ),
        pytest.param(usage("per_unit", unit_amount=D(0)), id="free is meant"),
        pytest.param(
            usage("graduated", "10 @ 0 + 5, rest @ 0.01"), id="a tier that costs a flat fee"
        ),
        pytest.param(
            usage("per_unit", unit_amount=D("0.0015"), metric=calls(unit_cost=D("0.0015"))),
            id="at cost",
        ),
        pytest.param(usage("percentage", percent_rate=D("2.9")), id="a percentage"),
        pytest.param(usage("volume", "rest @ 1, 5 @ 2"), id="a faulty price has errors instead"),
        pytest.param(BASE, id="a base fee"),
    ],
)
def test_what_is_left_alone(draft: PriceDraft) -> None:
    assert warned(draft) == []


def test_nothing_is_said_in_an_unknown_currency() -> None:
    assert warned(usage("volume", "1000 @ 0.010, rest @ 0.008"), currency="XXX") == []


INVERTED = "1000 @ 0.010, rest @ 0.008"


@pytest.mark.django_db
def test_the_api_warns_of_a_draft(caller: Caller) -> None:
    make.plan("scale")
    make.metric("calls")
    ladder = [{"up_to": "1000", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.008"}]
    price = {"key": "calls", "name": "Calls", "metric": "calls", "model": "volume", "tiers": ladder}
    drafted = (
        caller().post("/api/v1/plans/scale/versions", {"currency": "EUR", "prices": [price]}).json()
    )
    [warning] = drafted["warnings"]
    assert (warning["pointer"], warning["code"]) == (
        "/prices/0/tiers/1/unit_amount",
        "volume_inversion",
    )


@pytest.mark.django_db
def test_the_admin_warns_before_publishing() -> None:
    metric = make.metric("calls")
    price, rows = make.graduated(metric, INVERTED)
    price.model = "volume"
    version = make.draft(PriceDraft(price, rows))
    shown = said(leo().get(page("catalog_planversion", "publish", version.pk)))
    assert "Worth a second look" in shown
    assert "1,001 calls cost 8.01 EUR" in shown


@given(
    first=st.decimals("0.001", 10, places=3),
    second=st.decimals("0.001", 10, places=3),
    bound=st.integers(1, 10_000),
)
def test_volume_warns_exactly_where_more_is_cheaper(first: D, second: D, bound: int) -> None:
    draft = usage("volume", f"{bound} @ {first}, rest @ {second}")
    codes = [code for _, code, _ in warned(draft)]
    before, after = round(first * bound, 2), round(second * (bound + 1), 2)
    if before - after > D("0.01"):
        assert "volume_inversion" in codes
    if after - before > D("0.01"):
        assert "volume_inversion" not in codes
