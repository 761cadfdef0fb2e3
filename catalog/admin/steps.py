"""What the admin's first page says about the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from catalog.models import Plan, PlanVersion, ValueMetric, VersionStatus
from catalog.worksheet import due_for_review
from config.base.dashboard import Need, Step, Viewer, said


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


def catalog_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    """Drafts of versions, which nobody can buy until they are published, and due reviews."""
    if user.has_perm("catalog.change_valuemetric"):
        today = timezone.localdate(at)
        if due := due_for_review(on=today):
            words = said(
                len(due), "value metric is due for review", "value metrics are due for review"
            )
            yield Need(
                45,
                f"{words}, {due[0].name} first.",
                f"{reverse('admin:catalog_valuemetric_changelist')}?review=due",
            )
    if not user.has_perm("catalog.change_planversion"):
        return
    if drafts := PlanVersion.objects.filter(status=VersionStatus.DRAFT).count():
        words = said(drafts, "plan version is still a draft", "plan versions are still drafts")
        yield Need(
            55,
            f"{words}, not on sale.",
            f"{reverse('admin:catalog_planversion_changelist')}?status__exact=draft",
        )
