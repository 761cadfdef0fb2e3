"""The first page: what was used so far, what is included, and what the next invoice comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.days import ADDITIVE, DayUsed, read_days
from billing.models import BillingPeriod, InvoiceLine, LineKind, PeriodStatus
from billing.parties import payer_of
from billing.portal import words
from billing.portal.further import further
from billing.portal.invoices import issued_to, row, today
from billing.portal.metric import events_url
from billing.portal.plan import sentence_of
from billing.presentation.beside import beside_notes
from billing.presentation.daily import Day, daily_chart
from billing.presentation.lines import is_shown, line_view, usage_view
from billing.presentation.reader import Reader, sentence
from billing.presentation.taxes import net_heading
from billing.services.upcoming import Running, running_periods
from catalog.drafts import drafts_of
from catalog.models import ValueMetric
from catalog.money import EXACT
from config.base.charts import crossed_at
from config.base.errors import Refusal
from customers.models import Subscription
from customers.periods import first_instant, local_date, zone
from customers.portal import Visitor, page, signed_in
from customers.querysets import SubscriptionQuerySet
from customers.terms import with_own_terms

SUBSCRIPTIONS = 10
LAST_INVOICES = 3


@require_safe
@signed_in
def dashboard(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Show each subscription's running period, and the last invoices."""
    now = timezone.now()
    say = words.of(visitor.locale)
    mine = list(running_for(visitor).with_terms().order_by("pk")[: SUBSCRIPTIONS + 1])
    subscriptions = mine[:SUBSCRIPTIONS]
    trouble = False
    try:
        found = running_periods(subscriptions=subscriptions, at=now)
    except Refusal:
        found, trouble = [], True
    days = read_days([one.wanted for one in found], until=now)
    later = [one for one in subscriptions if one.starts_on > today(visitor)]
    context = {
        "words": say,
        "chart_words": Reader(visitor.locale, visitor.customer.currency).words,
        "customer": visitor.customer.name,
        "running": [
            _running(one, used, visitor, now=now) for one, used in zip(found, days, strict=True)
        ],
        "title": _title(found, visitor),
        "trouble": trouble,
        "left_out": say["left_out"].format(count=SUBSCRIPTIONS)
        if len(mine) > SUBSCRIPTIONS
        else "",
        "starting": [_starting(one, visitor) for one in later] if not found else [],
        "invoices": [row(invoice, visitor) for invoice in issued_to(visitor)[:LAST_INVOICES]],
        "expected": _expected(found, visitor),
    }
    return page(request, "usage.html", context, visitor=visitor, current="usage")


def running_for(visitor: Visitor) -> SubscriptionQuerySet:
    """Return what this customer uses or pays for and is not over, or not billed to its end."""
    mine = Subscription.objects.concerning(visitor.customer)
    unbilled = BillingPeriod.objects.filter(subscription=OuterRef("pk")).exclude(
        status__in=[PeriodStatus.CLOSED, PeriodStatus.WAIVED]
    )
    return mine.filter(Q(ends_on=None) | Q(ends_on__gt=today(visitor)) | Exists(unbilled))


def _title(found: Sequence[Running], visitor: Visitor) -> str:
    """Name the month, or the trial, where it is that of every period that runs."""
    say, reader = words.of(visitor.locale), Reader(visitor.locale, visitor.customer.currency)
    spans = {(one.period.start_date, one.period.end_date, one.period.is_trial) for one in found}
    if len(spans) != 1:
        return say["usage"]
    [(start, end, is_trial)] = spans
    if is_trial:
        return say["trial"].format(date=reader.last_day(end))
    return say["so_far"].format(when=sentence(reader.stretch(start, end)))


def _running(
    one: Running, days: Mapping[int, Sequence[DayUsed]], visitor: Visitor, *, now: datetime
) -> dict[str, Any]:
    """Return what the page says of one subscription; money only to who pays."""
    period, say = one.period, words.of(visitor.locale)
    reader = Reader(visitor.locale, one.composed.currency)
    subscription = period.subscription
    payer = payer_of(subscription)
    pays = payer == visitor.customer
    uses = subscription.customer == visitor.customer
    here = local_date(now, zone(period.time_zone))
    shown = [line for line in one.composed.lines if is_shown(line)]
    return {
        "plan": period.phase.plan_version.plan.name,
        "span": reader.span(period.start_date, period.end_date),
        "as_of": say["as_of"].format(moment=reader.moment(now, period.time_zone)),
        "days_left": _days_left(period, here, reader),
        "trial": _trial(period, reader),
        "money": _money(one, reader) if pays else None,
        "paid_by": "" if pays else payer.name,
        "used_by": "" if uses else say["used_by"].format(name=subscription.customer.name),
        "metrics": [
            _metric(
                line,
                period,
                days.get(_metric_id(line), []),
                reader,
                today=here,
                pays=pays,
                uses=uses,
            )
            for line in one.usage
        ],
        "fees": [
            line_view(line, reader, today=here)
            for line in shown
            if line.kind != LineKind.USAGE and pays
        ],
        "beside": list(beside_notes(one.beside, reader)) if pays else [],
        "net_heading": net_heading(reader, include_tax=one.composed.include_tax),
    }


