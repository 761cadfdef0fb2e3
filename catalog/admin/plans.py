"""Plans: offers under one name, with their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from catalog import services
from catalog.admin.examples import every
from catalog.admin.hooks import SUBSCRIBERS
from catalog.admin.presets import PresetPages
from catalog.models import Plan, PlanVersion, VersionStatus
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.theme import display, textarea
from config.base.audit import Actor


def versions_panel(request: HttpRequest, plan: Plan) -> Panel:
    """List a plan's versions, newest first, with the way to a new one."""
    versions = PlanVersion.objects.filter(plan=plan).order_by("-number")
    if PlanVersion in SUBSCRIBERS:
        versions = versions.annotate(subscribers=SUBSCRIBERS[PlanVersion]())
    add = reverse("admin:catalog_planversion_add")
    return Panel(
        "Versions",
        "admin/catalog/versions_panel.html",
        {
            "versions": [
                {
                    "name": f"Version {version.number}",
                    "url": reverse("admin:catalog_planversion_change", args=(version.pk,)),
                    "currency": version.currency,
                    "every": every(version),
                    "status": version.get_status_display(),
                    "tone": {"draft": "warning", "published": "success"}.get(version.status, ""),
                    "is_current": version.is_current,
                    "published_at": version.published_at,
                    "published_by": version.published_by,
                    "subscribers": getattr(version, "subscribers", None),
                }
                for version in versions
            ],
            "add_url": f"{add}?plan={plan.pk}"
            if request.user.has_perm("catalog.add_planversion")
            else None,
        },
    )


@admin.register(Plan)
class PlanAdmin(PresetPages, AuditedAdmin[Plan]):
    list_display = ("name", "key", "on_sale", "drafts", "subscribers")
    search_fields = ("name", "key")
    search_help_text = "Search by name or key"
    empty_hint = (
        "A plan is what customers subscribe to. Add one, then give it a version with its prices "
        "and publish it. Or start from one of ten real examples."
    )
    empty_link = ("Start from an example", "admin:catalog_plan_examples")
    fieldsets = (
        (None, {"fields": ("name", "key", "description", "has_calculator")}),
        (
            "When it is billed, if other than usual",
            {"fields": (("usage_cutoff_hours", "auto_issue_hours"), "manual_approval")},
        ),
    )
    panels = [versions_panel]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        current = PlanVersion.objects.filter(is_current=True).order_by("currency")
        plans = (
            super()
            .get_queryset(request)
            .annotate(draft_count=Count("versions", filter=Q(versions__status=VersionStatus.DRAFT)))
            .prefetch_related(Prefetch("versions", queryset=current, to_attr="current_versions"))
        )
        if Plan in SUBSCRIBERS:
            return plans.annotate(subscriber_count=SUBSCRIBERS[Plan]())
        return plans

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("key",)

    def is_needed(self, row: Plan) -> bool:
        return row.versions.exists()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "description":
            kwargs["widget"] = textarea(rows=3)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def create(self, row: Plan, *, actor: Actor) -> None:
        services.create_plan(plan=row, actor=actor)

    def change(self, row: Plan, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_plan_texts(plan_id=row.pk, fields=fields, actor=actor)

    def response_add(
        self, request: HttpRequest, obj: Plan, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the plan's page, where its first version is added."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(
            request,
            f"{obj} is there. Now add its first version, with its prices.",
            messages.SUCCESS,
        )
        return HttpResponseRedirect(self.url("change", obj.pk))

    @display(description="On sale")
    def on_sale(self, plan: Any) -> SafeString | str:
        current: list[PlanVersion] = plan.current_versions
        if not current:
            return "nothing published yet"
        url = "admin:catalog_planversion_change"
        return format_html_join(
            ", ",
            '<a href="{}" class="text-link whitespace-nowrap">{} v{}</a>',
            ((reverse(url, args=(v.pk,)), v.currency, v.number) for v in current),
        )

    @display(description="Drafts", ordering="draft_count")
    def drafts(self, plan: Any) -> str:
        return str(plan.draft_count or "—")

    @display(description="Subscriptions", ordering="subscriber_count")
    def subscribers(self, plan: Any) -> Any:
        return getattr(plan, "subscriber_count", "—")


def plan_link(plan: Plan) -> SafeString:
    url = reverse("admin:catalog_plan_change", args=(plan.pk,))
    return format_html('<a href="{}" class="text-link">{}</a>', url, plan.name)
