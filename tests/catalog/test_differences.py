"""What differs between two versions of a plan, in words, and where it is read."""

from __future__ import annotations

from copy import copy
from decimal import Decimal
from typing import Any

import pytest

from catalog import services
from catalog.differences import Side, changes
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price, PriceTier, ValueMetric
from config.base.audit import SYSTEM
from tests import factories as make
from tests.conftest import Caller
from tests.staff import leo, page, queries, said, stranger

D = Decimal
CALLS = ValueMetric(key="calls", name="API calls", unit="call", unit_plural="calls")
PAGES = ValueMetric(key="pages", name="Pages", unit="page", unit_plural="pages")
MONEY = ValueMetric(name="Payments", unit="EUR", unit_plural="EUR")


def price(model: str = "per_unit", *tiers: tuple[str, str], **fields: Any) -> PriceDraft:
    defaults: dict[str, Any] = {
        "key": "calls",
        "name": "Calls",
        "metric": CALLS,
        "timing": "arrears",
    }
    if model in ("per_unit", "package", "matrix"):
        defaults["unit_amount"] = D("0.002")
    steps = [
        PriceTier(up_to=D(bound) if bound else None, unit_amount=D(amount))
        for bound, amount in tiers
    ]
    return PriceDraft(Price(model=model, **{**defaults, **fields}), steps)


def fee(amount: str = "499", **fields: Any) -> PriceDraft:
    defaults: dict[str, Any] = {"key": "base", "name": "Base fee", "timing": "advance"}
    return PriceDraft(Price(model="flat", unit_amount=D(amount), **{**defaults, **fields}))


def side(*drafts: PriceDraft, **terms: Any) -> Side:
    return Side(PlanVersion(**{"currency": "EUR", **terms}), drafts)


def card(**fields: Any) -> PriceDraft:
    terms = {"percent_rate": D("2.9"), "fixed_amount": D("0.30"), **fields}
    return price("percentage", metric=MONEY, **terms)


def regions(*rows: tuple[str, str], others: str = "0.10") -> PriceDraft:
    table = [{"match": {"region": region}, "unit_amount": amount} for region, amount in rows]
    return price("matrix", dimensions=["region"], rows=table, unit_amount=D(others))


