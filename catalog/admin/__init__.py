"""The admin of the catalog: metrics, coupons, add-ons, plans, and versions from draft to retired."""

from catalog.admin import add_ons, coupons, metrics, plans, versions
from catalog.admin.hooks import PUBLISH_NOTES, SUBSCRIBERS, TYPICAL
from catalog.admin.metrics import METRIC_PANELS

__all__ = [
    "METRIC_PANELS",
    "PUBLISH_NOTES",
    "SUBSCRIBERS",
    "TYPICAL",
    "add_ons",
    "coupons",
    "metrics",
    "plans",
    "versions",
]
