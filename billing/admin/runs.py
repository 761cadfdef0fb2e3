"""Billing runs: closing what is due after a look at it, and watching how far it comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import tasks
from billing.admin import words
from billing.admin.periods import RETRY, retry_all
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
from billing.services.closing import to_close
from billing.services.outlook import outlook
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import action, display, text_input
from config.base.audit import Actor
from config.base.errors import Invalid
from config.base.fields import ExactSum
from customers.models import Customer

START = "billing.add_billingrun"
BACKDATE = "billing.backdate_billingrun"
VIEW_INVOICES = "billing.view_invoice"
SHOWN = 50


class CloseForm(forms.Form):
    """As of when, and whose periods to close; both may be left empty."""

    as_of = forms.DateTimeField(
        required=False,
        label="As of, in UTC",
        help_text="Act as the clock read this. Empty: now.",
    )
    customer = forms.ModelChoiceField(
        Customer.objects.all(),
        required=False,
        label="Only this customer",
        help_text="Empty: everybody.",
    )

    class Media:
        css = {"screen": ("admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css")}
        js = (
            "admin/js/jquery.init.js",
            "unfold/js/select2.init.js",
        )

    def __init__(self, data: Any, *, now: datetime, may_backdate: bool) -> None:
        super().__init__(data)
        self.now, self.may_backdate = now, may_backdate
        picker = text_input(max=f"{now:%Y-%m-%dT%H:%M}")
        picker.input_type = "datetime-local"
        self.fields["as_of"].widget = picker
        field = BillingRun._meta.get_field("customer")
        chooser = AutocompleteSelect(
            field, admin.site, attrs={"class": "unfold-admin-autocomplete"}
        )
        chooser.choices = self.fields["customer"].widget.choices
        self.fields["customer"].widget = chooser

    def clean_as_of(self) -> datetime | None:
        as_of: datetime | None = self.cleaned_data["as_of"]
        if as_of is not None and as_of > self.now:
            raise forms.ValidationError("That moment has not come yet.")
        if as_of is not None and not self.may_backdate:
            raise forms.ValidationError("Only a Finance lead closes as of an earlier moment.")
        return as_of


@admin.register(BillingRun)
class BillingRunAdmin(ReadOnlyAdmin[BillingRun]):
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
    actions_list = ("close",)
    actions_detail = ("retry_parked",)
    change_form_template = "admin/billing/run.html"
    empty_hint = "A run closes the periods that are due and drafts their invoices."

    class Media:
        js = ("admin/plainbill-run.js",)

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
        return format_html(
            '<progress class="pb-progress" value="{}" max="100">{} %</progress>',
            percent(run),
            percent(run),
        )

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
        return str(run.drafted_text or "—").replace(", ", "\n", 1).replace(" and ", "\n")

    @display(description="Started by", ordering="started_by")
    def started(self, run: BillingRun) -> str:
        return run.started_by

    # One run

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: BillingRun | None = None,
    ) -> Any:
        assert obj is not None
        context |= {
            "title": f"Run {obj.pk}, as of {words.moment(obj.as_of)}",
            "content_title": f"Run {obj.pk}, as of {words.moment(obj.as_of)}",
            **self._progress(request, obj),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        parked = BillingPeriod.objects.filter(run=object_id, status=PeriodStatus.PARKED)
        return offered if parked.exists() else []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/progress/", wrap(self.watch), name="billing_billingrun_progress"),
            path("<int:pk>/continue/", wrap(self.go_on), name="billing_billingrun_continue"),
            *super().get_urls(),
        ]

    def watch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer the part of a run's page that changes while it runs."""
        run = self._run(request, pk)
        return render(request, "admin/billing/run_progress.html", self._progress(request, run))

    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Close the run's next part, or nudge the workers to."""
        if not request.user.has_perm(START):
            raise PermissionDenied
        run = self._run(request, pk)
        if request.method == "POST" and run.status == RunStatus.RUNNING:
            _nudge(run)
        return HttpResponseRedirect(self.url("change", pk))

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

    # Closing

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(START)

    @action(
        description="Close periods…",
        url_path="close",
        permissions=["close"],
        icon="event_available",
    )
    def close(self, request: HttpRequest) -> HttpResponse:
        """Show what is due; start a run when told to."""
        now = timezone.now()
        may_backdate = request.user.has_perm(BACKDATE)
        data = request.POST if request.method == "POST" else request.GET
        form = CloseForm(data, now=now, may_backdate=may_backdate)
        if form.is_valid() and request.method == "POST":
            try:
                run = runs.start_run(
                    as_of=form.cleaned_data["as_of"] or now,
                    now=now,
                    actor=Actor.user(request.user),
                    customer=form.cleaned_data["customer"],
                )
            except Invalid as wrong:
                self.tell(request, wrong)
                return HttpResponseRedirect(self.url("changelist"))
            _nudge(run)
            return HttpResponseRedirect(self.url("change", run.pk))
        context = {
            **self.page_context(request, "Close periods", None),
            "media": self.media + form.media,
            "form": form,
            "may_backdate": may_backdate,
            "may_retry": request.user.has_perm(RETRY),
            "preview": _preview(form, now=now) if form.is_valid() else None,
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/close.html", context)

    def _run(self, request: HttpRequest, pk: int) -> BillingRun:
        run = self.visible_row(request, str(pk))
        if run is None:
            raise PermissionDenied
        return run

    def _progress(self, request: HttpRequest, run: BillingRun) -> dict[str, Any]:
        may_see = request.user.has_perm(VIEW_INVOICES)
        parked = runs.parked_in(run)
        closed = Customer.objects.filter(subscriptions__billing_periods__run=run)
        invoices = run.invoices.select_related("customer").prefetch_related("charges__period")
        return {
            "run": {
                "percent": percent(run),
                "status": run.get_status_display(),
                "is_running": run.status == RunStatus.RUNNING,
                "is_troubled": run.status == RunStatus.FAILED,
                "done": words.number(run.subscriptions_done),
                "total": words.counted(run.subscriptions_total, "subscription"),
                "periods_closed": words.number(run.periods_closed),
                "invoices_issued": words.number(run.invoices_issued),
                "drafted": drafted_by([run.pk], with_amounts=may_see)[run.pk],
                "issued_since": drafted_by(
                    [run.pk], with_amounts=may_see, status=InvoiceStatus.ISSUED
                )[run.pk],
                "scope": run.customer.name if run.customer else "Everybody",
                "started_by": run.started_by,
                "started_at": words.moment(run.started_at),
                "finished_at": words.moment(run.finished_at),
                "last_error": run.last_error,
            },
            "progress_url": reverse("admin:billing_billingrun_progress", args=(run.pk,)),
            "continue_url": reverse("admin:billing_billingrun_continue", args=(run.pk,))
            if request.user.has_perm(START)
            else "",
            "is_driven_here": settings.CELERY_TASK_ALWAYS_EAGER,
            "unresolved": unresolved(closed),
            "parked": [_parked_row(period) for period in parked[:SHOWN]],
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
            "all_invoices_url": f"{reverse('admin:billing_invoice_changelist')}?run__id__exact={run.pk}",
        }


def _nudge(run: BillingRun) -> None:
    """Tell the workers; without any, close the first part here and leave the rest to the page."""
    if not settings.CELERY_TASK_ALWAYS_EAGER:
        tasks.nudge_run(run.pk)
    elif chunk := next(runs.chunks(run), None):
        tasks.close_chunk(run.pk, chunk)
    else:
        tasks.advance_run(run.pk)


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


def _preview(form: CloseForm, *, now: datetime) -> dict[str, Any]:
    """Say what a run would find and what it can't close, before anybody starts it."""
    customer: Customer | None = form.cleaned_data["customer"]
    as_of: datetime = form.cleaned_data["as_of"] or now
    found = outlook(as_of=as_of, customer_id=customer.pk if customer else None)
    closing = to_close(as_of=as_of, customer_id=customer.pk if customer else None)
    oldest = found.oldest
    return {
        "as_of": words.moment(as_of),
        "is_backdated": form.cleaned_data["as_of"] is not None,
        "as_of_value": form.data.get("as_of", ""),
        "customer_value": customer.pk if customer else "",
        "whose": customer.name if customer else "everybody",
        "subscriptions": words.counted(found.subscriptions, "subscription"),
        "is_anything": bool(found.subscriptions or found.to_issue),
        "rows": [
            ("Periods that have ended", words.number(found.ended)),
            ("First fees in advance to draft", words.number(found.openings)),
            ("Subscriptions not billed before", words.number(found.not_begun)),
            ("Drafts whose time has come, to be issued", words.number(found.to_issue)),
        ],
        "oldest": f"{oldest.subscription.key}, {words.span(oldest.start_date, oldest.end_date)}"
        if oldest
        else "",
        "oldest_url": words.page("billing_billingperiod", oldest.pk) if oldest else "",
        "parked": [_parked_row(period) for period in found.parked.order_by("-pk")[:20]],
        "parked_count": found.parked.count(),
        "unresolved": unresolved(Customer.objects.filter(subscriptions__in=closing.order_by())),
    }


def _parked_row(period: BillingPeriod) -> dict[str, str]:
    url = words.page("billing_billingperiod", period.pk)
    return {
        "subscription": period.subscription.key,
        "span": words.span(period.start_date, period.end_date),
        "url": url,
        "retry_url": reverse("admin:billing_billingperiod_retry", args=(period.pk,)),
        "why": words.first_line(period.trouble),
    }
