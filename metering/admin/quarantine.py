"""The quarantine as a work list: what waits, why, and the likely fix."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import action, display, text_input, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput
from metering import properties, services
from metering.admin.conflicts import compared
from metering.admin.groups import GroupPage, group_rows, group_url
from metering.admin.likely_fix import likely_fix
from metering.admin.paging import CappedPaginator
from metering.admin.words import counted
from metering.models import QuarantineCode, QuarantinedEvent, QuarantineStatus
from metering.services.quarantine import FIXABLE

AT_ONCE = 1000
NEVER_COUNTS = (
    "A dismissed event never counts, also if it is sent again. Sent corrected, it is tried anew."
)


class FixForm(forms.Form):
    """What the event should have said; begins with what it said."""

    subject = forms.CharField(
        max_length=255, required=False, widget=text_input(), label="Customer (subject)",
        help_text="The customer’s key.",
    )  # fmt: skip
    subscription = forms.CharField(
        max_length=255, required=False, widget=text_input(), label="Subscription",
        help_text="The subscription’s key; only needed where two could bill it.",
    )  # fmt: skip
    type = forms.CharField(max_length=255, required=False, widget=text_input(), label="Type")
    time = forms.CharField(
        max_length=64, required=False, widget=text_input(), label="Time",
        help_text="With its offset: 2026-11-01T12:00:00Z. Empty: when it arrived.",
    )  # fmt: skip
    data = forms.CharField(  # type: ignore[assignment]
        required=False, widget=textarea(rows=6, spellcheck="false"), label="Data",
        help_text="The properties as JSON, such as {&quot;calls&quot;: 1}.",
    )  # fmt: skip

    def clean_data(self) -> Any:
        try:
            return properties.read(self.cleaned_data["data"] or "{}")
        except (msgspec.DecodeError, ArithmeticError, RecursionError) as broken:
            raise forms.ValidationError("This is not JSON.") from broken


class DismissForm(forms.Form):
    reason = PlainTextInput(
        max_length=2000, widget=textarea(rows=3), label="Why is it never to be counted?",
        help_text="Stands in the audit trail.",
    )  # fmt: skip


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(ReadOnlyAdmin[QuarantinedEvent]):
    list_display = ("event_id", "source", "reason", "detail", "state", "received_at")
    list_filter = ("status", "code")
    search_fields = ("event_id", "source")
    search_help_text = "Search by the event’s id or source"
    ordering = ("-id",)
    paginator = CappedPaginator
    show_full_result_count = False
    list_before_template = "admin/metering/quarantine_groups.html"
    change_form_before_template = "admin/metering/quarantine_fix.html"
    actions = ("replay_selected", "dismiss_selected")
    actions_detail = ("fix", "dismiss")
    empty_hint = "Events that can’t be counted wait here. There is none: every event counts."
    fields = (
        "state",
        "reason",
        "detail",
        "sent",
        "source",
        "event_id",
        "received_at",
        "resolution",
        "resolved_by",
        "resolved_at",
    )

    class Media:
        css = {"all": ("admin/plainbill-usage.css",)}
        js = ("admin/plainbill-go-on.js",)

    def get_urls(self) -> list[URLPattern]:
        group = self.admin_site.admin_view(self.group)
        return [path("group/", group, name="metering_quarantinedevent_group"), *super().get_urls()]

    def group(self, request: HttpRequest) -> HttpResponse:
        """Show events that wait for one reason, and work them off together."""
        return GroupPage(self, request).answer()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Begin with what waits, group by group, unless something else was asked for."""
        context = dict(extra_context or {})
        if request.method == "GET" and not request.GET.keys() - {"status__exact", "code__exact"}:
            rows = QuarantinedEvent.objects.waiting()
            if code := request.GET.get("code__exact"):
                rows = rows.filter(code=code)
            if request.GET.get("status__exact", "open") == "open":
                context |= group_rows(rows, request.user)
        return super().changelist_view(request, context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: QuarantinedEvent | None = None,
    ) -> Any:
        if obj is not None:
            context |= self._advice(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _advice(self, request: HttpRequest, row: QuarantinedEvent) -> dict[str, Any]:
        """Say what to do about an event that waits, and show what it contradicts."""
        if row.status != QuarantineStatus.OPEN:
            return {}
        alike = QuarantinedEvent.objects.waiting().about(row.code, row.about).count()
        return {
            "fix": likely_fix(row.code, row.about, row, request.user),
            "alike": counted(alike, "event") if alike > 1 else "",
            "group_url": group_url(row.code, row.about),
            "compared": compared(row) if row.code == QuarantineCode.CONFLICT else None,
        }

    def has_work_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("metering.change_quarantinedevent")

    @display(description="As it was sent")
    def sent(self, row: QuarantinedEvent) -> SafeString:
        text = properties.pretty(properties.read(row.raw))
        return format_html('<pre class="pb-json">{}</pre>', text)

    @display(description="Why", ordering="code")
    def reason(self, row: QuarantinedEvent) -> str:
        return row.get_code_display()

    @display(
        description="State",
        ordering="status",
        label={"Open": "warning", "Counted after all": "success", "Dismissed": "info"},
    )
    def state(self, row: QuarantinedEvent) -> str:
        return row.get_status_display()

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        open_rows = QuarantinedEvent.objects.filter(pk=object_id, status=QuarantineStatus.OPEN)
        return offered if open_rows.exists() else []

    @admin.action(description="Try again", permissions=["work"])
    def replay_selected(
        self, request: HttpRequest, queryset: QuerySet[QuarantinedEvent]
    ) -> HttpResponse | None:
        """Try each selected event again, and say how many count now and what refused the rest."""
        counted = 0
        for pk in queryset.order_by("pk").values_list("pk", flat=True)[:AT_ONCE]:
            try:
                [row] = services.replay(ids=[pk], at=timezone.now(), actor=Actor.user(request.user))
            except REFUSED as refusal:
                self.tell(request, refusal)
                continue
            if row.status == QuarantineStatus.REPLAYED:
                counted += 1
            else:
                self.message_user(request, f"{row}: {row.detail}", messages.WARNING)
        if counted:
            words = "event counts" if counted == 1 else "events count"
            self.message_user(request, f"{counted} {words} now.", messages.SUCCESS)
        return None

    @admin.action(description="Dismiss…", permissions=["work"])
    def dismiss_selected(
        self, request: HttpRequest, queryset: QuerySet[QuarantinedEvent]
    ) -> HttpResponse:
        """Ask for the reason, then dismiss what was selected; all or nothing."""
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        form = DismissForm(request.POST if "reason" in request.POST else None)
        back = self.url("changelist")
        if form.is_valid():
            return self._dismiss(request, ids, form.cleaned_data["reason"], then=back)
        hidden = [("action", "dismiss_selected"), *(("_selected_action", pk) for pk in ids)]
        some = queryset.first()
        assert some is not None
        return self.confirm(
            request,
            some,
            title=f"Dismiss {len(ids)} {'event' if len(ids) == 1 else 'events'}?",
            sentences=[NEVER_COUNTS],
            button="Dismiss",
            danger=True,
            template="admin/metering/form.html",
            form=form,
            hidden=hidden,
            back=back,
        )

    @action(description="Fix and count…", url_path="fix", permissions=["work"], icon="build")
    def fix(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what the event said, for somebody to mend, and try it again."""
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        said = properties.read(row.raw)
        shown = {name: said.get(name, "") for name in FIXABLE}
        shown["data"] = properties.canonical(said.get("data", {}))
        form = FixForm(request.POST if request.method == "POST" else None, initial=shown)
        if form.is_valid():
            fixes = {
                name: value if name == "data" else value or None
                for name, value in form.cleaned_data.items()
                if value != (said.get(name, {}) if name == "data" else shown[name])
            }
            return self._replay(request, row, fixes)
        return self.confirm(
            request,
            row,
            title=f"Fix {row}",
            sentences=[row.detail, "Change what is wrong; the rest stays as it was sent."],
            button="Count it",
            template="admin/metering/form.html",
            form=form,
        )

    @action(description="Dismiss…", url_path="dismiss", permissions=["work"], icon="block")
    def dismiss(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the reason, then dismiss the event."""
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        form = DismissForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            then = self.url("change", row.pk)
            return self._dismiss(request, [row.pk], form.cleaned_data["reason"], then=then)
        return self.confirm(
            request,
            row,
            title=f"Dismiss {row}?",
            sentences=[NEVER_COUNTS],
            button="Dismiss",
            danger=True,
            template="admin/metering/form.html",
            form=form,
        )

    def _replay(
        self, request: HttpRequest, row: QuarantinedEvent, fixes: dict[str, Any]
    ) -> HttpResponse:
        then = self.url("change", row.pk)
        try:
            [row] = services.replay(
                ids=[row.pk], fixes=fixes, at=timezone.now(), actor=Actor.user(request.user)
            )
        except REFUSED as refusal:
            self.tell(request, refusal)
            return HttpResponseRedirect(then)
        if row.status == QuarantineStatus.REPLAYED:
            self.message_user(request, f"{row} counts now.", messages.SUCCESS)
        else:
            self.message_user(request, f"Still not countable: {row.detail}", messages.WARNING)
        return HttpResponseRedirect(then)

    def _dismiss(
        self, request: HttpRequest, ids: list[int], reason: str, *, then: str
    ) -> HttpResponse:
        return self.attempt(
            request,
            lambda: services.dismiss(
                ids=ids, reason=reason, at=timezone.now(), actor=Actor.user(request.user)
            ),
            done="Dismissed." if len(ids) == 1 else f"{len(ids)} events are dismissed.",
            then=then,
        )