LADDER = (("50000", "0.002"), ("100000", "0.0015"), ("", "0.001"))
TIERED = price("graduated", *LADDER, included_quantity=D(1000))
ALLOWED = price(included_quantity=D(1000))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(side(ALLOWED), side(ALLOWED), [], id="the same says nothing"),
        pytest.param(
            side(ALLOWED),
            side(price(included_quantity=D(1000), unit_amount=D("0.0018"))),
            ["Calls: overage per 1,000 calls: 2.00 → 1.80"],
            id="a unit price is said for so many that it reads as money",
        ),
        pytest.param(
            side(price(unit_amount=D(2))),
            side(price(unit_amount=D("0.001"))),
            ["Calls: price per 1,000 calls: 2,000.00 → 1.00"],
            id="both for as many units as the finer one needs",
        ),
        pytest.param(
            side(price(unit_amount=D(2))),
            side(price(unit_amount=D(0))),
            ["Calls: price per call: 2.00 → 0.00"],
            id="free from now on",
        ),
        pytest.param(
            side(fee()), side(fee("549")), ["Base fee: fee: 499.00 → 549.00"], id="a base fee"
        ),
        pytest.param(
            side(fee()),
            side(fee(), price()),
            ["Added: Calls. 2.00 per 1,000 calls."],
            id="a price that is new",
        ),
        pytest.param(
            side(fee(), price()),
            side(fee()),
            ["Removed: Calls. It was: 2.00 per 1,000 calls."],
            id="a price that is gone",
        ),
        pytest.param(
            side(ALLOWED),
            side(price(included_quantity=D(1500))),
            ["Calls: included: 1,000 calls → 1,500 calls"],
            id="the allowance",
        ),
        pytest.param(
            side(ALLOWED),
            side(price()),
            ["Calls: included: 1,000 calls → none"],
            id="no allowance any more",
        ),
        pytest.param(
            side(TIERED),
            side(
                price(
                    "graduated",
                    *LADDER[:1],
                    ("100000", "0.0012"),
                    LADDER[2],
                    included_quantity=D(1000),
                )
            ),
            ["Calls: overage per 1,000 calls, above 50,000 up to 100,000: 1.50 → 1.20"],
            id="one tier's price",
        ),
        pytest.param(
            side(price("graduated", *LADDER)),
            side(
                PriceDraft(
                    price("graduated").price,
                    [
                        PriceTier(up_to=D(50000), unit_amount=D("0.002"), flat_amount=D(5)),
                        *price("graduated", *LADDER[1:]).tiers,
                    ],
                )
            ),
            ["Calls: plus once, up to 50,000: 0.00 → 5.00"],
            id="a fee for reaching a tier",
        ),
        pytest.param(
            side(price("volume", *LADDER)),
            side(price("volume", ("50000", "0.002"), ("", "0.001"))),
            [
                "Calls: tiers: 2.00 per 1,000 up to 50,000; 1.50 per 1,000 above 50,000 up to "
                "100,000; 1.00 per 1,000 above 100,000 → 2.00 per 1,000 up to 50,000; 1.00 per "
                "1,000 above 50,000"
            ],
            id="a tier that is gone",
        ),
        pytest.param(
            side(price()),
            side(price(minimum=D(5), maximum=D(100), discount_percent=D(10))),
            [
                "Calls: at least: none → 5.00",
                "Calls: at most: none → 100.00",
                "Calls: discount: 0 % → 10 %",
            ],
            id="limits and a discount",
        ),
        pytest.param(
            side(fee()),
            side(fee(), interval="year", trial_days=14, minimum_commitment=D(1200)),
            [
                "Bills: monthly → yearly",
                "Trial: none → 14 days",
                "Minimum commitment: none → 1,200.00",
            ],
            id="interval, trial and commitment",
        ),
        pytest.param(
            side(fee()),
            side(fee(), prices_include_tax=True),
            ["Prices: before tax → with tax"],
            id="whether prices include tax",
        ),
        pytest.param(
            side(fee()),
            side(fee("549"), currency="USD"),
            ["Currency: EUR → USD", "Base fee: fee: EUR 499.00 → USD 549.00"],
            id="across currencies each amount says its own",
        ),
        pytest.param(
            side(fee("1000")),
            side(fee("1000"), currency="JPY"),
            ["Currency: EUR → JPY"],
            id="an equal number in another currency",
        ),
        pytest.param(
            side(price()),
            side(price("package", package_size=D(100), unit_amount=D(5))),
            ["Calls: rule: 2.00 per 1,000 calls. → 5.00 per started package of 100 calls."],
            id="another model says both rules",
        ),
        pytest.param(
            side(price("package", package_size=D(100))),
            side(price("package", package_size=D(250), unit_amount=D("0.5"))),
            ["Calls: package: 100 calls → 250 calls", "Calls: per package: 0.002 → 0.50"],
            id="a package",
        ),
        pytest.param(
            side(card()),
            side(
                card(
                    percent_rate=D("2.5"),
                    fixed_amount=D("0.25"),
                    free_events=10,
                    per_event_maximum=D(5),
                )
            ),
            [
                "Calls: rate: 2.9 % → 2.5 %",
                "Calls: plus for each event: 0.30 → 0.25",
                "Calls: at most per event: none → 5.00",
                "Calls: free events: 0 → 10",
            ],
            id="a percentage",
        ),
        pytest.param(
            side(regions(("eu", "0.2"), ("us", "0.3"))),
            side(regions(("eu", "0.25"), ("us", "0.3"), others="0.12")),
            [
                "Calls: price per call, region eu: 0.20 → 0.25",
                "Calls: price per call, all others: 0.10 → 0.12",
            ],
            id="a row of a matrix",
        ),
        pytest.param(
            side(regions(("eu", "0.2"))),
            side(regions(("eu", "0.2"), ("us", "0.3"))),
            [
                "Calls: rule: 0.20 for region eu, 0.10 for all others. → 0.20 for region eu, "
                "0.30 for region us, 0.10 for all others."
            ],
            id="a new row of a matrix says both tables",
        ),
        pytest.param(
            side(price()),
            side(
                price(
                    name="Requests",
                    metric=PAGES,
                    filters=[{"property": "region", "operator": "in", "values": ["eu"]}],
                    interval="quarter",
                    overage_policy="block",
                    proration="none",
                )
            ),
            [
                "Requests: name: Calls → Requests",
                "Requests: measures: API calls (calls) → Pages (pages)",
                "Requests: only usage where: anything → region is one of eu",
                "Requests: charged: as often as the plan bills → quarterly",
                "Requests: above the allowance: bill it → answer “no” to access checks",
                "Requests: a part of a period: by whole days → not prorated",
            ],
            id="all the rest of a price",
        ),
        pytest.param(
            side(fee(), price()),
            side(price(), fee()),
            ["Order of the prices: Base fee, Calls → Calls, Base fee"],
            id="the order, which decides whose usage it is",
        ),
    ],
)
def test_changes_in_words(before: Side, after: Side, expected: list[str]) -> None:
    assert [change.text for change in changes(before, after)] == expected


