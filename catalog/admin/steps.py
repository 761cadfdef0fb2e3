"""What the admin's first page says about the catalog."""

from __future__ import annotations

from django.urls import reverse

from catalog.models import Plan, PlanVersion, ValueMetric, VersionStatus
from config.base.dashboard import Figure, Step


def catalog_steps() -> list[Step]:
    draft = PlanVersion.objects.filter(status=VersionStatus.DRAFT).order_by("-pk").first()
    return [
        Step(
            20,
            "Say what you measure",
            "A value metric is what you charge for, in your customers’ words.",
            reverse("admin:catalog_valuemetric_add"),
            ValueMetric.objects.exists(),
            "catalog.add_valuemetric",
        ),
        Step(
            30,
            "Add a plan with its prices",
            "A plan has versions; a version holds the prices in one currency.",
            reverse("admin:catalog_plan_add")
            if not Plan.objects.exists()
            else reverse("admin:catalog_plan_changelist"),
            PlanVersion.objects.exists(),
            "catalog.add_planversion",
        ),
        Step(
            40,
            "Publish it",
            "Read its prices worked out with numbers, then put it on sale.",
            reverse("admin:catalog_planversion_change", args=(draft.pk,))
            if draft
            else reverse("admin:catalog_planversion_changelist"),
            PlanVersion.objects.exclude(status=VersionStatus.DRAFT).exists(),
            "catalog.publish_planversion",
        ),
    ]


def catalog_figures() -> list[Figure]:
    drafts = PlanVersion.objects.filter(status=VersionStatus.DRAFT)
    versions = reverse("admin:catalog_planversion_changelist")
    return [
        Figure(
            30,
            "Plan versions on sale",
            PlanVersion.objects.filter(is_current=True).count(),
            f"{versions}?is_current__exact=1",
            "catalog.view_planversion",
        ),
        Figure(
            40,
            "Drafts to publish",
            drafts.count(),
            f"{versions}?status__exact=draft",
            "catalog.change_planversion",
        ),
    ]
