"""The admin of the catalog: metrics, coupons, plans, and versions from draft to retired."""

from catalog.admin import coupons, metrics, plans, versions
from catalog.admin.hooks import PUBLISH_NOTES, SUBSCRIBERS
from catalog.admin.metrics import METRIC_PANELS

__all__ = [
    "METRIC_PANELS",
    "PUBLISH_NOTES",
    "SUBSCRIBERS",
    "coupons",
    "metrics",
    "plans",
    "versions",
]