def test_a_change_names_its_price_and_what_it_is_for_programs() -> None:
    [change] = changes(side(fee()), side(fee("549")))
    assert change[:4] == ("base", "unit_amount", "499.00", "549.00")


MATRIX = regions(("eu", "0.2"))
PACKAGE = price("package", package_size=D(100))
SEATS = price("per_unit", metric=None, timing="advance", unit="seat", unit_plural="seats")
ALTERED: dict[str, tuple[PriceDraft, Any]] = {
    "name": (ALLOWED, "Requests"),
    "metric": (ALLOWED, PAGES),
    "unit": (SEATS, "member"),
    "unit_plural": (SEATS, "members"),
    "filters": (ALLOWED, [{"property": "region", "operator": "exists"}]),
    "model": (price("volume", *LADDER), "graduated"),
    "interval": (ALLOWED, "week"),
    "interval_count": (price(interval="month"), 3),
    "timing": (fee(), "arrears"),
    "unit_amount": (ALLOWED, D("0.0021")),
    "package_size": (PACKAGE, D(200)),
    "percent_rate": (card(), D(3)),
    "fixed_amount": (card(), D("0.31")),
    "free_events": (card(), 1),
    "per_event_minimum": (card(), D(1)),
    "per_event_maximum": (card(), D(9)),
    "rows": (MATRIX, [{"match": {"region": "eu"}, "unit_amount": "0.21"}]),
    "included_quantity": (ALLOWED, D(2000)),
    "minimum": (ALLOWED, D(1)),
    "maximum": (ALLOWED, D(100)),
    "discount_percent": (ALLOWED, D(5)),
    "overage_policy": (ALLOWED, "block"),
    "proration": (ALLOWED, "none"),
    "tax_category": (ALLOWED, "reduced"),
}
"""Each field of a price with one that has it and another value for it."""
SILENT = {"id", "version", "position", "key", "dimensions"}
"""Fields that say nothing of what is paid, or nothing that another does not."""


def test_a_new_metric_of_the_same_name_is_another() -> None:
    again = ValueMetric(key="calls-2", name="API calls", unit="call", unit_plural="calls")
    [change] = changes(side(ALLOWED), side(price(included_quantity=D(1000), metric=again)))
    assert change.text == "Calls: measures: API calls (calls) → API calls (calls-2)"


@pytest.mark.parametrize("name", ALTERED)
def test_a_price_that_differs_in_one_field_differs_in_words(name: str) -> None:
    draft, value = ALTERED[name]
    altered = copy(draft.price)
    setattr(altered, name, value)
    [change] = changes(side(draft), side(PriceDraft(altered, draft.tiers)))
    assert change.before != change.after


