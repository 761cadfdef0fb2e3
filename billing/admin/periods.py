"""Billing periods, to read; those that could not be closed, to try again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter

from billing.admin import words
from billing.models import BillingPeriod, PeriodStatus
from billing.services import closing
from config.base.admin.audited import Panel, ReadOnlyAdmin
from config.base.admin.theme import action, display
from config.base.audit import Actor
from config.base.errors import Refusal

RETRY = "billing.retry_billingperiod"


def trouble_panel(request: HttpRequest, period: BillingPeriod) -> Panel | None:
    """Say why a period is parked; the traceback below, for whoever looks into it."""
    if period.status != PeriodStatus.PARKED:
        return None
    reason, _, details = period.trouble.partition("\n\n")
    return Panel(
        "Why it is parked",
        "admin/billing/trouble_panel.html",
        {"reason": reason, "details": details},
    )


def charges_panel(request: HttpRequest, period: BillingPeriod) -> Panel:
    """List the invoices that bill the period, and those that did before they were void."""
    charges = period.charges.select_related("invoice__customer").order_by("pk")
    return Panel(
        "Billed by",
        "admin/billing/charges_panel.html",
        {
            "charges": [
                {
                    "name": words.name_of(charge.invoice),
                    "url": words.page("billing_invoice", charge.invoice_id)
                    if request.user.has_perm("billing.view_invoice")
                    else "",
                    "purpose": charge.get_purpose_display(),
                    "status": charge.invoice.get_status_display(),
                    "total": words.money(charge.invoice.total, charge.invoice.currency),
                    "is_live": charge.is_live,
                }
                for charge in charges
            ]
        },
    )


def snapshots_panel(request: HttpRequest, period: BillingPeriod) -> Panel:
    """List what was measured for the period, each revision."""
    snapshots = period.snapshots.select_related("metric").order_by("metric__name", "-revision")
    return Panel(
        "What was measured",
        "admin/billing/snapshots_panel.html",
        {
            "snapshots": [
                {
                    "metric": snapshot.metric.name,
                    "quantity": words.number(snapshot.told),
                    "unit": snapshot.metric.unit_plural,
                    "events": words.number(snapshot.events),
                    "last_received": words.moment(snapshot.last_received_at) or "—",
                    "taken_at": words.moment(snapshot.taken_at),
                    "revision": snapshot.revision,
                }
                for snapshot in snapshots
            ]
        },
    )


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin[BillingPeriod]):
    list_display = ("name", "subscription_page", "state", "trouble_line", "cutoff", "invoices")
    list_filter = (
        "status",
        "is_trial",
        ("end_date", RangeDateFilter),
        ("subscription", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("subscription__customer",)
    search_fields = (
        "subscription__key",
        "subscription__customer__key",
        "subscription__customer__name",
    )
    search_help_text = "Search by subscription or customer"
    ordering = ("-ends_at", "-pk")
    show_full_result_count = False
    panels = [trouble_panel, charges_panel, snapshots_panel]
    actions = ("retry_many",)
    actions_detail = ("retry",)
    empty_hint = "A subscription’s periods begin with the first billing run after its first day."
    fields = (
        "subscription_page",
        "customer_page",
        "name",
        "nominal",
        "state",
        "trial",
        "exact_start",
        "exact_end",
        "time_zone",
        "cutoff",
        "closed",
        "run_page",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingPeriod]:
        periods = super().get_queryset(request).select_related("subscription__customer", "run")
        return periods.prefetch_related("charges__invoice__customer")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    # Trying again

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(RETRY)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        parked = BillingPeriod.objects.filter(pk=object_id, status=PeriodStatus.PARKED).exists()
        return offered if parked else []

    @action(description="Try again…", url_path="retry", permissions=["retry"], icon="refresh")
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        period = self.visible_row(request, object_id)
        if period is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                period,
                title=f"Try {period} again?",
                sentences=[
                    f"It was parked: {words.first_line(period.trouble)}",
                    "Once that is put right, the next billing run closes it, and the periods after "
                    "it. If it fails again, it is parked again.",
                ],
                button="Try it again",
            )
        return self.attempt(
            request,
            lambda: closing.retry_parked(period_id=period.pk, actor=Actor.user(request.user)),
            done=f"{period} is open again: the next billing run closes it.",
            then=self.url("change", period.pk),
        )

    @admin.action(description="Try again in the next run", permissions=["retry"])
    def retry_many(self, request: HttpRequest, queryset: QuerySet[BillingPeriod]) -> None:
        retry_all(self, request, list(queryset.order_by("pk")))

    # What the list and the page say

    @display(description="Period", ordering="start_date")
    def name(self, period: BillingPeriod) -> str:
        return words.span(period.start_date, period.end_date)

    @display(description="Subscription", ordering="subscription__key")
    def subscription_page(self, period: BillingPeriod) -> SafeString:
        url = words.page("customers_subscription", period.subscription_id)
        return format_html('<a href="{}" class="text-link">{}</a>', url, period.subscription.key)

    @display(description="Customer")
    def customer_page(self, period: BillingPeriod) -> SafeString:
        customer = period.subscription.customer
        url = words.page("customers_customer", customer.pk)
        return format_html('<a href="{}" class="text-link">{}</a>', url, customer)

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, period: BillingPeriod) -> str:
        return period.get_status_display()

    @display(description="Why")
    def trouble_line(self, period: BillingPeriod) -> str:
        return words.first_line(period.trouble)

    @display(description="Can close from", ordering="usage_cutoff")
    def cutoff(self, period: BillingPeriod) -> str:
        return words.moment(period.usage_cutoff)

    @display(description="Closed")
    def closed(self, period: BillingPeriod) -> str:
        return words.moment(period.closed_at) or "—"

    @display(description="Starts")
    def exact_start(self, period: BillingPeriod) -> str:
        return words.moment(period.starts_at)

    @display(description="Ends before")
    def exact_end(self, period: BillingPeriod) -> str:
        return words.moment(period.ends_at)

    @display(description="Part of")
    def nominal(self, period: BillingPeriod) -> str:
        days = (period.end_date - period.start_date).days
        whole = (period.nominal_end_date - period.nominal_start_date).days
        if days == whole:
            return f"a whole period of {days} days"
        span = words.span(period.nominal_start_date, period.nominal_end_date)
        return f"{span}: {days} of {whole} days"

    @display(description="Trial")
    def trial(self, period: BillingPeriod) -> str:
        return "yes: usage is shown, not billed" if period.is_trial else "no"

    @display(description="Run")
    def run_page(self, period: BillingPeriod) -> SafeString | str:
        if period.run is None:
            return "—"
        url = words.page("billing_billingrun", period.run_id)
        return format_html('<a href="{}" class="text-link">Run {}</a>', url, period.run_id)

    @display(description="Invoice")
    def invoices(self, period: BillingPeriod) -> SafeString | str:
        """Link the invoices that bill it; a void or discarded one does not any more."""
        live = [charge.invoice for charge in period.charges.all() if charge.is_live]
        links = format_html_join(
            ", ",
            '<a href="{}" class="text-link">{}</a>',
            (
                (words.page("billing_invoice", invoice.pk), words.name_of(invoice))
                for invoice in live
            ),
        )
        return links or "—"


def retry_all(page: Any, request: HttpRequest, periods: Sequence[BillingPeriod]) -> None:
    """Open parked periods again; say how many, and which were refused."""
    opened = 0
    actor = Actor.user(request.user)
    for period in periods:
        try:
            closing.retry_parked(period_id=period.pk, actor=actor)
        except Refusal as refusal:
            page.message_user(request, str(refusal), messages.WARNING)
        else:
            opened += 1
    if opened:
        said = f"{words.counted(opened, 'period')} open again: the next billing run closes them."
        page.message_user(request, said, messages.SUCCESS)


def parked_row(period: BillingPeriod) -> dict[str, str]:
    """Return a parked period for a list, with the reason and the way to try it again."""
    return {
        "subscription": period.subscription.key,
        "span": words.span(period.start_date, period.end_date),
        "url": words.page("billing_billingperiod", period.pk),
        "retry_url": reverse("admin:billing_billingperiod_retry", args=(period.pk,)),
        "why": words.first_line(period.trouble),
    }
