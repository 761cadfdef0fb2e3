"""How the admin's search finds plans, metrics, coupons and add-ons."""

from __future__ import annotations

from django.urls import reverse

from catalog.models import AddOn, Coupon, Plan, ValueMetric
from config.base.admin.find import Finder, Hit, any_contains, first


def find_plans(query: str) -> list[Hit]:
    return [
        Hit(
            plan.name,
            plan.key,
            reverse("admin:catalog_plan_change", args=(plan.pk,)),
            is_exact=plan.key == query,
        )
        for plan in first(Plan.objects.filter(any_contains(query, "name", "key")))
    ]


def find_metrics(query: str) -> list[Hit]:
    return [
        Hit(
            metric.name,
            metric.key,
            reverse("admin:catalog_valuemetric_change", args=(metric.pk,)),
            is_exact=metric.key == query,
        )
        for metric in first(ValueMetric.objects.filter(any_contains(query, "name", "key")))
    ]


def find_coupons(query: str) -> list[Hit]:
    return [
        Hit(
            coupon.name,
            coupon.key,
            reverse("admin:catalog_coupon_change", args=(coupon.pk,)),
            is_exact=coupon.key == query,
        )
        for coupon in first(Coupon.objects.filter(any_contains(query, "name", "key")))
    ]


def find_add_ons(query: str) -> list[Hit]:
    return [
        Hit(
            add_on.name,
            add_on.key,
            reverse("admin:catalog_addon_change", args=(add_on.pk,)),
            is_exact=add_on.key == query,
        )
        for add_on in first(AddOn.objects.filter(any_contains(query, "name", "key")))
    ]


FINDERS = [
    Finder("Plans", "catalog.view_plan", find_plans, "catalog.plan"),
    Finder("Metrics", "catalog.view_valuemetric", find_metrics, "catalog.valuemetric"),
    Finder("Coupons", "catalog.view_coupon", find_coupons, "catalog.coupon"),
    Finder("Add-ons", "catalog.view_addon", find_add_ons, "catalog.addon"),
]
