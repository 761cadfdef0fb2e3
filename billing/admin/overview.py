"""What the admin's first page and sidebar say about billing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Max, QuerySet, Sum, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils import timezone

from billing.admin import words
from billing.models import (
    BillingPeriod,
    BillingRun,
    Delivery,
    Dispute,
    Invoice,
    InvoiceStatus,
    LateStatus,
    LateUsage,
    PeriodStatus,
    RunStatus,
)
from billing.services import reviewing
from billing.services.issuing import RENDER
from config.base.admin.audited import Panel
from config.base.dashboard import Coming, Need, Step, Viewer, said, waiting
from config.base.fields import ExactSum
from config.base.models import Outbox, OutboxStatus

CLOSE = "admin:billing_billingrun_close"
LATE = timedelta(hours=2)
"""After which what should have happened by itself has not."""
WEEK = timedelta(days=7)
TOP = 5


def billing_steps() -> list[Step]:
    return [
        Step(
            70,
            "Close the first period",
            "A look at what is due, then a run that drafts the invoices.",
            reverse(CLOSE),
            BillingRun.objects.exists(),
            "billing.add_billingrun",
        )
    ]


def billing_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    """Say what of periods, runs and invoices waits for a person, each with its list."""
    if user.has_perm("billing.view_billingperiod"):
        yield from _period_needs(user, at)
    if user.has_perm("billing.view_billingrun"):
        yield from _run_needs(at)
    if user.has_perm("billing.view_invoice"):
        yield from _invoice_needs(at)


def _period_needs(user: Viewer, at: datetime) -> Iterator[Need]:
    periods = BillingPeriod.objects.all()
    if parked := periods.filter(status=PeriodStatus.PARKED).count():
        phrase = said(parked, "period is parked: its close", "periods are parked: their close")
        yield Need(10, f"{phrase} failed.", _periods(status__exact="parked"))
    if due := periods.due(at=at).count():
        yield Need(
            35,
            f"{said(due, 'period has', 'periods have')} ended and can be closed.",
            _periods(status__exact="open", needs_opening__exact=0, usage_cutoff__lte=_moment(at)),
            ("Close", reverse(CLOSE)) if user.has_perm("billing.add_billingrun") else None,
        )
    today = timezone.localdate(at)
    ends = {"end_date__gt": today, "end_date__lte": today + WEEK}
    trials = periods.filter(status=PeriodStatus.OPEN, is_trial=True, **ends).count()
    if trials:
        yield Need(
            60,
            f"{said(trials, 'trial ends', 'trials end')} within a week.",
            _periods(status__exact="open", is_trial__exact=1, **ends),
        )


def _run_needs(at: datetime) -> Iterator[Need]:
    """A failed run matters until a later one has finished what it left."""
    last = BillingRun.objects.filter(status=RunStatus.FINISHED).aggregate(last=Max("pk"))["last"]
    failed = BillingRun.objects.filter(status=RunStatus.FAILED, pk__gt=last or 0).count()
    if failed:
        yield Need(
            11,
            f"{said(failed, 'billing run', 'billing runs')} failed, and none has finished since.",
            _listed("billing_billingrun", {"status__exact": "failed", "id__gt": last or 0}),
        )
    stuck = BillingRun.objects.filter(status=RunStatus.RUNNING, started_at__lte=at - LATE).count()
    if stuck:
        yield Need(
            12,
            f"{said(stuck, 'billing run has', 'billing runs have')} not finished for two hours.",
            _listed(
                "billing_billingrun",
                {"status__exact": "running", "started_at__lte": _moment(at - LATE)},
            ),
        )


def _invoice_needs(at: datetime) -> Iterator[Need]:
    drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT)
    if late := drafts.filter(auto_issue_at__lte=at - LATE).count():
        yield Need(
            13,
            f"{said(late, 'draft', 'drafts')} should have been issued by now: do worker and beat run?",
            _invoices(status__exact="draft", auto_issue_at__lte=_moment(at - LATE)),
        )
    stuck = Outbox.objects.filter(kind=RENDER, status=OutboxStatus.PENDING)
    if unmade := stuck.filter(created_at__lte=at - LATE).count():
        yield Need(
            14,
            f"{said(unmade, 'invoice has', 'invoices have')} waited two hours for the PDF.",
            f"{reverse('admin:base_outbox_changelist')}"
            f"?{urlencode({'kind__exact': RENDER, 'status__exact': 'pending'})}",
        )
    if unsent := Delivery.objects.to_look_at().count():
        yield Need(
            15,
            f"{said(unsent, 'mail to a customer', 'mails to customers')} did not go.",
            _listed("billing_delivery", {"look": "yes"}),
        )
    if by_hand := drafts.filter(auto_issue_at=None).count():
        yield Need(
            20,
            f"{said(by_hand, 'draft waits', 'drafts wait')} for somebody to approve and issue.",
            _invoices(status__exact="draft", auto_issue_at__isnull=True),
        )
    if held := Invoice.objects.filter(status=InvoiceStatus.REVIEW).count():
        yield Need(
            21,
            f"{said(held, 'invoice is', 'invoices are')} held for review.",
            _invoices(status__exact="review"),
        )
    if late := LateUsage.objects.filter(status=LateStatus.HELD).count():
        yield Need(
            22,
            f"{said(late, 'amount of late usage waits', 'amounts of late usage wait')} for a decision.",
            _listed("billing_lateusage", {"status__exact": LateStatus.HELD.value}),
        )
    if disputed := Dispute.objects.filter(closed_on=None).count():
        yield Need(
            23,
            f"{said(disputed, 'invoice is', 'invoices are')} in dispute.",
            _listed("billing_dispute", {"state": "open"}),
        )
    if amounts := _open_by_currency(timezone.localdate(at)):
        count = sum(number for _, _, number in amounts)
        total = words.totals((currency, open_) for currency, open_, _ in amounts)
        yield Need(
            70,
            f"{said(count, 'invoice is', 'invoices are')} overdue, with {total} open.",
            _invoices(paid="overdue"),
        )


def billing_coming(user: Viewer, at: datetime) -> Iterator[Coming]:
    """Say when the next drafts issue by themselves and the next periods close."""
    if user.has_perm("billing.view_invoice"):
        drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT, auto_issue_at__gt=at)
        if first := drafts.order_by("auto_issue_at").first():
            assert first.auto_issue_at is not None
            count = drafts.filter(auto_issue_at__lte=first.auto_issue_at).count()
            yield Coming(
                first.auto_issue_at,
                f"{said(count, 'draft is', 'drafts are')} issued unless somebody holds "
                f"{'it' if count == 1 else 'them'}.",
                _invoices(status__exact="draft", auto_issue_at__lte=_moment(first.auto_issue_at)),
            )
    if user.has_perm("billing.view_billingperiod"):
        periods = BillingPeriod.objects.filter(status=PeriodStatus.OPEN, usage_cutoff__gt=at)
        if next_ := periods.order_by("usage_cutoff").first():
            count = periods.filter(usage_cutoff__lte=next_.usage_cutoff).count()
            yield Coming(
                next_.usage_cutoff,
                f"{said(count, 'period', 'periods')} can be closed; usage may come in until then.",
                _periods(status__exact="open", usage_cutoff=_moment(next_.usage_cutoff)),
            )


def billed_panels(user: Viewer, at: datetime) -> Iterator[Panel]:
    """Say what was billed this month and in the whole one before, and to whom the most of it.

    Sums in different currencies can't be compared: each currency has its own first customers.
    """
    if not user.has_perm("billing.view_invoice"):
        return
    this, last = _months(at)
    now, before = (
        {currency: (total, count) for currency, total, count in _net_by_currency(month)}
        for month in (this, last)
    )
    nothing = (Decimal(0), 0)
    rows = []
    for currency in sorted({*now, *before}):
        (net, count), (net_before, _) = now.get(currency, nothing), before.get(currency, nothing)
        rows.append(
            {
                "currency": currency,
                "now": words.amount(net, currency),
                "count": words.number(count),
                "before": words.amount(net_before, currency),
                "url": _invoices(
                    status__exact="issued", currency__exact=currency, issue_date__gte=this
                ),
            }
        )
    yield Panel(
        "Billed this month",
        "admin/billing/billed_panel.html",
        {"rows": rows, "month": f"{this:%B}", "month_before": f"{last:%B}"},
    )
    if now:
        yield _top_customers(this)


def _top_customers(month: date) -> Panel:
    """Rank the customers of each currency by what they were billed; one query."""
    totals = (
        _issued(issue_date__gte=month)
        .order_by()
        .values("currency", "customer_id", "customer__name")
        .annotate(net=ExactSum("net_total"), size=Sum("net_total"))
        .annotate(
            place=Window(
                RowNumber(),
                partition_by="currency",
                order_by=[F("size").desc(), F("customer_id").asc()],
            )
        )
        .filter(place__lte=TOP)
        .order_by("currency", "place")
    )
    currencies = [
        {
            "currency": currency,
            "rows": [
                {
                    "name": row["customer__name"],
                    "url": words.page("customers_customer", row["customer_id"]),
                    "net": words.money(row["net"], currency),
                }
                for row in rows
            ],
        }
        for currency, rows in groupby(totals, key=itemgetter("currency"))
    ]
    return Panel(
        "Billed most this month", "admin/billing/top_panel.html", {"currencies": currencies}
    )


def drafts_to_review() -> int:
    """Count the drafts that need eyes, as the page that reviews them does."""
    return waiting(reviewing.with_reason(reviewing.open_drafts(), ""))


def mails_not_gone() -> int:
    return waiting(Delivery.objects.to_look_at())


def disputes_open() -> int:
    return waiting(Dispute.objects.filter(closed_on=None))


def periods_parked() -> int:
    return waiting(BillingPeriod.objects.filter(status=PeriodStatus.PARKED))


def late_usage_held() -> int:
    return waiting(LateUsage.objects.filter(status=LateStatus.HELD))


def periods_due() -> int:
    return waiting(BillingPeriod.objects.due(at=timezone.now()))


def _months(at: datetime) -> tuple[date, date]:
    """Return the first days of this month and of the one before."""
    this = timezone.localdate(at).replace(day=1)
    return this, (this - timedelta(days=1)).replace(day=1)


def _issued(**within: Any) -> QuerySet[Invoice]:
    return Invoice.objects.filter(status=InvoiceStatus.ISSUED, **within)


def _net_by_currency(month: date) -> list[tuple[str, Decimal, int]]:
    following = (month + timedelta(days=31)).replace(day=1)
    rows = _issued(issue_date__gte=month, issue_date__lt=following).order_by()
    return list(rows.values_list("currency").annotate(sum=ExactSum("net_total"), count=Count("pk")))


def _totals_by_currency(within: dict[str, Any]) -> list[tuple[str, Decimal, int]]:
    rows = _issued(**within).order_by()
    return list(rows.values_list("currency").annotate(sum=ExactSum("total"), count=Count("pk")))


def _open_by_currency(today: date) -> list[tuple[str, Decimal, int]]:
    """Return per currency what is open of overdue invoices, and how many they are."""
    rows = Invoice.objects.overdue(on=today).order_by().values_list("currency")
    return list(rows.annotate(sum=ExactSum("open_item__open"), count=Count("pk")))


def _invoices(**filters: Any) -> str:
    return _listed("billing_invoice", filters)


def _periods(**filters: Any) -> str:
    return _listed("billing_billingperiod", filters)


def _listed(model: str, filters: dict[str, Any]) -> str:
    """Return the address of exactly these rows in the admin's list."""
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(filters)}"


def _moment(at: datetime) -> str:
    return at.isoformat()
