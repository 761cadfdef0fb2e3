"""What the database refuses in the catalog, whoever writes to it: each named rule, fired once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction

from catalog.models import (
    AddOn,
    Coupon,
    MetricAnswer,
    MetricDecision,
    Plan,
    PlanVersion,
    Price,
    PriceTier,
    ValueMetric,
)
from catalog.triggers import GUARDS
from tests import factories as make

pytestmark = pytest.mark.django_db

METRIC: dict[str, Any] = {
    "key": "m",
    "name": "M",
    "unit": "u",
    "unit_plural": "us",
    "event_type": "e",
    "aggregation": "count",
}
LEVEL = {"aggregation": "max", "value_property": "v", "value_is": "level"}
PRICE: dict[str, Any] = {
    "key": "p",
    "name": "P",
    "model": "flat",
    "timing": "advance",
    "unit_amount": 1,
}


def metric(**fields: Any) -> Callable[[], Any]:
    return lambda: ValueMetric.objects.create(**{**METRIC, **fields})


def version(**fields: Any) -> Callable[[], Any]:
    defaults = {"number": 1, "currency": "EUR"}
    return lambda: PlanVersion.objects.create(plan=make.plan(), **{**defaults, **fields})


def price(**fields: Any) -> Callable[[], Any]:
    def write() -> None:
        given = {**PRICE, **fields}
        if given.get("metric") == "one":
            given["metric"] = make.metric()
        Price.objects.create(version=make.draft(), **given)

    return write


def tiers(*rows: dict[str, Any]) -> Callable[[], Any]:
    def write() -> None:
        [ladder] = make.draft(make.graduated(make.metric(), "rest @ 1")).prices.all()
        ladder.tiers.all().delete()
        for row in rows:
            PriceTier.objects.create(price=ladder, **{"unit_amount": 1, **row})

    return write


def answered(**fields: Any) -> MetricAnswer:
    values = {"question": "value", "answer": "yes", "answered_by": "anna", "answered_at": make.AT}
    return MetricAnswer.objects.create(metric=make.metric(), **{**values, **fields})


def decided(**fields: Any) -> MetricDecision:
    values = {
        "decision": "candidate",
        "reason": "why",
        "decided_by": "anna",
        "decided_at": make.AT,
    }
    return MetricDecision.objects.create(metric=make.metric(), **{**values, **fields})


def add_on(**fields: Any) -> Callable[[], Any]:
    terms = {"key": "a", "name": "A", "unit_amount": 1, "currency": "EUR", **fields}
    return lambda: AddOn.objects.create(**terms)


def coupon(**fields: Any) -> Callable[[], Any]:
    return lambda: Coupon.objects.create(**{"key": "c", "name": "C", "percent": 10, **fields})


def second_current_version() -> None:
    first = make.published()
    second = make.published(plan=first.plan)
    PlanVersion.objects.filter(pk=first.pk).update(is_current=True)
    assert second.is_current


def published(change: Callable[[PlanVersion], Any]) -> Callable[[], Any]:
    def write() -> None:
        change(make.published(make.flat(), make.graduated(make.metric(), "10 @ 2, rest @ 1")))

    return write


def ladder(version: PlanVersion) -> Price:
    return version.prices.get(model="graduated")


def publish_without_open_tier() -> None:
    draft = make.draft(make.graduated(make.metric(), "10 @ 2, rest @ 1"))
    PriceTier.objects.filter(price__version=draft, up_to=None).delete()
    PlanVersion.objects.filter(pk=draft.pk).update(status="published", published_at=make.AT)


def redefine_published_metric() -> None:
    usage = make.metric()
    make.published(make.graduated(usage, "rest @ 1"))
    ValueMetric.objects.filter(pk=usage.pk).update(event_type="another")


PERCENTAGE: dict[str, Any] = {
    "model": "percentage",
    "unit_amount": None,
    "percent_rate": 1,
    "metric": "one",
    "timing": "arrears",
}

RULES: dict[str, Callable[[], Any]] = {
    "plan_waits_at_most_31_days_for_usage": lambda: make.plan(usage_cutoff_hours=745),
    "plan_issues_within_92_days": lambda: make.plan(auto_issue_hours=2209),
    "metric_kind_is_known": metric(kind="x"),
    "metric_aggregation_is_known": metric(aggregation="median", value_property="v"),
    "metric_rounding_mode_is_known": metric(rounding_mode="x"),
    "metric_status_is_known": metric(status="x"),
    "metric_value_is_known": metric(**{**LEVEL, "value_is": "x"}),
    "metric_time_unit_is_known": metric(
        **{**LEVEL, "aggregation": "time_weighted", "time_unit": "x"}
    ),
    "metric_counts_or_names_a_property": metric(value_property="v"),
    "metric_level_states_what_its_value_is": metric(**{**LEVEL, "value_is": ""}),
    "metric_time_unit_exactly_when_time_weighted": metric(time_unit="hour"),
    "metric_carries_over_levels_only": metric(carry_over=True),
    "metric_divisor_is_positive": metric(unit_divisor=0),
    "metric_rounding_scale_at_most_ten": metric(rounding_scale=11),
    "metric_unit_cost_never_negative": metric(unit_cost=-1),
    "metric_cost_trend_is_known": metric(cost_trend="x"),
    "answer_question_is_known": lambda: answered(question="x"),
    "answer_is_known": lambda: answered(answer="x"),
    "metric_answer_never_changes": lambda: MetricAnswer.objects.filter(pk=answered().pk).update(
        answer="no"
    ),
    "decision_is_known": lambda: decided(decision="x"),
    "decision_has_a_reason": lambda: decided(reason=""),
    "metric_decision_never_changes": lambda: MetricDecision.objects.filter(pk=decided().pk).update(
        reason="another"
    ),
    "coupon_duration_is_known": coupon(duration="x"),
    "coupon_status_is_known": coupon(status="x"),
    "coupon_takes_a_percentage_or_an_amount": coupon(amount=1, currency="EUR"),
    "coupon_takes_something_and_at_most_all": coupon(percent=101),
    "coupon_counts_periods_exactly_when_it_lasts_some": coupon(periods=2),
    "coupon_used_up_only_by_amount": coupon(duration="until_used_up"),
    "coupon_terms_never_change": lambda: Coupon.objects.filter(pk=make.coupon().pk).update(
        percent=11
    ),
    "add_on_costs_something": add_on(unit_amount=0),
    "add_on_names_one_and_several": add_on(unit="day"),
    "add_on_recognition_is_known": add_on(recognition="as_used"),
    "add_on_status_is_known": add_on(status="x"),
    "add_on_tax_category_is_known": add_on(tax_category="x"),
    "add_on_terms_never_change": lambda: AddOn.objects.filter(pk=make.add_on().pk).update(
        unit_amount=1
    ),
    "version_number_once_per_plan": lambda: PlanVersion.objects.create(
        plan=make.draft().plan, number=1, currency="EUR"
    ),
    "version_current_once_per_plan_and_currency": second_current_version,
    "version_interval_is_known": version(interval="fortnight"),
    "version_tax_category_is_known": version(tax_category="x"),
    "version_billing_interval_is_known": version(billing_interval="fortnight"),
    "version_status_is_known": lambda: PlanVersion.objects.filter(pk=make.draft().pk).update(
        status="x", published_at=make.AT
    ),
    "version_draft_or_published": version(published_at=make.AT),
    "version_retired_when_dated": version(retired_at=make.AT),
    "version_current_only_when_published": version(is_current=True),
    "version_interval_count_in_range": version(interval_count=0),
    "version_commitment_never_negative": version(minimum_commitment=-1),
    "price_key_once_per_version": price(key="base"),
    "price_model_is_known": price(model="x", metric="one", timing="arrears", unit_amount=None),
    "price_interval_is_known": price(interval="fortnight"),
    "price_interval_count_in_range": price(interval_count=0),
    "price_filters_usage_only": price(
        filters=[{"property": "region", "operator": "exists", "values": []}]
    ),
    "price_timing_is_known": price(timing="x"),
    "price_tax_category_is_known": price(tax_category="x"),
    "price_overage_policy_is_known": price(overage_policy="x"),
    "price_proration_is_known": price(proration="x"),
    "price_has_a_unit_amount_or_says_it_otherwise": price(unit_amount=None),
    "price_percentage_has_a_rate": price(percent_rate=1),
    "price_per_event_only_for_a_percentage": price(free_events=1),
    "price_least_per_event_not_above_most": price(
        **PERCENTAGE, per_event_minimum=2, per_event_maximum=1
    ),
    "price_rate_from_0_to_100_percent": price(**{**PERCENTAGE, "percent_rate": 101}),
    "price_matrix_has_rows": price(rows=[{"match": {"a": "b"}, "unit_amount": "1"}]),
    "price_package_has_a_size": price(package_size=10),
    "price_package_size_is_positive": price(
        model="package", package_size=0, metric="one", timing="arrears"
    ),
    "price_model_has_the_metric_it_needs": price(metric="one", timing="arrears"),
    "price_names_units_only_where_no_metric_does": price(
        model="per_unit", metric="one", timing="arrears", unit="seat", unit_plural="seats"
    ),
    "price_usage_only_in_arrears": price(model="per_unit", metric="one"),
    "price_of_no_units_has_no_allowance": price(included_quantity=1),
    "price_floor_not_above_cap": price(minimum=2, maximum=1),
    "price_discount_from_0_to_100_percent": price(discount_percent=101),
    "price_amounts_never_negative": price(minimum=-1),
    "tier_bound_once_per_price": tiers({"up_to": 1}, {"up_to": 1}),
    "tier_open_once_per_price": tiers({"up_to": None}, {"up_to": None}),
    "tier_bound_is_positive": tiers({"up_to": 0}),
    "tier_amounts_never_negative": tiers({"flat_amount": -1}),
    "metric_key_never_changes": lambda: ValueMetric.objects.filter(pk=make.metric().pk).update(
        key="other"
    ),
    "metric_definition_frozen_once_published": redefine_published_metric,
    "plan_key_never_changes": lambda: Plan.objects.filter(pk=make.plan().pk).update(key="other"),
    "version_frozen_once_published": published(
        lambda v: PlanVersion.objects.filter(pk=v.pk).update(currency="USD")
    ),
    "version_published_with_every_ladder_open_at_the_top": publish_without_open_tier,
    "version_begins_as_draft": version(status="published", published_at=make.AT),
    "version_kept_once_published": published(
        lambda v: PlanVersion.objects.filter(pk=v.pk)._raw_delete("default")
    ),
    "price_insert_only_in_a_draft": published(lambda v: Price.objects.create(version=v, **PRICE)),
    "price_update_only_in_a_draft": published(lambda v: v.prices.update(name="Cheaper")),
    "price_delete_only_in_a_draft": published(lambda v: v.prices.filter(model="flat").delete()),
    "tier_insert_only_in_a_draft": published(
        lambda v: PriceTier.objects.create(price=ladder(v), up_to=20, unit_amount=1)
    ),
    "tier_update_only_in_a_draft": published(lambda v: ladder(v).tiers.update(unit_amount=0)),
    "tier_delete_only_in_a_draft": published(lambda v: ladder(v).tiers.all().delete()),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_database_refuses_by_name(rule: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        RULES[rule]()
    assert rule in str(refusal.value) or _columns_of(rule) in str(refusal.value)


def test_every_named_rule_of_the_catalog_is_fired() -> None:
    named = {
        c.name
        for model in apps.get_app_config("catalog").get_models()
        for c in model._meta.constraints
    }
    assert named | {guard.name for guard in GUARDS} == set(RULES)


def _columns_of(rule: str) -> str:
    """SQLite names the columns of a unique constraint, not the constraint."""
    for model in apps.get_app_config("catalog").get_models():
        for constraint in model._meta.constraints:
            if constraint.name == rule and isinstance(constraint, models.UniqueConstraint):
                columns = {field.name: field.column for field in model._meta.concrete_fields}
                table = model._meta.db_table
                return ", ".join(f"{table}.{columns[name]}" for name in constraint.fields)
    return rule


def test_a_retired_version_does_not_come_back() -> None:
    version = make.published()
    PlanVersion.objects.filter(pk=version.pk).update(
        status="retired", retired_at=make.AT, is_current=False
    )
    with pytest.raises(IntegrityError, match="version_frozen_once_published"), transaction.atomic():
        PlanVersion.objects.filter(pk=version.pk).update(status="published", retired_at=None)
