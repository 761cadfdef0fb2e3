"""Usage as finance sees it: what arrived, and what waits in quarantine for a decision."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import action, display, text_input, textarea
from config.base.audit import Actor
from customers.models import Customer
from metering import properties, services
from metering.events import event_key
from metering.models import QuarantinedEvent, QuarantineStatus, UsageEvent
from metering.services.quarantine import FIXABLE

COUNTED_UP_TO = 10_000
AT_ONCE = 1000


class CappedPaginator(Paginator[Any]):
    """Pages through the first 10,000 rows, so that nobody waits for millions to be counted."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:COUNTED_UP_TO].count())


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin[UsageEvent]):
    list_display = ("time", "customer", "type", "said", "event_id", "source", "received_at")
    list_select_related = ("customer",)
    list_display_links = ("time",)
    search_fields = ("key",)
    search_help_text = (
        "Search by customer, by the event’s UUID, or by its source and id: gateway evt-1"
    )
    ordering = ("-id",)
    sortable_by = ()
    paginator = CappedPaginator
    empty_hint = "Events arrive through POST /api/v1/events or manage.py import_usage."
    fields = (
        "time",
        "customer",
        "subscription",
        "type",
        "said",
        "source",
        "event_id",
        "key",
        "received_at",
        "extensions",
    )

    @display(description="Data")
    def said(self, event: UsageEvent) -> str:
        return properties.canonical(event.data)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageEvent], search_term: str
    ) -> tuple[QuerySet[UsageEvent], bool]:
        """Find by what an index finds: key, customer, or source and id together."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(key=UUID(term)), False
        except ValueError:
            pass
        customers = Customer.objects.filter(Q(key=term) | Q(name__icontains=term))
        if ids := list(customers.values_list("pk", flat=True)[:100]):
            return queryset.filter(customer__in=ids), False
        source, _, event_id = term.partition(" ")
        return queryset.filter(key=UUID(hex=event_key(source, event_id))), False


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
    reason = forms.CharField(
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
    actions = ("replay_selected", "dismiss_selected")
    actions_detail = ("fix", "dismiss")
    empty_hint = "Events that can’t be counted wait here. There is none: every event counts."
    fields = (
        "state",
        "reason",
        "detail",
        "raw",
        "source",
        "event_id",
        "received_at",
        "resolution",
        "resolved_by",
        "resolved_at",
    )

    def has_work_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("metering.change_quarantinedevent")

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
            sentences=["A dismissed event is never counted, also when it is sent again."],
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
            sentences=["A dismissed event is never counted, also when it is sent again."],
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
