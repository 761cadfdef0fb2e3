"""From events to lines for the models that look at single events and dimensions (R13)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import InvoiceLine
from billing.services import issuing
from catalog.drafts import PriceDraft
from catalog.models import Price, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, lines, use
from tests.conftest import Caller

pytestmark = pytest.mark.django_db


def at(month: int, day: int, hour: int = 2) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def usage(metric: ValueMetric, model: str, key: str, **fields: Any) -> PriceDraft:
    return PriceDraft(
        Price(
            key=key, name=key.capitalize(), model=model, metric=metric, timing="arrears", **fields
        )
    )


def only(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"property": name, "operator": "in", "values": list(values)}]


def subscribed(*prices: PriceDraft) -> Subscription:
    return make.subscription(
        make.customer("ada"), make.published(*prices), starts_on=date(2026, 11, 1)
    )


def november() -> list[InvoiceLine]:
    return list(close(at(12, 1))[-1].lines.all())


class TestPercentage:
    def card_fees(self, **fields: Any) -> Subscription:
        moved = make.metric("moved", rounding_scale=2, dimensions=["method"])
        terms = {"percent_rate": D("2.9"), "fixed_amount": D("0.30"), **fields}
        return subscribed(usage(moved, "percentage", "card", **terms))

    def test_every_payment_pays_its_share_and_the_fee(self) -> None:
        ada = self.card_fees()
        for day, amount in ((3, 100), (4, 50), (5, -20)):
            use(ada, at(11, day), calls=amount)
        [line] = november()
        assert (line.net, line.quantity) == (D("4.37"), D(130))
        assert [(s["kind"], s["events"], s["amount"]) for s in line.explanation["steps"]] == [
            ("percentage", 2, "4.95"),
            ("reversal", 1, "-0.58"),
        ]

    def test_the_first_in_time_are_free_whenever_they_arrive(self) -> None:
        ada = self.card_fees(free_events=1, fixed_amount=D(0))
        use(ada, at(11, 20), calls=1000)
        use(ada, at(11, 10), calls=10)
        [line] = november()
        assert line.net == D("29.00")

    def test_a_month_without_payments_costs_nothing(self) -> None:
        self.card_fees()
        [line] = november()
        assert (line.net, line.explanation["steps"]) == (D(0), [])

    def test_cents_are_divided_before_they_are_charged(self) -> None:
        cents = make.metric("moved", rounding_scale=2, unit_divisor=D(100))
        ada = subscribed(usage(cents, "percentage", "card", percent_rate=D(10)))
        use(ada, at(11, 3), calls=12345)
        [line] = november()
        assert line.net == D("12.35")  # 10 % of 123.45, half up


class TestMatrix:
    def compute(self, **fields: Any) -> Subscription:
        hours = make.metric("hours", rounding_scale=2, dimensions=["region", "size"])
        terms: dict[str, Any] = {
            "dimensions": ["region", "size"],
            "rows": [
                {"match": {"region": "eu", "size": "large"}, "unit_amount": "0.4"},
                {"match": {"region": "eu"}, "unit_amount": "0.2"},
            ],
            "unit_amount": D("0.10"),
            **fields,
        }
        return subscribed(usage(hours, "matrix", "compute", **terms))

    def test_each_combination_has_its_price(self) -> None:
        ada = self.compute(included_quantity=D(5))
        for region, size, hours in (
            ("eu", "large", 10),
            ("eu", "small", 10),
            ("us", "large", 10),
            (None, "small", 1),
        ):
            use(ada, at(11, 3), calls=hours, region=region, size=size)
        [line] = november()
        said = [(s.get("match"), s["quantity"], s["amount"]) for s in line.explanation["steps"]]
        assert said == [
            (None, "5", "0"),
            ({"region": "eu", "size": "large"}, "5", "2"),
            ({"region": "eu"}, "10", "2"),
            ({}, "11", "1.1"),
        ]
        assert (line.net, line.quantity) == (D("5.10"), D(31))
        assert line.snapshot is not None
        assert line.snapshot.cells is not None
        assert len(line.snapshot.cells) == 4

    def test_what_moves_between_combinations_is_seen(self) -> None:
        ada = self.compute()
        use(ada, at(11, 3), calls=10, region="us", size="small")
        [*_, draft] = close(at(12, 1))
        use(ada, at(11, 4), calls=-10, region="us", size="small")
        use(ada, at(11, 5), calls=10, region="eu", size="small")
        issuing.recalculate_invoices(
            invoice_ids=[draft.pk], at=at(12, 1), actor=SYSTEM, only_if_changed=True
        )
        assert lines(draft.__class__.objects.with_lines().get(pk=draft.pk)) == [("Compute", "2.00")]


class TestFilters:
    def tokens(self, *prices: tuple[str, str, list[dict[str, Any]]]) -> Subscription:
        metric = make.metric("tokens", dimensions=["model", "region"])
        return subscribed(
            *(
                usage(metric, "per_unit", key, unit_amount=D(amount), filters=filters)
                for key, amount, filters in prices
            )
        )

    def test_usage_belongs_to_the_first_price_that_it_meets(self) -> None:
        ada = self.tokens(
            ("large", "3", only("model", "l")),
            ("eu", "2", only("region", "eu")),
            ("rest", "1", []),
        )
        use(ada, at(11, 3), calls=10, model="l", region="eu")
        use(ada, at(11, 4), calls=10, model="s", region="eu")
        use(ada, at(11, 5), calls=10, model="s")
        found = {line.description: (line.net, line.explanation["measured"]) for line in november()}
        assert {name: net for name, (net, _) in found.items()} == {
            "Large": D(30),
            "Eu": D(20),
            "Rest": D(10),
        }
        assert {said["events"] for _, said in found.values()} == {1}

    def test_usage_that_no_price_takes_is_not_charged(self) -> None:
        ada = self.tokens(("large", "3", only("model", "l")))
        use(ada, at(11, 3), calls=10, model="s")
        [line] = november()
        assert (line.net, line.quantity) == (D(0), D(0))

    def test_a_level_is_taken_per_combination(self) -> None:
        disks = make.metric(
            "disks", aggregation="latest", value_is="level", dimensions=["kind"], carry_over=True
        )
        ada = subscribed(
            usage(disks, "per_unit", "ssd", unit_amount=D(2), filters=only("kind", "ssd")),
            usage(disks, "per_unit", "rest", unit_amount=D(1)),
        )
        use(ada, at(11, 3), calls=100, kind="ssd")
        use(ada, at(11, 4), calls=50, kind="hdd")
        use(ada, at(11, 5), calls=80, kind="ssd")
        assert [line.net for line in november()] == [D(160), D(50)]

    def test_a_price_below_one_that_takes_all_is_not_published(self) -> None:
        metric = make.metric("tokens", dimensions=["model"])
        every = usage(metric, "per_unit", "every", unit_amount=D(1))
        large = usage(metric, "per_unit", "large", unit_amount=D(3), filters=only("model", "l"))
        with pytest.raises(Invalid) as refusal:
            make.published(every, large)
        assert [fault.code for fault in refusal.value.faults] == ["never_reached"]

    def test_only_dimensions_can_be_filtered(self) -> None:
        metric = make.metric("tokens", dimensions=["model"])
        priced = usage(metric, "per_unit", "eu", unit_amount=D(1), filters=only("region", "eu"))
        with pytest.raises(Invalid) as refusal:
            make.draft(priced)
        assert [fault.code for fault in refusal.value.faults] == ["unknown_dimension"]


@pytest.mark.parametrize("customers", [1, 12])
def test_the_close_reads_in_as_many_queries_for_more_customers(
    customers: int, django_assert_max_num_queries: Any
) -> None:
    moved = make.metric("moved", rounding_scale=2, dimensions=["method"])
    version = make.published(
        usage(moved, "percentage", "card", percent_rate=D(2), filters=only("method", "card")),
        usage(moved, "per_unit", "rest", unit_amount=D(1)),
    )
    for n in range(customers):
        one = make.subscription(make.customer(f"c{n}"), version, starts_on=date(2026, 11, 1))
        use(one, at(11, 3), calls=10, method="card")
    with django_assert_max_num_queries(97):
        close(at(12, 1, hour=1))


def test_the_invoice_explains_itself_over_the_api(caller: Caller) -> None:
    ada = TestFilters().tokens(("large", "3", only("model", "l")), ("rest", "1", []))
    use(ada, at(11, 3), calls=10, model="l")
    invoice = close(at(12, 1))[-1]
    shown = caller().get(f"/api/v1/invoices/{invoice.uuid}").json()
    assert [line["net"] for line in shown["lines"]] == ["30.00", "0.00"]
    assert shown["lines"][0]["explanation"]["filters"] == only("model", "l")
