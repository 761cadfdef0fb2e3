"""Events as they arrived, and how they count."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone

from catalog.models import MetricStatus, ValueMetric
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import action, display, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput
from customers.models import Customer
from metering import properties, services
from metering.admin import usage
from metering.admin.paging import CappedPaginator
from metering.admin.words import moment
from metering.events import event_key
from metering.models import EventAdjustment, EventKey, UsageEvent
from metering.services.behind import counted_value


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
    show_full_result_count = False
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

    actions_detail = ("void", "replace")
    change_form_before_template = "admin/metering/event_before.html"

    class Media:
        css = {"all": ("admin/plainbill-usage.css",)}

    def get_urls(self) -> list[URLPattern]:
        return [*usage.urls(self.admin_site.admin_view), *super().get_urls()]

    def has_correct_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("metering.add_eventadjustment")

    @action(description="Void…", url_path="void", permissions=["correct"], icon="block")
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the reason and show the effect, then let the event never have counted."""
        event = self.visible_row(request, object_id)
        if event is None:
            return self.missing(request, object_id)
        form = VoidForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            return self.attempt(
                request,
                lambda: services.void_events(keys=[event.key], **form.cleaned_data, **_by(request)),
                done=f"{event} does not count any more.",
                then=self.url("change", event.pk),
            )
        return self.confirm(
            request,
            event,
            title=f"Void {event}?",
            sentences=[
                "It stays as it arrived, and counts nothing. Closed periods get a difference."
            ],
            button="Void it",
            danger=True,
            template="admin/metering/correct.html",
            form=form,
            effects=_effects(event, None),
        )

    @action(description="Replace…", url_path="replace", permissions=["correct"], icon="edit")
    def replace(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the data that counts instead, show the effect, then let it count so."""
        event = self.visible_row(request, object_id)
        if event is None:
            return self.missing(request, object_id)
        counts = _adjustment(event)
        data = counts.data if counts and counts.data is not None else event.data
        began = {"data": properties.pretty(data)}
        form = ReplaceForm(request.POST if request.method == "POST" else None, initial=began)
        is_sound = form.is_valid()
        if is_sound and "confirmed" in request.POST:
            return self.attempt(
                request,
                lambda: services.replace_event(key=event.key, **form.cleaned_data, **_by(request)),
                done=f"{event} counts as corrected.",
                then=self.url("change", event.pk),
            )
        return self.confirm(
            request,
            event,
            title=f"Replace the data of {event}",
            sentences=["What arrived stays; these properties count in its place."],
            button="Let it count so" if is_sound else "See the effect",
            template="admin/metering/correct.html",
            form=form,
            hidden=[("confirmed", "yes")] if is_sound else [],
            effects=_effects(event, form.cleaned_data["data"]) if is_sound else [],
        )

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: UsageEvent | None = None,
    ) -> Any:
        if obj is not None:
            made = EventAdjustment.objects.filter(event_key=obj.key).order_by("-pk")
            context["corrections"] = [_correction(each) for each in made]
        return super().render_change_form(request, context, add, change, form_url, obj)

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
            return _under_key(queryset, UUID(term)), False
        except ValueError:
            pass
        customers = Customer.objects.filter(Q(key=term) | Q(name__icontains=term))
        if ids := list(customers.values_list("pk", flat=True)[:100]):
            return queryset.filter(customer__in=ids), False
        source, _, event_id = term.partition(" ")
        return _under_key(queryset, UUID(bytes=event_key(source, event_id))), False


class VoidForm(forms.Form):
    reason = PlainTextInput(
        max_length=2000, widget=textarea(rows=3), label="Why is it wrong?",
        help_text="Stands with the event and in the audit trail.",
    )  # fmt: skip


class ReplaceForm(forms.Form):
    """The data that counts instead, and why."""

    data = forms.CharField(  # type: ignore[assignment]
        widget=textarea(rows=8, spellcheck="false"), label="Data that counts",
        help_text="All of it as JSON, not only what differs.",
    )  # fmt: skip
    reason = VoidForm.base_fields["reason"]

    def clean_data(self) -> Any:
        try:
            data = properties.read(self.cleaned_data["data"])
        except (msgspec.MsgspecError, ArithmeticError, RecursionError, UnicodeError) as broken:
            raise forms.ValidationError("This is not JSON.") from broken
        if not isinstance(data, dict):
            raise forms.ValidationError("Write an object: {&quot;calls&quot;: 1}.")
        return data


class Effect(NamedTuple):
    """What a metric takes of an event, now and after a correction."""

    metric: str
    now: str
    then: str


def _effects(event: UsageEvent, then: Any) -> list[Effect]:
    """Say for each metric of the event's type what would change with other data, or with none."""
    adjustment = _adjustment(event)
    now = event.data if adjustment is None else adjustment.data
    metrics = ValueMetric.objects.filter(event_type=event.type).order_by("name")
    return [
        Effect(
            metric.name,
            _said(counted_value(metric, now)),
            _said(counted_value(metric, then)),
        )
        for metric in metrics.exclude(status=MetricStatus.RETIRED)
    ]


def _said(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else properties.canonical(value)


def _adjustment(event: UsageEvent) -> EventAdjustment | None:
    return services.effective_adjustments([event.key]).get(event.key)


def _correction(adjustment: EventAdjustment) -> dict[str, Any]:
    return {
        "kind": adjustment.get_kind_display(),
        "data": "" if adjustment.data is None else properties.canonical(adjustment.data),
        "reason": adjustment.reason,
        "by": adjustment.made_by,
        "at": moment(adjustment.made_at),
        "is_effective": adjustment.is_effective,
    }


def _by(request: HttpRequest) -> dict[str, Any]:
    return {"at": timezone.now(), "actor": Actor.user(request.user)}


def _under_key(rows: QuerySet[UsageEvent], key: UUID) -> QuerySet[UsageEvent]:
    known = EventKey.objects.filter(pk=key)
    return rows.filter(pk__in=known.values("stored_as")[:1], time__in=known.values("time")[:1])
