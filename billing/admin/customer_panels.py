"""What the pages of customers and subscriptions say about money: what is coming, and what was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing.admin import words
from billing.composition import Composed
from billing.days import ADDITIVE, DayUsed, read_days
from billing.models import BillingPeriod, Invoice, InvoiceLine, PeriodStatus, TaxCategory
from billing.parties import issuer_for
from billing.presentation.daily import Day, daily_chart
from billing.presentation.lines import is_shown, line_view, usage_view
from billing.presentation.reader import Reader
from billing.rates import taxation
from billing.services.upcoming import Running, running_periods
from catalog.models import RateCategory
from catalog.money import plain
from config.base.admin.audited import Panel
from config.base.admin.complaints import REFUSED, complaints
from config.base.charts import UsageChart
from customers.models import Customer, Subscription
from customers.periods import local_date, zone
from customers.querysets import SubscriptionQuerySet

SHOWN = 10


def customer_running_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """Show each subscription's running period: usage against allowance, and what it comes to so far.

    The first ten subscriptions; the number of queries does not depend on how many there are.
    """
    mine = Subscription.objects.filter(customer=customer).filter(
        Q(ends_on=None) | Q(ends_on__gt=timezone.localdate())
    )
    return _running_panel(request, mine)


def subscription_running_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Show a subscription's running period: usage against allowance, and what it comes to so far."""
    return _running_panel(request, Subscription.objects.filter(pk=subscription.pk))


def _running_panel(request: HttpRequest, asked: SubscriptionQuerySet) -> Panel | None:
    if not request.user.has_perm("billing.view_invoice"):
        return None
    now = timezone.now()
    subscriptions = list(asked.with_terms().order_by("pk")[: SHOWN + 1])
    context: dict[str, Any] = {"left_out": len(subscriptions) > SHOWN, "trouble": ""}
    try:
        found = running_periods(subscriptions=subscriptions[:SHOWN], at=now)
    except REFUSED as refusal:
        context["trouble"] = " ".join(message for _, message in complaints(refusal))
        found = []
    days = read_days([one.wanted for one in found], until=now)
    context["running"] = [
        _running(one, its_days, now=now) for one, its_days in zip(found, days, strict=True)
    ]
    context["words"] = Reader(words.LOCALE, "EUR").words
    return Panel("This period so far", "admin/billing/running_panel.html", context)


def tax_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """Say how what they pay for is taxed today, and why; or what is missing for it."""
    if not request.user.has_perm("billing.view_invoice"):
        return None
    try:
        issuer = issuer_for(customer)
        found = taxation(issuer, customer)
        today = local_date(timezone.now(), zone(issuer.time_zone))
        tax = found.on(RateCategory.STANDARD, today + timedelta(days=1))
    except REFUSED as refusal:
        said = [(message, "") for _, message in complaints(refusal)]
        facts = [("Not known", *one) for one in said]
    else:
        what = f"{TaxCategory(tax.category).label}, {plain(tax.rate)} %"
        facts = [
            ("Today", what, ""),
            ("Why", tax.basis, ""),
            ("Missing", found.treatment.lacks, ""),
        ]
    return Panel("Tax", "admin/customers/linked_facts_panel.html", {"facts": facts})


def invoices_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """List the last invoices that this customer is to pay."""
    if not request.user.has_perm("billing.view_invoice"):
        return None
    invoices = list(
        Invoice.objects.filter(customer=customer)
        .select_related("customer")
        .prefetch_related("charges__period")
        .order_by("-pk")[: SHOWN + 1]
    )
    return Panel(
        "Invoices",
        "admin/billing/invoices_panel.html",
        {
            "invoices": [
                {
                    "name": words.name_of(invoice),
                    "url": words.page("billing_invoice", invoice.pk),
                    "purpose": words.purpose_of(invoice),
                    "status": invoice.get_status_display(),
                    "tag": words.tag_of(invoice),
                    "issue_date": words.day(invoice.issue_date),
                    "total": words.money(invoice.total, invoice.currency),
                }
                for invoice in invoices[:SHOWN]
            ],
            "all_url": f"{reverse('admin:billing_invoice_changelist')}?customer__id__exact={customer.pk}"
            if len(invoices) > SHOWN
            else "",
        },
    )


def _running(
    one: Running, days: Mapping[int, Sequence[DayUsed]], *, now: datetime
) -> dict[str, Any]:
    period, composed = one.period, one.composed
    reader = Reader(words.LOCALE, composed.currency)
    return {
        "subscription": period.subscription.key,
        "url": words.page("customers_subscription", period.subscription_id),
        "period": words.span(period.start_date, period.end_date),
        "is_trial": period.is_trial,
        "is_parked": period.status == PeriodStatus.PARKED,
        "net": words.money(composed.totals.net, composed.currency),
        "total": words.money(composed.totals.total, composed.currency),
        "currency": composed.currency,
        "usage": [
            {
                "name": line.description,
                "said": usage_view(line, reader, zone=period.time_zone),
                "chart": _chart(line, period, days, reader, now=now),
            }
            for line in one.usage
        ],
        "heading": "With tax" if composed.include_tax else "Net",
        "totals": list(_totals(composed)),
        "beside": words.beside(one.beside, composed.currency),
        "lines": [
            line_view(line, reader, today=timezone.localdate(now))
            for line in composed.lines
            if is_shown(line)
        ],
    }


def _totals(composed: Composed) -> Iterator[tuple[str, str]]:
    added, currency = composed.totals, composed.currency
    if composed.include_tax:
        yield "of which tax", words.money(added.tax, currency)
    else:
        yield "Net", words.money(added.net, currency)
        yield "Tax", words.money(added.tax, currency)
    yield "Total", words.money(added.total, currency)


def _chart(
    line: InvoiceLine,
    period: BillingPeriod,
    days: Mapping[int, Sequence[DayUsed]],
    reader: Reader,
    *,
    now: datetime,
) -> UsageChart | None:
    """Draw the days of a line's metric; None where the period is too long for days."""
    metric = line.metric
    if metric is None or not days.get(metric.pk):
        return None
    return daily_chart(
        [Day(one.day, one.used) for one in days[metric.pk]],
        start=period.start_date,
        end=period.end_date,
        today=local_date(now, zone(period.time_zone)),
        included=Decimal(line.explanation["included"]),
        name=line.description,
        reader=reader,
        adds_up=metric.aggregation in ADDITIVE,
    )