def _metric_id(line: InvoiceLine) -> int:
    assert line.metric is not None
    return line.metric.pk


def _money(one: Running, reader: Reader) -> dict[str, str]:
    """Say what the next invoice comes to, and when it is issued."""
    say, totals, draft = words.of(reader.tag), one.composed.totals, one.invoice
    key = "net_and_tax" if totals.tax else "net_only"
    if one.composed.include_tax:
        key = "with_tax" if totals.tax else "no_tax_due"
    issued = draft.auto_issue_at
    return {
        "total": reader.money(totals.total),
        "parts": say[key].format(net=reader.money(totals.net), tax=reader.money(totals.tax)),
        "issued": reader.local_date(issued or one.period.usage_cutoff, one.period.time_zone),
        "issued_how": say["issued_on_its_own" if issued else "issued_by_person"],
        "url": reverse("portal:upcoming", args=(one.period.subscription.key,)),
    }


def _metric(
    line: InvoiceLine,
    period: BillingPeriod,
    days: Sequence[DayUsed],
    reader: Reader,
    *,
    today: date,
    pays: bool,
    uses: bool,
) -> dict[str, Any]:
    """Return one metric's card: what was used of what is included, and what more would cost."""
    say = words.of(reader.tag)
    view = usage_view(line, reader, zone=period.time_zone)
    included = Decimal(line.explanation["included"])
    metric = line.metric
    assert metric is not None
    adds_up = metric.aggregation in ADDITIVE
    net = say["not_charged"] if period.is_trial else reader.money(line.priced)
    return {
        "view": view,
        "url": reverse("portal:metric", args=(metric.key,)) if uses else "",
        "net": net if pays else "",
        "stands": _stands(line, days, included, reader, adds_up=adds_up),
        "price": _price(line, reader) if pays else "",
        "chart": daily_chart(
            [_bar(one, metric, zone(period.time_zone)) for one in days],
            start=period.start_date,
            end=period.end_date,
            today=today,
            included=included,
            name=view.name,
            reader=reader,
            adds_up=adds_up,
        )
        if days and uses
        else None,
    }


def _bar(one: DayUsed, metric: ValueMetric, place: ZoneInfo) -> Day:
    """Lead from a day's bar to its events."""
    ends = (first_instant(day, place) for day in (one.day, one.day + timedelta(days=1)))
    return Day(one.day, one.used, url=events_url(metric, *ends))


def _stands(
    line: InvoiceLine, days: Sequence[DayUsed], included: Decimal, reader: Reader, *, adds_up: bool
) -> str:
    """Say how far the allowance goes, or since when it is used up."""
    say = words.of(reader.tag)
    if not included:
        return ""
    if line.quantity < included:
        left = EXACT.subtract(included, line.quantity)
        return say["within"].format(left=reader.units(left, line.unit, line.unit_plural))
    if line.quantity == included:
        return say["used_up"]
    crossing = crossed_at([one.used for one in days], included) if adds_up else None
    if crossing is None:
        return say["over_it"]
    return say["passed"].format(date=reader.long_date(days[crossing].day))


def _price(line: InvoiceLine, reader: Reader) -> str:
    """Say what the next units cost, or else the whole rule."""
    rule = words.of(reader.tag)["price_in"]
    assert line.price is not None
    [draft] = drafts_of([line.price])
    assert line.period
    draft, _ = with_own_terms(draft, line.subscription, day=line.period.start_date)
    return further(draft, line, reader) or rule.format(
        currency=reader.currency, sentence=sentence_of(draft, reader)
    )


def _trial(period: BillingPeriod, reader: Reader) -> str:
    if not period.is_trial:
        return ""
    return words.of(reader.tag)["trial_note"].format(date=reader.last_day(period.end_date))


def _days_left(period: BillingPeriod, today: date, reader: Reader) -> str:
    say, left = words.of(reader.tag), (period.end_date - today).days - 1
    if left < 0:
        return say["ended"]
    if left == 0:
        return say["last_day"]
    return (
        say["day_left"]
        if left == 1
        else say["days_left"].format(count=reader.number(Decimal(left)))
    )


def _starting(subscription: Subscription, visitor: Visitor) -> str:
    reader = Reader(visitor.locale, visitor.customer.currency)
    plan = subscription.phases.all()[0].plan_version.plan.name
    date_ = reader.long_date(subscription.starts_on)
    return words.of(visitor.locale)["starts"].format(plan=plan, date=date_)


def _expected(found: Iterable[Running], visitor: Visitor) -> str:
    """Say when the first invoice may come."""
    days = [(one.invoice.auto_issue_at, one.period.time_zone) for one in found]
    dated = sorted((at, place) for at, place in days if at)
    if not dated:
        return ""
    reader = Reader(visitor.locale, visitor.customer.currency)
    return words.of(visitor.locale)["no_invoices_next"].format(date=reader.local_date(*dated[0]))