def test_every_field_of_a_price_is_tried() -> None:
    assert set(ALTERED) | SILENT == {field.name for field in Price._meta.concrete_fields}


@pytest.mark.django_db
class TestWhereItIsRead:
    @pytest.fixture
    def draft(self) -> PlanVersion:
        """The second version of a plan whose first is on sale, with a dearer fee."""
        first = make.published(make.flat())
        return make.draft(make.flat(amount="549"), plan=first.plan)

    def test_before_it_is_published(self, draft: PlanVersion) -> None:
        publish = page("catalog_planversion", "change", draft.pk).replace("change", "publish")
        shown = said(leo().get(publish))
        assert "What changes since version 1 Base: fee: 499.00 → 549.00" in shown

    def test_on_the_page_of_a_draft_and_of_what_was_published(self, draft: PlanVersion) -> None:
        client = leo()
        at = page("catalog_planversion", "change", draft.pk)
        assert "Base: fee: 499.00 → 549.00" in said(client.get(at))
        services.publish_version(version_id=draft.pk, at=make.AT.replace(day=2), actor=SYSTEM)
        assert "What changes since version 1 Base: fee: 499.00 → 549.00" in said(client.get(at))
        first = PlanVersion.objects.get(plan=draft.plan, number=1)
        shown = said(client.get(page("catalog_planversion", "change", first.pk)))
        assert "What changes since" not in shown

    def test_another_currency_is_no_predecessor(self, draft: PlanVersion) -> None:
        dollars = make.draft(make.flat(), plan=draft.plan, currency="USD")
        shown = said(leo().get(page("catalog_planversion", "change", dollars.pk)))
        assert "What changes since" not in shown

    def test_a_copy_says_that_nothing_changes(self, draft: PlanVersion) -> None:
        first = PlanVersion.objects.get(plan=draft.plan, number=1)
        copied = services.copy_version(version_id=first.pk, actor=SYSTEM)
        shown = said(leo().get(page("catalog_planversion", "change", copied.pk)))
        assert "Nothing: it charges the same as version 1." in shown

    def test_a_stranger_sees_nothing(self, draft: PlanVersion) -> None:
        response = stranger().get(page("catalog_planversion", "change", draft.pk))
        assert response.status_code == 403

    def test_over_the_api(self, draft: PlanVersion, caller: Caller) -> None:
        versions = f"/api/v1/plans/{draft.plan.key}/versions"
        client = caller("catalog:read")
        assert client.get(f"{versions}/2/changes?since=1").json() == {
            "plan": draft.plan.key,
            "since": 1,
            "version": 2,
            "changes": [
                {
                    "price": "base",
                    "code": "unit_amount",
                    "before": "499.00",
                    "after": "549.00",
                    "text": "Base: fee: 499.00 → 549.00",
                }
            ],
        }
        assert client.get(f"{versions}/1/changes?since=1").json()["changes"] == []
        for query, status in (("", 400), ("?since=x", 400), ("?sinse=1", 400), ("?since=9", 404)):
            assert client.get(f"{versions}/2/changes{query}").status_code == status
        assert caller("billing:read").get(f"{versions}/2/changes?since=1").status_code == 403

    def test_as_many_queries_for_more_prices(self, caller: Caller) -> None:
        client = caller("catalog:read")

        def compared(count: int) -> int:
            metrics = [make.metric() for _ in range(count)]
            prices = [make.graduated(m, "9 @ 2, rest @ 1", key=m.key) for m in metrics]
            first = make.published(*prices)
            services.copy_version(version_id=first.pk, actor=SYSTEM)
            path = f"/api/v1/plans/{first.plan.key}/versions/2/changes?since=1"
            return queries(lambda: client.get(path))

        client.get("/api/v1/plans")  # notes that the key is used
        assert compared(1) == compared(7)
