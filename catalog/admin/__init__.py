"""The admin of the catalog: metrics, coupons, plans, and versions from draft to retired."""

from catalog.admin import coupons, metrics, plans, versions
from catalog.admin.hooks import PUBLISH_NOTES, SUBSCRIBERS, TYPICAL
from catalog.admin.metrics import METRIC_PANELS

__all__ = [
    "METRIC_PANELS",
    "PUBLISH_NOTES",
    "SUBSCRIBERS",
    "TYPICAL",
    "coupons",
    "metrics",
    "plans",
    "versions",
]
