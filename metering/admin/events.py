"""Events as they arrived, and how they count."""

from __future__ import annotations

from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import display
from customers.models import Customer
from metering import properties
from metering.admin.paging import CappedPaginator
from metering.events import event_key
from metering.models import UsageEvent


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
