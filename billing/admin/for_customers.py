"""Where customers read what a version costs."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from billing.portal.calculator import calculator_url
from catalog.models import PlanVersion, VersionStatus
from config.base.admin.audited import Panel


def for_customers_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """Lead to the pages of a version that customers, and whoever has the link, can open."""
    if version.status == VersionStatus.DRAFT:
        return None
    terms = reverse("portal:terms", args=(version.plan.key, version.number))
    return Panel(
        "What customers see",
        "admin/billing/for_customers_panel.html",
        {
            "terms_url": terms,
            "pdf_url": f"{terms}pdf/",
            "calculator_url": calculator_url(version),
            "is_retired": version.status == VersionStatus.RETIRED,
            "plan_url": reverse("admin:catalog_plan_change", args=(version.plan_id,)),
        },
    )
