"""The audit trail's pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.contrib.filters.admin import RangeDateTimeFilter

from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import display
from config.base.admin.trail import entry_rows, subject_kind, subject_url
from config.base.models import AuditEntry


class SubjectFilter(SimpleListFilter):
    """Filter by the kind of thing that was changed."""

    title = "what was changed"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = AuditEntry.objects.order_by().values_list("subject_type", flat=True).distinct()
        return sorted(((name, capfirst(subject_kind(name))) for name in types), key=_by_label)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        return queryset.filter(subject_type=self.value()) if self.value() else queryset


class ActionFilter(SimpleListFilter):
    """Filter by what was done."""

    title = "what was done"
    parameter_name = "done"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        actions = AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct()
        return [(action, action.capitalize()) for action in actions]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("at", "actor", "action", "kind", "subject_name")
    list_filter = (
        ("at", RangeDateTimeFilter),
        "actor_kind",
        ActionFilter,
        SubjectFilter,
    )
    list_filter_submit = True
    show_full_result_count = False
    search_fields = ("subject_name", "actor_name", "note")
    search_help_text = "Search by who did it or what it was done to"
    ordering = ("-id",)
    actions_detail_hide_default = True
    empty_hint = (
        "Every change to plans, customers and settings will be listed here, with who made it."
    )
    fieldsets = ((None, {"fields": ("at", "actor", "action", "subject", "note", "what_changed")}),)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = [name for name in self.fieldsets[0][1]["fields"] if name != "note" or obj.note]
        return ((None, {"fields": shown}),)

    @display(description="Who", ordering="actor_name")
    def actor(self, entry: AuditEntry) -> str:
        if entry.actor_kind == "user":
            return entry.actor_name
        return f"{entry.actor_name} ({entry.get_actor_kind_display()})"

    @display(description="What", ordering="subject_type")
    def kind(self, entry: AuditEntry) -> str:
        return capfirst(subject_kind(entry.subject_type))

    @display(description="What")
    def subject(self, entry: AuditEntry) -> SafeString | str:
        name = f"{capfirst(subject_kind(entry.subject_type))} {entry.subject_name}"
        url = subject_url(entry)
        return format_html('<a href="{}" class="text-link">{}</a>', url, name) if url else name

    @display(description="Changes")
    def what_changed(self, entry: AuditEntry) -> SafeString:
        return render_to_string("admin/changes.html", {"rows": entry_rows(entry)})


def _by_label(choice: tuple[str, str]) -> str:
    return choice[1]
