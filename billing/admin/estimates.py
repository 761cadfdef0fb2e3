"""What a month's close is expected to come to: worked out part by part, shown against the last one."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing import tasks
from billing.admin import words
from billing.admin.progress import Progress, WatchedAdmin
from billing.models import (
    BillState,
    CloseEstimate,
    EstimatedBill,
    EstimatedUsage,
    EstimateStatus,
    UsageFinding,
)
from billing.services import estimating, expectation
from billing.services.expectation import Sums
from billing.trailing import BEFORE, FEWEST, TIMES
from config.base.admin.theme import display
from config.base.audit import Actor
from customers.models import Customer

START = "billing.add_closeestimate"
VIEW = "billing.view_closeestimate"
MOVERS = 50
RULE = (
    f"Compared with the mean of the last {BEFORE} whole periods, where there are {FEWEST} or more: "
    f"more than {TIMES} times as much, or less than half once the period is over."
)


@admin.register(CloseEstimate)
class CloseEstimateAdmin(WatchedAdmin[CloseEstimate]):
    list_display = ("name", "scope", "usage_until", "state", "started")
    list_filter = ("status",)
    list_select_related = ("customer",)
    search_fields = ("started_by", "customer__name", "customer__key")
    search_help_text = "Search by customer or who started it"
    ordering = ("-month", "-pk")
    start_permission = START
    change_form_template = "admin/billing/estimate.html"
    empty_hint = "Estimates are made on the page “Close periods”, and once a day by the worker."

    @display(description="Month", ordering="month")
    def name(self, estimate: CloseEstimate) -> str:
        return str(estimate)

    @display(description="Whose")
    def scope(self, estimate: CloseEstimate) -> str:
        return whose(estimate)

    @display(description="Usage until", ordering="as_of")
    def usage_until(self, estimate: CloseEstimate) -> str:
        return words.moment(estimate.as_of)

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, estimate: CloseEstimate) -> str:
        return estimate.get_status_display()

    @display(description="Started by", ordering="started_by")
    def started(self, estimate: CloseEstimate) -> str:
        return estimate.started_by

    # One estimate

    def heading(self, estimate: CloseEstimate) -> str:
        return f"What the close of {estimate} comes to"

    def is_running(self, estimate: CloseEstimate) -> bool:
        return estimate.status == EstimateStatus.WORKING

    def nudge(self, estimate: CloseEstimate) -> None:
        nudge_part(estimate)

    def progress_of(self, request: HttpRequest, estimate: CloseEstimate) -> Progress:
        counts = expectation.counted_bills(estimate)
        total, waiting = sum(counts.values()), counts.get(BillState.WAITING, 0)
        failed = counts.get(BillState.FAILED, 0)
        facts = [
            ("Whose periods", whose(estimate)),
            ("Usage until", words.moment(estimate.as_of)),
            (
                "Worked out",
                f"{words.number(total - waiting)} of {words.counted(total, 'subscription')}",
            ),
            ("Started", f"{words.moment(estimate.started_at)} by {estimate.started_by}"),
        ]
        if estimate.finished_at:
            facts.append(("Finished", words.moment(estimate.finished_at)))
        return Progress(
            status=estimate.get_status_display(),
            tag="pb-good" if estimate.finished_at else "pb-open",
            percent=100 if estimate.finished_at else 100 * (total - waiting) // max(1, total),
            is_running=self.is_running(estimate),
            facts=facts,
            trouble=estimate.last_error,
            warning=f"{words.number(failed)} would be parked" if failed else "",
        )

    def below(self, request: HttpRequest, estimate: CloseEstimate) -> dict[str, Any]:
        page = Paginator(expectation.movers(estimate), MOVERS).get_page(request.GET.get("p"))
        return {
            "expected": expected(estimate, page),
            "page": page,
            "metrics": metric_rows(estimate),
            "unusual": unusual_rows(estimate, *UsageFinding, most=MOVERS),
            "failing": failing_rows(estimate, most=MOVERS),
            "rule": RULE,
            "close_url": close_url(estimate),
        }

    # Starting one

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.start)
        return [path("start/", start, name="billing_closeestimate_start"), *super().get_urls()]

    def start(self, request: HttpRequest) -> HttpResponse:
        """Estimate a month anew; nothing that bills is changed."""
        if not request.user.has_perm(START):
            raise PermissionDenied
        month = words.month_from(request.POST.get("month", ""))
        if request.method != "POST" or month is None:
            return HttpResponseRedirect(reverse("admin:billing_billingrun_close"))
        pk = request.POST.get("customer", "")
        customer = Customer.objects.filter(pk=pk).first() if words.is_id(pk) else None
        estimate = estimating.start_estimate(
            month=month, customer=customer, at=timezone.now(), actor=Actor.user(request.user)
        )
        nudge_part(estimate)
        return HttpResponseRedirect(self.url("change", estimate.pk))


def nudge_part(estimate: CloseEstimate) -> None:
    """Tell the workers; without any, do the first part here and leave the rest to the page."""
    if settings.CELERY_TASK_ALWAYS_EAGER:
        estimating.take_step(estimate_id=estimate.pk, now=timezone.now())
    else:
        tasks.nudge_estimate(estimate.pk)


def whose(estimate: CloseEstimate) -> str:
    return estimate.customer.name if estimate.customer else "Everybody"


def close_url(estimate: CloseEstimate) -> str:
    customer = f"&customer={estimate.customer_id}" if estimate.customer_id else ""
    return f"{reverse('admin:billing_billingrun_close')}?month={estimate.month:%Y-%m}{customer}"


def expected(estimate: CloseEstimate, shown: Iterable[EstimatedBill]) -> dict[str, Any]:
    """Return what is expected by currency and plan, and these movers, as plain values."""
    return {
        "currencies": [_sums(row) for row in expectation.by_currency(estimate)],
        "plans": [_sums(row) for row in expectation.by_plan(estimate)],
        "movers": [
            {
                "customer": bill.subscription.customer.name,
                "customer_url": words.page("customers_customer", bill.subscription.customer_id),
                "subscription": bill.subscription.key,
                "url": words.page("customers_subscription", bill.subscription_id),
                "before": "first period"
                if bill.before is None
                else words.amount(bill.before, bill.currency),
                "expected": words.amount(bill.expected or Decimal(0), bill.currency),
                "difference": words.signed(bill.difference or Decimal(0), bill.currency),
            }
            for bill in shown
        ],
    }


def _sums(row: Sums) -> dict[str, Any]:
    return {
        "currency": row.currency,
        "plan": row.plan,
        "bills": words.number(row.bills),
        "fresh": words.number(row.fresh) if row.fresh else "",
        "before": words.amount(row.before, row.currency),
        "expected": words.amount(row.expected, row.currency),
        "difference": words.signed(row.difference, row.currency),
        "percent": words.change(row.before, row.expected),
    }


def metric_rows(estimate: CloseEstimate) -> list[dict[str, Any]]:
    return [
        {
            "metric": total.metric.name,
            "unit": total.metric.unit_plural,
            "quantity": words.number(total.quantity),
            "usual": words.rounded(total.usual),
            "change": words.change(total.usual, total.quantity),
            "is_unusual": total.is_unusual,
        }
        for total in expectation.metric_totals(estimate)
    ]


def unusual_rows(
    estimate: CloseEstimate, *findings: UsageFinding, most: int
) -> list[dict[str, Any]]:
    return [_unusual(row) for row in expectation.unusual_usage(estimate, *findings)[:most]]


def _unusual(row: EstimatedUsage) -> dict[str, Any]:
    subscription = row.bill.subscription
    query = f"?metric={row.metric.key}"
    return {
        "customer": subscription.customer.name,
        "subscription": subscription.key,
        "url": words.page("customers_subscription", subscription.pk),
        "usage_url": reverse("admin:metering_usageevent_usage", args=(subscription.customer.key,))
        + query,
        "metric": row.metric.name,
        "quantity": words.number(row.quantity),
        "usual": words.rounded(row.usual or Decimal(0)),
        "finding": row.get_finding_display(),
    }


def failing_rows(estimate: CloseEstimate, *, most: int) -> list[dict[str, Any]]:
    return [
        {
            "customer": bill.subscription.customer.name,
            "subscription": bill.subscription.key,
            "url": words.page("customers_subscription", bill.subscription_id),
            "why": words.first_line(bill.note),
        }
        for bill in expectation.failing(estimate)[:most]
    ]
