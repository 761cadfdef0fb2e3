"""Billing runs: how far each came, what it drafted and what it could not close."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from billing.admin import words
from billing.admin.close import START, ClosePages, nudge_part
from billing.admin.periods import RETRY, parked_row, retry_all
from billing.admin.progress import Progress, WatchedAdmin, bar
from billing.admin.unresolved import unresolved
from billing.models import (
    BillingPeriod,
    BillingRun,
    Invoice,
    InvoiceStatus,
    PeriodStatus,
    RunStatus,
)
from billing.services import runs
from billing.services.readiness import quarantined
from config.base.admin.theme import action, display
from config.base.fields import ExactSum
from customers.models import Customer

VIEW_INVOICES = "billing.view_invoice"
SHOWN = 50
TAGS = {RunStatus.RUNNING: "pb-open", RunStatus.FINISHED: "pb-good", RunStatus.FAILED: "pb-bad"}


@admin.register(BillingRun)
class BillingRunAdmin(ClosePages, WatchedAdmin[BillingRun]):
    list_display = (
        "name",
        "acted_as_of",
        "state",
        "progress",
        "scope",
        "closed",
        "parked",
        "drafted",
        "issued",
        "started",
    )
    list_filter = ("status",)
    list_select_related = ("customer",)
    search_fields = ("as_of", "started_by", "customer__name", "customer__key")
    search_help_text = "Search by date, customer or who started it"
    ordering = ("-pk",)
    show_full_result_count = False
    actions_detail = ("retry_parked",)
    start_permission = START
    refreshed_template = "admin/billing/run_rows.html"
    empty_hint = "A run closes the periods that are due and drafts their invoices."

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingRun]:
        parked = Count("periods", filter=Q(periods__status=PeriodStatus.PARKED))
        return super().get_queryset(request).annotate(parked_count=parked)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Add to each run on the page what its invoices come to, in one query."""
        response = super().changelist_view(request, extra_context)
        if page := getattr(response, "context_data", {}).get("cl"):
            shown = list(page.result_list)
            may_see = request.user.has_perm(VIEW_INVOICES)
            drafted = drafted_by([run.pk for run in shown], with_amounts=may_see)
            for run in shown:
                run.drafted_text = drafted[run.pk]
            page.result_list = shown
        return response

    # The list

    @display(description="Run", ordering="pk")
    def name(self, run: BillingRun) -> str:
        return f"Run {run.pk}"

    @display(description="As of", ordering="as_of")
    def acted_as_of(self, run: BillingRun) -> str:
        return words.moment(run.as_of)

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, run: BillingRun) -> str:
        return run.get_status_display()

    @display(description="Progress")
    def progress(self, run: BillingRun) -> SafeString:
        return bar(percent(run))

    @display(description="Whose")
    def scope(self, run: BillingRun) -> str:
        return run.customer.name if run.customer else "Everybody"

    @display(description="Closed", ordering="periods_closed")
    def closed(self, run: BillingRun) -> str:
        return words.number(run.periods_closed)

    @display(description="Issued", ordering="invoices_issued")
    def issued(self, run: BillingRun) -> str:
        return words.number(run.invoices_issued)

    @display(description="Parked")
    def parked(self, run: Any) -> str:
        return str(run.parked_count or "—")

    @display(description="Drafted")
    def drafted(self, run: Any) -> str:
        return str(run.drafted_text or "—").replace(", ", "\n").replace(" and ", "\n")

    @display(description="Started by", ordering="started_by")
    def started(self, run: BillingRun) -> str:
        return run.started_by

    # One run

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        parked = BillingPeriod.objects.filter(run=object_id, status=PeriodStatus.PARKED)
        return offered if parked.exists() else []

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(RETRY)

    @action(
        description="Try parked again…", url_path="retry", permissions=["retry"], icon="refresh"
    )
    def retry_parked(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self.visible_row(request, object_id)
        if run is None:
            return self.missing(request, object_id)
        parked = runs.parked_in(run)
        if request.method != "POST":
            return self.confirm(
                request,
                run,
                title=f"Try {words.counted(len(parked), 'parked period')} again?",
                sentences=[
                    "Once what kept them from closing is put right, the next billing run closes "
                    "them. What fails again is parked again.",
                ],
                button="Try them again",
            )
        retry_all(self, request, parked)
        return HttpResponseRedirect(self.url("change", run.pk))

    def heading(self, run: BillingRun) -> str:
        return f"Run {run.pk}, as of {words.moment(run.as_of)}"

    def is_running(self, run: BillingRun) -> bool:
        return run.status == RunStatus.RUNNING

    def nudge(self, run: BillingRun) -> None:
        nudge_part(run)

    def progress_of(self, request: HttpRequest, run: Any) -> Progress:
        may_see = request.user.has_perm(VIEW_INVOICES)
        drafted = drafted_by([run.pk], with_amounts=may_see)[run.pk]
        issued = drafted_by([run.pk], with_amounts=may_see, status=InvoiceStatus.ISSUED)[run.pk]
        facts = [
            ("Whose periods", run.customer.name if run.customer else "Everybody"),
            (
                "Done",
                f"{words.number(run.subscriptions_done)} of "
                f"{words.counted(run.subscriptions_total, 'subscription')}",
            ),
            ("Periods closed", words.number(run.periods_closed)),
            ("Drafted", drafted or "no invoice"),
            ("Of these issued", issued or "none so far"),
            (
                "Issued by this run",
                f"{words.number(run.invoices_issued)}, drafts of earlier runs included",
            ),
            ("Started", f"{words.moment(run.started_at)} by {run.started_by}"),
        ]
        if run.finished_at:
            facts.append(("Finished", words.moment(run.finished_at)))
        return Progress(
            status=run.get_status_display(),
            tag=TAGS[run.status],
            percent=percent(run),
            is_running=self.is_running(run),
            facts=facts,
            trouble=run.last_error,
            warning=f"{words.number(run.parked_count)} parked" if run.parked_count else "",
        )

    def refreshed(self, request: HttpRequest, run: BillingRun) -> dict[str, Any]:
        parked = runs.parked_in(run)
        closed = Customer.objects.filter(subscriptions__billing_periods__run=run)
        mine = Invoice.objects.of_run(run.uuid).order_by("pk")
        invoices = mine.select_related("customer").prefetch_related("charges__period")
        may_see = request.user.has_perm(VIEW_INVOICES)
        return {
            "unresolved": unresolved(quarantined(closed)),
            "parked": [parked_row(period) for period in parked[:SHOWN]],
            "parked_left_out": max(0, len(parked) - SHOWN),
            "may_retry": request.user.has_perm(RETRY),
            "invoices": [
                {
                    "name": words.name_of(invoice),
                    "url": words.page("billing_invoice", invoice.pk),
                    "buyer": words.buyer_of(invoice),
                    "purpose": words.purpose_of(invoice),
                    "status": invoice.get_status_display(),
                    "tag": words.tag_of(invoice),
                    "total": words.money(invoice.total, invoice.currency),
                }
                for invoice in (invoices.order_by("pk")[:SHOWN] if may_see else ())
            ],
            "review_url": f"{reverse('admin:billing_invoice_review')}?run={run.pk}"
            if may_see and run.invoices.filter(status__in=["draft", "review"]).exists()
            else "",
            "undo_url": f"{reverse('admin:billing_invoice_decide')}?run={run.pk}"
            "&reason=every&which=all&action=discard"
            if request.user.has_perm("billing.discard_invoice")
            else "",
            "all_invoices_url": f"{reverse('admin:billing_invoice_changelist')}?run__id__exact={run.pk}",
        }


def percent(run: BillingRun) -> int:
    if run.status == RunStatus.FINISHED:
        return 100
    return 100 * run.subscriptions_done // max(1, run.subscriptions_total)


def drafted_by(run_ids: Iterable[int], *, with_amounts: bool, status: str = "") -> dict[int, str]:
    """Say how many invoices each run drafted and what they come to; empty for none."""
    found = Invoice.objects.filter(run__in=list(run_ids))
    if status:
        found = found.filter(status=status)
    groups = (
        found.order_by()
        .values("run", "currency")
        .annotate(count=Count("pk"), sum=ExactSum("total"))
    )
    counts: dict[int, int] = defaultdict(int)
    sums: dict[int, list[tuple[str, Decimal]]] = defaultdict(list)
    for group in groups:
        counts[group["run"]] += group["count"]
        sums[group["run"]].append((group["currency"], group["sum"]))
    texts: dict[int, str] = defaultdict(str)
    for run_id, count in counts.items():
        texts[run_id] = words.counted(count, "invoice")
        if with_amounts:
            texts[run_id] += f", {words.totals(sums[run_id])}"
    return texts
