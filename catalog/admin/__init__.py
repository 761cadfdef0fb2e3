"""The admin of the catalog: metrics, plans, and versions from draft to retired."""

from catalog.admin import metrics, plans, versions
from catalog.admin.hooks import PUBLISH_NOTES, SUBSCRIBERS

__all__ = ["PUBLISH_NOTES", "SUBSCRIBERS", "metrics", "plans", "versions"]
